//! The benchmark's side of the broker: topology, filling a queue, looking at its depth.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind, PublisherConfirm};

use crate::message::Message;
use crate::names::{CONTENT_TYPE, EVENT_BINDING, EVENT_KEY, Names, SWEPT_KEY};

/// Deliver from disk after a restart.
const PERSISTENT: u8 = 2;

/// What a queue holds and who reads it.
#[derive(Clone, Copy)]
pub(crate) struct Depth {
    /// Messages that are ready, without those that a consumer holds.
    pub(crate) ready: u64,
    pub(crate) consumers: u32,
}

/// A connection of the benchmark itself.
pub(crate) struct Broker {
    connection: Connection,
    /// For topology and depths. A refusal by the broker closes it, and ends the run.
    control: Channel,
}

impl Broker {
    /// Connects.
    ///
    /// # Errors
    /// The broker is out of reach.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let connection = connect(url).await?;
        let control = connection.create_channel().await?;
        Ok(Self { connection, control })
    }

    /// Deletes everything of that worker.
    pub(crate) async fn clear(&self, names: &Names) -> Result<()> {
        for queue in names.queues() {
            self.control.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        }
        for exchange in names.exchanges() {
            self.control.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await?;
        }
        Ok(())
    }

    /// Declares both exchanges and the queue for what comes out.
    pub(crate) async fn declare_ends(&self, names: &Names, binding: &str) -> Result<()> {
        for exchange in [&names.billing_exchange, &names.events_exchange] {
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let exchange = exchange.as_str().into();
            self.control.exchange_declare(exchange, ExchangeKind::Topic, durable, FieldTable::default()).await?;
        }
        self.declare_queue(&names.outbound, &names.events_exchange, binding).await
    }

    /// Declares a quorum queue and binds it.
    pub(crate) async fn declare_queue(&self, queue: &str, exchange: &str, key: &str) -> Result<()> {
        self.control.queue_declare(queue.into(), QueueDeclareOptions::durable(), quorum()).await?;
        self.bind(queue, exchange, key).await
    }

    /// Has the events of what was swept go to a queue of their own, and of the others those of grants to the usual one.
    /// Of the former only the last are kept: a million would be more than any other part leaves in the broker.
    pub(crate) async fn set_swept_apart(&self, names: &Names, kept: u32) -> Result<()> {
        let mut quorum = quorum();
        quorum.insert("x-max-length".into(), AMQPValue::LongUInt(kept));
        self.control.queue_declare(names.swept.as_str().into(), QueueDeclareOptions::durable(), quorum).await?;
        for (queue, key) in [(&names.swept, SWEPT_KEY), (&names.outbound, EVENT_KEY)] {
            self.bind(queue, &names.events_exchange, key).await?;
        }
        let (queue, exchange) = (names.outbound.as_str().into(), names.events_exchange.as_str().into());
        Ok(self.control.queue_unbind(queue, exchange, EVENT_BINDING.into(), FieldTable::default()).await?)
    }

    async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<()> {
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        Ok(self.control.queue_bind(queue.into(), exchange.into(), key.into(), options, none).await?)
    }

    /// The depth of a queue that exists.
    pub(crate) async fn depth(&self, queue: &str) -> Result<Depth> {
        depth(&self.control, queue).await
    }

    /// The depth of a queue that a worker may not have declared yet.
    pub(crate) async fn depth_if_declared(&self, queue: &str) -> Result<Option<Depth>> {
        // The broker closes a channel that asks for a missing queue, so this one is for the question only.
        let channel = self.connection.create_channel().await?;
        Ok(depth(&channel, queue).await.ok())
    }

    /// A publisher on a channel of its own.
    pub(crate) async fn publisher(&self, exchange: &str, key: &str) -> Result<Publisher> {
        Publisher::open(&self.connection, exchange, key).await
    }
}

/// Connects to the broker.
///
/// # Errors
/// It is out of reach.
pub(crate) async fn connect(url: &str) -> Result<Connection> {
    Connection::connect(url, ConnectionProperties::default()).await.context("the broker at AMQP_URL")
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

async fn depth(channel: &Channel, queue: &str) -> Result<Depth> {
    let passive = QueueDeclareOptions::durable().passive();
    let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
    Ok(Depth { ready: u64::from(queue.message_count()), consumers: queue.consumer_count() })
}

/// Publishes to one exchange with one key, persistent, mandatory, with confirms.
#[derive(Clone)]
pub(crate) struct Publisher {
    channel: Channel,
    exchange: String,
    key: String,
}

impl Publisher {
    /// Opens a channel in confirm mode.
    pub(crate) async fn open(connection: &Connection, exchange: &str, key: &str) -> Result<Self> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { channel, exchange: exchange.to_owned(), key: key.to_owned() })
    }

    /// Hands one message to the socket; the confirm comes later.
    pub(crate) async fn publish(&self, id: &str, body: &[u8]) -> Result<PublisherConfirm> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default()
            .with_content_type(CONTENT_TYPE.into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(id.into());
        let (exchange, key) = (self.exchange.as_str().into(), self.key.as_str().into());
        Ok(self.channel.basic_publish(exchange, key, options, body, properties).await?)
    }

    /// Publishes all of them and awaits every confirm.
    pub(crate) async fn publish_all(&self, messages: &[Message]) -> Result<()> {
        let publishes = messages.iter().map(|message| self.publish(&message.id, &message.body));
        for confirm in try_join_all(publishes).await? {
            confirmed(confirm).await?;
        }
        Ok(())
    }
}

/// Waits until the broker has the message, in a queue.
///
/// # Errors
/// It refused it, or no queue is bound.
pub(crate) async fn confirmed(confirm: PublisherConfirm) -> Result<()> {
    let confirmation = confirm.await?;
    ensure!(confirmation == Confirmation::Ack(None), "a publish came back: {confirmation:?}");
    Ok(())
}
