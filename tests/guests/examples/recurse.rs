//! Calls itself for ever.
use guests::*;
struct Recurse;
guests::describe!(Recurse, manifest("recurse"));
#[inline(never)]
#[allow(unconditional_recursion, reason = "the point of it")]
fn down(depth: u64) -> u64 {
    std::hint::black_box(down(std::hint::black_box(depth + 1))) + 1
}
impl guests::after_accept::Guest for Recurse {
    fn after_accept(_: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        Ok(vec![Verdict::Update(vec![header(
            "depth",
            down(0).to_string(),
        )])])
    }
}
guests::export!(Recurse: describe, after_accept);
