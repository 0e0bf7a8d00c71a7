//! A CommuniGate Pro server, as far as its filter helpers see one.
//!
//! It starts a helper as the server does, shakes hands, has queue files filtered with so many requests
//! outstanding, and does with each mail what the helper says. A helper that does not answer in time is
//! killed and started again, and what it had not answered is asked anew, with other numbers. It is as
//! strict as the server: what breaks the protocol is written down, and fails the test that looks.
//!
//! It sends no mail and reads no envelope. Facts are those of the vendor's guide to helpers.
//!
//! That others mean the same by the protocol is proven with a helper that was not made for it, the one
//! that comes with rspamd (`peers::RspamdHelper`). Of the others there are, CGPSA (which is SpamAssassin's)
//! and cgpav (ClamAV's) are in no package index, and the vendor's own come with its server.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of the longest response, its end included.
const LONGEST: usize = 4096;
/// A helper that ends so often before it has answered the handshake is no helper.
const STILLBORN: u32 = 10;
/// How long an idle server waits before it looks again.
const TICK: Duration = Duration::from_millis(20);

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct CommuniGateSetup {
    /// Version of the helper interface it speaks.
    pub interface: u32,
    /// Mails that are filtered at the same time.
    pub outstanding: usize,
    /// After so long without an answer a helper is killed.
    pub timeout: Duration,
    /// How long after its end a helper is started again.
    pub restart_pause: Duration,
    /// How long after `REJECTED` a mail is offered again; none: not at all.
    pub again: Option<Duration>,
}

impl Default for CommuniGateSetup {
    fn default() -> Self {
        Self {
            interface: 4,
            outstanding: 50,
            // What people are told to set.
            timeout: Duration::from_secs(600),
            restart_pause: Duration::from_millis(50),
            again: None,
        }
    }
}

/// What became of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, with these header lines.
    Passed(Vec<String>),
    /// Dropped.
    Dropped,
    /// Returned to its sender.
    Bounced(String),
    /// Stays in the queue.
    Kept(String),
    /// Goes on as if nobody had been asked.
    Unfiltered,
}

/// What happened.
#[derive(Debug, Default)]
pub struct CommuniGateReport {
    /// What became of each queue file, every time it was answered.
    pub verdicts: BTreeMap<String, Vec<Verdict>>,
    /// How long each answer took, from the request it answers.
    pub latencies: Vec<(String, Duration)>,
    /// What broke the protocol.
    pub violations: Vec<String>,
    /// Informational lines.
    pub said: Vec<String>,
    /// Responses to other commands, in order.
    pub responses: Vec<String>,
    /// What the helpers wrote to stderr, where they must not.
    pub stderr: String,
    /// How often a helper was started.
    pub starts: u32,
    /// Helpers killed because they did not answer in time.
    pub timeouts: u32,
    /// The exit code of the last helper; none after a signal.
    pub exit: Option<i32>,
}

enum Event {
    Offer(String),
    Say(String),
    Kill,
    Close { quit: bool },
    Line(u32, Vec<u8>),
    Ended(u32),
    Talk(String),
}

/// A running server.
#[derive(Debug)]
pub struct CommuniGate {
    base: PathBuf,
    events: Sender<Event>,
    answers: Receiver<(String, Verdict)>,
    server: Option<JoinHandle<CommuniGateReport>>,
}

impl CommuniGate {
    /// Starts a server whose base directory is `base`, and the helper `command` makes: it is run there.
    pub fn start(
        base: &Path,
        setup: CommuniGateSetup,
        command: impl FnMut() -> Command + Send + 'static,
    ) -> Self {
        fs::create_dir_all(base.join("Queue")).expect("the base directory is writable");
        let (events, inbox) = channel();
        let (told, answers) = channel();
        let server = Server {
            setup,
            base: base.to_owned(),
            command: Box::new(command),
            events: events.clone(),
            told,
            queue: VecDeque::new(),
            later: Vec::new(),
            pending: HashMap::new(),
            helper: None,
            starts: 0,
            sequence: 0,
            restart_at: Some(Instant::now()),
            closing: false,
            stillborn: 0,
            report: CommuniGateReport::default(),
        };
        Self {
            base: base.to_owned(),
            events,
            answers,
            server: Some(std::thread::spawn(move || server.run(&inbox))),
        }
    }

    /// Puts a queue file there, and has it filtered. Returns its name below the base directory.
    pub fn mail(&self, name: &str, content: &[u8]) -> String {
        let file = format!("Queue/{name}.msg");
        let path = self.base.join(&file);
        let parent = path.parent().expect("it has a directory");
        fs::create_dir_all(parent).expect("the base directory is writable");
        fs::write(&path, content).expect("the base directory is writable");
        self.offer(&file);
        file
    }

    /// Has a queue file filtered, whether it is there or not.
    pub fn offer(&self, file: &str) {
        self.send(Event::Offer(file.to_owned()));
    }

    /// Sends a command as it stands, with a number in front.
    pub fn say(&self, command: &str) {
        self.send(Event::Say(command.to_owned()));
    }

    /// `kill -9` of the helper.
    pub fn kill_helper(&self) {
        self.send(Event::Kill);
    }

    fn send(&self, event: Event) {
        // A server that panicked is noticed when it is closed.
        let _ = self.events.send(event);
    }

    /// The next answer.
    ///
    /// # Panics
    /// When none comes within `limit`.
    #[track_caller]
    pub fn answer(&self, limit: Duration) -> (String, Verdict) {
        let answer = self.answers.recv_timeout(limit);
        answer.unwrap_or_else(|_| panic!("no mail was answered within {limit:?}"))
    }

    /// The next `count` answers, by queue file; of several for one file the last.
    ///
    /// # Panics
    /// When one of them does not come within `limit` of the one before.
    #[track_caller]
    pub fn answers(&self, count: usize, limit: Duration) -> BTreeMap<String, Verdict> {
        (0..count).map(|_| self.answer(limit)).collect()
    }

    /// Says `QUIT`, leaves stdin open, and waits until the helper has ended.
    ///
    /// # Panics
    /// When the server did.
    pub fn quit(self) -> CommuniGateReport {
        self.end(true)
    }

    /// Closes the helper's stdin, and waits until it has ended.
    ///
    /// # Panics
    /// When the server did.
    pub fn close(self) -> CommuniGateReport {
        self.end(false)
    }

    fn end(mut self, quit: bool) -> CommuniGateReport {
        self.send(Event::Close { quit });
        let server = self.server.take().expect("it ends once");
        server.join().expect("the server does not panic")
    }
}

impl Drop for CommuniGate {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.send(Event::Close { quit: false });
            self.send(Event::Kill);
            let _ = server.join();
        }
    }
}

struct Server {
    setup: CommuniGateSetup,
    base: PathBuf,
    command: Box<dyn FnMut() -> Command + Send>,
    events: Sender<Event>,
    told: Sender<(String, Verdict)>,
    queue: VecDeque<String>,
    /// Offered again at a time.
    later: Vec<(Instant, String)>,
    /// By number: the queue file, if it is about one, and since when.
    pending: HashMap<u64, (Option<String>, Instant)>,
    helper: Option<Helper>,
    starts: u32,
    sequence: u64,
    restart_at: Option<Instant>,
    closing: bool,
    /// Helpers in a row that ended before the handshake.
    stillborn: u32,
    report: CommuniGateReport,
}

struct Helper {
    child: Child,
    stdin: Option<ChildStdin>,
    /// The number of the handshake, until it is answered.
    greeting: Option<u64>,
    interface: u32,
}

impl Server {
    fn run(mut self, inbox: &Receiver<Event>) -> CommuniGateReport {
        loop {
            self.turn();
            match inbox.recv_timeout(TICK) {
                Ok(event) => {
                    if self.take(event) {
                        return self.report;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.report,
            }
        }
    }

    /// Does what is due.
    fn turn(&mut self) {
        let now = Instant::now();
        if self.helper.is_none() && !self.closing && self.restart_at.is_some_and(|at| at <= now) {
            self.launch();
        }
        let due: Vec<usize> = (0..self.later.len())
            .filter(|at| self.later[*at].0 <= now)
            .collect();
        for at in due.into_iter().rev() {
            let (_, file) = self.later.swap_remove(at);
            self.queue.push_back(file);
        }
        let late = |since: &Instant| now.duration_since(*since) > self.setup.timeout;
        if self.helper.is_some() && self.pending.values().any(|(_, since)| late(since)) {
            self.report.timeouts += 1;
            self.kill();
        }
        while self.is_greeted()
            && self.pending.len() < self.setup.outstanding
            && let Some(file) = self.queue.pop_front()
        {
            self.tell(&format!("FILE {file}"), Some(file));
        }
    }

    fn is_greeted(&self) -> bool {
        self.helper
            .as_ref()
            .is_some_and(|helper| helper.greeting.is_none() && helper.stdin.is_some())
    }

    fn launch(&mut self) {
        self.starts += 1;
        self.report.starts += 1;
        self.restart_at = None;
        self.sequence = 0;
        let mut command = (self.command)();
        command
            .current_dir(&self.base)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the helper can be started");
        let (number, events) = (self.starts, self.events.clone());
        let out = child.stdout.take().expect("asked for");
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            let mut line = Vec::new();
            while out
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                let _ = events.send(Event::Line(number, std::mem::take(&mut line)));
            }
            let _ = events.send(Event::Ended(number));
        });
        let (mut err, events) = (child.stderr.take().expect("asked for"), self.events.clone());
        std::thread::spawn(move || {
            let mut talk = Vec::new();
            let _ = err.read_to_end(&mut talk);
            if !talk.is_empty() {
                let _ = events.send(Event::Talk(String::from_utf8_lossy(&talk).into_owned()));
            }
        });
        let stdin = child.stdin.take();
        let interface = self.setup.interface;
        self.helper = Some(Helper {
            child,
            stdin,
            greeting: None,
            interface,
        });
        self.tell(&format!("INTF {interface}"), None);
        if let Some(helper) = &mut self.helper {
            helper.greeting = Some(self.sequence);
        }
    }

    /// Sends a command with the next number.
    fn tell(&mut self, command: &str, file: Option<String>) {
        self.sequence += 1;
        let line = format!("{} {command}\n", self.sequence);
        self.pending.insert(self.sequence, (file, Instant::now()));
        if let Some(stdin) = self
            .helper
            .as_mut()
            .and_then(|helper| helper.stdin.as_mut())
        {
            // Its end is noticed elsewhere.
            let _ = stdin.write_all(line.as_bytes());
        }
    }

    fn kill(&mut self) {
        if let Some(helper) = &mut self.helper {
            let _ = helper.child.kill();
        }
    }

    /// Says whether this was the end.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Offer(file) => self.queue.push_back(file),
            Event::Say(command) => self.tell(&command, None),
            Event::Kill => self.kill(),
            Event::Close { quit } => {
                self.closing = true;
                if self.helper.is_none() {
                    return true;
                }
                if quit {
                    self.tell("QUIT", None);
                } else if let Some(helper) = &mut self.helper {
                    helper.stdin = None;
                }
            }
            Event::Line(number, line) if number == self.starts => self.hear(&line),
            Event::Line(..) => self.violation("a line of a helper that is gone"),
            Event::Ended(number) if number == self.starts => return self.ended(),
            Event::Ended(_) => {}
            Event::Talk(talk) => self.report.stderr.push_str(&talk),
        }
        false
    }

    /// The helper has ended: what it has not answered is asked again.
    fn ended(&mut self) -> bool {
        if let Some(mut helper) = self.helper.take() {
            drop(helper.stdin.take());
            self.stillborn = match helper.greeting {
                Some(_) => self.stillborn + 1,
                None => 0,
            };
            assert!(
                self.stillborn < STILLBORN,
                "the helper ends before the handshake; it said: {}",
                self.report.stderr
            );
            self.report.exit = helper.child.wait().ok().and_then(|status| status.code());
        }
        let mut pending: Vec<(u64, Option<String>)> = self
            .pending
            .drain()
            .map(|(number, (file, _))| (number, file))
            .collect();
        pending.sort_unstable();
        for (_, file) in pending.into_iter().rev() {
            if let Some(file) = file {
                self.queue.push_front(file);
            }
        }
        self.restart_at = Some(Instant::now() + self.setup.restart_pause);
        self.closing
    }

    fn violation(&mut self, what: impl Into<String>) {
        self.report.violations.push(what.into());
    }

    fn hear(&mut self, line: &[u8]) {
        if line.len() > LONGEST {
            self.violation(format!("a line of {} bytes", line.len()));
        }
        if !line.ends_with(b"\n") {
            return self.violation("a line without its end");
        }
        let Ok(text) = std::str::from_utf8(line) else {
            return self.violation("a line that is no UTF-8");
        };
        let text = text.trim_end_matches(['\n', '\r']);
        if text.starts_with('*') {
            return self.report.said.push(text.to_owned());
        }
        let (number, rest) = text.split_once(' ').unwrap_or((text, ""));
        let known = number
            .parse()
            .ok()
            .and_then(|number: u64| Some((number, self.pending.remove(&number)?)));
        let Some((number, (file, since))) = known else {
            return self.violation(format!("nobody asked for `{text}`"));
        };
        let helper = self.helper.as_mut().expect("it has just said something");
        if helper.greeting == Some(number) {
            helper.greeting = None;
            let version = rest
                .strip_prefix("INTF ")
                .and_then(|version| version.parse::<u32>().ok());
            match version {
                Some(version) => helper.interface = version.min(self.setup.interface),
                None => self.violation(format!("the handshake was answered with `{text}`")),
            }
            return;
        }
        let interface = helper.interface;
        let Some(file) = file else {
            return self.report.responses.push(text.to_owned());
        };
        let verdict = read(rest, interface).unwrap_or_else(|why| {
            self.violation(format!(
                "{why}: `{}`",
                text.chars().take(200).collect::<String>()
            ));
            Verdict::Unfiltered
        });
        self.report.latencies.push((file.clone(), since.elapsed()));
        if let (Verdict::Kept(_), Some(again)) = (&verdict, self.setup.again) {
            self.later.push((Instant::now() + again, file.clone()));
        }
        self.report
            .verdicts
            .entry(file.clone())
            .or_default()
            .push(verdict.clone());
        let _ = self.told.send((file, verdict));
    }
}

/// What a response means to a server that speaks this version of the interface.
fn read(response: &str, interface: u32) -> Result<Verdict, &'static str> {
    let (word, rest) = response.split_once(' ').unwrap_or((response, ""));
    Ok(match word {
        "OK" => Verdict::Passed(Vec::new()),
        "DISCARD" => Verdict::Dropped,
        "FAILURE" => Verdict::Unfiltered,
        "ERROR" => Verdict::Bounced(whole(rest)?),
        "REJECTED" => Verdict::Kept(whole(rest)?),
        "ADDHEADER" if interface >= 2 => {
            let (text, rest) = string(rest)?;
            match rest.trim() {
                "" => {}
                "OK" if interface >= 3 => {}
                _ => return Err("more words than this interface has"),
            }
            Verdict::Passed(text.split('\n').map(str::to_owned).collect())
        }
        "ADDHEADER" => return Err("a word this interface does not have"),
        _ => return Err("an unknown word"),
    })
}

fn whole(text: &str) -> Result<String, &'static str> {
    match string(text)? {
        (text, "") => Ok(text),
        _ => Err("more than a string"),
    }
}

/// Reads a quoted string; what follows it is returned too.
fn string(text: &str) -> Result<(String, &str), &'static str> {
    let rest = text.strip_prefix('"').ok_or("no string")?;
    let mut read = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((read, &rest[at + 1..])),
            '\\' => read.push(match chars.next() {
                Some((_, 'e' | 'n')) => '\n',
                Some((_, 'r')) => '\r',
                Some((_, 't')) => '\t',
                Some((_, c @ ('"' | '\\'))) => c,
                _ => return Err("an unknown escape"),
            }),
            c => read.push(c),
        }
    }
    Err("a string without its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_read_as_the_server_does() {
        for (response, interface, expected) in [
            ("OK", 1, Ok(Verdict::Passed(vec![]))),
            ("OK whatever", 4, Ok(Verdict::Passed(vec![]))),
            ("DISCARD", 1, Ok(Verdict::Dropped)),
            ("FAILURE", 1, Ok(Verdict::Unfiltered)),
            (
                r#"ERROR "a \"b\"""#,
                1,
                Ok(Verdict::Bounced("a \"b\"".into())),
            ),
            (r#"REJECTED "a""#, 1, Ok(Verdict::Kept("a".into()))),
            (
                r#"ADDHEADER "A: 1\eB: 2\e\tmore" OK"#,
                3,
                Ok(Verdict::Passed(vec![
                    "A: 1".into(),
                    "B: 2".into(),
                    "\tmore".into(),
                ])),
            ),
            (
                r#"ADDHEADER "A: 1""#,
                2,
                Ok(Verdict::Passed(vec!["A: 1".into()])),
            ),
            (
                r#"ADDHEADER "A: 1" OK"#,
                2,
                Err("more words than this interface has"),
            ),
            (
                r#"ADDHEADER "A: 1""#,
                1,
                Err("a word this interface does not have"),
            ),
            ("ADDHEADER A: 1", 4, Err("no string")),
            (r#"ERROR "a"#, 4, Err("a string without its end")),
            (r#"ERROR "\x""#, 4, Err("an unknown escape")),
            (r#"REJECT "a""#, 4, Err("an unknown word")),
            ("", 4, Err("an unknown word")),
        ] {
            assert_eq!(read(response, interface), expected, "{response}");
        }
    }

    /// A helper of a few lines, by nobody who knows this crate's.
    fn shell(script: &str) -> impl FnMut() -> Command + Send + 'static {
        let script = script.to_owned();
        move || {
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            command
        }
    }

    const SOON: Duration = Duration::from_secs(60);

    #[test]
    fn a_helper_is_greeted_asked_and_told_to_quit() {
        let home = tempfile::tempdir().unwrap();
        let script = r#"while read n verb rest; do case $verb in
            INTF) echo "$n INTF 3";; FILE) test -f "$rest" && echo "$n OK" || echo "$n NONSENSE";;
            QUIT) echo "$n OK"; exit 0;; *) echo "* $verb"; echo "$n FAILURE";; esac; done"#;
        let server = CommuniGate::start(home.path(), CommuniGateSetup::default(), shell(script));
        let file = server.mail("1", b"P <a@b>\n\nx");
        assert_eq!(server.answer(SOON), (file, Verdict::Passed(vec![])));
        server.offer("Queue/none.msg");
        assert_eq!(server.answer(SOON).1, Verdict::Unfiltered);
        server.say("KEY x");
        let report = server.quit();
        assert_eq!((report.starts, report.exit), (1, Some(0)));
        assert_eq!(report.violations, ["an unknown word: `3 NONSENSE`"]);
        assert_eq!(report.said, ["* KEY"]);
        assert_eq!(report.responses, ["4 FAILURE", "5 OK"]);
    }

    #[test]
    fn a_helper_that_does_not_answer_is_killed_and_what_waits_asked_again() {
        let home = tempfile::tempdir().unwrap();
        // The first one only greets.
        let script = r#"while read n verb rest; do case $verb in INTF) echo "$n INTF 4";;
            FILE) if test -e seen; then echo "$n OK"; else touch seen; fi;; esac; done"#;
        let setup = CommuniGateSetup {
            timeout: Duration::from_millis(300),
            ..Default::default()
        };
        let server = CommuniGate::start(home.path(), setup, shell(script));
        let file = server.mail("1", b"x");
        assert_eq!(server.answer(SOON), (file, Verdict::Passed(vec![])));
        let report = server.close();
        assert_eq!((report.starts, report.timeouts), (2, 1));
        assert_eq!(report.violations, [""; 0]);
    }
}
