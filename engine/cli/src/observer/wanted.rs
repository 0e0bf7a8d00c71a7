//! Which events of a flow get a line: `logEvents`, `logReject`, `logDuplicates`, `logMessageDump`.
//!
//! What went wrong has its line whatever a flow asks for; how important a line has to be is
//! `logLevel`, and decided by whoever writes it.
//!
//! Names that can't be used are refused by nobody's rule, so they are told, too: a few each upkeep, as
//! a sender with a bad habit has many of them, and how many more there were.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use flow_config::{Flow, LogEvents};
use flow_message::{Message, v03};
use flow_runtime::ports::Event;

use crate::args::LogLevel;
use crate::render::{plural, printable};

use super::Totals;
use super::lines;

/// What one flow wants to be written down.
pub(crate) struct Wanted {
    events: LogEvents,
    /// How important it is that a message was accepted: hardly, where nobody asked for it, because
    /// what becomes of it has its own line.
    accepted: LogLevel,
    dump: bool,
    /// Since the last upkeep.
    since: Mutex<(Totals, Instant)>,
    /// Refused names since the last upkeep.
    bad_names: AtomicU64,
}

/// Refused names told between two upkeeps.
const BAD_NAMES: u64 = 20;

impl Wanted {
    /// What `flow` wants.
    pub(crate) fn of(flow: &Flow) -> Self {
        let accepted = if flow.is_written("logEvents") {
            LogLevel::Info
        } else {
            LogLevel::Debug
        };
        Self {
            events: flow.log.events,
            accepted,
            dump: flow.log.message_dump,
            since: Mutex::new((Totals::default(), Instant::now())),
            bad_names: AtomicU64::new(0),
        }
    }

    /// What `flow` wants in a terminal: unless it says something about them, rejections too, because
    /// whoever looks wants to know where a message went.
    pub(crate) fn of_watched(flow: &Flow) -> Self {
        let mut wanted = Self::of(flow);
        let options = ["logEvents", "logReject", "logDuplicates"];
        if !options.iter().any(|option| flow.is_written(option)) {
            wanted.events.reject = true;
            wanted.events.nodupe = true;
        }
        wanted
    }

    /// The event's line and how much it matters; none for what is not wanted, for what matters less
    /// than `least`, and for what only a trace shows.
    pub(crate) fn line(&self, event: &Event<'_>, least: LogLevel) -> Option<(LogLevel, String)> {
        if let Event::Pass(counts) = event {
            let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
            since.0.add(counts);
        }
        if matches!(event, Event::Housekeeping) {
            return self.housekeeping().filter(|(level, _)| *level <= least);
        }
        let events = &self.events;
        let wanted = match event {
            Event::Accepted { .. } => events.after_accept,
            Event::Fetched { .. } | Event::Derived { .. } => events.after_work,
            Event::Posted { .. } => events.after_post,
            Event::Rejected {
                stage: "nodupe", ..
            } => events.nodupe,
            Event::Rejected { .. } if events.reject => true,
            Event::Rejected { rejection, .. } => {
                rejection.is_of_bad_name()
                    && self.bad_names.fetch_add(1, Ordering::Relaxed) < BAD_NAMES
            }
            _ => true,
        };
        let level = match event {
            Event::Accepted { .. } => self.accepted,
            _ => lines::level(event)?,
        };
        // Before its text is made: there are several events to a message.
        if !wanted || level > least {
            return None;
        }
        let (_, mut text) = lines::line(event)?;
        if let Some(message) = subject(event).filter(|_| self.dump) {
            let json = v03::encode(message);
            text.push_str("  ");
            text.push_str(&printable(&String::from_utf8_lossy(&json)));
        }
        Some((level, text))
    }

    fn housekeeping(&self) -> Option<(LogLevel, String)> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut totals, start) =
            std::mem::replace(&mut *since, (Totals::default(), Instant::now()));
        drop(since);
        let bad_names = self.bad_names.swap(0, Ordering::Relaxed);
        let untold = bad_names.saturating_sub(BAD_NAMES);
        let more = (untold > 0 && !self.events.reject).then(|| {
            let more = plural(untold, "more message");
            format!("{more} rejected for a name that can't be used; `logReject: on` shows each")
        });
        if !self.events.on_housekeeping {
            return more.map(|more| (LogLevel::Warn, lines::columns("rejected", &more)));
        }
        totals.elapsed = start.elapsed();
        if let Some(more) = more {
            let text = format!("{}; {more}", totals.summary());
            return Some((LogLevel::Warn, lines::columns("totals", &text)));
        }
        // A flow that idles for weeks need not say so every few minutes.
        let level = match totals.counts.gathered {
            0 => LogLevel::Debug,
            _ => LogLevel::Info,
        };
        Some((level, lines::columns("totals", &totals.summary())))
    }
}

/// The message an event is about.
fn subject<'a>(event: &Event<'a>) -> Option<&'a Message> {
    match event {
        Event::Accepted { message, .. }
        | Event::Rejected { message, .. }
        | Event::Fetched { message, .. }
        | Event::Derived { message, .. }
        | Event::Posted { message, .. }
        | Event::Retrying { message, .. }
        | Event::Dead { message, .. } => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flow_config::Setting;
    use flow_message::Timestamp;
    use flow_runtime::ports::{Confirm, PassCounts, Rejection};

    use flow_config::Origin;

    use super::*;

    fn flow(change: impl FnOnce(&mut Flow)) -> Flow {
        let mut flow = Flow::new("subscribe/a".parse().expect("a name"));
        change(&mut flow);
        flow
    }

    fn written(flow: &mut Flow, name: &str) {
        flow.settings.retain(|setting| setting.name != name);
        flow.settings.push(Setting {
            name: name.into(),
            value: String::new(),
            origin: Origin::CommandLine,
        });
    }

    /// The first word of each line there is, of one message on its way, with the level.
    fn said(wanted: &Wanted) -> Vec<String> {
        let message = Message::new(Timestamp::from_unix(0, 0), "http://me", "a/b.txt");
        let rejection = Rejection {
            code: 304,
            reason: "seen".into(),
        };
        let rejected = |stage| Event::Rejected {
            message: &message,
            rejection: &rejection,
            stage,
        };
        let events = [
            Event::Accepted {
                message: &message,
                rule: None,
                location: None,
            },
            rejected("filter"),
            rejected("nodupe"),
            Event::Posted {
                message: &message,
                exchange: "x",
                topic: "v03.a",
                confirm: Confirm::Posted,
            },
            Event::Dead {
                message: &message,
                reason: "gone",
            },
        ];
        events
            .iter()
            .filter_map(|event| wanted.line(event, LogLevel::Trace))
            .map(|(level, text)| {
                let stage = if text.contains("in nodupe") { "+" } else { "" };
                let word = text
                    .split("  ")
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_owned();
                format!("{word}{stage} {level:?}")
            })
            .collect()
    }

    #[test]
    fn events_are_chosen_as_the_options_say() {
        let plain = flow(|_| {});
        let all = ["accepted Debug", "posted Info", "given up Error"];
        assert_eq!(said(&Wanted::of(&plain)), all);
        let reject = flow(|flow| flow.log.events.reject = true);
        assert!(said(&Wanted::of(&reject)).contains(&"rejected Info".to_owned()));
        assert!(!said(&Wanted::of(&reject)).contains(&"rejected+ Info".to_owned()));
        let silent = flow(|flow| {
            flow.log.events = LogEvents {
                after_accept: false,
                after_work: false,
                after_post: false,
                on_housekeeping: false,
                reject: false,
                nodupe: true,
            };
        });
        assert_eq!(
            said(&Wanted::of(&silent)),
            ["rejected+ Info", "given up Error"]
        );
    }

    #[test]
    fn who_asks_for_accepted_messages_gets_them() {
        let asked = flow(|flow| written(flow, "logEvents"));
        assert_eq!(said(&Wanted::of(&asked))[0], "accepted Info");
    }

    #[test]
    fn names_that_cannot_be_used_are_told_up_to_a_limit() {
        let message = Message::new(Timestamp::from_unix(0, 0), "http://me", "../b\x1b.txt");
        let rejection = |code| Rejection {
            code,
            reason: "`..` leads out of its directory".into(),
        };
        let (bad, ruled) = (rejection(Rejection::BAD_NAME), rejection(404));
        let rejected = |rejection| Event::Rejected {
            message: &message,
            rejection,
            stage: "filter",
        };
        let wanted = Wanted::of(&flow(|_| {}));
        assert!(wanted.line(&rejected(&ruled), LogLevel::Debug).is_none());
        for _ in 0..BAD_NAMES {
            let (level, text) = wanted
                .line(&rejected(&bad), LogLevel::Debug)
                .expect("it has a line");
            assert_eq!(level, LogLevel::Warn);
            assert!(
                text.starts_with("rejected  ../b\\u{1b}.txt  in filter"),
                "{text}"
            );
        }
        for _ in 0..3 {
            assert!(wanted.line(&rejected(&bad), LogLevel::Debug).is_none());
        }
        let (level, text) = wanted
            .line(&Event::Housekeeping, LogLevel::Debug)
            .expect("a line");
        assert_eq!(level, LogLevel::Warn);
        assert!(
            text.starts_with("totals ") && text.contains("; 3 more messages rejected"),
            "{text}"
        );
        assert!(
            wanted.line(&rejected(&bad), LogLevel::Debug).is_some(),
            "a new upkeep"
        );
        let (level, _) = wanted
            .line(&Event::Housekeeping, LogLevel::Debug)
            .expect("a line");
        assert_eq!(level, LogLevel::Debug);

        let all = Wanted::of(&flow(|flow| flow.log.events.reject = true));
        for _ in 0..=BAD_NAMES {
            assert!(all.line(&rejected(&bad), LogLevel::Debug).is_some());
        }
        assert!(
            all.line(&Event::Housekeeping, LogLevel::Debug)
                .is_some_and(|(_, text)| !text.contains("more"))
        );
    }

    #[test]
    fn a_terminal_shows_rejections_unless_the_flow_says_otherwise() {
        let plain = flow(|_| {});
        let seen = said(&Wanted::of_watched(&plain));
        assert!(seen.contains(&"rejected Info".to_owned()), "{seen:?}");
        assert!(seen.contains(&"rejected+ Info".to_owned()), "{seen:?}");
        let off = flow(|flow| written(flow, "logReject"));
        assert_eq!(said(&Wanted::of_watched(&off)), said(&Wanted::of(&plain)));
    }

    #[test]
    fn a_dump_holds_the_whole_message() {
        let dump = flow(|flow| flow.log.message_dump = true);
        let message = Message::new(Timestamp::from_unix(0, 0), "http://me", "a/b\x1b.txt");
        let posted = Event::Posted {
            message: &message,
            exchange: "x",
            topic: "v03.a",
            confirm: Confirm::Posted,
        };
        let (_, text) = Wanted::of(&dump)
            .line(&posted, LogLevel::Trace)
            .expect("it has a line");
        assert!(text.contains("\"baseUrl\""), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn totals_start_anew_at_each_upkeep() {
        let wanted = Wanted::of(&flow(|_| {}));
        let pass = PassCounts {
            gathered: 3,
            posted: 2,
            elapsed: Duration::from_millis(1),
            ..PassCounts::default()
        };
        wanted.line(&Event::Pass(&pass), LogLevel::Trace);
        wanted.line(&Event::Pass(&pass), LogLevel::Trace);
        let (level, text) = wanted
            .line(&Event::Housekeeping, LogLevel::Trace)
            .expect("a line");
        assert_eq!(level, LogLevel::Info);
        assert!(
            text.starts_with("totals    6 gathered, 4 posted in "),
            "{text}"
        );
        let (level, text) = wanted
            .line(&Event::Housekeeping, LogLevel::Trace)
            .expect("a line");
        assert_eq!(level, LogLevel::Debug);
        assert!(text.contains(" 0 gathered in "), "{text}");
        let silent = flow(|flow| flow.log.events.on_housekeeping = false);
        assert!(
            Wanted::of(&silent)
                .line(&Event::Housekeeping, LogLevel::Trace)
                .is_none()
        );
    }
}
