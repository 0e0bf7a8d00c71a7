//! Connections, played from what went over them.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use flow_runtime::ports::Failure;
use serde_json::Value;

use super::compare;
use super::player::Player;
use crate::outside::{Failed, Peer};
use crate::record::form;

/// What went over one connection.
#[derive(Default)]
pub(super) struct Tape {
    pub(super) peer: String,
    reads: VecDeque<Read>,
    tls: VecDeque<Option<Failed>>,
    /// What was written in this call, then and now.
    then: Vec<u8>,
    now: Vec<u8>,
    /// How writing ended, once it did.
    write_fails: Option<Failed>,
    closed: bool,
    /// It was read further than in the recording.
    over: bool,
    /// It was used in this call.
    used: bool,
}

enum Read {
    Data(Vec<u8>, usize),
    Closed,
    Fails(Failed),
}

impl Tape {
    /// Adds what happened next.
    pub(super) fn add(&mut self, event: &Value) {
        let fails = event.get("fails").and_then(form::read_failed);
        if let Some(read) = event.get("read").and_then(form::read_bytes) {
            self.reads.push_back(Read::Data(read, 0));
        } else if let Some(wrote) = event.get("wrote").and_then(form::read_bytes) {
            self.then.extend_from_slice(&wrote);
        } else if event.get("closed").is_some() {
            self.reads.push_back(Read::Closed);
        } else if event.get("startTls").is_some() {
            self.tls.push_back(fails);
        } else if let Some(failed) = event.get("writeFails").and_then(form::read_failed) {
            self.write_fails = Some(failed);
        } else if let Some(failed) = fails {
            self.reads.push_back(Read::Fails(failed));
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self) {
        self.then.clear();
        self.now.clear();
        self.over = false;
        self.used = false;
    }

    /// A call ended: where it went another way.
    pub(super) fn end(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.then.is_empty() || self.used {
            let what = format!("wrote to {}", self.peer);
            found.extend(compare::bytes(&what, &self.then, &self.now));
        }
        if self.over {
            found.push(format!(
                "read more from {} than in the recording",
                self.peer
            ));
        }
        found
    }

    fn read(&mut self, max: usize) -> Result<Vec<u8>, Failed> {
        self.used = true;
        match self.reads.front_mut() {
            _ if self.closed => Ok(Vec::new()),
            Some(Read::Data(data, at)) => {
                let end = data.len().min(*at + max);
                let read = data[*at..end].to_vec();
                *at = end;
                if end == data.len() {
                    self.reads.pop_front();
                }
                Ok(read)
            }
            Some(Read::Closed) => {
                self.closed = true;
                Ok(Vec::new())
            }
            Some(Read::Fails(_)) => match self.reads.pop_front() {
                Some(Read::Fails(failed)) => Err(failed),
                _ => Ok(Vec::new()),
            },
            None => {
                self.over = true;
                let text = format!("the recording has nothing more from `{}` here", self.peer);
                Err(Failure::temporary(text).into())
            }
        }
    }
}

/// A connection of the recording.
pub(super) struct PlayedPeer {
    pub(super) player: Arc<Player>,
    pub(super) number: u64,
}

#[async_trait]
impl Peer for PlayedPeer {
    async fn read(&mut self, max: usize) -> Result<Vec<u8>, Failed> {
        let mut script = self.player.script();
        script.tapes.entry(self.number).or_default().read(max)
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Failed> {
        let mut script = self.player.script();
        let tape = script.tapes.entry(self.number).or_default();
        tape.used = true;
        tape.now.extend_from_slice(data);
        match &tape.write_fails {
            Some(failed) if tape.now.len() >= tape.then.len() => Err(failed.clone()),
            _ => Ok(()),
        }
    }

    async fn start_tls(&mut self) -> Result<(), Failed> {
        let mut script = self.player.script();
        let tape = script.tapes.entry(self.number).or_default();
        match tape.tls.pop_front() {
            Some(None) => Ok(()),
            Some(Some(failed)) => Err(failed),
            None => {
                let what = format!("turned to TLS with {}", tape.peer);
                script.differs(format!("{what}, which it did not in the recording"));
                Ok(())
            }
        }
    }
}
