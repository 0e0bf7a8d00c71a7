//! What flows need at their brokers, made before they start, counted, and removed when they are gone.
//!
//! Everything here leaves messages alone but for deleting a queue, which takes what waits in it along.
//! A broker that can't be reached fails its own pieces and no others.

use flow_config::{Credentials, Flow, Input, Output, SafeUrl};
use serde::Serialize;

use super::{
    Brokers, Family, Manner, embedded, family, mqtt_broker, open_embedded, posting, queue,
};
use crate::background::words::words;
use crate::{Engine, Error};

/// Something at a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// The flow it is for; none: it is no flow's.
    pub flow: Option<String>,
    /// What it is.
    pub what: What,
    /// Its name.
    pub name: String,
    /// Where it is, without a password.
    pub broker: String,
    /// Of a queue: what leads to it, as `exchange topic`.
    pub bindings: Vec<String>,
    /// What became of it.
    pub result: Became,
    /// Why it failed, or stays.
    pub reason: Option<String>,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Messages are posted to it.
    Exchange,
    /// Messages are taken from it.
    Queue,
    /// Somebody who may log in.
    User,
}

impl What {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Queue => "queue",
            Self::User => "user",
        }
    }
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Became {
    /// It is there, as the flow needs it.
    Declared,
    /// It is gone.
    Deleted,
    /// It was not there.
    Absent,
    /// It was left as it is.
    Kept,
    /// Nothing was done: it would be made, or changed.
    Planned,
    /// Nobody knows: see the reason.
    Failed,
}

impl Became {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Deleted => "deleted",
            Self::Absent => "absent",
            Self::Kept => "kept",
            Self::Planned => "planned",
            Self::Failed => "failed",
        }
    }
}

impl Piece {
    fn queue(flow: &Flow, input: &Input) -> Self {
        let bindings = input.bindings.iter();
        Self {
            bindings: bindings
                .map(|binding| format!("{} {}", binding.exchange, binding.topic))
                .collect(),
            ..Self::of(flow, What::Queue, &input.queue, &input.broker)
        }
    }

    fn of(flow: &Flow, what: What, name: &str, broker: &SafeUrl) -> Self {
        Self {
            flow: Some(flow.name.to_string()),
            what,
            name: name.to_owned(),
            broker: broker.without_password(),
            bindings: Vec::new(),
            result: Became::Kept,
            reason: None,
        }
    }

    fn kept(mut self, reason: &str) -> Self {
        self.result = Became::Kept;
        self.reason = Some(reason.to_owned());
        self
    }

    fn after(mut self, result: Result<Became, Error>) -> Self {
        match result {
            Ok(became) => self.result = became,
            Err(error) => {
                self.result = Became::Failed;
                self.reason = Some(words(&error));
            }
        }
        self
    }
}

impl Engine {
    fn manner<'a>(&'a self, flow: &'a Flow, credentials: &'a Credentials) -> Manner<'a> {
        Manner {
            flow,
            credentials,
            state: &self.directories().state,
            place: self.embedded(),
        }
    }

    /// Makes what flows need at their brokers: first every exchange they post to, so that queues find
    /// what they are bound to, then every queue with its bindings. With `dry` nobody is asked, and
    /// nothing made: it says what would be.
    ///
    /// # Errors
    /// `credentials.conf` can't be used; what goes wrong with a piece is in the piece.
    pub async fn declare(&self, flows: &[Flow], dry: bool) -> Result<Vec<Piece>, Error> {
        let credentials = self.source().credentials().map_err(Error::Findings)?;
        let mut opened: Vec<Brokers> = flows.iter().map(|_| Brokers::default()).collect();
        let mut pieces = Vec::new();
        for (flow, brokers) in flows.iter().zip(&mut opened) {
            if let Some(output) = &flow.output {
                let manner = self.manner(flow, &credentials);
                let made = brokers.declare_output(&manner, output, dry);
                pieces.extend(made.await);
            }
        }
        for (flow, brokers) in flows.iter().zip(&mut opened) {
            if let Some(input) = &flow.input {
                let manner = self.manner(flow, &credentials);
                let declared = match dry {
                    true => Ok(Became::Planned),
                    false => brokers.declare_input(&manner, input).await,
                };
                pieces.push(Piece::queue(flow, input).after(declared));
            }
        }
        close(opened).await?;
        Ok(pieces)
    }

    /// Messages in the queue of a flow, held ones included where the broker says so; none where there
    /// is no queue, or its broker can't say.
    ///
    /// # Errors
    /// The broker can't be asked.
    pub async fn waiting(&self, flow: &Flow) -> Result<Option<u64>, Error> {
        let Some(input) = &flow.input else {
            return Ok(None);
        };
        match family(&input.broker) {
            Family::Embedded => {
                let queues = self.queues().await?;
                let found = queues.into_iter().find(|queue| queue.name == input.queue);
                Ok(found.map(|queue| queue.ready + queue.leased))
            }
            Family::Amqp => {
                let credentials = self.source().credentials().map_err(Error::Findings)?;
                let mut brokers = Brokers::default();
                let manner = self.manner(flow, &credentials);
                let broker = brokers.amqp(&manner, &input.broker, input.tls)?;
                let depth = broker.depth(&input.queue).await;
                brokers.close().await?;
                Ok(depth?)
            }
            Family::Mqtt => Ok(None),
        }
    }

    /// Removes the queues of flows with everything in them, then the exchanges they post to where
    /// nothing is bound to those any more. What one of `others` uses stays, and so does what others
    /// may have made: exchanges flows only take from.
    ///
    /// # Errors
    /// As [`declare`](Self::declare).
    pub async fn undeclare(&self, flows: &[Flow], others: &[Flow]) -> Result<Vec<Piece>, Error> {
        self.clear(flows, others, true).await
    }

    /// As [`undeclare`](Self::undeclare), queues alone.
    ///
    /// # Errors
    /// As [`declare`](Self::declare).
    pub async fn delete_queues(
        &self,
        flows: &[Flow],
        others: &[Flow],
    ) -> Result<Vec<Piece>, Error> {
        self.clear(flows, others, false).await
    }

    /// Deletes a queue of the embedded broker with everything in it; false where there was none.
    ///
    /// # Errors
    /// The broker can't be used.
    pub async fn delete_embedded_queue(&self, queue: &str) -> Result<bool, Error> {
        let state = &self.directories().state;
        if !state.join("broker.db").exists() {
            return Ok(false);
        }
        let broker = open_embedded(state)?;
        let deleted = broker.delete_queue(queue).await?;
        broker.close().await?;
        Ok(deleted)
    }

    async fn clear(
        &self,
        flows: &[Flow],
        others: &[Flow],
        exchanges: bool,
    ) -> Result<Vec<Piece>, Error> {
        let credentials = self.source().credentials().map_err(Error::Findings)?;
        let mut opened: Vec<Brokers> = flows.iter().map(|_| Brokers::default()).collect();
        let mut pieces = Vec::new();
        for (flow, brokers) in flows.iter().zip(&mut opened) {
            if let Some(input) = &flow.input {
                let piece = Piece::queue(flow, input);
                let manner = self.manner(flow, &credentials);
                pieces.push(match others.iter().find(|other| shares(other, input)) {
                    Some(other) => piece.kept(&format!("`{}` takes from it too", other.name)),
                    None => piece.after(brokers.delete_input(&manner, input).await),
                });
            }
        }
        for (flow, brokers) in flows.iter().zip(&mut opened) {
            let Some(output) = flow.output.as_ref().filter(|_| exchanges) else {
                continue;
            };
            for exchange in &output.exchanges {
                let piece = Piece::of(flow, What::Exchange, exchange, &output.broker);
                let done = pieces.iter().any(|other| {
                    (other.what, &other.name, &other.broker)
                        == (What::Exchange, exchange, &piece.broker)
                });
                if done {
                    continue;
                }
                let manner = self.manner(flow, &credentials);
                pieces.push(
                    match others
                        .iter()
                        .find(|other| uses(other, exchange, &output.broker))
                    {
                        Some(other) => piece.kept(&format!("`{}` uses it too", other.name)),
                        None => {
                            brokers
                                .delete_output(&manner, output, exchange, piece)
                                .await
                        }
                    },
                );
            }
        }
        close(opened).await?;
        Ok(pieces)
    }
}

async fn close(opened: Vec<Brokers>) -> Result<(), Error> {
    for brokers in opened {
        brokers.close().await?;
    }
    Ok(())
}

/// Whether `other` takes from the queue of `input`.
fn shares(other: &Flow, input: &Input) -> bool {
    other
        .input
        .as_ref()
        .is_some_and(|own| own.queue == input.queue && own.broker == input.broker)
}

/// Whether `other` takes from or posts to an exchange.
fn uses(other: &Flow, exchange: &str, broker: &SafeUrl) -> bool {
    let takes = other
        .input
        .as_ref()
        .is_some_and(|input| input.broker == *broker && input.exchanges().contains(&exchange));
    let posts = other.output.as_ref().is_some_and(|output| {
        output.broker == *broker && output.exchanges.iter().any(|own| own == exchange)
    });
    takes || posts
}

/// Whether an exchange is the broker's own or everybody's.
fn is_common(exchange: &str) -> bool {
    exchange.is_empty() || exchange.starts_with("amq.") || exchange.ends_with("public")
}

impl Brokers {
    async fn declare_output(
        &mut self,
        manner: &Manner<'_>,
        output: &Output,
        dry: bool,
    ) -> Vec<Piece> {
        let of =
            |exchange: &String| Piece::of(manner.flow, What::Exchange, exchange, &output.broker);
        let all = output.exchanges.iter();
        match family(&output.broker) {
            Family::Embedded => all
                .map(|exchange| of(exchange).kept("the broker makes it with its first use"))
                .collect(),
            Family::Mqtt => all
                .map(|exchange| of(exchange).kept("MQTT has no exchanges"))
                .collect(),
            Family::Amqp if !output.declare => all
                .map(|exchange| of(exchange).kept("the flow has `exchangeDeclare: off`"))
                .collect(),
            Family::Amqp if dry => all
                .map(|exchange| of(exchange).after(Ok(Became::Planned)))
                .collect(),
            Family::Amqp => {
                let declared = match self.amqp(manner, &output.broker, output.tls) {
                    Ok(broker) => broker
                        .declare_exchange(&posting(output))
                        .await
                        .map_err(Error::from),
                    Err(error) => Err(error),
                };
                let reason = declared.err().map(|error| words(&error));
                let result = match reason {
                    Some(_) => Became::Failed,
                    None => Became::Declared,
                };
                all.map(|exchange| Piece {
                    result,
                    reason: reason.clone(),
                    ..of(exchange)
                })
                .collect()
            }
        }
    }

    async fn declare_input(&mut self, manner: &Manner<'_>, input: &Input) -> Result<Became, Error> {
        match family(&input.broker) {
            Family::Embedded => self.embedded(manner)?.declare(&embedded(input)).await?,
            Family::Amqp => {
                let broker = self.amqp(manner, &input.broker, input.tls)?;
                broker.declare(&queue(input)).await?;
            }
            Family::Mqtt => {
                let broker = mqtt_broker(manner, &input.broker, input.tls)?;
                broker.declare(&embedded(input)).await?;
            }
        }
        Ok(Became::Declared)
    }

    async fn delete_input(&mut self, manner: &Manner<'_>, input: &Input) -> Result<Became, Error> {
        let was_there = match family(&input.broker) {
            // A broker nobody has used yet is not made for this.
            Family::Embedded if !manner.state.join("broker.db").exists() => false,
            Family::Embedded => self.embedded(manner)?.delete_queue(&input.queue).await?,
            Family::Amqp => {
                let broker = self.amqp(manner, &input.broker, input.tls)?;
                broker.delete_queue(&input.queue).await?
            }
            Family::Mqtt => {
                let broker = mqtt_broker(manner, &input.broker, input.tls)?;
                broker.delete_queue(&input.queue).await?
            }
        };
        Ok(if was_there {
            Became::Deleted
        } else {
            Became::Absent
        })
    }

    async fn delete_output(
        &mut self,
        manner: &Manner<'_>,
        output: &Output,
        exchange: &str,
        piece: Piece,
    ) -> Piece {
        match family(&output.broker) {
            Family::Embedded => return piece.kept("it takes no room without queues"),
            Family::Mqtt => return piece.kept("MQTT has no exchanges"),
            Family::Amqp if is_common(exchange) => return piece.kept("it is everybody's"),
            Family::Amqp if !output.declare => {
                return piece.kept("the flow has `exchangeDeclare: off`");
            }
            Family::Amqp => {}
        }
        let deleted = match self.amqp(manner, &output.broker, output.tls) {
            Ok(broker) => broker
                .delete_unused_exchange(exchange)
                .await
                .map_err(Error::from),
            Err(error) => Err(error),
        };
        match deleted {
            Ok(false) => piece.kept("other queues are bound to it"),
            deleted => piece.after(deleted.map(|_| Became::Deleted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use flow_config::{Input, Output};

    use super::*;

    fn url(text: &str) -> SafeUrl {
        SafeUrl::parse(text).expect("a URL")
    }

    fn flow(name: &str) -> Flow {
        Flow::new(name.parse().expect("a name"))
    }

    #[test]
    fn what_others_use_is_recognised() {
        let broker = url("amqp://me@a/");
        let input = Input::new(broker.clone(), "q_me", "xs_in", "v03.#");
        let mut other = flow("shovel/other");
        assert!(!shares(&other, &input) && !uses(&other, "xs_in", &broker));
        other.input = Some(input.clone());
        assert!(shares(&other, &input) && uses(&other, "xs_in", &broker));
        assert!(!uses(&other, "xs_in", &url("amqp://me@b/")));
        other.output = Some(Output::new(broker.clone(), "xs_out"));
        assert!(uses(&other, "xs_out", &broker));
        for common in ["", "amq.topic", "xpublic"] {
            assert!(is_common(common), "{common}");
        }
        assert!(!is_common("xs_me"));
    }
}
