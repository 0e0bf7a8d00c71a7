//! What messages get when they come in: their source, the topic they came with, the name they are to
//! have. Decided once per flow.

use std::sync::Arc;

use flow_config::template::Context;
use flow_config::{Flow, SourceStamp, Template, user_of_exchange};
use flow_message::{Message, Timestamp};
use serde_json::Value;

use crate::ports::Route;

/// Where the topic a message came with is kept, until it is posted: what is in hand may be stored and
/// taken up again.
const TOPIC: &str = "topic";

/// What messages get.
#[derive(Debug)]
pub(crate) struct Stamp {
    source: SourceStamp,
    topic: bool,
    rename: Option<Template>,
}

impl Stamp {
    pub(crate) fn new(flow: &Flow) -> Self {
        Self {
            source: flow.source.clone(),
            topic: flow.output.as_ref().is_some_and(|output| output.topic_copy),
            rename: flow.rename.clone(),
        }
    }

    /// Whether it takes the route of messages.
    pub(crate) fn takes_routes(&self) -> bool {
        self.topic || self.source == SourceStamp::FromExchange
    }

    /// What a message from a queue gets.
    pub(crate) fn received(&self, message: &mut Message, route: Option<Route>) {
        self.source(message, route.as_ref().map(|route| route.exchange.as_str()));
        if let (true, Some(route)) = (self.topic, route) {
            message
                .extra
                .insert(TOPIC.into(), Value::String(route.topic));
        }
    }

    /// What a message gathered here gets.
    pub(crate) fn gathered(&self, message: &mut Message, now: Timestamp) {
        self.source(message, None);
        if let (Some(rename), None) = (&self.rename, &message.rename) {
            let context = Context {
                now,
                message: Some(message),
                groups: &[],
            };
            let mut name = rename.render(&context);
            if name.ends_with('/') {
                name.push_str(message.file_name());
            }
            message.rename = Some(name);
        }
    }

    /// Takes the topic a message came with off it.
    pub(crate) fn take_topic(&self, message: &mut Arc<Message>) -> Option<String> {
        if !self.topic {
            return None;
        }
        match Arc::make_mut(message).extra.shift_remove(TOPIC)? {
            Value::String(topic) => Some(topic),
            _ => None,
        }
    }

    fn source(&self, message: &mut Message, exchange: Option<&str>) {
        match &self.source {
            SourceStamp::Keep => {}
            SourceStamp::Fill(source) => {
                if message.source.is_none() {
                    message.source = Some(source.clone());
                }
            }
            SourceStamp::Set(source) => message.source = Some(source.clone()),
            SourceStamp::FromExchange => {
                if let Some(user) = exchange.and_then(user_of_exchange) {
                    message.source = Some(user.to_owned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flow_config::{SourceStamp, Template};
    use flow_message::{Message, Timestamp};

    use super::Stamp;
    use crate::ports::Route;
    use crate::testing::{output, plain_flow};

    fn stamped(source: SourceStamp, from: Option<&str>, exchange: &str) -> Option<String> {
        let mut flow = plain_flow();
        flow.source = source;
        let stamp = Stamp::new(&flow);
        let mut message = Message::new(Timestamp::from_unix(0, 0), "http://h/", "a/b");
        message.source = from.map(str::to_owned);
        let route = stamp.takes_routes().then(|| Route {
            exchange: exchange.into(),
            topic: "v03.a".into(),
        });
        stamp.received(&mut message, route);
        assert!(message.extra.is_empty());
        message.source
    }

    #[test]
    fn sources_are_kept_filled_in_set_or_those_of_the_exchange() {
        let fill = || SourceStamp::Fill("me".into());
        let set = || SourceStamp::Set("me".into());
        let cases = [
            (SourceStamp::Keep, None, None),
            (SourceStamp::Keep, Some("x"), Some("x")),
            (fill(), None, Some("me")),
            (fill(), Some("x"), Some("x")),
            (set(), Some("x"), Some("me")),
            (SourceStamp::FromExchange, Some("x"), Some("north")),
        ];
        for (stamp, from, expected) in cases {
            let text = format!("{stamp:?} {from:?}");
            let source = stamped(stamp, from, "xs_north_public");
            assert_eq!(source.as_deref(), expected, "{text}");
        }
        let public = stamped(SourceStamp::FromExchange, Some("x"), "xpublic");
        assert_eq!(public.as_deref(), Some("x"));
    }

    #[test]
    fn a_topic_is_kept_on_the_way_and_taken_off_again() {
        let mut flow = plain_flow();
        let mut posting = output();
        posting.topic_copy = true;
        flow.output = Some(posting);
        let stamp = Stamp::new(&flow);
        assert!(stamp.takes_routes());
        let mut message = Message::new(Timestamp::from_unix(0, 0), "http://h/", "a/b");
        let route = Route {
            exchange: "x".into(),
            topic: "v02.post.z".into(),
        };
        stamp.received(&mut message, Some(route));
        let mut message = Arc::new(message);
        assert_eq!(
            stamp.take_topic(&mut message).as_deref(),
            Some("v02.post.z")
        );
        assert!(message.extra.is_empty());
        assert_eq!(stamp.take_topic(&mut message), None);
    }

    #[test]
    fn messages_made_here_say_what_they_are_to_be_called() {
        let renamed = |template: &str| {
            let mut flow = plain_flow();
            flow.rename = Some(Template::parse(template).unwrap());
            let mut message = Message::new(Timestamp::from_unix(0, 0), "http://h/", "a/b.txt");
            Stamp::new(&flow).gathered(&mut message, Timestamp::from_unix(0, 0));
            message.rename.unwrap()
        };
        assert_eq!(renamed("/in/"), "/in/b.txt");
        assert_eq!(renamed("/in/x"), "/in/x");
    }
}
