//! Panics at messages named `boom`, after saying something on both streams; counts its calls.
use guests::*;
use std::cell::Cell;
struct Trap;
thread_local! { static CALLS: Cell<u32> = const { Cell::new(0) }; static STARTED: Cell<bool> = const { Cell::new(false) }; }
guests::describe!(Trap, manifest("trap"));
#[inline(never)]
fn open_the_envelope(message: &Message) {
    if message.rel_path.ends_with("boom") {
        println!("on stdout");
        eprint!("no line end");
        panic!("the envelope was empty");
    }
}
impl guests::lifecycle::Guest for Trap {
    fn start(_: lifecycle::Context) -> Result<lifecycle::Started, Failure> {
        STARTED.set(true);
        Ok(lifecycle::Started {
            max_instances: None,
        })
    }
    fn housekeeping() -> Result<(), Failure> {
        Ok(())
    }
    fn stop() {}
}
impl guests::after_accept::Guest for Trap {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        assert!(STARTED.get(), "not started");
        CALLS.set(CALLS.get() + 1);
        batch.iter().for_each(open_the_envelope);
        Ok(batch
            .iter()
            .map(|_| Verdict::Update(vec![header("calls", CALLS.get().to_string())]))
            .collect())
    }
}
guests::export!(Trap: describe, lifecycle, after_accept);
