//! Content and state, real and written down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_message::Timestamp;
use flow_runtime::ports::{self, ContentReader, ContentWriter, Failure};
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};

use super::{Instance, form};

/// Bytes kept of content that is read.
pub(crate) const MOST: u64 = 16 << 20;
/// Bytes kept of content that is written.
const HEAD: usize = 1 << 10;

pub(super) struct State {
    pub(super) real: Arc<dyn ports::State>,
    pub(super) instance: Arc<Instance>,
}

impl ports::State for State {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let answer = self.real.get(key);
        let mut line = json!({ "state": "get", "key": key });
        match &answer {
            Ok(value) => line["gives"] = json!(value.as_deref().map(form::bytes)),
            Err(failure) => line["fails"] = form::failure(failure),
        }
        self.instance.note(line);
        answer
    }

    fn put(&self, key: &str, value: Option<Vec<u8>>, ttl: Option<Duration>) -> Result<(), Failure> {
        let mut line = json!({
            "state": "put",
            "key": key,
            "value": value.as_deref().map(form::bytes),
            "ttlMs": ttl.map(form::millis),
        });
        let answer = self.real.put(key, value, ttl);
        if let Err(failure) = &answer {
            line["fails"] = form::failure(failure);
        }
        self.instance.note(line);
        answer
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>, Failure> {
        let answer = self.real.list(prefix, after, limit);
        let mut line = json!({ "state": "list", "prefix": prefix, "after": after, "limit": limit });
        match &answer {
            Ok(keys) => line["gives"] = json!(keys),
            Err(failure) => line["fails"] = form::failure(failure),
        }
        self.instance.note(line);
        answer
    }
}

/// What was written in a call, by handle.
pub(crate) type Shelf = Arc<Mutex<BTreeMap<u64, Value>>>;

pub(super) struct Content {
    pub(super) real: Arc<dyn ports::Content>,
    pub(super) instance: Arc<Instance>,
    pub(super) shelf: Shelf,
}

impl Content {
    /// The content as a replay will have it, read beside what the guest reads.
    fn copy(&self, id: u64) -> Result<(Vec<u8>, u64), Failure> {
        let (mut reader, size) = self.real.open(id)?;
        let mut copy = Vec::new();
        while (copy.len() as u64) < MOST {
            let data = reader.read(64 << 10)?;
            if data.is_empty() {
                break;
            }
            copy.extend_from_slice(&data);
        }
        Ok((copy, size))
    }

    fn writer(&self, line: Value, writer: Box<dyn ContentWriter>) -> Box<dyn ContentWriter> {
        Box::new(Writer {
            real: writer,
            sum: Sum::new(),
            line,
            instance: Arc::clone(&self.instance),
            shelf: Arc::clone(&self.shelf),
        })
    }
}

impl ports::Content for Content {
    fn open(&self, id: u64) -> Result<(Box<dyn ContentReader>, u64), Failure> {
        let opened = self.real.open(id);
        let copied = match &opened {
            Ok(_) => self.copy(id),
            Err(failure) => Err(failure.clone()),
        };
        self.instance.note(match copied {
            Ok((copy, size)) => json!({
                "open": id,
                "size": size,
                "content": form::bytes(&self.instance.scrubber().clean(&copy)),
                "cut": copy.len() as u64 >= MOST && size > MOST,
            }),
            Err(failure) => json!({ "open": id, "fails": form::failure(&failure) }),
        });
        opened
    }

    fn create(&self, id: u64) -> Result<Box<dyn ContentWriter>, Failure> {
        let mut line = json!({ "create": id });
        match self.real.create(id) {
            Ok(writer) => Ok(self.writer(line, writer)),
            Err(failure) => {
                line["fails"] = form::failure(&failure);
                self.instance.note(line);
                Err(failure)
            }
        }
    }

    fn derive(
        &self,
        id: u64,
        rel_path: &str,
        content_type: Option<&str>,
    ) -> Result<Option<Box<dyn ContentWriter>>, Failure> {
        let mut line = json!({ "derive": id, "relPath": rel_path, "contentType": content_type });
        match self.real.derive(id, rel_path, content_type) {
            Ok(Some(writer)) => {
                // That it is wanted is known now; what was written follows.
                let mut wanted = line.clone();
                wanted["wanted"] = json!(true);
                self.instance.note(wanted);
                Ok(Some(self.writer(line, writer)))
            }
            Ok(None) => {
                line["wanted"] = json!(false);
                self.instance.note(line);
                Ok(None)
            }
            Err(failure) => {
                line["fails"] = form::failure(&failure);
                self.instance.note(line);
                Err(failure)
            }
        }
    }
}

/// What is kept of content that is written.
pub(crate) struct Sum {
    digest: Context,
    size: u64,
    head: Vec<u8>,
}

impl Sum {
    pub(crate) fn new() -> Self {
        Self {
            digest: Context::new(&SHA256),
            size: 0,
            head: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, data: &[u8]) {
        self.digest.update(data);
        self.size += data.len() as u64;
        let room = HEAD - self.head.len();
        self.head.extend_from_slice(&data[..data.len().min(room)]);
    }

    pub(crate) fn finish(self) -> Value {
        let digest = self.digest.finish();
        let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        json!({ "size": self.size, "sha256": hex, "head": form::bytes(&self.head) })
    }
}

struct Writer {
    real: Box<dyn ContentWriter>,
    sum: Sum,
    line: Value,
    instance: Arc<Instance>,
    shelf: Shelf,
}

impl ContentWriter for Writer {
    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.sum.add(data);
        self.real.write(data)
    }

    fn finish(self: Box<Self>) -> Result<u64, Failure> {
        let Self {
            real,
            sum,
            mut line,
            instance,
            shelf,
        } = *self;
        let finished = real.finish();
        match &finished {
            Ok(handle) => {
                let mut sum = sum.finish();
                instance.scrubber().clean_value(&mut sum);
                line["written"] = sum.clone();
                let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
                shelf.insert(*handle, sum);
            }
            Err(failure) => line["finishFails"] = form::failure(failure),
        }
        instance.note(line);
        finished
    }
}

/// A reader of what was recorded.
pub(crate) struct Copy {
    pub(crate) data: Vec<u8>,
    pub(crate) at: usize,
    /// What comes after it is not in the recording.
    pub(crate) cut: bool,
}

impl ContentReader for Copy {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        let end = self.data.len().min(self.at + max);
        if self.at == end && self.cut {
            return Err(Failure::temporary(format!(
                "the recording has the first {end} bytes of this content only"
            )));
        }
        let data = self.data[self.at..end].to_vec();
        self.at = end;
        Ok(data)
    }

    fn modified(&self) -> Option<Timestamp> {
        None
    }
}
