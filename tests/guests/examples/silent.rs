//! Does not describe itself.
use guests::*;
struct Silent;
impl guests::after_accept::Guest for Silent {
    fn after_accept(_: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        Ok(Vec::new())
    }
}
guests::export!(Silent: after_accept);
