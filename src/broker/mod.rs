//! The only room that knows RabbitMQ: it moves bytes and settles deliveries, and reads neither.
//!
//! Promises:
//! - A process consumes on one connection with one channel per queue ([`Consumers`]); the relay publishes on a connection
//!   of its own ([`Publisher`]), since a broker that blocks publishers stops every write of their connection,
//!   acknowledgements too.
//! - After any error or end of stream the whole session is built again (connection, topology, prefetch, consumers) with
//!   jittered backoff without an end and a new generation number; a settlement of an older generation is never sent.
//! - Nothing waits without a limit: connecting, declaring, settling, draining and confirms all have one, except while
//!   the broker itself says that it blocks publishers.
//! - No message ends a connection or the process by how its properties are written (`screen`).
//! - No password leaves it: not by Debug, not by an error, not by a log line of ours. The driver's own log lines are not
//!   safe to show: see [`CAPPED_TARGETS`].
//!
//! Reading order: [`types`], [`options`], `link` (one connection) and
//! `screen` (what it may say to the driver), [`topology`], `session` and [`consumer`] (deliveries
//! in), [`publisher`] and `confirms` (messages out), [`health`]. Called by `handler`, `relay`, `app` and `cli`. It never
//! names a type of another room, and never decides what a delivery means.

mod confirms;
pub mod consumer;
mod convert;
mod error;
pub mod health;
mod link;
pub mod options;
pub mod publisher;
mod screen;
mod session;
pub mod topology;
pub mod types;
mod window;

#[cfg(test)]
pub(crate) mod tests;

pub use consumer::Consumers;
pub use error::BrokerError;
pub use health::{Health, HealthView};
pub use options::{Options, Subscription};
pub use publisher::{Confirm, PendingConfirm, PublishError, Publisher, publish_all};
pub use topology::{declare, declare_with_events};
pub use types::{ChannelId, Delivery, HeaderValue, How, Outgoing, Properties, Settled};

/// Tracing and log targets that telemetry must never let through below ERROR, whatever level is asked for.
///
/// `lapin` logs whole returned messages at WARN and, with `amq_protocol`, the login bytes at TRACE; the others are
/// its transport. What matters of theirs is said again by this room, in words and without contents.
pub const CAPPED_TARGETS: [&str; 9] = [
    "lapin",
    "amq_protocol",
    "amq_protocol_tcp",
    "amq_protocol_types",
    "amq_protocol_uri",
    "async_rs",
    "tcp_stream",
    "rustls_connector",
    "rustls",
];
