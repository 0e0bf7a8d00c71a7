//! Which of several messages about one thing is the latest.
//!
//! One pair of state per thing: who is the latest, since when the thing is held back, and whether
//! the latest has passed. It outlives the passing, because what was superseded may come from the
//! retry store after it, and it disappears by itself.

use std::time::Duration;

use flow_plugin::time::Time;
use flow_plugin::{Message, Result, state};

/// What was superseded is out of the retry store by then, as a rule.
const KEEP: Duration = Duration::from_secs(24 * 3600);
/// Longest key the state takes is 1 KiB; what is longer is cut and told apart by its hash.
const KEY_MAX: usize = 900;

/// What is known of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Latest {
    /// `pub_time` and key of the message; greater is later.
    order: (String, String),
    /// Since when it is held back: seconds since 1970.
    pub(crate) since: i64,
    passed: bool,
}

/// What a message is among its like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The latest, held back since then.
    Latest {
        /// Seconds since 1970.
        since: i64,
        passed: bool,
    },
    /// Another was announced later, at that time.
    Superseded(String),
}

/// Finds the place of a message among those about `thing`, and writes it down.
pub(crate) fn place(thing: &str, message: &Message, now: Time, span: Duration) -> Result<Place> {
    let key = state_key(thing);
    let known = state::get_text(&key)?.and_then(|text| Latest::parse(&text));
    let order = (message.pub_time.clone(), message.key.clone());
    let since = match &known {
        Some(known) if known.order == order => {
            return Ok(Place::Latest {
                since: known.since,
                passed: known.passed,
            });
        }
        Some(known) if known.order > order => {
            return Ok(Place::Superseded(known.order.0.clone()));
        }
        Some(known) if !known.passed => known.since,
        _ => now.unix(),
    };
    let latest = Latest {
        order,
        since,
        passed: false,
    };
    latest.write(&key, span)?;
    Ok(Place::Latest {
        since,
        passed: false,
    })
}

/// Notes that the latest has passed.
pub(crate) fn pass(thing: &str, message: &Message, since: i64, span: Duration) -> Result<()> {
    let latest = Latest {
        order: (message.pub_time.clone(), message.key.clone()),
        since,
        passed: true,
    };
    latest.write(&state_key(thing), span)
}

impl Latest {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.splitn(4, '\n');
        let passed = lines.next()? == "passed";
        let since = lines.next()?.parse().ok()?;
        let order = (lines.next()?.to_owned(), lines.next()?.to_owned());
        Some(Self {
            order,
            since,
            passed,
        })
    }

    fn write(&self, key: &str, span: Duration) -> Result<()> {
        let how = if self.passed { "passed" } else { "held" };
        let (time, message) = &self.order;
        let text = format!("{how}\n{}\n{time}\n{message}", self.since);
        state::put_for(key, text, span.saturating_mul(2) + KEEP)
    }
}

fn state_key(thing: &str) -> String {
    if thing.len() <= KEY_MAX {
        return format!("latest/{thing}");
    }
    // FNV-1a: the same in every build, which the standard hasher does not promise.
    let hash = thing.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let end = (0..=KEY_MAX)
        .rev()
        .find(|at| thing.is_char_boundary(*at))
        .unwrap_or(0);
    format!("latest/{}#{hash:016x}", &thing[..end])
}

#[cfg(test)]
mod tests {
    use flow_plugin::testing::Host;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let latest = Latest {
            order: ("20240101T000000".into(), "queue\nkey".into()),
            since: -5,
            passed: true,
        };
        let host = Host::default().install();
        latest.write("k", Duration::ZERO).unwrap();
        let text = String::from_utf8(host.borrow().state["k"].clone()).unwrap();
        assert_eq!(Latest::parse(&text), Some(latest));
        assert_eq!(Latest::parse("nonsense"), None);
    }

    #[test]
    fn long_things_have_short_keys_of_their_own() {
        let long = "ж".repeat(1000);
        let (one, two) = (state_key(&long), state_key(&format!("{long}2")));
        assert!(one.len() <= 1024 && two.len() <= 1024);
        assert_ne!(one, two);
        assert_eq!(state_key("a/b"), "latest/a/b");
    }
}
