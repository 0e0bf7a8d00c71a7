//! Takes all the memory there is.
use guests::*;
struct Hoard;
guests::describe!(Hoard, manifest("hoard"));
impl guests::after_accept::Guest for Hoard {
    fn after_accept(_: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        let mut hoard = Vec::new();
        loop {
            hoard.push(std::hint::black_box(vec![1u8; 1 << 20]));
        }
    }
}
guests::export!(Hoard: describe, after_accept);
