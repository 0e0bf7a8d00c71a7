//! Plays the world to a guest, as the recording has it.
//!
//! What a guest asks for in a call is looked for in what was recorded of that call, so that a guest
//! that asks in another order, or less, still gets its answers. What is not there fails, and is a
//! difference.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_config::Secret;
use flow_message::Timestamp;
use flow_runtime::ports::{Clock, Content, ContentReader, ContentWriter, Failure, State};
use serde_json::{Value, json};

use super::compare;
use super::desk;
use super::peer::{PlayedPeer, Tape};
use super::session::{Call, Made, Session};
use crate::outside::{Failed, HttpRequest, HttpResponse, Outside, Peer, Place, Senses};
use crate::record::content::{Copy, MOST, Sum};
use crate::record::form::{self, Written};
use crate::record::senses::public;
use crate::secrets::{Credential, Secrets};
use crate::upload::Upload;

/// The world of one instance.
pub(super) struct Player {
    seed: [u8; 32],
    /// Somebody read lines of the flow.
    lines: bool,
    script: Mutex<Script>,
    myself: std::sync::Weak<Player>,
}

/// What is left of the call at hand, and what is known of the instance.
#[derive(Default)]
pub(super) struct Script {
    events: VecDeque<Value>,
    pub(super) tapes: BTreeMap<u64, Tape>,
    wall: Option<Duration>,
    monotonic: u64,
    now: Option<Timestamp>,
    /// Credentials of the whole recording, by what was asked.
    secrets: HashMap<(String, String), Value>,
    /// Pairs as they are now, those the guest wrote and those it read.
    pairs: BTreeMap<String, Option<Vec<u8>>>,
    /// Pairs that it wrote otherwise than recorded.
    own: BTreeMap<String, Option<Vec<u8>>>,
    puts: BTreeMap<String, Value>,
    expected_puts: BTreeMap<String, Value>,
    written: BTreeMap<String, Value>,
    expected_written: BTreeMap<String, Value>,
    shelf: Written,
    handles: u64,
    names: HashMap<u64, String>,
    pub(super) asked: Vec<String>,
    pub(super) differences: Vec<String>,
}

impl Script {
    /// Takes the first event of the call that `is` wanted.
    pub(super) fn take(&mut self, is: impl Fn(&Value) -> bool) -> Option<Value> {
        let place = self.events.iter().position(is)?;
        self.events.remove(place)
    }

    fn name(&self, id: u64) -> String {
        let name = self.names.get(&id).cloned();
        name.unwrap_or_else(|| format!("message {id}"))
    }

    pub(super) fn differs(&mut self, what: String) {
        if self.differences.len() < compare::MOST && !self.differences.contains(&what) {
            self.differences.push(what);
        }
    }

    fn shelve(&mut self, line: &Value, name: &str, sum: Value) -> u64 {
        let key = written_key(line, name);
        self.written.insert(key, sum.clone());
        self.handles += 1;
        self.shelf.insert(self.handles, sum);
        self.handles
    }
}

/// What a piece of written content is called.
fn written_key(line: &Value, name: &str) -> String {
    match line.get("relPath").and_then(Value::as_str) {
        Some(path) => format!("content `{path}` derived from `{name}`"),
        None => format!("content downloaded for `{name}`"),
    }
}

pub(super) fn fails(event: &Value) -> Option<Failed> {
    event.get("fails").and_then(form::read_failed)
}

pub(super) fn plain(failed: Failed) -> Failure {
    match failed {
        Failed::Failure(failure) => failure,
        Failed::Interrupted => Failure::temporary("interrupted"),
    }
}

pub(super) fn missing(what: &str) -> Failure {
    Failure::temporary(format!("the recording has nothing for this: {what}"))
}

impl Player {
    pub(super) fn new(session: &Session, made: &Made) -> Arc<Self> {
        let mut script = Script::default();
        for event in session.calls.iter().flat_map(|call| &call.events) {
            for kind in ["credential", "bearerToken"] {
                if let (Some(url), Some(gives)) = (form::text(event, kind), event.get("gives")) {
                    script.secrets.insert((kind.into(), url), gives.clone());
                }
            }
        }
        // Where what came before was left out, its time is not known; it does not go back.
        let own = session.calls.iter().filter(|call| call.instance == made.id);
        script.now = own
            .flat_map(|call| &call.events)
            .find_map(|event| form::text(event, "now")?.parse().ok());
        let of_lines = |call: &Call| {
            let mut events = call.events.iter();
            call.entry_point == "line" || events.any(|event| event.get("lineTo").is_some())
        };
        Arc::new_cyclic(|myself| Self {
            seed: made.seed,
            lines: session.calls.iter().any(of_lines),
            script: Mutex::new(script),
            myself: myself.clone(),
        })
    }

    pub(super) fn place(self: &Arc<Self>) -> Place {
        Place {
            outside: Some(Arc::clone(self) as _),
            senses: Some(Arc::clone(self) as _),
            secrets: Some(Arc::clone(self) as _),
            clock: Some(Arc::clone(self) as _),
            lines: self.lines.then(|| Arc::clone(self) as _),
            again: None,
        }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written in the call, by handle.
    pub(super) fn shelf(&self) -> Written {
        self.script().shelf.clone()
    }

    /// A call begins.
    pub(super) fn begin(&self, call: &Call) {
        let mut script = self.script();
        script.asked.clear();
        script.differences.clear();
        script.shelf.clear();
        script.names.clear();
        let items = call.given.get("items").and_then(Value::as_array);
        for item in items.into_iter().flatten() {
            if let (Some(id), Some(message)) =
                (item.get("id").and_then(Value::as_u64), item.get("message"))
            {
                let name = form::text(message, "relPath").unwrap_or_default();
                script.names.insert(id, name);
            }
        }
        script.tapes.values_mut().for_each(Tape::begin);
        script.events = VecDeque::new();
        for event in &call.events {
            script.sort_in(event);
        }
    }

    /// The call ended: what it asked, and where it went another way.
    pub(super) fn end(&self) -> (Vec<String>, Vec<String>) {
        let mut script = self.script();
        let mut found = std::mem::take(&mut script.differences);
        for tape in script.tapes.values_mut() {
            found.extend(tape.end());
        }
        let mut told = |kind: &str, then: BTreeMap<String, Value>, now: BTreeMap<String, Value>| {
            for (name, then) in &then {
                match now.get(name) {
                    None => found.push(format!("{kind}{name}: not written now")),
                    Some(now) if same(then, now) => {}
                    Some(now) => found.push(format!(
                        "{kind}{name}: {}, now {}",
                        summary(then),
                        summary(now)
                    )),
                }
            }
            for (name, now) in now.iter().filter(|(name, _)| !then.contains_key(*name)) {
                found.push(format!("{kind}{name}: new, {}", summary(now)));
            }
        };
        let (then, now) = (
            std::mem::take(&mut script.expected_puts),
            std::mem::take(&mut script.puts),
        );
        told("state ", then, now);
        let (then, now) = (
            std::mem::take(&mut script.expected_written),
            std::mem::take(&mut script.written),
        );
        told("", then, now);
        for event in std::mem::take(&mut script.events) {
            if let Some(peer) = form::text(&event, "connect") {
                found.push(format!("did not connect to {peer} now"));
            } else if let Some(request) = event.get("http") {
                found.push(format!("did not ask {} now", request_name(request)));
            } else {
                found.extend(desk::left(&event));
            }
        }
        (std::mem::take(&mut script.asked), found)
    }
}

/// Content is compared by its size and fingerprint.
fn same(then: &Value, now: &Value) -> bool {
    match (then.get("sha256"), now.get("sha256")) {
        (Some(a), Some(b)) => a == b,
        _ => then == now,
    }
}

fn summary(value: &Value) -> String {
    match (value.get("size"), value.get("head")) {
        (Some(size), Some(head)) => format!("{size} bytes ({})", compare::show(head)),
        _ => compare::show(value),
    }
}

fn http_body(request: &Value) -> Vec<u8> {
    form::read_bytes(&request["body"]).unwrap_or_default()
}

fn request_name(request: &Value) -> String {
    let part = |name: &str| form::text(request, name).unwrap_or_default();
    format!("{} {}", part("method"), part("url"))
}

impl Script {
    /// Puts an event of the recording where it will be looked for.
    fn sort_in(&mut self, event: &Value) {
        let text = |name: &str| form::text(event, name);
        if let Some(stream) = event.get("stream").and_then(Value::as_u64) {
            let tape = self.tapes.entry(stream).or_default();
            if let Some(peer) = text("connect") {
                tape.peer = peer;
            } else {
                tape.add(event);
                return;
            }
        }
        if text("state").as_deref() == Some("put") {
            let key = text("key").unwrap_or_default();
            let value = json!({ "value": event["value"], "ttlMs": event["ttlMs"] });
            self.expected_puts.insert(key, value);
        } else if let Some(written) = event.get("written") {
            let id = event.get("create").or(event.get("derive"));
            let name = self.name(id.and_then(Value::as_u64).unwrap_or_default());
            self.expected_written
                .insert(written_key(event, &name), written.clone());
        }
        self.events.push_back(event.clone());
    }
}

#[async_trait]
impl Outside for Player {
    async fn connect(&self, host: &str, port: u16, tls: bool) -> Result<Box<dyn Peer>, Failed> {
        let peer = format!("{host}:{port}");
        let mut script = self.script();
        script.asked.push(format!("connect {peer}"));
        let found = script.take(|event| {
            event.get("connect").and_then(Value::as_str) == Some(&peer)
                && event.get("tls").and_then(Value::as_bool) == Some(tls)
        });
        let Some(found) = found else {
            let how = if tls { " by TLS" } else { "" };
            let what = format!("connected to {peer}{how}");
            script.differs(format!("{what}, which it did not in the recording"));
            return Err(missing(&what).into());
        };
        if found.get("interrupted").is_some() {
            return Err(Failed::Interrupted);
        }
        if let Some(failed) = fails(&found) {
            return Err(failed);
        }
        let number = found.get("stream").and_then(Value::as_u64).unwrap_or(0);
        let player = self.myself.upgrade();
        let player = player.ok_or_else(|| missing(&peer))?;
        Ok(Box::new(PlayedPeer { player, number }))
    }

    async fn http(
        &self,
        request: HttpRequest,
        upload: Option<Upload>,
    ) -> Result<HttpResponse, Failed> {
        let (body, size) = match upload {
            Some(upload) => upload.beginning(MOST as usize).await?,
            None => {
                let size = request.body.len();
                let beginning = &request.body[..size.min(MOST as usize)];
                (beginning.to_vec(), size as u64)
            }
        };
        let mut script = self.script();
        let name = format!("{} {}", request.method, request.url);
        script.asked.push(name.clone());
        let known = |event: &Value| {
            let then = event.get("http")?;
            (request_name(then) == name).then(|| http_body(then))
        };
        let found = script
            .take(|event| known(event).is_some_and(|then| then == body))
            .or_else(|| script.take(|event| known(event).is_some()));
        let Some(found) = found else {
            script.differs(format!("asked {name}, which it did not in the recording"));
            return Err(missing(&name).into());
        };
        let then = &found["http"];
        let now = json!({ "headers": request.headers });
        if then.get("headers") != now.get("headers") {
            let (then, now) = (
                compare::show(&then["headers"]),
                compare::show(&now["headers"]),
            );
            script.differs(format!("{name} headers: {then}, now {now}"));
        }
        if let Some(difference) = compare::bytes(&format!("{name} body"), &http_body(then), &body) {
            script.differs(difference);
        } else if let Some(then) = then["size"].as_u64().filter(|then| *then != size) {
            script.differs(format!("{name} body: {then} bytes, now {size}"));
        }
        if let Some(failed) = fails(&found) {
            return Err(failed);
        }
        let gives = &found["gives"];
        Ok(HttpResponse {
            status: gives["status"].as_u64().map_or(0, |status| status as u16),
            headers: form::read_headers(gives),
            body: form::read_bytes(&gives["body"]).unwrap_or_default(),
        })
    }
}

impl Senses for Player {
    fn wall(&self) -> Duration {
        let mut script = self.script();
        let found = script.take(|event| event.get("wall").is_some());
        let read = found.and_then(|event| {
            let part = |index: usize| event["wall"][index].as_u64();
            let nanos = u32::try_from(part(1)?).ok()?;
            Some(Duration::new(part(0)?, nanos))
        });
        // Asked more often than in the recording: a little later than before.
        let later = || script.wall.unwrap_or_default() + Duration::from_micros(1);
        let now = read.unwrap_or_else(later);
        script.wall = Some(now);
        now
    }

    fn monotonic(&self) -> u64 {
        let mut script = self.script();
        let found = script.take(|event| event.get("monotonic").is_some());
        let read = found.and_then(|event| event["monotonic"].as_u64());
        let now = read
            .unwrap_or(script.monotonic + 1_000)
            .max(script.monotonic);
        script.monotonic = now;
        now
    }

    fn seed(&self) -> [u8; 32] {
        self.seed
    }
}

#[async_trait]
impl Clock for Player {
    fn now(&self) -> Timestamp {
        let mut script = self.script();
        let found = script.take(|event| event.get("now").is_some());
        if let Some(now) = found.and_then(|event| form::text(&event, "now")?.parse().ok()) {
            script.now = Some(now);
        }
        script.now.unwrap_or_else(|| Timestamp::from_unix(0, 0))
    }

    async fn sleep(&self, _: Duration) {}

    fn random(&self) -> f64 {
        0.5
    }
}

impl Player {
    fn secret(&self, kind: &str, url: &str) -> Result<Value, Failure> {
        let url = public(url);
        let mut script = self.script();
        script.asked.push(format!("{kind} {url}"));
        let found = script.take(|event| form::text(event, kind).as_deref() == Some(&url));
        if let Some(found) = found {
            if let Some(failed) = fails(&found) {
                return Err(plain(failed));
            }
            return Ok(found["gives"].clone());
        }
        let known = script.secrets.get(&(kind.to_owned(), url.clone())).cloned();
        known.ok_or_else(|| {
            let what = format!("asked for the credentials of {url}");
            script.differs(format!("{what}, which it did not in the recording"));
            missing(&what)
        })
    }
}

#[async_trait]
impl Secrets for Player {
    fn credential(&self, url: &str) -> Result<Credential, Failure> {
        let gives = self.secret("credential", url)?;
        let options = gives.get("options").and_then(Value::as_array);
        let pair =
            |pair: &Value| Some((pair[0].as_str()?.to_owned(), Secret::new(pair[1].as_str()?)));
        Ok(Credential {
            user: form::text(&gives, "user").unwrap_or_default(),
            password: Secret::new(form::text(&gives, "password").unwrap_or_default()),
            options: options.into_iter().flatten().filter_map(pair).collect(),
        })
    }

    async fn bearer_token(&self, url: &str) -> Result<Secret, Failure> {
        let gives = self.secret("bearerToken", url)?;
        Ok(Secret::new(gives.as_str().unwrap_or_default()))
    }
}

impl State for Player {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let mut script = self.script();
        script.asked.push(format!("state get {key}"));
        let found = script.take(|event| {
            form::text(event, "state").as_deref() == Some("get")
                && form::text(event, "key").as_deref() == Some(key)
        });
        if let Some(own) = script.own.get(key) {
            return Ok(own.clone());
        }
        let Some(found) = found else {
            if let Some(known) = script.pairs.get(key) {
                return Ok(known.clone());
            }
            script.differs(format!(
                "asked its state for `{key}`, which it did not in the recording; it is given nothing"
            ));
            return Ok(None);
        };
        if let Some(failed) = fails(&found) {
            return Err(plain(failed));
        }
        let value = form::read_bytes(&found["gives"]);
        script.pairs.insert(key.to_owned(), value.clone());
        Ok(value)
    }

    fn put(&self, key: &str, value: Option<Vec<u8>>, ttl: Option<Duration>) -> Result<(), Failure> {
        let mut script = self.script();
        script.asked.push(format!("state put {key}"));
        let line = json!({
            "value": value.as_deref().map(form::bytes),
            "ttlMs": ttl.map(form::millis),
        });
        if script.expected_puts.get(key) == Some(&line) {
            script.own.remove(key);
        } else {
            script.own.insert(key.to_owned(), value.clone());
        }
        script.puts.insert(key.to_owned(), line);
        script.pairs.insert(key.to_owned(), value);
        let found = script.take(|event| {
            form::text(event, "state").as_deref() == Some("put")
                && form::text(event, "key").as_deref() == Some(key)
        });
        match found.as_ref().and_then(fails) {
            Some(failed) => Err(plain(failed)),
            None => Ok(()),
        }
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>, Failure> {
        let mut script = self.script();
        script.asked.push(format!("state list {prefix}"));
        let found = script.take(|event| {
            form::text(event, "state").as_deref() == Some("list")
                && form::text(event, "prefix").as_deref() == Some(prefix)
                && form::text(event, "after").as_deref() == Some(after)
        });
        if let Some(found) = found {
            if let Some(failed) = fails(&found) {
                return Err(plain(failed));
            }
            return Ok(form::texts(&found["gives"]).unwrap_or_default());
        }
        let what = format!("listed its state below `{prefix}`");
        script.differs(format!("{what}, which it did not in the recording"));
        let known = script.pairs.iter();
        let known = known.filter(|(key, value)| {
            value.is_some() && key.starts_with(prefix) && key.as_str() > after
        });
        Ok(known.map(|(key, _)| key.clone()).take(limit).collect())
    }
}

impl Content for Player {
    fn open(&self, id: u64) -> Result<(Box<dyn ContentReader>, u64), Failure> {
        let mut script = self.script();
        let name = script.name(id);
        script.asked.push(format!("open {name}"));
        // Kept: it may be opened again.
        let found = script
            .events
            .iter()
            .find(|event| event.get("open").and_then(Value::as_u64) == Some(id))
            .cloned();
        let Some(found) = found else {
            let what = format!("read the content of `{name}`");
            script.differs(format!("{what}, which it did not in the recording"));
            return Err(missing(&what));
        };
        if let Some(failed) = fails(&found) {
            return Err(plain(failed));
        }
        let data = form::read_bytes(&found["content"]).unwrap_or_default();
        let cut = found.get("cut").and_then(Value::as_bool) == Some(true);
        // A stand-in may be of another length than the secret.
        let size = match cut {
            true => found.get("size").and_then(Value::as_u64).unwrap_or(0),
            false => data.len() as u64,
        };
        Ok((Box::new(Copy { data, at: 0, cut }), size))
    }

    fn create(&self, id: u64) -> Result<Box<dyn ContentWriter>, Failure> {
        let mut script = self.script();
        let name = script.name(id);
        script.asked.push(format!("write {name}"));
        let found = script.take(|event| event.get("create").and_then(Value::as_u64) == Some(id));
        if let Some(failed) = found.as_ref().and_then(fails) {
            return Err(plain(failed));
        }
        self.writer(json!({ "create": id }), name, found)
    }

    fn derive(
        &self,
        id: u64,
        rel_path: &str,
        content_type: Option<&str>,
    ) -> Result<Option<Box<dyn ContentWriter>>, Failure> {
        let mut script = self.script();
        let name = script.name(id);
        script.asked.push(format!("derive {rel_path} from {name}"));
        let is = |event: &Value| {
            event.get("derive").and_then(Value::as_u64) == Some(id)
                && form::text(event, "relPath").as_deref() == Some(rel_path)
        };
        let line = json!({ "derive": id, "relPath": rel_path, "contentType": content_type });
        let Some(found) = script.take(is) else {
            script.differs(format!(
                "derived `{rel_path}` from `{name}`, which it did not in the recording"
            ));
            return self.writer(line, name, None).map(Some);
        };
        if let Some(failed) = fails(&found) {
            return Err(plain(failed));
        }
        if found.get("contentType") != line.get("contentType") {
            let (then, now) = (&found["contentType"], &line["contentType"]);
            script.differs(format!("`{rel_path}` contentType: {then}, now {now}"));
        }
        if found.get("wanted").and_then(Value::as_bool) == Some(false) {
            return Ok(None);
        }
        // What was written of it then follows.
        let finished = script.take(is);
        self.writer(line, name, finished).map(Some)
    }
}

impl Player {
    fn writer(
        &self,
        line: Value,
        name: String,
        then: Option<Value>,
    ) -> Result<Box<dyn ContentWriter>, Failure> {
        let player = self.myself.upgrade();
        let player = player.ok_or_else(|| missing(&name))?;
        let fails = then.and_then(|then| form::read_failed(then.get("finishFails")?));
        Ok(Box::new(Writer {
            player,
            line,
            name,
            sum: Sum::new(),
            fails: fails.map(plain),
        }))
    }
}

struct Writer {
    player: Arc<Player>,
    line: Value,
    name: String,
    sum: Sum,
    fails: Option<Failure>,
}

impl ContentWriter for Writer {
    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.sum.add(data);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64, Failure> {
        let Self {
            player,
            line,
            name,
            sum,
            fails,
        } = *self;
        match fails {
            Some(failure) => Err(failure),
            None => Ok(player.script().shelve(&line, &name, sum.finish())),
        }
    }
}
