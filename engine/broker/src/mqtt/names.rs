//! How exchanges, queues, topics and bindings are written in MQTT.
//!
//! | here | in MQTT |
//! | --- | --- |
//! | exchange `x`, topic `v03.a.b` | topic `x/v03/a/b` |
//! | queue `q`, binding `v03.*.b.#` | filter `$share/q/x/v03/+/b/#` |
//! | instance 1 of queue `q` | client id `q_i01` |
//!
//! No exchange (an empty name) means no first level. The levels of a topic are the directories of
//! `relPath` themselves: a dot in a directory name stays in its level, where a dotted topic has to
//! split it. `#` and `+` in a level are written `%23` and `%2B`. [`form`](crate::form) makes them.
//!
//! A binding is dotted, or has a `/` anywhere: then its levels are what is between the slashes, dots
//! included. `*` and `+` stand for one level, `#` for any number. MQTT knows `#` only at the end, and
//! sends a message once for each filter it matches, so what is asked of the server is wider than the
//! bindings, and [`Bindings::want`] makes it exact again: of the subscriptions a message matches, the
//! first counts. Each has an identifier that is a function of its text, so that several instances
//! agree, and so do a process and the one after it; a subscription that an earlier declaration left
//! behind has an identifier that no binding has any more.

use flow_runtime::ports::Route;

use super::packet::Publish;
use crate::embedded::Declaration;
use crate::error::{Error, Kind};

/// The longest name of a queue or exchange, in bytes: what AMQP 0-9-1 can carry.
const LONGEST_NAME: usize = 255;
/// The greatest subscription identifier.
const LARGEST_ID: u32 = 268_435_455;

/// Refuses names that would read as something else in a topic or a filter.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    // No exchange is an exchange in MQTT.
    let empty = name.is_empty() && what != "exchange";
    if empty || name.len() > LONGEST_NAME {
        return Err(Error::new(
            Kind::Name,
            format!(
                "the name of a {what} has 1 to {LONGEST_NAME} bytes, `{name}` has {}; nothing was \
                 stored",
                name.len()
            ),
        ));
    }
    if name.contains(['/', '+', '#', '\0']) || name.starts_with('$') {
        return Err(Error::new(
            Kind::Name,
            format!(
                "`{name}` can't be the name of a {what} in MQTT, where `/`, `+`, `#` and a leading \
                 `$` mean something else; nothing was stored; rename it"
            ),
        ));
    }
    Ok(())
}

/// The client id of an instance; the server keeps its session under this name.
pub(super) fn client_id(queue: &str, instance: u32) -> String {
    format!("{queue}_i{instance:02}")
}

fn escape(level: &str) -> String {
    level.replace('#', "%23").replace('+', "%2B")
}

/// One level of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    /// Exactly this.
    Word(String),
    /// Any one.
    One,
    /// Any number, none included.
    Rest,
}

impl Level {
    fn written(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::One => "+",
            Self::Rest => "#",
        }
    }
}

#[derive(Debug, Clone)]
struct Binding {
    levels: Vec<Level>,
    filter: String,
    id: u32,
}

/// What a queue shall have.
#[derive(Debug, Clone)]
pub(super) struct Bindings(Vec<Binding>);

impl Bindings {
    /// # Errors
    /// [`Kind::Name`] for a queue or exchange that can't be named in MQTT.
    pub(super) fn of(declaration: &Declaration) -> Result<Self, Error> {
        check_name("queue", &declaration.queue)?;
        let own = declaration.bindings.iter();
        let own = own.map(|pattern| (&declaration.exchange, pattern));
        let also = declaration.also.iter();
        let also = also.map(|(exchange, pattern)| (exchange, pattern));
        let mut bindings: Vec<Binding> = Vec::new();
        for (exchange, pattern) in own.chain(also) {
            check_name("exchange", exchange)?;
            let binding = Binding::new(&declaration.queue, exchange, pattern);
            if bindings.iter().all(|other| other.levels != binding.levels) {
                bindings.push(binding);
            }
        }
        Ok(Self(bindings))
    }

    /// Filters with the identifiers of their subscriptions.
    pub(super) fn filters(&self) -> Vec<(String, u32)> {
        let mut filters: Vec<(String, u32)> = Vec::new();
        for binding in &self.0 {
            // Two bindings may come to the same filter: one subscription, named after the first.
            if filters.iter().all(|(filter, _)| *filter != binding.filter) {
                filters.push((binding.filter.clone(), binding.id));
            }
        }
        filters
    }

    /// Whether the queue shall have this copy of a message.
    pub(super) fn want(&self, message: &Publish) -> bool {
        let levels: Vec<&str> = message.topic.split('/').collect();
        if !self
            .0
            .iter()
            .any(|binding| select(&binding.levels, &levels))
        {
            return false;
        }
        // A server that does not say which subscriptions matched gives no choice.
        if message.subscriptions.is_empty() {
            return true;
        }
        // The server sends a copy for each filter that matches; bindings with the same filter share an
        // identifier.
        let first = self
            .0
            .iter()
            .find(|binding| select(wide(&binding.levels), &levels));
        first.is_some_and(|first| message.subscriptions.contains(&first.id))
    }
}

impl Binding {
    fn new(queue: &str, exchange: &str, pattern: &str) -> Self {
        let separator = if pattern.contains('/') { '/' } else { '.' };
        let mut levels = Vec::new();
        if !exchange.is_empty() {
            levels.push(Level::Word(exchange.to_owned()));
        }
        for word in pattern.split(separator).filter(|word| !word.is_empty()) {
            levels.push(match word {
                "*" | "+" => Level::One,
                "#" => Level::Rest,
                word => Level::Word(escape(word)),
            });
        }
        let written: Vec<&str> = wide(&levels).iter().map(Level::written).collect();
        let filter = format!("$share/{queue}/{}", written.join("/"));
        Self {
            id: id_of(&filter),
            levels,
            filter,
        }
    }
}

/// The levels as far as MQTT can say them: up to the first `#`.
fn wide(levels: &[Level]) -> &[Level] {
    let end = levels
        .iter()
        .position(|level| *level == Level::Rest)
        .map_or(levels.len(), |at| at + 1);
    &levels[..end]
}

/// FNV-1a, folded to what an identifier may be: the same in every process and version.
fn id_of(filter: &str) -> u32 {
    let hash = filter.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash % LARGEST_ID + 1
}

/// The exchange and the dotted topic in a topic of MQTT.
pub(super) fn route(topic: &str) -> Route {
    let (exchange, rest) = topic.split_once('/').unwrap_or((topic, ""));
    Route {
        exchange: exchange.to_owned(),
        topic: rest.replace('/', ".").replace("%2B", "+"),
    }
}

/// Whether the levels of a binding select those of a topic. As `flow_message::topic_matches`, for
/// levels that may have dots in them.
fn select(pattern: &[Level], topic: &[&str]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        match pattern.get(p) {
            Some(Level::Rest) => {
                back = Some((p, t));
                p += 1;
                continue;
            }
            Some(Level::One) if t < topic.len() => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            Some(Level::Word(word)) if topic.get(t) == Some(&word.as_str()) => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            None if t == topic.len() => return true,
            _ => {}
        }
        match back {
            Some((at, taken)) if taken < topic.len() => {
                back = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use flow_message::topic_matches;

    use super::*;

    fn bindings(patterns: &[&str]) -> Bindings {
        let patterns = patterns.iter().copied();
        Bindings::of(&Declaration::new("q", "x", patterns)).unwrap()
    }

    fn publish(topic: &str, subscriptions: &[u32]) -> Publish {
        Publish {
            topic: topic.into(),
            subscriptions: subscriptions.to_vec(),
            ..Publish::default()
        }
    }

    #[test]
    fn bindings_become_filters() {
        for (pattern, expected) in [
            ("v03.#", "$share/q/x/v03/#"),
            ("#", "$share/q/x/#"),
            ("v03.*.b", "$share/q/x/v03/+/b"),
            ("v03.#.b", "$share/q/x/v03/#"),
            ("v03/v1.2/+/#", "$share/q/x/v03/v1.2/+/#"),
            ("v03.a+b", "$share/q/x/v03/a%2Bb"),
        ] {
            assert_eq!(bindings(&[pattern]).filters()[0].0, expected, "{pattern}");
        }
        assert_eq!(
            bindings(&["v03.#.b", "v03.#.c", "v03.#"]).filters().len(),
            1
        );
    }

    #[test]
    fn one_copy_of_a_message_is_wanted_however_many_the_server_sends() {
        for patterns in [
            &["v03.a.#", "v03.#.b", "v03.*.b"][..],
            &["v03.#.b", "v03.#.a"],
            &["v03.#.c", "v03.#.b"],
            &["#", "v03.*.b"],
            &["v03.a.c", "v03.a"],
        ] {
            let bindings = bindings(patterns);
            for topic in ["v03.a.b", "v03.b", "v03.a", "v03.c.b", "v03.a.c", "v02.a"] {
                let levels = format!("x/{}", topic.replace('.', "/"));
                // What a server sends: a copy for each filter that matches.
                let copies = bindings
                    .filters()
                    .into_iter()
                    .filter(|(filter, _)| {
                        let filter = filter.strip_prefix("$share/q/x/").unwrap();
                        topic_matches(&filter.replace('/', ".").replace('+', "*"), topic)
                    })
                    .filter(|(_, id)| bindings.want(&publish(&levels, &[*id])))
                    .count();
                let expected = patterns.iter().any(|pattern| topic_matches(pattern, topic));
                assert_eq!(copies, usize::from(expected), "{patterns:?} on {topic}");
            }
        }
    }

    #[test]
    fn a_queue_takes_from_several_exchanges() {
        let declaration = Declaration::new("q", "x", ["v03.a"]).and("y", "v03.#");
        let bindings = Bindings::of(&declaration).unwrap();
        let filters: Vec<String> = bindings
            .filters()
            .into_iter()
            .map(|(filter, _)| filter)
            .collect();
        assert_eq!(filters, ["$share/q/x/v03/a", "$share/q/y/v03/#"]);
        let wants = |topic: &str| bindings.want(&publish(topic, &[]));
        assert!(wants("x/v03/a") && wants("y/v03/b"));
        assert!(!wants("x/v03/b") && !wants("z/v03/a"));
        let wrong = Declaration::new("q", "x", ["v03.a"]).and("y/z", "v03.#");
        assert_eq!(Bindings::of(&wrong).unwrap_err().kind(), Kind::Name);
    }

    #[test]
    fn copies_of_forgotten_subscriptions_are_not_wanted() {
        let now = bindings(&["v03.a.#"]);
        let before = bindings(&["v03.#"]).filters()[0].1;
        assert!(!now.want(&publish("x/v03/a", &[before])));
        assert!(now.want(&publish("x/v03/a", &[before, now.filters()[0].1])));
        assert!(now.want(&publish("x/v03/a", &[])));
        assert!(!now.want(&publish("x/v03/b", &[])));
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for name in ["a/b", "a+", "#", "$share", ""] {
            assert_eq!(check_name("queue", name).unwrap_err().kind(), Kind::Name);
        }
        assert!(check_name("exchange", "").is_ok());
        assert_eq!(client_id("q_me.subscribe.a", 1), "q_me.subscribe.a_i01");
    }
}
