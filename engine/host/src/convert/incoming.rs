//! What a guest answered, checked before the engine acts on it.
//!
//! What is wrong with one verdict fails that message for good and no other: the same guest would
//! answer the same again. What is wrong with the answer as a whole fails the call.

use std::path::{Component, Path};
use std::time::Duration;

use flow_config::SafeUrl;
use flow_message::{DecodeError, Identity, Message, Timestamp, v03};
use flow_runtime::ports::{Edit, Failure, NewMessage, Rejection, Verdict, Worked};
use serde_json::{Map, Value};

use super::NAMED;
use crate::bindings::exports::flow::plugin::{download, send};
use crate::bindings::flow::plugin::types as wit;
use crate::error::Error;
use crate::names;
use crate::store::Guest;

/// Bytes of a reason that are kept.
const LONGEST_REASON: usize = 4 << 10;

/// Header names that are fields of a message without being named in the contract.
const TYPED: [&str; 7] = [
    "mode", "atime", "fileOp", "content", "blocks", "rename", "source",
];

/// Checks the answer of one call.
pub(crate) struct Answer<'a> {
    guest: &'a Guest,
    now: Timestamp,
    /// Handles of derived content that no message has taken yet.
    derived: Vec<u64>,
    /// Bytes the guest handed over so far.
    bytes: u64,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(guest: &'a Guest) -> Self {
        Self {
            guest,
            now: guest.now(),
            derived: guest.call.derived.clone(),
            bytes: 0,
        }
    }

    /// Whether the guest handed over more than it may.
    pub(crate) fn too_much(&self) -> bool {
        self.bytes > self.guest.setup.limits.output
    }

    fn count(&mut self, text: String) -> String {
        self.bytes += text.len() as u64;
        text
    }

    fn error(&self, code: &'static str, what: &str) -> Error {
        let Guest { setup, call, .. } = self.guest;
        Error::new(
            code,
            format!(
                "plugin `{}` answered wrongly in `{}`: {what}",
                setup.plugin, call.entry_point
            ),
        )
    }

    pub(crate) fn verdict(&mut self, verdict: wit::Verdict) -> Verdict {
        let checked = match verdict {
            wit::Verdict::Keep => Ok(Verdict::Keep),
            wit::Verdict::Update(edits) => self.edits(edits).map(Verdict::Update),
            wit::Verdict::Reject(rejection) => Ok(Verdict::Reject(self.rejection(rejection))),
            wit::Verdict::Fail(failure) => Ok(Verdict::Fail(self.failure(failure))),
            wit::Verdict::Replace(messages) => self.messages(messages).map(Verdict::Replace),
            wit::Verdict::Add(messages) => self.messages(messages).map(Verdict::Add),
            wit::Verdict::Wait(waiting) => Ok(Verdict::Wait {
                after: Duration::from_millis(waiting.after_ms),
                reason: self.reason(waiting.reason),
            }),
        };
        checked.unwrap_or_else(|error| Verdict::Fail(error.for_good()))
    }

    /// A download says it is done: then there is content.
    pub(crate) fn fetched(&mut self, id: u64, fetched: download::Fetched) -> Worked {
        match fetched {
            download::Fetched::Done(_) if !self.guest.call.downloaded.contains(&id) => {
                Worked::Fail(
                    self.error(
                        "plugin/no-content",
                        "it says a download is done, but finished no content for it",
                    )
                    .for_good(),
                )
            }
            download::Fetched::Done(edits) => self.done(edits),
            download::Fetched::Reject(rejection) => Worked::Reject(self.rejection(rejection)),
            download::Fetched::Fail(failure) => Worked::Fail(self.failure(failure)),
        }
    }

    pub(crate) fn sent(&mut self, sent: send::Sent) -> Worked {
        match sent {
            send::Sent::Done(edits) => self.done(edits),
            send::Sent::Reject(rejection) => Worked::Reject(self.rejection(rejection)),
            send::Sent::Fail(failure) => Worked::Fail(self.failure(failure)),
        }
    }

    fn done(&mut self, edits: Vec<wit::Edit>) -> Worked {
        self.edits(edits)
            .map_or_else(|error| Worked::Fail(error.for_good()), Worked::Done)
    }

    /// A message of a gather, which can't bring content.
    pub(crate) fn gathered(&mut self, message: wit::NewMessage) -> Result<Message, Error> {
        if message.content.is_some() {
            return Err(self.error("plugin/forged-id", "a gathered message can't bring content"));
        }
        self.message(message).map(|message| message.message)
    }

    fn rejection(&mut self, rejection: wit::RejectionResult) -> Rejection {
        Rejection {
            code: rejection.code,
            reason: self.reason(rejection.reason),
        }
    }

    pub(crate) fn failure(&mut self, failure: wit::Failure) -> Failure {
        match failure {
            wit::Failure::Temporary(failure) => Failure::Temporary {
                reason: self.reason(failure.reason),
                retry_after: failure.retry_after_ms.map(Duration::from_millis),
            },
            wit::Failure::Permanent(reason) => Failure::Permanent(self.reason(reason)),
            wit::Failure::Auth(reason) => Failure::Auth(self.reason(reason)),
            wit::Failure::Config(reason) => Failure::Config(self.reason(reason)),
            wit::Failure::Interrupted => Failure::temporary("the plugin was interrupted"),
        }
    }

    /// A text for people: without secrets and control characters, of bearable length.
    fn reason(&mut self, reason: String) -> String {
        let reason = self.count(reason);
        let clean = self.guest.setup.redactor.clean(reason);
        let mut text = String::with_capacity(clean.len().min(LONGEST_REASON));
        for c in clean.chars() {
            if text.len() >= LONGEST_REASON {
                text.push('…');
                break;
            }
            if c.is_control() && c != '\n' {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        text
    }

    fn edits(&mut self, edits: Vec<wit::Edit>) -> Result<Vec<Edit>, Error> {
        edits.into_iter().map(|edit| self.edit(edit)).collect()
    }

    fn edit(&mut self, edit: wit::Edit) -> Result<Edit, Error> {
        Ok(match edit {
            wit::Edit::PubTime(time) => Edit::PubTime(self.time(&time)?),
            wit::Edit::BaseUrl(url) => Edit::BaseUrl(self.base_url(url)),
            wit::Edit::RelPath(path) => Edit::RelPath(self.rel_path(path)?),
            wit::Edit::RetrievePath(path) => Edit::RetrievePath(path.map(|path| self.count(path))),
            wit::Edit::Size(size) => Edit::Size(size),
            wit::Edit::Mtime(time) => Edit::Mtime(time.map(|time| self.time(&time)).transpose()?),
            wit::Edit::ContentType(text) => Edit::ContentType(text.map(|text| self.count(text))),
            wit::Edit::Identity(identity) => {
                Edit::Identity(identity.map(|identity| self.identity(identity)))
            }
            wit::Edit::Directory(directory) => Edit::Directory(self.directory(directory)?),
            wit::Edit::Filename(name) => {
                let name = self.count(name);
                names::check_element(&name)
                    .map_err(|why| names::refused(&self.guest.setup.plugin, &name, &why))?;
                Edit::Filename(name)
            }
            wit::Edit::Header((name, value)) => {
                let value = value.map(|value| self.value(&name, value)).transpose()?;
                Edit::Header(self.header_name(name)?, value)
            }
        })
    }

    fn messages(&mut self, messages: Vec<wit::NewMessage>) -> Result<Vec<NewMessage>, Error> {
        messages
            .into_iter()
            .map(|message| self.message(message))
            .collect()
    }

    fn message(&mut self, message: wit::NewMessage) -> Result<NewMessage, Error> {
        let content = message
            .content
            .map(|handle| self.take_derived(handle))
            .transpose()?;
        let pub_time = if message.pub_time.is_empty() {
            self.now
        } else {
            self.time(&message.pub_time)?
        };
        let base_url = self.base_url(message.base_url);
        let mut made = Message::new(pub_time, base_url, self.rel_path(message.rel_path)?);
        made.retrieve_path = message.retrieve_path.map(|path| self.count(path));
        made.size = message.size;
        made.mtime = message.mtime.map(|time| self.time(&time)).transpose()?;
        made.content_type = message.content_type.map(|text| self.count(text));
        made.identity = message.identity.map(|identity| self.identity(identity));
        let mut typed = Map::new();
        for header in message.headers {
            let value = self.value(&header.name, header.value)?;
            let name = self.header_name(header.name)?;
            let known = TYPED.contains(&name.as_str());
            if known { &mut typed } else { &mut made.extra }.insert(name, value);
        }
        if !typed.is_empty() {
            self.set_typed(&mut made, typed)?;
        }
        Ok(NewMessage {
            message: made,
            content,
        })
    }

    /// Reads headers that are typed fields as a message from the wire is read.
    fn set_typed(&self, made: &mut Message, mut typed: Map<String, Value>) -> Result<(), Error> {
        for (name, value) in [
            ("pubTime", made.pub_time.to_string()),
            ("baseUrl", String::new()),
            ("relPath", String::new()),
        ] {
            typed.insert(name.to_owned(), Value::String(value));
        }
        let read = v03::from_value(Value::Object(typed)).map_err(|error| {
            let mut text = error.to_string();
            if matches!(error, DecodeError::Field { field, .. } if field.starts_with("content")) {
                text.push_str(
                    "; write `{\"encoding\": \"utf-8\", \"value\": \"text\"}`, or `base64` for bytes",
                );
            }
            self.error("plugin/wrong-value", &text)
        })?;
        made.mode = read.mode;
        made.atime = read.atime;
        made.file_op = read.file_op;
        made.content = read.content;
        made.blocks = read.blocks;
        made.rename = read.rename;
        made.source = read.source;
        Ok(())
    }

    fn take_derived(&mut self, handle: u64) -> Result<u64, Error> {
        match self.derived.iter().position(|known| *known == handle) {
            Some(index) => Ok(self.derived.swap_remove(index)),
            None => {
                let what = format!(
                    "content {handle} was not finished in this call, or went to another message already"
                );
                Err(self.error("plugin/forged-id", &what))
            }
        }
    }

    fn time(&mut self, text: &str) -> Result<Timestamp, Error> {
        self.bytes += text.len() as u64;
        text.parse().map_err(|error: flow_message::ParseTimeError| {
            self.error("plugin/wrong-value", &error.to_string())
        })
    }

    fn identity(&mut self, identity: wit::IdentityResult) -> Identity {
        Identity {
            method: self.count(identity.method),
            value: self.count(identity.value),
        }
    }

    /// A base URL never carries a password.
    fn base_url(&mut self, url: String) -> String {
        let url = self.count(url);
        if !url.contains('@') {
            return url;
        }
        match SafeUrl::parse(&url) {
            Ok(parsed) if parsed.expose().password().is_some() => parsed.without_password(),
            _ => url,
        }
    }

    fn rel_path(&mut self, path: String) -> Result<String, Error> {
        let path = self.count(path);
        match names::check_path(&path) {
            Ok(()) => Ok(path),
            Err(why) => Err(names::refused(&self.guest.setup.plugin, &path, &why)),
        }
    }

    /// A directory: below one the flow names. Anything else would let a plugin write where it likes.
    fn directory(&mut self, directory: String) -> Result<String, Error> {
        let directory = self.count(directory);
        let path = Path::new(&directory);
        let setup = &self.guest.setup;
        let climbs = path.components().any(|part| part == Component::ParentDir)
            || directory.chars().any(char::is_control);
        if !climbs && setup.directories.iter().any(|root| path.starts_with(root)) {
            return Ok(directory);
        }
        let text = format!(
            "plugin `{}` chose the directory `{}`, which is refused",
            setup.plugin,
            directory.escape_debug()
        );
        let error = Error::new("plugin/unsafe-path", text)
            .note("a plugin may choose directories below those the flow names");
        Err(error.hint("add a `directory` to the flow that it is below"))
    }

    fn header_name(&mut self, name: String) -> Result<String, Error> {
        let name = self.count(name);
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(self.error(
                "plugin/wrong-value",
                &format!("`{}` is no name of a header", name.escape_debug()),
            ));
        }
        if NAMED.contains(&name.as_str()) {
            return Err(self.error(
                "plugin/wrong-value",
                &format!("`{name}` is a field of its own, not a header"),
            ));
        }
        Ok(name)
    }

    fn value(&mut self, name: &str, value: wit::ValueResult) -> Result<Value, Error> {
        match value {
            wit::ValueResult::Text(text) => Ok(Value::String(self.count(text))),
            wit::ValueResult::Json(json) => {
                self.bytes += json.len() as u64;
                serde_json::from_str(&json).map_err(|error| {
                    self.error(
                        "plugin/wrong-value",
                        &format!("header `{}` is no JSON: {error}", name.escape_debug()),
                    )
                })
            }
        }
    }
}
