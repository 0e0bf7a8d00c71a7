//! `line`: a helper on stdin and stdout, and at a socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Instant;

use flow_testkit::Flow;

use crate::{SOON, stop, until, with_plugin};

const FLOW: &str = "callbacks: [helper]\n";

/// A running helper.
struct Helper {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Helper {
    #[track_caller]
    fn start(flow: &Flow) -> Self {
        let mut command = flow.command(&["helper", "flow/lines"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("asked for"));
        Self { child, out }
    }

    fn say(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("it is open");
        stdin.write_all(text.as_bytes()).expect("it reads");
    }

    #[track_caller]
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("it writes");
        assert!(line.ends_with('\n'), "a whole line: {line:?}");
        line.trim_end().to_owned()
    }

    /// Closes stdin; the rest of its output, and what it said on stderr.
    #[track_caller]
    fn close(mut self) -> (String, String) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("it ends");
        let mut talk = String::new();
        let mut err = self.child.stderr.take().expect("asked for");
        err.read_to_string(&mut talk).expect("text");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(0), "{talk}");
        (rest, talk)
    }
}

#[track_caller]
fn scene(text: &str) -> Flow {
    let flow = with_plugin("helper");
    flow.add_flow("flow/lines", text);
    flow
}

#[test]
fn lines_are_answered_at_once_and_later() {
    let flow = scene(FLOW);
    let mut helper = Helper::start(&flow);
    helper.say("ping\n");
    assert_eq!(helper.hear(), "pong");
    helper.say("1 first\r\n");
    assert_eq!(helper.hear(), "1 OK first");
    helper.say("what\ntrap\n\n2 second\n");
    // An empty line is a line, and a trap costs its own. They are worked on at the same time.
    let mut three = [helper.hear(), helper.hear(), helper.hear()];
    three.sort();
    assert_eq!(three, ["* what is ``?", "* what is `what`?", "2 OK second"]);
    let (rest, talk) = helper.close();
    assert_eq!(
        (rest.as_str(), talk.as_str()),
        ("", ""),
        "nothing but protocol"
    );
    let log = flow.run(&["log", "flow/lines"]).stdout;
    assert!(log.contains("the helper fell over"), "{log}");
}

#[test]
fn pending_answers_are_written_after_the_end_of_input() {
    let flow = scene(FLOW);
    let mut helper = Helper::start(&flow);
    let lines: String = (0..200).map(|number| format!("{number} text\n")).collect();
    helper.say(&lines);
    let (rest, _) = helper.close();
    let mut answers: Vec<&str> = rest.lines().collect();
    answers.sort_unstable();
    let mut expected: Vec<String> = (0..200).map(|number| format!("{number} OK text")).collect();
    expected.sort_unstable();
    assert_eq!(answers, expected);
}

#[test]
fn what_was_taken_is_answered_before_the_end() {
    let flow = scene(FLOW);
    let mut helper = Helper::start(&flow);
    let lines: String = (0..200).map(|number| format!("{number} text\n")).collect();
    helper.say(&lines);
    let first = helper.hear();
    let pid = rustix::process::Pid::from_child(&helper.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    // Its standard input stays open: the signal is what ends it.
    let mut rest = String::new();
    helper.out.read_to_string(&mut rest).expect("it ends");
    assert_eq!(helper.child.wait().expect("it ends").code(), Some(0));
    let mut answers: Vec<&str> = rest.lines().chain([first.as_str()]).collect();
    let count = answers.len();
    answers.sort_unstable();
    answers.dedup();
    assert_eq!(answers.len(), count, "each once");
    assert!(
        answers.iter().all(|line| line.ends_with(" OK text")),
        "{answers:?}"
    );
    let left = flow.run(&["foreground", "flow/lines", "--once"]).expect(0);
    assert!(
        !left.stderr.contains("text"),
        "nothing is left: {}",
        left.stderr
    );
}

#[test]
fn answers_to_lines_of_a_killed_helper_go_to_nobody() {
    let flow = scene("callbacks: [helper]\nmessageRateMax: 1\n");
    let mut helper = Helper::start(&flow);
    helper.say("ping\n");
    assert_eq!(helper.hear(), "pong");
    let lines: String = (0..50).map(|number| format!("{number} old\n")).collect();
    helper.say(&lines);
    // So many are safe by then.
    helper.hear();
    helper.child.kill().expect("it runs");
    helper.child.wait().expect("it ends");
    flow.add_flow("flow/lines", FLOW);
    let mut again = Helper::start(&flow);
    again.say("1 new\n");
    let (rest, _) = again.close();
    assert_eq!(rest, "1 OK new\n");
    let left = flow.run(&["foreground", "flow/lines", "--once"]).expect(0);
    assert!(!left.stderr.contains("old"), "{}", left.stderr);
}

#[test]
fn many_lines_with_fifty_outstanding_keep_up() {
    const COUNT: usize = 2_000;
    let flow = scene(FLOW);
    let mut helper = Helper::start(&flow);
    helper.say("ping\n");
    helper.hear();
    let started = Instant::now();
    let (mut sent, mut answered) = (0, 0);
    while answered < COUNT {
        while sent < COUNT && sent - answered < 50 {
            helper.say(&format!("{sent} text\n"));
            sent += 1;
        }
        assert!(helper.hear().ends_with(" OK text"));
        answered += 1;
    }
    let rate = COUNT as f64 / started.elapsed().as_secs_f64();
    println!("{rate:.0} lines/s with 50 outstanding");
    let (rest, _) = helper.close();
    assert_eq!(rest, "");
}

#[test]
fn a_flow_without_lines_is_no_helper_and_one_runs_once() {
    let flow = with_plugin("desk");
    flow.add_flow(
        "flow/lines",
        "listen: http://127.0.0.1:0/\ncallbacks: [desk]\n",
    );
    let refused = flow.run(&["helper", "flow/lines"]).expect(2);
    assert!(
        refused.stderr.contains("`flow/lines` is no helper"),
        "{}",
        refused.stderr
    );
    let flow = scene(FLOW);
    // The background leaves it to the program that needs it.
    flow.run(&["start", "flow/lines"]).expect(0);
    until("it is left alone", || {
        flow.run(&["status", "flow/lines"])
            .stdout
            .contains("stopped")
    });
    let mut helper = Helper::start(&flow);
    helper.say("ping\n");
    helper.hear();
    let second = flow.run(&["helper", "flow/lines"]).expect(2);
    assert!(
        second.stdout.is_empty() && second.stderr.contains("running"),
        "{}",
        second.stderr
    );
    helper.close();
    flow.run(&["stop"]).expect(0);
}

#[test]
fn each_connection_to_a_socket_is_a_peer_of_its_own() {
    let flow = scene("callbacks: [helper]\nlisten: unix:${HOME}/lines.sock\n");
    let path = flow.path("lines.sock");
    // Left by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let mut running = flow.spawn(&["foreground", "flow/lines"]);
    running.wait_for("Listening.", SOON);
    let connect = || {
        let stream = UnixStream::connect(&path).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        BufReader::new(stream)
    };
    let hear = |from: &mut BufReader<UnixStream>| {
        let mut line = String::new();
        from.read_line(&mut line).expect("it writes");
        line.trim_end().to_owned()
    };
    let (mut one, mut other) = (connect(), connect());
    one.get_mut().write_all(b"1 from one\n").expect("it reads");
    other
        .get_mut()
        .write_all(b"1 from other\n")
        .expect("it reads");
    assert_eq!(hear(&mut other), "1 OK from other");
    assert_eq!(hear(&mut one), "1 OK from one");
    // One that has no more to say still gets its answers.
    one.get_mut().write_all(b"2 last\n").expect("it reads");
    one.get_mut()
        .shutdown(std::net::Shutdown::Write)
        .expect("it is open");
    assert_eq!(hear(&mut one), "2 OK last");
    drop(one);
    other.get_mut().write_all(b"2 more\n").expect("it reads");
    assert_eq!(hear(&mut other), "2 OK more");
    // What is in hand when the flow ends is answered.
    other
        .get_mut()
        .write_all(b"3 end\nping\n")
        .expect("it reads");
    assert_eq!(hear(&mut other), "pong");
    stop(running);
    assert_eq!(hear(&mut other), "3 OK end");
    assert!(!path.exists());
    until("the end", || hear(&mut other).is_empty());
}
