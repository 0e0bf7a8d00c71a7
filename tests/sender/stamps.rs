//! What messages carry on: sources, topics, names; and what is thrown away or renamed on the way.

use flow_message::Message;
use flow_testkit::Flow;
use flow_tests::queue;

use crate::{content, write_all};

/// What a flow with these options posts of `data/d/x`, announced under `topic_prefix`.
fn passed(
    kind: &str,
    options: &str,
    exchange: &str,
    topic_prefix: &str,
) -> (String, Message, Flow) {
    let flow = Flow::new();
    write_all(
        &flow.path("data"),
        &[("d/x".to_owned(), b"1".to_vec())].into(),
    );
    let data = flow.path("data").display().to_string();
    let name = format!("{kind}/pass");
    flow.add_flow(
        &name,
        &format!("exchange: {exchange}\npost_exchange: xs_out\n{options}\n"),
    );
    queue::declare(&flow, "xs_out");
    flow.run(&["foreground", &name, "--once"]).expect(0);
    flow.run(&[
        "post",
        "--set",
        "fileEvents=[create]",
        "--exchange",
        exchange,
        "--base-url",
        &format!("file:{data}/"),
        "--base-dir",
        &data,
        "--topic-prefix",
        topic_prefix,
        &data,
    ])
    .expect(0);
    flow.run(&["foreground", &name, "--once"]).expect(0);
    let mut posted = queue::with_topics(&flow, "xs_out");
    assert_eq!(posted.len(), 1);
    let (topic, message) = posted.remove(0);
    (topic, message, flow)
}

#[test]
fn topics_are_derived_copied_or_given() {
    let topic = |options: &str| {
        let options = format!("subtopic: '#'\ntopicPrefix: none\npost_topicPrefix: v03\n{options}");
        let (topic, message, _flow) = passed("shovel", &options, "xs_in", "v03.other");
        assert!(message.extra.is_empty(), "{:?}", message.extra);
        topic
    };
    assert_eq!(topic(""), "v03.d");
    assert_eq!(topic("topicCopy: on"), "v03.other.d");
    assert_eq!(topic("post_topic: v03.alerts"), "v03.alerts");
}

#[test]
fn a_copied_topic_survives_a_failure() {
    // The first try fails, as the directory is a file; the second takes the message from the store.
    let flow = Flow::new();
    write_all(
        &flow.path("data"),
        &[("d/x".to_owned(), b"1".to_vec())].into(),
    );
    write_all(flow.home(), &[("in".to_owned(), Vec::new())].into());
    let data = flow.path("data").display().to_string();
    flow.add_flow(
        "sarra/pass",
        "exchange: xs_in\ntopicPrefix: none\ntopicCopy: on\npost_exchange: xs_out\n\
         directory: ${HOME}/in\n",
    );
    queue::declare(&flow, "xs_out");
    flow.run(&["foreground", "sarra/pass", "--once"]).expect(0);
    let url = format!("file:{data}/");
    flow.run(&[
        "post",
        "--set",
        "fileEvents=[create]",
        "--exchange",
        "xs_in",
        "--topic-prefix",
        "v03.kept",
        "--base-url",
        &url,
        "--base-dir",
        &data,
        &data,
    ])
    .expect(0);
    flow.run(&["foreground", "sarra/pass", "--once"]).expect(1);
    std::fs::remove_file(flow.path("in")).expect("it is there");
    flow.run(&["retry", "requeue", "sarra/pass", "--all"])
        .expect(0);
    flow.run(&["foreground", "sarra/pass", "--once"]).expect(0);
    let posted = queue::with_topics(&flow, "xs_out");
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].0, "v03.kept.d");
}

#[test]
fn sources_are_stamped() {
    let source = |options: &str, exchange: &str| {
        let (_, message, _flow) = passed("shovel", options, exchange, "v03");
        message.source
    };
    assert_eq!(source("", "xs_north"), None);
    assert_eq!(source("source: me", "xs_north").as_deref(), Some("me"));
    assert_eq!(
        source("sourceFromExchange: on", "xs_north").as_deref(),
        Some("north")
    );
    assert_eq!(source("sourceFromExchange: on", "other"), None);
    assert_eq!(source("sourceFromMessage: on", "xs_north"), None);
}

#[test]
fn what_is_thrown_away_is_not_stored() {
    let (_, message, flow) = passed("subscribe", "delete_destination: on", "xs_in", "v03");
    assert!(message.base_url.ends_with("/data/"), "{}", message.base_url);
    assert_eq!((message.rel_path.as_str(), message.size), ("d/x", Some(1)));
    let found: Vec<String> = content(flow.home()).into_keys().collect();
    let stored: Vec<_> = found
        .iter()
        .filter(|name| name.ends_with('x') && !name.starts_with("data/"))
        .collect();
    assert!(stored.is_empty(), "{stored:?}");
}

#[test]
fn the_path_of_the_base_url_counts() {
    let options = "mirror: on\nbaseUrl_relPath: on\ndirectory: ${HOME}/in";
    let (_, _, flow) = passed("subscribe", options, "xs_in", "v03");
    let data = flow.path("data/d/x");
    let below = data.to_string_lossy().trim_start_matches('/').to_owned();
    assert_eq!(
        content(&flow.path("in")).into_keys().collect::<Vec<_>>(),
        [below]
    );
}

#[test]
fn posts_suggest_a_name_and_rules_may_see_where_links_lead() {
    let flow = Flow::new();
    write_all(
        &flow.path("data"),
        &[("real/x", "1"), ("real/y", "2")]
            .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
            .into(),
    );
    let root = flow.path("data");
    std::os::unix::fs::symlink("real", root.join("linked")).expect("a link");
    queue::declare(&flow, "xs_out");
    let posted = |options: &str| -> Vec<(String, Option<String>)> {
        let before = queue::queued(&flow, "xs_out").len();
        // The same file would be the same post.
        std::fs::write(root.join("real/x"), before.to_string()).expect("it can be written");
        flow.add_flow(
            "post/tree",
            &format!(
                "path: {root}/linked/x\npost_exchange: xs_out\npost_baseUrl: http://h/\n\
                 post_baseDir: {root}\n{options}\n",
                root = root.display()
            ),
        );
        flow.run(&["foreground", "post/tree"]).expect(0);
        let mut all = queue::queued(&flow, "xs_out");
        all.drain(..before);
        all.into_iter()
            .map(|message| (message.rel_path, message.rename))
            .collect()
    };
    let linked = || "linked/x".to_owned();
    assert_eq!(posted(""), [(linked(), None)]);
    assert_eq!(
        posted("rename: /in/"),
        [(linked(), Some("/in/x".to_owned()))]
    );
    let rules = "filters:\n  - accept: 'http://h/real/.*'\n  - reject: '.*'\n";
    assert_eq!(posted(rules), []);
    assert_eq!(
        posted(&format!("realpathFilter: on\nsource: s\n{rules}")),
        [(linked(), None)]
    );
}
