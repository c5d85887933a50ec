//! Deliveries, for ever: takes batches, settles them, and builds the session again whenever it ends.
//!
//! Promises to the one who owns it:
//! - [`Consumers::next_batch`] may be dropped at any await and called again: no delivery is lost by that.
//! - A settlement is sent only on the session that its delivery came by; others are counted and dropped, and the
//!   broker delivers those messages again.
//! - It never gives up and never returns an error: what is wrong is in [`Health`] and, when it changes, in the log.
//!
//! Called by `handler`. No task of its own touches a message: its owner's calls drive it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::error::BrokerError;
use super::health::Health;
use super::options::Options;
use super::session::Session;
use super::types::{Delivery, Settled};
use crate::retry::Retry;

/// The first wait after a session ends; about three attempts a second if it keeps ending.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// The longest wait, short enough to be back within 5 s of the broker's return.
const RETRY_MAX: Duration = Duration::from_secs(4);
/// A session that lived so long was a good one: the next starts from the shortest wait.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// Supervised consumers: one connection, one channel per queue.
pub struct Consumers {
    options: Arc<Options>,
    name: String,
    queues: Vec<String>,
    health: Arc<Health>,
    generation: u64,
    session: Option<Session>,
    /// A session under way, in a task of its own: who asks in short turns must not start over each time.
    beginning: Option<JoinHandle<Result<Session, BrokerError>>>,
    retry: Retry,
    not_before: Option<Instant>,
    stopped: bool,
}

impl Consumers {
    /// The consumers of `queues`, on a connection with that `name`. Connects with the first [`Self::next_batch`].
    #[must_use]
    pub fn start(options: Arc<Options>, name: &str, queues: Vec<String>, health: Arc<Health>) -> Self {
        health.consumers_added();
        Self {
            options,
            name: name.to_owned(),
            queues,
            health,
            generation: 0,
            session: None,
            beginning: None,
            retry: Retry::new(RETRY_FIRST, RETRY_MAX),
            not_before: None,
            stopped: false,
        }
    }

    /// Waits for a delivery, then returns it with all that have arrived, up to `max_messages` and `max_bytes` of
    /// bodies (a single larger one comes alone). `None` once stopped. Cancel-safe.
    pub async fn next_batch(&mut self, max_messages: usize, max_bytes: usize) -> Option<Vec<Delivery>> {
        while !self.stopped {
            match self.session().await.gather(max_messages, max_bytes).await {
                Ok(batch) => {
                    self.retry.reset();
                    return Some(batch);
                }
                Err(error) => self.lost(&error),
            }
        }
        None
    }

    /// Settles deliveries; acknowledgements behind a hole wait a little, see [`Self::waiting_since`]. If it fails or takes
    /// too long the session ends and their messages come again. Do not drop it halfway: that ends the session too.
    pub async fn settle(&mut self, deliveries: &[Settled]) {
        // Taken out, so that a call dropped halfway leaves no session with acknowledgements of unknown fate.
        let Some(mut session) = self.session.take() else {
            return self.health.stale(deliveries.len() as u64);
        };
        match session.settle(deliveries).await {
            Ok(stale) => {
                self.health.stale(stale);
                self.session = Some(session);
            }
            Err(error) => self.lost_after(session.age(), &error),
        }
    }

    /// Since when acknowledgements wait for that of one delivery that came before, the longest.
    #[must_use]
    pub fn waiting_since(&self) -> Option<std::time::Instant> {
        self.session.as_ref().and_then(Session::waiting_since)
    }

    /// Sends the acknowledgements that have waited so long. Like [`Self::settle`] otherwise.
    pub async fn wait_no_longer(&mut self, patience: Duration) {
        if let Some(mut session) = self.session.take() {
            match session.wait_no_longer(patience).await {
                Ok(()) => self.session = Some(session),
                Err(error) => self.lost_after(session.age(), &error),
            }
        }
    }

    /// Stops: cancels the consumers, requeues all that is not settled, closes. Settle what is in hand first.
    pub async fn stop(&mut self) {
        self.stopped = true;
        self.give_up_beginning();
        if let Some(session) = self.session.take() {
            session.drain().await;
        }
    }

    /// The most unsettled deliveries of one queue.
    #[must_use]
    pub fn prefetch(&self) -> usize {
        usize::from(self.options.prefetch)
    }

    /// The generation of the session at hand, or of the last one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The session, begun again until one stands.
    async fn session(&mut self) -> &mut Session {
        while self.session.is_none() {
            if let Some(instant) = self.not_before {
                sleep_until(instant).await;
            }
            let begun = self.beginning().await;
            self.beginning = None;
            match begun {
                Ok(Ok(session)) => self.begun(session),
                Ok(Err(error)) => self.failed(&error),
                Err(died) => self.failed(&BrokerError::died(&died)),
            }
        }
        match &mut self.session {
            Some(session) => session,
            None => unreachable!("the loop above ends with a session"),
        }
    }

    /// The session under way, or else a new one.
    fn beginning(&mut self) -> &mut JoinHandle<Result<Session, BrokerError>> {
        self.beginning.get_or_insert_with(|| {
            self.generation += 1;
            let (options, health, generation) = (Arc::clone(&self.options), Arc::clone(&self.health), self.generation);
            let (name, queues) = (self.name.clone(), self.queues.clone());
            tokio::spawn(async move { Session::begin(&options, &name, &queues, generation, &health).await })
        })
    }

    fn give_up_beginning(&mut self) {
        if let Some(beginning) = self.beginning.take() {
            beginning.abort();
        }
    }

    fn begun(&mut self, session: Session) {
        self.session = Some(session);
        self.health.session_begun();
        self.health.recovered(&self.name);
        tracing::info!(generation = self.generation, "consuming");
    }

    fn lost(&mut self, error: &BrokerError) {
        let age = self.session.take().map(|session| session.age()).unwrap_or_default();
        self.lost_after(age, error);
    }

    fn lost_after(&mut self, age: Duration, error: &BrokerError) {
        if age >= GOOD_SESSION {
            self.retry.reset();
        }
        self.failed(error);
    }

    fn failed(&mut self, error: &BrokerError) {
        self.not_before = Some(Instant::now() + self.retry.next_delay());
        if self.health.failed(&self.name, &error.to_string()) {
            tracing::warn!(%error, "not consuming, trying again");
        }
    }
}

impl Drop for Consumers {
    fn drop(&mut self) {
        self.give_up_beginning();
        self.health.consumers_removed();
        self.health.recovered(&self.name);
    }
}
