//! The harness's own hand on the broker: publishes billing messages, and looks at queues from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::wait::until;
use crate::fixtures::BillingMessage;

/// The types of billing messages: one queue each, by this routing key.
pub(crate) const MESSAGE_TYPES: [&str; 5] =
    ["payment-succeeded", "invoice-issued", "signup", "refund", "purchase-linked"];

/// The harness's own queue of ledger events.
pub(crate) const EVENTS_QUEUE: &str = "test-events";

/// Messages on their way without a confirm.
const IN_FLIGHT: usize = 500;
/// For one confirm. A broker that is away shows by an error long before; one that is only slow must not get anything
/// twice, since tests count.
const CONFIRM_LIMIT: Duration = Duration::from_secs(100);
/// For a broker that is restarted meanwhile.
const AWAY_LIMIT: Duration = Duration::from_mins(4);

/// A connection that comes back by itself, and a record of what was published.
pub(crate) struct Broker {
    url: String,
    prefix: String,
    link: Mutex<Option<(Connection, Channel)>>,
    published: std::sync::Mutex<Published>,
}

/// What was published so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Published {
    /// Confirmed deliveries, repeats included.
    pub(crate) deliveries: usize,
    /// The messages that have an id, by it: the bytes that came last under it.
    pub(crate) bodies: BTreeMap<String, Vec<u8>>,
}

impl Broker {
    pub(crate) fn new(url: &str, prefix: &str) -> Self {
        let published = std::sync::Mutex::default();
        Self { url: url.to_owned(), prefix: prefix.to_owned(), link: Mutex::default(), published }
    }

    pub(crate) fn published(&self) -> Published {
        self.published.lock().unwrap().clone()
    }

    /// Notes a delivery that somebody else published.
    pub(crate) fn count_a_delivery(&self) {
        self.published.lock().unwrap().deliveries += 1;
    }

    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Publishes in order and waits for the confirms. What has none when the broker goes away is published again.
    pub(crate) async fn publish_all(&self, messages: &[BillingMessage]) {
        for window in messages.chunks(IN_FLIGHT) {
            let mut open: Vec<&BillingMessage> = window.iter().collect();
            until("every message is confirmed", AWAY_LIMIT, async || {
                let refused = self.publish_window(&open).await?;
                open.retain(|message| refused.iter().any(|one| std::ptr::eq(*one, *message)));
                if open.is_empty() { Ok(()) } else { Err(format!("{} messages without a confirm", open.len())) }
            })
            .await;
        }
    }

    /// Publishes each once and gives those that the broker did not confirm.
    async fn publish_window<'m>(&self, messages: &[&'m BillingMessage]) -> Result<Vec<&'m BillingMessage>, String> {
        let mut link = self.linked().await?;
        let (_, channel) = link.as_ref().expect("it is linked");
        let sending = messages.iter().map(|message| timeout(CONFIRM_LIMIT, self.publish_one(channel, message)));
        let sent = join_all(sending).await;
        let mut unsure = Vec::new();
        for (message, sent) in messages.iter().zip(&sent) {
            if !matches!(sent, Ok(Ok(()))) {
                unsure.push(*message);
            }
        }
        if !unsure.is_empty() {
            let first = sent.iter().find(|sent| !matches!(sent, Ok(Ok(()))));
            println!("{} of {} messages have no confirm, the first: {first:?}", unsure.len(), messages.len());
            *link = None;
        }
        Ok(unsure)
    }

    async fn publish_one(&self, channel: &Channel, message: &BillingMessage) -> Result<(), String> {
        let (exchange, key) = match message.queue() {
            Some(queue) => (String::new(), self.name(queue)),
            None => (self.name("billing"), message.routing_key().to_owned()),
        };
        let properties = message.properties().clone().with_delivery_mode(2);
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let publishing = channel.basic_publish(exchange.into(), key.into(), mandatory, message.body(), properties);
        let confirm = publishing.await.map_err(|error| error.to_string())?.await;
        match confirm.map_err(|error| error.to_string())? {
            Confirmation::Ack(None) => {
                let mut published = self.published.lock().unwrap();
                published.deliveries += 1;
                published.bodies.extend(message.id().map(|id| (id.to_owned(), message.body().to_owned())));
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    }

    async fn linked(&self) -> Result<MutexGuard<'_, Option<(Connection, Channel)>>, String> {
        let mut link = self.link.lock().await;
        if !link.as_ref().is_some_and(|(_, channel)| channel.status().connected()) {
            *link = Some(connect(&self.url).await?);
        }
        Ok(link)
    }

    /// Runs `call` on the channel; an error may have closed it, so the next call starts with a new one.
    async fn on_channel<T>(&self, call: impl AsyncFnOnce(&Channel) -> lapin::Result<T>) -> Result<T, String> {
        let mut link = self.linked().await?;
        let done = call(&link.as_ref().expect("it is linked").1).await;
        if done.is_err() {
            *link = None;
        }
        done.map_err(|error| error.to_string())
    }

    /// Messages in the queue that no consumer holds.
    pub(crate) async fn ready(&self, queue: &str) -> Result<u32, String> {
        let name = self.name(queue);
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let looked = async |channel: &Channel| {
            Ok(channel.queue_declare(name.as_str().into(), passive, FieldTable::default()).await?.message_count())
        };
        self.on_channel(looked).await.map_err(|error| format!("queue {queue}: {error}"))
    }

    /// Messages ready in all queues that the worker consumes.
    pub(crate) async fn backlog(&self) -> Result<u32, String> {
        let mut all = 0;
        for queue in MESSAGE_TYPES.into_iter().chain(["dead-letters"]) {
            all += self.ready(queue).await?;
        }
        Ok(all)
    }

    /// A queue for ledger events, bound to all of them. `max_length` makes it one that refuses what it has no room for.
    pub(crate) async fn bind_events(&self, queue: &str, max_length: Option<i32>) {
        let (queue, exchange) = (self.name(queue), self.name("credits"));
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        if let Some(length) = max_length {
            arguments.insert("x-max-length".into(), AMQPValue::LongInt(length));
            arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        }
        let bound = async |channel: &Channel| {
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let none = FieldTable::default;
            channel.exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, durable, none()).await?;
            channel.queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), arguments).await?;
            let options = QueueBindOptions::default();
            let key = "ledger-changed.#".into();
            channel.queue_bind(queue.as_str().into(), exchange.as_str().into(), key, options, none()).await
        };
        self.on_channel(bound).await.unwrap();
    }

    /// Takes everything out of a queue.
    pub(crate) async fn purge(&self, queue: &str) -> Result<u32, String> {
        let name = self.name(queue);
        self.on_channel(async |channel| channel.queue_purge(name.as_str().into(), QueuePurgeOptions::default()).await)
            .await
    }

    pub(crate) async fn delete_queue(&self, queue: &str) {
        let name = self.name(queue);
        let deleted =
            async |channel: &Channel| channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await;
        self.on_channel(deleted).await.unwrap();
    }

    pub(crate) async fn declare_exchange(&self, exchange: &str, kind: ExchangeKind) {
        let name = self.name(exchange);
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = async |channel: &Channel| {
            channel.exchange_declare(name.as_str().into(), kind, durable, FieldTable::default()).await
        };
        self.on_channel(declared).await.unwrap();
    }

    pub(crate) async fn delete_exchange(&self, exchange: &str) {
        let name = self.name(exchange);
        let options = ExchangeDeleteOptions::default();
        self.on_channel(async |channel| channel.exchange_delete(name.as_str().into(), options).await).await.unwrap();
    }

    /// A connection and a channel of one's own.
    pub(crate) async fn connect(&self) -> Result<(Connection, Channel), String> {
        connect(&self.url).await
    }
}

/// A connection and a channel in confirm mode.
pub(super) async fn connect(url: &str) -> Result<(Connection, Channel), String> {
    let linking = async {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok::<_, lapin::Error>((connection, channel))
    };
    let linked = timeout(Duration::from_secs(10), linking).await.map_err(|_| "no broker within 10 s")?;
    linked.map_err(|error| format!("no broker: {error}"))
}
