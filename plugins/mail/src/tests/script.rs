//! A server that plays a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_plugin::testing::{Host, Peer};
use flow_plugin::{Failure, Result, Security};

/// One step: the server says something, expects a line, or does something odd.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Say(Vec<u8>),
    /// The client's next line; `{tag}` is whatever tag it uses.
    Expect(String),
    /// The next read fails.
    Fail(Failure),
    /// Silence: the next read fails after the client's timeout, which has to be a short one.
    Mute,
    /// The connection goes to TLS.
    Tls,
    Close,
}

pub(crate) fn say(text: impl AsRef<[u8]>) -> Step {
    Step::Say(text.as_ref().to_vec())
}

pub(crate) fn expect(line: &str) -> Step {
    Step::Expect(line.to_owned())
}

/// A command of IMAP and its answer; `{tag}` in the answer is the tag of the command.
pub(crate) fn imap(command: &str, answer: &str) -> Vec<Step> {
    vec![Step::Expect(format!("{{tag}} {command}")), say(answer)]
}

/// A command of POP3 and its answer.
pub(crate) fn pop(command: &str, answer: &str) -> Vec<Step> {
    vec![expect(command), say(answer)]
}

/// The connections a server will see, in order; shared with the test, which asks what is left.
pub(crate) type Scripts = Arc<Mutex<VecDeque<Vec<Step>>>>;

struct Player {
    steps: VecDeque<Step>,
    typed: Vec<u8>,
    tag: String,
    /// Bytes per read, to cut answers anywhere.
    cut: usize,
    left: Arc<Mutex<usize>>,
    timeout: Option<Duration>,
}

impl Player {
    fn hear(&mut self) {
        while let Some(end) = self.typed.windows(2).position(|pair| pair == b"\r\n") {
            let line = String::from_utf8_lossy(&self.typed[..end]).into_owned();
            self.typed.drain(..end + 2);
            // Pipelined commands are heard before the answers to earlier ones were read.
            let next = self
                .steps
                .iter()
                .position(|step| matches!(step, Step::Expect(_)));
            let Some(at) = next else {
                panic!("the client said `{line}` after the script's end")
            };
            let Some(Step::Expect(expected)) = self.steps.remove(at) else {
                unreachable!("found above")
            };
            let mut heard = line.clone();
            if let Some(rest) = expected.strip_prefix("{tag} ") {
                let (tag, said) = line.split_once(' ').unwrap_or((&line, ""));
                self.tag = tag.to_owned();
                heard = said.to_owned();
                assert_eq!(heard, rest, "the client's command");
            } else {
                assert_eq!(heard, expected, "the client's line");
            }
            let tag = self.tag.clone();
            // The answers that follow are to this command.
            for step in self.steps.iter_mut().skip(at) {
                match step {
                    Step::Say(bytes) => {
                        if let Some(found) = memchr::memmem::find(bytes, b"{tag}") {
                            bytes.splice(found..found + 5, tag.bytes());
                        }
                    }
                    Step::Expect(_) => break,
                    _ => {}
                }
            }
        }
        self.count();
    }

    fn count(&self) {
        *self.left.lock().expect("no panics while held") = self.steps.len();
    }
}

impl Peer for Player {
    fn read(&mut self, max: usize) -> Result<Vec<u8>> {
        let result = match self.steps.pop_front() {
            Some(Step::Say(mut bytes)) => {
                assert!(
                    !bytes.windows(5).any(|window| window == b"{tag}"),
                    "an answer before its command: {}",
                    String::from_utf8_lossy(&bytes)
                );
                let rest = bytes.split_off(bytes.len().min(max).min(self.cut));
                if !rest.is_empty() {
                    self.steps.push_front(Step::Say(rest));
                }
                Ok(bytes)
            }
            Some(Step::Fail(failure)) => Err(failure),
            Some(Step::Mute) => {
                let timeout = self.timeout.expect("the flow's own `timeout` is too long");
                assert!(timeout <= Duration::from_secs(10), "{timeout:?} of silence");
                Err(Failure::temporary("timed out"))
            }
            Some(Step::Close) | None => Ok(Vec::new()),
            Some(step @ (Step::Expect(_) | Step::Tls)) => {
                panic!("the client waits where the script has {step:?}")
            }
        };
        self.count();
        result
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.typed.extend_from_slice(data);
        self.hear();
        Ok(())
    }

    fn start_tls(&mut self) -> Result<()> {
        assert!(
            matches!(self.steps.pop_front(), Some(Step::Tls)),
            "TLS where the script has none"
        );
        Ok(())
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }
}

/// A host whose connections play scripts.
pub(crate) struct Stage {
    pub(crate) host: std::rc::Rc<std::cell::RefCell<Host>>,
    scripts: Scripts,
    left: Arc<Mutex<usize>>,
    /// Where the plugin connected to.
    pub(crate) dialled: Arc<Mutex<Vec<(String, u16, Security)>>>,
}

impl Stage {
    /// Plays `scripts`, one per connection, in pieces of `cut` bytes.
    pub(crate) fn new(url: &str, cut: usize, scripts: Vec<Vec<Step>>) -> Self {
        let scripts: Scripts = Arc::new(Mutex::new(scripts.into()));
        let left = Arc::new(Mutex::new(0));
        let dialled = Arc::new(Mutex::new(Vec::new()));
        let mut host = Host::default().with_credential(url, "me", "pass word");
        let (queue, counter, calls) = (
            Arc::clone(&scripts),
            Arc::clone(&left),
            Arc::clone(&dialled),
        );
        host.dial = Box::new(move |host, port, security| {
            calls
                .lock()
                .expect("one thread")
                .push((host.to_owned(), port, security));
            match queue.lock().expect("one thread").pop_front() {
                Some(steps) => Ok(Box::new(Player {
                    steps: steps.into(),
                    typed: Vec::new(),
                    tag: String::new(),
                    cut,
                    left: Arc::clone(&counter),
                    timeout: None,
                })),
                None => Err(Failure::temporary("nobody listens")),
            }
        });
        Self {
            host: host.install(),
            scripts,
            left,
            dialled,
        }
    }

    /// Every script was played to its end.
    #[track_caller]
    pub(crate) fn over(&self) {
        assert!(
            self.scripts.lock().expect("one thread").is_empty(),
            "connections were not made"
        );
        assert_eq!(
            *self.left.lock().expect("one thread"),
            0,
            "steps were not played"
        );
    }

    pub(crate) fn content(&self, id: u64) -> Option<Vec<u8>> {
        self.host.borrow().content.get(&id).cloned()
    }

    /// Everything the plugin said to people, for looking for secrets.
    pub(crate) fn logged(&self) -> String {
        self.host
            .borrow()
            .logged
            .iter()
            .map(|(_, text)| format!("{text}\n"))
            .collect()
    }
}
