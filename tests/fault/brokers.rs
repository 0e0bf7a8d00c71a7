//! RabbitMQ while 20 000 messages go through a flow: killed, or robbed of the exchange they go to.

use std::collections::BTreeSet;
use std::time::Duration;

use flow_testkit::{Flow, RabbitMq, Running, wait, without_password};
use flow_tests::wire::{Raw, Wire};

const MESSAGES: usize = 20_000;
const FLOW: &str = "shovel/between";
const LIMIT: Duration = Duration::from_secs(240);

/// A broker with all messages in the queue of a flow that takes them to `xs_to`, which `q_to` keeps.
fn between() -> (RabbitMq, Flow, Wire) {
    let server = RabbitMq::start();
    let url = server.url("/");
    let flow = Flow::new();
    flow.credentials(&format!("{url}\n"));
    let address = without_password(&url);
    flow.add_flow(
        FLOW,
        &format!(
            "broker: {address}\nexchange: xs_from\npost_broker: {address}\npost_exchange: xs_to\n"
        ),
    );
    flow.run(&["declare", FLOW]).expect(0);
    let wire = Wire::open(&url);
    wire.queue("q_to", "xs_to");
    wire.post("xs_from", (0..MESSAGES).map(message));
    (server, flow, wire)
}

fn message(number: usize) -> Raw {
    let body = format!(
        r#"{{"pubTime":"20261122T120000.{number:05}","baseUrl":"http://h/","relPath":"m/{number}","size":1}}"#
    );
    Raw::v03("v03.m", body)
}

/// Starts the flow, and waits until a third of the messages is at the other end.
fn a_third(flow: &Flow, wire: &Wire) -> Running {
    let running = flow.spawn(&["foreground", FLOW]);
    wait::until("a third to be there", LIMIT, || {
        (wire.depth("q_to") >= MESSAGES / 3).then_some(())
    });
    let there = wire.depth("q_to");
    assert!(there < MESSAGES, "all of it went through before the fault");
    running
}

/// Counts what arrived: each message at least once, and no other.
#[expect(clippy::print_stdout, reason = "it says what it counted")]
fn count(wire: &Wire, running: Running) {
    let names = |bodies: &[Vec<u8>]| -> BTreeSet<String> {
        let path = |body: &Vec<u8>| {
            let body: serde_json::Value = serde_json::from_slice(body).expect("it is JSON");
            body["relPath"].as_str().expect("a path").to_owned()
        };
        bodies.iter().map(path).collect()
    };
    let bodies = wire.take("q_to", LIMIT, |bodies| names(bodies).len() == MESSAGES);
    let found = names(&bodies);
    println!(
        "{} of {MESSAGES} arrived, {} twice",
        found.len(),
        bodies.len() - found.len()
    );
    let expected: BTreeSet<String> = (0..MESSAGES).map(|number| format!("m/{number}")).collect();
    let lost: Vec<_> = expected.difference(&found).take(5).collect();
    assert!(
        found == expected,
        "lost, as {lost:?}; the flow said:\n{}",
        running.stderr()
    );
    running.terminate();
    running.finish(LIMIT).expect(0);
}

#[test]
fn a_broker_killed_at_a_third_costs_no_message() {
    let (mut server, flow, wire) = between();
    // RabbitMQ forgets what was declared in the last seconds when it is killed: its database of queues
    // and bindings writes later than it answers.
    server.control(&["eval", "mnesia:dump_log()."]);
    let running = a_third(&flow, &wire);
    server.kill();
    drop(wire);
    server.restart();
    count(&Wire::open(&server.url("/")), running);
}

#[test]
fn a_deleted_post_exchange_costs_no_message() {
    let (_server, flow, wire) = between();
    let running = a_third(&flow, &wire);
    wire.delete_exchange("xs_to");
    wait::until("the flow to say so", LIMIT, || {
        let said = running.stderr();
        (said.contains("`xs_to`") && said.contains("flow declare")).then_some(())
    });
    wire.queue("q_to", "xs_to");
    count(&wire, running);
}
