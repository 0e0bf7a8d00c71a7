//! Whatever a configuration holds, converting it ends, gives YAML, and shows no password.

mod common;

use std::path::Path;

use flow_config::convert::{Component, Conversion, Input, Known, convert};
use flow_config::option;
use proptest::prelude::*;

/// Words that lead somewhere, and what may stand behind them.
const KEYWORDS: &[&str] = &[
    "accept",
    "reject",
    "directory",
    "mirror",
    "strip",
    "flatten",
    "filename",
    "broker",
    "exchange",
    "exchangeSuffix",
    "topicPrefix",
    "subtopic",
    "topic",
    "post_broker",
    "post_exchange",
    "sleep",
    "callback",
    "set",
    "declare",
    "header",
    "sum",
    "inflight",
    "nodupe_ttl",
    "fileEvents",
    "path",
    "timeout",
    "batch",
    "bufsize",
    "chmod",
    "get",
    "destination",
    "on_message",
    "queueName",
    "amqp_queue_args",
    "scheduled_hour",
    "include",
    "flowMain",
    "logEvents",
    "whatever",
    "#",
    "",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        Just("on".to_owned()),
        Just("none".to_owned()),
        Just(".*".to_owned()),
        Just("env A=b c: d".to_owned()),
        Just("${A}/${1}/${YYYYMMDD-1D}/${%o-1h%H}/${T1}".to_owned()),
        Just("amqp://me:geheim@host/x y".to_owned()),
        Just("sftp://me:geheim@host".to_owned()),
        Just("key=value: #x".to_owned()),
        "\\PC{0,8}",
        "-?[0-9]{1,6}[a-zA-Z]{0,2}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let line =
        (prop::sample::select(KEYWORDS), word()).prop_map(|(key, word)| format!("{key} {word}"));
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

fn converted(component: Component, text: &str) -> Conversion {
    let input = Input {
        path: Path::new("x/y.conf"),
        text,
        component,
        queues: None,
    };
    convert(&input, &Known::default())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_text_becomes_yaml(text in text(), component in prop::sample::select(&Component::ALL[..])) {
        let conversion = converted(component, &text);
        let shown = format!("{}{}", conversion.yaml, conversion.render(true));
        prop_assert!(!shown.contains(":geheim@"), "{shown}");
        let source = common::source();
        let name = format!("{}/y", conversion.kind).parse().expect("every kind is one here");
        let result = source.load_text(&name, &source.path(&name), &conversion.yaml, &common::plugins(), &[]);
        if let Err(report) = result {
            for finding in report.findings() {
                let broken = ["config/syntax", "config/duplicate-key", "config/not-a-mapping", "config/password-in-url"];
                prop_assert!(!broken.contains(&finding.code), "{}\n{}", report.render(false), conversion.yaml);
            }
        }
    }

    #[test]
    fn every_option_written_is_one(text in text(), component in prop::sample::select(&Component::ALL[..])) {
        let conversion = converted(component, &text);
        for line in conversion.yaml.lines() {
            let Some((key, _)) = line.split_once(':') else { continue };
            if key.starts_with([' ', '#', '\'', '"']) {
                continue;
            }
            prop_assert!(option(key).is_some(), "`{key}` is no option:\n{}", conversion.yaml);
        }
    }
}
