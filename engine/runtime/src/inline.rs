//! Content that travels in its message (`inline`).
//!
//! What is small enough is read back from its file just before its message is posted. Only what is
//! what the message says goes in: of the announced length and, where it can be computed, with the
//! announced identity. A file that changed meanwhile is announced without its content.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_config::template::Context;
use flow_config::{Flow, InlineAs, InlinePolicy, Kind, PostFormat};
use flow_message::{Identity, Inline, InlineEncoding, Message};

use crate::content::{self, Body, Method};
use crate::finish::Finisher;
use crate::job::{Job, Live};
use crate::nodupe::same_identity;
use crate::ports::Rejection;
use crate::verdict;

/// What is to be read for one message.
struct Wanted {
    path: PathBuf,
    size: Option<u64>,
    identity: Option<Identity>,
}

impl Finisher {
    /// Puts small content into the messages that are about to be posted.
    pub(crate) async fn inline(&mut self, jobs: &mut [Job]) {
        let flow = &self.shared.flow;
        let Some(policy) = flow.inline else { return };
        let forms = |output: &flow_config::Output| output.format == PostFormat::V03;
        if !flow.output.as_ref().is_some_and(forms) {
            return;
        }
        let mut places = Vec::new();
        let mut wanted = Vec::new();
        for (number, job) in jobs.iter().enumerate() {
            for (place, live) in job.live.iter().enumerate() {
                if let Some(want) = want(live, &policy, flow) {
                    places.push((number, place));
                    wanted.push(want);
                }
            }
        }
        if !wanted.is_empty() {
            let read = move || wanted.iter().map(|want| read(want, &policy)).collect();
            let read: Vec<Option<Inline>> =
                tokio::task::spawn_blocking(read).await.unwrap_or_default();
            for ((number, place), content) in places.into_iter().zip(read) {
                let message = &mut jobs[number].live[place].item.message;
                if message.content != content {
                    Arc::make_mut(message).content = content;
                }
            }
        }
        if policy.only {
            for job in jobs {
                self.reject_without_content(job, &policy);
            }
        }
    }

    fn reject_without_content(&self, job: &mut Job, policy: &InlinePolicy) {
        let lacks = |live: &Live| {
            let message = &live.item.message;
            message.content.is_none() && has_content(message)
        };
        if !job.live.iter().any(lacks) {
            return;
        }
        for live in std::mem::take(&mut job.live) {
            if !lacks(&live) {
                job.live.push(live);
                continue;
            }
            let reason = format!(
                "its content can't travel in the message, as `inlineOnly` asks for: it has more than \
                 {} bytes, is not here, or can't be written so",
                policy.byte_max
            );
            let rejection = Rejection { code: 413, reason };
            verdict::reject(&self.shared, job, &live, rejection, "post");
        }
        job.close_if_rejected();
    }
}

/// Whether the message is about something that has content.
fn has_content(message: &Message) -> bool {
    message.file_op.is_none()
}

fn want(live: &Live, policy: &InlinePolicy, flow: &Flow) -> Option<Wanted> {
    let message = &live.item.message;
    if !has_content(message) || message.size.is_some_and(|size| size > policy.byte_max) {
        return None;
    }
    let path = match &live.meta.body {
        Body::Here(path) | Body::Sent(Some(path)) => path.clone(),
        // It came so, and stays so.
        _ if message.content.is_some() => return None,
        Body::Away => file_here(live, flow)?,
        Body::Held(_) | Body::Stored(_) | Body::Sent(None) => return None,
    };
    Some(Wanted {
        path,
        size: message.size,
        identity: message.identity.clone(),
    })
}

/// The file a message without content of its own is about, if it is one of this machine.
fn file_here(live: &Live, flow: &Flow) -> Option<PathBuf> {
    let message = &live.item.message;
    // Only what a flow names itself is a path below its own directory.
    if matches!(flow.name.kind, Kind::Watch | Kind::Post) {
        let base_dir = flow
            .output
            .as_ref()
            .and_then(|output| output.base_dir.as_ref());
        let context = Context {
            now: live.meta.born,
            message: None,
            groups: &[],
        };
        let base_dir = base_dir.map(|base_dir| base_dir.render(&context));
        let here = content::file_path(message).filter(|_| base_dir.is_none());
        let root = base_dir.unwrap_or_else(|| "/".into());
        let below = || Path::new(&root).join(message.rel_path.trim_start_matches('/'));
        return Some(here.unwrap_or_else(below));
    }
    content::file_path(message)
}

fn read(wanted: &Wanted, policy: &InlinePolicy) -> Option<Inline> {
    let bytes = read_file(&wanted.path, policy.byte_max)?;
    let announced = wanted.size.is_none_or(|size| size == bytes.len() as u64)
        && is_announced(&bytes, wanted.identity.as_ref());
    if !announced {
        return None;
    }
    encode(bytes, policy.encoding)
}

/// The bytes of a plain file, unless there are more than `most`.
fn read_file(path: &Path, most: u64) -> Option<Vec<u8>> {
    // What is no plain file may never end.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

fn encode(bytes: Vec<u8>, encoding: InlineAs) -> Option<Inline> {
    let binary = |bytes: &[u8]| Inline {
        encoding: InlineEncoding::Base64,
        value: STANDARD.encode(bytes),
    };
    if encoding == InlineAs::Binary {
        return Some(binary(&bytes));
    }
    match String::from_utf8(bytes) {
        Ok(value) => Some(Inline {
            encoding: InlineEncoding::Utf8,
            value,
        }),
        Err(_) if encoding == InlineAs::Text => None,
        Err(error) => Some(binary(error.as_bytes())),
    }
}

/// Whether bytes have the identity announced for them, as far as that can be computed.
fn is_announced(bytes: &[u8], identity: Option<&Identity>) -> bool {
    let Some(identity) = identity else {
        return true;
    };
    match Method::named(&identity.method).and_then(|method| content::identify_bytes(bytes, method))
    {
        Some(found) => same_identity(&found, identity),
        None => true,
    }
}

/// The bytes that came inside `message`, if they are what it announces; else why not.
pub(crate) fn received(message: &Message, accept_size_wrong: bool) -> Result<Vec<u8>, String> {
    let Some(inline) = &message.content else {
        return Err("there is none".into());
    };
    let bytes = content::decode_inline(inline).map_err(|failure| failure.to_string())?;
    match message.size {
        Some(size) if size != bytes.len() as u64 && !accept_size_wrong => Err(format!(
            "it has {} bytes, {size} were announced",
            bytes.len()
        )),
        _ if !is_announced(&bytes, message.identity.as_ref()) => {
            Err("its identity is not the announced one".into())
        }
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use flow_config::InlineAs;
    use flow_message::{Identity, Inline, InlineEncoding, Message, Timestamp};

    use super::{encode, read_file, received};

    #[test]
    fn content_is_written_as_it_can_be() {
        let text = |value: &str| {
            Some(Inline {
                encoding: InlineEncoding::Utf8,
                value: value.into(),
            })
        };
        let binary = |value: &str| {
            Some(Inline {
                encoding: InlineEncoding::Base64,
                value: value.into(),
            })
        };
        for (bytes, encoding, expected) in [
            (&b"hello"[..], InlineAs::Guess, text("hello")),
            (b"hello", InlineAs::Text, text("hello")),
            (b"hello", InlineAs::Binary, binary("aGVsbG8=")),
            (b"\xff\x00", InlineAs::Guess, binary("/wA=")),
            (b"\xff\x00", InlineAs::Text, None),
            (b"", InlineAs::Guess, text("")),
        ] {
            assert_eq!(encode(bytes.to_vec(), encoding), expected);
        }
    }

    #[test]
    fn no_more_is_read_than_may_travel() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a");
        std::fs::write(&path, "12345").expect("it is written");
        assert_eq!(read_file(&path, 5), Some(b"12345".to_vec()));
        assert_eq!(read_file(&path, 4), None);
        assert_eq!(read_file(directory.path(), 4), None);
    }

    #[test]
    fn content_that_is_not_what_was_announced_is_not_taken() {
        let mut message = Message::new(Timestamp::from_unix(1, 0), "http://origin/", "a");
        message.content = Some(Inline {
            encoding: InlineEncoding::Utf8,
            value: "hello sarracenia\n".into(),
        });
        message.size = Some(17);
        assert_eq!(
            received(&message, false),
            Ok(b"hello sarracenia\n".to_vec())
        );
        message.size = Some(16);
        assert!(received(&message, false).is_err());
        assert!(received(&message, true).is_ok());
        message.size = None;
        message.identity = Some(Identity {
            method: "md5".into(),
            value: "AAAAAAAAAAAAAAAAAAAAAA==".into(),
        });
        assert!(received(&message, false).is_err());
        message.identity = Some(Identity {
            method: "arbitrary".into(),
            value: "1".into(),
        });
        assert!(received(&message, false).is_ok());
    }
}
