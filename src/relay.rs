//! Ledger to broker: publishes every entry, in position order, at least once.
//!
//! The ledger is the outbox. Of all processes one is the relay: it holds the database's advisory lock and moves the
//! cursor on that session only; every other one stands by. Publishes are pipelined and every confirm is awaited by
//! itself; the cursor moves past a contiguous confirmed prefix only. On a nack, a return or an unknown confirm the
//! relay goes back to that position and publishes everything from there again, in order, the same bytes under the same
//! ids: a consumer that per pool takes `sequence` = last + 1 and drops the rest has each change once.
//!
//! Called by `app`. It never changes a row but the cursor's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use crate::broker::{BrokerError, Confirm, Health, Options, Outgoing, PendingConfirm, PublishError, Publisher};
use crate::config::settings::{RelaySettings, Unroutable};
use crate::domain::ledger::{LedgerEntry, ShownTerms};
use crate::handler::handover::Handed;
use crate::handler::{Handover, crash};
use crate::http::{Condition, Readiness};
use crate::retry::Retry;
use crate::store::relay::IDLE_SESSION;
use crate::store::{Database, Session, StoreError};
use crate::telemetry::{Metrics, RetryKind};
use crate::wire::event::{CONTENT_TYPE, EVENT_TYPE, event};

/// The most entries read at once: some 600 KB of events.
const CHUNK: usize = 500;
/// The first and the longest wait after something went wrong.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(4);

/// While more events are under way the cursor moves no more often than this: confirms come many times as often, and a
/// cursor that is behind when the process ends only means that events are sent again, the same bytes.
const CURSOR_PAUSE: Duration = Duration::from_millis(50);

/// How long verdicts on events behind a refused one are waited for.
const RUN_OUT: Duration = Duration::from_secs(2);

/// What the relay works with.
#[derive(Clone)]
pub struct Relay {
    /// Opens its session.
    pub database: Database,
    /// Where to publish.
    pub broker: Arc<Options>,
    /// Says how the broker is.
    pub health: Arc<Health>,
    /// Its settings.
    pub settings: RelaySettings,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Says what is missing.
    pub readiness: Readiness,
    /// What the lanes of this process committed.
    pub handover: Arc<Handover>,
    /// Names this start of the process: its own commits need no second call.
    pub process_start: Uuid,
    /// Turns true when the process is asked to stop.
    pub stop: watch::Receiver<bool>,
    /// What was said last about events that the broker refuses; absent while it takes them.
    pub said: Option<String>,
}

/// Why a term as the relay ended.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("the broker did not take the event at position {position}: {why}")]
    Refused { position: i64, why: String },
}

/// Events on their way, in order.
struct Window {
    open: VecDeque<(i64, PendingConfirm)>,
    /// The last position that was handed to the broker.
    sent: i64,
    /// The last position of the confirmed prefix.
    confirmed: i64,
    /// When the cursor may move again though events are under way.
    move_at: Instant,
    /// Whether the ledger may hold entries behind `sent` that nobody hands over.
    behind: bool,
}

impl Window {
    /// Goes back to the confirmed prefix, after all verdicts on what was sent beyond it. `false` if some did not come
    /// in time: their places among the messages in flight are not free again.
    async fn run_out(&mut self) -> bool {
        let open = std::mem::take(&mut self.open);
        self.sent = self.confirmed;
        self.behind = true;
        let all = async {
            for (_, mut pending) in open {
                pending.confirmed().await;
            }
        };
        tokio::time::timeout(RUN_OUT, all).await.is_ok()
    }
}

impl Relay {
    /// Publishes, or stands by to, until the process is asked to stop.
    pub async fn run(mut self) {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MAX);
        let mut stop = self.stop.clone();
        let listening = tokio::spawn(ring(self.database.clone(), Arc::clone(&self.handover), self.process_start));
        while !*stop.borrow() {
            let ended = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                ended = self.term(&mut retry) => ended,
            };
            self.handover.want(false);
            if let Err(error) = ended {
                self.trouble(&error);
            }
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(retry.next_delay()) => {}
            }
        }
        listening.abort();
        self.handover.want(false);
    }

    fn trouble(&self, error: &RelayError) {
        let (kind, words) = match error {
            RelayError::Store(error) => (RetryKind::Database, error.in_full()),
            other => (RetryKind::Publish, other.to_string()),
        };
        self.metrics.retried(kind);
        self.readiness.set(Condition::Relay, Err(words.clone()));
        tracing::warn!(error = words, "the relay stopped, trying again");
    }

    /// Stands by for the lock, then publishes until something goes wrong.
    async fn term(&mut self, retry: &mut Retry) -> Result<(), RelayError> {
        let mut session = self.database.connect().await?;
        while !session.become_relay().await? {
            self.readiness.set(Condition::Relay, Ok(()));
            tokio::time::sleep(self.settings.poll).await;
        }
        let mut publisher = Publisher::connect(&self.broker, &self.health).await?;
        tracing::info!("publishing");
        self.readiness.set(Condition::Relay, Ok(()));
        let from = session.cursor().await?;
        let move_at = Instant::now();
        let mut window = Window { open: VecDeque::new(), sent: from, confirmed: from, move_at, behind: true };
        self.handover.want(true);
        loop {
            match self.turn(&mut session, &mut publisher, &mut window).await {
                Ok(()) if self.said.is_none() => retry.reset(),
                Ok(()) => {}
                // The broker is there and says no: from the first refusal on, behind all that is still under way.
                Err(RelayError::Refused { position, why }) => {
                    self.refused(position, &why);
                    session.move_cursor(window.confirmed).await?;
                    if !window.run_out().await {
                        publisher = Publisher::connect(&self.broker, &self.health).await?;
                    }
                    tokio::time::sleep(retry.next_delay()).await;
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// One look at the ledger and at the confirms; waits if there is nothing to do.
    async fn turn(
        &mut self,
        session: &mut Session,
        publisher: &mut Publisher,
        window: &mut Window,
    ) -> Result<(), RelayError> {
        self.fill(session, publisher, window).await?;
        if window.open.is_empty() {
            self.idle(window).await;
            return Ok(());
        }
        tokio::select! {
            biased;
            verdict = self.settle(window) => {
                let moved = verdict?;
                crash::point("confirmed");
                if window.open.is_empty() || window.move_at <= Instant::now() {
                    session.move_cursor(moved).await?;
                    window.move_at = Instant::now() + CURSOR_PAUSE;
                }
                if self.said.take().is_some() {
                    tracing::info!(position = moved, "publishing again");
                }
            }
            () = self.handover.rung(), if window.open.len() < self.settings.in_flight => {}
            // A broker that blocks publishers may keep every confirm waiting for hours.
            () = tokio::time::sleep(self.interval()) => session.ping().await?,
        }
        Ok(())
    }

    /// Says once what the broker refuses, however often it does.
    fn refused(&mut self, position: i64, why: &str) {
        self.metrics.retried(RetryKind::Publish);
        if self.said.as_deref() != Some(why) {
            tracing::error!(position, why, "an event was not taken; publishing goes on from it once that is mended");
            self.said = Some(why.to_owned());
        }
    }

    /// Publishes what is handed over, and what is to be read, as far as the window has room.
    async fn fill(
        &self,
        session: &mut Session,
        publisher: &mut Publisher,
        window: &mut Window,
    ) -> Result<(), RelayError> {
        loop {
            let room = self.settings.in_flight.saturating_sub(window.open.len()).min(CHUNK);
            // Small steps cost as much as large ones: wait until a good part of the window is free.
            if room < CHUNK.min(self.settings.in_flight) / 4 {
                return Ok(());
            }
            let entries = self.next(session, window, room).await?;
            let enough = entries.len() < room && !window.behind;
            for (entry, terms) in entries {
                let position = entry.position.cast_signed();
                let pending = publisher.publish(self.outgoing(&entry, terms.as_ref())).await?;
                window.open.push_back((position, pending));
                window.sent = position;
            }
            crash::point("published");
            if enough {
                return Ok(());
            }
        }
    }

    /// The entries behind the last one sent: handed over by this process, or else read, if there may be others.
    async fn next(&self, session: &mut Session, window: &mut Window, room: usize) -> Result<Vec<Handed>, RelayError> {
        let handed = self.handover.take_after(window.sent, room);
        if !handed.is_empty() {
            return Ok(handed);
        }
        if window.behind || self.handover.is_behind() {
            let read = session.entries_after(window.sent, i64::try_from(room).unwrap_or(i64::MAX)).await?;
            window.behind = read.len() == room;
            return Ok(read);
        }
        Ok(Vec::new())
    }

    fn outgoing(&self, entry: &LedgerEntry, terms: Option<&ShownTerms>) -> Outgoing {
        let event = event(entry, terms, self.settings.source.as_str());
        Outgoing {
            routing_key: event.routing_key,
            message_id: event.message_id,
            kind: EVENT_TYPE,
            content_type: CONTENT_TYPE,
            body: event.body,
        }
    }

    /// Waits for the first open confirm, takes all that are there behind it, and says how far the prefix reaches.
    /// Cancel-safe: a confirm that was not taken stays in the window.
    async fn settle(&self, window: &mut Window) -> Result<i64, RelayError> {
        if let Some((position, pending)) = window.open.front_mut() {
            let (position, confirm) = (*position, pending.confirmed().await);
            window.open.pop_front();
            self.take(window, position, confirm)?;
        }
        while let Some((position, pending)) = window.open.front_mut() {
            let (position, Some(confirm)) = (*position, pending.now()) else { break };
            window.open.pop_front();
            self.take(window, position, confirm)?;
        }
        Ok(window.confirmed)
    }

    fn take(&self, window: &mut Window, position: i64, confirm: Confirm) -> Result<(), RelayError> {
        let why = match confirm {
            Confirm::Acked => {
                self.metrics.relay_unroutable(false);
                self.passed(window, position);
                return Ok(());
            }
            Confirm::Returned { .. } if self.settings.unroutable == Unroutable::Count => {
                self.passed(window, position);
                return Ok(());
            }
            Confirm::Returned { reason } => {
                self.metrics.relay_unroutable(true);
                let exchange = &self.broker.credits_exchange;
                format!("no queue is bound to exchange {exchange} for it ({reason}); bind one to `ledger-changed.#`")
            }
            Confirm::Nacked => "a queue refused it; it may be full".to_owned(),
            Confirm::Unknown { reason } => reason,
        };
        Err(RelayError::Refused { position, why })
    }

    /// The confirmed prefix reaches up to here.
    fn passed(&self, window: &mut Window, position: i64) {
        window.confirmed = position;
        self.metrics.published(1);
    }

    /// Nothing to publish: waits to be rung, and looks by itself now and then.
    async fn idle(&self, window: &mut Window) {
        if tokio::time::timeout(self.interval(), self.handover.rung()).await.is_err() {
            window.behind = true;
        }
    }

    /// How often the session is used at least: well within the silence that the server allows it.
    fn interval(&self) -> Duration {
        self.settings.poll.min(IDLE_SESSION / 3)
    }
}

/// Rings at every commit of another process that wrote entries.
async fn ring(database: Database, handover: Arc<Handover>, own: Uuid) {
    let own = own.to_string();
    let mut retry = Retry::new(RETRY_FIRST, RETRY_MAX);
    loop {
        if let Ok(mut commits) = database.bell().await {
            while let Ok(author) = commits.wait().await {
                retry.reset();
                if author.as_deref() != Some(&own) {
                    handover.ring_for_others();
                }
            }
        }
        tokio::time::sleep(retry.next_delay()).await;
    }
}
