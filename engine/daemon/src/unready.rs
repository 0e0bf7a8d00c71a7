//! Options that are read and checked, but that flow does not carry out, or not with every value.
//!
//! An option without effect would only look as if it had one: where somebody wrote it, the flow does
//! not start. What stands here leaves the list as it is built.

use flow_config::{FilenameEncoding, Finding, Flow, PostFormat, Report};

/// An error for everything `flow` asks for that is not carried out.
pub(crate) fn found(flow: &Flow) -> Report {
    let findings = flow.settings.iter().filter_map(|setting| {
        let (what, hint) = lacking(flow, &setting.name)?;
        Finding::not_yet(&setting.name, &setting.origin, what, hint)
    });
    findings.collect::<Vec<_>>().into()
}

/// What `flow` asks for with an option and does not get, and what to do instead.
fn lacking(flow: &Flow, option: &str) -> Option<(&'static str, &'static str)> {
    let (input, output) = (flow.input.as_ref(), flow.output.as_ref());
    match option {
        "ftpFilenameEncoding" if flow.transfer.ftp_filename_encoding != FilenameEncoding::Utf8 => {
            Some((
                "name files at an FTP server in another encoding than UTF-8",
                "remove it where names are ASCII, or have the server speak UTF-8 (RFC 2640), as most do",
            ))
        }
        "persistent"
            if output.is_some_and(|output| {
                !output.persistent && output.broker.scheme().starts_with("mqtt")
            }) =>
        {
            Some((
                "have an MQTT server forget messages: what it keeps over a restart it decides itself",
                "remove it; `qos: 0` is for messages that may be lost",
            ))
        }
        "qos"
            if input.is_some_and(|input| input.mqtt.qos > 1)
                || output.is_some_and(|output| output.qos > 1) =>
        {
            Some((
                "speak the quality of service 2",
                "write `qos: 1`: nothing is lost, and a message that comes twice is known by its key",
            ))
        }
        "inline"
            if flow.inline.is_some()
                && output.is_some_and(|output| output.format != PostFormat::V03) =>
        {
            Some((
                "put content into messages of v02 and wis; those of v03 alone hold it, as in sr3",
                "write `post_format: v03`, or remove `inline`: whoever gets the message fetches its content",
            ))
        }
        _ => None,
    }
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
        let mqtt =
            "broker: amqp://me@a/\nexchange: x\npost_broker: mqtt://me@b/\npost_exchange: y\n";
        let subscribe = "broker: amqp://me@a/\nexchange: x\ndirectory: /data\n";
        let check = |kind: &str, base: &str, option: &str, refused: Option<&str>| {
            let found = findings(&format!("{kind}/one"), &format!("{base}{option}\n"));
            match (refused, found.as_slice()) {
                (None, []) => {}
                (Some(text), [finding]) => {
                    assert!(finding.contains(text), "{finding}");
                    let place = format!("one.yaml:{}:", base.lines().count() + 1);
                    assert!(finding.contains(&place), "{finding}");
                }
                other => panic!("{option}: {other:?}"),
            }
        };
        check("shovel", shovel, "", None);
        let latin = Some("`ftpFilenameEncoding`: flow has no way to name files at an FTP server");
        check(
            "subscribe",
            subscribe,
            "ftpFilenameEncoding: latin-1",
            latin,
        );
        check("subscribe", subscribe, "ftpFilenameEncoding: utf-8", None);
        let forget = Some("`persistent`: flow has no way to have an MQTT server forget");
        check("shovel", mqtt, "persistent: off", forget);
        check("shovel", mqtt, "persistent: on", None);
        check("shovel", shovel, "persistent: off", None);
        let twice = Some("`qos`: flow has no way to speak the quality of service 2");
        check("shovel", mqtt, "qos: 2", twice);
        check("shovel", mqtt, "qos: 0", None);
        let post = "path: /data\npost_exchange: x\n";
        let inline = Some("`inline`: flow has no way to put content into messages of v02");
        for format in ["v02", "wis"] {
            let base = format!("{post}post_format: {format}\n");
            check("post", &base, "inline: on", inline);
            check("post", &base, "inline: off", None);
        }
        check("post", post, "inline: on", None);
    }
}
