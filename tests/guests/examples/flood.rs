//! Answers with far too much.
use guests::*;
struct Flood;
guests::describe!(Flood, manifest("flood"));
impl guests::after_accept::Guest for Flood {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        let much = "x".repeat(2 << 20);
        Ok(batch
            .iter()
            .map(|_| Verdict::Update(vec![header("much", much.clone())]))
            .collect())
    }
}
impl guests::gather::Guest for Flood {
    fn gather(limit: u32) -> Result<gather::Gathered, Failure> {
        Ok(gather::Gathered {
            messages: (0..=limit).map(|i| new_message(&format!("{i}"))).collect(),
            more: true,
        })
    }
}
guests::export!(Flood: describe, after_accept, gather);
