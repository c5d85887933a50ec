//! Every setting as a typed value. `config/default.toml` is the reference: it holds each key, its unit and its range.
//!
//! No default is stated here, and none is missing there: a key that is absent there is refused by every start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::layers::Layers;
use super::problem::{ConfigError, Problem};
use crate::domain::ids::Source;

/// The reference, compiled in.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Every setting.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[database]`
    pub database: DatabaseSettings,
    /// `[broker]`
    pub broker: BrokerSettings,
    /// `[worker]`
    pub worker: WorkerSettings,
    /// `[relay]`
    pub relay: RelaySettings,
    /// `[sweeper]`
    pub sweeper: SweeperSettings,
    /// `[http]`
    pub http: HttpSettings,
    /// `[rules]`
    pub rules: RulesSettings,
    /// `[log]`
    pub log: LogSettings,
}

/// How to reach Postgres, and the limits that the server keeps for us.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// Holds a password. Absent where nobody set it: [`DatabaseSettings::url`] says how to.
    pub url: Option<SecretString>,
    /// The server cancels longer statements.
    pub statement_timeout: Duration,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
    /// The server ends sessions that are silent inside a transaction for longer.
    pub idle_in_transaction_timeout: Duration,
    /// Longest attempt to connect.
    pub connect_timeout: Duration,
    /// A plain identifier, safe to put into `SET ROLE`.
    pub role: String,
}

/// How to reach RabbitMQ, and the names there.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// Holds a password. Absent where nobody set it: [`BrokerSettings::url`] says how to.
    pub url: Option<SecretString>,
    /// Where billing messages come from.
    pub billing_exchange: String,
    /// Where events go.
    pub events_exchange: String,
    /// Queues are `<prefix>.<type>`.
    pub queue_prefix: String,
    /// Unacknowledged deliveries of one consumer.
    pub prefetch: u16,
    /// In whole seconds.
    pub heartbeat: Duration,
    /// Longest attempt to connect.
    pub connect_timeout: Duration,
}

/// The write path.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Batches handled side by side.
    pub lanes: usize,
    /// The most messages of one batch.
    pub batch_messages: usize,
    /// The most bytes of bodies in one batch.
    pub batch_bytes: usize,
    /// Time for work in hand after a request to stop.
    pub drain_timeout: Duration,
}

/// The way out.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Whether this process publishes or stands by to.
    pub enabled: bool,
    /// Events without a confirm yet.
    pub in_flight: usize,
    /// Longest wait for one confirm.
    pub confirm_timeout: Duration,
    /// The safety net's interval.
    pub poll: Duration,
    /// What to do with events for which no queue is bound.
    pub unroutable: Unroutable,
    /// The events' `source`.
    pub source: Source,
}

/// What to do with events for which no queue is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unroutable {
    /// Publish them once a queue is bound.
    Wait,
    /// Take them as published.
    Count,
}

/// Due activations and expiries.
#[derive(Debug, Clone)]
pub struct SweeperSettings {
    /// Whether this process looks for them.
    pub enabled: bool,
    /// How often.
    pub interval: Duration,
    /// The most grants of one transaction.
    pub batch: usize,
    /// The most of its time that it works, in percent.
    pub share: u8,
}

/// Health and metrics.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Whether to listen at all.
    pub enabled: bool,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
}

/// Where the rules are.
#[derive(Debug, Clone)]
pub struct RulesSettings {
    /// Relative to the folder that the process was started in.
    pub file: PathBuf,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// The finest level that is shown.
    pub level: tracing::Level,
    /// For people or for programs.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// Reads all layers: the built-in defaults, then `file`, then `environment`.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake of both.
    pub fn load(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut layers = Layers::new(DEFAULTS);
        if let Some(path) = file {
            layers.add_file(&path.display().to_string(), &read(path)?);
        }
        layers.add_environment(environment);
        let settings = Self::from_layers(&mut layers);
        let problems = layers.into_problems();
        settings.filter(|_| problems.is_empty()).ok_or(ConfigError { problems })
    }

    /// Reads every key before it gives up on any, so that all mistakes are noted.
    fn from_layers(layers: &mut Layers) -> Option<Self> {
        let (database, broker) = (DatabaseSettings::from_layers(layers), BrokerSettings::from_layers(layers));
        let (worker, relay) = (WorkerSettings::from_layers(layers), RelaySettings::from_layers(layers));
        let (sweeper, http) = (SweeperSettings::from_layers(layers), HttpSettings::from_layers(layers));
        let (rules, log) = (RulesSettings::from_layers(layers), LogSettings::from_layers(layers));
        Some(Self {
            database: database?,
            broker: broker?,
            worker: worker?,
            relay: relay?,
            sweeper: sweeper?,
            http: http?,
            rules: rules?,
            log: log?,
        })
    }
}

/// The process's own variables; bytes that are no UTF-8 become replacement characters.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}

/// Reads a file that somebody named, with a problem that names it.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot be read: {error}");
        let file = path.display().to_string();
        Problem { file, line: None, key: String::new(), message, suggestion: None }.into()
    })
}

/// What to say where a URL is needed and nobody set it.
fn unset(key: &str, variable: &str) -> ConfigError {
    let message = format!("is not set: give it as {variable}, or as {key} in the file of --config");
    let file = format!("environment variable {variable}");
    Problem { file, line: None, key: key.to_owned(), message, suggestion: None }.into()
}

impl DatabaseSettings {
    /// The URL, where one is needed.
    ///
    /// # Errors
    /// [`ConfigError`] that says how to set it.
    pub fn url(&self) -> Result<&SecretString, ConfigError> {
        self.url.as_ref().ok_or_else(|| unset("database.url", "DATABASE_URL"))
    }

    fn from_layers(layers: &mut Layers) -> Option<Self> {
        let url = layers.url("database.url", &["postgres://", "postgresql://"]);
        let statement_timeout = layers.span("database.statement_timeout", "100ms", "1h");
        let lock_timeout = layers.span("database.lock_timeout", "10ms", "1h");
        let idle_in_transaction_timeout = layers.span("database.idle_in_transaction_timeout", "1s", "1h");
        let connect_timeout = layers.span("database.connect_timeout", "100ms", "5m");
        let role = layers.name("database.role", "a lower-case name of 1 to 63 characters", is_role);
        Some(Self {
            url,
            statement_timeout: statement_timeout?,
            lock_timeout: lock_timeout?,
            idle_in_transaction_timeout: idle_in_transaction_timeout?,
            connect_timeout: connect_timeout?,
            role: role?,
        })
    }
}

impl BrokerSettings {
    /// The URL, where one is needed.
    ///
    /// # Errors
    /// [`ConfigError`] that says how to set it.
    pub fn url(&self) -> Result<&SecretString, ConfigError> {
        self.url.as_ref().ok_or_else(|| unset("broker.url", "AMQP_URL"))
    }

    fn from_layers(layers: &mut Layers) -> Option<Self> {
        let url = layers.url("broker.url", &["amqp://", "amqps://"]);
        let billing_exchange = layers.name("broker.billing_exchange", BROKER_NAME, is_broker_name);
        let events_exchange = layers.name("broker.events_exchange", BROKER_NAME, is_broker_name);
        let queue_prefix = layers.name("broker.queue_prefix", BROKER_NAME, is_broker_name);
        let prefetch = layers.whole("broker.prefetch", 1..=2000);
        let heartbeat = layers.span("broker.heartbeat", "1s", "10m");
        if heartbeat.is_some_and(|heartbeat| heartbeat.subsec_nanos() != 0) {
            layers.refuse("broker.heartbeat", "is not in whole seconds", None);
        }
        let connect_timeout = layers.span("broker.connect_timeout", "100ms", "5m");
        Some(Self {
            url,
            billing_exchange: billing_exchange?,
            events_exchange: events_exchange?,
            queue_prefix: queue_prefix?,
            prefetch: prefetch?,
            heartbeat: heartbeat?,
            connect_timeout: connect_timeout?,
        })
    }
}

impl WorkerSettings {
    fn from_layers(layers: &mut Layers) -> Option<Self> {
        let lanes = layers.whole("worker.lanes", 1..=32);
        let batch_messages = layers.whole("worker.batch_messages", 1..=5000);
        let batch_bytes = layers.whole("worker.batch_bytes", 262_144..=268_435_456);
        let drain_timeout = layers.span("worker.drain_timeout", "1s", "10m");
        Some(Self {
            lanes: lanes?,
            batch_messages: batch_messages?,
            batch_bytes: batch_bytes?,
            drain_timeout: drain_timeout?,
        })
    }
}

impl RelaySettings {
    fn from_layers(layers: &mut Layers) -> Option<Self> {
        let enabled = layers.flag("relay.enabled");
        let in_flight = layers.whole("relay.in_flight", 1..=10_000);
        let confirm_timeout = layers.span("relay.confirm_timeout", "1s", "10m");
        let poll = layers.span("relay.poll", "10ms", "1m");
        let unroutable = layers.word("relay.unroutable", &[("wait", Unroutable::Wait), ("count", Unroutable::Count)]);
        let source = layers.name("relay.source", "a text of 1 to 255 bytes", |text| Source::parse(text).is_ok());
        Some(Self {
            enabled: enabled?,
            in_flight: in_flight?,
            confirm_timeout: confirm_timeout?,
            poll: poll?,
            unroutable: unroutable?,
            source: Source::parse(&source?).ok()?,
        })
    }
}

impl SweeperSettings {
    fn from_layers(layers: &mut Layers) -> Option<Self> {
        let enabled = layers.flag("sweeper.enabled");
        let interval = layers.span("sweeper.interval", "10ms", "1h");
        let batch = layers.whole("sweeper.batch", 1..=10_000);
        let share = layers.whole("sweeper.share", 1..=100);
        Some(Self { enabled: enabled?, interval: interval?, batch: batch?, share: share? })
    }
}

impl HttpSettings {
    fn from_layers(layers: &mut Layers) -> Option<Self> {
        let enabled = layers.flag("http.enabled");
        let what = "an address and a port such as 127.0.0.1:9464 or [::1]:9464";
        let listen = layers.name("http.listen", what, |text| text.parse::<SocketAddr>().is_ok());
        Some(Self { enabled: enabled?, listen: listen?.parse().ok()? })
    }
}

impl RulesSettings {
    fn from_layers(layers: &mut Layers) -> Option<Self> {
        let file = layers.name("rules.file", "the name of a file", |text| !text.is_empty());
        Some(Self { file: file?.into() })
    }
}

impl LogSettings {
    fn from_layers(layers: &mut Layers) -> Option<Self> {
        use tracing::Level;
        let levels = [
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ];
        let level = layers.word("log.level", &levels);
        let format = layers.word("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        Some(Self { level: level?, format: format? })
    }
}

/// `SET ROLE` takes no parameters, so the name has to be harmless by itself.
fn is_role(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let rest = |byte: u8| first(byte) || byte.is_ascii_digit();
    name.len() <= 63 && name.bytes().next().is_some_and(first) && name.bytes().all(rest)
}

const BROKER_NAME: &str = "1 to 100 letters, digits, dots, dashes and underscores, not starting with `amq.`";

/// Short enough that `<prefix>.<message type>` stays within the broker's 255 bytes.
fn is_broker_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=100).contains(&name.len()) && !name.starts_with("amq.") && name.bytes().all(plain)
}

#[cfg(test)]
mod tests;
