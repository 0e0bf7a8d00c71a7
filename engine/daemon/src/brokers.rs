//! The brokers of one flow, by the schemes of its URLs.
//!
//! Nothing is connected to before the flow's first message: a broker that is away when a flow starts
//! is waited for by the loop, like one that goes away later. The embedded broker is a file, and is
//! opened at once.

mod topology;
mod users;

use std::path::Path;
use std::time::Duration;

use flow_broker::amqp::{self, AmqpBroker};
use flow_broker::embedded::{Declaration, EmbeddedBroker, Options as EmbeddedOptions};
use flow_broker::mqtt::{self, MqttBroker, Options as MqttOptions};
use flow_config::{
    Argument, Credentials, Flow, Input, Output, PostFormat, QueueType, SafeUrl, Secret, TlsRigour,
};
use flow_message::Format;
use flow_runtime::Links;
use flow_runtime::ports::{Consumer, Failure, Publisher};

use crate::Error;
use crate::embedded::{Place, Share};
use crate::secrets::asks_password;

pub use topology::{Became, Piece, What};

/// What a flow consumes from and posts to.
#[derive(Default)]
pub(crate) struct Brokers {
    /// For each worker of the flow; at least one.
    pub(crate) links: Vec<Links>,
    /// Kept for its upkeep, and closed at the end.
    pub(crate) embedded: Option<Share>,
    amqp: Vec<(String, AmqpBroker)>,
    mqtt: Vec<(String, MqttBroker)>,
}

/// What connections are made with.
struct Manner<'a> {
    flow: &'a Flow,
    credentials: &'a Credentials,
    state: &'a Path,
    place: &'a Place,
}

impl Brokers {
    /// Opens what `flow` names; messages come in beside the loop where it is `entered`.
    ///
    /// # Errors
    /// The embedded broker can't be used, an address can't, or there is no password for a broker.
    pub(crate) async fn open(
        flow: &Flow,
        credentials: &Credentials,
        state: &Path,
        place: &Place,
        entered: bool,
    ) -> Result<Self, Error> {
        let manner = Manner {
            flow,
            credentials,
            state,
            place,
        };
        let mut brokers = Self::default();
        // Only a queue can be shared, and what comes in beside the loop.
        let workers = match flow.input.is_some() || entered {
            true => flow.instances.max(1),
            false => 1,
        };
        for _ in 0..workers {
            let consumer = match &flow.input {
                Some(input) => Some(brokers.consumer(&manner, input).await?),
                None => None,
            };
            let publisher = match &flow.output {
                Some(output) => Some(brokers.publisher(&manner, output).await?),
                None => None,
            };
            brokers.links.push(Links {
                consumer,
                publisher,
            });
        }
        Ok(brokers)
    }

    /// Closes what is still open.
    ///
    /// # Errors
    /// The embedded broker's file can't be closed.
    pub(crate) async fn close(self) -> Result<(), Error> {
        for (_, broker) in self.amqp {
            broker.close().await;
        }
        if let Some(share) = self.embedded {
            share.close().await?;
        }
        Ok(())
    }

    async fn consumer(
        &mut self,
        manner: &Manner<'_>,
        input: &Input,
    ) -> Result<Box<dyn Consumer>, Error> {
        Ok(match family(&input.broker) {
            Family::Embedded => {
                let broker = self.embedded(manner)?;
                Box::new(broker.consumer(&embedded(input), input.prefetch).await?)
            }
            Family::Amqp => {
                let broker = self.amqp(manner, &input.broker, input.tls)?;
                let wanted = queue(input);
                if self.links.is_empty() {
                    if_there(broker.declare(&wanted).await)?;
                }
                Box::new(broker.consumer(&wanted, input.prefetch).await?)
            }
            Family::Mqtt => {
                let broker = self.mqtt(manner, &input.broker, input.tls)?;
                let wanted = embedded(input);
                if self.links.is_empty() {
                    let instances = u32::try_from(manner.flow.instances.max(1));
                    let declared = broker.declare_instances(&wanted, instances.unwrap_or(1));
                    if_there(declared.await)?;
                }
                let prefetch = input
                    .mqtt
                    .receive_maximum
                    .map_or(input.prefetch, usize::from);
                Box::new(broker.consumer(&wanted, prefetch).await?)
            }
        })
    }

    async fn publisher(
        &mut self,
        manner: &Manner<'_>,
        output: &Output,
    ) -> Result<Box<dyn Publisher>, Error> {
        let format = format(output.format);
        Ok(match family(&output.broker) {
            Family::Embedded => {
                let mut posting = flow_broker::embedded::Posting::new(&output.exchange);
                posting.parts = parts(output);
                posting.format = format;
                posting.topic_prefix.clone_from(&output.topic_prefix);
                posting.persistent = output.persistent;
                posting.message_ttl = output.message_ttl;
                Box::new(self.embedded(manner)?.publisher_to(posting)?)
            }
            Family::Amqp => {
                let first = self.links.is_empty();
                let broker = self.amqp(manner, &output.broker, output.tls)?;
                let posting = posting(output);
                // Before anything is posted: what others bind to it meanwhile gets the first post too.
                if posting.declare && first {
                    if_there(broker.declare_exchange(&posting).await)?;
                }
                Box::new(broker.publisher_to(posting)?)
            }
            Family::Mqtt => {
                let broker = self.mqtt(manner, &output.broker, output.tls)?;
                let mut posting = mqtt::Posting::new(&output.exchange);
                posting.parts = parts(output);
                posting.message_ttl = output.message_ttl;
                posting.format = format;
                posting.topic_prefix.clone_from(&output.topic_prefix);
                Box::new(broker.publisher_to(posting)?)
            }
        })
    }

    fn embedded(&mut self, manner: &Manner<'_>) -> Result<&EmbeddedBroker, Error> {
        if self.embedded.is_none() {
            self.embedded = Some(manner.place.share(manner.state)?);
        }
        Ok(self.embedded.as_ref().expect("opened above").broker())
    }

    /// One for each URL, so that consuming and posting share what they can.
    fn amqp(
        &mut self,
        manner: &Manner<'_>,
        url: &SafeUrl,
        tls: TlsRigour,
    ) -> Result<AmqpBroker, Error> {
        let name = url.without_password();
        if let Some((_, broker)) = self.amqp.iter().find(|(other, _)| *other == name) {
            return Ok(broker.clone());
        }
        let options = amqp::Options {
            name: manner.flow.name.to_string(),
            timeout: timeout(manner.flow),
            ca_file: manner.flow.ca_file.clone(),
            ..amqp::Options::default()
        };
        checked(url, tls)?;
        let broker = AmqpBroker::new(&with_password(manner, url)?, options)?;
        self.amqp.push((name, broker.clone()));
        Ok(broker)
    }

    /// One for each URL: it numbers the instances of a queue.
    fn mqtt(
        &mut self,
        manner: &Manner<'_>,
        url: &SafeUrl,
        tls: TlsRigour,
    ) -> Result<MqttBroker, Error> {
        let name = url.without_password();
        if let Some((_, broker)) = self.mqtt.iter().find(|(other, _)| *other == name) {
            return Ok(broker.clone());
        }
        let broker = mqtt_broker(manner, url, tls)?;
        self.mqtt.push((name, broker.clone()));
        Ok(broker)
    }
}

/// The embedded broker of a state directory.
///
/// # Errors
/// Its file can't be used.
pub(crate) fn open_embedded(state: &Path) -> Result<EmbeddedBroker, Error> {
    let path = state.join("broker.db");
    Ok(EmbeddedBroker::open(path, EmbeddedOptions::default())?)
}

fn mqtt_broker(manner: &Manner<'_>, url: &SafeUrl, tls: TlsRigour) -> Result<MqttBroker, Error> {
    checked(url, tls)?;
    let options = MqttOptions {
        timeout: timeout(manner.flow),
        authorities: manner.flow.ca_file.clone(),
        qos: match (&manner.flow.input, &manner.flow.output) {
            (Some(input), _) => input.mqtt.qos,
            (None, output) => output.as_ref().map_or(1, |output| output.qos),
        },
        clean_session: manner
            .flow
            .input
            .as_ref()
            .is_some_and(|input| input.mqtt.clean_session),
        max_in_flight: manner
            .flow
            .output
            .as_ref()
            .and_then(|output| output.max_inflight),
        ..MqttOptions::default()
    };
    let password = password(manner, url)?;
    Ok(MqttBroker::open(url, password, options)?)
}

/// A queue that is there when its flow has started misses nothing from then on. But a broker that is
/// away, or does not want this user now, is no reason not to start: the loop waits for it, and says
/// so.
fn if_there(declared: Result<(), flow_broker::Error>) -> Result<(), Error> {
    match declared {
        Err(error) if matches!(Failure::from(error.clone()), Failure::Config(_)) => {
            Err(error.into())
        }
        Err(error) => {
            tracing::debug!(%error, "Queue or exchange could not be declared before the start.");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The brokers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Embedded,
    Amqp,
    Mqtt,
}

fn family(url: &SafeUrl) -> Family {
    match url.scheme() {
        "amqp" | "amqps" => Family::Amqp,
        "embedded" => Family::Embedded,
        // The configuration takes no other scheme.
        _ => Family::Mqtt,
    }
}

fn timeout(flow: &Flow) -> Duration {
    flow.timeout.max(Duration::from_secs(1))
}

fn checked(url: &SafeUrl, tls: TlsRigour) -> Result<(), Error> {
    if tls == TlsRigour::Lax && matches!(url.scheme(), "amqps" | "mqtts") {
        let reason = format!(
            "`tlsRigour: lax` is not possible for the broker {}: a certificate nobody checks protects no \
             password; name the authority that signed it with `caFile`",
            url.without_password()
        );
        return Err(Error::Post(Failure::Config(reason)));
    }
    Ok(())
}

/// The password of a broker whose URL names a user; as in sr3, `anonymous` needs none.
fn password(manner: &Manner<'_>, url: &SafeUrl) -> Result<Option<Secret>, Error> {
    if url.user().is_empty() {
        return Ok(None);
    }
    match manner.credentials.find(url) {
        Some(found) => Ok(found.password.clone()),
        None if !asks_password(url) => Ok(Some(Secret::new("anonymous"))),
        None => Err(Error::Findings(manner.credentials.missing(url).into())),
    }
}

fn with_password(manner: &Manner<'_>, url: &SafeUrl) -> Result<SafeUrl, Error> {
    let Some(password) = password(manner, url)? else {
        return Ok(url.clone());
    };
    let mut whole = url.expose().clone();
    // Refused only for URLs without a host, which have no user either.
    let _ = whole.set_password(Some(password.expose()));
    SafeUrl::parse(whole.as_str()).map_err(|error| {
        let reason = format!(
            "the broker {} has no usable URL: {error}",
            url.without_password()
        );
        Error::Post(Failure::Config(reason))
    })
}

fn format(format: PostFormat) -> Format {
    match format {
        PostFormat::V03 => Format::V03,
        PostFormat::V02 => Format::V02,
        PostFormat::Wis => Format::Wis,
    }
}

/// The exchanges posts are spread over; none where there is one.
fn parts(output: &Output) -> Vec<String> {
    match output.exchanges.as_slice() {
        [_] => Vec::new(),
        parts => parts.to_vec(),
    }
}

/// What a flow posts to, as AMQP has it.
fn posting(output: &Output) -> amqp::Posting {
    let mut posting = amqp::Posting::new(&output.exchange);
    posting.parts = parts(output);
    posting.persistent = output.persistent;
    posting.message_ttl = output.message_ttl;
    posting.declare = output.declare;
    posting.durable = output.durable;
    posting.format = format(output.format);
    posting.topic_prefix.clone_from(&output.topic_prefix);
    posting
}

/// The queue of a flow, as the embedded broker and MQTT declare it.
fn embedded(input: &Input) -> Declaration {
    let first = input.exchanges().first().copied().unwrap_or_default();
    let declaration = Declaration::new(&input.queue, first, input.topics(first))
        .expire(input.expire)
        .message_ttl(input.message_ttl);
    let others = input
        .bindings
        .iter()
        .filter(|other| other.exchange != first);
    others.fold(declaration, |wanted, binding| {
        wanted.and(&binding.exchange, &binding.topic)
    })
}

/// The queue of a flow, as AMQP declares it.
fn queue(input: &Input) -> amqp::Declaration {
    let none: [&str; 0] = [];
    let first = input.exchanges().first().copied().unwrap_or_default();
    let declare = amqp::Declare {
        exchange: input.declare.exchange,
        queue: input.declare.queue,
        bind: input.declare.bindings,
    };
    let mut wanted = amqp::Declaration::new(&input.queue, first, none)
        .expire(input.expire)
        .message_ttl(input.message_ttl)
        .kind(match input.queue_type {
            Some(QueueType::Quorum) => amqp::QueueKind::Quorum,
            Some(QueueType::Classic) | None => amqp::QueueKind::Classic,
        })
        .declaring(declare);
    for binding in &input.bindings {
        wanted = wanted.bind(&binding.exchange, [&binding.topic]);
    }
    wanted.durable = input.durable;
    wanted.auto_delete = input.auto_delete;
    wanted.arguments = input
        .arguments
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Argument::Flag(flag) => (*flag).into(),
                Argument::Count(count) => (*count).into(),
                Argument::Text(text) => text.clone().into(),
            };
            (name.clone(), value)
        })
        .collect();
    wanted
}
