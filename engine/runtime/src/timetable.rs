//! When origins are asked (`sleep`, `scheduled_interval`, `scheduled_hour`, `scheduled_minute`,
//! `scheduled_time`).
//!
//! Every flow asks once at its start; this says when next. Times of the day are meant in the flow's
//! `timezone`, and those missed are left out. When clocks go forward, a time that does not exist that
//! day comes as much later as they were moved; when they go back, one that exists twice counts the
//! first time.

use std::time::Duration;

use flow_config::Schedule;
use flow_message::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::clock::later;
use crate::error::Error;

/// The shortest pause.
const SHORTEST: Duration = Duration::from_millis(10);

/// When origins are asked.
#[derive(Debug, Clone)]
pub(crate) enum Timetable {
    /// So long after the last one ended.
    Pause(Duration),
    /// So long after the last one began.
    Interval(Duration),
    /// At these times of the day.
    Times { times: Vec<Time>, zone: TimeZone },
}

impl Timetable {
    /// # Errors
    /// [`Error::Config`] for a time zone that is not known here.
    pub(crate) fn new(schedule: &Schedule, sleep: Duration) -> Result<Self, Error> {
        Ok(match schedule {
            Schedule::Sleep => Self::Pause(sleep.max(SHORTEST)),
            Schedule::Interval(interval) => Self::Interval(*interval),
            Schedule::Times { minutes, timezone } => {
                let zone = TimeZone::get(timezone).map_err(|error| {
                    Error::Config(format!("`timezone: {timezone}` is not known here: {error}"))
                })?;
                let time = |minute: &u16| {
                    let part = |number: u16| i8::try_from(number).unwrap_or(0);
                    Time::new(part(minute / 60), part(minute % 60), 0, 0).ok()
                };
                Self::Times {
                    times: minutes.iter().filter_map(time).collect(),
                    zone,
                }
            }
        })
    }

    /// When to ask again, in milliseconds, after a gather that began at `began` and ended `now`.
    pub(crate) fn next(&self, began: Timestamp, now: Timestamp) -> i64 {
        match self {
            Self::Pause(pause) => later(now, *pause),
            Self::Interval(interval) => later(began, *interval).max(later(now, SHORTEST)),
            Self::Times { times, zone } => next_of(times, zone, now),
        }
    }
}

/// The first of `times` after `now`.
fn next_of(times: &[Time], zone: &TimeZone, now: Timestamp) -> i64 {
    let now = now.as_jiff();
    let today = zone.to_datetime(now).date();
    // A day may be without any of them, where a zone left one out altogether.
    (0..4)
        .filter_map(|days| today.checked_add(days.days()).ok())
        .find_map(|day| {
            times
                .iter()
                .filter_map(|time| zone.to_timestamp(day.to_datetime(*time)).ok())
                .filter(|time| *time > now)
                .min()
        })
        .map_or(i64::MAX, |time| time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flow_config::Schedule;
    use flow_message::Timestamp;

    use super::Timetable;
    use crate::clock::from_millis;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().expect("a time");
        from_millis(time.as_millisecond())
    }

    #[track_caller]
    fn check(timezone: &str, times: &[u16], now: &str, expected: &[&str]) {
        let schedule = Schedule::Times {
            minutes: times.to_vec(),
            timezone: timezone.into(),
        };
        let table = Timetable::new(&schedule, Duration::ZERO)
            .expect("the zones of this machine (Debian: tzdata)");
        let mut now = at(now);
        for expected in expected {
            now = from_millis(table.next(now, now));
            assert_eq!(now, at(expected));
        }
    }

    #[test]
    fn times_follow_each_other_from_day_to_day() {
        check(
            "UTC",
            &[0, 375],
            "2026-02-28T06:14:59.9Z",
            &[
                "2026-02-28T06:15:00Z",
                "2026-03-01T00:00:00Z",
                "2026-03-01T06:15:00Z",
            ],
        );
        check(
            "Asia/Kolkata",
            &[330],
            "2026-01-01T00:00:00Z",
            &["2026-01-02T00:00:00Z"],
        );
    }

    #[test]
    fn a_time_that_does_not_exist_comes_later_that_day() {
        // On 8 March 2026 clocks in Toronto went from 02:00 to 03:00, from five hours behind to four.
        check(
            "America/Toronto",
            &[90, 150],
            "2026-03-07T06:00:00Z",
            &[
                "2026-03-07T06:30:00Z",
                "2026-03-07T07:30:00Z",
                "2026-03-08T06:30:00Z",
                "2026-03-08T07:30:00Z",
                "2026-03-09T05:30:00Z",
                "2026-03-09T06:30:00Z",
            ],
        );
        // 02:30 is 03:30 that day, and asked for once.
        check(
            "America/Toronto",
            &[150, 210],
            "2026-03-08T07:00:00Z",
            &[
                "2026-03-08T07:30:00Z",
                "2026-03-09T06:30:00Z",
                "2026-03-09T07:30:00Z",
            ],
        );
    }

    #[test]
    fn a_time_that_exists_twice_counts_once() {
        // On 1 November 2026 clocks in Toronto go from 02:00 back to 01:00.
        check(
            "America/Toronto",
            &[90],
            "2026-10-31T05:30:00Z",
            &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
        );
    }

    #[test]
    fn a_day_a_zone_left_out_has_no_times() {
        // Samoa had no 30 December 2011.
        check(
            "Pacific/Apia",
            &[720],
            "2011-12-29T21:59:00Z",
            &["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"],
        );
    }

    #[test]
    fn an_interval_counts_from_the_beginning() {
        let table = Timetable::new(
            &Schedule::Interval(Duration::from_secs(600)),
            Duration::ZERO,
        )
        .expect("no zone is asked for");
        let began = at("2026-01-01T00:00:00Z");
        assert_eq!(
            from_millis(table.next(began, at("2026-01-01T00:03:00Z"))),
            at("2026-01-01T00:10:00Z")
        );
        // One that takes longer than that is followed by the next.
        assert_eq!(
            from_millis(table.next(began, at("2026-01-01T00:12:00Z"))),
            at("2026-01-01T00:12:00.010Z")
        );
    }

    #[test]
    fn a_zone_nobody_knows_is_said_at_the_start() {
        let schedule = Schedule::Times {
            minutes: vec![0],
            timezone: "Mars/Olympus".into(),
        };
        let error = Timetable::new(&schedule, Duration::ZERO).expect_err("there is none");
        assert!(error.to_string().contains("Mars/Olympus"), "{error}");
    }
}
