//! Options whose effect is in how the parts are wired: the whole binary, over its own broker and
//! Mosquitto.

use flow_message::Message;
use flow_testkit::{Flow, Mosquitto, wait};
use flow_tests::queue;

use super::{SOON, arrives, content, samples, spawn, stop, write_all};

/// A tree of files below `${HOME}/tree`, and a flow that announces it to `xs_tree` with `more` options.
fn tree(flow: &Flow, more: &str) -> usize {
    let files = samples();
    write_all(&flow.path("tree"), &files);
    flow.add_flow(
        "post/tree",
        &format!(
            "path: ${{HOME}}/tree\npost_baseUrl: file:${{HOME}}/tree\npost_exchange: xs_tree\n{more}"
        ),
    );
    files.len()
}

/// How many of the messages are about files, not directories.
fn files(messages: &[Message]) -> usize {
    let is_file = |message: &&Message| message.file_op.is_none();
    messages.iter().filter(is_file).count()
}

#[test]
fn instances_share_a_queue_and_what_was_seen() {
    let flow = Flow::new();
    let count = tree(&flow, "");
    queue::declare(&flow, "xs_copy");
    flow.add_flow(
        "subscribe/copy",
        "exchange: xs_tree\ninstances: 3\nbatch: 4\ndirectory: ${HOME}/copy\nmirror: on\n\
         nodupe_ttl: 1h\npost_exchange: xs_copy\npost_baseDir: ${HOME}/copy\n",
    );
    let copy = || {
        flow.run(&["foreground", "subscribe/copy", "--once"])
            .expect(0)
    };
    copy();
    let post = || flow.run(&["foreground", "post/tree"]).expect(0);
    post();
    copy();
    assert!(content(&flow.path("copy")) == samples());
    assert_eq!(files(&queue::queued(&flow, "xs_copy")), count);
    // All of it again is known to all of them.
    post();
    copy();
    assert_eq!(files(&queue::queued(&flow, "xs_copy")), count);
}

#[test]
fn small_content_travels_and_a_flow_ends_after_so_many() {
    let flow = Flow::new();
    tree(
        &flow,
        "inline: on\ninlineByteMax: 2000B\ninlineOnly: on\nmessageRateMax: 500\n",
    );
    flow.add_flow(
        "shovel/some",
        "exchange: xs_tree\npost_exchange: xs_other\nmessageCountMax: 5\ninstances: 2\n",
    );
    flow.add_flow(
        "subscribe/copy",
        "exchange: xs_other\ndirectory: ${HOME}/copy\n",
    );
    let run = |name: &str, more: &[&str]| {
        let arguments = [&["foreground", name], more].concat();
        flow.run(&arguments).expect(0)
    };
    run("shovel/some", &["--once"]);
    run("subscribe/copy", &["--once"]);
    run("post/tree", &[]);
    let posted = queue::queued(&flow, "xs_tree");
    let small = |bytes: &&Vec<u8>| bytes.len() <= 2000;
    let expected = samples().values().filter(small).count();
    assert_eq!(files(&posted), expected);
    for message in posted.iter().filter(|message| message.file_op.is_none()) {
        assert!(message.content.is_some(), "{message:?}");
    }
    // Without its files, what travelled is still there; the shovel ends by itself.
    std::fs::remove_dir_all(flow.path("tree")).expect("it is there");
    run("shovel/some", &[]);
    assert_eq!(queue::queued(&flow, "xs_other").len(), 5);
    assert_eq!(queue::queued(&flow, "xs_tree").len(), posted.len() - 5);
    run("shovel/some", &["--once", "--set", "messageCountMax=0"]);
    run("subscribe/copy", &["--once"]);
    let files: Vec<Vec<u8>> = samples()
        .into_values()
        .filter(|bytes| small(&bytes))
        .collect();
    let copied = content(&flow.path("copy"));
    assert_eq!(copied.len(), files.len(), "{:?}", copied.keys());
    assert!(copied.values().all(|bytes| files.contains(bytes)));
}

#[test]
fn a_flow_works_only_where_its_address_is() {
    let flow = Flow::new();
    queue::declare(&flow, "xs_tree");
    // An address of documentation, which no machine has.
    tree(&flow, "vip: 192.0.2.7\n");
    let ran = flow.run(&["foreground", "post/tree"]).expect(0);
    assert!(ran.stderr.contains("192.0.2.7"), "{}", ran.stderr);
    assert!(queue::queued(&flow, "xs_tree").is_empty());
    let count = tree(&flow, "vip: [192.0.2.7, 127.0.0.1]\n");
    flow.run(&["foreground", "post/tree"]).expect(0);
    assert_eq!(files(&queue::queued(&flow, "xs_tree")), count);
}

#[test]
fn an_exchange_is_split_and_its_messages_are_of_another_format() {
    let flow = Flow::new();
    let count = tree(
        &flow,
        "post_exchangeSplit: 2\npost_format: v02\npost_messageAgeMax: 1h\npersistent: off\n",
    );
    flow.add_flow(
        "shovel/all",
        "exchange: xs_tree\nexchangeSplit: 2\ntopicPrefix: v02.post\npost_topicPrefix: v03\n\
         post_exchange: xs_all\n",
    );
    flow.run(&["foreground", "shovel/all", "--once"]).expect(0);
    for exchange in ["xs_tree00", "xs_tree01"] {
        flow.add_flow(
            &format!("flow/{exchange}"),
            &format!("exchange: {exchange}\ntopicPrefix: v02.post\n"),
        );
        let name = format!("flow/{exchange}");
        flow.run(&["foreground", &name, "--once"]).expect(0);
    }
    queue::declare(&flow, "xs_all");
    flow.run(&["foreground", "post/tree"]).expect(0);
    for exchange in ["xs_tree00", "xs_tree01"] {
        assert!(!queue::queued(&flow, exchange).is_empty(), "{exchange}");
    }
    flow.run(&["foreground", "shovel/all", "--once"]).expect(0);
    assert_eq!(files(&queue::queued(&flow, "xs_all")), count);
}

#[test]
fn a_poll_asks_at_its_start_whatever_its_schedule() {
    let flow = Flow::new();
    let files = samples();
    write_all(&flow.path("tree"), &files);
    queue::declare(&flow, "xs_poll");
    let poll = |schedule: &str| {
        flow.add_flow(
            "poll/tree",
            &format!(
                "pollUrl: file:///\npath: ${{HOME}}/tree/radar\nrecursive: on\n\
                 post_exchange: xs_poll\nnodupe_ttl: 1h\n{schedule}"
            ),
        );
    };
    poll("scheduled_hour: [6]\nscheduled_minute: [30]\ntimezone: America/Toronto\n");
    flow.run(&["foreground", "poll/tree", "--once"]).expect(0);
    assert_eq!(queue::queued(&flow, "xs_poll").len(), 60);
    poll("scheduled_interval: 1h\n");
    flow.run(&["foreground", "poll/tree", "--once"]).expect(0);
    assert_eq!(queue::queued(&flow, "xs_poll").len(), 60);
}

#[test]
fn a_watch_that_runs_once_looks_through_all_of_its_tree() {
    let flow = Flow::new();
    queue::declare(&flow, "xs_watch");
    flow.add_flow(
        "watch/tree",
        "path: ${HOME}/tree\npost_baseUrl: file:${HOME}/tree\npost_exchange: xs_watch\n",
    );
    std::fs::create_dir(flow.path("tree")).expect("the disk takes it");
    let watch = || flow.run(&["foreground", "watch/tree", "--once"]).expect(0);
    watch();
    let count = tree(&flow, "");
    watch();
    assert_eq!(files(&queue::queued(&flow, "xs_watch")), count);
}

#[test]
fn instances_take_from_the_parts_of_an_exchange_over_mqtt() {
    let flow = Flow::new();
    let server = Mosquitto::start();
    let url = server.url();
    let (scheme, place) = url.split_once("://").expect("a URL");
    let place = place.rsplit('@').next().unwrap_or(place);
    flow.credentials(&format!(
        "{scheme}://{}:p%40ss%2Fw%3Ard@{place}\n",
        Mosquitto::USER
    ));
    tree(
        &flow,
        &format!(
            "post_broker: {url}\npost_exchangeSplit: 2\nmax_inflight_messages: 3\n\
             post_messageAgeMax: 1h\n"
        ),
    );
    flow.add_flow(
        "subscribe/copy",
        &format!(
            "broker: {url}\nexchange: xs_tree\nexchangeSplit: 2\ninstances: 2\nreceiveMaximum: 5\n\
             directory: ${{HOME}}/copy\nmirror: on\n"
        ),
    );
    let copy = spawn(&flow, "subscribe/copy");
    wait::until("both instances", SOON, || {
        let log = server.log();
        let connected = |client: &&str| log.contains(*client);
        ["_i01", "_i02"].iter().all(connected).then_some(())
    });
    flow.run(&["foreground", "post/tree"]).expect(0);
    arrives(&flow.path("copy"), &samples(), &[&copy]);
    stop(vec![copy]);
}
