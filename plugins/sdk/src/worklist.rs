//! sr3's lists, for authors who think in them: messages are moved from one to another.
//!
//! It is another shape of the same thing: where an entry point would answer with one
//! [`Verdict`] per message, it may take `&mut Worklist` instead, change messages in place and move
//! them. What changed becomes an update, what was moved a rejection or a failure. Unlike in sr3, a
//! message that is in no list at the end is not forgotten: it fails, and the log says whose fault
//! that was.

use std::collections::BTreeMap;

use crate::{Edit, Failure, Message, NewMessage, Rejection, Verdict};

/// The batch in hand.
#[derive(Debug, Clone, Default)]
pub struct Worklist {
    /// In `after_accept`: the messages that go on. Empty in `after_work`.
    pub incoming: Vec<Message>,
    /// In `after_work`: the messages that go on. Empty in `after_accept`.
    pub ok: Vec<Message>,
    /// Those that go no further, on purpose, and why.
    pub rejected: Vec<(Message, Rejection)>,
    /// Those that did not work, and why; a temporary failure comes again.
    pub failed: Vec<(Message, Failure)>,
    /// What goes on with a message, by its id.
    added: BTreeMap<u64, Vec<NewMessage>>,
    /// What goes on instead of a message, by its id.
    replaced: BTreeMap<u64, Vec<NewMessage>>,
    original: Vec<Message>,
}

impl Worklist {
    /// The batch of `after_accept`: everything is `incoming`.
    pub fn of_after_accept(batch: Vec<Message>) -> Self {
        Self {
            incoming: batch.clone(),
            original: batch,
            ..Self::default()
        }
    }

    /// The batch of `after_work`: everything is `ok`.
    pub fn of_after_work(batch: Vec<Message>) -> Self {
        Self {
            ok: batch.clone(),
            original: batch,
            ..Self::default()
        }
    }

    /// Moves a message to `rejected`. The code is as in sr3's reports: 304 duplicate, 404 no match,
    /// 413 too large, 415 wrong type.
    pub fn reject(&mut self, message: Message, code: u16, reason: impl Into<String>) {
        let reason = reason.into();
        self.rejected.push((message, Rejection { code, reason }));
    }

    /// Moves a message to `failed`.
    pub fn fail(&mut self, message: Message, failure: Failure) {
        self.failed.push((message, failure));
    }

    /// Lets a new message go on beside one that does.
    pub fn add(&mut self, beside: &Message, message: NewMessage) {
        self.added.entry(beside.id).or_default().push(message);
    }

    /// Lets new messages go on instead of one, which is done with.
    pub fn replace(&mut self, message: Message, with: Vec<NewMessage>) {
        self.replaced.insert(message.id, with);
    }

    /// One verdict per message of the batch, in its order.
    pub fn into_verdicts(self) -> Vec<Verdict> {
        let mut verdicts: BTreeMap<u64, Verdict> = BTreeMap::new();
        let originals: BTreeMap<u64, &Message> = self
            .original
            .iter()
            .map(|message| (message.id, message))
            .collect();
        let mut added = self.added;
        for message in self.incoming.iter().chain(&self.ok) {
            let Some(original) = originals.get(&message.id) else {
                continue;
            };
            let edits = edits(original, message);
            let more = added.remove(&message.id);
            let verdict = match (edits.is_empty(), more) {
                (true, None) => Verdict::Keep,
                (false, None) => Verdict::Update(edits),
                (true, Some(more)) => Verdict::Add(more),
                // One verdict can't say both: the changed message is made anew.
                (false, Some(mut more)) => {
                    more.insert(0, again(message));
                    Verdict::Replace(more)
                }
            };
            verdicts.insert(message.id, verdict);
        }
        for (message, rejection) in self.rejected {
            verdicts.insert(message.id, Verdict::Reject(rejection));
        }
        for (message, failure) in self.failed {
            verdicts.insert(message.id, Verdict::Fail(failure));
        }
        for (id, with) in self.replaced {
            verdicts.insert(id, Verdict::Replace(with));
        }
        let lost = || {
            Verdict::Fail(Failure::permanent(
                "the plugin left the message in no list of its worklist",
            ))
        };
        self.original
            .iter()
            .map(|message| verdicts.remove(&message.id).unwrap_or_else(lost))
            .collect()
    }
}

/// A message as a new one.
fn again(message: &Message) -> NewMessage {
    let message = message.clone();
    NewMessage {
        pub_time: message.pub_time,
        base_url: message.base_url,
        rel_path: message.rel_path,
        retrieve_path: message.retrieve_path,
        size: message.size,
        mtime: message.mtime,
        content_type: message.content_type,
        identity: message.identity,
        headers: message.headers,
        content: None,
    }
}

/// What was changed in a message.
fn edits(before: &Message, after: &Message) -> Vec<Edit> {
    let mut edits = Vec::new();
    macro_rules! field {
        ($($field:ident as $edit:ident),+) => {$(
            if before.$field != after.$field {
                edits.push(Edit::$edit(after.$field.clone()));
            }
        )+};
    }
    field!(
        pub_time as PubTime,
        base_url as BaseUrl,
        rel_path as RelPath
    );
    field!(retrieve_path as RetrievePath, size as Size, mtime as Mtime);
    field!(content_type as ContentType, identity as Identity);
    // These can be set and not unset: a flow that stores nothing has none.
    if let Some(directory) = after
        .directory
        .as_ref()
        .filter(|_| before.directory != after.directory)
    {
        edits.push(Edit::Directory(directory.clone()));
    }
    if let Some(filename) = after
        .filename
        .as_ref()
        .filter(|_| before.filename != after.filename)
    {
        edits.push(Edit::Filename(filename.clone()));
    }
    for header in &after.headers {
        if !before.headers.contains(header) {
            edits.push(Edit::Header((
                header.name.clone(),
                Some(header.value.clone()),
            )));
        }
    }
    for header in &before.headers {
        if !after.headers.iter().any(|other| other.name == header.name) {
            edits.push(Edit::Header((header.name.clone(), None)));
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Header, Value};

    fn batch() -> Vec<Message> {
        (0..5)
            .map(|id| {
                let mut message = Message::new(id, "https://example.org/", format!("{id}.txt"));
                message.headers.push(Header::text("from", "afar"));
                message
            })
            .collect()
    }

    #[test]
    fn what_is_moved_and_changed_becomes_verdicts_in_order() {
        let mut work = Worklist::of_after_accept(batch());
        let mut going_on = Vec::new();
        for mut message in std::mem::take(&mut work.incoming) {
            match message.id {
                0 => work.reject(message, 404, "not this one"),
                1 => work.fail(message, Failure::temporary("not now")),
                2 => {
                    message.rel_path = "b/2.txt".into();
                    message.set_header("by", "me");
                    message.remove_header("from");
                    going_on.push(message);
                }
                3 => drop(message),
                _ => going_on.push(message),
            }
        }
        work.incoming = going_on;
        assert_eq!(
            work.into_verdicts(),
            [
                Verdict::rejected(404, "not this one"),
                Verdict::Fail(Failure::temporary("not now")),
                Verdict::Update(vec![
                    Edit::RelPath("b/2.txt".into()),
                    Edit::Header(("by".into(), Some(Value::Text("me".into())))),
                    Edit::Header(("from".into(), None)),
                ]),
                Verdict::Fail(Failure::permanent(
                    "the plugin left the message in no list of its worklist"
                )),
                Verdict::Keep,
            ]
        );
    }

    #[test]
    fn messages_go_on_beside_and_instead_of_others() {
        let mut work = Worklist::of_after_work(batch()[..3].to_vec());
        let new = |path: &str| NewMessage::new("https://example.org/", path);
        work.add(&batch()[0], new("beside"));
        work.ok[1].set_header("by", "me");
        work.add(&batch()[1], new("beside"));
        let last = work.ok.remove(2);
        work.replace(last, vec![new("instead")]);
        let verdicts = work.into_verdicts();
        assert_eq!(verdicts[0], Verdict::Add(vec![new("beside")]));
        let Verdict::Replace(both) = &verdicts[1] else {
            panic!("{:?}", verdicts[1]);
        };
        assert_eq!(both.len(), 2);
        assert_eq!(both[0].rel_path, "1.txt");
        assert_eq!(verdicts[2], Verdict::Replace(vec![new("instead")]));
    }
}
