//! `flow declare` and `flow cleanup`, over the built-in broker and RabbitMQ.

use flow_testkit::{Flow, RabbitMq, RabbitMqSetup};
use flow_tests::queue;
use serde_json::Value;

use crate::{post, retries, with_retries};

#[test]
fn a_declared_queue_misses_nothing() {
    let flow = Flow::new();
    flow.add_flow(
        "subscribe/news",
        "exchange: xs_news\ndirectory: ${HOME}/got\n",
    );
    let declared = flow.run(&["declare", "--format", "json"]).expect(0);
    let rows: Value = serde_json::from_str(&declared.stdout).expect("it is JSON");
    assert_eq!(rows[0]["flow"], "subscribe/news");
    assert_eq!(rows[0]["what"], "queue");
    assert_eq!(rows[0]["result"], "declared");
    post(&flow, "news", &["a", "b", "c"]);
    assert_eq!(queue::queued(&flow, "xs_news").len(), 3);
    // Declared again, nothing changes.
    flow.run(&["declare"]).expect(0);
    assert_eq!(queue::queued(&flow, "xs_news").len(), 3);
}

#[test]
fn cleanup_counts_asks_and_starts_from_nothing() {
    let flow = with_retries();
    post(&flow, "news", &["c"]);
    assert_eq!(retries(&flow, "subscribe/news"), 2);
    let dry = flow
        .run(&["cleanup", "subscribe/news", "--dry-run"])
        .expect(0);
    assert!(
        dry.stderr.contains("1 messages wait in it"),
        "{}",
        dry.stderr
    );
    assert!(dry.stderr.contains("2 messages in retry"), "{}", dry.stderr);
    let dry = flow.run(&["cleanup", "news", "--dry-run", "--format", "json"]);
    let rows: Value = serde_json::from_str(&dry.expect(0).stdout).expect("it is JSON");
    assert_eq!(rows[0]["result"], "planned");
    assert_eq!(rows[0]["waiting"], 1);
    let unasked = flow.run(&["cleanup", "subscribe/news"]).expect(2);
    assert!(
        unasked.stderr.contains("cli/not-confirmed"),
        "{}",
        unasked.stderr
    );
    assert_eq!(retries(&flow, "subscribe/news"), 2);
    let done = flow.run(&["cleanup", "subscribe/news", "--yes"]).expect(0);
    assert!(done.stdout.contains("deleted"), "{}", done.stdout);
    assert!(!flow.state_dir().join("flows/subscribe/news.db").exists());
    assert_eq!(queue::queued(&flow, "xs_news").len(), 0);
    let again = flow.run(&["cleanup", "subscribe/news", "--yes"]).expect(0);
    assert!(again.stdout.contains("absent"), "{}", again.stdout);
    assert!(flow.config_dir().join("subscribe/news.yaml").exists());
}

/// The names of the queues of the built-in broker.
fn queues(flow: &Flow) -> Vec<String> {
    let listed = flow.run(&["list", "queues", "--format", "json"]).expect(0);
    let rows: Value = serde_json::from_str(&listed.stdout).expect("it is JSON");
    let rows = rows.as_array().expect("an array").iter();
    rows.filter_map(|row| row["name"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_removed_or_renamed_flow_leaves_no_queue_that_fills_unseen() {
    let flow = Flow::new();
    let add = |name: &str| {
        flow.add_flow(
            &format!("subscribe/{name}"),
            "exchange: xs_news\ndirectory: ${HOME}/got\n",
        );
        flow.run(&["declare"]).expect(0);
        format!("q_embedded.subscribe.{name}")
    };
    let queue = add("a");
    let owned = flow.run(&["cleanup", "--queue", &queue, "--yes"]).expect(2);
    assert!(
        owned.stderr.contains("cli/queue-in-use"),
        "{}",
        owned.stderr
    );
    let removed = flow.run(&["remove", "subscribe/a", "--yes"]).expect(0);
    let command = format!("flow cleanup --queue {queue}");
    assert!(removed.stderr.contains(&command), "{}", removed.stderr);
    assert_eq!(queues(&flow), [queue.as_str()]);
    flow.run(&["cleanup", "--queue", &queue, "--yes"]).expect(0);
    assert!(queues(&flow).is_empty());
    add("b");
    flow.run(&["remove", "subscribe/b", "--state", "--yes"])
        .expect(0);
    assert!(queues(&flow).is_empty());
    add("c");
    let renamed = flow.run(&["rename", "subscribe/c", "d"]).expect(0);
    assert!(renamed.stderr.contains("deleted"), "{}", renamed.stderr);
    assert!(queues(&flow).is_empty());
    // One that holds something stays.
    let queue = add("d");
    post(&flow, "news", &["x"]);
    let renamed = flow.run(&["rename", "subscribe/d", "e"]).expect(0);
    let command = format!("flow cleanup --queue {queue}");
    assert!(renamed.stderr.contains(&command), "{}", renamed.stderr);
    assert_eq!(queues(&flow), [queue.as_str()]);
}

#[test]
fn what_runs_is_not_cleaned_up() {
    let flow = with_retries();
    let mut running = flow.spawn(&["foreground", "subscribe/news"]);
    running.wait_for("started", std::time::Duration::from_secs(60));
    let refused = flow.run(&["cleanup", "subscribe/news", "--yes"]).expect(2);
    assert!(refused.stderr.contains("run/running"), "{}", refused.stderr);
    let refused = flow.run(&["disable", "subscribe/news"]).expect(2);
    assert!(refused.stderr.contains("run/running"), "{}", refused.stderr);
    let refused = flow.run(&["rename", "subscribe/news", "other"]).expect(2);
    assert!(refused.stderr.contains("run/running"), "{}", refused.stderr);
    running.terminate();
    running.finish(std::time::Duration::from_secs(60)).expect(0);
    assert_eq!(retries(&flow, "subscribe/news"), 2);
}

#[test]
fn rabbitmq_has_what_flows_need_and_keeps_what_others_use() {
    let setup = RabbitMqSetup::new().user("me", "pw-8$x", ".*", ".*", ".*");
    let broker = RabbitMq::start_with(&setup);
    let url = broker.url_for("me", "pw-8$x", "/");
    let flow = Flow::new();
    flow.credentials(&format!("{url}\n"));
    let place = url.rsplit('@').next().expect("a host");
    let amqp = format!("amqp://me@{place}");
    // Named so that what takes comes before what posts: the order of names is not that of need.
    flow.add_flow(
        "shovel/a",
        &format!(
            "broker: {amqp}\nexchange: xs_me_in\nqueueName: q_me_a\npost_broker: {amqp}\n\
             post_exchange: xs_me_out\n"
        ),
    );
    flow.add_flow(
        "shovel/b",
        &format!(
            "broker: {amqp}\nexchange: xs_me_out\nqueueName: q_me_b\nsubtopic: radar.#\n\
             post_broker: {amqp}\npost_exchange: xs_me_last\n"
        ),
    );
    let declared = flow.run(&["declare"]).expect(0);
    assert!(!declared.stdout.contains("failed"), "{}", declared.stdout);
    let names = |what: &str| {
        let said = broker.control(&[what, "name", "--silent"]);
        let mut names: Vec<String> = said
            .lines()
            .filter(|name| name.contains("_me"))
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("list_queues"), ["q_me_a", "q_me_b"]);
    assert_eq!(
        names("list_exchanges"),
        ["xs_me_in", "xs_me_last", "xs_me_out"]
    );
    let bindings = broker.control(&["list_bindings", "--silent"]);
    assert!(bindings.contains("v03.radar.#"), "{bindings}");
    // `b` takes from what `a` posts to, so the exchange stays.
    let cleaned = flow.run(&["cleanup", "shovel/a", "--yes"]).expect(0);
    assert!(
        cleaned.stdout.contains("kept: `shovel/b` uses it too"),
        "{}",
        cleaned.stdout
    );
    assert_eq!(names("list_queues"), ["q_me_b"]);
    let cleaned = flow.run(&["cleanup", "*", "--yes"]).expect(0);
    assert!(!cleaned.stdout.contains("failed"), "{}", cleaned.stdout);
    assert!(names("list_queues").is_empty());
    // What flows only take from is others' business.
    assert_eq!(names("list_exchanges"), ["xs_me_in"]);
}

#[test]
fn a_broker_that_is_away_fails_its_own_pieces_alone() {
    let flow = Flow::new();
    flow.credentials("amqp://me:pw@127.0.0.1:1/\n");
    flow.add_flow(
        "subscribe/away",
        "broker: amqp://me@127.0.0.1:1/\nexchange: xs_me\ndirectory: ${HOME}/got\n",
    );
    flow.add_flow(
        "subscribe/here",
        "exchange: xs_here\ndirectory: ${HOME}/got\n",
    );
    let declared = flow.run(&["declare", "--format", "json"]).expect(1);
    let rows: Value = serde_json::from_str(&declared.stdout).expect("it is JSON");
    let results: Vec<&str> = rows
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|row| row["result"].as_str())
        .collect();
    assert_eq!(results, ["failed", "declared"]);
    assert!(!declared.stdout.contains("me:pw"), "{}", declared.stdout);
}
