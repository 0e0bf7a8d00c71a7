//! What options become: queues, exchanges, rules and schedules of every kind of flow.

mod common;

use std::time::Duration;

use common::{load, source};
use flow_config::{
    Argument, Digest, FileEvent, Flow, IdentityMethod, Inflight, InlineAs, Nodupe, NodupeBasis,
    PostFormat, QueueType, Schedule, Source, SourceStamp, TlsRigour,
};
use flow_message::Message;

#[track_caller]
fn flow(name: &str, text: &str) -> Flow {
    match load(name, text) {
        Ok(loaded) => loaded.flow,
        Err(report) => panic!("{report}"),
    }
}

fn bindings(flow: &Flow) -> Vec<(&str, &str)> {
    let input = flow.input.as_ref().expect("an input");
    input
        .bindings
        .iter()
        .map(|binding| (&*binding.exchange, &*binding.topic))
        .collect()
}

#[test]
fn a_queue_is_bound_to_what_is_written() {
    for (text, expected) in [
        ("exchange: xs_a\n", vec![("xs_a", "v03.#")]),
        (
            "exchange: xs_a\ntopicPrefix: none\nsubtopic: [a/b, '#']\n",
            vec![("xs_a", "a.b"), ("xs_a", "#")],
        ),
        (
            "exchange: xs_a\ntopic: [v02.post.#, v03.x]\n",
            vec![("xs_a", "v02.post.#"), ("xs_a", "v03.x")],
        ),
        (
            "exchange: xs_a\nexchangeSplit: 2\n",
            vec![("xs_a00", "v03.#"), ("xs_a01", "v03.#")],
        ),
        (
            "exchange: xs_a\nbindings: [{subtopic: [a.#, b]}, {exchange: xs_b, topicPrefix: v02.post}, {topic: x.y}]\n",
            vec![
                ("xs_a", "v03.a.#"),
                ("xs_a", "v03.b"),
                ("xs_b", "v02.post.#"),
                ("xs_a", "x.y"),
            ],
        ),
        ("bindings: [{exchange: xs_b}]\n", vec![("xs_b", "v03.#")]),
        ("broker: amqps://me@h/\n", vec![("xs_me", "v03.#")]),
        ("broker: amqps://h/\n", vec![("xpublic", "v03.#")]),
        (
            "broker: mqtts://me@h/\nexchange: none\n",
            vec![("", "v03.#")],
        ),
    ] {
        let text = format!("{text}post_exchange: xs_out\n");
        assert_eq!(bindings(&flow("shovel/x", &text)), expected, "{text}");
    }
}

#[test]
fn queues_are_named_so_that_they_are_found_again() {
    let source = Source {
        env: [("USER".to_owned(), "ops".to_owned())].into(),
        hostname: "pump1".to_owned(),
        ..source()
    };
    let queue = |text: &str| {
        let name = "shovel/x".parse().expect("a name");
        let text = format!("{text}exchange: xs_a\npost_exchange: xs_out\n");
        let path = source.path(&name);
        let plugins = common::plugins();
        let loaded = source.load_text(&name, &path, &text, &plugins, &[]);
        loaded
            .expect("it is right")
            .flow
            .input
            .expect("an input")
            .queue
    };
    for (text, expected) in [
        ("", "q_embedded.shovel.x"),
        ("broker: amqps://me@h/\n", "q_me.shovel.x.ops_pump1"),
        ("broker: amqps://h/\n", "q_anonymous.shovel.x.ops_pump1"),
        (
            "broker: amqps://me@h/\nqueueShare: all\n",
            "q_me.shovel.x.all",
        ),
        (
            "broker: amqps://me@h/\nqueueName: q_${BROKER_USER}.${CONFIG}.${QUEUESHARE}\n",
            "q_me.x.ops_pump1",
        ),
    ] {
        assert_eq!(queue(text), expected, "{text}");
    }
}

#[test]
fn a_queue_is_declared_as_asked() {
    let flow = flow(
        "subscribe/x",
        "\
broker: amqp://me@h/vhost
directory: /data
queueType: quorum
expire: 1w
messageAgeMax: 1d
prefetch: 50
queueBind: off
amqp_queue_args: {x-max-length: 100, x-overflow: drop-head, x-single-active-consumer: on}
tlsRigour: strict
instances: 3
",
    );
    let input = flow.input.expect("an input");
    assert_eq!(input.queue_type, Some(QueueType::Quorum));
    assert_eq!(
        (input.expire.as_secs(), input.message_ttl, input.prefetch),
        (604_800, Duration::from_secs(86_400), 50)
    );
    assert!(input.durable && !input.auto_delete);
    assert!(input.declare.queue && input.declare.exchange && !input.declare.bindings);
    let arguments: Vec<_> = input.arguments.into_iter().collect();
    assert_eq!(
        arguments,
        [
            ("x-max-length".to_owned(), Argument::Count(100)),
            ("x-overflow".to_owned(), Argument::Text("drop-head".into())),
            ("x-single-active-consumer".to_owned(), Argument::Flag(true)),
        ]
    );
    assert_eq!(
        (input.tls, flow.transfer.tls),
        (TlsRigour::Strict, TlsRigour::Strict)
    );
    assert_eq!(
        (flow.instances, flow.source),
        (3, SourceStamp::Fill("me".into()))
    );
}

#[test]
fn topics_and_forms_of_what_is_posted_go_together() {
    for (text, format, prefix) in [
        ("", PostFormat::V03, "v03"),
        ("post_format: v02\n", PostFormat::V02, "v02.post"),
        ("post_topicPrefix: v02.post\n", PostFormat::V02, "v02.post"),
        ("topicPrefix: v02.post\n", PostFormat::V02, "v02.post"),
        (
            "topicPrefix: v02.post\npost_format: v03\n",
            PostFormat::V03,
            "v03",
        ),
        ("topicPrefix: a/b\n", PostFormat::V03, "a.b"),
        (
            "post_format: wis\npost_topicPrefix: origin.a.wis2\n",
            PostFormat::Wis,
            "origin.a.wis2",
        ),
        ("post_topicPrefix: none\n", PostFormat::V03, ""),
    ] {
        let text = format!("exchange: xs_a\npost_exchange: xs_b\n{text}");
        let output = flow("shovel/x", &text).output.expect("an output");
        assert_eq!(
            (output.format, output.topic_prefix.as_str()),
            (format, prefix),
            "{text}"
        );
    }
}

#[test]
fn what_is_posted_goes_where_it_is_told() {
    for (text, expected) in [
        ("post_exchange: xs_a\n", vec!["xs_a"]),
        ("post_exchange: [xs_a, xs_b]\n", vec!["xs_a", "xs_b"]),
        (
            "post_exchange: xs_a\npost_exchangeSplit: 3\n",
            vec!["xs_a00", "xs_a01", "xs_a02"],
        ),
        ("post_broker: amqps://me@h/\n", vec!["xs_me"]),
        ("post_broker: mqtt://me@h/\npost_exchange: none\n", vec![""]),
    ] {
        let text = format!("path: /data\n{text}");
        let output = flow("post/x", &text).output.expect("an output");
        assert_eq!(output.exchanges, expected, "{text}");
        assert_eq!(output.exchange, expected[0]);
    }
    assert!(flow("flow/x", "exchange: xs_a\n").output.is_none());
    let output = flow("flow/x", "exchange: xs_a\npost_broker: amqp://h/\n").output;
    assert!(output.is_none(), "the anonymous user has no exchange");
}

#[test]
fn rules_look_at_more_than_the_url() {
    let flow = flow(
        "flow/x",
        "\
exchange: xs_in
filters:
  - reject: {fileEvents: [delete, rmdir]}
  - accept: {url: '.*/(\\w+)\\.pdf$', size: '1k..1MB', contentType: 'application/', header: {office: 'north|south', level: '[1-3]$'}}
    filename: ${1}-${CCCC}
  - reject: {size: '>1MB'}
",
    );
    let [removed, report, large] = flow.filters.rules.as_slice() else {
        panic!("three rules")
    };
    assert_eq!(
        report.text,
        "accept url .*/(\\w+)\\.pdf$, size 1k..1MB, contentType application/, header office level"
    );
    assert!(!removed.accept && report.accept && report.regex.is_match("https://h/a/b.pdf"));
    assert!(large.regex.is_match("anything") && !large.conditions.is_empty());

    let time = "20261122T015207".parse().expect("a time");
    let mut message = Message::new(time, "https://h/", "a/b.pdf");
    assert!(!report.conditions.hold(&message) && !large.conditions.hold(&message));
    message.size = Some(2_000);
    message.content_type = Some("application/pdf".into());
    message.extra.insert("office".into(), "north".into());
    message.extra.insert("level".into(), 2.into());
    assert!(report.conditions.hold(&message));
    message.extra.insert("level".into(), 20.into());
    assert!(!report.conditions.hold(&message));
    message.size = Some(1_000_001);
    assert!(large.conditions.hold(&message) && !removed.conditions.hold(&message));
}

#[test]
fn flows_gather_when_they_are_told() {
    let schedule = |text: &str| {
        let text = format!("pollUrl: ftp://me@h/\npost_exchange: xs_out\n{text}");
        flow("poll/x", &text).schedule
    };
    assert_eq!(schedule(""), Schedule::Sleep);
    assert_eq!(
        schedule("scheduled_interval: 10m\n"),
        Schedule::Interval(Duration::from_secs(600))
    );
    let times = |minutes: &[u16]| Schedule::Times {
        minutes: minutes.to_vec(),
        timezone: "UTC".into(),
    };
    assert_eq!(
        schedule("scheduled_hour: [6, 18]\nscheduled_minute: '5,35'\nscheduled_time: '06:05'\n"),
        times(&[365, 395, 1085, 1115])
    );
    assert_eq!(schedule("scheduled_hour: 6\n"), times(&[360]));
    let Schedule::Times { minutes, .. } = schedule("scheduled_minute: 30\n") else {
        panic!("times")
    };
    assert_eq!((minutes.len(), minutes[0], minutes[23]), (24, 30, 1410));
}

#[test]
fn listings_are_remembered_for_as_long_as_they_are_announced() {
    let poll = |url: &str, plugin: &str| {
        flow(
            "poll/x",
            &format!("pollUrl: {url}\n{plugin}post_exchange: xs_out\n"),
        )
    };
    let listing = poll("sftp://me@h/in", "");
    let basis = NodupeBasis::Path;
    let day = Duration::from_secs(86_400);
    assert_eq!(listing.file_age_max, 30 * day);
    assert_eq!(
        listing.nodupe,
        Some(Nodupe {
            ttl: 31 * day,
            basis
        })
    );
    assert_eq!(listing.identity, IdentityMethod::Cod(Digest::Sha512));
    assert_eq!(
        (listing.listing.perm_min, listing.perm_default),
        (0o400, 0o644)
    );
    let by_plugin = poll("https://h/", "callbacks: [mail]\n");
    assert_eq!(by_plugin.file_age_max, Duration::ZERO);
    assert_eq!(
        by_plugin.nodupe.map(|nodupe| nodupe.ttl.as_secs()),
        Some(25_200)
    );
}

#[test]
fn files_are_moved_as_asked() {
    let sender = flow(
        "sender/x",
        "\
exchange: xs_in
sendTo: ftp://me@files.example.org/
directory: /in/${%Y%m%d}
baseDir: ~/www
inflight: umask
fileEvents: 'create, modify'
fileSizeMax: 2GB
byteRateMax: 500kB
bufSize: 64KiB
permCopy: off
delete_source: on
ftpFilenameEncoding: latin-1
vip: [192.0.2.7, '2001:db8::7']
",
    );
    assert_eq!(sender.inflight, Inflight::Umask);
    assert_eq!(sender.own_urls.len(), 1);
    assert!(
        sender.events.contains(FileEvent::Modify) && !sender.events.contains(FileEvent::Delete)
    );
    assert_eq!(
        (
            sender.file_size_max,
            sender.transfer.byte_rate_max,
            sender.transfer.buf_size
        ),
        (2_000_000_000, 500_000, 64 << 10)
    );
    assert!(
        !sender.transfer.perm_copy && sender.transfer.time_copy && sender.transfer.delete_source
    );
    assert!(sender.filters.placement.mirror && !sender.download);
    assert_eq!(sender.vip.len(), 2);

    let sarra = flow(
        "sarra/x",
        "\
exchange: xs_in
post_baseDir: /var/www
directory: ${PBD}/${SOURCE}
inflight: tmp/
identity: arbitrary,agreed on
inline: on
inlineByteMax: 64KiB
inlineEncoding: text
post_exchange: xs_out
sourceFromExchange: on
messageRateMax: 0.5
",
    );
    assert_eq!(sarra.inflight, Inflight::Directory("tmp/".into()));
    assert_eq!(
        sarra.identity,
        IdentityMethod::Arbitrary("agreed on".into())
    );
    let inline = sarra.inline.expect("inline");
    assert_eq!(
        (inline.byte_max, inline.encoding, inline.only),
        (65_536, InlineAs::Text, false)
    );
    assert_eq!(sarra.source, SourceStamp::FromExchange);
    assert_eq!(sarra.pace.message_rate_max, Some(0.5));
    let directory = sarra.filters.placement.directory.expect("a directory");
    assert_eq!(directory.as_str(), "/var/www/${SOURCE}");

    let watch = flow(
        "watch/x",
        "path: [~/in, '/data/${%Y%m%d}']\npost_exchange: xs_out\nlogReject: on\nlogEvents: none\n",
    );
    let paths: Vec<_> = watch.paths.iter().map(|path| path.as_str()).collect();
    assert_eq!(paths, ["/home/me/in", "/data/${%Y%m%d}"]);
    assert!(watch.log.events.reject && !watch.log.events.after_post);
}
