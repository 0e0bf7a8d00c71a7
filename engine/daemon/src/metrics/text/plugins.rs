//! The families about plugins: labels are the flow, the plugin, and the entry point where there is one.

use super::{Page, number};
use crate::figures::{Entry, Figures, Plugin};

type OfEntry = fn(&Entry) -> f64;
type OfPlugin = fn(&Plugin) -> f64;

/// By entry point: name, kind, help, and where the number is.
const ENTRIES: &[(&str, &str, &str, OfEntry)] = &[
    (
        "flow_plugin_calls_total",
        "counter",
        "Calls of a plugin's entry point; `start` is the making of an instance.",
        |entry| number(entry.calls),
    ),
    (
        "flow_plugin_failures_total",
        "counter",
        "Calls that ended with a failure the plugin reported.",
        |entry| number(entry.failures),
    ),
    (
        "flow_plugin_traps_total",
        "counter",
        "Calls that ended without an answer that can be used: crashes, too much memory or output.",
        |entry| number(entry.traps),
    ),
    (
        "flow_plugin_deadlines_total",
        "counter",
        "Calls that were ended at the plugin's time limit.",
        |entry| number(entry.deadlines),
    ),
    (
        "flow_plugin_messages_total",
        "counter",
        "Messages calls were about; for `gather`, those it brought.",
        |entry| number(entry.messages),
    ),
    (
        "flow_plugin_call_seconds_total",
        "counter",
        "Time calls took, waiting for peers included.",
        |entry| entry.time,
    ),
    (
        "flow_plugin_computing_seconds_total",
        "counter",
        "Time the plugin itself computed.",
        |entry| entry.computing,
    ),
    (
        "flow_plugin_longest_call_seconds",
        "gauge",
        "The longest call there was.",
        |entry| entry.longest,
    ),
];

/// By plugin: name, kind, help, and where the number is.
const PLUGINS: &[(&str, &str, &str, OfPlugin)] = &[
    (
        "flow_plugin_memory_peak_bytes",
        "gauge",
        "Most memory one instance of the plugin had.",
        |plugin| number(plugin.memory_peak),
    ),
    (
        "flow_plugin_requests_total",
        "counter",
        "HTTP requests the plugin made, redirects that were followed among them.",
        |plugin| number(plugin.requests),
    ),
    (
        "flow_plugin_received_bytes_total",
        "counter",
        "Bytes that came over connections of the plugin, and as answers to its requests.",
        |plugin| number(plugin.bytes_in),
    ),
    (
        "flow_plugin_sent_bytes_total",
        "counter",
        "Bytes the plugin sent over its connections, and as bodies of its requests.",
        |plugin| number(plugin.bytes_out),
    ),
    (
        "flow_plugin_log_lines_dropped_total",
        "counter",
        "Log lines of the plugin that were left out because there were too many.",
        |plugin| number(plugin.lines_dropped),
    ),
];

pub(super) fn families(page: &mut Page, flows: &[(&str, &Figures)]) {
    let plugins = || {
        flows
            .iter()
            .flat_map(|(flow, figures)| figures.plugins.iter().map(move |plugin| (*flow, plugin)))
    };
    for (name, kind, help, read) in ENTRIES {
        page.family(name, kind, help);
        for (flow, plugin) in plugins() {
            for entry in &plugin.entries {
                let labels = [
                    ("flow", flow),
                    ("plugin", plugin.plugin.as_str()),
                    ("entry", entry.entry.as_str()),
                ];
                page.line(name, &labels, read(entry));
            }
        }
    }
    for (name, kind, help, read) in PLUGINS {
        page.family(name, kind, help);
        for (flow, plugin) in plugins() {
            let labels = [("flow", flow), ("plugin", plugin.plugin.as_str())];
            page.line(name, &labels, read(plugin));
        }
    }
    page.family(
        "flow_plugin_number",
        "gauge",
        "A number a plugin of the flow keeps itself; its name is a label.",
    );
    for (flow, figures) in flows {
        for (name, value) in &figures.numbers {
            let name = name.strip_prefix("plugin_").unwrap_or(name);
            page.line(
                "flow_plugin_number",
                &[("flow", flow), ("name", name)],
                *value,
            );
        }
    }
}
