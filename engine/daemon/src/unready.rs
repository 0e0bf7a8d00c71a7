//! Options that are read and checked, but that this version does not carry out yet.
//!
//! An option without effect would only look as if it had one: where somebody wrote it, the flow does
//! not start. What stands here leaves the list as it is built.

use flow_config::{Finding, Flow, PostFormat, Report};

/// By name.
const OPTIONS: &[&str] = &["ftpFilenameEncoding"];

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
        let output = flow.output.as_ref();
        match setting.name.as_str() {
            "persistent"
                if output.is_some_and(|output| {
                    !output.persistent && output.broker.scheme().starts_with("mqtt")
                }) =>
            {
                findings.extend(Finding::not_yet(
                    &setting.name,
                    &setting.origin,
                    "a message that an MQTT broker does not keep",
                ));
            }
            "qos"
                if flow.input.as_ref().is_some_and(|input| input.mqtt.qos > 1)
                    || output.is_some_and(|output| output.qos > 1) =>
            {
                findings.extend(Finding::not_yet(
                    &setting.name,
                    &setting.origin,
                    "the quality of service 2",
                ));
            }
            "inline"
                if flow.inline.is_some()
                    && output.is_some_and(|output| output.format != PostFormat::V03) =>
            {
                findings.extend(Finding::not_yet(
                    &setting.name,
                    &setting.origin,
                    "content in messages of another format than v03",
                ));
            }
            _ => {}
        }
    }
    findings.into()
}

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
        let text =
            "broker: amqp://me@a/\nexchange: x\ndirectory: /data\nftpFilenameEncoding: latin-1\n";
        assert_eq!(
            findings("subscribe/one", text),
            [
                "error[config/not-yet]: `ftpFilenameEncoding`: this option is not carried out by this version of flow yet   --> shovel/one.yaml:4:22"
            ]
        );
        let text = "broker: amqp://me@a/\nexchange: x\npost_broker: mqtt://me@b/\npost_exchange: y\npersistent: off\n";
        assert_eq!(
            findings("shovel/one", text),
            [
                "error[config/not-yet]: `persistent`: a message that an MQTT broker does not keep is not carried out by this version of flow yet   --> shovel/one.yaml:5:13"
            ]
        );
    }
}
