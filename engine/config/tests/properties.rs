//! What holds for every text: nothing panics, nothing leaks, places are places.

mod common;

use std::path::Path;

use common::{load, load_with};
use flow_config::{Credentials, FlowName, SafeUrl, Template, codes, explain, options};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Words a flow is made of, so that random text gets past the first check.
fn word() -> impl Strategy<Value = String> {
    let names: Vec<String> = options()
        .iter()
        .map(|option| option.name.to_owned())
        .collect();
    let values = [
        "30",
        "30s",
        "on",
        "none",
        "'*.pdf'",
        "'.*'",
        "${HOME}",
        "${%Y}",
        "${",
        "$${",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ": ",
        ":",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        "#",
        "'",
        "\"",
        "&a ",
        "*a",
        "!!str ",
        "|\n",
        ">-\n",
        "~",
        "mail",
        "decode",
        "api",
        "plugin",
        "accept",
        "reject",
        "deadline",
        "after",
        "token",
        "connect",
        "embedded:",
        "imaps://me@h/",
        "imaps://me:pw@h/",
        "é€",
        "\u{feff}",
        "---\n",
        "...\n",
        "? ",
        "<<: *a",
        "\r\n",
    ];
    prop_oneof![
        select(names),
        select(values.to_vec()).prop_map(str::to_owned),
        "[ -~]{0,6}",
        any::<char>().prop_map(String::from),
    ]
}

/// Lines that are mostly options.
fn lines() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = options().iter().map(|option| option.name).collect();
    let line = (select(names), vec(word(), 0..4))
        .prop_map(|(name, words)| format!("{name}: {}\n", words.concat()));
    vec(
        prop_oneof![4 => line, 1 => vec(word(), 0..6).prop_map(|words| words.concat())],
        0..12,
    )
    .prop_map(|lines| lines.concat())
}

/// Loads `text` in every way and looks at what is said about it.
fn survive(text: &str) {
    for name in [
        "poll/x", "watch/x", "sarra/x", "sender/x", "winnow/x", "flow/x",
    ] {
        let report = match load(name, text) {
            Ok(loaded) => loaded.warnings,
            Err(report) => {
                assert!(report.has_errors(), "refused without a reason: {text:?}");
                report
            }
        };
        for finding in report.findings() {
            assert!(
                explain(finding.code).is_some(),
                "{} has no page",
                finding.code
            );
            let (Some(line), Some(column)) = (finding.line, finding.column) else {
                continue;
            };
            // A place lies in the text; the end of a line is one.
            let found = text.split('\n').nth(line - 1).expect("the line exists");
            assert!(
                column <= found.chars().count() + 1,
                "{finding}\nin {text:?}"
            );
            if let Some(source) = &finding.source {
                assert!(source.start <= source.text.chars().count(), "{finding}");
                assert!(!source.text.contains(|c: char| c.is_control()), "{finding}");
            }
        }
        let _ = report.render(true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn no_likely_text_panics(text in lines()) {
        survive(&text);
    }

    #[test]
    fn no_override_panics(option in "[a-zA-Z_.\\[\\]0-9]{0,20}", words in vec(word(), 0..4)) {
        let text = "pollUrl: imaps://me@h/\ncallbacks: [mail, {plugin: api, url: 'https://h/'}]\n";
        let value = words.concat();
        for option in [option.as_str(), "callbacks[1].token", "mail.limits.deadline", "allow.connect", "callbacks"] {
            if let Err(report) = load_with("poll/x", text, &[(option, &value)]) {
                let _ = report.render(false);
            }
        }
    }

    /// The secret is in places where it is one; whatever is wrong beside it, it is not shown.
    #[test]
    fn no_secret_is_shown(
        before in vec(lines(), 0..2),
        place in 0usize..6,
        beside in "[a-z:{}\\[\\]', #]{0,8}",
        after in vec(lines(), 0..2),
    ) {
        let secret = [
            "pollUrl: imaps://me:hunter2@host/",
            "pollUrl: 'imaps://me:x@/hunter2@host/'",
            "callbacks: [{plugin: api, token: hunter2}]",
            "callbacks: [{plugin: api, url: 'https://u:hunter2@h', tokenn: hunter2}]",
            "password: hunter2",
            "post_baseUrl: ftp://u:hunter2@h/${%Y}",
        ][place];
        let text = format!("{}{secret} {beside}\n{}", before.concat(), after.concat());
        for name in ["poll/x", "flow/x"] {
            let (report, settings) = match load(name, &text) {
                Ok(loaded) => (loaded.warnings, format!("{:?}", loaded.flow)),
                Err(report) => (report, String::new()),
            };
            for shown in [report.render(false), format!("{report:?}"), settings] {
                prop_assert!(!shown.contains("hunter2"), "{}", shown);
            }
        }
    }

    #[test]
    fn no_credentials_panic_or_are_shown(text in vec(prop_oneof!["[ -~]{0,40}", any::<String>(), Just("imaps://a:hunter2@h/ b=hunter2\n".to_owned()), Just("imaps://a:hunter2#@h/\n".to_owned()), Just("\n".to_owned())], 0..6)) {
        let text = text.concat();
        let shown = match Credentials::parse(Path::new("c"), &text) {
            Ok(credentials) => {
                let _ = credentials.find(&SafeUrl::parse("imaps://a@h/").expect("a URL"));
                format!("{credentials:?}")
            }
            Err(report) => report.to_string(),
        };
        // The user and the host of a line are shown, so only whole lines of ours count.
        if text.lines().all(|line| !line.contains("hunter2") || line.starts_with("imaps://a:hunter2")) {
            prop_assert!(!shown.contains("hunter2"), "{}", shown);
        }
    }

    #[test]
    fn templates_read_back_and_render(words in vec(word(), 0..6)) {
        let text = words.concat();
        if let Ok(template) = Template::parse(&text) {
            prop_assert_eq!(Template::parse(template.as_str()), Ok(template.clone()));
            let now = "20260301T000000".parse().expect("a time");
            let context = flow_config::template::Context { now, message: None, groups: &[] };
            let _ = (template.render(&context), template.render_path(&context));
        }
    }

    #[test]
    fn names_read_back(text in "\\PC{0,12}", kind in select(vec!["poll", "subscribe", "flow", "sarra", "report", ""])) {
        if let Ok(name) = format!("{kind}/{text}").parse::<FlowName>() {
            prop_assert_eq!(name.to_string().parse::<FlowName>(), Ok(name));
        }
    }
}

#[test]
fn codes_are_listed_with_their_pages() {
    assert!(codes().count() > 30);
    assert!(codes().all(|code| explain(code).is_some()));
}
