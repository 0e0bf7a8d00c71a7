//! When a flow works, how fast, and what it says.

use super::{Builder, lasting};
use crate::explain as code;
use crate::flow::{LogEvents, LogLevel, LogOptions, Pace, Schedule, Thresholds};
use crate::units::{self, Wrong};

impl Builder<'_> {
    pub(super) fn schedule(&mut self) -> Schedule {
        let interval = self.duration("scheduled_interval");
        let hours = self.counts("scheduled_hour");
        let minutes = self.counts("scheduled_minute");
        let mut times = self.times("scheduled_time");
        let timezone = self.timezone();
        // Without hours every hour is meant, without minutes the full one.
        let all: Vec<i64> = (0..24).collect();
        let (hours, minutes) = match (hours.is_empty(), minutes.is_empty()) {
            (true, true) => (Vec::new(), Vec::new()),
            (true, false) => (all, minutes),
            (false, true) => (hours, vec![0]),
            (false, false) => (hours, minutes),
        };
        times.extend(
            hours
                .iter()
                .flat_map(|hour| minutes.iter().map(move |minute| hour * 60 + minute))
                .filter_map(|time| u16::try_from(time).ok()),
        );
        times.sort_unstable();
        times.dedup();
        if !interval.is_zero() {
            return Schedule::Interval(interval);
        }
        if times.is_empty() {
            return Schedule::Sleep;
        }
        Schedule::Times {
            minutes: times,
            timezone,
        }
    }

    pub(super) fn pace(&mut self) -> Pace {
        Pace {
            message_count_max: u64::try_from(self.count("messageCountMax")).unwrap_or(0),
            message_rate_max: self.rate("messageRateMax"),
            message_rate_min: self.rate("messageRateMin"),
        }
    }

    fn rate(&mut self, name: &'static str) -> Option<f64> {
        self.read(name, units::rate).flatten()
    }

    pub(super) fn log(&mut self) -> LogOptions {
        let level = match self.choice("logLevel") {
            "none" => LogLevel::None,
            "error" => LogLevel::Error,
            "warning" => LogLevel::Warning,
            "debug" => LogLevel::Debug,
            "trace" => LogLevel::Trace,
            _ => LogLevel::Info,
        };
        let words = self.words("logEvents");
        let has = |word: &str| words.contains(&word);
        let events = LogEvents {
            after_accept: has("after_accept"),
            after_work: has("after_work"),
            after_post: has("after_post"),
            on_housekeeping: has("on_housekeeping"),
            reject: has("reject") | self.flag("logReject"),
            nodupe: has("nodupe") | self.flag("logDuplicates"),
        };
        LogOptions {
            level,
            events,
            message_dump: self.flag("logMessageDump"),
        }
    }

    pub(super) fn thresholds(&mut self) -> Thresholds {
        let percent = |count: i64| u8::try_from(count).unwrap_or(100);
        Thresholds {
            disconnected: percent(self.count("runStateThreshold_disconnected")),
            hung: self.span("runStateThreshold_hung"),
            idle: self.span("runStateThreshold_idle"),
            lag: self.span("runStateThreshold_lag"),
            reject: percent(self.count("runStateThreshold_reject")),
            retry: u64::try_from(self.count("runStateThreshold_retry")).unwrap_or(0),
            slow: self.size("runStateThreshold_slow"),
        }
    }

    fn span(&mut self, name: &'static str) -> std::time::Duration {
        self.read(name, |text| {
            lasting(text).map_err(|wrong| match wrong.code {
                code::OUT_OF_RANGE if wrong.message == "can't be zero" => Wrong {
                    hint: Some("a long span such as `52w` is as good as never".to_owned()),
                    ..wrong
                },
                _ => wrong,
            })
        })
        .unwrap_or_default()
    }
}
