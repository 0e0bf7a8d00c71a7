//! Makes values of shapes and sizes nobody expects.
use guests::*;
struct Monster;
guests::describe!(Monster, manifest("monster"));
fn value(name: &str, value: Value) -> Verdict {
    Verdict::Update(vec![Edit::Header((name.into(), Some(value)))])
}
impl guests::after_accept::Guest for Monster {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        let verdict = |message: &Message| match message.rel_path.as_str() {
            // Recursion in whoever reads it.
            "deep" => value("deep", Value::Json("[".repeat(100_000))),
            "long-path" => Verdict::Update(vec![Edit::RelPath("x/".repeat(100_000) + "y")]),
            "line-in-name" => value("a\r\nb", Value::Text("c".into())),
            "many-names" => {
                for number in 0..10_000 {
                    metrics::count(&format!("number {number}"), 1);
                }
                Verdict::Keep
            }
            "reason" => Verdict::Reject(Rejection {
                code: 400,
                reason: "\u{1b}[31mred\r\nforged line".repeat(1000),
            }),
            _ => Verdict::Keep,
        };
        Ok(batch.iter().map(verdict).collect())
    }
}
guests::export!(Monster: describe, after_accept);
