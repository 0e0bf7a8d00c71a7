//! `flow post`: paths become messages while they are named, on any broker.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use flow_testkit::{Flow, RabbitMq, wait, without_password};
use flow_tests::queue;

const SOON: Duration = Duration::from_secs(60);

fn tree(flow: &Flow) -> String {
    for (name, text) in [("data/a/one", "1"), ("data/two", "22")] {
        flow.write(name, text.as_bytes());
    }
    std::os::unix::fs::symlink("two", flow.path("data/link")).expect("a link");
    flow.path("data").display().to_string()
}

#[test]
fn a_tree_is_announced_with_all_that_is_in_it() {
    let flow = Flow::new();
    let data = tree(&flow);
    queue::declare(&flow, "xs_files");
    let posted = flow.run(&[
        "post",
        "--exchange",
        "xs_files",
        "--base-url",
        "http://h/",
        "--base-dir",
        &data,
        &data,
    ]);
    assert_eq!(
        posted.expect(0).stderr,
        "posted 4 messages (3 B) to xs_files\n"
    );
    let mut found: Vec<String> = queue::queued(&flow, "xs_files")
        .iter()
        .map(|message| {
            let op = message.file_op.as_ref();
            let what = match op {
                Some(op) if op.directory => "directory",
                Some(op) if op.link.is_some() => "link",
                _ => "file",
            };
            format!("{what} {}", message.url())
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "directory http://h/a",
            "file http://h/a/one",
            "file http://h/two",
            "link http://h/link"
        ]
    );
    // Posted again, it is announced again.
    flow.run(&["post", "--exchange", "xs_files", &data])
        .expect(0);
    assert_eq!(queue::queued(&flow, "xs_files").len(), 9);
}

#[test]
fn what_is_named_first_is_out_before_the_last_is_named() {
    let flow = Flow::new();
    let data = tree(&flow);
    queue::declare(&flow, "xs_files");
    let mut child = flow
        .command(&["post", "--exchange", "xs_files", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut input = child.stdin.take().expect("asked for");
    writeln!(input, "{data}/two").expect("somebody reads");
    let started = Instant::now();
    wait::until("the first message", SOON, || {
        (!queue::queued(&flow, "xs_files").is_empty()).then_some(())
    });
    let took = started.elapsed();
    writeln!(input, "\n{data}/a").expect("somebody reads");
    drop(input);
    let said = child.wait_with_output().expect("it ends");
    assert!(said.status.success());
    assert_eq!(
        String::from_utf8_lossy(&said.stderr),
        "posted 3 messages (3 B) to xs_files\n"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn any_broker_takes_posts() {
    let flow = Flow::new();
    let data = tree(&flow);
    let broker = RabbitMq::start();
    let url = broker.url("/");
    flow.credentials(&format!("{url}\n"));
    let amqp = without_password(&url);
    flow.add_flow(
        "subscribe/get",
        &format!(
            "broker: {amqp}\nexchange: xs_{}\ndirectory: ${{HOME}}/got\n",
            RabbitMq::USER
        ),
    );
    // The exchange is named after the user, as sr3 does, and sr3_post's spellings are understood.
    let posted = flow
        .run(&["post", "--post_broker", &amqp, "--dry-run", "-p", &data])
        .expect(0);
    assert_eq!(posted.stdout.lines().count(), 5);
    flow.run(&["post", "--post_broker", &amqp, "-p", &data])
        .expect(0);
    flow.run(&["foreground", "subscribe/get", "--once"])
        .expect(0);
    let posted = flow
        .run(&["post", "--post_broker", &amqp, "-p", &data])
        .expect(0);
    assert!(
        posted.stderr.contains("posted 5 messages"),
        "{}",
        posted.stderr
    );
    flow.run(&["foreground", "subscribe/get", "--once"])
        .expect(0);
    assert_eq!(
        std::fs::read(flow.path("got/two")).expect("it was fetched"),
        b"22"
    );
}

#[test]
fn a_flow_says_how_to_post_and_what() {
    let flow = Flow::new();
    let data = tree(&flow);
    queue::declare(&flow, "xs_files");
    flow.add_flow(
        "post/some",
        &format!(
            "path: {data}\npost_exchange: xs_files\nidentity: md5\nfileEvents: [create]\n\
             header: {{project: x}}\nfilters:\n  - accept: '.*/two'\n  - reject: '.*'\n"
        ),
    );
    flow.run(&["post", "--flow", "post/some"]).expect(0);
    let two = format!("{data}/two");
    flow.run(&["post", "-c", "post/some", "--set", "identity=none", &two])
        .expect(0);
    let found = queue::queued(&flow, "xs_files");
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|message| message.extra["project"] == "x"));
    let methods: Vec<_> = found
        .iter()
        .map(|message| message.identity.as_ref().map(|one| one.method.as_str()))
        .collect();
    assert_eq!(methods, [Some("md5"), None]);
    let left = std::fs::read_dir(flow.state_dir().join("posting")).expect("it was made");
    assert_eq!(left.count(), 0, "nothing remains of a posting");
}

#[test]
fn what_cannot_be_posted_is_said() {
    let flow = Flow::new();
    let data = tree(&flow);
    queue::declare(&flow, "xs_files");
    let two = format!("{data}/two");
    let missing = flow
        .run(&["post", "-e", "xs_files", "/nowhere/at/all", &two])
        .expect(1);
    assert!(
        missing.stderr.contains("/nowhere/at/all"),
        "{}",
        missing.stderr
    );
    assert_eq!(
        queue::names(&flow, "xs_files"),
        ["two"],
        "the rest is posted"
    );
    for (arguments, expected) in [
        (vec!["post", two.as_str()], "cli/no-exchange"),
        (
            vec!["post", "--flow", "watch/x", two.as_str()],
            "cli/not-a-post",
        ),
        (
            vec![
                "post",
                "-e",
                "x",
                "-b",
                "amqp://me@localhost/",
                two.as_str(),
            ],
            "credentials/",
        ),
        (vec!["post", "-e", "x"], "required"),
    ] {
        let said = flow.run(&arguments).expect(2);
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
}
