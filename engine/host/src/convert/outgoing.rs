//! Messages on their way into a guest: borrowed, so that a batch crosses without being copied first.
//!
//! What has to be made (times, JSON) goes into one buffer, which the messages then borrow from:
//! [`Texts`] first, then [`headers`](Texts::headers), then [`messages`](Texts::messages).

use std::fmt::Write as _;
use std::ops::Range;

use flow_config::OptionValue;
use flow_message::{Message, v03};
use flow_runtime::ports::{Fate, Item};
use serde_json::Value;

use crate::bindings::exports::flow::plugin::lifecycle::Setting;
use crate::bindings::exports::flow::plugin::settled;
use crate::bindings::flow::plugin::types as wit;

/// The texts of a batch that had to be made.
pub(crate) struct Texts<'a> {
    buffer: String,
    items: Vec<Prepared<'a>>,
    headers: Vec<(&'a str, Source<'a>)>,
}

struct Prepared<'a> {
    item: &'a Item,
    pub_time: Range<usize>,
    mtime: Option<Range<usize>>,
    directory: Option<Source<'a>>,
    headers: Range<usize>,
}

/// Where a value comes from.
enum Source<'a> {
    Text(&'a str),
    MadeText(Range<usize>),
    MadeJson(Range<usize>),
}

impl<'a> Texts<'a> {
    /// Makes the texts of `items`.
    pub(crate) fn of(items: impl ExactSizeIterator<Item = &'a Item>) -> Self {
        let count = items.len();
        let mut texts = Self {
            buffer: String::with_capacity(count * 64),
            items: Vec::with_capacity(count),
            headers: Vec::with_capacity(count * 8),
        };
        for item in items {
            texts.add(item);
        }
        texts
    }

    fn made(&mut self, what: impl std::fmt::Display) -> Range<usize> {
        let start = self.buffer.len();
        let _ = write!(self.buffer, "{what}");
        start..self.buffer.len()
    }

    fn add(&mut self, item: &'a Item) {
        let message = &item.message;
        let first = self.headers.len();
        self.add_headers(message);
        let directory = item
            .location
            .as_ref()
            .map(|location| match location.directory.to_str() {
                Some(text) => Source::Text(text),
                None => Source::MadeText(self.made(location.directory.display())),
            });
        let prepared = Prepared {
            item,
            pub_time: self.made(message.pub_time),
            mtime: message.mtime.map(|time| self.made(time)),
            directory,
            headers: first..self.headers.len(),
        };
        self.items.push(prepared);
    }

    fn add_headers(&mut self, message: &'a Message) {
        for (name, text) in [("source", &message.source), ("rename", &message.rename)] {
            if let Some(text) = text {
                self.headers.push((name, Source::Text(text)));
            }
        }
        if let Some(mode) = message.mode {
            let mode = self.made(format_args!("{mode:o}"));
            self.headers.push(("mode", Source::MadeText(mode)));
        }
        if let Some(atime) = message.atime {
            let atime = self.made(atime);
            self.headers.push(("atime", Source::MadeText(atime)));
        }
        if message.file_op.is_some() || message.content.is_some() || message.blocks.is_some() {
            self.add_objects(message);
        }
        for (name, value) in &message.extra {
            let source = match value {
                Value::String(text) => Source::Text(text),
                value => Source::MadeJson(self.made(value)),
            };
            self.headers.push((name, source));
        }
    }

    /// The fields that are JSON objects, as they look on the wire. Rare.
    fn add_objects(&mut self, message: &Message) {
        let mut bare = Message::new(message.pub_time, "", "");
        bare.file_op.clone_from(&message.file_op);
        bare.content.clone_from(&message.content);
        bare.blocks.clone_from(&message.blocks);
        let value = v03::to_value(&bare);
        for name in ["fileOp", "content", "blocks"] {
            if let Some(value) = value.get(name) {
                let json = self.made(value);
                self.headers.push((name, Source::MadeJson(json)));
            }
        }
    }

    fn text<'b>(&'b self, source: &Source<'b>) -> &'b str {
        match source {
            Source::Text(text) => text,
            Source::MadeText(range) | Source::MadeJson(range) => &self.buffer[range.clone()],
        }
    }

    /// The headers of all messages, in one list.
    pub(crate) fn headers(&self) -> Vec<wit::HeaderParam<'_>> {
        let header = |(name, source): &(&'a str, Source<'a>)| {
            let text = match source {
                Source::Text(text) => text,
                Source::MadeText(range) | Source::MadeJson(range) => &self.buffer[range.clone()],
            };
            let value = match source {
                Source::MadeJson(_) => wit::ValueParam::Json(text),
                _ => wit::ValueParam::Text(text),
            };
            wit::HeaderParam { name, value }
        };
        self.headers.iter().map(header).collect()
    }

    /// The messages, with `headers` of [`headers`](Self::headers).
    pub(crate) fn messages<'b>(
        &'b self,
        headers: &'b [wit::HeaderParam<'b>],
    ) -> Vec<wit::Message<'b>> {
        self.items
            .iter()
            .map(|prepared| self.message(prepared, headers))
            .collect()
    }

    fn message<'b>(
        &'b self,
        prepared: &'b Prepared<'a>,
        headers: &'b [wit::HeaderParam<'b>],
    ) -> wit::Message<'b> {
        let item = prepared.item;
        let message = &item.message;
        wit::Message {
            id: item.id,
            key: &item.key,
            attempt: item.attempt,
            pub_time: &self.buffer[prepared.pub_time.clone()],
            base_url: &message.base_url,
            rel_path: &message.rel_path,
            retrieve_path: message.retrieve_path.as_deref(),
            size: message.size,
            mtime: prepared.mtime.clone().map(|range| &self.buffer[range]),
            content_type: message.content_type.as_deref(),
            identity: message
                .identity
                .as_ref()
                .map(|identity| wit::IdentityParam {
                    method: &identity.method,
                    value: &identity.value,
                }),
            directory: prepared
                .directory
                .as_ref()
                .map(|directory| self.text(directory)),
            filename: item
                .location
                .as_ref()
                .map(|location| location.filename.as_str()),
            headers: &headers[prepared.headers.clone()],
        }
    }
}

/// How a message ended.
pub(crate) fn fate(fate: &Fate) -> settled::Fate<'_> {
    match fate {
        Fate::Posted => settled::Fate::Posted,
        Fate::Rejected(rejection) => settled::Fate::Rejected(settled::Rejection {
            code: rejection.code,
            reason: &rejection.reason,
        }),
        Fate::Retrying(reason) => settled::Fate::Retrying(reason),
        Fate::Dead(reason) => settled::Fate::Dead(reason),
    }
}

/// An option's value; `lists` holds the borrowed form of lists, option by option.
pub(crate) fn setting<'a>(value: &'a OptionValue, list: &'a [&'a str]) -> Setting<'a> {
    match value {
        OptionValue::Flag(flag) => Setting::Flag(*flag),
        OptionValue::Count(count) => Setting::Count(*count),
        OptionValue::Size(bytes) => Setting::Size(*bytes),
        OptionValue::Duration(time) => {
            Setting::Duration(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        }
        OptionValue::Text(text) => Setting::Text(text),
        OptionValue::Secret(secret) => Setting::Text(secret.expose()),
        OptionValue::List(_) => Setting::List(list),
    }
}
