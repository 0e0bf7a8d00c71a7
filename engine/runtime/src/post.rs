//! Posting what survived.
//!
//! A message whose content is stored here is announced where it is: under `post_baseUrl` with the
//! path below `post_baseDir`, or as a `file:` URL. Others keep their URL, unless `post_baseUrl` says
//! otherwise. No announced URL carries a password.
//!
//! A broker that is away is waited for with the messages in hand: that is the back pressure. The keys
//! of posts carry the flow's name, because two flows may post what they made of the same message to
//! one exchange.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use flow_config::template::Context;
use flow_config::{Flow, Output};
use flow_message::{Message, Topic};
use serde_json::Value;

use crate::content::Body;
use crate::edit::set_header;
use crate::finish::Finisher;
use crate::job::{JobEnd, Live};
use crate::pass::Pass;
use crate::ports::{Confirm, Event, Failure, Outgoing, Side};
use crate::trouble::Trouble;

/// Takes the password out of a URL, and leaves the rest as written.
pub(crate) fn drop_password(url: &mut String) {
    if let Some(password) = password(url) {
        url.replace_range(password, "");
    }
}

/// Where a URL has its password, with the colon before it.
fn password(url: &str) -> Option<Range<usize>> {
    let start = url.find("://")? + 3;
    let end = url[start..]
        .find(['/', '?', '#'])
        .map_or(url.len(), |length| start + length);
    let at = start + url[start..end].rfind('@')?;
    let colon = start + url[start..at].find(':')?;
    Some(colon..at)
}

impl Finisher {
    /// Posts the messages of all open jobs, in order. Jobs that could not be posted are ended; those
    /// still open afterwards are done.
    pub(crate) async fn post(&mut self, pass: &mut Pass) {
        let poster = self.abilities.iter().position(|a| a.entry_points.post);
        if self.publisher.is_none() && poster.is_none() {
            return;
        }
        let mut outgoing = Vec::with_capacity(pass.jobs.len());
        let mut owners = Vec::with_capacity(pass.jobs.len());
        let mut keys = Vec::new();
        let debugged = self.shared.debugger.is_some();
        for (number, job) in pass.jobs.iter_mut().enumerate() {
            let lives = std::mem::take(&mut job.live);
            let before = outgoing.len();
            for live in lives {
                let (key, attempt) = (poster.map(|_| live.item.key.clone()), live.item.attempt);
                let seen = debugged.then(|| live.bare());
                let announced = match (self.announce(live), seen) {
                    (Ok(mut message), Some(live)) => {
                        let stopped = self.shared.stop_at_post(live, &mut message).await;
                        stopped.map(|()| message)
                    }
                    (Ok(message), None) => Ok(message),
                    (Err(failure), _) => Err(JobEnd::Failed(failure, 1)),
                };
                match announced {
                    Ok(message) => {
                        outgoing.push(message);
                        keys.extend(key.map(|key| (key, attempt)));
                    }
                    Err(end) => {
                        job.finish(end);
                        outgoing.truncate(before);
                        keys.truncate(before);
                        break;
                    }
                }
            }
            owners.resize(outgoing.len(), number);
        }
        if let Some(index) = poster.filter(|_| !outgoing.is_empty()) {
            self.hand_over(pass, outgoing, &owners, keys, index).await;
        } else if !outgoing.is_empty() {
            self.post_all(pass, &outgoing, &owners).await;
        }
    }

    async fn post_all(&mut self, pass: &mut Pass, outgoing: &[Outgoing], owners: &[usize]) {
        let mut parts = VecDeque::new();
        parts.push_back(0..outgoing.len());
        let mut step = 0;
        while let Some(part) = parts.pop_front() {
            let Some(publisher) = self.publisher.as_mut() else {
                return;
            };
            let failure = match publisher.post(&outgoing[part.clone()]).await {
                Ok(confirms) => {
                    self.shared.connection(Side::Output, true);
                    self.confirmed(pass, &outgoing[part], &confirms);
                    step = 0;
                    continue;
                }
                Err(failure) => failure,
            };
            match failure {
                // One message the broker can't take must not keep the others.
                Failure::Permanent(_) if part.len() > 1 => {
                    let middle = part.start + part.len() / 2;
                    parts.push_front(middle..part.end);
                    parts.push_front(part.start..middle);
                }
                Failure::Permanent(_) => {
                    pass.jobs[owners[part.start]].finish(JobEnd::Failed(failure, 1));
                }
                _ => {
                    self.shared.connection(Side::Output, false);
                    parts.push_front(part);
                    if !self.wait_for_broker(&failure, &mut step).await {
                        for number in parts.into_iter().flatten().map(|index| owners[index]) {
                            pass.jobs[number].give_back();
                        }
                        return;
                    }
                }
            }
        }
    }

    /// Waits before another try; says whether there is to be one.
    async fn wait_for_broker(&mut self, failure: &Failure, step: &mut u32) -> bool {
        let trouble = match failure {
            Failure::Config(_) => {
                self.stop_for(failure);
                return false;
            }
            Failure::Auth(_) => Trouble::Credentials,
            _ => Trouble::Connection,
        };
        if self.once {
            self.stop_for(failure);
            return false;
        }
        let wait = self.shared.trouble_delay(trouble, *step, failure);
        *step += 1;
        let reason = format!("the broker does not take posts: {failure}");
        self.shared.paused(&reason, wait);
        self.wait(wait).await
    }

    fn confirmed(&self, pass: &mut Pass, posted: &[Outgoing], confirms: &[Confirm]) {
        pass.counts.posted += posted.len() as u64;
        let Some(output) = &self.shared.flow.output else {
            return;
        };
        for (index, outgoing) in posted.iter().enumerate() {
            self.shared.tell(|| Event::Posted {
                message: &outgoing.message,
                exchange: &output.exchange,
                topic: outgoing.topic.as_str(),
                confirm: confirms.get(index).copied().unwrap_or(Confirm::Posted),
            });
        }
    }

    /// The post of a message.
    fn announce(&self, live: Live) -> Result<Outgoing, Failure> {
        let flow = &self.shared.flow;
        // Copied only where something is changed: its delivery has it, too.
        let mut message = live.item.message;
        if let Some(output) = &flow.output {
            let context = Context {
                now: live.meta.born,
                message: Some(&message),
                groups: &[],
            };
            let stored = match (&live.item.location, &live.meta.body) {
                (Some(location), Body::Here(_)) => Some(location.path()),
                _ => None,
            };
            let (base, path) = url_of(output, &context, stored.as_deref());
            if let Some(base) = base {
                Arc::make_mut(&mut message).base_url = base;
            }
            if let Some(path) = path {
                let message = Arc::make_mut(&mut message);
                message.rel_path = path;
                message.retrieve_path = None;
            }
        }
        if password(&message.base_url).is_some() {
            drop_password(&mut Arc::make_mut(&mut message).base_url);
        }
        self.set_headers(&mut message, live.meta.born)?;
        let copied = self.shared.stamp.take_topic(&mut message);
        let given = flow.output.as_ref().and_then(|output| output.topic.clone());
        let topic = given
            .or(copied)
            .map(Topic::from)
            .unwrap_or_else(|| topic_of(flow, &message));
        let key = Some([&self.name, ":", &live.item.key].concat());
        Ok(Outgoing {
            message,
            topic,
            key,
        })
    }

    fn set_headers(
        &self,
        message: &mut Arc<Message>,
        now: flow_message::Timestamp,
    ) -> Result<(), Failure> {
        for (name, template) in &self.shared.flow.header {
            let context = Context {
                now,
                message: Some(message),
                groups: &[],
            };
            let value = template.render(&context);
            set_header(
                Arc::make_mut(message),
                name.clone(),
                Some(Value::String(value)),
            )?;
        }
        Ok(())
    }
}

/// The topic of a message that has none of its own.
pub(crate) fn topic_of(flow: &Flow, message: &Message) -> Topic {
    let output = flow.output.as_ref();
    let prefix = output.map_or("v03", |output| &output.topic_prefix);
    Topic::of(prefix, message)
}

/// What baseUrl and relPath become; none: they stay.
fn url_of(
    output: &Output,
    context: &Context<'_>,
    stored: Option<&Path>,
) -> (Option<String>, Option<String>) {
    let base_url = output
        .base_url
        .as_ref()
        .map(|template| template.render(context));
    let Some(stored) = stored else {
        return (base_url, None);
    };
    let path = stored.to_string_lossy().into_owned();
    let whole = path.trim_start_matches('/').to_owned();
    let base_dir = output
        .base_dir
        .as_ref()
        .map(|template| template.render(context));
    let below = base_dir.as_deref().and_then(|base_dir| {
        let below = stored.strip_prefix(base_dir).ok()?;
        Some((base_dir, below.to_string_lossy().into_owned()))
    });
    match (base_url, below) {
        (Some(base_url), Some((_, below))) => (Some(base_url), Some(below)),
        (Some(base_url), None) => (Some(base_url), Some(whole)),
        (None, Some((base_dir, below))) => {
            let root = base_dir.trim_matches('/');
            let slash = if root.is_empty() { "" } else { "/" };
            (Some(format!("file:///{root}{slash}")), Some(below))
        }
        (None, None) => (Some("file:///".into()), Some(whole)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use flow_config::Template;
    use flow_config::template::Context;
    use flow_message::Timestamp;

    use super::{drop_password, url_of};
    use crate::testing::output;

    #[test]
    fn passwords_leave_and_nothing_else_does() {
        for (url, expected) in [
            (
                "imaps://me%40x:secret@mail.example.com:993/INBOX",
                "imaps://me%40x@mail.example.com:993/INBOX",
            ),
            ("http://a:b@c@host/x", "http://a@host/x"),
            ("http://host/a:b@c", "http://host/a:b@c"),
            ("http://me@host", "http://me@host"),
            ("http://host:80", "http://host:80"),
            ("file:///data", "file:///data"),
            ("urn:a:b@c", "urn:a:b@c"),
            ("s3://:key@bucket", "s3://@bucket"),
        ] {
            let mut url = String::from(url);
            drop_password(&mut url);
            assert_eq!(url, expected);
        }
    }

    #[test]
    fn stored_content_is_announced_where_it_is() {
        let context = Context {
            now: Timestamp::from_unix(0, 0),
            message: None,
            groups: &[],
        };
        let check = |base_url: Option<&str>, base_dir: Option<&str>, stored: Option<&str>| {
            let mut output = output();
            output.base_url = base_url.map(|text| Template::parse(text).unwrap());
            output.base_dir = base_dir.map(|text| Template::parse(text).unwrap());
            let (base, path) = url_of(&output, &context, stored.map(Path::new));
            (base.unwrap_or_default(), path.unwrap_or_default())
        };
        let pair = |base: &str, path: &str| (base.to_owned(), path.to_owned());
        let stored = Some("/data/in/x.pdf");
        assert_eq!(check(None, None, stored), pair("file:///", "data/in/x.pdf"));
        assert_eq!(
            check(None, Some("/data"), stored),
            pair("file:///data/", "in/x.pdf")
        );
        assert_eq!(
            check(None, Some("/"), stored),
            pair("file:///", "data/in/x.pdf")
        );
        assert_eq!(
            check(Some("http://me/"), Some("/data"), stored),
            pair("http://me/", "in/x.pdf")
        );
        assert_eq!(
            check(Some("http://me/"), None, stored),
            pair("http://me/", "data/in/x.pdf")
        );
        assert_eq!(
            check(None, Some("/other"), stored),
            pair("file:///", "data/in/x.pdf")
        );
        assert_eq!(check(None, None, None), pair("", ""));
        assert_eq!(
            check(Some("http://me/"), None, None),
            pair("http://me/", "")
        );
    }
}
