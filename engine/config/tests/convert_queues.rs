//! Converted flows go on with the queues sr3 has made, or say that they don't.

mod common;

use std::fs;
use std::path::PathBuf;

use flow_config::FlowName;
use flow_config::convert::{Conversion, Fate, Input, Known, Queues, convert, convert_directory};

const DEFAULT: &str = "q_${BROKER_USER}.${COMPONENT}.${CONFIG}.${QUEUESHARE}";
const HEAD: &str = "broker amqps://me@mq.example.org/\nsubtopic #\ndirectory /data\n";

fn of(component: &str, text: &str, queues: Option<&Queues>) -> Conversion {
    let path = PathBuf::from(format!("{component}/x.conf"));
    let input = Input {
        path: &path,
        text,
        component: component.parse().expect("a component"),
        queues,
    };
    convert(&input, &Known::default())
}

/// What sr3 writes about queues: broker, name, template.
fn made(list: &[(&str, &str, &str)]) -> Queues {
    let list: Vec<_> = list
        .iter()
        .map(|(broker, name, template)| {
            serde_json::json!({
                "auto_delete": false,
                "baseDir": null,
                "bindings": [{ "exchange": "xpublic", "topic": "v03.#" }],
                "bindings_to_remove": [],
                "broker": broker,
                "queue": { "name": name, "template": template, "durable": true, "mismatch": [] },
            })
        })
        .collect();
    Queues::of_subscriptions(&serde_json::to_string_pretty(&list).expect("JSON"))
}

/// The line of a flow that names its queue.
fn queue(yaml: &str) -> Option<&str> {
    yaml.lines()
        .find_map(|line| line.strip_prefix("queueName: "))
}

/// The queue a flow has once it is loaded.
fn loaded(conversion: &Conversion, yaml: &str) -> String {
    let name: FlowName = format!("{}/x", conversion.kind).parse().expect("a name");
    let source = common::source();
    match source.load_text(&name, &source.path(&name), yaml, &common::plugins(), &[]) {
        Ok(loaded) => loaded.flow.input.expect("it consumes").queue,
        Err(report) => panic!("{}\n{yaml}", report.render(false)),
    }
}

#[test]
fn the_queue_sr3_has_made_is_kept() {
    let broker = "amqps://me@mq.example.org/";
    let name = "q_me.subscribe.x.me_here.01234567";
    let known = made(&[(broker, name, DEFAULT)]);
    let conversion = of("subscribe", HEAD, Some(&known));
    assert_eq!(queue(&conversion.yaml), Some(name));
    assert_eq!(loaded(&conversion, &conversion.yaml), name);
    assert_eq!(
        conversion.render(true),
        format!("subscribe/x.conf: kept: `queueName`: its queue is kept: sr3 named it `{name}`\n")
    );
    assert!(
        conversion
            .yaml
            .contains(&format!("\nsubtopic: '#'\nqueueName: {name}\n")),
        "{}",
        conversion.yaml
    );

    // A file of an older version says the same.
    let legacy = Queues::of_names([("me", name)]);
    let again = of("subscribe", HEAD, Some(&legacy));
    assert_eq!(again.yaml, conversion.yaml);
    // What is a variable elsewhere is no variable in a name.
    let odd = made(&[(broker, "q_me.${ODD}", DEFAULT)]);
    let conversion = of("subscribe", HEAD, Some(&odd));
    assert_eq!(loaded(&conversion, &conversion.yaml), "q_me.${ODD}");
}

#[test]
fn what_sr3_made_of_a_template_is_written_out() {
    let broker = "amqps://me@mq.example.org:5671/";
    let template = "q_${BROKER_USER}.radar.${RAND8}";
    let text = format!("queueName {template}\n{HEAD}");
    let conversion = of(
        "subscribe",
        &text,
        Some(&made(&[(broker, "q_me.radar.7", template)])),
    );
    assert_eq!(loaded(&conversion, &conversion.yaml), "q_me.radar.7");
    assert_eq!(
        conversion.render(true),
        "subscribe/x.conf:1: kept: `queueName`: sr3 made `q_me.radar.7` of it, which is written out: its queue is kept\n"
    );
    // Without it nothing starts with a name that is none.
    let conversion = of("subscribe", &text, None);
    assert_eq!(conversion.tally().refused, 1);
    let shown = conversion.render(true);
    assert!(
        shown.contains("subscribe/x.conf:1: refused: `queueName`: `${RAND8}`"),
        "{shown}"
    );
    assert!(
        shown.contains("`--state`") && conversion.yaml.contains("${RAND8}"),
        "{shown}"
    );

    // A random part in the share is no longer needed.
    let text = format!("queueShare mine_${{RAND8}}\n{HEAD}");
    let known = made(&[(broker, "q_me.subscribe.x.mine_7", DEFAULT)]);
    let conversion = of("subscribe", &text, Some(&known));
    assert_eq!(
        loaded(&conversion, &conversion.yaml),
        "q_me.subscribe.x.mine_7"
    );
    assert!(
        !conversion.yaml.contains("queueShare"),
        "{}",
        conversion.yaml
    );
    assert_eq!(
        (conversion.tally().refused, conversion.tally().kept),
        (0, 2)
    );
    assert_eq!(of("subscribe", &text, None).tally().refused, 1);
}

#[test]
fn each_broker_has_its_own_queue() {
    let text = "broker amqps://me@one.example.org/\nsubtopic a.#\n\
                broker amqps://me@two.example.org/\nsubtopic b.#\n\
                broker amqps://me@two.example.org/other\nsubtopic c.#\ndirectory /data\n";
    let known = made(&[
        ("amqps://me@two.example.org/other", "q_me.c", DEFAULT),
        ("amqps://me@one.example.org/", "q_me.a", DEFAULT),
        ("amqps://me@three.example.org/", "q_me.d", DEFAULT),
    ]);
    let conversion = of("subscribe", text, Some(&known));
    assert_eq!(queue(&conversion.yaml), Some("q_me.a"));
    let others: Vec<_> = conversion.others.iter().map(|yaml| queue(yaml)).collect();
    assert_eq!(others, [None, Some("q_me.c")]);
    let noted: Vec<_> = conversion
        .report
        .iter()
        .filter(|remark| remark.fate == Fate::Noted)
        .map(|remark| remark.text.as_str())
        .collect();
    assert_eq!(
        noted,
        [
            "sr3's state directory names no queue for it, so the flow has a new one, `q_me.subscribe.x-2.<user>_<machine>`; if sr3 ran it elsewhere, its queue goes on filling until it is deleted: write its name as `queueName` to go on with it",
            "sr3 has the queue `q_me.d` at three.example.org, which no flow takes from: it goes on filling until it is deleted",
        ]
    );
}

#[test]
fn names_without_a_random_part_stay_the_same() {
    // Component, lines, what is written, the queue, how many remarks of its own.
    let share = "queueShare mine\n";
    for (component, lines, written, expected, remarks) in [
        (
            "subscribe",
            "queueName q_me.mine\n",
            Some("q_me.mine"),
            "q_me.mine",
            0,
        ),
        ("subscribe", share, None, "q_me.subscribe.x.mine", 0),
        (
            "cpump",
            share,
            Some("q_me.cpump.x.mine"),
            "q_me.cpump.x.mine",
            1,
        ),
        (
            "subscribe",
            "queueShare mine\nqueueName q_${BROKER_USER}.${CONFIG}.${QUEUESHARE}\n",
            Some("q_${BROKER_USER}.${CONFIG}.${QUEUESHARE}"),
            "q_me.x.mine",
            0,
        ),
    ] {
        let post = "post_broker amqp://you@localhost/\n";
        for known in [None, Some(Queues::default())] {
            let text = format!("{lines}{HEAD}{post}");
            let conversion = of(component, &text, known.as_ref());
            assert_eq!(queue(&conversion.yaml), written, "{component} {lines}");
            assert_eq!(loaded(&conversion, &conversion.yaml), expected);
            let shown = conversion.render(true);
            let about = shown.matches("`queueName`").count();
            assert_eq!((about, conversion.tally().noted), (remarks, 0), "{shown}");
        }
    }
    // The second of several flows has another name.
    let text = format!("{share}{HEAD}broker amqps://me@two.example.org/\nsubtopic #\n");
    let conversion = of("subscribe", &text, None);
    assert_eq!(queue(&conversion.yaml), None);
    assert_eq!(queue(&conversion.others[0]), Some("q_me.subscribe.x.mine"));
    // sr3 asks somebody else for the machine's name.
    let text = format!("queueShare ${{HOSTNAME}}\n{HEAD}");
    assert_eq!(of("subscribe", &text, None).tally().noted, 1);
}

#[test]
fn a_new_queue_is_noted_and_the_flow_is_as_it_was() {
    let conversion = of("subscribe", HEAD, None);
    assert_eq!(
        conversion.render(false),
        "subscribe/x.conf: noted: `queueName`: the flow has a new queue, `q_me.subscribe.x.<user>_<machine>`; if sr3 ran it, its queue goes on filling until it is deleted: to go on with it, name sr3's state directory with `--state`, or write its name as `queueName`\n"
    );
    let tally = conversion.tally();
    assert_eq!((tally.changed, tally.refused, tally.noted), (0, 0, 1));
    assert_eq!(tally.worst(), Some(Fate::Noted));
    // What takes from no queue has none to lose.
    let text = "post_broker amqp://me@localhost/\npath /data\npost_baseUrl file:/\n";
    let known = made(&[("amqp://me@localhost/", "q_me.watch.x.1", DEFAULT)]);
    assert_eq!(of("watch", text, Some(&known)).tally().noted, 0);
}

#[test]
fn queues_that_nobody_takes_from_are_noted() {
    let broker = "amqps://me@mq.example.org/";
    // The name was changed after sr3 ran: sr3 would leave the old one as well.
    let text = format!("queueName q_me.new\n{HEAD}");
    let conversion = of(
        "subscribe",
        &text,
        Some(&made(&[(broker, "q_me.old", DEFAULT)])),
    );
    assert_eq!(queue(&conversion.yaml), Some("q_me.new"));
    let shown = conversion.render(false);
    assert!(
        shown.contains("sr3 has the queue `q_me.old` at mq.example.org,"),
        "{shown}"
    );
    // Two that may be meant.
    let known = made(&[
        (broker, "q_me.a", "a_${RAND8}"),
        (broker, "q_me.b", "b_${RAND8}"),
    ]);
    let conversion = of("subscribe", HEAD, Some(&known));
    assert_eq!(queue(&conversion.yaml), None);
    let shown = conversion.render(false);
    assert!(
        shown.contains("write it as `queueName`: `q_me.a`, `q_me.b`\n"),
        "{shown}"
    );
    assert_eq!(conversion.tally().noted, 1);
    // What can't be read.
    let conversion = of("subscribe", HEAD, Some(&Queues::of_subscriptions("{")));
    let shown = conversion.render(false);
    assert!(
        shown.contains("what sr3 remembers can't be read: its `subscriptions.json`"),
        "{shown}"
    );
    assert_eq!(conversion.tally().noted, 2);
}

#[test]
fn a_folder_is_converted_with_what_is_remembered_of_each() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["subscribe/a.conf", "shovel/b.conf", "cpump/b.conf"] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let post = "post_broker amqp://you@localhost/\n";
        fs::write(path, format!("{HEAD}{post}")).expect("written");
    }
    let remembered = |component: flow_config::convert::Component, name: &str| {
        let queue = format!("q_me.{component}.{name}.1");
        let known = made(&[("amqps://me@mq.example.org/", &queue, DEFAULT)]);
        Ok((component.as_str() != "shovel").then_some(known))
    };
    let converted = convert_directory(dir.path(), &remembered).expect("readable");
    let found: Vec<_> = converted
        .flows
        .iter()
        .map(|flow| {
            (
                flow.target.display().to_string(),
                queue(&flow.conversion.yaml),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("shovel/b.yaml".to_owned(), Some("q_me.cpump.b.1")),
            ("shovel/b_2.yaml".to_owned(), None),
            ("subscribe/a.yaml".to_owned(), Some("q_me.subscribe.a.1")),
        ]
    );
    let shown = converted.render(false);
    assert!(
        shown.contains("so it is shovel/b_2.yaml, and so is its queue named\n"),
        "{shown}"
    );
    // Nothing is converted on the strength of half of what is remembered.
    let broken = convert_directory(dir.path(), &|_, _| Err(std::io::Error::other("no")));
    assert!(broken.is_err());
}
