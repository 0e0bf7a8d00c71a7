//! Declaring, binding, looking at and deleting what is at the broker.
//!
//! An error of the broker closes the channel it happened on, so each step that may fail by design has a
//! channel of its own. Exchanges are declared only where binding or posting found them missing: whoever
//! merely consumes rarely may declare them, and asking would be refused even for one that is there.

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, ExchangeKind, Queue};

use super::declaration::{Binding, Declaration};
use super::link::Link;
use super::trouble::{Doing, missing};
use crate::error::{Error, Kind};

/// Makes a queue and its bindings what they should be, as far as asked for.
pub(super) async fn declare(link: &Link, wanted: &Declaration) -> Result<(), Error> {
    wanted.check()?;
    if !wanted.declare.queue && !wanted.declare.bind {
        return Ok(());
    }
    let mut channel = link.channel().await?;
    if wanted.declare.queue {
        declare_queue(link, &channel, wanted).await?;
    }
    if wanted.declare.bind {
        for binding in &wanted.bindings {
            let bound = bind(link, &channel, &wanted.queue, binding).await;
            let Err(error) = bound else { continue };
            if error.kind() != Kind::Missing || !wanted.declare.exchange {
                return Err(error);
            }
            // The queue is what is missing, where it was not declared here.
            if !wanted.declare.queue && depth(link, &wanted.queue).await?.is_none() {
                return Err(error);
            }
            declare_exchange(link, &binding.exchange, true).await?;
            channel = link.channel().await?;
            bind(link, &channel, &wanted.queue, binding).await?;
        }
        for binding in &wanted.unbind {
            // What is bound on purpose stays.
            if !wanted.bindings.contains(binding) {
                unbind(link, &channel, &wanted.queue, binding).await?;
            }
        }
    }
    Ok(())
}

async fn declare_queue(link: &Link, channel: &Channel, wanted: &Declaration) -> Result<(), Error> {
    let options = QueueDeclareOptions {
        durable: wanted.durable,
        auto_delete: wanted.auto_delete,
        ..QueueDeclareOptions::default()
    };
    let doing = Doing::DeclareQueue(&wanted.queue);
    let declaring = channel.queue_declare(name(&wanted.queue)?, options, wanted.table()?);
    link.ask(doing, declaring).await.map(|_| ())
}

async fn bind(link: &Link, channel: &Channel, queue: &str, binding: &Binding) -> Result<(), Error> {
    let binding_it = channel.queue_bind(
        name(queue)?,
        name(&binding.exchange)?,
        name(&binding.pattern)?,
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    link.ask(Doing::Bind(queue, &binding.exchange), binding_it)
        .await
}

/// Removes a binding; one that is not there, or whose exchange or queue is not, is removed already.
async fn unbind(
    link: &Link,
    channel: &Channel,
    queue: &str,
    binding: &Binding,
) -> Result<(), Error> {
    let unbinding = channel.queue_unbind(
        name(queue)?,
        name(&binding.exchange)?,
        name(&binding.pattern)?,
        FieldTable::default(),
    );
    link.ask(Doing::Unbind(queue, &binding.exchange), unbinding)
        .await
}

/// Sees to it that a topic exchange is there. Whoever may not declare it is content with finding it.
pub(super) async fn declare_exchange(
    link: &Link,
    exchange: &str,
    durable: bool,
) -> Result<(), Error> {
    let ask = async |passive: bool| {
        let channel = link.channel().await?;
        let options = ExchangeDeclareOptions {
            passive,
            durable,
            ..ExchangeDeclareOptions::default()
        };
        let declaring = channel.exchange_declare(
            name(exchange)?,
            ExchangeKind::Topic,
            options,
            FieldTable::default(),
        );
        link.ask(Doing::DeclareExchange(exchange), declaring).await
    };
    match ask(false).await {
        Err(error) if error.kind() == Kind::Denied => match ask(true).await {
            Err(absent) if absent.kind() == Kind::Missing => Err(missing(
                link.address(),
                Doing::DeclareExchange(exchange),
                &format!(
                    "it is not there, and `{}` may not create it",
                    link.address().user
                ),
            )),
            found => found,
        },
        declared => declared,
    }
}

/// Deletes an exchange; its bindings go with it.
pub(super) async fn delete_exchange(link: &Link, exchange: &str) -> Result<(), Error> {
    let channel = link.channel().await?;
    let deleting = channel.exchange_delete(name(exchange)?, ExchangeDeleteOptions::default());
    link.ask(Doing::DeleteExchange(exchange), deleting).await
}

/// Deletes an exchange nothing is bound to; says whether it was.
pub(super) async fn delete_unused_exchange(link: &Link, exchange: &str) -> Result<bool, Error> {
    let channel = link.channel().await?;
    let options = ExchangeDeleteOptions {
        if_unused: true,
        ..ExchangeDeleteOptions::default()
    };
    let deleting = channel.exchange_delete(name(exchange)?, options);
    match link.ask(Doing::DeleteExchange(exchange), deleting).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == Kind::Mismatch => Ok(false),
        Err(error) => Err(error),
    }
}

/// A queue as it is now; none if there is none.
async fn look(link: &Link, queue: &str) -> Result<Option<Queue>, Error> {
    let channel = link.channel().await?;
    let options = QueueDeclareOptions::default().passive();
    let looking = channel.queue_declare(name(queue)?, options, FieldTable::default());
    match link.ask(Doing::Look(queue), looking).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == Kind::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// Messages waiting in a queue, without those that consumers hold; none if there is no such queue.
pub(super) async fn depth(link: &Link, queue: &str) -> Result<Option<u64>, Error> {
    let found = look(link, queue).await?;
    Ok(found.map(|found| u64::from(found.message_count())))
}

/// Deletes a queue with everything in it; says whether there was one.
pub(super) async fn delete_queue(link: &Link, queue: &str) -> Result<bool, Error> {
    if look(link, queue).await?.is_none() {
        return Ok(false);
    }
    let channel = link.channel().await?;
    let deleting = channel.queue_delete(name(queue)?, QueueDeleteOptions::default());
    link.ask(Doing::Delete(queue), deleting).await?;
    Ok(true)
}

/// Drops what waits in a queue, not what consumers hold.
pub(super) async fn purge(link: &Link, queue: &str) -> Result<u64, Error> {
    let channel = link.channel().await?;
    let purging = channel.queue_purge(name(queue)?, QueuePurgeOptions::default());
    let purged = link.ask(Doing::Purge(queue), purging).await?;
    Ok(u64::from(purged))
}

/// A name as it goes over the wire.
pub(super) fn name(text: &str) -> Result<ShortString, Error> {
    ShortString::try_new(text).map_err(|_| {
        Error::new(
            Kind::Name,
            format!("the name `{text}` is longer than 255 bytes; nothing was done; shorten it"),
        )
    })
}
