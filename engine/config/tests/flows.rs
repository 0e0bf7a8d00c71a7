//! What a flow that is right becomes.

mod common;

use std::time::Duration;

use common::{in_directory, load, load_with, plugins, source};
use flow_config::template::Context;
use flow_config::{
    Flow, FlowName, Inflight, Kind, Limits, Nodupe, NodupeBasis, OptionValue, Origin, Placement,
    Source, Strip, options,
};

const POLL: &str = "\
# poll/mail.yaml
pollUrl: imaps://${MAIL_USER:-nobody}@imap.example.com/INBOX
callbacks:
  - plugin: mail
    after: move
    move_to: Done
post_exchange: xs_mail
";

#[track_caller]
fn flow(name: &str, text: &str) -> Flow {
    match load(name, text) {
        Ok(loaded) => loaded.flow,
        Err(report) => panic!("{report}"),
    }
}

#[test]
fn callbacks_are_called_as_their_plugins_and_the_second_use_has_a_number() {
    let mut flow = flow("poll/mail", POLL);
    let use_of = |plugin: &str| flow_config::CallbackSpec {
        plugin: plugin.into(),
        ..flow.callbacks[0].clone()
    };
    flow.callbacks = ["mail", "decode", "mail", "mail"].map(use_of).into();
    let names = flow.callback_names();
    assert_eq!(names, ["mail", "decode", "mail#2", "mail#3"]);
}

fn setting(flow: &Flow, name: &str) -> (String, Origin) {
    let setting = flow
        .settings
        .iter()
        .find(|setting| setting.name == name)
        .expect(name);
    (setting.value.clone(), setting.origin.clone())
}

#[test]
fn a_poll_has_the_defaults_of_a_poll() {
    let flow = flow("poll/mail", POLL);
    assert_eq!(
        flow.name,
        FlowName {
            kind: Kind::Poll,
            name: "mail".into()
        }
    );
    assert_eq!(flow.sleep, Duration::from_secs(60));
    assert_eq!(
        (flow.batch, flow.concurrency, flow.download),
        (500, 4, false)
    );
    let ttl = Duration::from_secs(7 * 3600);
    assert_eq!(
        flow.nodupe,
        Some(Nodupe {
            ttl,
            basis: NodupeBasis::Path
        })
    );
    assert_eq!(
        (flow.retry.attempts, flow.retry.ttl.as_secs()),
        (10, 172_800)
    );
    assert_eq!(
        (flow.inflight, flow.overwrite, flow.fsync),
        (Inflight::Dot, true, true)
    );
    assert_eq!((flow.perm_default, flow.perm_dir_default), (0o644, 0o755));
    assert_eq!(
        (flow.timeout.as_secs(), flow.housekeeping.as_secs()),
        (60, 300)
    );
    assert!(flow.input.is_none() && flow.filters.accept_unmatched);
    let url = flow.poll_url.expect("a URL");
    assert_eq!(
        (url.user().as_str(), url.host()),
        ("me@example.com", Some("imap.example.com"))
    );
    assert_eq!(flow.own_urls, [url]);
    let output = flow.output.expect("an output");
    assert_eq!(
        (output.exchange.as_str(), output.topic_prefix.as_str()),
        ("xs_mail", "v03")
    );
    assert_eq!(output.broker.to_string(), "embedded:");
    let callback = &flow.callbacks[0];
    assert_eq!(callback.origin, "poll/mail.yaml:4");
    assert_eq!(callback.options["after"], OptionValue::Text("move".into()));
    assert_eq!(
        callback.options["idle"],
        OptionValue::Duration(Duration::from_secs(29 * 60))
    );
    assert_eq!(
        (callback.limits, callback.filters.is_none()),
        (Limits::default(), true)
    );
}

#[test]
fn a_subscription_has_a_queue_and_places() {
    let flow = flow(
        "subscribe/mail",
        "\
exchange: xs_mail
subtopic: [a.#, 'b/*']
topicPrefix: v03/post
batch: 10
directory: ~/inbox/${%Y-%m-%d}
filters:
  - reject: '.*/tmp/.*'
  - accept: '.*/(\\w+)\\.pdf$'
    directory: /pdf/${1}
    mirror: on
    strip: 2
    flatten: _
    filename: ${1}-${BUPL}.pdf
  - accept: .*\\.csv
    strip: .*incoming/
acceptUnmatched: off
callbacks:
  - mail
  - plugin: decode
    language: [en, de]
    filters:
      - accept: '.*\\.txt'
    limits: { deadline: 5s, memory: 128MiB }
",
    );
    let input = flow.input.expect("an input");
    assert_eq!(input.queue, "q_embedded.subscribe.mail");
    assert_eq!(input.exchanges(), ["xs_mail"]);
    let topics: Vec<&str> = input.topics("xs_mail").collect();
    assert_eq!(topics, ["v03.post.a.#", "v03.post.b.*"]);
    assert_eq!((input.prefetch, input.expire), (20, Duration::ZERO));
    assert!(flow.download && flow.output.is_none() && flow.nodupe.is_none());
    assert_eq!(flow.sleep, Duration::from_secs(1));

    let [tmp, pdf, csv] = flow.filters.rules.as_slice() else {
        panic!("three rules")
    };
    assert!(!flow.filters.accept_unmatched && !tmp.accept && pdf.accept);
    assert_eq!(
        (pdf.text.as_str(), pdf.origin.as_str()),
        ("accept .*/(\\w+)\\.pdf$", "subscribe/mail.yaml:8")
    );
    assert!(pdf.regex.is_match("https://h/a/b.pdf"));
    // Anchored at the start: what does not begin with a match is none.
    assert!(!csv.regex.is_match("\nx.csv"));
    let placement = &pdf.placement;
    assert_eq!(
        (placement.mirror, &placement.strip),
        (true, &Strip::Count(2))
    );
    assert_eq!(placement.flatten.as_deref(), Some("_"));
    let inherited = csv.placement.directory.as_ref().expect("the flow's");
    assert_eq!(inherited.as_str(), "/home/me/inbox/${%Y-%m-%d}");
    assert!(matches!(&csv.placement.strip, Strip::Regex(regex) if regex.as_str() == ".*incoming/"));

    let groups = [Some("report".to_owned())];
    let now = "20260301T000000".parse().expect("a time");
    let context = Context {
        now,
        message: None,
        groups: &groups,
    };
    assert_eq!(
        placement.directory.as_ref().expect("set").render(&context),
        "/pdf/report"
    );
    assert_eq!(inherited.render(&context), "/home/me/inbox/2026-03-01");

    let decode = &flow.callbacks[1];
    assert_eq!(
        decode.options["language"],
        OptionValue::List(vec!["en".into(), "de".into()])
    );
    assert_eq!(
        (decode.limits.deadline.as_secs(), decode.limits.memory),
        (5, 128 << 20)
    );
    let filters = decode.filters.as_ref().expect("filters");
    assert_eq!(filters.rules[0].placement, Placement::default());
    assert!(!filters.accept_unmatched);
}

#[test]
fn a_flow_downloads_and_polls_if_its_parts_do() {
    let all = flow("flow/mail", &format!("{POLL}directory: /data\n"));
    assert!(all.download && all.nodupe.is_some());
    assert_eq!(all.sleep, Duration::from_secs(60));
    assert_eq!(setting(&all, "download"), ("on".into(), Origin::Kind));
    assert_eq!(setting(&all, "sleep"), ("60s".into(), Origin::Kind));
    let bare = flow("flow/x", "exchange: x\ncallbacks: [decode]\n");
    assert!(!bare.download && bare.nodupe.is_none());
    assert_eq!(bare.sleep, Duration::from_secs(1));
    let off = flow(
        "flow/mail",
        &format!("{POLL}download: off\nnodupe_ttl: off\n"),
    );
    assert!(!off.download && off.nodupe.is_none());
}

#[test]
fn every_setting_says_where_it_comes_from() {
    let set = [
        ("timeout", "5m"),
        ("mail.after", "seen"),
        ("mail.limits.deadline", "9s"),
        ("allow.connect", "[a:1]"),
    ];
    let flow = load_with(
        "poll/mail",
        &format!("{POLL}sleep: 30s\nheader: {{via: '${{CONFIG}}'}}\n"),
        &set,
    )
    .expect("it is right")
    .flow;
    for (name, value, origin) in [
        ("batch", "500", Origin::Default),
        ("nodupe_ttl", "7h", Origin::Kind),
        ("sleep", "30s", Origin::File("poll/mail.yaml:8:8".into())),
        ("timeout", "5m", Origin::CommandLine),
        (
            "callbacks[0].plugin",
            "mail",
            Origin::File("poll/mail.yaml:4:13".into()),
        ),
        ("callbacks[0].after", "seen", Origin::CommandLine),
        ("callbacks[0].idle", "29m", Origin::Default),
        ("callbacks[0].limits.deadline", "9s", Origin::CommandLine),
        ("callbacks[0].limits.memory", "64MiB", Origin::Default),
        ("allow.connect[0]", "a:1", Origin::CommandLine),
        ("post_baseUrl", "none", Origin::Default),
        (
            "header.via",
            "mail",
            Origin::File("poll/mail.yaml:9:15".into()),
        ),
        (
            "pollUrl",
            "imaps://me%40example.com@imap.example.com/INBOX",
            Origin::Environment {
                file: "poll/mail.yaml:2:10".into(),
                names: vec!["MAIL_USER".into()],
            },
        ),
    ] {
        assert_eq!(setting(&flow, name), (value.into(), origin), "{name}");
    }
    assert_eq!(
        setting(&flow, "pollUrl").1.to_string(),
        "poll/mail.yaml:2:10, environment MAIL_USER"
    );
    assert_eq!(flow.timeout.as_secs(), 300);
    assert_eq!(flow.callbacks[0].limits.deadline.as_secs(), 9);
    assert_eq!(flow.allow.connect, ["a:1"]);
    // Each option that means something for a poll is there, in the order of the reference.
    for declared in options()
        .iter()
        .filter(|option| option.kinds.contains(&Kind::Poll))
    {
        let structured =
            ["include", "filters", "allow", "header", "callbacks"].contains(&declared.name);
        assert!(
            structured
                || flow
                    .settings
                    .iter()
                    .any(|setting| setting.name == declared.name),
            "{} is not shown",
            declared.name
        );
    }
}

#[test]
fn secrets_are_used_and_never_shown() {
    let source = Source {
        env: [("API_TOKEN".to_owned(), "geheim".to_owned())].into(),
        ..source()
    };
    let name: FlowName = "flow/x".parse().expect("a name");
    let text = "\
exchange: x
callbacks:
  - {plugin: api, url: 'https://api.example.com/${API_TOKEN}', token: '${API_TOKEN}'}
";
    let flow = source
        .load_text(&name, &source.path(&name), text, &plugins(), &[])
        .expect("it is right")
        .flow;
    let OptionValue::Secret(secret) = &flow.callbacks[0].options["token"] else {
        panic!("a secret")
    };
    assert_eq!(secret.expose(), "geheim");
    assert_eq!(setting(&flow, "callbacks[0].token").0, "****");
    assert_eq!(setting(&flow, "callbacks[0].url").0, "****");
    assert!(!format!("{:?}", flow.settings).contains("geheim"));
    assert_eq!(flow.own_urls[0].host(), Some("api.example.com"));

    // Nor where the value does not fit.
    let wrong = "exchange: x\ntimeout: ${API_TOKEN}\n";
    let report = source
        .load_text(&name, &source.path(&name), wrong, &plugins(), &[])
        .expect_err("no time span");
    assert!(
        report
            .to_string()
            .contains("`timeout` has a value it can't have"),
        "{report}"
    );
    assert!(!report.to_string().contains("geheim"), "{report}");
}

#[test]
fn warnings_do_not_keep_a_flow_from_starting() {
    let loaded = load(
        "flow/x",
        "exchange: x\ndirectory: data\npost_broker: 'embedded:'\n",
    )
    .expect("it starts");
    assert_eq!(
        loaded.warnings.to_string(),
        "\
warning[config/relative-directory]: `directory` depends on where flow is started
  --> flow/x.yaml:2:12
    |
  2 | directory: data
    |            ^^^^ start it with `/`, `~/` or `${HOME}/`

warning[config/no-effect]: `post_broker` has no effect without `post_exchange`
  --> flow/x.yaml:3:1
    |
  3 | post_broker: 'embedded:'
    | ^^^^^^^^^^^ add `post_exchange`, or remove this"
    );
}

#[test]
fn includes_come_first_and_lose() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir_all(at("flow")).expect("made");
    std::fs::create_dir_all(at("common")).expect("made");
    let write = |name: &str, text: &str| std::fs::write(at(name), text).expect("written");
    write(
        "common/base.yaml",
        "batch: 7\nsleep: 9s\nfilters:\n  - reject: a\ncallbacks: [decode]\n",
    );
    write("common/more.yaml", "include: base.yaml\nbatch: 8\n");
    write(
        "flow/x.yaml",
        "include: ../common/${WHICH:-more}.yaml\nexchange: x\nsleep: 3s\nfilters:\n  - reject: b\ncallbacks: [mail]\ndownload: off\n",
    );
    let source = in_directory(directory.path());
    let name: FlowName = "flow/x".parse().expect("a name");
    let flow = source
        .load(&name, &plugins(), &[])
        .expect("it is right")
        .flow;
    assert_eq!((flow.batch, flow.sleep.as_secs()), (8, 3));
    let rules: Vec<_> = flow
        .filters
        .rules
        .iter()
        .map(|rule| (&*rule.text, &*rule.origin))
        .collect();
    assert_eq!(
        rules,
        [
            ("reject a", "common/base.yaml:4"),
            ("reject b", "flow/x.yaml:5")
        ]
    );
    let plugins_used: Vec<_> = flow
        .callbacks
        .iter()
        .map(|callback| callback.plugin.as_str())
        .collect();
    assert_eq!(plugins_used, ["decode", "mail"]);
    assert_eq!(
        setting(&flow, "batch").1,
        Origin::File("common/more.yaml:2:8".into())
    );

    write("common/base.yaml", "include: more.yaml\nbatch: seven\n");
    write(
        "flow/x.yaml",
        "include: [../common/more.yaml, gone.yaml]\nslep: 3s\n",
    );
    let report = source.load(&name, &plugins(), &[]).expect_err("a loop");
    let shown = report
        .to_string()
        .replace(&directory.path().display().to_string(), "DIR");
    assert_eq!(
        shown,
        "\
error[config/include-not-found]: there is no file `gone.yaml` to include
  --> flow/x.yaml:1:32
    |
  1 | include: [../common/more.yaml, gone.yaml]
    |                                ^^^^^^^^^ relative to this file
    = note: looked for DIR/flow/gone.yaml

error[config/unknown-option]: `slep` is not an option of a `flow` flow
  --> flow/x.yaml:2:1
    |
  2 | slep: 3s
    | ^^^^ did you mean `sleep`?

error[config/include-loop]: the file includes itself
  --> common/base.yaml:1:10
    |
  1 | include: more.yaml
    |          ^^^^^^^^^ comes back here
    = note: `common/more.yaml` includes `common/base.yaml` includes `common/more.yaml`"
    );
}

#[test]
fn flows_are_found_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let source = in_directory(directory.path());
    assert_eq!(source.flows().expect("none is fine"), []);
    for kind in ["poll", "subscribe", "sarra"] {
        std::fs::create_dir(at(kind)).expect("made");
    }
    for name in [
        "poll/b.yaml",
        "poll/a.yaml",
        "poll/.a.yaml.swp",
        "poll/.x.yaml",
        "poll/a.inc",
        "sarra/x.yaml",
        "subscribe/mail.yaml",
    ] {
        std::fs::write(at(name), "").expect("written");
    }
    let names: Vec<String> = source
        .flows()
        .expect("listed")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["poll/a", "poll/b", "subscribe/mail", "sarra/x"]);

    let missing = |name: &str| {
        let name = name.parse().expect("a name");
        let report = source.load(&name, &plugins(), &[]).expect_err("no file");
        report
            .to_string()
            .replace(&directory.path().display().to_string(), "DIR")
    };
    assert_eq!(
        missing("poll/mail"),
        "\
error[config/no-such-flow]: there is no flow `poll/mail`: its file does not exist
  --> DIR/poll/mail.yaml
    = hint: did you mean `subscribe/mail`?
    = hint: `flow list` shows the flows there are"
    );
    assert_eq!(
        source.name("report/x").expect_err("gone").to_string(),
        "\
error[config/kind-not-available]: there are no `report` flows: messages about failures are in `flow retry`
  --> report/x
    = hint: `flow list` shows the flows there are"
    );
    std::fs::write(at("poll/bin.yaml"), [0xff, 0xfe, 0x00]).expect("written");
    assert_eq!(
        missing("poll/bin"),
        "\
error[config/unreadable]: the flow `poll/bin` can't be read: it is not UTF-8 text
  --> poll/bin.yaml"
    );
}

#[test]
fn a_password_that_comes_in_by_variables_is_refused_unseen() {
    let source = Source {
        env: [("WHOLE", "imaps://me:geheim@host/"), ("PW", "geheim")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..source()
    };
    let name: FlowName = "poll/x".parse().expect("a name");
    for url in [
        "${WHOLE}",
        "imaps://me:${PW}@host/",
        "${NONE:-imaps://me:geheim@host/}",
        "${NONE:-imaps://me:}geheim@host/",
    ] {
        let text = format!("pollUrl: '{url}'\ncallbacks: [mail]\npost_exchange: x\n");
        let report = source
            .load_text(&name, &source.path(&name), &text, &plugins(), &[])
            .expect_err("a password");
        let codes: Vec<_> = report
            .findings()
            .iter()
            .map(|finding| finding.code)
            .collect();
        assert_eq!(codes, ["config/password-in-url"], "{report}");
        assert!(!report.to_string().contains("geheim"), "{report}");
    }
}
