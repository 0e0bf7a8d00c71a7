//! Delivering content, by callbacks that send.
//!
//! Where the flow says `sendTo`, one of them is its transfer: it delivers files of this machine before
//! any callback looks at them, to where the rules placed them at the server. Others send whatever
//! reaches them, in their turn.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use flow_config::template::Context;
use flow_config::{Output, SafeUrl};
use flow_message::Message;

use crate::content::{Body, Identify};
use crate::edit;
use crate::fileop;
use crate::job::{Job, JobEnd, Live};
use crate::ports::{Event, Failure, Item, Worked};
use crate::work::{Entry, Worker, fail_all, join, matching, part};

impl Worker<'_> {
    /// The callback that delivers to where the flow sends.
    pub(crate) fn sender(&self) -> Option<usize> {
        let send_to = self.shared.flow.send_to.as_ref()?;
        self.abilities
            .iter()
            .position(|ability| ability.sends_to(send_to))
    }

    /// Delivers files of this machine to where the flow sends.
    pub(crate) async fn deliver(
        &mut self,
        jobs: &mut [Job],
        entries: Vec<Entry>,
        index: usize,
    ) -> Vec<Entry> {
        let started = Instant::now();
        let told = self.abilities[index].entry_points.settled;
        let mut ready = Vec::with_capacity(entries.len());
        for (number, mut live) in entries {
            match self.prepare(&mut live, self.abilities[index].built_in) {
                Ok(()) => {
                    if told {
                        jobs[number].tell.push((index, with_source(&live)));
                    }
                    ready.push((number, live));
                }
                Err(Stop::Failed(failure)) => jobs[number].finish(JobEnd::Failed(failure, 1)),
                Err(Stop::Rejected(rejection)) => {
                    self.reject(&mut jobs[number], &live, rejection);
                }
            }
        }
        let mut sent = self.send(jobs, ready, index).await;
        for (_, live) in &mut sent {
            self.sent(live, started);
        }
        sent
    }

    /// Finds out where the content is here, and what else its message is about there.
    ///
    /// A plugin may send what has no content: then `files` is false, and a message without is its own.
    fn prepare(&self, live: &mut Live, files: bool) -> Result<(), Stop> {
        let (shared, born) = (self.shared, live.meta.born);
        let message = &live.item.message;
        let from = match shared.places.source(message, &shared.local, born) {
            _ if is_inside(message) => None,
            Ok(path) => Some(path),
            Err(failure) if files && message.file_op.is_none() => {
                return Err(Stop::Failed(failure));
            }
            Err(_) => None,
        };
        if let Some(op) = &message.file_op {
            let other = fileop::other(shared, message, op, born).map_err(Stop::Rejected)?;
            live.item.other = other.map(|placed| placed.location);
        }
        live.meta.body = Body::Sent(from);
        Ok(())
    }

    /// What follows from having been sent.
    fn sent(&mut self, live: &mut Live, started: Instant) {
        let message = Arc::make_mut(&mut live.item.message);
        message.rename = None;
        let bytes = match message.file_op {
            None => message.size.unwrap_or_default(),
            Some(_) => 0,
        };
        self.report.counts.sent += 1;
        self.report.counts.sent_bytes += bytes;
        let Some(location) = &live.item.location else {
            return;
        };
        let path = location.path();
        if let Some(output) = &self.shared.flow.output {
            let context = Context {
                now: live.meta.born,
                message: Some(message),
                groups: &[],
            };
            if let Some((base_url, rel_path)) = below(output, &context, message, &path) {
                message.base_url = base_url;
                message.rel_path = rel_path;
            }
        }
        if let Some(other) = &live.item.other {
            name_other(message, &path, &other.path());
        }
        self.shared.tell(|| Event::Sent {
            message: &live.item.message,
            path: &path,
            bytes,
            elapsed: started.elapsed(),
        });
    }

    /// One call of a callback that sends; those it did not send are ended.
    pub(crate) async fn send(
        &mut self,
        jobs: &mut [Job],
        entries: Vec<Entry>,
        index: usize,
    ) -> Vec<Entry> {
        let stopped = self
            .shared
            .stop_at_entries("send", Some(index), jobs, entries);
        let entries = stopped.await;
        if entries.is_empty() {
            return entries;
        }
        let started = Instant::now();
        let call = self.call(entries.iter().map(|(_, live)| live), index, Identify::Never);
        let (metas, items) = part(entries);
        let state = self.shared.state(index, self.overlay);
        let callback = &mut self.lane.callbacks[index];
        let answer = callback.send(&items, Arc::clone(&call) as _, state).await;
        let answer = matching(answer, items.len(), callback.name());
        let entries = join(metas, items);
        let answers = match answer {
            Ok(answers) => answers,
            Err(failure) => {
                fail_all(jobs, &entries, &failure);
                self.report.failed_calls.push(failure);
                return Vec::new();
            }
        };
        let mut sent = Vec::with_capacity(entries.len());
        for ((number, mut live), answer) in entries.into_iter().zip(answers) {
            self.worked(index, "send", &live, &answer, started);
            match answer {
                Worked::Done(edits) => match edit::apply(edits, &mut live) {
                    Ok(()) => sent.push((number, live)),
                    Err(failure) => jobs[number].finish(JobEnd::Failed(failure, 1)),
                },
                Worked::Reject(rejection) => self.reject(&mut jobs[number], &live, rejection),
                Worked::Fail(failure) => jobs[number].finish(JobEnd::Failed(failure, 1)),
            }
        }
        sent.retain(|(number, _)| jobs[*number].is_open());
        sent
    }
}

/// Why something can't be sent.
enum Stop {
    Failed(Failure),
    Rejected(crate::ports::Rejection),
}

/// Whether the whole content is in the message.
fn is_inside(message: &Message) -> bool {
    let Some(content) = &message.content else {
        return false;
    };
    content
        .bytes()
        .is_ok_and(|bytes| message.size.is_none_or(|size| size == bytes.len() as u64))
}

/// The item as the transfer is told of it once it is safe: its URL is that of the file here.
fn with_source(live: &Live) -> Item {
    let mut item = live.item.clone();
    if let Some(path) = live.meta.body.path() {
        let message = Arc::make_mut(&mut item.message);
        message.base_url = "file:/".into();
        message.rel_path = path.to_string_lossy().into_owned();
        message.retrieve_path = None;
    }
    item
}

/// What is announced of something sent to `path` where `post_baseDir` is in front of that, or else the
/// path of `post_baseUrl`: they are one directory, and relPath is what is below.
fn below(
    output: &Output,
    context: &Context<'_>,
    message: &Message,
    path: &Path,
) -> Option<(String, String)> {
    let base_dir = match (&output.base_dir, &output.base_url) {
        (Some(base_dir), _) => base_dir.render(context),
        (None, Some(base_url)) => {
            let url = SafeUrl::parse(&base_url.render(context)).ok()?;
            let is_tree = matches!(url.scheme(), "file" | "sftp" | "ftp" | "ftps");
            let path = url.expose().path().trim_matches('/');
            (is_tree && !path.is_empty()).then(|| format!("/{path}"))?
        }
        (None, None) => return None,
    };
    let below = path.strip_prefix(base_dir.trim_end_matches('/')).ok()?;
    let below = below.to_str()?.to_owned();
    let above = message.rel_path.strip_suffix(&below)?;
    let slash = if message.base_url.ends_with('/') || above.is_empty() {
        ""
    } else {
        "/"
    };
    let base_url = format!("{}{slash}{above}", message.base_url);
    Some((base_url, below))
}

/// Has an operation name the other path it is about as it is there, below the same root as relPath.
fn name_other(message: &mut Message, path: &Path, other: &Path) {
    let named = || {
        let root = path.to_str()?.strip_suffix(&message.rel_path)?;
        let below = other.to_str()?.strip_prefix(root)?;
        Some(below.to_owned())
    };
    let (Some(name), Some(op)) = (named(), &mut message.file_op) else {
        return;
    };
    for place in [&mut op.rename, &mut op.hlink] {
        if place.is_some() {
            *place = Some(name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use flow_config::Template;
    use flow_config::template::Context;
    use flow_message::{FileOp, Message, Timestamp};

    use super::{below, name_other};
    use crate::testing::output;

    #[test]
    fn old_names_are_those_there() {
        let renamed = |rel_path: &str, path: &str, other: &str| {
            let time = Timestamp::from_unix(0, 0);
            let mut message = Message::new(time, "sftp://h/", rel_path);
            message.file_op = Some(FileOp {
                rename: Some("old".into()),
                ..FileOp::default()
            });
            name_other(&mut message, Path::new(path), Path::new(other));
            message.file_op.unwrap().rename.unwrap()
        };
        assert_eq!(renamed("in/new", "in/new", "in/old"), "in/old");
        assert_eq!(renamed("a/new", "/data/a/new", "/data/b/old"), "b/old");
        assert_eq!(renamed("data/new", "/data/new", "/data/old"), "data/old");
        assert_eq!(renamed("new", "in/new", "elsewhere/old"), "old");
    }

    #[test]
    fn what_was_sent_is_announced_below_the_directory_others_know() {
        let check = |base_url: Option<&str>, base_dir: Option<&str>, sent: (&str, &str), path| {
            let mut output = output();
            output.base_url = base_url.map(|text| Template::parse(text).unwrap());
            output.base_dir = base_dir.map(|text| Template::parse(text).unwrap());
            let message = Message::new(Timestamp::from_unix(0, 0), sent.0, sent.1);
            let context = Context {
                now: message.pub_time,
                message: Some(&message),
                groups: &[],
            };
            below(&output, &context, &message, Path::new(path))
        };
        let pair = |base: &str, path: &str| Some((base.to_owned(), path.to_owned()));
        let home = ("sftp://me@h/", "in/a/b");
        let root = ("sftp://me@h//", "data/in/a/b");
        let sub = ("ftp://h/pub", "in/a/b");
        assert_eq!(check(None, None, home, "in/a/b"), None);
        assert_eq!(
            check(None, Some("in"), home, "in/a/b"),
            pair("sftp://me@h/in/", "a/b")
        );
        assert_eq!(
            check(None, Some("/data/in/"), root, "/data/in/a/b"),
            pair("sftp://me@h//data/in/", "a/b")
        );
        assert_eq!(
            check(None, Some("in"), sub, "in/a/b"),
            pair("ftp://h/pub/in/", "a/b")
        );
        assert_eq!(check(None, Some("other"), home, "in/a/b"), None);
        let web = Some("https://h/files/");
        assert_eq!(check(web, None, home, "in/a/b"), None);
        let tree = Some("sftp://me@h//data/in");
        assert_eq!(
            check(tree, None, root, "/data/in/a/b"),
            pair("sftp://me@h//data/in/", "a/b")
        );
    }
}
