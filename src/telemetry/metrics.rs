//! Every number that the process gives away, with its name and meaning. Names start with `credits_`.
//!
//! Labels come from closed sets of words only, never from messages: whoever sends messages must not be able to fill
//! a scraper's memory. All metrics are there from the start, at zero. Cloning is cheap, and clones count together.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::message::MessageType;
use crate::domain::outcome::{Outcome, RefusalCode};

/// Upper ends of the buckets for messages of one batch.
const BATCH_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// Upper ends of the buckets for the time of one commit, in seconds.
const COMMIT_BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

type Label = (&'static str, &'static str);
type Seconds = Gauge<f64, AtomicU64>;

/// Why something was done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryKind {
    /// Two transactions got in each other's way: again at once.
    Conflict,
    /// A batch failed and its halves were run by themselves.
    Bisection,
    /// The database was away or in trouble.
    Database,
    /// The broker was away or in trouble.
    Broker,
    /// Published events went without a confirm, were refused, or came back.
    Publish,
}

impl RetryKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Conflict, Self::Bisection, Self::Database, Self::Broker, Self::Publish];

    fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Bisection => "bisection",
            Self::Database => "database",
            Self::Broker => "broker",
            Self::Publish => "publish",
        }
    }
}

/// One of the two broker connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Messages come in by it.
    Consuming,
    /// Events go out by it.
    Publishing,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Consuming, Self::Publishing];

    fn name(self) -> &'static str {
        match self {
            Self::Consuming => "consuming",
            Self::Publishing => "publishing",
        }
    }
}

/// The numbers. Every method takes note of one thing that happened, or of how something stands.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    deliveries: Family<[Label; 3], Counter>,
    dead_letters: Family<[Label; 1], Counter>,
    batch_size: Histogram,
    commit: Histogram,
    retries: Family<[Label; 1], Counter>,
    ledger_head: Gauge,
    relay_position: Gauge,
    relay_lag_entries: Gauge,
    relay_lag: Seconds,
    relay_published: Counter,
    relay_unroutable: Gauge,
    publishers_blocked: Gauge,
    waiting: Gauge,
    waiting_oldest: Seconds,
    set_aside: Family<[(&'static str, usize); 1], Gauge>,
    attempts: Gauge,
    broker_connected: Family<[Label; 1], Gauge>,
    database_connected: Gauge,
    swept: Counter,
    panics: Counter,
    log_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self::unregistered();
        let mut registry = Registry::with_prefix("credits");
        metrics.register_inwards(&mut registry);
        metrics.register_outwards(&mut registry);
        metrics.start_at_zero();
        metrics.registry = Arc::new(registry);
        metrics
    }
}

impl Metrics {
    fn unregistered() -> Self {
        Self {
            registry: Arc::default(),
            deliveries: Family::default(),
            dead_letters: Family::default(),
            batch_size: Histogram::new(BATCH_BUCKETS),
            commit: Histogram::new(COMMIT_BUCKETS),
            retries: Family::default(),
            ledger_head: Gauge::default(),
            relay_position: Gauge::default(),
            relay_lag_entries: Gauge::default(),
            relay_lag: Seconds::default(),
            relay_published: Counter::default(),
            relay_unroutable: Gauge::default(),
            publishers_blocked: Gauge::default(),
            waiting: Gauge::default(),
            waiting_oldest: Seconds::default(),
            set_aside: Family::default(),
            attempts: Gauge::default(),
            broker_connected: Family::default(),
            database_connected: Gauge::default(),
            swept: Counter::default(),
            panics: Counter::default(),
            log_dropped: Counter::default(),
        }
    }

    /// From the delivery to the commit. The registry ends each help text with a full stop and counters with `_total`.
    fn register_inwards(&self, registry: &mut Registry) {
        let help = "Deliveries that were settled, by message type, outcome and refusal code";
        registry.register("deliveries", help, self.deliveries.clone());
        let help = "Deliveries that ended as a dead letter, by refusal code, repeats included";
        registry.register("dead_letters", help, self.dead_letters.clone());
        registry.register("batch_size", "Messages of one transaction", self.batch_size.clone());
        let help = "Time of one batch, from its first statement to its commit";
        registry.register_with_unit("commit", help, Unit::Seconds, self.commit.clone());
        registry.register("retries", "What was done again, by the kind of reason", self.retries.clone());
        let help = "Messages that wait for their partner, such as a refund for its payment";
        registry.register("waiting_messages", help, self.waiting.clone());
        let help = "Age of the oldest waiting message, 0 if none waits";
        registry.register_with_unit("waiting_oldest", help, Unit::Seconds, self.waiting_oldest.clone());
        let help = "Messages that something holds up, unacknowledged: a lock, or a row that cannot be";
        registry.register("set_aside_messages", help, self.set_aside.clone());
        let help = "Deliveries under suspicion of having ended a process, handled one at a time";
        registry.register("attempts", help, self.attempts.clone());
        let help = "1 while the broker connection of that side is up";
        registry.register("broker_connected", help, self.broker_connected.clone());
        registry.register("database_connected", "1 while the database answers", self.database_connected.clone());
        let help = "Ledger entries written because an activation or expiry came due";
        registry.register("sweeper_entries", help, self.swept.clone());
        registry.register(
            "lane_panics",
            "How often a lane or the dispatcher panicked; all of them were begun anew",
            self.panics.clone(),
        );
        let help = "Log lines dropped because nobody read stderr fast enough";
        registry.register("log_lines_dropped", help, self.log_dropped.clone());
    }

    /// From the ledger to the confirm.
    fn register_outwards(&self, registry: &mut Registry) {
        let help = "Position of the last ledger entry";
        registry.register("ledger_head_position", help, self.ledger_head.clone());
        let help = "Position of the last ledger entry whose event was confirmed";
        registry.register("relay_position", help, self.relay_position.clone());
        let help = "Ledger entries whose events have not been confirmed yet";
        registry.register("relay_lag_entries", help, self.relay_lag_entries.clone());
        let help = "Age of the oldest entry whose event has not been confirmed yet, 0 if there is none";
        registry.register_with_unit("relay_lag", help, Unit::Seconds, self.relay_lag.clone());
        registry.register("relay_published", "Events that were confirmed", self.relay_published.clone());
        let help = "1 while publishing waits because no queue is bound for an event";
        registry.register("relay_unroutable", help, self.relay_unroutable.clone());
        let help = "1 while the broker blocks publishers, by an alarm of memory or disk";
        registry.register("publishers_blocked", help, self.publishers_blocked.clone());
    }

    /// Makes every series appear before its first event, so that a rate over it starts at zero.
    fn start_at_zero(&self) {
        for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::DeadLettered) {
            for kind in MessageType::ALL {
                drop(self.deliveries.get_or_create(&delivery_labels(Some(kind), outcome, None)));
            }
        }
        for code in RefusalCode::ALL {
            drop(self.dead_letters.get_or_create(&[("code", code.name())]));
        }
        for kind in RetryKind::ALL {
            drop(self.retries.get_or_create(&[("kind", kind.name())]));
        }
        for side in Side::ALL {
            self.broker_connected(side, false);
        }
    }

    /// A delivery was settled with `outcome`; `code` if that is a dead letter, `kind` if it was decoded so far.
    pub fn delivered(&self, kind: Option<MessageType>, outcome: Outcome, code: Option<RefusalCode>) {
        self.deliveries.get_or_create(&delivery_labels(kind, outcome, code)).inc();
        if let Some(code) = code {
            self.dead_letters.get_or_create(&[("code", code.name())]).inc();
        }
    }

    /// A batch of so many messages was committed, and its COMMIT took so long.
    pub fn committed(&self, messages: usize, took: Duration) {
        self.batch_size.observe(f64::from(u32::try_from(messages).unwrap_or(u32::MAX)));
        self.commit.observe(took.as_secs_f64());
    }

    /// Something was done again.
    pub fn retried(&self, kind: RetryKind) {
        self.retries.get_or_create(&[("kind", kind.name())]).inc();
    }

    /// How far publishing is behind: both positions, and the age of the oldest unconfirmed entry.
    pub fn relay_stands(&self, confirmed: i64, head: i64, oldest: Duration) {
        self.relay_position.set(confirmed);
        self.ledger_head.set(head);
        self.relay_lag_entries.set(head.saturating_sub(confirmed).max(0));
        self.relay_lag.set(oldest.as_secs_f64());
    }

    /// So many events were confirmed.
    pub fn published(&self, events: u64) {
        self.relay_published.inc_by(events);
    }

    /// Whether publishing waits for a queue to be bound.
    pub fn relay_unroutable(&self, waits: bool) {
        self.relay_unroutable.set(i64::from(waits));
    }

    /// Whether the broker blocks publishers.
    pub fn publishers_blocked(&self, blocked: bool) {
        self.publishers_blocked.set(i64::from(blocked));
    }

    /// How many messages wait for their partner, and for how long the oldest has.
    pub fn waiting(&self, messages: i64, oldest: Duration) {
        self.waiting.set(messages);
        self.waiting_oldest.set(oldest.as_secs_f64());
    }

    /// How many messages that lane has set aside, since something holds them up.
    pub fn set_aside(&self, lane: usize, messages: usize) {
        self.set_aside.get_or_create(&[("lane", lane)]).set(i64::try_from(messages).unwrap_or(i64::MAX));
    }

    /// How many rows `attempts` has.
    pub fn attempts(&self, rows: i64) {
        self.attempts.set(rows);
    }

    /// Whether the broker connection of that side is up.
    pub fn broker_connected(&self, side: Side, up: bool) {
        self.broker_connected.get_or_create(&[("side", side.name())]).set(i64::from(up));
    }

    /// Whether the database answers.
    pub fn database_connected(&self, up: bool) {
        self.database_connected.set(i64::from(up));
    }

    /// A lane or the dispatcher panicked; nothing that was in hand was acknowledged.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// The sweeper wrote so many entries.
    pub fn swept(&self, entries: u64) {
        self.swept.inc_by(entries);
    }

    pub(super) fn log_line_dropped(&self) {
        self.log_dropped.inc();
    }

    /// Everything as `OpenMetrics` text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn delivery_labels(kind: Option<MessageType>, outcome: Outcome, code: Option<RefusalCode>) -> [Label; 3] {
    [
        ("type", kind.map_or("unknown", MessageType::name)),
        ("outcome", outcome.name()),
        ("code", code.map_or("none", RefusalCode::name)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start() {
        let text = Metrics::default().encode();
        for line in [
            "credits_deliveries_total{type=\"signup\",outcome=\"applied\",code=\"none\"} 0",
            "credits_dead_letters_total{code=\"crashed-worker\"} 0",
            "credits_retries_total{kind=\"bisection\"} 0",
            "credits_broker_connected{side=\"publishing\"} 0",
            "credits_commit_seconds_count 0",
            "credits_batch_size_count 0",
            "credits_relay_lag_entries 0",
            "credits_relay_lag_seconds 0.0",
            "credits_relay_published_total 0",
            "credits_publishers_blocked 0",
            "credits_relay_unroutable 0",
            "credits_waiting_messages 0",
            "credits_waiting_oldest_seconds 0.0",
            "credits_attempts 0",
            "credits_database_connected 0",
            "credits_sweeper_entries_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_dead_letter_counts_as_a_delivery_and_by_its_code() {
        let metrics = Metrics::default();
        metrics.clone().delivered(None, Outcome::DeadLettered, Some(RefusalCode::Malformed));
        let text = metrics.encode();
        let delivery = "credits_deliveries_total{type=\"unknown\",outcome=\"dead-lettered\",code=\"malformed\"} 1";
        assert!(text.contains(delivery), "{text}");
        assert!(text.contains("credits_dead_letters_total{code=\"malformed\"} 1"), "{text}");
    }

    #[test]
    fn the_relays_lag_is_what_lies_between_its_position_and_the_head() {
        let metrics = Metrics::default();
        metrics.relay_stands(40, 42, Duration::from_millis(1500));
        let text = metrics.encode();
        assert!(text.contains("credits_relay_lag_entries 2\n"), "{text}");
        assert!(text.contains("credits_relay_lag_seconds 1.5\n"), "{text}");
        assert!(text.contains("credits_ledger_head_position 42\n"), "{text}");
    }
}
