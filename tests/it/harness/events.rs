//! The `ledger-changed` events, as a consumer of another team sees them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions};
use lapin::types::FieldTable;
use serde_json::Value;
use tokio::time::timeout;

use super::broker::EVENTS_QUEUE;
use super::wait::{LIMIT, until};
use super::worker::TestWorker;

/// After the last event of a queue that is empty: how long one more may take that was on its way.
const LAST: Duration = Duration::from_secs(5);

/// One event as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) routing_key: String,
    pub(crate) message_id: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) json: Value,
}

/// Every event so far, in order of arrival, repeats included.
#[derive(Debug, Default)]
pub(crate) struct Events(pub(super) Vec<Event>);

impl Event {
    pub(crate) fn data(&self, field: &str) -> &str {
        self.json["data"][field].as_str().unwrap_or_else(|| panic!("no text {field} in {}", self.json))
    }

    fn position(&self) -> u64 {
        self.data("position").parse().unwrap()
    }

    fn sequence(&self) -> u64 {
        self.data("sequence").parse().unwrap()
    }

    fn pool(&self) -> (String, String) {
        (self.data("customer_id").to_owned(), self.data("credit_type").to_owned())
    }
}

impl Events {
    /// Each event once, by position. The same event again has to have the same bytes.
    pub(crate) fn distinct(&self) -> BTreeMap<u64, &Event> {
        let mut by_position = BTreeMap::new();
        let mut by_id: BTreeMap<&str, &Event> = BTreeMap::new();
        for event in &self.0 {
            let first = by_id.entry(&event.message_id).or_insert(event);
            assert_eq!(*first, event, "a repeated event is not the same");
            let before = by_position.insert(event.position(), event);
            assert!(before.is_none_or(|before| before.message_id == event.message_id), "a position with two events");
        }
        by_position
    }

    /// What a consumer has that per pool takes `sequence` = last + 1 and drops the rest: event ids in order.
    pub(crate) fn taken_in_sequence(&self) -> BTreeMap<(String, String), Vec<String>> {
        let mut taken: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for event in &self.0 {
            let pool = taken.entry(event.pool()).or_default();
            if event.sequence() == pool.len() as u64 + 1 {
                pool.push(event.message_id.clone());
            }
        }
        taken
    }
}

impl TestWorker {
    /// Waits until the events of all entries of the ledger have arrived, and gives all that have arrived so far.
    pub(crate) async fn collect_events(&self) -> tokio::sync::MutexGuard<'_, Events> {
        self.wait_until_settled().await;
        let mut events = self.events.lock().await;
        until("the events queue is empty", LIMIT, async || {
            let waiting = self.broker.ready(EVENTS_QUEUE).await?;
            if waiting == 0 {
                return Ok(());
            }
            self.consume(waiting as usize, &mut events).await?;
            Err(format!("{waiting} events were waiting"))
        })
        .await;
        events
    }

    /// Takes `count` events and those that arrive meanwhile.
    async fn consume(&self, count: usize, events: &mut Events) -> Result<(), String> {
        let (_connection, channel) = self.broker.connect().await?;
        let (queue, tag) = (self.place.name(EVENTS_QUEUE), "test-consumer");
        let no_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consuming = channel.basic_consume(queue.as_str().into(), tag.into(), no_ack, FieldTable::default());
        let mut consumer = consuming.await.map_err(|error| error.to_string())?;
        for _ in 0..count {
            let next = timeout(LIMIT, consumer.next()).await.map_err(|_| "an event went missing")?;
            events.0.push(event(next.ok_or("the consumer ended")?.map_err(|error| error.to_string())?));
        }
        // Without acknowledgements, what is on its way counts as delivered: take it before leaving.
        channel.basic_cancel(tag.into(), BasicCancelOptions::default()).await.map_err(|error| error.to_string())?;
        while let Ok(Some(Ok(delivery))) = timeout(LAST, consumer.next()).await {
            events.0.push(event(delivery));
        }
        Ok(())
    }
}

fn event(delivery: Delivery) -> Event {
    let properties = &delivery.properties;
    let json: Value = serde_json::from_slice(&delivery.data).unwrap();
    let message_id = properties.message_id().as_ref().expect("an event has a message id").to_string();
    assert_eq!(json["id"].as_str(), Some(message_id.as_str()), "the event's id is the message's id");
    assert_eq!(*properties.delivery_mode(), Some(2), "an event survives the broker's restart");
    let content_type = properties.content_type().as_ref().map(ToString::to_string);
    assert_eq!(content_type.as_deref(), Some("application/cloudevents+json"));
    Event { routing_key: delivery.routing_key.to_string(), message_id, bytes: delivery.data, json }
}
