//! The plugin: who has to wait, and how long.

use std::collections::HashMap;
use std::time::Duration;

use flow_plugin::template::Template;
use flow_plugin::time::Time;
use flow_plugin::{
    AfterAccept, Context, Describe, Failure, Lifecycle, Manifest, Message, OptionKind, Result,
    Verdict, log, manifest, option,
};

use crate::latest::{self, Place};

/// The retry store does not believe longer waits.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Superseded: as a duplicate.
const SUPERSEDED: u16 = 304;

/// The time a message's age counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    PubTime,
    Mtime,
    Newest,
}

/// The plugin.
#[derive(Debug)]
pub struct Delay {
    delay: Duration,
    from: From,
    only_latest: bool,
    key: Template,
    /// Longest a thing that keeps changing is held back; zero: no limit.
    longest: Duration,
}

impl Describe for Delay {
    fn describe() -> Manifest {
        manifest("delay", env!("CARGO_PKG_VERSION"), "holds messages back until they are old enough")
            .doc(include_str!("../README.md"))
            .option(option("delay", OptionKind::Duration, "How old a message has to be to pass, up to 24h.").default("60s").example("5m"))
            .option(option("from", OptionKind::Choice, "Since when it is old: its announcement, the last change of what it announces, or the later of both.").choices(&["pub_time", "mtime", "newest"]).default("newest"))
            .option(option("only_latest", OptionKind::Flag, "Whether of several messages about the same thing only the latest passes.").default("off"))
            .option(option("key", OptionKind::Text, "What makes two messages be about the same thing, made of their fields.").default("{path}").example("'{name}'"))
            .option(option("longest", OptionKind::Duration, "With `only_latest`: how long a thing that keeps changing is held back before its latest passes all the same; 0s: as long as it changes.").default("0s").example("10m"))
            .build()
    }
}

impl Lifecycle for Delay {
    fn start(context: Context) -> Result<Self> {
        let given = &context.options;
        let delay = given.duration("delay")?;
        if delay > LONGEST {
            return Err(Failure::config(format!(
                "option `delay` is {}s, and at most 24h are possible: what waits longer would use up its tries",
                delay.as_secs()
            )));
        }
        let longest = given.duration("longest")?;
        let only_latest = given.flag("only_latest")?;
        if !longest.is_zero() && !only_latest {
            return Err(Failure::config(
                "option `longest` is about things that keep changing, which counts only with `only_latest: on`",
            ));
        }
        if !longest.is_zero() && longest < delay {
            return Err(Failure::config(
                "option `longest` is shorter than `delay`, so messages would pass before they are old enough",
            ));
        }
        Ok(Self {
            delay,
            from: match given.text("from")?.as_str() {
                "pub_time" => From::PubTime,
                "mtime" => From::Mtime,
                _ => From::Newest,
            },
            only_latest,
            key: Template::parse(&given.text("key")?)
                .map_err(|reason| Failure::config(format!("option `key`: {reason}")))?,
            longest,
        })
    }
}

impl AfterAccept for Delay {
    fn after_accept(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        self.decide(&batch, Time::now())
    }
}

impl Delay {
    pub(crate) fn decide(&self, batch: &[Message], now: Time) -> Result<Vec<Verdict>> {
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(batch.len());
        // Where in this batch the latest of a thing is, to end what it supersedes at once.
        let mut latest: HashMap<String, usize> = HashMap::new();
        for (index, message) in batch.iter().enumerate() {
            if !self.only_latest {
                verdicts.push(match self.wait(message, now) {
                    Some(left) => self.held(message, now, left),
                    None => Verdict::Keep,
                });
                continue;
            }
            let thing = match self.key.render(message, &|_| None) {
                Ok(thing) => thing,
                Err(missing) => {
                    log::warn(format!(
                        "`{}` has no field `{}` to be told apart by; it is taken for the only one",
                        message.rel_path, missing.0
                    ));
                    message.rel_path.clone()
                }
            };
            verdicts.push(self.latest(&thing, message, now)?);
            if matches!(verdicts[index], Verdict::Reject(_)) {
                continue;
            }
            if let Some(earlier) = latest.insert(thing, index) {
                verdicts[earlier] = superseded(&message.pub_time);
            }
        }
        Ok(verdicts)
    }

    fn latest(&self, thing: &str, message: &Message, now: Time) -> Result<Verdict> {
        let span = self.delay + self.longest;
        let since = match latest::place(thing, message, now, span)? {
            Place::Superseded(by) => return Ok(superseded(&by)),
            // It was let through before, and what came after that did not work.
            Place::Latest { passed: true, .. } => return Ok(Verdict::Keep),
            Place::Latest { since, .. } => since,
        };
        if let Some(left) = self.wait(message, now) {
            let held_for = Time::from_unix(since).age_at(now);
            if self.longest.is_zero() {
                return Ok(self.held(message, now, left));
            }
            let most = self.longest.saturating_sub(held_for);
            if !most.is_zero() {
                return Ok(self.held(message, now, left.min(most)));
            }
        }
        latest::pass(thing, message, since, span)?;
        Ok(Verdict::Keep)
    }

    /// Since when a message is old.
    fn since(&self, message: &Message) -> Option<Time> {
        let announced = Time::parse(&message.pub_time);
        let changed = message.mtime.as_deref().and_then(Time::parse);
        match self.from {
            From::PubTime => announced,
            From::Mtime => changed.or(announced),
            From::Newest => announced.max(changed),
        }
    }

    /// How long a message still has to wait.
    fn wait(&self, message: &Message, now: Time) -> Option<Duration> {
        let from = self.since(message)?;
        if from > now && message.attempt > 0 {
            // A clock ahead of ours is waited for once.
            return None;
        }
        let left = self.delay.saturating_sub(from.age_at(now));
        (!left.is_zero()).then_some(left)
    }

    fn held(&self, message: &Message, now: Time, left: Duration) -> Verdict {
        let seconds = left.as_secs_f64().ceil();
        let reason = format!("held back by `delay` for {seconds}s more");
        if self.since(message).is_some_and(|from| from > now) {
            // It costs a try, which tells that it was waited for.
            return Verdict::Fail(Failure::retry_after(reason, left));
        }
        Verdict::wait(reason, left)
    }
}

fn superseded(by: &str) -> Verdict {
    Verdict::rejected(
        SUPERSEDED,
        format!("superseded by what was announced at {by}"),
    )
}

#[cfg(test)]
mod tests {
    use flow_plugin::testing::{Host, context};
    use flow_plugin::{Setting, TemporaryFailure, Waiting};

    use super::*;

    const NOW: Time = Time::from_unix(1_709_622_489); // 20240305T070809

    fn start(from: &str, latest: bool, delay: u64, longest: u64) -> Result<Delay> {
        Delay::start(context(
            None,
            &[
                ("delay", Setting::Duration(delay * 1000)),
                ("from", Setting::Text(from.to_owned())),
                ("only_latest", Setting::Flag(latest)),
                ("key", Setting::Text("{path}".to_owned())),
                ("longest", Setting::Duration(longest * 1000)),
            ],
        ))
    }

    fn message(path: &str, key: &str, pub_time: &str) -> Message {
        let mut message = Message::new(1, "http://h/", path);
        message.key = key.to_owned();
        message.pub_time = pub_time.to_owned();
        message
    }

    fn left(verdict: &Verdict) -> Option<u64> {
        match verdict {
            Verdict::Keep => None,
            Verdict::Wait(Waiting { after_ms, .. }) => Some(*after_ms),
            Verdict::Fail(Failure::Temporary(TemporaryFailure { retry_after_ms, .. })) => {
                *retry_after_ms
            }
            other => panic!("{other:?}"),
        }
    }

    fn later(seconds: i64) -> Time {
        Time::from_unix(NOW.unix() + seconds)
    }

    #[test]
    fn the_young_wait_for_what_is_left() {
        let plugin = start("pub_time", false, 60, 0).unwrap();
        let mut ahead_again = message("f", "f", "20240305T080000");
        ahead_again.attempt = 1;
        let batch = [
            message("a", "a", "20240305T070809"),
            message("b", "b", "20240305T070749.5"),
            message("c", "c", "20240305T070709"),
            message("d", "d", "20240305T080000"),
            message("e", "e", "no time"),
            ahead_again,
        ];
        let verdicts = plugin.decide(&batch, NOW).unwrap();
        let waits: Vec<_> = verdicts.iter().map(left).collect();
        assert_eq!(
            waits,
            [Some(60_000), Some(40_500), None, Some(60_000), None, None]
        );
        let Verdict::Wait(waiting) = &verdicts[1] else {
            panic!("{verdicts:?}")
        };
        assert_eq!(waiting.reason, "held back by `delay` for 41s more");
        assert!(matches!(verdicts[3], Verdict::Fail(_)), "{verdicts:?}");
    }

    #[test]
    fn ages_count_from_what_was_asked_for() {
        let mut message = message("a", "a", "20240305T070709");
        message.mtime = Some("20240305T070759".to_owned());
        for (from, expected) in [
            ("pub_time", None),
            ("mtime", Some(50_000)),
            ("newest", Some(50_000)),
        ] {
            let plugin = start(from, false, 60, 0).unwrap();
            let verdicts = plugin.decide(&[message.clone()], NOW).unwrap();
            assert_eq!(left(&verdicts[0]), expected, "{from}");
        }
    }

    #[test]
    fn only_the_latest_passes() {
        let _host = Host::default().install();
        let plugin = start("pub_time", true, 60, 0).unwrap();
        let decide = |message: &Message, now| {
            let batch = std::slice::from_ref(message);
            plugin.decide(batch, now).unwrap().remove(0)
        };
        let first = message("a", "1", "20240305T070809");
        let second = message("a", "2", "20240305T070829");
        assert_eq!(left(&decide(&first, NOW)), Some(60_000));
        assert_eq!(left(&decide(&second, later(20))), Some(60_000));
        let gone = Verdict::rejected(304, "superseded by what was announced at 20240305T070829");
        assert_eq!(decide(&first, later(60)), gone);
        assert_eq!(left(&decide(&second, later(79))), Some(1_000));
        assert_eq!(decide(&second, later(80)), Verdict::Keep);
        // Tried again, because the download failed.
        assert_eq!(decide(&second, later(90)), Verdict::Keep);
        // Late from the retry store.
        assert_eq!(decide(&first, later(91)), gone);
        let third = message("a", "3", "20240305T071009");
        assert_eq!(left(&decide(&third, later(120))), Some(60_000));
        assert_eq!(
            left(&decide(&message("b", "4", "20240305T070809"), NOW)),
            Some(60_000)
        );
    }

    #[test]
    fn one_batch_keeps_the_latest_whatever_the_order() {
        let _host = Host::default().install();
        let plugin = start("pub_time", true, 60, 0).unwrap();
        let batch = [
            message("a", "1", "20240305T070801"),
            message("a", "3", "20240305T070803"),
            message("a", "2", "20240305T070802"),
            message("a", "4", "20240305T070803"),
        ];
        let verdicts = plugin.decide(&batch, NOW).unwrap();
        let rejected: Vec<bool> = verdicts
            .iter()
            .map(|verdict| matches!(verdict, Verdict::Reject(_)))
            .collect();
        assert_eq!(rejected, [true, true, true, false]);
    }

    #[test]
    fn what_keeps_changing_passes_in_the_end() {
        let _host = Host::default().install();
        let plugin = start("pub_time", true, 60, 90).unwrap();
        let mut passed = Vec::new();
        for (step, pub_time) in ["070809", "070849", "070929", "071009", "071049"]
            .iter()
            .enumerate()
        {
            let now = later(40 * i64::try_from(step).unwrap());
            let update = message("a", pub_time, &format!("20240305T{pub_time}"));
            let verdict = plugin.decide(&[update], now).unwrap().remove(0);
            passed.push(left(&verdict));
        }
        assert_eq!(
            passed,
            [Some(60_000), Some(50_000), Some(10_000), None, Some(60_000)]
        );
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for (latest, delay, longest, expected) in [
            (false, 90_000, 0, "option `delay` is 90000s"),
            (false, 60, 90, "option `longest` is about things"),
            (true, 60, 30, "option `longest` is shorter"),
        ] {
            let failure = start("newest", latest, delay, longest).unwrap_err();
            assert!(failure.reason().starts_with(expected), "{failure:?}");
        }
    }
}
