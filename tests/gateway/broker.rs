//! The broker between mail hosts and scanners, and what others than these can do there.

use flow_testkit::{RabbitMq, RabbitMqSetup, wait, without_password};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;

use crate::SOON;

/// The queue of one who hears of every mail.
const SPY: &str = "q_spy";

/// RabbitMQ with the exchanges of mails and verdicts.
pub(crate) struct Broker {
    pub(crate) server: RabbitMq,
    /// With its password, for credentials.conf.
    pub(crate) whole: String,
    /// Without.
    pub(crate) url: String,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let setup = RabbitMqSetup::new().exchanges(["xs_mails", "xs_verdicts"]);
        let server = RabbitMq::start_with(&setup);
        let whole = server.url("/");
        let url = without_password(&whole);
        Self { server, whole, url }
    }

    /// Does something over a connection of its own.
    #[track_caller]
    fn over<T>(&self, what: impl AsyncFnOnce(Channel) -> lapin::Result<T>) -> T {
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        let done: lapin::Result<T> = runtime.block_on(async {
            let properties = ConnectionProperties::default();
            let connection = Connection::connect(&self.whole, properties).await?;
            let channel = connection.create_channel().await?;
            let done = what(channel.clone()).await?;
            connection.close(200, "done".into()).await?;
            Ok(done)
        });
        done.expect("the broker does it")
    }

    /// From now on every mail sent out can be [`overheard`](Self::overheard).
    #[track_caller]
    pub(crate) fn spy(&self) {
        self.over(async |channel| {
            let (declare, bind) = (QueueDeclareOptions::default(), QueueBindOptions::default());
            let none = FieldTable::default;
            channel.queue_declare(SPY.into(), declare, none()).await?;
            let (exchange, all) = ("xs_mails".into(), "#".into());
            channel
                .queue_bind(SPY.into(), exchange, all, bind, none())
                .await
        });
    }

    /// The next message about a mail, if there is one.
    #[track_caller]
    pub(crate) fn next_overheard(&self) -> Option<Value> {
        let found = self.over(async |channel| {
            let got = channel
                .basic_get(SPY.into(), BasicGetOptions { no_ack: true })
                .await?;
            Ok(got.map(|got| got.delivery.data))
        })?;
        Some(serde_json::from_slice(&found).expect("messages are JSON"))
    }

    /// The next message about a mail.
    #[track_caller]
    pub(crate) fn overheard(&self) -> Value {
        let start = std::time::Instant::now();
        loop {
            if let Some(found) = self.next_overheard() {
                return found;
            }
            assert!(start.elapsed() < SOON, "no mail is sent out");
            wait::pause(std::time::Duration::from_millis(20));
        }
    }

    /// Posts bodies as they stand to the exchange of verdicts, as anybody with a login can, under the
    /// topic of the host; returns once its queue has them all.
    #[track_caller]
    pub(crate) fn say(&self, host: &str, bodies: &[String]) {
        self.over(async |channel| {
            let confirmed = ConfirmSelectOptions::default();
            channel.confirm_select(confirmed).await?;
            for body in bodies {
                let options = BasicPublishOptions {
                    mandatory: true,
                    ..BasicPublishOptions::default()
                };
                let properties = BasicProperties::default();
                let properties = properties.with_content_type("application/json".into());
                let topic = format!("v03.{host}.forged").into();
                let posted = channel
                    .basic_publish(
                        "xs_verdicts".into(),
                        topic,
                        options,
                        body.as_bytes(),
                        properties,
                    )
                    .await?
                    .await?;
                let taken = matches!(posted, Confirmation::Ack(None));
                assert!(taken, "nobody gets it: {posted:?}");
            }
            Ok(())
        });
    }
}
