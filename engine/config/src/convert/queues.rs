//! The queues sr3 made for a configuration, as its state directory names them.
//!
//! sr3 puts random digits into the name of a queue once and remembers it. Whoever takes over has to
//! use that name, or what waits in the queue is never taken. Nothing is read from disk here, and
//! passwords that older versions left in the file are not kept.

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The name sr3 gives a queue where no line says otherwise.
pub(super) const DEFAULT: &str = "q_${BROKER_USER}.${COMPONENT}.${CONFIG}.${QUEUESHARE}";

/// What sr3 remembers of the queues of one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queues {
    pub(super) made: Vec<Made>,
    /// Why what is there can't be understood.
    pub(super) trouble: Option<String>,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) name: String,
    /// What the name was made of; none: an older version made it, which uses it whatever lines say.
    template: Option<String>,
    place: Place,
}

impl Queues {
    /// What `subscriptions.json` says. Nothing sr3 would understand becomes a remark later on.
    pub fn of_subscriptions(text: &str) -> Self {
        let parsed: Result<Value, _> = serde_json::from_str(text);
        let trouble = |what: &str| Self {
            made: Vec::new(),
            trouble: Some(format!("`subscriptions.json` {what}")),
        };
        let list = match &parsed {
            Ok(Value::Array(list)) => list,
            Ok(_) => return trouble("holds no list"),
            Err(error) => return trouble(&format!("is no JSON: {error}")),
        };
        let read = |entry: &Value| {
            let queue = entry.get("queue")?;
            let name = queue.get("name")?.as_str()?.trim();
            Some(Made {
                name: Some(name).filter(|name| !name.is_empty())?.to_owned(),
                template: queue
                    .get("template")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                place: Place::of(entry.get("broker")?.as_str()?),
            })
        };
        let mut queues = Self::default();
        for made in list.iter().filter_map(read) {
            // One for each binding, in some versions.
            if !queues.made.contains(&made) {
                queues.made.push(made);
            }
        }
        if queues.made.is_empty() && !list.is_empty() {
            return trouble("names no queue");
        }
        queues
    }

    /// What files say that older versions wrote: `<component>.<name>.<user>.qname`, given as the
    /// user and what is in the file.
    pub fn of_names<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let made = files.into_iter().filter_map(|(user, text)| {
            let name = text.trim();
            (!name.is_empty()).then(|| Made {
                name: name.to_owned(),
                template: None,
                place: Place {
                    user: Some(user.to_owned()),
                    ..Place::default()
                },
            })
        });
        Self {
            made: made.collect(),
            trouble: None,
        }
    }

    /// Puts those that are known from elsewhere to these.
    pub fn add(&mut self, more: Self) {
        for made in more.made {
            if !self.made.contains(&made) {
                self.made.push(made);
            }
        }
        if self.trouble.is_none() {
            self.trouble = more.trouble;
        }
    }

    /// Whether no queue is known.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// The queues at a broker that may be the one a flow goes on with: one, if that is clear.
    ///
    /// `template` is what the configuration says; none: nothing, so that it is [`DEFAULT`].
    pub(super) fn at(&self, broker: &str, template: Option<&str>) -> Vec<&Made> {
        let place = Place::of(broker);
        let mut made: Vec<&Made> = self
            .made
            .iter()
            .filter(|made| place.may_be(&made.place))
            .collect();
        if made.iter().any(|made| place.port == made.place.port) {
            made.retain(|made| place.port == made.place.port);
        }
        let wanted = template.unwrap_or(DEFAULT);
        let fits = made.iter().copied().find(|made| match &made.template {
            Some(template) => template == wanted,
            None => true,
        });
        match fits {
            Some(fits) => vec![fits],
            // sr3 makes a new one after `queueName` was changed.
            None if template.is_some() => Vec::new(),
            None => made,
        }
    }
}

impl Made {
    /// The machine it is at, if the file says so.
    pub(super) fn host(&self) -> Option<&str> {
        self.place.host.as_deref()
    }
}

/// Where a queue is. None: nobody can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Place {
    user: Option<String>,
    host: Option<String>,
    port: Option<String>,
    vhost: Option<String>,
}

impl Place {
    fn of(url: &str) -> Self {
        // sr3 writes how to log in behind the URL.
        let url = url.split("+login_method=").next().unwrap_or(url).trim();
        let Some((_, rest)) = url.split_once("://") else {
            return Self::default();
        };
        let rest = rest.split(['?', ' ']).next().unwrap_or(rest);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let is_variable = user.contains("${");
        let user = match user.split_once(':') {
            Some((user, _)) if !is_variable => user,
            _ => user,
        };
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
                (host, Some(port).filter(|port| !port.is_empty()))
            }
            _ => (host, None),
        };
        let known = |text: &str, empty: &str| {
            let text = percent_decode_str(text).decode_utf8_lossy();
            match text.as_ref() {
                "" => Some(empty.to_owned()),
                text if text.contains("${") => None,
                text => Some(text.to_owned()),
            }
        };
        Self {
            user: known(user, "anonymous"),
            host: known(&host.trim_matches(['[', ']']).to_ascii_lowercase(), ""),
            port: port.map(str::to_owned),
            vhost: known(path, "/"),
        }
    }

    /// Whether both may be the same place, as far as is known. A port is often left out, so it does
    /// not count.
    fn may_be(&self, other: &Self) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        same(&self.user, &other.user)
            && same(&self.host, &other.host)
            && same(&self.vhost, &other.vhost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(broker: &str, name: &str, template: Option<&str>) -> Value {
        let mut queue = serde_json::json!({ "name": name, "bind": true, "mismatch": [] });
        if let Some(template) = template {
            queue["template"] = template.into();
        }
        serde_json::json!({ "broker": broker, "bindings": [], "queue": queue })
    }

    fn names(queues: &Queues, broker: &str, template: Option<&str>) -> Vec<String> {
        let made = queues.at(broker, template);
        made.iter().map(|made| made.name.clone()).collect()
    }

    #[test]
    fn a_queue_is_found_by_user_machine_and_virtual_host() {
        let list = Value::from(vec![
            entry("amqps://me@One.example.org/", "a", Some(DEFAULT)),
            entry(
                "amqps://me@one.example.org/vhost+login_method=PLAIN",
                "b",
                Some(DEFAULT),
            ),
            entry(
                "amqps://you:geheim@two.example.org:5671",
                "c",
                Some(DEFAULT),
            ),
            entry("amqps://you@two.example.org:5671", "d", Some("d_${RAND8}")),
            entry("amqps://you@two.example.org:5671", "d", Some("d_${RAND8}")),
            entry("mqtt://@three.example.org/", "e", None),
        ]);
        let queues = Queues::of_subscriptions(&list.to_string());
        assert!(!format!("{queues:?}").contains("geheim"));
        assert_eq!(queues.made.len(), 5);
        for (broker, template, expected) in [
            ("amqps://me@one.example.org:5671/%2F", None, "a"),
            ("amqps://me@one.example.org", Some(DEFAULT), "a"),
            ("amqps://me@one.example.org//", None, "a"),
            ("amqps://me@one.example.org/vhost", None, "b"),
            ("amqps://me@one.example.org/other", None, ""),
            ("amqps://me@one.example.org/", Some("mine"), ""),
            ("amqps://you@two.example.org/", None, "c"),
            ("amqps://you@two.example.org/", Some("d_${RAND8}"), "d"),
            ("amqps://${ME}@two.example.org/", None, "c"),
            ("amqps://me@two.example.org/", None, ""),
            // An older version goes on with it whatever the line says.
            ("mqtt://three.example.org", Some("mine"), "e"),
            ("mqtt://anonymous@three.example.org", None, "e"),
        ] {
            let found = names(&queues, broker, template);
            assert_eq!(found.join(" "), expected, "{broker} {template:?}");
        }
    }

    #[test]
    fn ports_decide_where_they_are_all_that_differs() {
        let list = Value::from(vec![
            entry("amqp://me@localhost:5673/", "a", Some(DEFAULT)),
            entry("amqp://me@localhost:5674/", "b", Some(DEFAULT)),
        ]);
        let queues = Queues::of_subscriptions(&list.to_string());
        assert_eq!(names(&queues, "amqp://me@localhost:5674/", None), ["b"]);
    }

    #[test]
    fn what_was_made_of_something_else_is_no_one_s_choice() {
        let list = Value::from(vec![
            entry("amqp://me@localhost/", "a", Some("a_${RAND8}")),
            entry("amqp://me@localhost/", "b", Some("b_${RAND8}")),
        ]);
        let queues = Queues::of_subscriptions(&list.to_string());
        assert_eq!(names(&queues, "amqp://me@localhost/", None), ["a", "b"]);
        assert_eq!(names(&queues, "${BROKER}", Some("b_${RAND8}")), ["b"]);
    }

    #[test]
    fn files_of_older_versions_name_a_queue_of_a_user() {
        let files = [("me", "q_me.subscribe.x.12345678\n"), ("you", " \n")];
        let queues = Queues::of_names(files);
        let found = names(&queues, "amqp://me@localhost/v", Some("other"));
        assert_eq!(found, ["q_me.subscribe.x.12345678"]);
        assert!(queues.at("amqp://you@localhost/", None).is_empty());
        assert!(Queues::of_names([]).is_empty());
    }

    #[test]
    fn what_is_no_list_of_subscriptions_is_no_reason_to_fail() {
        for text in ["", "{}", "[", "[1]", r#"[{"queue": {"name": ""}}]"#] {
            let queues = Queues::of_subscriptions(text);
            assert!(queues.is_empty() && queues.trouble.is_some(), "{text}");
        }
        assert_eq!(Queues::of_subscriptions("[]"), Queues::default());
    }
}
