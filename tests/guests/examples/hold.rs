//! Opens the content of a message, again and again, and closes none of it.
use guests::*;
struct Hold;
guests::describe!(Hold, manifest("hold"));
fn hold(message: &Message) -> Result<Verdict, Failure> {
    if message.rel_path == "well-behaved" {
        for _ in 0..2000 {
            content::open(message.id)?;
        }
        return Ok(Verdict::Keep);
    }
    let mut held = Vec::new();
    loop {
        match message.rel_path.as_str() {
            "readers" => held.push((Some(content::open(message.id)?), None)),
            _ => held.push((None, content::derive(message.id, "part", None)?)),
        }
    }
}
impl guests::after_work::Guest for Hold {
    fn after_work(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        Ok(batch
            .iter()
            .map(|message| hold(message).unwrap_or_else(Verdict::Fail))
            .collect())
    }
}
guests::export!(Hold: describe, after_work);
