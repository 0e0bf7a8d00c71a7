//! The process of an installation that runs flows in the background, and what it says.

use std::io::{Read, Write};
use std::net::TcpStream;

use flow_testkit::Flow;
use rustix::process::Signal;

/// Its id, if one lives.
pub fn pid(flow: &Flow) -> Option<i32> {
    let text = std::fs::read_to_string(flow.state_dir().join("flow.lock")).ok()?;
    let pid: i32 = text.trim().parse().ok()?;
    is_alive(pid).then_some(pid)
}

/// Whether a process is there and no zombie.
pub fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}

/// `kill -9`.
pub fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

/// Sends a signal; who is gone can't be reached.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The log of a flow, or of the process (`flow`).
pub fn log(flow: &Flow, name: &str) -> String {
    let path = flow.state_dir().join(format!("log/{name}.log"));
    std::fs::read_to_string(path).unwrap_or_default()
}

/// What it answers where it tells its metrics, with the head of the answer.
///
/// # Panics
/// When it tells them nowhere.
#[track_caller]
pub fn ask(flow: &Flow, path: &str) -> String {
    let log = log(flow, "flow");
    let (_, rest) = log.split_once("metrics at http://").expect("it is told");
    let (address, _) = rest.split_once('/').expect("a path follows");
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it is heard");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    answer
}
