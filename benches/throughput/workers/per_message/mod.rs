//! The worker that a team writes first: one transaction a message, many messages at once.
//!
//! Written to be good at that: prepared statements, one round trip a row, a pool that is as wide as the work and
//! otherwise as the driver has it (it pings a connection before each use), keys and indexes as such a schema needs
//! them, an outbox row in the same transaction, the event published at once and the message acknowledged when the
//! broker has it. What a crash leaves unpublished would be published from the outbox by a second program, which is not
//! counted here.

mod payment;
mod store;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use self::payment::{Change, Payment};
pub(crate) use self::store::{COUNTS, create_schema};
use super::told_to_stop;
use crate::broker::{Publisher, confirmed, connect};
use crate::names::EVENT_KEY;
use crate::subject::Subject;

/// Messages at once, each on a connection of its own.
const AT_ONCE: u16 = 16;
/// Twice as many, so that the next message is there when one is done.
const PREFETCH: u16 = 2 * AT_ONCE;

/// What every message needs.
#[derive(Clone)]
struct Worker {
    pool: PgPool,
    publisher: Publisher,
}

/// Consumes until told to stop; messages that have begun are finished.
pub(super) async fn run(amqp_url: &str, database_url: &str) -> Result<()> {
    let names = Subject::PerMessage.names();
    let (consuming, publishing) = (connect(amqp_url).await?, connect(amqp_url).await?);
    let connections = u32::from(AT_ONCE);
    let pool =
        PgPoolOptions::new().max_connections(connections).min_connections(connections).connect(database_url).await?;
    let worker = Worker { pool, publisher: Publisher::open(&publishing, &names.events_exchange, EVENT_KEY).await? };

    let channel = consuming.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (queue, options) = (names.inbound.into(), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(queue, "per-message".into(), options, FieldTable::default()).await?;
    consumer
        .take_until(Box::pin(told_to_stop()?))
        .map_err(anyhow::Error::from)
        .try_for_each_concurrent(usize::from(AT_ONCE), |delivery| {
            let handled = tokio::spawn(worker.clone().handle(delivery));
            async move { handled.await? }
        })
        .await
}

impl Worker {
    async fn handle(self, delivery: Delivery) -> Result<()> {
        let payment = Payment::decode(&delivery.data).context("decode")?;
        if let Some(change) = self.apply(payment).await.context("apply")? {
            let confirm = self.publisher.publish(&change.event_id, &change.event).await?;
            confirmed(confirm).await?;
        }
        delivery.ack(BasicAckOptions::default()).await?;
        Ok(())
    }

    /// Commits everything that follows from the payment; `None` if it has been handled before.
    async fn apply(&self, payment: Payment) -> Result<Option<Change>> {
        let mut transaction = self.pool.begin().await?;
        if !store::claim(&mut transaction, &payment).await? {
            return Ok(None);
        }
        let grant = payment.grant()?;
        store::insert_grant(&mut transaction, &grant).await?;
        let pool = store::add_to_pool(&mut transaction, &grant).await?;
        let entry = store::insert_entry(&mut transaction, &grant, &pool).await?;
        let change = Change::of(&grant, &pool, &entry)?;
        store::insert_outbox(&mut transaction, &change).await?;
        transaction.commit().await?;
        Ok(Some(change))
    }
}
