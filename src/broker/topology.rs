//! What the worker needs to exist on the broker: declared at every session's start, since it may have been deleted.
//!
//! Declaring again is free and changes nothing. Something of the same name with other settings is an error that names
//! both sides; it is never deleted or used as it is, since the promises below hang on these arguments:
//! - Quorum queues with all arguments spelled out, so RabbitMQ 3.10 and 4.x behave alike (the default delivery limit is
//!   none on 3.10 and 20 from 4.0).
//! - `x-overflow=reject-publish` and `x-dead-letter-strategy=at-least-once`, each of which needs the other: a dead letter
//!   is not lost on its way.
//! - The dead-letter queue has no dead-letter exchange, so a message beyond its delivery limit would be *dropped*. Its
//!   limit is therefore one that is never reached: no limit (`-1`) is refused by 3.10. The billing queues' limit of 1000
//!   is only the broker's backstop; how often is too often is decided by `handler`.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use std::time::Duration;
use tokio::time::timeout;

use super::error::BrokerError;
use super::link::Link;
use super::options::{Options, short};

/// After so many deliveries the broker moves a billing message to the dead-letter queue by itself.
const DELIVERY_LIMIT: i64 = 1000;
/// One delivery a second reaches it after 68 years.
const NEVER_REACHED: i64 = i32::MAX as i64;
/// For all declarations together: a new quorum queue elects a leader, on a busy cluster for seconds.
pub(super) const SETUP_LIMIT: Duration = Duration::from_secs(30);

/// Declares everything once, on a connection of its own.
///
/// # Errors
/// [`BrokerError`], [`BrokerError::Mismatch`] if something exists with other settings.
pub async fn declare(options: &Options) -> Result<(), BrokerError> {
    let link = Link::open(options, "credits declare").await?;
    let declared = timeout(SETUP_LIMIT, async { declare_on(&link.channel().await?, options).await }).await;
    link.close().await;
    declared.unwrap_or_else(|_| Err(BrokerError::late("declaring exchanges and queues")))
}

/// Declares everything, and a quorum queue of the name `events` that gets every ledger event: for the demo, where
/// nobody else has bound one.
///
/// # Errors
/// As [`declare`].
pub async fn declare_with_events(options: &Options, events: &str) -> Result<(), BrokerError> {
    declare(options).await?;
    let link = Link::open(options, "credits declare").await?;
    let declared = timeout(SETUP_LIMIT, async {
        let channel = link.channel().await?;
        queue(&channel, events, table(&[("x-queue-type", text("quorum"))])).await?;
        bind(&channel, events, &options.credits_exchange, "ledger-changed.#").await
    });
    let declared = declared.await;
    link.close().await;
    declared.unwrap_or_else(|_| Err(BrokerError::late("declaring a queue for events")))
}

/// Declares everything on `channel`, which an error closes.
pub(super) async fn declare_on(channel: &Channel, options: &Options) -> Result<(), BrokerError> {
    exchange(channel, &options.billing_exchange, ExchangeKind::Topic).await?;
    exchange(channel, &options.credits_exchange, ExchangeKind::Topic).await?;
    exchange(channel, &options.dead_letter_exchange, ExchangeKind::Fanout).await?;
    queue(channel, &options.dead_letter_queue, dead_letter_arguments()).await?;
    bind(channel, &options.dead_letter_queue, &options.dead_letter_exchange, "").await?;
    for one in &options.subscriptions {
        queue(channel, &one.queue, billing_arguments(&options.dead_letter_exchange)).await?;
        bind(channel, &one.queue, &options.billing_exchange, &one.routing_key).await?;
    }
    Ok(())
}

/// Declares the exchange that ledger events go to.
pub(super) async fn declare_output(channel: &Channel, options: &Options) -> Result<(), BrokerError> {
    exchange(channel, &options.credits_exchange, ExchangeKind::Topic).await
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), BrokerError> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared = channel.exchange_declare(short(name)?, kind, durable, FieldTable::default()).await;
    declared.map_err(|error| BrokerError::declaring(format!("exchange `{name}`"), &error))
}

async fn queue(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), BrokerError> {
    let declared = channel.queue_declare(short(name)?, QueueDeclareOptions::durable(), arguments).await;
    declared.map(drop).map_err(|error| BrokerError::declaring(format!("queue `{name}`"), &error))
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), BrokerError> {
    let (name, from, key) = (short(queue)?, short(exchange)?, short(key)?);
    let bound = channel.queue_bind(name, from, key, QueueBindOptions::default(), FieldTable::default()).await;
    bound.map_err(|error| BrokerError::of(format!("binding queue `{queue}` to exchange `{exchange}`"), &error))
}

fn billing_arguments(dead_letter_exchange: &str) -> FieldTable {
    table(&[
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
        ("x-dead-letter-exchange", text(dead_letter_exchange)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ])
}

fn dead_letter_arguments() -> FieldTable {
    table(&[
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(NEVER_REACHED)),
        ("x-overflow", text("reject-publish")),
    ])
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
