//! Deliveries for one lane, for ever: takes batches, settles them, and builds the session again whenever it ends.
//!
//! Promises to the lane that owns it:
//! - [`Consumers::next_batch`] may be dropped at any await and called again: no delivery is lost by that.
//! - A settlement is sent only on the session that its delivery came by; others are counted and dropped, and the
//!   broker delivers those messages again.
//! - It never gives up and never returns an error: what is wrong is in [`Health`] and, when it changes, in the log.
//!
//! Called by `handler`. No task of its own touches a message: the lane's calls drive it.

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
/// The longest wait, short enough that a lane is back within 5 s of the broker's return.
const RETRY_MAX: Duration = Duration::from_secs(4);
/// A session that lived so long was a good one: the next starts from the shortest wait.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// The supervised consumers of one lane: one connection, one channel per queue.
pub struct Consumers {
    options: Arc<Options>,
    lane: String,
    queues: Vec<String>,
    health: Arc<Health>,
    generation: u64,
    session: Option<Session>,
    /// A session under way, in a task of its own: a lane that asks in short turns must not start over each time.
    beginning: Option<JoinHandle<Result<Session, BrokerError>>>,
    retry: Retry,
    not_before: Option<Instant>,
    stopped: bool,
}

impl Consumers {
    /// The consumers of `queues`, on a connection named after `lane`. Connects with the first [`Self::next_batch`].
    #[must_use]
    pub fn start(options: Arc<Options>, lane: &str, queues: Vec<String>, health: Arc<Health>) -> Self {
        health.lane_added();
        Self {
            options,
            lane: lane.to_owned(),
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

    /// Settles deliveries. If that fails or takes too long the session ends and their messages come again.
    /// Do not drop it halfway: that ends the session too.
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
            let (lane, queues) = (self.lane.clone(), self.queues.clone());
            tokio::spawn(async move { Session::begin(&options, &lane, &queues, generation, &health).await })
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
        self.health.recovered(&self.lane);
        tracing::info!(lane = self.lane, generation = self.generation, "consuming");
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
        if self.health.failed(&self.lane, &error.to_string()) {
            tracing::warn!(lane = self.lane, %error, "not consuming, trying again");
        }
    }
}

impl Drop for Consumers {
    fn drop(&mut self) {
        self.give_up_beginning();
        self.health.lane_removed();
        self.health.recovered(&self.lane);
    }
}
