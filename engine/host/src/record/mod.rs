//! Recordings: what the plugins of a flow were called with, what they asked of the world, and what
//! they answered.
//!
//! A recording is a text file, one JSON object per line, so that it can be read, searched and cut.
//! What it is for is [`replay`](crate::replay): the same calls again, with no network, no broker and
//! no credentials. The format, version 1:
//!
//! ```text
//! {"flowRecording":1,"by":"flow 0.1.0","at":TIME}       the first line
//! {"flow":NAME,"kind":…,"timeoutMs":…,"callbacks":[…]}  a run begins: the flow as far as plugins see it
//! {"instance":I,"callback":INDEX,"number":N,"seed":HEX} a callback instance of that run
//! {"call":N,"instance":I,"entryPoint":…,…}              a call: what it was given
//! {"in":N,…}                                            what happened in call N, in order
//! {"return":N,"ok":…} or {"return":N,"fails":…}         what it answered; microseconds in "us"
//! ```
//!
//! Within a call: `connect`, `read`, `wrote`, `startTls` (streams by number), `http`, `submit`,
//! `lineTo`, `credential`, `bearerToken`, `state`, `open`, `create`, `derive`, `wall`, `monotonic`,
//! `now`. Messages are as on
//! the wire; bytes are `{"text":…}` or `{"base64":…}`. Names that are not known are to be skipped.
//!
//! # Invariants
//! - Credentials are never in it: see [`scrub`].
//! - Recording changes nothing: what can't be written ends the recording, not the flow.
//! - Of content that is written the size, the fingerprint and the beginning are kept; of content that
//!   is read or sent by HTTP, 16 MiB.

mod callback;
pub(crate) mod content;
mod desk;
pub(crate) mod form;
mod peers;
pub(crate) mod scrub;
pub(crate) mod senses;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_config::{Flow, OptionValue, SafeUrl};
use flow_message::Timestamp;
use flow_runtime::ports::Callback;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::factory;
use crate::outside::{Again, Place, Real, World};

use callback::Recorded;
use scrub::Scrubber;

/// The version of the format.
pub(crate) const VERSION: u64 = 1;
/// Bytes of one direction that are put together into one line.
const TOGETHER: usize = 256 << 10;
/// What is held back of them, so that a secret in two parts is found.
const HELD_BACK: usize = 4 << 10;

/// Writes a recording.
pub struct Recorder {
    path: PathBuf,
    /// None once it can't be written.
    file: Mutex<Option<BufWriter<File>>>,
    scrubber: Scrubber,
    calls: AtomicU64,
    instances: AtomicU64,
}

impl Recorder {
    /// Starts the recording `path`, readable by its owner only. A recording that is there is
    /// written over; anything else is not.
    ///
    /// # Errors
    /// The file can't be written, or holds something else.
    pub fn create(path: &Path, now: Timestamp) -> Result<Arc<Self>, Error> {
        let unusable = |why: String| {
            let text = format!("the recording {} can't be written: {why}", path.display());
            Error::new("plugin/recording", text)
        };
        let failed = |error: std::io::Error| unusable(error.to_string());
        if path.exists() && !is_recording(path) {
            return Err(unusable("there is another file of this name".into())
                .hint("choose another name, or remove the file"));
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(failed)?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let recorder = Self {
            path: absolute,
            file: Mutex::new(Some(BufWriter::new(file))),
            scrubber: Scrubber::default(),
            calls: AtomicU64::new(0),
            instances: AtomicU64::new(0),
        };
        recorder.line(json!({
            "flowRecording": VERSION,
            "by": concat!("flow ", env!("CARGO_PKG_VERSION")),
            "at": now.to_string(),
        }));
        recorder.flush();
        Ok(Arc::new(recorder))
    }

    /// A run of `flow` begins.
    ///
    /// # Errors
    /// One of its plugins can't be loaded.
    pub fn begin(&self, flow: &Flow, catalogue: &Catalogue) -> Result<(), Error> {
        let mut callbacks = Vec::new();
        for spec in &flow.callbacks {
            let plugin = catalogue
                .plugin(&spec.plugin)
                .unwrap_or_else(|| Err(catalogue.unknown(&spec.plugin)))?;
            let options = spec.options.iter();
            let options: Map<String, Value> = options
                .map(|(name, value)| (name.clone(), self.option(value)))
                .collect();
            callbacks.push(json!({
                "plugin": spec.plugin,
                "sha256": plugin.sha256(),
                "limits": {
                    "deadlineMs": form::millis(spec.limits.deadline),
                    "memory": spec.limits.memory,
                    "output": spec.limits.output,
                },
                "options": options,
            }));
        }
        let urls = flow.own_urls.iter().map(SafeUrl::without_password);
        let directories = factory::directories(flow);
        let directories = directories.iter().map(|path| path.to_string_lossy());
        self.line(json!({
            "flow": flow.name.to_string(),
            "kind": flow.name.kind.to_string(),
            "timeoutMs": form::millis(flow.timeout),
            "downloads": flow.download,
            "pollUrl": flow.poll_url.as_ref().map(SafeUrl::without_password),
            "ownUrls": urls.collect::<Vec<_>>(),
            "allow": {
                "connect": flow.allow.connect,
                "http": flow.allow.http,
                "secrets": flow.allow.secrets,
            },
            "directories": directories.collect::<Vec<_>>(),
            "callbacks": callbacks,
        }));
        self.flush();
        Ok(())
    }

    /// An option without what is secret in it.
    fn option(&self, value: &OptionValue) -> Value {
        let clean = |text: &String| match SafeUrl::parse(text) {
            Ok(url) if url.expose().password().is_some() => {
                let mut url = url.expose().clone();
                let encoded = url.password().unwrap_or_default().to_owned();
                let plain = percent_encoding::percent_decode_str(&encoded).decode_utf8_lossy();
                let other = self.scrubber.stand_in(&plain);
                let _ = url.set_password(Some(&other));
                url.to_string()
            }
            _ => text.clone(),
        };
        form::option(&match value {
            OptionValue::Secret(secret) => OptionValue::Secret(flow_config::Secret::new(
                self.scrubber.stand_in(secret.expose()),
            )),
            OptionValue::Text(text) => OptionValue::Text(clean(text)),
            OptionValue::List(list) => OptionValue::List(list.iter().map(clean).collect()),
            other => other.clone(),
        })
    }

    /// How many calls were written down.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn file(&self) -> MutexGuard<'_, Option<BufWriter<File>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line, without what is secret in it.
    fn line(&self, mut value: Value) {
        self.scrubber.clean_value(&mut value);
        self.write(|file| {
            serde_json::to_writer(&mut *file, &value)?;
            file.write_all(b"\n")
        });
    }

    fn flush(&self) {
        self.write(|file| file.flush());
    }

    fn write(&self, work: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) {
        let mut file = self.file();
        if let Some(open) = file.as_mut()
            && let Err(error) = work(open)
        {
            tracing::error!(
                %error,
                "The recording {} can't be written and ends here; the flow goes on.",
                self.path.display()
            );
            *file = None;
        }
    }
}

/// Whether a file begins as a recording, or is empty.
fn is_recording(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut start = Vec::new();
    let read = std::io::Read::take(BufReader::new(file), 4096).read_until(b'\n', &mut start);
    read.is_ok() && (start.is_empty() || start.starts_with(b"{\"flowRecording\":"))
}

/// The recorder as a world: everything is real, and written down.
pub struct Recording(pub Arc<Recorder>);

impl World for Recording {
    fn place(&self, real: Real, make: &dyn Fn(Place) -> Box<dyn Callback>) -> Box<dyn Callback> {
        let recorder = &self.0;
        let mut seed = [0; 32];
        if SystemRandom::new().fill(&mut seed).is_err() {
            tracing::warn!("The system gives no randomness; the plugin gets none either.");
        }
        let number = recorder.instances.fetch_add(1, Ordering::Relaxed) + 1;
        recorder.line(json!({
            "instance": number,
            "callback": real.callback,
            "number": real.instance,
            "seed": seed.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        }));
        let instance = Arc::new(Instance {
            recorder: Arc::clone(recorder),
            number,
            seed,
            call: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            pending: Mutex::default(),
        });
        let lines = real.lines.map(|lines| desk::Lines::new(lines, &instance));
        let place = Place {
            outside: Some(Arc::new(peers::Recorded::new(real.outside, &instance))),
            senses: Some(Arc::new(senses::Senses::new(&instance))),
            secrets: Some(Arc::new(senses::Secrets::new(real.secrets, &instance))),
            clock: Some(Arc::new(senses::Clock::new(real.clock, &instance))),
            lines: lines.map(|lines| Arc::new(lines) as _),
            again: Some(Arc::clone(&instance) as _),
        };
        Box::new(Recorded::new(make(place), instance))
    }
}

/// One callback instance being recorded.
pub(crate) struct Instance {
    recorder: Arc<Recorder>,
    number: u64,
    seed: [u8; 32],
    /// The call at hand, or the last one.
    call: AtomicU64,
    streams: AtomicU64,
    /// What goes over streams, until there is a line's worth.
    pending: Mutex<BTreeMap<u64, Pending>>,
}

/// Bytes of one stream, all of them read or all of them written.
struct Pending {
    name: &'static str,
    data: Vec<u8>,
}

impl Instance {
    /// A call begins, with what `given` holds.
    fn begin(&self, entry_point: &str, given: Value) -> u64 {
        let call = self.recorder.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.call.store(call, Ordering::Relaxed);
        let mut line = json!({ "call": call, "instance": self.number, "entryPoint": entry_point });
        add(&mut line, given);
        self.recorder.line(line);
        // Who looks at the recording of a plugin that hangs sees in what.
        self.recorder.flush();
        call
    }

    /// Something happened in the call at hand.
    fn note(&self, what: Value) {
        let mut line = json!({ "in": self.call.load(Ordering::Relaxed) });
        add(&mut line, what);
        self.recorder.line(line);
    }

    /// The call ended.
    fn end(&self, call: u64, answer: Value, took: std::time::Duration) {
        self.flush_all();
        let mut line = json!({ "return": call });
        add(&mut line, answer);
        line["us"] = json!(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.recorder.line(line);
        self.recorder.flush();
    }

    fn scrubber(&self) -> &Scrubber {
        &self.recorder.scrubber
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes went over a stream.
    fn went(&self, stream: u64, name: &'static str, data: &[u8]) {
        let mut pending = self.pending();
        if pending.get(&stream).is_some_and(|had| had.name != name)
            && let Some(had) = pending.remove(&stream)
        {
            self.note_bytes(stream, &had, usize::MAX);
        }
        let had = pending.entry(stream).or_insert_with(|| Pending {
            name,
            data: Vec::new(),
        });
        had.data.extend_from_slice(data);
        if had.data.len() > TOGETHER {
            had.data = self.scrubber().clean(&had.data).into_owned();
            let most = had.data.len().saturating_sub(HELD_BACK);
            self.note_bytes(stream, had, most);
            had.data.drain(..most);
        }
    }

    fn note_bytes(&self, stream: u64, had: &Pending, most: usize) {
        let clean = self.scrubber().clean(&had.data);
        let clean = &clean[..clean.len().min(most)];
        if !clean.is_empty() {
            self.note(json!({ "stream": stream, (had.name): form::bytes(clean) }));
        }
    }

    /// Writes down what went over a stream so far.
    fn flush_stream(&self, stream: u64) {
        if let Some(had) = self.pending().remove(&stream) {
            self.note_bytes(stream, &had, usize::MAX);
        }
    }

    fn flush_all(&self) {
        for (stream, had) in std::mem::take(&mut *self.pending()) {
            self.note_bytes(stream, &had, usize::MAX);
        }
    }
}

impl Again for Instance {
    fn command(&self) -> String {
        let call = self.call.load(Ordering::Relaxed);
        format!("flow replay {} --at {call}", self.recorder.path.display())
    }
}

/// Puts the entries of `more` behind those of `line`.
fn add(line: &mut Value, more: Value) {
    if let (Value::Object(line), Value::Object(more)) = (line, more) {
        line.extend(more);
    }
}
