//! Declaring, binding, and what is said when that does not work.

use std::time::Duration;

use flow_broker::Kind;
use flow_broker::amqp::{Binding, Declaration, Declare, Posting, QueueKind};
use flow_runtime::ports::{Consumer, Publisher, Settlement};

use crate::common::{
    LIMIT, all, batch, broker, broker_at, outgoing, paths, post, receive, refused, server,
    temporary,
};

const NOTHING: Declare = Declare {
    exchange: false,
    queue: false,
    bind: false,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topology() {
    several_bindings_and_unbinding().await;
    a_mismatch_names_the_option().await;
    quorum_queues_and_message_ttl().await;
    nothing_is_declared_unasked().await;
    queues_are_looked_at_purged_and_deleted().await;
    permissions_are_respected().await;
}

async fn several_bindings_and_unbinding() {
    let broker = broker();
    let wanted = Declaration::new("q_binds", "xs_binds1", ["v03.a.#", "v03.b"])
        .bind("xs_binds2", ["v03.*.x"]);
    let mut consumer = broker.consumer(&wanted, 10).await.unwrap();
    let mut one = broker.publisher("xs_binds1").unwrap();
    let mut two = broker.publisher("xs_binds2").unwrap();
    for path in ["a/1", "a/b/2", "b/3", "b/c/no", "c/no"] {
        post(&mut one, &[outgoing(path)]).await;
    }
    for path in ["k/x/4", "k/no", "a/no"] {
        post(&mut two, &[outgoing(path)]).await;
    }
    let received = receive(&mut consumer, 4).await;
    assert_eq!(paths(&received), ["a/1", "a/b/2", "b/3", "k/x/4"]);
    consumer
        .settle(&all(&received, Settlement::Ack))
        .await
        .unwrap();

    let gone = |exchange: &str, pattern: &str| Binding {
        exchange: exchange.to_owned(),
        pattern: pattern.to_owned(),
    };
    let wanted = Declaration::new("q_binds", "xs_binds1", ["v03.b"]).unbind([
        gone("xs_binds1", "v03.a.#"),
        gone("xs_binds2", "v03.*.x"),
        // Wanted as well, so it stays; and these are not there.
        gone("xs_binds1", "v03.b"),
        gone("xs_binds1", "v03.never"),
        gone("xs_no_such", "v03.never"),
    ]);
    broker.declare(&wanted).await.unwrap();
    post(&mut one, &[outgoing("a/no")]).await;
    post(&mut two, &[outgoing("k/x/no")]).await;
    post(&mut one, &[outgoing("b/5")]).await;
    assert_eq!(paths(&receive(&mut consumer, 1).await), ["b/5"]);
}

async fn a_mismatch_names_the_option() {
    let broker = broker();
    let first = Declaration::new("q_mismatch", "xs_mismatch", ["#"]).expire(LIMIT);
    broker.declare(&first).await.unwrap();
    let mut publisher = broker.publisher("xs_mismatch").unwrap();
    post(&mut publisher, &[outgoing("a")]).await;
    let mut flags = first.clone();
    flags.durable = false;
    for (other, option) in [
        (first.clone().expire(2 * LIMIT), "`expire`"),
        (first.clone().message_ttl(LIMIT), "`messageAgeMax`"),
        (first.clone().kind(QueueKind::Quorum), "`queueType`"),
        (flags, "`durable`"),
    ] {
        let error = broker.declare(&other).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Mismatch, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("q_mismatch") && text.contains(option),
            "{text}"
        );
        assert!(
            text.contains("left as it is") && text.contains("flow cleanup"),
            "{text}"
        );
        // The same as a consumer: a flow does not start.
        let error = broker.consumer(&other, 10).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Mismatch);
    }
    broker.declare(&first).await.unwrap();
    assert_eq!(broker.depth("q_mismatch").await.unwrap(), Some(1));
}

async fn quorum_queues_and_message_ttl() {
    let broker = broker();
    let quorum = Declaration::new("q_quorum", "xs_quorum", ["#"]).kind(QueueKind::Quorum);
    let mut consumer = broker.consumer(&quorum, 100).await.unwrap();
    let mut publisher = broker.publisher("xs_quorum").unwrap();
    post(&mut publisher, &batch("q", 0..50)).await;
    let received = receive(&mut consumer, 50).await;
    consumer
        .settle(&all(&received, Settlement::Ack))
        .await
        .unwrap();
    consumer.close().await.unwrap();

    let short = Declaration::new("q_ttl", "xs_ttl", ["#"]).message_ttl(Duration::from_millis(1));
    broker.declare(&short).await.unwrap();
    let mut publisher = broker.publisher("xs_ttl").unwrap();
    post(&mut publisher, &[outgoing("old")]).await;
    let expired = async { while broker.depth("q_ttl").await.unwrap() != Some(0) {} };
    tokio::time::timeout(LIMIT, expired).await.unwrap();
}

async fn nothing_is_declared_unasked() {
    let broker = broker();
    let silent = Declaration::new("q_unasked", "xs_unasked", ["#"]).declaring(NOTHING);
    broker.declare(&silent).await.unwrap();
    assert_eq!(broker.depth("q_unasked").await.unwrap(), None);

    let mut consumer = broker.consumer(&silent, 10).await.unwrap();
    let said = temporary(consumer.receive(10).await);
    assert!(
        said.contains("q_unasked") && said.contains("`flow declare`"),
        "{said}"
    );

    let mut posting = Posting::new("xs_unasked");
    posting.declare = false;
    let mut publisher = broker.publisher_to(posting.clone()).unwrap();
    let said = temporary(publisher.post(&batch("m", 0..3)).await);
    assert!(
        said.contains("xs_unasked") && said.contains("`flow declare`"),
        "{said}"
    );

    // `flow declare` is run, and both go on by themselves.
    broker.declare_exchange(&posting).await.unwrap();
    broker
        .declare(&Declaration::new("q_unasked", "xs_unasked", ["#"]))
        .await
        .unwrap();
    post(&mut publisher, &batch("m", 0..3)).await;
    assert_eq!(
        paths(&receive(&mut consumer, 3).await),
        ["m/0", "m/1", "m/2"]
    );
}

async fn queues_are_looked_at_purged_and_deleted() {
    let broker = broker();
    let wanted = Declaration::new("q_managed", "xs_managed", ["#"]);
    assert_eq!(broker.depth("q_managed").await.unwrap(), None);
    assert!(!broker.delete_queue("q_managed").await.unwrap());
    broker.declare(&wanted).await.unwrap();
    broker.declare(&wanted).await.unwrap();
    let mut publisher = broker.publisher("xs_managed").unwrap();
    post(&mut publisher, &batch("m", 0..5)).await;
    assert_eq!(broker.depth("q_managed").await.unwrap(), Some(5));
    assert_eq!(broker.purge("q_managed").await.unwrap(), 5);
    assert!(broker.delete_queue("q_managed").await.unwrap());
    assert_eq!(
        broker.purge("q_managed").await.unwrap_err().kind(),
        Kind::Missing
    );
    broker.delete_exchange("xs_managed").await.unwrap();
    broker.delete_exchange("xs_managed").await.unwrap();
}

async fn permissions_are_respected() {
    let bob = broker_at(&server().url_for("bob", "b0b's", "/"));
    // Reading what others post needs no right to declare the exchange, as long as it is there.
    let public = Declaration::new("q_bob.public", "xpublic_news", ["#"]);
    let error = bob.declare(&public).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Missing, "{error}");
    assert!(
        error.to_string().contains("`bob` may not create it"),
        "{error}"
    );
    broker()
        .declare_exchange(&Posting::new("xpublic_news"))
        .await
        .unwrap();
    let mut consumer = bob.consumer(&public, 10).await.unwrap();
    post(
        &mut broker().publisher("xpublic_news").unwrap(),
        &[outgoing("a")],
    )
    .await;
    assert_eq!(paths(&receive(&mut consumer, 1).await), ["a"]);

    let said = refused(
        bob.publisher("xpublic_news")
            .unwrap()
            .post(&batch("no", 0..2))
            .await,
    );
    assert!(
        said.contains("xpublic_news") && said.contains("`xs_bob`"),
        "{said}"
    );
    let foreign = Declaration::new("q_alice", "xs_bob", ["#"]);
    let error = bob.declare(&foreign).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let mut consumer = bob.consumer(&foreign, 10).await.unwrap();
    let said = refused(consumer.receive(1).await);
    assert!(
        said.contains("`q_alice`") && said.contains("`q_bob`"),
        "{said}"
    );
}
