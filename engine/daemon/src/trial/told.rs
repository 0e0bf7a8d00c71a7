//! What came out, as values that a trial can write down.

use flow_message::{Inline, InlineEncoding, Message, Timestamp, v03};
use flow_runtime::ports::{Edit, Failure, NewMessage, Rejection, Verdict, Worked};
use serde_json::{Map, Value as Json, json};

/// What the contents of new messages are, by their handles.
pub(super) struct Telling<'a> {
    /// The time that goes without saying.
    pub(super) clock: Timestamp,
    pub(super) derived: &'a [Vec<u8>],
}

pub(super) fn failure(failure: &Failure) -> Json {
    match failure {
        Failure::Temporary {
            reason,
            retry_after: None,
        } => json!({"temporary": reason}),
        Failure::Temporary {
            reason,
            retry_after: Some(after),
        } => json!({"temporary": {"reason": reason, "after": span(*after)}}),
        Failure::Permanent(reason) => json!({"permanent": reason}),
        Failure::Auth(reason) => json!({"auth": reason}),
        Failure::Config(reason) => json!({"config": reason}),
        Failure::Plugin(reason) => json!({"plugin": reason}),
    }
}

fn span(span: std::time::Duration) -> String {
    match span.as_millis() {
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

fn rejection(rejection: &Rejection) -> Json {
    json!({"reject": {"code": rejection.code, "reason": rejection.reason}})
}

/// Text where it is text.
pub(super) fn bytes(bytes: &[u8]) -> Json {
    let inline = Inline::of(bytes);
    match inline.encoding {
        InlineEncoding::Base64 => json!({"base64": inline.value}),
        _ => inline.value.into(),
    }
}

fn edits(edits: &[Edit]) -> Map<String, Json> {
    let time = |time: &Timestamp| Json::from(time.to_string());
    let mut told = Map::new();
    for edit in edits {
        let (name, value) = match edit {
            Edit::PubTime(value) => ("pubTime", time(value)),
            Edit::BaseUrl(value) => ("baseUrl", json!(value)),
            Edit::RelPath(value) => ("relPath", json!(value)),
            Edit::RetrievePath(value) => ("retrievePath", json!(value)),
            Edit::Size(value) => ("size", json!(value)),
            Edit::Mtime(value) => ("mtime", value.as_ref().map_or(Json::Null, time)),
            Edit::ContentType(value) => ("contentType", json!(value)),
            Edit::Identity(value) => (
                "identity",
                value.as_ref().map_or(Json::Null, |identity| identity_of(identity.clone())),
            ),
            Edit::Directory(value) => ("directory", json!(value)),
            Edit::Filename(value) => ("filename", json!(value)),
            Edit::Header(name, value) => (name.as_str(), value.clone().unwrap_or(Json::Null)),
        };
        told.insert(name.to_owned(), value);
    }
    told
}

/// As a message would have it.
fn identity_of(identity: flow_message::Identity) -> Json {
    let mut message = Message::new(Timestamp::from_unix(0, 0), "", "x");
    message.identity = Some(identity);
    fields(&message).remove("identity").unwrap_or(Json::Null)
}

fn fields(message: &Message) -> Map<String, Json> {
    match serde_json::from_slice(&v03::encode(message)) {
        Ok(Json::Object(fields)) => fields,
        _ => Map::new(),
    }
}

impl Telling<'_> {
    pub(super) fn message(&self, message: &Message) -> Json {
        let mut told = fields(message);
        if message.pub_time == self.clock {
            told.remove("pubTime");
        }
        Json::Object(told)
    }

    fn new_message(&self, new: &NewMessage) -> Json {
        let mut told = self.message(&new.message);
        let handle = new.content.and_then(|handle| usize::try_from(handle).ok());
        let content = handle.and_then(|handle| self.derived.get(handle.checked_sub(1)?));
        if let (Some(fields), Some(content)) = (told.as_object_mut(), content) {
            fields.insert("content".into(), bytes(content));
        }
        told
    }

    fn new_messages(&self, new: &[NewMessage]) -> Json {
        new.iter().map(|new| self.new_message(new)).collect()
    }

    pub(super) fn verdict(&self, verdict: &Verdict) -> Json {
        match verdict {
            Verdict::Keep => "keep".into(),
            Verdict::Update(changes) => json!({"update": edits(changes)}),
            Verdict::Reject(why) => rejection(why),
            Verdict::Fail(why) => failure(why),
            Verdict::Replace(new) => json!({"replace": self.new_messages(new)}),
            Verdict::Add(new) => json!({"add": self.new_messages(new)}),
            Verdict::Wait { after, reason } => {
                json!({"wait": {"after": span(*after), "reason": reason}})
            }
        }
    }
}

/// What became of a download or a send, and the content that came.
pub(super) fn worked(worked: &Worked, content: Option<&Vec<u8>>) -> Json {
    match worked {
        Worked::Done(changes) => {
            let mut told = edits(changes);
            if let Some(content) = content {
                told.insert("content".into(), bytes(content));
            }
            match told.is_empty() {
                true => "done".into(),
                false => json!({"done": told}),
            }
        }
        Worked::Reject(why) => rejection(why),
        Worked::Fail(why) => failure(why),
    }
}
