//! Connects, again and again, and closes nothing.
use guests::connection::{Security, Stream, connect};
use guests::describe::{Grant, OptionKind};
use guests::*;
use std::cell::RefCell;
struct Greedy;
thread_local! {
    static HELD: RefCell<Vec<Stream>> = const { RefCell::new(Vec::new()) };
}
guests::describe!(
    Greedy,
    guests::describe::Manifest {
        options: vec![option("port", OptionKind::Text)],
        grants: vec![Grant::Connect],
        ..manifest("greedy")
    }
);
impl guests::lifecycle::Guest for Greedy {
    fn start(context: lifecycle::Context) -> Result<lifecycle::Started, Failure> {
        keep(&context);
        Ok(lifecycle::Started {
            max_instances: None,
        })
    }
    fn housekeeping() -> Result<(), Failure> {
        HELD.take();
        Ok(())
    }
    fn stop() {}
}
impl guests::gather::Guest for Greedy {
    fn gather(limit: u32) -> Result<gather::Gathered, Failure> {
        let port = kept("port").and_then(|port| port.parse().ok());
        for _ in 0..limit {
            let stream = connect("127.0.0.1", port.unwrap_or_default(), Security::Plain)?;
            HELD.with_borrow_mut(|held| held.push(stream));
        }
        Ok(gather::Gathered {
            messages: Vec::new(),
            more: false,
        })
    }
}
guests::export!(Greedy: describe, lifecycle, gather);
