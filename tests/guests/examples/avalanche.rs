//! Hands back far more answers than there were messages.
use guests::*;
struct Avalanche;
guests::describe!(Avalanche, manifest("avalanche"));
impl guests::after_accept::Guest for Avalanche {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        let count = batch[0].rel_path.parse().expect("a number");
        Ok((0..count).map(|_| Verdict::Keep).collect())
    }
}
guests::export!(Avalanche: describe, after_accept);
