//! Stuffs the state with all it takes.
use guests::*;
struct Stuff;
guests::describe!(Stuff, manifest("stuff"));
impl guests::after_accept::Guest for Stuff {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        if batch[0].rel_path == "little" {
            state::put("key", b"value", None)?;
            return Ok(batch.iter().map(|_| Verdict::Keep).collect());
        }
        let value = vec![7; 1 << 20];
        for number in 0u64.. {
            state::put(&format!("key-{number}"), &value, None)?;
        }
        unreachable!()
    }
}
guests::export!(Stuff: describe, after_accept);
