//! What stores of objects have in common: messages, metadata and operations, whoever the store is.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_message::{FileOp, Identity, Message, Timestamp};
use flow_runtime::ports::{Callback, Edit, Fate, Outcome};
use flow_transfer::{Carrier, PollOptions};
use serde_json::{Value, json};

use super::{
    download, download_one, edits, gather_all, item, message, noise, poll, send, state, words,
};

/// A message about `content` that says all there is to say.
pub fn announced(path: &str, content: &[u8]) -> Message {
    let mut announced = message("file:///src", path);
    announced.size = Some(content.len() as u64);
    announced.mtime = Some("20200102T030405".parse().unwrap());
    announced.mode = Some(0o640);
    announced.content_type = Some("text/plain".into());
    announced.identity = Some(Identity {
        method: "sha512".into(),
        value: "abc+/==".into(),
    });
    announced
}

/// Checks what an upload of such a message noted.
pub fn assert_noted(metadata: &BTreeMap<String, String>) {
    let entry: Value = serde_json::from_str(&metadata["sarracenia_v3"]).unwrap();
    assert_eq!(
        entry,
        json!({
            "identity": {"method": "sha512", "value": "abc+/=="},
            "mtime": "20200102T030405",
        })
    );
}

/// An entry of the metadata, as Python's `json.dumps` writes it.
pub const ENTRY: (&str, &str) = (
    "sarracenia_v3",
    "{\"identity\": {\"method\": \"md5\", \"value\": \"x\"}, \"mtime\": \
     \"20200102T030405.25\"}",
);

/// Fetches an object with [`ENTRY`], and checks that it is told.
pub async fn assert_entry_is_told(carrier: &Carrier, url: &str, name: &str) {
    let (done, _) = download_one(carrier, message(url, name)).await;
    let time: Timestamp = "20200102T030405.25".parse().unwrap();
    assert!(edits(&done).contains(&Edit::Mtime(Some(time))), "{done:?}");
}

/// Fetches objects of all names and sizes, as `put` stored them.
pub async fn assert_names_are_fetched(
    carrier: &Carrier,
    url: &str,
    names: &[&str],
    mut put: impl FnMut(&str, &[u8]),
) {
    let contents: Vec<Vec<u8>> = (0..names.len()).map(|n| noise(n * n * 9_973)).collect();
    for (name, content) in names.iter().zip(&contents) {
        put(name, content);
    }
    let messages = names.iter().map(|name| message(url, name));
    let (done, got) = download(carrier, messages.collect()).await;
    for (id, content) in (0..).zip(&contents) {
        assert_eq!(words(&done[id as usize]), "done", "{}", names[id as usize]);
        assert!(got.finished(id).as_ref() == Some(content), "{id}");
    }
}

/// Carries out a file operation; returns how that went.
pub async fn operate(carrier: &Carrier, url: &str, path: &str, op: FileOp) -> String {
    let mut message = message("file:///src", path);
    message.file_op = Some(op);
    words(&send(carrier, url, vec![message], b"new").await[0])
}

pub fn directory(remove: bool) -> FileOp {
    FileOp {
        directory: true,
        remove,
        ..FileOp::default()
    }
}

pub fn removal() -> FileOp {
    FileOp {
        remove: true,
        ..FileOp::default()
    }
}

pub fn rename(old: &str) -> FileOp {
    FileOp {
        rename: Some(old.into()),
        ..FileOp::default()
    }
}

pub fn options(recursive: bool) -> PollOptions {
    PollOptions {
        recursive,
        ..PollOptions::default()
    }
}

/// Finds `path` among what a listing announced, new and of four bytes.
pub fn found_new(found: &[Message], path: &str) -> Message {
    let deep = found.iter().find(|m| m.rel_path == path).unwrap();
    assert_eq!(deep.size, Some(4));
    let age = Timestamp::from(jiff::Timestamp::now()).age_at(deep.mtime.unwrap());
    assert!(age < Duration::from_secs(600), "{deep:?}");
    deep.clone()
}

/// Fetches what was announced, and lists what is at the top: nothing but `other`.
pub async fn assert_four_and_other(carrier: &Carrier, url: &str, deep: Message) {
    let (done, got) = download_one(carrier, deep).await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"four".to_vec()))
    );
    let found = gather_all(&mut poll(carrier, url, options(false)), 64).await;
    let names: Vec<&str> = found.iter().map(|m| m.rel_path.as_str()).collect();
    assert_eq!(names, ["other"]);
}

/// Tells the lane that an object it fetched is safe.
pub async fn settle(carrier: &Carrier, url: &str, name: &str) {
    let outcome = Outcome {
        item: item(1, message(url, name)),
        fate: Fate::Posted,
    };
    let mut lane = carrier.downloader(&[]);
    lane.settled(&[outcome], state()).await.unwrap();
}
