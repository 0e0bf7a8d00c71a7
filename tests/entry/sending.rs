//! `send`: a plugin that claims a scheme delivers messages, in a sender and in a bare flow.

use std::time::Duration;

use flow_testkit::Flow;
use flow_tests::queue;

use crate::peer::{Part, Server};
use crate::{until, with_plugin};

/// What is announced to the flow that sends: one file for each name, with its name in it.
#[track_caller]
fn announce(flow: &Flow, names: &[&str]) {
    for name in names {
        flow.write(
            &format!("files/{name}"),
            format!("this is {name}").as_bytes(),
        );
    }
    flow.add_flow(
        "post/files",
        "path: ${HOME}/files\npost_baseDir: ${HOME}/files\npost_exchange: xs_in\n",
    );
    flow.run(&["foreground", "post/files"]).expect(0);
}

fn sender(server: &Server) -> String {
    format!(
        "exchange: xs_in\nbaseDir: ${{HOME}}/files\nsendTo: courier://partner/in\npost_exchange: xs_sent\n\
         callbacks:\n  - plugin: courier\n    target: http://{}\n",
        server.address
    )
}

/// Declares the queues, and then announces.
#[track_caller]
fn scene(server: &Server, names: &[&str]) -> Flow {
    let flow = with_plugin("courier");
    queue::declare(&flow, "xs_sent");
    flow.add_flow("sender/courier", &sender(server));
    flow.run(&["foreground", "sender/courier", "--once"])
        .expect(0);
    announce(&flow, names);
    flow
}

fn by_path<'a>(seen: &'a [Part], path: &str) -> Vec<&'a Part> {
    seen.iter().filter(|part| part.path() == path).collect()
}

#[test]
fn content_goes_to_the_peer_with_a_key_and_its_receipt_into_the_message() {
    let server = Server::start(|part, _| (200, "", format!("receipt of {}", part.path())));
    let flow = scene(&server, &["a", "b"]);
    flow.run(&["foreground", "sender/courier", "--once"])
        .expect(0);
    let seen = server.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let a = by_path(&seen, "/a").remove(0);
    assert_eq!(a.body, "this is a");
    assert!(!a.header("idempotency-key").is_empty() && a.header("x-attempt") == "0");
    let sent = queue::queued(&flow, "xs_sent");
    let receipts: Vec<_> = sent
        .iter()
        .map(|message| &message.extra["receipt"])
        .collect();
    assert_eq!(receipts, ["receipt of /a", "receipt of /b"]);
}

#[test]
fn each_failure_has_its_own_consequence() {
    let server = Server::start(|part, _| match (part.path(), part.header("x-attempt")) {
        ("/busy", "0") => (429, "Retry-After: 1\r\n", "later".into()),
        ("/gone", _) => (410, "", "nobody wants it".into()),
        ("/bad", _) => (400, "", "it is malformed".into()),
        _ => (200, "", "ok".into()),
    });
    let flow = scene(&server, &["bad", "busy", "fine", "gone"]);
    let mut running = flow.spawn(&["foreground", "sender/courier", "--log-level", "debug"]);
    until("the second try", || {
        by_path(&server.seen(), "/busy").len() == 2
    });
    let busy = server.seen();
    let keys: Vec<_> = by_path(&busy, "/busy")
        .iter()
        .map(|part| part.header("idempotency-key").to_owned())
        .collect();
    assert_eq!(keys[0], keys[1], "the key is the same at every try");
    until("posts", || {
        queue::names(&flow, "xs_sent") == ["busy", "fine"]
    });
    assert!(!running.ended());
    crate::stop(running);
    let dead = flow
        .run(&["retry", "list", "--dead", "sender/courier"])
        .stdout;
    assert!(
        dead.contains("it is malformed") && !dead.contains("nobody wants it"),
        "{dead}"
    );
}

#[test]
fn refused_credentials_pause_the_flow_and_cost_no_try() {
    let server = Server::start(|_, _| (401, "", "who are you?".into()));
    let flow = scene(&server, &["a"]);
    let mut running = flow.spawn(&["foreground", "sender/courier"]);
    running.wait_for("who are you?", Duration::from_secs(60));
    crate::stop(running);
    let listed = flow.run(&["retry", "list", "sender/courier"]).stdout;
    assert!(listed.contains("who are you?"), "{listed}");
}

/// Announces a file whose content is elsewhere, and lets `flow/notify`, which has to know its queue
/// before, take it.
#[track_caller]
fn announce_elsewhere(flow: &Flow) {
    flow.run(&["foreground", "flow/notify", "--once"]).expect(0);
    flow.add_flow(
        "post/news",
        "path: ${HOME}/news/one\npost_baseDir: ${HOME}\npost_baseUrl: https://elsewhere.example/\npost_exchange: xs_news\n",
    );
    flow.write("news/one", b"1");
    flow.run(&["foreground", "post/news"]).expect(0);
    flow.run(&["foreground", "flow/notify", "--once"]).expect(0);
}

#[test]
fn a_message_without_content_is_sent_as_well() {
    let server = Server::start(|_, _| (200, "", "ok".into()));
    let flow = with_plugin("courier");
    flow.add_flow(
        "flow/notify",
        &format!(
            "exchange: xs_news\nsendTo: courier://partner\ncallbacks:\n  - plugin: courier\n    target: http://{}\n",
            server.address
        ),
    );
    announce_elsewhere(&flow);
    let seen = server.seen();
    assert_eq!(
        (seen.len(), seen[0].path(), seen[0].body.as_str()),
        (1, "/news/one", "")
    );
}

#[test]
fn requests_go_through_the_proxy_of_the_environment() {
    let proxy = Server::start(|_, _| (200, "", "by proxy".into()));
    let mut flow = with_plugin("courier");
    flow.env("http_proxy", &format!("http://{}", proxy.address));
    flow.add_flow(
        "flow/notify",
        "exchange: xs_news\nsendTo: courier://partner\npost_exchange: xs_sent\ncallbacks:\n  - plugin: courier\n    target: http://api.example.invalid\n",
    );
    queue::declare(&flow, "xs_sent");
    announce_elsewhere(&flow);
    assert_eq!(
        proxy.seen()[0].first,
        "POST http://api.example.invalid/news/one HTTP/1.1"
    );
    let sent = queue::queued(&flow, "xs_sent");
    assert_eq!(sent[0].extra["receipt"], "by proxy");
}
