//! Moves bytes from queue to queue as fast as broker and client allow, and does nothing else.
//!
//! Two lanes, as `credits` has. Each takes what has arrived, publishes all of it at once, and takes more while the
//! confirms come in; one acknowledgement covers what one such stretch brought. A message is acknowledged only when
//! the broker has confirmed its copy, so nothing can be lost here either.

use anyhow::Result;
use futures::StreamExt;
use futures::future::try_join_all;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, PublisherConfirm};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::told_to_stop;
use crate::broker::{Publisher, confirmed, connect};
use crate::names::{EVENT_KEY, Names};
use crate::subject::Subject;

const LANES: usize = 2;
/// Unacknowledged messages of a lane. Tried side by side: 300 and 2000 are both slower.
const PREFETCH: u16 = 1_000;
/// Messages of one stretch: several fit into the prefetch, so that lane and broker work at the same time.
const STRETCH: usize = 250;
/// Stretches whose confirms are awaited at once.
const STRETCHES: usize = 4;

/// The publishes of one stretch, and the tag that acknowledges their messages.
struct Stretch {
    last_tag: u64,
    confirms: Vec<PublisherConfirm>,
}

/// Runs both lanes until told to stop.
pub(super) async fn run(amqp_url: &str) -> Result<()> {
    let (consuming, publishing) = (connect(amqp_url).await?, connect(amqp_url).await?);
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        let channel = consuming.create_channel().await?;
        let (stretches, published) = mpsc::channel(STRETCHES);
        lanes.spawn(settle(channel.clone(), published));
        lanes.spawn(forward(channel, open_publisher(&publishing).await?, stretches));
    }
    while let Some(ended) = lanes.join_next().await {
        ended??;
    }
    Ok(())
}

async fn open_publisher(publishing: &Connection) -> Result<Publisher> {
    Publisher::open(publishing, &names().events_exchange, EVENT_KEY).await
}

fn names() -> Names {
    Subject::Ceiling.names()
}

/// Consumes and publishes; leaves the confirms to [`settle`].
async fn forward(channel: Channel, publisher: Publisher, stretches: mpsc::Sender<Stretch>) -> Result<()> {
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (queue, options) = (names().inbound.into(), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(queue, "lane".into(), options, FieldTable::default()).await?;
    let mut arrived = consumer.take_until(Box::pin(told_to_stop()?)).ready_chunks(STRETCH);
    while let Some(deliveries) = arrived.next().await {
        let deliveries = deliveries.into_iter().collect::<Result<Vec<_>, _>>()?;
        let copies = deliveries.iter().map(|delivery| {
            let id = delivery.properties.message_id().as_ref().map_or("", |id| id.as_str());
            publisher.publish(id, &delivery.data)
        });
        let confirms = try_join_all(copies).await?;
        let Some(last) = deliveries.last() else { continue };
        stretches.send(Stretch { last_tag: last.delivery_tag, confirms }).await?;
    }
    Ok(())
}

/// Awaits the confirms of each stretch and acknowledges it.
async fn settle(channel: Channel, mut published: mpsc::Receiver<Stretch>) -> Result<()> {
    while let Some(stretch) = published.recv().await {
        for confirm in stretch.confirms {
            confirmed(confirm).await?;
        }
        channel.basic_ack(stretch.last_tag, BasicAckOptions { multiple: true }).await?;
    }
    Ok(())
}
