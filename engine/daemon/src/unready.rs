//! Options that are read and checked, but that this version does not carry out yet.
//!
//! An option without effect would only look as if it had one: where somebody wrote it, the flow does
//! not start. What stands here leaves the list as it is built.

use flow_config::{Finding, Flow, Report, SafeUrl};

/// By name.
const OPTIONS: &[&str] = &[
    "baseUrl_relPath",
    "clean_session",
    "delete_destination",
    "exchangeSplit",
    "ftpFilenameEncoding",
    "inline",
    "inlineByteMax",
    "inlineEncoding",
    "inlineOnly",
    "instances",
    "max_inflight_messages",
    "messageCountMax",
    "messageRateMax",
    "messageRateMin",
    "persistent",
    "post_messageAgeMax",
    "post_topic",
    "qos",
    "realpathFilter",
    "rename",
    "retryEmptyBeforeExit",
    "retry_refilter",
    "scheduled_hour",
    "scheduled_interval",
    "scheduled_minute",
    "scheduled_time",
    "sendTo",
    "source",
    "sourceFromExchange",
    "sourceFromMessage",
    "topicCopy",
    "vip",
];

/// An error for everything `flow` asks for that is not carried out yet.
pub(crate) fn found(flow: &Flow) -> Report {
    let mut findings = Vec::new();
    for setting in &flow.settings {
        if OPTIONS.contains(&setting.name.as_str()) {
            findings.extend(Finding::not_yet(
                &setting.name,
                &setting.origin,
                "this option",
            ));
        }
        let embedded =
            |broker: Option<&SafeUrl>| broker.is_some_and(|broker| broker.scheme() == "embedded");
        let output = flow.output.as_ref().map(|output| &output.broker);
        match setting.name.as_str() {
            "post_format" if embedded(output) && setting.value != "v03" => {
                findings.extend(Finding::not_yet(
                    &setting.name,
                    &setting.origin,
                    "another format than v03 on the broker built into flow",
                ));
            }
            "post_exchangeSplit"
                if output.is_some_and(|broker| !broker.scheme().starts_with("amqp")) =>
            {
                findings.extend(Finding::not_yet(
                    &setting.name,
                    &setting.origin,
                    "more than one exchange on a broker that is not AMQP",
                ));
            }
            "pollUrl"
                if flow
                    .poll_url
                    .as_ref()
                    .is_some_and(|url| STORES.contains(&url.scheme())) =>
            {
                findings.extend(Finding::not_yet(
                    &setting.name,
                    &setting.origin,
                    "an object store",
                ));
            }
            _ => {}
        }
    }
    findings.into()
}

/// Schemes of stores that are planned.
const STORES: &[&str] = &["s3", "azure", "azblob", "gs", "gcs"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use flow_config::{Manifest, Source};

    use super::*;

    #[track_caller]
    fn findings(name: &str, text: &str) -> Vec<String> {
        let plugins: BTreeMap<String, Manifest> = BTreeMap::new();
        let source = Source::new("/config", BTreeMap::new());
        let name = name.parse().expect("a name");
        let path = Path::new("/config/shovel/one.yaml");
        let loaded = source.load_text(&name, path, text, &plugins, &[]);
        let flow = loaded.unwrap_or_else(|report| panic!("{report}")).flow;
        let found = found(&flow);
        found
            .findings()
            .iter()
            .map(|finding| {
                finding
                    .to_string()
                    .lines()
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    }

    #[test]
    fn what_is_written_and_not_carried_out_is_refused() {
        let shovel =
            "broker: amqp://me@a/\nexchange: x\npost_broker: amqp://me@b/\npost_exchange: y\n";
        assert_eq!(findings("shovel/one", shovel), Vec::<String>::new());
        let text = format!("{shovel}instances: 3\n");
        assert_eq!(
            findings("shovel/one", &text),
            [
                "error[config/not-yet]: `instances`: this option is not carried out by this version of flow yet   --> shovel/one.yaml:5:12"
            ]
        );
        let text = "broker: amqp://me@a/\nexchange: x\npost_broker: 'embedded:'\npost_exchange: y\npost_format: v02\n";
        assert_eq!(
            findings("shovel/one", text),
            [
                "error[config/not-yet]: `post_format`: another format than v03 on the broker built into flow is not carried out by this version of flow yet   --> shovel/one.yaml:5:14"
            ]
        );
    }
}
