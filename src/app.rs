//! The composition root: connects, starts, and stops in order. No business rule lives here.
//!
//! Start: settings and rules are valid before anything is touched; then the HTTP port, the database (waited for), its
//! schema (behind or ahead ends the process), the rules' text, lanes, relay, sweeper, gauges. Stop: lanes finish what
//! they have in hand, the relay and the rest end, the attempts of this process are forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

use crate::broker::{self, Consumers, Health, Subscription};
use crate::config::settings::{BrokerSettings, DatabaseSettings, Settings};
use crate::config::{ConfigError, RulesFile};
use crate::domain::message::MessageType;
use crate::handler::{Dispatcher, Handover, Lane, Parts};
use crate::http::{Condition, Readiness, Server};
use crate::relay::Relay;
use crate::retry::Retry;
use crate::store::migrate::Schema;
use crate::store::{Database, Options, Session, StoreError};
use crate::sweeper::Sweeper;
use crate::telemetry::{Metrics, Side};

/// How often gauges and readiness are brought up to date.
const LOOK: Duration = Duration::from_secs(1);
/// The first and the longest wait for a database that is away at start.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(4);

/// Why the worker did not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database or its schema is not what this version needs.
    #[error("{0}")]
    Setup(String),
    /// The HTTP port cannot be had.
    #[error("the HTTP port {address} cannot be had: {source}")]
    Port {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Work in hand did not end in time after a request to stop; it will be delivered again.
    #[error("stopped with work in hand after the drain timeout; it will be delivered again")]
    Late,
}

/// The database of `settings`.
///
/// # Errors
/// [`ConfigError`] if no address is set.
pub fn database(settings: &DatabaseSettings) -> Result<Database, ConfigError> {
    Ok(Database::new(Options {
        url: settings.url()?.clone(),
        role: settings.role.clone(),
        statement_timeout: settings.statement_timeout,
        lock_timeout: settings.lock_timeout,
        idle_in_transaction_timeout: settings.idle_in_transaction_timeout,
        connect_timeout: settings.connect_timeout,
    }))
}

/// The queue of a message type.
#[must_use]
pub fn queue(settings: &BrokerSettings, kind: MessageType) -> String {
    format!("{}.{}", settings.queue_prefix, kind.name())
}

/// The broker of `settings`.
///
/// # Errors
/// [`ConfigError`] if no address is set.
pub fn broker(settings: &Settings) -> Result<broker::Options, ConfigError> {
    let names = &settings.broker;
    let dead = format!("{}.dead-letters", names.queue_prefix);
    let subscription =
        |kind: MessageType| Subscription { queue: queue(names, kind), routing_key: kind.name().to_owned() };
    Ok(broker::Options {
        url: names.url()?.clone(),
        billing_exchange: names.billing_exchange.clone(),
        credits_exchange: names.events_exchange.clone(),
        dead_letter_exchange: dead.clone(),
        dead_letter_queue: dead,
        subscriptions: MessageType::ALL.into_iter().map(subscription).collect(),
        prefetch: names.prefetch,
        heartbeat: u16::try_from(names.heartbeat.as_secs()).unwrap_or(u16::MAX),
        connect_timeout: names.connect_timeout,
        confirm_timeout: settings.relay.confirm_timeout,
        channel_max_in_flight: settings.relay.in_flight,
    })
}

/// Runs the worker until `stop` turns true.
///
/// # Errors
/// [`AppError`].
pub async fn run(
    settings: Settings,
    rules: RulesFile,
    metrics: Metrics,
    stop: watch::Receiver<bool>,
) -> Result<(), AppError> {
    let database = database(&settings.database)?;
    let broker = Arc::new(broker(&settings)?);
    broker.check().map_err(|error| AppError::Setup(error.to_string()))?;
    let readiness = Readiness::default();
    serve(&settings, &readiness, &metrics, &stop).await?;
    let Some(mut session) = first_session(&database, &readiness, stop.clone()).await? else { return Ok(()) };
    check_schema(&mut session, &readiness).await?;
    keep_rules(&mut session, &rules).await?;
    let worker = Worker {
        health: Arc::new(Health::default()),
        rules: Arc::new(rules.rules),
        process_start: Uuid::now_v7(),
        handover: Arc::new(Handover::default()),
        settings,
        database,
        broker,
        metrics,
        readiness,
        stop,
    };
    worker.run(session).await
}

async fn serve(
    settings: &Settings,
    readiness: &Readiness,
    metrics: &Metrics,
    stop: &watch::Receiver<bool>,
) -> Result<(), AppError> {
    if !settings.http.enabled {
        return Ok(());
    }
    let address = settings.http.listen;
    let server = Server::bind(&settings.http).await.map_err(|source| AppError::Port { address, source })?;
    tracing::info!(address = %server.address(), "serving /livez, /readyz and /metrics");
    let mut stop = stop.clone();
    let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
    tokio::spawn(server.serve(readiness.clone(), metrics.clone(), stopped));
    Ok(())
}

/// Waits for the database; `None` if the process is asked to stop meanwhile.
async fn first_session(
    database: &Database,
    readiness: &Readiness,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<Session>, AppError> {
    let mut retry = Retry::new(RETRY_FIRST, RETRY_MAX);
    loop {
        match database.connect().await {
            Ok(session) => return Ok(Some(session)),
            Err(error @ (StoreError::Setup(_) | StoreError::Config(_))) => return Err(setup(&error)),
            Err(error) => {
                tracing::warn!(error = error.in_full(), "the database is away, trying again");
                readiness.set(Condition::Database, Err(error.in_full()));
            }
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
            () = tokio::time::sleep(retry.next_delay()) => {}
        }
    }
}

fn setup(error: &StoreError) -> AppError {
    AppError::Setup(format!("{}; `credits migrate` sets the database up", error.in_full()))
}

async fn check_schema(session: &mut Session, readiness: &Readiness) -> Result<(), AppError> {
    match session.schema().await.map_err(|error| setup(&error))? {
        Schema::Current => {
            readiness.set(Condition::Schema, Ok(()));
            readiness.set(Condition::Database, Ok(()));
            Ok(())
        }
        Schema::Behind => {
            Err(AppError::Setup("the database's schema is older than this program: run `credits migrate`".into()))
        }
        Schema::Ahead => {
            Err(AppError::Setup("the database's schema is newer than this program: run the newer program".into()))
        }
    }
}

async fn keep_rules(session: &mut Session, rules: &RulesFile) -> Result<(), AppError> {
    session.keep_rules(&rules.rules.hash.0, &rules.text).await.map_err(|error| setup(&error))
}

/// Everything that runs.
struct Worker {
    settings: Settings,
    database: Database,
    broker: Arc<broker::Options>,
    health: Arc<Health>,
    rules: Arc<crate::domain::rules::Rules>,
    metrics: Metrics,
    readiness: Readiness,
    handover: Arc<Handover>,
    process_start: Uuid,
    stop: watch::Receiver<bool>,
}

impl Worker {
    async fn run(self, session: Session) -> Result<(), AppError> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.keep_crew());
        self.start_relay(&mut tasks);
        self.start_sweeper(&mut tasks);
        let gauges = tokio::spawn(self.gauges(session));
        let mut stop = self.stop.clone();
        // The sender lives as long as the process: an error cannot come, and would mean to stop as well.
        drop(stop.wait_for(|stop| *stop).await);
        tracing::info!("asked to stop: finishing what is in hand");
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(self.settings.worker.drain_timeout, all_ended).await.is_ok();
        gauges.abort();
        self.forget_attempts().await;
        if in_time { Ok(()) } else { Err(AppError::Late) }
    }

    /// Runs the crew. If one of it panics, that is counted and the crew begun anew: what it had comes again.
    fn keep_crew(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut parts = Parts {
            database: self.database.clone(),
            rules: Arc::clone(&self.rules),
            metrics: self.metrics.clone(),
            readiness: self.readiness.clone(),
            handover: Arc::clone(&self.handover),
            alone: Arc::new(Semaphore::new(1)),
            process_start: self.process_start,
            stop: self.stop.clone(),
        };
        let mut queues: Vec<String> =
            self.broker.subscriptions.iter().map(|subscription| subscription.queue.clone()).collect();
        queues.push(self.broker.dead_letter_queue.clone());
        let (broker, health) = (Arc::clone(&self.broker), Arc::clone(&self.health));
        let lanes = self.settings.worker.lanes;
        let limits = (self.settings.worker.batch_messages, self.settings.worker.batch_bytes);
        async move {
            let mut retry = Retry::new(RETRY_FIRST, RETRY_MAX);
            loop {
                let (broker, health) = (Arc::clone(&broker), Arc::clone(&health));
                let consumers = Consumers::start(broker, "credits consumers", queues.clone(), health);
                let Err(died) = crew(&parts, consumers, lanes, limits).await else { return };
                parts.metrics.panicked();
                // What it tried alone counts like a process that died of it.
                parts.process_start = Uuid::now_v7();
                tracing::error!(error = %died, "a lane or the dispatcher panicked; all are begun anew");
                tokio::time::sleep(retry.next_delay()).await;
            }
        }
    }

    fn start_relay(&self, tasks: &mut JoinSet<()>) {
        if !self.settings.relay.enabled {
            self.readiness.set(Condition::Relay, Ok(()));
            return;
        }
        let relay = Relay {
            database: self.database.clone(),
            broker: Arc::clone(&self.broker),
            health: Arc::clone(&self.health),
            settings: self.settings.relay.clone(),
            metrics: self.metrics.clone(),
            readiness: self.readiness.clone(),
            handover: Arc::clone(&self.handover),
            process_start: self.process_start,
            stop: self.stop.clone(),
            said: None,
        };
        tasks.spawn(relay.run());
    }

    fn start_sweeper(&self, tasks: &mut JoinSet<()>) {
        if !self.settings.sweeper.enabled {
            return;
        }
        let sweeper = Sweeper {
            database: self.database.clone(),
            rules: Arc::clone(&self.rules),
            settings: self.settings.sweeper.clone(),
            metrics: self.metrics.clone(),
            handover: Arc::clone(&self.handover),
            process_start: self.process_start,
            stop: self.stop.clone(),
        };
        tasks.spawn(sweeper.run());
    }

    /// Brings gauges and readiness up to date, once a second.
    fn gauges(&self, session: Session) -> impl Future<Output = ()> + Send + 'static {
        let (database, health) = (self.database.clone(), Arc::clone(&self.health));
        let (metrics, readiness) = (self.metrics.clone(), self.readiness.clone());
        let publishes = self.settings.relay.enabled;
        async move {
            let mut held = Some(session);
            loop {
                look_at_broker(&health, &metrics, &readiness, publishes);
                match look_at_database(&database, &mut held, &metrics).await {
                    Ok(()) => readiness.set(Condition::Database, Ok(())),
                    Err(error) => {
                        held = None;
                        readiness.set(Condition::Database, Err(error.in_full()));
                    }
                }
                metrics.database_connected(held.is_some());
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    async fn forget_attempts(&self) {
        if let Ok(mut session) = self.database.connect().await {
            // What stays noted counts as one process that died, and three are needed.
            drop(session.forget_own_attempts(self.process_start).await);
        }
    }
}

/// One dispatcher and so many lanes that take so many messages and bytes at once, until the process is asked to stop.
///
/// # Errors
/// The first that panicked; the others are gone with it.
async fn crew(parts: &Parts, consumers: Consumers, lanes: usize, limits: (usize, usize)) -> Result<(), JoinError> {
    let (tell, said) = mpsc::unbounded_channel();
    let mut crew = JoinSet::new();
    let mut ways = Vec::new();
    for number in 0..lanes {
        let (way, arrivals) = mpsc::unbounded_channel();
        ways.push(way);
        crew.spawn(Lane::new(parts.clone(), number, arrivals, tell.clone()).run());
    }
    // The lanes alone tell: with the last of them the dispatcher ends.
    drop(tell);
    crew.spawn(Dispatcher::new(consumers, ways, said, limits, parts.stop.clone()).run());
    while let Some(ended) = crew.join_next().await {
        if ended.is_err() {
            crew.shutdown().await;
            return ended;
        }
    }
    Ok(())
}

fn look_at_broker(health: &Health, metrics: &Metrics, readiness: &Readiness, publishes: bool) {
    let view = health.view();
    // At the very start no consumers have announced themselves yet, and none of none is missing.
    let consuming = view.consuming && view.sessions > 0;
    metrics.broker_connected(Side::Consuming, consuming);
    metrics.broker_connected(Side::Publishing, view.publishing);
    metrics.publishers_blocked(view.blocked);
    let why = || view.last_error.clone().unwrap_or_else(|| "connecting".into());
    readiness.set(Condition::Consuming, if consuming { Ok(()) } else { Err(why()) });
    // A standby publishes nothing and has no connection for it: only a broker that blocks publishers is news.
    let blocked = publishes && view.blocked;
    let publishing = if blocked { Err("the broker blocks publishers".into()) } else { Ok(()) };
    readiness.set(Condition::Publishing, publishing);
}

async fn look_at_database(
    database: &Database,
    held: &mut Option<Session>,
    metrics: &Metrics,
) -> Result<(), StoreError> {
    let session = match held.take() {
        Some(session) => session,
        None => database.connect().await?,
    };
    let session = held.insert(session);
    let progress = session.progress().await?;
    let lag = Duration::try_from_secs_f64(progress.lag_seconds).unwrap_or_default();
    metrics.relay_stands(progress.cursor, progress.head, lag);
    let gauges = session.gauges().await?;
    let oldest = Duration::try_from_secs_f64(gauges.oldest_waiting_seconds).unwrap_or_default();
    metrics.waiting(gauges.waiting, oldest);
    metrics.attempts(gauges.attempts);
    Ok(())
}
