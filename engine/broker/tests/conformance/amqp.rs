//! RabbitMQ on the bench, behind a proxy that cuts connections.
//!
//! It takes seconds to start, so cases share one server, with a vhost for each; those that end their
//! server have their own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flow_broker::amqp::{self, AmqpBroker, Options};
use flow_broker::embedded::Declaration;
use flow_config::SafeUrl;
use flow_runtime::ports::{Consumer, Failure, Publisher};
use flow_testkit::{Cutter, RabbitMq, RabbitMqSetup};
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};

use crate::bench::{Abilities, Bench, Who};

/// As many as there are cases that share a server.
const VHOSTS: usize = 24;
const GUEST: &str = "guest-of-flow";
const GUEST_PASSWORD: &str = "gu3st";

pub(crate) struct Amqp {
    /// None for the one that is shared.
    own: Option<RabbitMq>,
    vhost: String,
    cutter: Cutter,
    broker: AmqpBroker,
}

fn setup() -> RabbitMqSetup {
    // May read and write, but not `x`.
    RabbitMqSetup::new().user(GUEST, GUEST_PASSWORD, "^$", "^elsewhere$", "^q$")
}

fn shared() -> &'static RabbitMq {
    static SERVER: OnceLock<RabbitMq> = OnceLock::new();
    SERVER.get_or_init(|| {
        let vhosts = (0..VHOSTS).map(|number| format!("case-{number}"));
        RabbitMq::start_with(&setup().vhosts(vhosts))
    })
}

impl Amqp {
    fn new(own: Option<RabbitMq>, vhost: String) -> Self {
        let server = own.as_ref().unwrap_or_else(|| shared());
        let cutter = Cutter::to(server.port());
        let url = url(server, &cutter, RabbitMq::USER, RabbitMq::PASSWORD, &vhost);
        Self {
            broker: broker(&url),
            own,
            vhost,
            cutter,
        }
    }

    fn server(&self) -> &RabbitMq {
        self.own.as_ref().unwrap_or_else(|| shared())
    }

    fn broker_as(&self, user: &str, password: &str) -> AmqpBroker {
        let server = self.server();
        broker(&url(server, &self.cutter, user, password, &self.vhost))
    }

    /// What takes long is not for the runtime to wait for.
    async fn change(&mut self, change: fn(&mut RabbitMq)) {
        let mut server = self.own.take().expect("it is not shared");
        let changed = tokio::task::spawn_blocking(move || {
            change(&mut server);
            server
        });
        self.own = Some(changed.await.unwrap());
    }
}

/// The URL of a vhost, through the proxy.
fn url(server: &RabbitMq, cutter: &Cutter, user: &str, password: &str, vhost: &str) -> String {
    let (direct, ours) = (server.port(), cutter.port());
    let url = server.url_for(user, password, vhost);
    url.replace(&format!(":{direct}/"), &format!(":{ours}/"))
}

fn broker(url: &str) -> AmqpBroker {
    let options = Options {
        name: "flow-conformance".to_owned(),
        timeout: Duration::from_secs(20),
        longest_pause: Duration::from_millis(200),
        ..Options::default()
    };
    AmqpBroker::new(&SafeUrl::parse(url).unwrap(), options).unwrap()
}

/// A consumer that is there: what is wrong with the broker is told by its first `receive`.
async fn consumer(
    broker: &AmqpBroker,
    declaration: &Declaration,
    prefetch: usize,
) -> Result<Box<dyn Consumer>, Failure> {
    let mut consumer = broker.consumer(&in_amqp(declaration), prefetch).await?;
    consumer.receive(0).await?;
    Ok(Box::new(consumer))
}

fn in_amqp(declaration: &Declaration) -> amqp::Declaration {
    let Declaration {
        queue,
        exchange,
        bindings,
        ..
    } = declaration;
    amqp::Declaration::new(queue, exchange, bindings)
}

impl Bench for Amqp {
    const ABILITIES: Abilities = Abilities {
        depth: true,
        remembers_keys: false,
        confirm_is_durable: true,
        passes_on: true,
        clients_outlive: true,
        holds_over_cuts: false,
        users: true,
    };

    async fn start() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        assert!(number < VHOSTS, "there are more cases than vhosts");
        let starting =
            tokio::task::spawn_blocking(move || Self::new(None, format!("case-{number}")));
        starting.await.unwrap()
    }

    async fn start_own() -> Self {
        let starting = tokio::task::spawn_blocking(|| {
            Self::new(Some(RabbitMq::start_with(&setup())), "/".to_owned())
        });
        starting.await.unwrap()
    }

    async fn consumer(
        &self,
        declaration: &Declaration,
        prefetch: usize,
    ) -> Result<Box<dyn Consumer>, Failure> {
        consumer(&self.broker, declaration, prefetch).await
    }

    async fn publisher(&self, exchange: &str) -> Result<Box<dyn Publisher>, Failure> {
        Ok(Box::new(self.broker.publisher(exchange)?))
    }

    async fn declare(&self, declaration: &Declaration) -> Result<(), Failure> {
        Ok(self.broker.declare(&in_amqp(declaration)).await?)
    }

    async fn delete_queue(&self, queue: &str) -> Result<bool, Failure> {
        Ok(self.broker.delete_queue(queue).await?)
    }

    async fn publisher_as(&self, who: Who, exchange: &str) -> Result<Box<dyn Publisher>, Failure> {
        let (user, password) = login(who);
        let broker = self.broker_as(user, password);
        Ok(Box::new(broker.publisher(exchange)?))
    }

    async fn consumer_as(
        &self,
        who: Who,
        declaration: &Declaration,
    ) -> Result<Box<dyn Consumer>, Failure> {
        let (user, password) = login(who);
        consumer(&self.broker_as(user, password), declaration, 1).await
    }

    async fn post_raw(&self, exchange: &str, topic: &str, body: &[u8]) {
        let url = self.server().url(&self.vhost);
        let connecting = Connection::connect(&url, ConnectionProperties::default());
        let connection = connecting.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let posting = channel.basic_publish(
            exchange.into(),
            topic.into(),
            BasicPublishOptions::default(),
            body,
            BasicProperties::default(),
        );
        posting.await.unwrap().await.unwrap();
        connection.close(200, "OK".into()).await.unwrap();
    }

    async fn save(&self) {
        unreachable!("what is confirmed is on the disk")
    }

    async fn kill(&mut self) {
        self.change(|server| {
            // RabbitMQ forgets what was declared in the last two seconds when it is killed: its database
            // of queues and bindings writes later than it answers.
            server.control(&["eval", "mnesia:dump_log()."]);
            server.kill();
        })
        .await;
    }

    async fn restart(&mut self) {
        self.change(RabbitMq::restart).await;
        // One that found it away leaves it alone for a while; what is made now has no reason to.
        self.broker = self.broker_as(RabbitMq::USER, RabbitMq::PASSWORD);
    }

    fn cutter(&self) -> Option<&Cutter> {
        Some(&self.cutter)
    }
}

fn login(who: Who) -> (&'static str, &'static str) {
    match who {
        Who::Impostor => (RabbitMq::USER, "wrong"),
        Who::Guest => (GUEST, GUEST_PASSWORD),
    }
}
