//! `flow enable`, `disable`, `edit`, `rename` and `dump`.

use std::fs;

use flow_testkit::Flow;
use flow_tests::queue;
use serde_json::Value;

use crate::{post, retries, with_retries};

#[test]
fn a_disabled_flow_is_marked_until_it_is_enabled() {
    let flow = Flow::new();
    flow.add_flow("watch/a", "path: ${HOME}\npost_exchange: xs\n");
    let marker = flow.state_dir().join("flows/watch/a.disabled");
    flow.run(&["disable", "a"]).expect(0);
    flow.run(&["disable", "watch/a"]).expect(0);
    assert!(marker.exists());
    flow.run(&["enable", "watch/*"]).expect(0);
    flow.run(&["enable", "watch/a"]).expect(0);
    assert!(!marker.exists());
    flow.run(&["disable", "watch/b"]).expect(2);
}

#[test]
fn a_renamed_flow_keeps_what_it_remembers() {
    let flow = with_retries();
    flow.run(&["disable", "subscribe/news"]).expect(0);
    let dry = flow.run(&["rename", "subscribe/news", "world", "--dry-run"]);
    let dry = dry.expect(0);
    assert!(
        dry.stderr.contains("queueName: q_embedded.subscribe.news"),
        "{}",
        dry.stderr
    );
    assert!(flow.config_dir().join("subscribe/news.yaml").exists());
    flow.run(&["rename", "subscribe/news", "world"]).expect(0);
    assert!(!flow.config_dir().join("subscribe/news.yaml").exists());
    assert_eq!(retries(&flow, "subscribe/world"), 2);
    assert!(
        flow.state_dir()
            .join("flows/subscribe/world.disabled")
            .exists()
    );
    assert!(!flow.state_dir().join("flows/subscribe/news.db").exists());
    flow.run(&["check"]).expect(0);
    // A name that is taken is refused, and nothing is lost.
    flow.add_flow(
        "subscribe/news",
        "exchange: xs_news\ndirectory: ${HOME}/got\n",
    );
    let taken = flow.run(&["rename", "subscribe/world", "news"]).expect(2);
    assert!(taken.stderr.contains("cli/name-taken"), "{}", taken.stderr);
    assert_eq!(retries(&flow, "subscribe/world"), 2);
}

#[test]
fn a_renamed_flow_may_keep_its_queue() {
    let flow = with_retries();
    post(&flow, "news", &["c"]);
    flow.run(&["rename", "subscribe/news", "world", "--keep-queue"])
        .expect(0);
    let text =
        fs::read_to_string(flow.config_dir().join("subscribe/world.yaml")).expect("it is there");
    assert!(
        text.ends_with("queueName: \"q_embedded.subscribe.news\"\n"),
        "{text}"
    );
    assert_eq!(queue::queued(&flow, "xs_news").len(), 1);
    // The message that waited is taken by the flow of the new name; it can't be fetched either.
    flow.run(&["foreground", "subscribe/world", "--once"])
        .expect(1);
    assert_eq!(queue::queued(&flow, "xs_news").len(), 0);
    assert_eq!(retries(&flow, "subscribe/world"), 3);
}

#[test]
fn an_edited_flow_is_checked() {
    let mut flow = Flow::new();
    flow.add_flow("watch/a", "path: ${HOME}\npost_exchange: xs\n");
    flow.env("EDITOR", "true");
    let same = flow.run(&["edit", "a"]).expect(0);
    assert!(same.stderr.contains("as it was"), "{}", same.stderr);
    // Editors may have arguments, and VISUAL goes before.
    flow.env("VISUAL", "sed -i -e 's/^path: .*/path: \\/data/'");
    let good = flow.run(&["edit", "watch/a"]).expect(0);
    assert!(good.stderr.contains("watch/a is good"), "{}", good.stderr);
    let text = fs::read_to_string(flow.config_dir().join("watch/a.yaml")).expect("it is there");
    assert!(text.starts_with("path: /data\n"), "{text}");
    flow.env("VISUAL", "sed -i -e 's/^path/paht/'");
    let bad = flow.run(&["edit", "watch/a"]).expect(1);
    assert!(
        bad.stderr.contains("config/unknown-option"),
        "{}",
        bad.stderr
    );
    flow.env("VISUAL", "false");
    let failed = flow.run(&["edit", "watch/a"]).expect(2);
    assert!(failed.stderr.contains("cli/no-editor"), "{}", failed.stderr);
}

#[test]
fn a_dump_tells_everything_but_secrets() {
    let flow = with_retries();
    flow.credentials("amqp://me:Very-S3cret@127.0.0.1:1/\n");
    flow.add_flow(
        "shovel/away",
        "broker: amqp://me@127.0.0.1:1/\nexchange: xs\npost_broker: 'embedded:'\npost_exchange: xs_out\n",
    );
    flow.add_flow("watch/bad", "path: /tmp\nnonsense: 1\n");
    let dumped = flow.run(&["dump"]).expect(0);
    assert!(!dumped.stdout.contains("Very-S3cret"));
    let dump: Value = serde_json::from_str(&dumped.stdout).expect("it is JSON");
    assert!(dump["version"].is_string());
    let of = |name: &str| {
        let flows = dump["flows"].as_array().expect("an array").iter();
        let mut found = flows.filter(|flow| flow["flow"] == name);
        found.next().expect("it is there").clone()
    };
    let news = of("subscribe/news");
    assert_eq!(news["store"]["retry"], 2);
    assert_eq!(news["running"], false);
    let options = news["options"].as_array().expect("an array");
    assert!(
        options
            .iter()
            .any(|option| option["option"] == "attempts" && option["value"] == "7")
    );
    let bad = of("watch/bad")["findings"].to_string();
    assert!(bad.contains("nonsense"), "{bad}");
    assert_eq!(dump["queues"][0]["name"], "q_embedded.subscribe.news");
    assert!(
        dump["plugins"]["shipped"]
            .as_array()
            .is_some_and(|plugins| !plugins.is_empty())
    );
    assert!(
        dump["directories"]["state"]["bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0)
    );
    assert!(
        dump["status"]["flows"]
            .as_array()
            .is_some_and(|flows| flows.len() == 3)
    );
}
