//! A server for many cases, a proxy that cuts connections, and messages.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flow_broker::amqp::{AmqpBroker, AmqpConsumer, Options};
use flow_config::SafeUrl;
use flow_message::{Message, Timestamp, Topic};
use flow_runtime::ports::{Consumer, Failure, Outgoing, Publisher, Received, Settlement};
use flow_testkit::{RabbitMq, RabbitMqSetup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// No case waits longer than this for one thing.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The server the cases share.
pub(crate) fn server() -> &'static RabbitMq {
    static SERVER: OnceLock<RabbitMq> = OnceLock::new();
    SERVER.get_or_init(|| {
        let own = "^(q_bob|xs_bob).*";
        let setup =
            RabbitMqSetup::new().user("bob", "b0b's", own, own, "^(q_bob|xs_bob|xpublic).*");
        RabbitMq::start_with(&setup)
    })
}

/// Options that fail and come back quickly.
pub(crate) fn options() -> Options {
    Options {
        name: "flow-tests".to_owned(),
        timeout: Duration::from_secs(20),
        longest_pause: Duration::from_millis(200),
        ..Options::default()
    }
}

pub(crate) fn broker_at(url: &str) -> AmqpBroker {
    broker_with(url, options())
}

pub(crate) fn broker_with(url: &str, options: Options) -> AmqpBroker {
    AmqpBroker::new(&SafeUrl::parse(url).unwrap(), options).unwrap()
}

/// The shared server, as somebody who may do everything.
pub(crate) fn broker() -> AmqpBroker {
    broker_at(&server().url("/"))
}

/// A message about `path`, as a flow posts it.
pub(crate) fn outgoing(path: &str) -> Outgoing {
    let message = Message::new(Timestamp::from_unix(1, 0), "https://example.org/", path);
    let topic = Topic::of("v03", &message);
    Outgoing {
        key: Some(format!("post of {path}")),
        message: message.into(),
        topic,
    }
}

pub(crate) fn batch(prefix: &str, numbers: std::ops::Range<usize>) -> Vec<Outgoing> {
    numbers
        .map(|number| outgoing(&format!("{prefix}/{number}")))
        .collect()
}

pub(crate) fn path(received: &Received) -> String {
    received.message.as_ref().unwrap().rel_path.clone()
}

pub(crate) fn paths(received: &[Received]) -> Vec<String> {
    received.iter().map(path).collect()
}

pub(crate) fn all(received: &[Received], settlement: Settlement) -> Vec<(u64, Settlement)> {
    received
        .iter()
        .map(|received| (received.tag, settlement))
        .collect()
}

/// Receives exactly `count` messages, however they arrive and however often that is tried.
pub(crate) async fn receive(consumer: &mut AmqpConsumer, count: usize) -> Vec<Received> {
    let mut received = Vec::new();
    let receiving = async {
        while received.len() < count {
            consumer.ready().await.unwrap();
            received.extend(take(consumer, count - received.len()).await);
        }
    };
    let got = tokio::time::timeout(LIMIT, receiving).await;
    assert!(got.is_ok(), "{} of {count} came", received.len());
    received
}

/// Takes what there is, as the loop does: again and again while the failure is temporary.
pub(crate) async fn take(consumer: &mut AmqpConsumer, limit: usize) -> Vec<Received> {
    loop {
        match consumer.receive(limit).await {
            Ok(received) => return received,
            Err(failure) => wait_after(&failure).await,
        }
    }
}

/// Posts as the loop does: again and again while the failure is temporary.
pub(crate) async fn post(publisher: &mut impl Publisher, batch: &[Outgoing]) {
    let posting = async {
        while let Err(failure) = publisher.post(batch).await {
            wait_after(&failure).await;
        }
    };
    tokio::time::timeout(LIMIT, posting).await.unwrap();
}

/// Waits as the loop does after a temporary failure.
pub(crate) async fn wait_after(failure: &Failure) {
    let Failure::Temporary { retry_after, .. } = failure else {
        panic!("not temporary: {failure}");
    };
    tokio::time::sleep(retry_after.unwrap_or(Duration::from_millis(50))).await;
}

/// Takes and acks until nothing waits and nothing comes any more.
pub(crate) async fn drain(
    broker: &AmqpBroker,
    consumer: &mut AmqpConsumer,
    queue: &str,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    loop {
        let received = take(consumer, 1000).await;
        consumer
            .settle(&all(&received, Settlement::Ack))
            .await
            .unwrap();
        found.extend(paths(&received));
        if received.is_empty() {
            let waiting = tokio::time::timeout(Duration::from_millis(500), consumer.ready());
            if waiting.await.is_err() && broker.depth(queue).await.unwrap() == Some(0) {
                return found;
            }
        }
    }
}

/// The text of a temporary failure.
pub(crate) fn temporary<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    match result {
        Err(Failure::Temporary { reason, .. }) => reason,
        other => panic!("not temporary: {other:?}"),
    }
}

/// The text of a failure a person with rights at the broker has to do something about.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    match result {
        Err(Failure::Auth(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// Stands before a server and cuts connections.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    /// Bytes that still go to the server before all is cut; none below zero.
    budget: AtomicI64,
    /// Changes when connections shall end.
    cuts: watch::Sender<u64>,
}

impl Proxy {
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let state = Arc::new(State {
            budget: AtomicI64::new(i64::MAX),
            cuts: watch::Sender::new(0),
        });
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::clone(&state),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, port, Arc::clone(&state)));
            }
        });
        proxy
    }

    /// The URL of the shared server's vhost `/`, through this proxy.
    pub(crate) fn url(&self) -> String {
        let (direct, ours) = (server().port().to_string(), self.port.to_string());
        server().url("/").replace(&direct, &ours)
    }

    /// Cuts all connections; new ones are let through.
    pub(crate) fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts all connections once so many bytes more were sent to the server.
    pub(crate) fn cut_after(&self, bytes: i64) {
        self.state.budget.store(bytes, Ordering::SeqCst);
    }
}

async fn forward(client: TcpStream, port: u16, state: Arc<State>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let mut cuts = state.cuts.subscribe();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let Ok(count @ 1..) = from_client.read(&mut buffer).await else {
                return;
            };
            let before = state.budget.fetch_sub(count as i64, Ordering::SeqCst);
            if before < count as i64 {
                // The rest of a frame never arrives.
                let part = usize::try_from(before).unwrap_or(0);
                let _ = to_server.write_all(&buffer[..part]).await;
                state.budget.store(i64::MAX, Ordering::SeqCst);
                state.cuts.send_modify(|cuts| *cuts += 1);
                return;
            }
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let down = async { drop(tokio::io::copy(&mut from_server, &mut to_client).await) };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = cuts.changed() => {}
    }
}
