//! Consuming a queue.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flow_runtime::ports::{Consumer, Failure, Received, Settlement};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::ledger::Offer;
use super::session::{Command, Health, Session, Shared};
use super::{Options, names, wire};
use crate::error::{Error, Kind};

/// Instances of queues in use by this process.
#[derive(Debug, Default)]
pub(super) struct Instances(Mutex<HashMap<String, BTreeSet<u32>>>);

/// One of them, until dropped.
#[derive(Debug)]
pub(super) struct Instance {
    all: Arc<Instances>,
    queue: String,
    pub(super) number: u32,
}

impl Instances {
    /// The lowest free number from 1, or the one asked for.
    pub(super) fn take(
        self: &Arc<Self>,
        queue: &str,
        asked: Option<u32>,
    ) -> Result<Instance, Error> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = all.entry(queue.to_owned()).or_default();
        let number = asked
            .or_else(|| (1..).find(|number| !used.contains(number)))
            .unwrap_or(1);
        if !used.insert(number) {
            return Err(Error::new(
                Kind::TakenOver,
                format!(
                    "instance {number} of queue `{queue}` is in use by this process already; nothing \
                     was changed; give each consumer a number of its own"
                ),
            ));
        }
        Ok(Instance {
            all: Arc::clone(self),
            queue: queue.to_owned(),
            number,
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = all.get_mut(&self.queue) {
            used.remove(&self.number);
            if used.is_empty() {
                all.remove(&self.queue);
            }
        }
    }
}

/// One instance of a queue.
///
/// A released message stays here and is offered again, before all others; it still counts against
/// `prefetch` at the server. What is not settled when the consumer ends is delivered again to the next
/// consumer of the same instance, and to no other.
///
/// # Cancel safety
/// All methods are cancel safe. An ack is noted at once; nobody waiting for `settle` only means that
/// nobody learns when the server has it.
#[derive(Debug)]
pub struct MqttConsumer {
    shared: Arc<Shared>,
    commands: Option<mpsc::Sender<Command>>,
    options: Options,
    server: String,
    prefetch: usize,
    /// Whether deliveries say how they came.
    routes: bool,
    /// Ours until the connection has ended.
    instance: Option<Instance>,
}

impl MqttConsumer {
    pub(super) async fn open(
        mut session: Session,
        commands: mpsc::Sender<Command>,
        instance: Instance,
    ) -> Result<Self, Error> {
        let link = session.connect().await?;
        let consumer = Self {
            shared: Arc::clone(&session.shared),
            commands: Some(commands),
            options: session.options.clone(),
            server: session.server.to_string(),
            prefetch: session.prefetch,
            routes: false,
            instance: Some(instance),
        };
        tokio::spawn(session.run(link));
        Ok(consumer)
    }

    fn commands(&self) -> Result<&mpsc::Sender<Command>, Error> {
        self.commands.as_ref().ok_or_else(|| self.stopped())
    }

    fn stopped(&self) -> Error {
        Error::new(
            Kind::Stopped,
            format!(
                "this consumer of `{}` is closed; what was acknowledged is safe, the rest is delivered \
                 again",
                self.server
            ),
        )
    }

    /// Messages that arrived and were not handed out.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.shared.ledger().waiting()
    }

    /// Why nothing can be received, if it is time to say so.
    fn trouble(&self) -> Option<Error> {
        match self.shared.health() {
            Health::Up => None,
            Health::Down { since, error } => {
                let now = !error.passes() || since.elapsed() >= self.options.patience;
                now.then_some(error)
            }
        }
    }
}

fn received(offer: Offer, routes: bool) -> Received {
    Received {
        route: routes.then(|| names::route(&offer.message.topic)),
        message: wire::decode(offer.message),
        tag: offer.tag,
        key: offer.key,
        redelivered: offer.again,
    }
}

#[async_trait]
impl Consumer for MqttConsumer {
    fn with_routes(&mut self) {
        self.routes = true;
    }

    fn is_pushed(&self) -> bool {
        true
    }

    /// While the connection is away there is nothing, until it has been away for
    /// [`patience`](Options::patience): then that is an error.
    async fn receive(&mut self, limit: usize) -> Result<Vec<Received>, Failure> {
        self.commands()?;
        let offers: Vec<Offer> = {
            let mut ledger = self.shared.ledger();
            let room = limit.min(self.prefetch.saturating_sub(ledger.out()));
            std::iter::from_fn(|| ledger.offer()).take(room).collect()
        };
        if !offers.is_empty() {
            self.shared.taken.notify_one();
        } else if let Some(error) = self.trouble() {
            self.shared.again.notify_one();
            return Err(error.into());
        }
        Ok(offers
            .into_iter()
            .map(|offer| received(offer, self.routes))
            .collect())
    }

    /// Never returns while as many messages as `prefetch` allows are held: settle some first.
    async fn ready(&mut self) -> Result<(), Failure> {
        self.commands()?;
        loop {
            let news = self.shared.news.notified();
            {
                let ledger = self.shared.ledger();
                if ledger.waiting() > 0 && ledger.out() < self.prefetch {
                    return Ok(());
                }
            }
            let until = match self.shared.health() {
                Health::Up => None,
                Health::Down { .. } if self.trouble().is_some() => return Ok(()),
                Health::Down { since, .. } => {
                    Some(self.options.patience.saturating_sub(since.elapsed()))
                }
            };
            match until {
                None => news.await,
                Some(left) => tokio::select! {
                    () = news => {}
                    () = sleep(left) => {}
                },
            }
        }
    }

    /// On return the server has read the acks. Whether they survive its end is up to the server.
    async fn settle(&mut self, settlements: &[(u64, Settlement)]) -> Result<(), Failure> {
        let commands = self.commands()?.clone();
        let released: Vec<u64> = settlements
            .iter()
            .filter(|(_, to)| *to == Settlement::Release)
            .map(|(tag, _)| *tag)
            .collect();
        let any_acked = released.len() < settlements.len();
        let tell = {
            let mut ledger = self.shared.ledger();
            for (tag, _) in settlements.iter().filter(|(_, to)| *to == Settlement::Ack) {
                ledger.ack(*tag);
            }
            ledger.release(&released);
            ledger.has_untold()
        };
        let away = matches!(self.shared.health(), Health::Down { .. });
        // Away, acks are only noted, and that has to be said.
        if !(tell || any_acked && away) {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        // A little more than the server has, so that its silence is told as that.
        let limit = self.options.timeout.mul_f64(1.5);
        let told = timeout(limit, async {
            commands
                .send(Command::Tell(reply))
                .await
                .map_err(|_| self.stopped())?;
            answer.await.map_err(|_| self.stopped())?
        });
        match told.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(Error::new(
                Kind::Unreachable,
                format!(
                    "`{}`: no connection within {} s to tell the server what was done; nothing is \
                     lost: it is told after the next connect, or delivers again",
                    self.server,
                    limit.as_secs()
                ),
            )
            .into()),
        }
    }

    /// MQTT has no way to ask.
    async fn depth(&mut self) -> Result<Option<u64>, Failure> {
        Ok(None)
    }

    /// The session stays at the server, and with it what is not settled.
    async fn close(&mut self) -> Result<(), Failure> {
        let Some(commands) = self.commands.take() else {
            return Ok(());
        };
        let (reply, answer) = oneshot::channel();
        let _ = timeout(self.options.timeout, async {
            if commands.send(Command::Close(reply)).await.is_ok() {
                let _ = answer.await;
            }
        })
        .await;
        self.instance = None;
        Ok(())
    }
}
