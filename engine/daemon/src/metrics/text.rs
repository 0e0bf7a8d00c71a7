//! The two pages.
//!
//! Names follow the rules of Prometheus: a prefix, base units (seconds, bytes), `_total` for counters.
//! Every flow has the label `flow`. A metric is left out for flows it is unknown of.

mod plugins;

use std::fmt::Write;

use serde_json::json;

use super::Sample;
use crate::figures::{Counts, Figures, Link};
use crate::health::State;

/// Reads a number of a flow.
type Read = fn(&Figures) -> Option<f64>;

/// Reads a count of a flow.
type Count = fn(&Counts) -> u64;

/// Counters: name, help, and where the number is.
const COUNTERS: &[(&str, &str, Count)] = &[
    (
        "flow_passes_total",
        "Passes that had messages in hand.",
        |counts| counts.passes,
    ),
    (
        "flow_messages_received_total",
        "Messages taken in hand, second tries included.",
        |counts| counts.received,
    ),
    (
        "flow_messages_accepted_total",
        "Messages that were not rejected.",
        |counts| counts.accepted,
    ),
    (
        "flow_messages_rejected_total",
        "Messages rejected, duplicates included.",
        |counts| counts.rejected,
    ),
    (
        "flow_messages_duplicate_total",
        "Messages suppressed as duplicates.",
        |counts| counts.duplicates,
    ),
    (
        "flow_messages_malformed_total",
        "Messages that could not be read.",
        |counts| counts.malformed,
    ),
    (
        "flow_messages_posted_total",
        "Messages posted and confirmed.",
        |counts| counts.posted,
    ),
    (
        "flow_messages_retried_total",
        "Times a message was put in retry.",
        |counts| counts.retried,
    ),
    ("flow_messages_dead_total", "Messages given up.", |counts| {
        counts.dead
    }),
    (
        "flow_files_received_total",
        "Files fetched or made.",
        |counts| counts.files_in,
    ),
    (
        "flow_received_bytes_total",
        "Bytes fetched or made.",
        |counts| counts.bytes_in,
    ),
    ("flow_files_sent_total", "Files sent.", |counts| {
        counts.files_out
    }),
    ("flow_sent_bytes_total", "Bytes sent.", |counts| {
        counts.bytes_out
    }),
];

/// Gauges: name, help, and where the number is.
const GAUGES: &[(&str, &str, Read)] = &[
    (
        "flow_queue_messages",
        "Messages waiting in the queue at the broker.",
        |figures| figures.waiting.queue.map(number),
    ),
    (
        "flow_retry_messages",
        "Messages waiting to be tried again.",
        |figures| Some(number(figures.waiting.retry)),
    ),
    (
        "flow_dead_letter_messages",
        "Messages in the dead letters.",
        |figures| Some(number(figures.waiting.dead)),
    ),
    (
        "flow_lag_seconds",
        "Mean age of the messages taken from the queue in the last five minutes.",
        |figures| Some(figures.recent.lag),
    ),
    (
        "flow_start_time_seconds",
        "When the flow started, in seconds since 1970.",
        |figures| figures.started.map(seconds),
    ),
    (
        "flow_last_activity_time_seconds",
        "When anything last happened, in seconds since 1970.",
        |figures| Some(seconds(figures.last_activity)),
    ),
    (
        "flow_last_message_time_seconds",
        "When a message was last in hand, in seconds since 1970.",
        |figures| figures.last_message.map(seconds),
    ),
    (
        "flow_last_transfer_time_seconds",
        "When content was last moved, in seconds since 1970.",
        |figures| figures.last_transfer.map(seconds),
    ),
];

fn number(count: u64) -> f64 {
    count as f64
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// The page `/metrics`.
pub(super) fn metrics(samples: &[Sample]) -> String {
    let mut page = Page(String::with_capacity(4096));
    page.family(
        "flow_build_info",
        "gauge",
        "Always 1; the version is a label.",
    );
    page.line(
        "flow_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    page.family(
        "flow_state",
        "gauge",
        "1 for the state a flow is in, 0 for the others.",
    );
    for sample in samples {
        for state in State::ALL {
            let labels = [("flow", sample.flow.as_str()), ("state", state.as_str())];
            let value = f64::from(u8::from(sample.health.state == state));
            page.line("flow_state", &labels, value);
        }
    }
    page.family("flow_healthy", "gauge", "1 where nobody has to look at it.");
    for sample in samples {
        let well = f64::from(u8::from(sample.health.is_well()));
        page.line("flow_healthy", &[("flow", &sample.flow)], well);
    }
    page.family(
        "flow_restarts_total",
        "counter",
        "Times a flow was started again after it failed.",
    );
    for sample in samples {
        let labels = [("flow", sample.flow.as_str())];
        page.line("flow_restarts_total", &labels, number(sample.restarts));
    }
    let running = || {
        samples
            .iter()
            .filter_map(|sample| Some((sample.flow.as_str(), sample.figures.as_ref()?)))
    };
    for (name, help, read) in COUNTERS {
        page.family(name, "counter", help);
        for (flow, figures) in running() {
            page.line(name, &[("flow", flow)], number(read(&figures.counts)));
        }
    }
    for (name, help, read) in GAUGES {
        page.family(name, "gauge", help);
        for (flow, figures) in running() {
            if let Some(value) = read(figures) {
                page.line(name, &[("flow", flow)], value);
            }
        }
    }
    plugins::families(&mut page, running().collect::<Vec<_>>().as_slice());
    page.links(running().collect::<Vec<_>>().as_slice());
    page.0
}

/// The page `/healthz`, and whether all is well.
pub(super) fn healthz(samples: &[Sample]) -> (bool, String) {
    let unwell: Vec<_> = samples
        .iter()
        .filter(|sample| !sample.health.is_well())
        .map(|sample| {
            json!({
                "flow": sample.flow,
                "state": sample.health.state,
                "reason": sample.health.reason,
            })
        })
        .collect();
    let well = unwell.is_empty();
    let status = if well { "ok" } else { "unwell" };
    let page = json!({ "status": status, "flows": samples.len(), "unwell": unwell });
    (well, format!("{page}\n"))
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String can't fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escaped(text));
        }
        let _ = writeln!(self.0, "}} {value}");
    }

    /// Both families about connections have a label of their own: to what.
    fn links(&mut self, flows: &[(&str, &Figures)]) {
        type Value = fn(&Link) -> f64;
        let families: [(&str, &str, Value); 2] = [
            (
                "flow_connection_up",
                "1 where the connection worked when it was last used.",
                |link| f64::from(u8::from(link.up)),
            ),
            (
                "flow_connection_up_ratio",
                "Part of the last five minutes in which the connection worked.",
                |link| link.percent / 100.0,
            ),
        ];
        for (name, help, value) in families {
            self.family(name, "gauge", help);
            for (flow, figures) in flows {
                let links = [
                    ("input", &figures.input),
                    ("output", &figures.output),
                    ("origin", &figures.origin),
                ];
                for (side, link) in links {
                    if let Some(link) = link {
                        self.line(name, &[("flow", flow), ("side", side)], value(link));
                    }
                }
            }
        }
    }
}

/// A label's value: backslash, quote and line end are written out.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
