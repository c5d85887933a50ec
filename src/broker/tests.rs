//! Against a real RabbitMQ: every test has exchanges and queues of its own, and deletes them when it passes.

mod connecting;
mod consuming;
mod publishing;
mod screening;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::*;

/// No test waits longer for one thing.
const LIMIT: Duration = Duration::from_secs(30);
const EIGHT_MIB: usize = 8 << 20;

/// Exchanges and queues of one test, and a connection to look at them from outside.
pub(crate) struct Place {
    prefix: String,
    pub(crate) options: Arc<Options>,
    health: Arc<Health>,
    admin: Channel,
    _connection: Connection,
}

impl Place {
    /// With topology declared: queues `a` and `b`, bound by those keys.
    pub(crate) async fn new() -> Self {
        let place = Self::empty().await;
        declare(&place.options).await.unwrap();
        place
    }

    async fn empty() -> Self {
        let prefix = format!("test-{}", uuid::Uuid::now_v7());
        let options = Arc::new(options(&prefix, broker_url()));
        let uri = options.url.expose_secret().to_owned();
        let connection = Connection::connect(&uri, ConnectionProperties::default()).await.unwrap();
        let admin = connection.create_channel().await.unwrap();
        Self { prefix, options, health: Arc::default(), admin, _connection: connection }
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn consumers(&self, queues: &[&str]) -> Consumers {
        self.consumers_with(&self.options, queues)
    }

    fn consumers_with(&self, options: &Arc<Options>, queues: &[&str]) -> Consumers {
        let queues = queues.iter().map(|name| self.name(name)).collect();
        Consumers::start(Arc::clone(options), "credits consumers", queues, Arc::clone(&self.health))
    }

    async fn publish(&self, key: &str, ids: std::ops::Range<usize>) {
        let messages = ids.map(|id| message(key, &id.to_string())).collect();
        for confirm in publish_all(&self.options, &self.options.billing_exchange, messages).await.unwrap() {
            assert_eq!(confirm, Confirm::Acked);
        }
    }

    /// A queue bound to the output exchange that holds one message and refuses the next.
    async fn full_queue(&self, key: &str) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(0));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        self.queue(&format!("out-{key}"), arguments).await;
        self.bind(&format!("out-{key}"), key).await;
    }

    /// A queue bound to the output exchange.
    async fn output_queue(&self, key: &str) {
        self.queue(&format!("out-{key}"), FieldTable::default()).await;
        self.bind(&format!("out-{key}"), key).await;
    }

    async fn queue(&self, name: &str, arguments: FieldTable) {
        let name = self.name(name).as_str().into();
        self.admin.queue_declare(name, QueueDeclareOptions::durable(), arguments).await.unwrap();
    }

    async fn bind(&self, queue: &str, key: &str) {
        let (queue, exchange) = (self.name(queue), self.options.credits_exchange.as_str());
        let options = QueueBindOptions::default();
        let bound =
            self.admin.queue_bind(queue.as_str().into(), exchange.into(), key.into(), options, FieldTable::default());
        bound.await.unwrap();
    }

    /// Messages ready in a queue.
    async fn ready(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let name = self.name(queue).as_str().into();
        self.admin.queue_declare(name, passive, FieldTable::default()).await.unwrap().message_count()
    }

    /// Waits until `queue` has `count` ready messages.
    pub(crate) async fn until_ready(&self, queue: &str, count: u32) {
        until(async || self.ready(queue).await == count).await;
    }

    async fn delete_queue(&self, queue: &str) {
        self.admin.queue_delete(self.name(queue).as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    }

    async fn delete_exchange(&self, exchange: &str) {
        self.admin.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.unwrap();
    }

    pub(crate) async fn remove(self) {
        for queue in ["a", "b", "dead-letters", "out-free", "out-full"] {
            self.delete_queue(queue).await;
        }
        let options = &self.options;
        for exchange in [&options.billing_exchange, &options.credits_exchange, &options.dead_letter_exchange] {
            self.delete_exchange(exchange).await;
        }
    }
}

fn broker_url() -> String {
    std::env::var("AMQP_URL").expect("no broker to test against: set AMQP_URL or run make test")
}

fn options(prefix: &str, url: String) -> Options {
    let name = |name: &str| format!("{prefix}.{name}");
    let subscription = |key: &str| Subscription { queue: name(key), routing_key: key.to_owned() };
    Options {
        url: SecretString::from(url),
        billing_exchange: name("billing"),
        credits_exchange: name("credits"),
        dead_letter_exchange: name("dead"),
        dead_letter_queue: name("dead-letters"),
        subscriptions: vec![subscription("a"), subscription("b")],
        prefetch: 100,
        heartbeat: 10,
        connect_timeout: Duration::from_secs(10),
        confirm_timeout: Duration::from_secs(20),
        channel_max_in_flight: 16,
    }
}

fn message(key: &str, id: &str) -> Outgoing {
    Outgoing {
        routing_key: key.to_owned(),
        message_id: id.to_owned(),
        kind: "test",
        content_type: "application/json",
        body: vec![b'x'; 100],
    }
}

fn id(delivery: &Delivery) -> &str {
    delivery.properties.message_id.as_deref().unwrap()
}

fn acked(deliveries: &[Delivery]) -> Vec<Settled> {
    deliveries.iter().map(|one| one.settled(How::Ack)).collect()
}

/// The next batch, within the limit.
async fn next(consumers: &mut Consumers, max_messages: usize) -> Vec<Delivery> {
    timeout(LIMIT, consumers.next_batch(max_messages, EIGHT_MIB)).await.expect("no delivery in time").unwrap()
}

/// Batches until `count` deliveries are there.
async fn take(consumers: &mut Consumers, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(next(consumers, count - taken.len()).await);
    }
    taken
}

/// Waits for a condition, with a limit.
async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        let mut poll = tokio::time::interval(Duration::from_millis(20));
        while !condition().await {
            poll.tick().await;
        }
    };
    timeout(LIMIT, wait).await.expect("the condition never came true");
}
