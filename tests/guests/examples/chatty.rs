//! Talks and talks.
use guests::*;
struct Chatty;
guests::describe!(Chatty, manifest("chatty"));
impl guests::after_accept::Guest for Chatty {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        match batch[0].rel_path.as_str() {
            "levels" => {
                log::write(log::Level::Error, "an error\nin two lines \u{1b}[31m");
                log::write(log::Level::Warn, "a warning");
                log::write(log::Level::Info, "an information");
                println!("first\nsecond");
                eprintln!("on stderr");
                eprint!("third, ");
                eprint!("in parts");
            }
            "long" => log::write(log::Level::Info, &"y".repeat(100_000)),
            _ => {
                for i in 0..100_000 {
                    log::write(log::Level::Info, &format!("line {i}"));
                }
            }
        }
        metrics::count("calls", 2);
        metrics::gauge("depth", 1.5);
        metrics::progress("talking", 1, 10, "lines");
        Ok(batch.iter().map(|_| Verdict::Keep).collect())
    }
}
guests::export!(Chatty: describe, after_accept);
