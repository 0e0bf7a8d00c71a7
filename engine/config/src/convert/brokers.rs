//! Brokers, exchanges and bindings, whose lines have to stand in a certain order in sr3.
//!
//! A `subtopic` line binds with what stands above it. Here a flow has one broker to take from and
//! one to post to; what takes from several becomes as many flows.

use super::document::{Node, Value};

/// A broker's URL without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broker {
    pub(super) url: String,
    /// As it is written in the URL; none: nobody can tell, because a variable stands for it.
    pub(super) user: Option<String>,
    pub(super) mqtt: bool,
}

impl Broker {
    pub(super) fn new(url: String) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", &url));
        let authority = rest.split('/').next().unwrap_or_default();
        let user = match authority.rsplit_once('@') {
            Some((user, _)) => Some(user.to_owned()),
            // `${BROKER}` may be anything.
            None if scheme.is_empty() => None,
            None => Some("anonymous".to_owned()),
        };
        let mqtt = scheme.starts_with("mqtt");
        Self { url, user, mqtt }
    }

    /// The exchange sr3 takes where none is named.
    pub(super) fn default_exchange(&self) -> Option<String> {
        match self.user.as_deref() {
            Some("anonymous" | "") => Some("xpublic".to_owned()),
            Some(user) => Some(format!("xs_{user}")),
            None => None,
        }
    }
}

/// One `subtopic` or `topic` line with what stood above it.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    pub(super) broker: usize,
    /// None: the default of the broker.
    pub(super) exchange: Option<String>,
    pub(super) prefix: String,
    pub(super) topic: String,
    /// Whether it ignores the prefix.
    pub(super) complete: bool,
    pub(super) comments: Vec<String>,
}

/// What a flow consumes, or posts to, as far as its lines are read.
#[derive(Debug)]
pub(super) struct Brokers {
    pub(super) inputs: Vec<Broker>,
    pub(super) bindings: Vec<Binding>,
    pub(super) exchange: Option<String>,
    pub(super) suffix: Option<String>,
    pub(super) prefix: String,
    pub(super) outputs: Vec<Broker>,
    pub(super) post_exchange: Option<String>,
    pub(super) post_suffix: Option<String>,
}

impl Default for Brokers {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            bindings: Vec::new(),
            exchange: None,
            suffix: None,
            prefix: "v03".to_owned(),
            outputs: Vec::new(),
            post_exchange: None,
            post_suffix: None,
        }
    }
}

impl Brokers {
    /// The exchange of the input at this point, if it is not the default.
    pub(super) fn input_exchange(&self) -> Option<String> {
        match (&self.exchange, &self.suffix) {
            (Some(exchange), _) => Some(exchange.clone()),
            (None, None) => None,
            (None, Some(suffix)) => {
                let root = self
                    .inputs
                    .last()
                    .and_then(Broker::default_exchange)
                    .unwrap_or_else(|| "xs_${BROKER_USER}".to_owned());
                Some(format!("{root}_{suffix}"))
            }
        }
    }

    /// The exchange posted to; the suffix counts here even with a name.
    pub(super) fn output_exchange(&self) -> String {
        let root = match &self.post_exchange {
            Some(exchange) => exchange.clone(),
            None => self
                .outputs
                .first()
                .and_then(Broker::default_exchange)
                .unwrap_or_else(|| "xs_${POST_BROKER_USER}".to_owned()),
        };
        match &self.post_suffix {
            Some(suffix) => format!("{root}_{suffix}"),
            None => root,
        }
    }
}

/// Options that bind: `exchange`, `topicPrefix`, and `subtopic`, `topic` or `bindings`.
///
/// `last` are exchange and prefix as they are at the end, for a flow without a `subtopic`.
pub(super) fn binding_options(
    bindings: &[&Binding],
    last: (Option<String>, &str),
) -> Vec<(&'static str, Node)> {
    let mut out: Vec<(&'static str, Node)> = Vec::new();
    let mut push = |key, value: Value| out.push((key, value.into()));
    let (exchange, prefix) = match bindings.first() {
        Some(first) => (first.exchange.clone(), first.prefix.as_str()),
        None => last,
    };
    let same_exchange = bindings.iter().all(|binding| binding.exchange == exchange);
    let same_prefix = bindings.iter().all(|binding| binding.prefix == prefix);
    let complete = bindings.iter().filter(|binding| binding.complete).count();
    let uniform = complete == 0 && same_prefix || complete == bindings.len();
    if same_exchange && let Some(exchange) = &exchange {
        push("exchange", Value::text(exchange.clone()));
    }
    if same_prefix && prefix != "v03" {
        push("topicPrefix", Value::text(prefix));
    }
    if bindings.is_empty() {
        return out;
    }
    if same_exchange && uniform {
        let key = if complete == 0 { "subtopic" } else { "topic" };
        out.push((key, topics(bindings)));
        return out;
    }
    let mut groups: Vec<Vec<&Binding>> = Vec::new();
    for binding in bindings {
        let fits = groups.last_mut().filter(|group| {
            group[0].exchange == binding.exchange
                && group[0].prefix == binding.prefix
                && group[0].complete == binding.complete
        });
        match fits {
            Some(group) => group.push(binding),
            None => groups.push(vec![binding]),
        }
    }
    let list = groups
        .iter()
        .map(|group| {
            let first = group[0];
            let mut entries: Vec<(String, Node)> = Vec::new();
            if !same_exchange && let Some(exchange) = &first.exchange {
                entries.push(("exchange".into(), Value::text(exchange.clone()).into()));
            }
            if !first.complete && !same_prefix {
                entries.push((
                    "topicPrefix".into(),
                    Value::text(first.prefix.clone()).into(),
                ));
            }
            let key = if first.complete { "topic" } else { "subtopic" };
            entries.push((key.into(), topics(group)));
            Node::from(Value::Map(entries))
        })
        .collect();
    out.push(("bindings", Value::List(list).into()));
    out
}

/// The topics of bindings; one alone stands beside its option.
fn topics(bindings: &[&Binding]) -> Node {
    if let [only] = bindings {
        return Node {
            comments: only.comments.clone(),
            value: Value::text(only.topic.clone()),
        };
    }
    let nodes = bindings.iter().enumerate().map(|(index, binding)| Node {
        // The comment above the first is about all of them, as often as not.
        comments: if index == 0 {
            Vec::new()
        } else {
            binding.comments.clone()
        },
        value: Value::text(binding.topic.clone()),
    });
    Node {
        comments: bindings
            .first()
            .map(|first| first.comments.clone())
            .unwrap_or_default(),
        value: Value::List(nodes.collect()),
    }
}

/// A topic with dots and sr3's AMQP wildcards, which is how topics are written for every broker.
pub(super) fn topic(written: &str, mqtt: bool) -> String {
    if !mqtt {
        return written.to_owned();
    }
    written
        .split('/')
        .map(|word| if word == "+" { "*" } else { word })
        .collect::<Vec<_>>()
        .join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_are_worked_out_from_users() {
        for (url, user, exchange) in [
            ("amqps://me@host/", Some("me"), Some("xs_me")),
            ("amqps://${ME}@host", Some("${ME}"), Some("xs_${ME}")),
            ("amqps://host/", Some("anonymous"), Some("xpublic")),
            (
                "amqps://anonymous@host/",
                Some("anonymous"),
                Some("xpublic"),
            ),
            ("${BROKER}", None, None),
        ] {
            let broker = Broker::new(url.to_owned());
            assert_eq!(broker.user.as_deref(), user, "{url}");
            assert_eq!(broker.default_exchange().as_deref(), exchange, "{url}");
        }
    }

    #[test]
    fn topics_of_mqtt_are_written_with_dots() {
        assert_eq!(topic("a/+/b/#", true), "a.*.b.#");
        assert_eq!(topic("a.*.b/x", false), "a.*.b/x");
    }
}
