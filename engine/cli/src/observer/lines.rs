//! One line per event, as the log of `flow foreground` shows it.

use std::path::Path;

use flow_message::Message;
use flow_runtime::ports::{Confirm, Event, PassCounts};

use crate::args::LogLevel;
use crate::render::{bytes, elapsed, printable, printable_lines, wait};

use super::Totals;

/// The event's line and how much it matters; none for what only a trace shows.
pub(crate) fn line(event: &Event<'_>) -> Option<(LogLevel, String)> {
    let level = level(event)?;
    let (what, rest) = match event {
        Event::Started => ("started", String::new()),
        Event::Accepted { message, .. } => ("accepted", name(message)),
        Event::Gathering { callback } => ("gathering", format!("by {callback}")),
        Event::Rejected {
            message,
            rejection,
            stage,
        } => (
            "rejected",
            format!(
                "{}  in {stage}: {} ({})",
                name(message),
                printable(&rejection.reason),
                rejection.code
            ),
        ),
        Event::Fetched {
            message,
            path,
            bytes: size,
            elapsed: time,
        }
        | Event::Sent {
            message,
            path,
            bytes: size,
            elapsed: time,
        } => (
            carried(event),
            format!(
                "{}  {} in {} -> {}",
                name(message),
                bytes(*size),
                elapsed(*time),
                show(path)
            ),
        ),
        Event::Derived {
            message,
            from,
            path,
            bytes: size,
        } => {
            let place = path
                .map(|path| format!(" -> {}", show(path)))
                .unwrap_or_default();
            let from = printable(from.file_name());
            let text = format!(
                "{}  {} from {from}{place}",
                printable(message.file_name()),
                bytes(*size)
            );
            ("derived", text)
        }
        Event::Posted {
            message,
            exchange,
            confirm,
            ..
        } => {
            let again = if *confirm == Confirm::Duplicate {
                " (was there already)"
            } else {
                ""
            };
            ("posted", format!("{}  to {exchange}{again}", name(message)))
        }
        // Nothing was tried, so nothing failed: it is too young, or a plugin wants it later.
        Event::Retrying {
            message,
            attempt: 0,
            failure,
            due,
        } => (
            "waiting",
            format!(
                "{}  until {}: {}",
                name(message),
                super::log::time_of_day(due.as_jiff()),
                reason(failure.brief())
            ),
        ),
        Event::Retrying {
            message,
            attempt,
            failure,
            due,
        } => (
            "retrying",
            format!(
                "{}  attempt {attempt} failed, next at {}: {}",
                name(message),
                super::log::time_of_day(due.as_jiff()),
                reason(failure.brief())
            ),
        ),
        Event::Dead { message, reason } => (
            "given up",
            format!("{}  {}", name(message), self::reason(reason)),
        ),
        Event::Pass(counts) => ("pass", pass(counts)),
        Event::Paused { reason, wait: time } => (
            "paused",
            format!("for {}: {}", wait(*time), self::reason(reason)),
        ),
        Event::Draining => ("draining", "finishing what is in hand".to_owned()),
        Event::Stopped => ("stopped", String::new()),
        Event::Standby { vip } => {
            let addresses: Vec<String> = vip.iter().map(ToString::to_string).collect();
            (
                "waitVip",
                format!("this machine does not have {}", addresses.join(" or ")),
            )
        }
        Event::Gathered { .. }
        | Event::Judged { .. }
        | Event::Settled { .. }
        | Event::Plugins(_)
        | Event::Connection { .. }
        | Event::Housekeeping
        | Event::Waiting { .. }
        | Event::Progress { .. } => return None,
    };
    Some((level, columns(what, &rest)))
}

/// How it is called that content was carried in or out.
pub(super) fn carried(event: &Event<'_>) -> &'static str {
    match event {
        Event::Sent { .. } => "sent",
        _ => "fetched",
    }
}

/// How much the event's line matters; none for what only a trace shows.
pub(super) fn level(event: &Event<'_>) -> Option<LogLevel> {
    Some(match event {
        Event::Dead { .. } => LogLevel::Error,
        Event::Paused { .. } => LogLevel::Warn,
        // Nothing was tried, so nothing failed.
        Event::Retrying { attempt: 0, .. } => LogLevel::Debug,
        Event::Retrying { .. } => LogLevel::Warn,
        // No rule asks for a name to be refused, so that one matters more than the others.
        Event::Rejected { rejection, .. } if rejection.is_of_bad_name() => LogLevel::Warn,
        Event::Started
        | Event::Rejected { .. }
        | Event::Fetched { .. }
        | Event::Sent { .. }
        | Event::Derived { .. }
        | Event::Posted { .. }
        | Event::Draining
        | Event::Standby { .. } => LogLevel::Info,
        Event::Accepted { .. } | Event::Gathering { .. } | Event::Pass(_) | Event::Stopped => {
            LogLevel::Debug
        }
        Event::Gathered { .. }
        | Event::Judged { .. }
        | Event::Settled { .. }
        | Event::Plugins(_)
        | Event::Connection { .. }
        | Event::Housekeeping
        | Event::Waiting { .. }
        | Event::Progress { .. } => return None,
    })
}

/// The event's name in a column of its own, then the rest.
pub(super) fn columns(what: &str, rest: &str) -> String {
    let line = format!("{what:<9} {rest}");
    line.trim_end().to_owned()
}

/// How a message is called in a line.
pub(super) fn name(message: &Message) -> String {
    printable(message.rel_path.trim_start_matches('/')).into_owned()
}

/// Why something failed; plugins add notes on lines of their own.
pub(super) fn reason(text: &str) -> String {
    printable_lines(text, &" ".repeat(20))
}

/// A path in a line.
pub(super) fn show(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

fn pass(counts: &PassCounts) -> String {
    Totals {
        counts: *counts,
        elapsed: counts.elapsed,
    }
    .summary()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flow_message::{Timestamp, Topic};
    use flow_runtime::ports::{Failure, Rejection};

    use super::*;

    fn message(path: &str) -> Message {
        Message::new(
            Timestamp::from_unix(1_700_000_000, 0),
            "imaps://mail.example.com",
            path,
        )
    }

    #[test]
    fn every_event_has_its_line() {
        let mail = message("INBOX/5-12.eml");
        let part = message("INBOX/5-12.eml/invoice\x1b[2J.pdf");
        let topic = Topic::from("v03.INBOX".to_owned());
        let rejection = Rejection {
            code: 304,
            reason: "seen 2m ago".into(),
        };
        let failure = Failure::temporary("connection reset after 1.2 MiB of 8.0 MiB");
        let millis = Duration::from_millis;
        let events = [
            Event::Started,
            Event::Rejected {
                message: &mail,
                rejection: &rejection,
                stage: "nodupe",
            },
            Event::Fetched {
                message: &mail,
                path: Path::new("/home/me/mail/5-12.eml"),
                bytes: 49_459,
                elapsed: millis(3),
            },
            Event::Derived {
                message: &part,
                from: &mail,
                path: Some(Path::new("/home/me/inbox/invoice.pdf")),
                bytes: 12_288,
            },
            Event::Posted {
                message: &part,
                exchange: "xs_files",
                topic: topic.as_str(),
                confirm: Confirm::Duplicate,
            },
            Event::Dead {
                message: &mail,
                reason: "no such mail",
            },
            Event::Paused {
                reason: "the server refused the password",
                wait: Duration::from_secs(60),
            },
            Event::Pass(&PassCounts {
                gathered: 1,
                posted: 2,
                elapsed: millis(40),
                ..PassCounts::default()
            }),
            Event::Draining,
        ];
        let text: Vec<String> = events
            .iter()
            .filter_map(line)
            .map(|(level, text)| format!("{level:?} {text}"))
            .collect();
        insta::assert_snapshot!(text.join("\n"));
        let retrying = Event::Retrying {
            message: &mail,
            attempt: 2,
            failure: &failure,
            due: Timestamp::from_unix(1_700_000_000, 0),
        };
        let (level, text) = line(&retrying).expect("it has a line");
        assert_eq!(level, LogLevel::Warn);
        assert!(
            text.starts_with("retrying  INBOX/5-12.eml  attempt 2 failed, next at "),
            "{text}"
        );
        assert!(
            text.ends_with(": connection reset after 1.2 MiB of 8.0 MiB"),
            "{text}"
        );
        let waiting = Event::Retrying {
            message: &mail,
            attempt: 0,
            failure: &failure,
            due: Timestamp::from_unix(1_700_000_000, 0),
        };
        let (level, text) = line(&waiting).expect("it has a line");
        assert_eq!(level, LogLevel::Debug);
        assert!(
            text.starts_with("waiting   INBOX/5-12.eml  until "),
            "{text}"
        );
        assert!(
            line(&Event::Gathered {
                message: &mail,
                from: "mail"
            })
            .is_none()
        );
    }
}
