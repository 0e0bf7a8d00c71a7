//! Ends its process, as if it had one.
use guests::*;
struct Quit;
guests::describe!(Quit, manifest("quit"));
impl guests::after_accept::Guest for Quit {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        match batch[0].rel_path.parse() {
            Ok(code) => std::process::exit(code),
            Err(_) => Ok(batch.iter().map(|_| Verdict::Keep).collect()),
        }
    }
}
guests::export!(Quit: describe, after_accept);
