//! Every name that the benchmark shares with the workers: queues, exchanges, tables, settings.
//!
//! The first half holds for all workers; the second is the contract of `credits`, seen from outside.

use std::net::SocketAddr;

/// The type of the messages, and their routing key.
pub(crate) const MESSAGE_TYPE: &str = "payment-succeeded";
/// Content type of messages and events.
pub(crate) const CONTENT_TYPE: &str = "application/cloudevents+json";
/// The routing key of the event that a grant causes.
pub(crate) const EVENT_KEY: &str = "ledger-changed.grant";
/// The routing key of the event that an expiry causes.
pub(crate) const SWEPT_KEY: &str = "ledger-changed.expire";
/// What the queue of events is bound with.
pub(crate) const EVENT_BINDING: &str = "ledger-changed.#";
/// The price in the messages that buys credits.
pub(crate) const PRICE: &str = "price_credits_1000";
/// Credits for one unit of that price.
pub(crate) const CREDITS_PER_UNIT: u32 = 1000;

/// What one worker is given: nothing of it is shared with another worker.
pub(crate) struct Names {
    pub(crate) billing_exchange: String,
    pub(crate) events_exchange: String,
    /// Inbound queues are `<prefix>.<type>`.
    pub(crate) queue_prefix: String,
    /// The queue that holds the messages before the worker starts.
    pub(crate) inbound: String,
    /// The queue that is bound to the events exchange and counts what came out.
    pub(crate) outbound: String,
    /// The queue for events of what was swept.
    pub(crate) swept: String,
    pub(crate) database: String,
}

impl Names {
    /// The names for the worker called `label`.
    pub(crate) fn of(label: &str) -> Self {
        let prefix = format!("bench.{label}");
        Self {
            billing_exchange: format!("{prefix}.billing"),
            events_exchange: format!("{prefix}.events"),
            inbound: format!("{prefix}.{MESSAGE_TYPE}"),
            outbound: format!("{prefix}.bound-events"),
            swept: format!("{prefix}.swept-events"),
            database: format!("credits_bench_{}", label.replace('-', "_")),
            queue_prefix: prefix,
        }
    }

    /// The queue of a message type.
    pub(crate) fn inbound_of(&self, kind: &str) -> String {
        format!("{}.{kind}", self.queue_prefix)
    }

    /// Every queue that a worker may have made, to be deleted between runs.
    pub(crate) fn queues(&self) -> Vec<String> {
        let own = CREDITS_QUEUES.iter().map(|suffix| format!("{}.{suffix}", self.queue_prefix));
        own.chain([self.outbound.clone(), self.swept.clone()]).collect()
    }

    /// Every exchange that a worker may have made, to be deleted between runs.
    pub(crate) fn exchanges(&self) -> Vec<String> {
        let own = CREDITS_EXCHANGES.iter().map(|suffix| format!("{}.{suffix}", self.queue_prefix));
        own.chain([self.billing_exchange.clone(), self.events_exchange.clone()]).collect()
    }
}

/// The types of the mix.
pub(crate) const MIX_TYPES: [&str; 5] = [MESSAGE_TYPE, "invoice-issued", "signup", "refund", "usage-recorded"];

/// What follows the prefix in the names of the queues that `credits` declares.
const CREDITS_QUEUES: [&str; 8] = [
    MESSAGE_TYPE,
    "invoice-issued",
    "signup",
    "refund",
    "purchase-linked",
    "usage-recorded",
    "credit-adjustment",
    "dead-letters",
];

/// What follows the prefix in the names of exchanges that `credits` declares besides the two configured ones.
const CREDITS_EXCHANGES: [&str; 1] = ["dead-letters"];

/// The last position whose event is confirmed.
pub(crate) const CREDITS_CURSOR_SQL: &str = "select position from relay_cursor";
/// The last position of the ledger.
pub(crate) const CREDITS_HEAD_SQL: &str = "select position from ledger_head";
/// One row an entry, one entry a message.
pub(crate) const CREDITS_ENTRIES_SQL: &str = "select count(*) from ledger";

/// The configuration of `credits`: its own names and port, and nothing that makes it faster than its defaults.
pub(crate) fn credits_config(names: &Names, http: SocketAddr) -> String {
    format!(
        r#"[broker]
billing_exchange = "{billing}"
events_exchange = "{events}"
queue_prefix = "{prefix}"

[http]
listen = "{http}"
"#,
        billing = names.billing_exchange,
        events = names.events_exchange,
        prefix = names.queue_prefix,
    )
}

/// The rules of `credits`: packs of credits, the same that the per-message worker sells.
pub(crate) fn credits_rules() -> String {
    format!(
        r#"[credit_types.credits]
scale = 0

[[rules]]
name = "credit-packs"
on = "{MESSAGE_TYPE}"
match = {{ price_id = "{PRICE}" }}
grant = {{ credit_type = "credits", credits_per_unit = {CREDITS_PER_UNIT}, category = "paid", priority = 50, expires_after = "3650d" }}

# For the mix; payments do not look at it.
[[rules]]
name = "welcome"
on = "signup"
grant = {{ credit_type = "credits", credits = 100, category = "promotional", priority = 0, expires_after = "3650d" }}
once_per = "identity"
"#
    )
}
