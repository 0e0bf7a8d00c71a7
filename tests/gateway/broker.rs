//! The broker between mail hosts and scanners, and what others than these can do there.

use flow_testkit::{RabbitMq, RabbitMqSetup, wait, without_password};
use flow_tests::wire::{Raw, Wire};
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

    /// A connection of its own: the broker may have been killed and started again meanwhile.
    #[track_caller]
    fn wire(&self) -> Wire {
        Wire::open(&self.whole)
    }

    /// From now on every mail sent out can be [`overheard`](Self::overheard).
    #[track_caller]
    pub(crate) fn spy(&self) {
        self.wire().queue(SPY, "xs_mails");
    }

    /// The next message about a mail, if there is one.
    #[track_caller]
    pub(crate) fn next_overheard(&self) -> Option<Value> {
        heard(&self.wire())
    }

    /// The next message about a mail.
    #[track_caller]
    pub(crate) fn overheard(&self) -> Value {
        let wire = self.wire();
        wait::until("a mail to be sent out", SOON, || heard(&wire))
    }

    /// Posts bodies as they stand to the exchange of verdicts, as anybody with a login can, under the
    /// topic of the host; returns once its queue has them all.
    #[track_caller]
    pub(crate) fn say(&self, host: &str, bodies: &[String]) {
        let topic = format!("v03.{host}.forged");
        let said = bodies.iter().map(|body| Raw::v03(&topic, body.as_str()));
        self.wire().post("xs_verdicts", said);
    }
}

fn heard(wire: &Wire) -> Option<Value> {
    let found = wire.get(SPY)?;
    Some(serde_json::from_slice(&found).expect("messages are JSON"))
}
