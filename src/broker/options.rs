//! The plain settings of this room, given by `config`.
//!
//! Debug prints no secret: the URL is wrapped, and unwrapped in one function, for `link`.

use std::time::Duration;

use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

use super::error::BrokerError;

/// Quorum queues cap a consumer's prefetch here.
const MAX_PREFETCH: u16 = 2000;

/// A queue that the worker consumes, and the routing key that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The queue's name.
    pub queue: String,
    /// The routing key that binds it to the billing exchange: the message type.
    pub routing_key: String,
}

/// Where the broker is, what it must have, and how long we wait for it.
#[derive(Debug, Clone)]
pub struct Options {
    /// `amqp://` or `amqps://`. Certificates are verified against the system's roots (or `SSL_CERT_FILE`).
    pub url: SecretString,
    /// Exchange that billing messages come through (topic, durable).
    pub billing_exchange: String,
    /// Exchange that ledger events go to (topic, durable).
    pub credits_exchange: String,
    /// Exchange that the broker dead-letters through (fanout, durable).
    pub dead_letter_exchange: String,
    /// Queue behind it, which the worker drains.
    pub dead_letter_queue: String,
    /// The queues of billing messages.
    pub subscriptions: Vec<Subscription>,
    /// Deliveries per queue that may be unacknowledged, 1 to 2000.
    pub prefetch: u16,
    /// Seconds between heartbeats, unless the URL names them; a dead peer is noticed after twice as long.
    pub heartbeat: u16,
    /// For connecting, TLS and login together.
    pub connect_timeout: Duration,
    /// How long one confirm may take, the time during which the broker blocks publishers not counted.
    pub confirm_timeout: Duration,
    /// Messages published and not yet confirmed; the next waits.
    pub channel_max_in_flight: usize,
}

impl Options {
    /// Refuses settings that cannot work with any broker.
    ///
    /// # Errors
    /// [`BrokerError::Config`] for a URL, name or number that is out of range, in words that hold no secret.
    pub fn check(&self) -> Result<(), BrokerError> {
        self.uri()?;
        for name in self.names() {
            short(name)?;
        }
        if self.names().any(str::is_empty) {
            return Err(config("a broker exchange, queue or routing key has an empty name"));
        }
        if !(1..=MAX_PREFETCH).contains(&self.prefetch) {
            return Err(config("the broker prefetch must be 1 to 2000"));
        }
        if self.channel_max_in_flight == 0 {
            return Err(config("at least one message must be allowed in flight"));
        }
        Ok(())
    }

    /// The URL, parsed. Its Debug and Display print the password: never let it out of `link`.
    pub(super) fn uri(&self) -> Result<AMQPUri, BrokerError> {
        let url = self.url.expose_secret();
        let mut uri: AMQPUri =
            url.parse().map_err(|_| config("the broker URL is not a valid amqp:// or amqps:// URL"))?;
        // The parser drops an IPv6 literal and falls back to localhost: the wrong broker, silently.
        if url.split('@').next_back().is_some_and(|rest| rest.contains('[')) {
            return Err(config("the broker URL names an IPv6 address: use a host name"));
        }
        if uri.vhost.len() > usize::from(u8::MAX) {
            return Err(config("the virtual host in the broker URL is longer than 255 bytes"));
        }
        // 0 would take the server's minute, not switch heartbeats off.
        let named = uri.query.heartbeat.filter(|seconds| *seconds > 0);
        uri.query.heartbeat = Some(named.unwrap_or(self.heartbeat));
        Ok(uri)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let own = [&self.billing_exchange, &self.credits_exchange, &self.dead_letter_exchange, &self.dead_letter_queue];
        let subscribed = self.subscriptions.iter().flat_map(|one| [&one.queue, &one.routing_key]);
        own.into_iter().chain(subscribed).map(String::as_str)
    }
}

/// A name as the protocol carries it. The driver's own conversion panics beyond 255 bytes.
pub(super) fn short(name: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(name)
        .map_err(|_| config(&format!("longer than the 255 bytes that AMQP allows: {}…", first(name))))
}

fn first(name: &str) -> String {
    name.chars().take(40).collect()
}

fn config(text: &str) -> BrokerError {
    BrokerError::Config(text.to_owned())
}
