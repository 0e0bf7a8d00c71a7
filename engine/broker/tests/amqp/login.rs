//! Getting in, or not: passwords, vhosts, TLS, brokers that are away.

use std::time::{Duration, Instant};

use flow_broker::Kind;
use flow_broker::amqp::{Declaration, Options};
use flow_runtime::ports::{Consumer, Failure, Publisher};
use flow_testkit::RabbitMq;
use tokio::net::TcpListener;

use crate::common::{
    batch, broker_at, broker_with, options, outgoing, post, receive, refused, server, temporary,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login() {
    a_wrong_password().await;
    a_wrong_vhost().await;
    a_broker_that_is_away().await;
    a_broker_that_says_nothing().await;
    tls_with_an_authority_of_ones_own().await;
    connections_are_shared_and_named().await;
}

async fn a_wrong_password() {
    let wrong = broker_at(&server().url_for(RabbitMq::USER, "Hidden-99", "/"));
    let error = wrong.check().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Login, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("127.0.0.1") && text.contains("credentials.conf"),
        "{text}"
    );
    assert!(!text.contains("Hidden"), "{text}");
    assert!(!format!("{wrong:?}").contains("Hidden"), "{wrong:?}");
    // A flow is made, and pauses.
    let wanted = Declaration::new("q_wrong", "xs_wrong", ["#"]);
    let mut consumer = wrong.consumer(&wanted, 10).await.unwrap();
    assert!(refused(consumer.receive(1).await).contains("credentials.conf"));
    let posted = wrong
        .publisher("xs_wrong")
        .unwrap()
        .post(&batch("m", 0..1))
        .await;
    assert!(refused(posted).contains("credentials.conf"));
}

async fn a_wrong_vhost() {
    let error = broker_at(&server().url("nowhere"))
        .check()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("nowhere") && text.contains("check the vhost"),
        "{text}"
    );
}

async fn a_broker_that_is_away() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let patient = Options {
        longest_pause: Duration::from_secs(60),
        ..options()
    };
    let away = broker_with(&format!("amqp://u:p@127.0.0.1:{port}/"), patient);
    let wanted = Declaration::new("q", "x", ["#"]);
    let mut consumer = away.consumer(&wanted, 10).await.unwrap();
    consumer.ready().await.unwrap();
    // The broker is left alone meanwhile, and the loop is told how long.
    let asked = Instant::now();
    let failure = consumer.receive(1).await.unwrap_err();
    assert!(
        asked.elapsed() < Duration::from_millis(400),
        "{:?}",
        asked.elapsed()
    );
    let Failure::Temporary {
        reason,
        retry_after,
    } = &failure
    else {
        panic!("{failure}");
    };
    assert!(
        reason.contains("refused") && reason.contains(&port.to_string()),
        "{reason}"
    );
    assert!(
        retry_after.is_some_and(|left| left <= Duration::from_secs(1)),
        "{retry_after:?}"
    );
}

async fn a_broker_that_says_nothing() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Ends when the client gives up, which it has to do itself.
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await
    });
    let hasty = Options {
        timeout: Duration::from_millis(300),
        ..options()
    };
    let broker = broker_with(&format!("amqp://u:p@127.0.0.1:{port}/"), hasty);
    let asked = Instant::now();
    let said = temporary(broker.publisher("x").unwrap().post(&batch("m", 0..1)).await);
    assert!(said.contains("did not answer in time"), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(10));
    let closed = tokio::time::timeout(Duration::from_secs(10), silent).await;
    assert!(closed.is_ok(), "the connection is not left open");
}

async fn tls_with_an_authority_of_ones_own() {
    let url = server()
        .url("/")
        .replace("amqp://", "amqps://")
        .replace("127.0.0.1", "localhost")
        .replace(
            &server().port().to_string(),
            &server().tls_port().to_string(),
        );
    let untrusted = broker_with(&url, options());
    let error = untrusted.check().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(error.to_string().contains("caFile"), "{error}");

    let mut trusting = options();
    trusting.ca_file = Some(server().ca_file());
    let broker = broker_with(&url, trusting);
    let wanted = Declaration::new("q_tls", "xs_tls", ["#"]);
    let mut consumer = broker.consumer(&wanted, 100).await.unwrap();
    post(
        &mut broker.publisher("xs_tls").unwrap(),
        &batch("m", 0..100),
    )
    .await;
    assert_eq!(receive(&mut consumer, 100).await.len(), 100);

    let mut wrong = options();
    wrong.ca_file = Some("no/such.pem".into());
    let error = broker_with(&url, wrong).check().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Address);
    assert!(error.to_string().contains("no/such.pem"), "{error}");
}

async fn connections_are_shared_and_named() {
    let named = Options {
        name: "flow-shared".to_owned(),
        ..options()
    };
    let broker = broker_with(&server().url("/"), named);
    let mut consumers = Vec::new();
    for number in 0..5 {
        let wanted = Declaration::new(format!("q_shared{number}"), "xs_shared", ["#"]);
        consumers.push(broker.consumer(&wanted, 10).await.unwrap());
        let mut publisher = broker.publisher("xs_shared").unwrap();
        post(&mut publisher, &[outgoing("a")]).await;
    }
    let listed = tokio::task::spawn_blocking(|| {
        server().control(&["list_connections", "client_properties"])
    });
    let listed = listed.await.unwrap();
    let ours: Vec<&str> = listed
        .lines()
        .filter(|line| line.contains("flow-shared"))
        .collect();
    assert_eq!(ours.len(), 2, "{listed}");
    assert!(
        ours.iter()
            .all(|line| line.contains("\"product\",\"flow\"")),
        "{ours:?}"
    );
    broker.close().await;
    drop(consumers);
}
