//! Sleeps for a year.
use guests::*;
struct Sleeper;
guests::describe!(Sleeper, manifest("sleeper"));
impl guests::after_accept::Guest for Sleeper {
    #[expect(
        clippy::disallowed_methods,
        reason = "to hang in the host is what it is for"
    )]
    fn after_accept(_: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        std::thread::sleep(std::time::Duration::from_secs(365 * 86400));
        Ok(Vec::new())
    }
}
guests::export!(Sleeper: describe, after_accept);
