//! The plain types that cross the fence of this room: bytes that came, how to settle them, bytes to send.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A value in an AMQP header table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeaderValue {
    /// Absent or void.
    Null,
    /// A truth value.
    Bool(bool),
    /// Any whole number.
    Int(i64),
    /// Any floating number: kept for the record, never reckoned with.
    Float(f64),
    /// Text, or bytes that are UTF-8.
    Text(String),
    /// Bytes that are no UTF-8.
    Bytes(Vec<u8>),
    /// Seconds since 1970.
    Timestamp(u64),
    /// A list.
    List(Vec<HeaderValue>),
    /// A table.
    Table(BTreeMap<String, HeaderValue>),
}

/// A message's AMQP properties, as published.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Properties {
    /// `content-type`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `content-encoding`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `message-id`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// `correlation-id`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// `type`
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `app-id`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// `timestamp`, seconds since 1970
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// `headers`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderValue>,
}

/// One message as it came, and what settles it.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The queue it came by. From the dead-letter queue: the queue it was in first.
    pub queue: Box<str>,
    /// Which consumer channel of which session has to settle it.
    pub channel: ChannelId,
    /// The tag to settle it with, on that channel only.
    pub tag: u64,
    /// How often it was delivered before: 0 the first time (quorum queues: `x-delivery-count`).
    pub delivered_before: u64,
    /// Its properties.
    pub properties: Properties,
    /// Its body.
    pub body: Vec<u8>,
}

/// One consumer channel of one broker session. An acknowledgement of an old session is never sent on a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId {
    /// Counts the sessions of this consumer.
    pub generation: u64,
    /// The consumer's place among the others: one per queue.
    pub consumer: usize,
}

/// One message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The exchange's routing key.
    pub routing_key: String,
    /// Also names the message in confirms and returns.
    pub message_id: String,
    /// `type` property.
    pub kind: &'static str,
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// What to do with one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is done with: the broker may forget it.
    Ack,
    /// It was not handled: the broker delivers it again, here or elsewhere.
    Requeue,
}

/// One delivery and what to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The channel that it came by.
    pub channel: ChannelId,
    /// Its tag on that channel.
    pub tag: u64,
    /// What to do with it.
    pub how: How,
}

impl Delivery {
    /// Names this delivery and what to do with it.
    #[must_use]
    pub fn settled(&self, how: How) -> Settled {
        Settled { channel: self.channel, tag: self.tag, how }
    }
}
