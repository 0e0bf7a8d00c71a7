//! Never returns.
use guests::*;
struct Spin;
guests::describe!(Spin, manifest("spin"));
impl guests::after_accept::Guest for Spin {
    fn after_accept(_: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        let mut x = 0u64;
        loop {
            x = std::hint::black_box(x.wrapping_add(1));
        }
    }
}
guests::export!(Spin: describe, after_accept);
