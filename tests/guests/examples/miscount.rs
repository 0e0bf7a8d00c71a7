//! Loses a verdict.
use guests::*;
struct Miscount;
guests::describe!(Miscount, manifest("miscount"));
impl guests::after_accept::Guest for Miscount {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        Ok(batch.iter().skip(1).map(|_| Verdict::Keep).collect())
    }
}
guests::export!(Miscount: describe, after_accept);
