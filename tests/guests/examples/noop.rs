//! Keeps every message.
use guests::{Failure, Message, Verdict};
struct Noop;
guests::describe!(Noop, guests::manifest("noop"));
impl guests::after_accept::Guest for Noop {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        Ok(batch.iter().map(|_| Verdict::Keep).collect())
    }
}
guests::export!(Noop: describe, after_accept);
