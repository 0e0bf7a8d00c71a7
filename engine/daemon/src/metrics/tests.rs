//! The pages as a scraper reads them, over real connections.

use std::collections::{BTreeMap, BTreeSet};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::figures::{Counts, Entry, Link, Plugin, Waiting};
use crate::health::State;

struct Fixed(Vec<Sample>);

#[async_trait]
impl Source for Fixed {
    async fn flows(&self) -> Vec<Sample> {
        self.0.clone()
    }
}

fn samples() -> Vec<Sample> {
    let figures = Figures {
        started: Some(1_500),
        counts: Counts {
            received: 12,
            bytes_in: 3_000_000,
            ..Counts::default()
        },
        waiting: Waiting {
            queue: Some(7),
            retry: 2,
            ..Waiting::default()
        },
        input: Some(Link {
            up: true,
            since: 0,
            percent: 50.0,
        }),
        plugins: vec![Plugin {
            plugin: "mail".into(),
            requests: 4,
            memory_peak: 3 << 20,
            entries: vec![Entry {
                entry: "gather".into(),
                calls: 4,
                traps: 1,
                time: 2.5,
                ..Entry::default()
            }],
            ..Plugin::default()
        }],
        numbers: [("plugin_folders".to_owned(), 3.0)].into(),
        ..Figures::default()
    };
    let health = |state, reason: Option<&str>| Health {
        state,
        reason: reason.map(str::to_owned),
    };
    vec![
        Sample {
            flow: "poll/a".into(),
            health: health(State::Running, None),
            restarts: 1,
            figures: Some(figures),
        },
        Sample {
            flow: "subscribe/b".into(),
            health: health(State::Failed, Some("no \"queue\"")),
            restarts: 0,
            figures: None,
        },
    ]
}

/// What a scraper reads: each line of a page by its whole name, checked for the format's rules.
fn parsed(page: &str) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut kinds = BTreeMap::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a name and a text");
            assert!(text.ends_with('.'), "{line}");
            assert!(helped.insert(name.to_owned()), "{name} is there once");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a kind");
            assert!(helped.contains(name), "help comes before type: {line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            kinds.insert(name.to_owned(), kind.to_owned());
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        let (family, labels) = name.split_once('{').expect("labels");
        assert!(labels.ends_with('}'), "{line}");
        assert!(
            kinds.contains_key(family),
            "its type is said before: {line}"
        );
        let good = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(family.starts_with("flow_") && family.chars().all(good));
        let value = value.parse().expect("a number");
        assert!(values.insert(name.to_owned(), value).is_none(), "{line}");
    }
    values
}

#[test]
fn a_scraper_reads_every_line() {
    let values = parsed(&text::metrics(&samples()));
    for (name, value) in [
        ("flow_messages_received_total{flow=\"poll/a\"}", 12.0),
        ("flow_received_bytes_total{flow=\"poll/a\"}", 3_000_000.0),
        ("flow_queue_messages{flow=\"poll/a\"}", 7.0),
        ("flow_retry_messages{flow=\"poll/a\"}", 2.0),
        ("flow_start_time_seconds{flow=\"poll/a\"}", 1.5),
        ("flow_restarts_total{flow=\"poll/a\"}", 1.0),
        ("flow_healthy{flow=\"poll/a\"}", 1.0),
        ("flow_healthy{flow=\"subscribe/b\"}", 0.0),
        ("flow_state{flow=\"subscribe/b\",state=\"failed\"}", 1.0),
        ("flow_state{flow=\"subscribe/b\",state=\"running\"}", 0.0),
        ("flow_connection_up{flow=\"poll/a\",side=\"input\"}", 1.0),
        (
            "flow_plugin_calls_total{flow=\"poll/a\",plugin=\"mail\",entry=\"gather\"}",
            4.0,
        ),
        (
            "flow_plugin_traps_total{flow=\"poll/a\",plugin=\"mail\",entry=\"gather\"}",
            1.0,
        ),
        (
            "flow_plugin_call_seconds_total{flow=\"poll/a\",plugin=\"mail\",entry=\"gather\"}",
            2.5,
        ),
        (
            "flow_plugin_memory_peak_bytes{flow=\"poll/a\",plugin=\"mail\"}",
            3_145_728.0,
        ),
        (
            "flow_plugin_requests_total{flow=\"poll/a\",plugin=\"mail\"}",
            4.0,
        ),
        ("flow_plugin_number{flow=\"poll/a\",name=\"folders\"}", 3.0),
        (
            "flow_connection_up_ratio{flow=\"poll/a\",side=\"input\"}",
            0.5,
        ),
    ] {
        assert_eq!(values.get(name), Some(&value), "{name}");
    }
    // What is unknown is not told.
    assert!(!values.contains_key("flow_messages_received_total{flow=\"subscribe/b\"}"));
    assert!(!values.contains_key("flow_last_message_time_seconds{flow=\"poll/a\"}"));
    assert!(parsed(&text::metrics(&[])).len() == 1);
}

async fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

async fn open(samples: Vec<Sample>) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let metrics = Metrics::bind(loopback, false).await.expect("a free port");
    let address = metrics.address();
    let serving =
        tokio::spawn(async move { match metrics.serve(Arc::new(Fixed(samples))).await {} });
    (address, serving)
}

#[tokio::test]
async fn pages_are_served() {
    let (address, serving) = open(samples()).await;
    let (head, body) = ask(address, "GET /metrics HTTP/1.1\r\nHost: me\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("Content-Type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(head.contains(&format!("Content-Length: {}", body.len())));
    assert!(!parsed(&body).is_empty());
    let (head, body) = ask(address, "GET /healthz?x=1 HTTP/1.0\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let expected = serde_json::json!({
        "status": "unwell",
        "flows": 2,
        "unwell": [{ "flow": "subscribe/b", "state": "failed", "reason": "no \"queue\"" }],
    });
    assert_eq!(body, expected);
    let (head, body) = ask(address, "HEAD /healthz HTTP/1.1\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 503 ") && body.is_empty(),
        "{head}"
    );
    let (head, _) = ask(address, "GET /other HTTP/1.1\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let (head, _) = ask(address, "POST /metrics HTTP/1.1\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    serving.abort();
}

#[tokio::test]
async fn all_well_is_200() {
    let (address, serving) = open(samples().into_iter().take(1).collect()).await;
    let (head, body) = ask(address, "GET /healthz HTTP/1.1\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(body.contains("\"status\":\"ok\""), "{body}");
    serving.abort();
}

#[tokio::test]
async fn garbage_and_floods_are_cut_off() {
    let (address, serving) = open(Vec::new()).await;
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // It may hang up before everything is written.
    let _ = stream.write_all(&[b'x'; 20_000]).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    let (head, _) = ask(address, "GET /healthz HTTP/1.1\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    serving.abort();
}

#[tokio::test]
async fn the_network_is_refused_unless_it_is_meant() {
    let any: SocketAddr = "0.0.0.0:0".parse().expect("an address");
    let refused = Metrics::bind(any, false).await.expect_err("it is open");
    assert!(matches!(refused, Error::Exposed(_)), "{refused}");
    assert!(Metrics::bind(any, true).await.is_ok());
    let six: SocketAddr = "[::ffff:127.0.0.1]:0".parse().expect("an address");
    let refused = Metrics::bind(six, false).await;
    assert!(!matches!(refused, Err(Error::Exposed(_))));
}
