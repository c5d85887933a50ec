//! Writes activations and expiries that have come due, through the same books and the same write path as messages.
//!
//! No balance depends on it: reads settle in memory. It only brings the entries, and their events, in time. What is due is
//! found by index and written in batches, however much one customer has of it or one instant brings: an account with
//! more is settled in parts, each as sound as the whole (see [`Account::settle_before`]). Messages come first: an account
//! that somebody else holds is passed over, and after each batch the sweeper rests. Two of them do no harm: accounts
//! are locked, and who comes second finds nothing due. An account that cannot be settled, for a row that cannot be, is
//! found by halving the batch and passed over for a while: nobody else's expiry waits for it. Called by `app`.
//!
//! [`Account::settle_before`]: crate::domain::account::Account::settle_before

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::settings::SweeperSettings;
use crate::domain::books::Books;
use crate::domain::ids::CustomerId;
use crate::domain::rules::Rules;
use crate::handler::Handover;
use crate::handler::batch::handed;
use crate::handler::handover::Handed;
use crate::store::{Database, Session, StoreError};
use crate::telemetry::Metrics;

/// With so many entries unpublished it leaves the relay an interval of time after each batch: events go out in the
/// ledger's order, and those of messages would wait behind all that was swept. Half of what lanes hand to the relay.
const FAR_BEHIND: i64 = 10_000;

/// So long an account that cannot be settled is passed over before it is tried, and told of, again.
const PASSED_OVER: Duration = Duration::from_mins(5);

/// What the sweeper works with.
#[derive(Clone)]
pub struct Sweeper {
    /// Opens its session.
    pub database: Database,
    /// The rules in force.
    pub rules: Arc<Rules>,
    /// Its settings.
    pub settings: SweeperSettings,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Leads to the relay of this process.
    pub handover: Arc<Handover>,
    /// Names this start of the process.
    pub process_start: Uuid,
    /// Turns true when the process is asked to stop.
    pub stop: watch::Receiver<bool>,
}

impl Sweeper {
    /// Sweeps at every interval, and goes on as long as there is more, until the process is asked to stop.
    pub async fn run(mut self) {
        let mut session = None;
        let mut over = PassedOver::default();
        while !*self.stop.borrow() {
            let begun = Instant::now();
            let rest = match self.sweep(&mut session, &mut over).await {
                Ok(Some(unpublished)) => self.rest(begun.elapsed(), unpublished),
                Ok(None) => self.settings.interval,
                Err(error) => {
                    session = None;
                    if !matches!(error, StoreError::Again(_) | StoreError::Locked(_)) {
                        tracing::warn!(error = error.in_full(), "the sweeper stopped, trying again");
                    }
                    self.settings.interval
                }
            };
            tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// Writes one batch. Says how many entries were unpublished before it; `None` if there is no more to write.
    async fn sweep(&self, held: &mut Option<Session>, over: &mut PassedOver) -> Result<Option<i64>, StoreError> {
        let session = self.session(held).await?;
        let limit = i64::try_from(self.settings.batch).unwrap_or(i64::MAX);
        let due = session.due(limit, &over.customers()).await?;
        // Who is passed over from now on stood before the others: there may be more.
        let mut is_more = !due.unreadable.is_empty();
        for customer in &due.unreadable {
            over.add(customer, "it is no customer id");
        }
        let mut parts = vec![due.customers];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            if *self.stop.borrow() {
                return Ok(None);
            }
            let session = self.session(held).await?;
            let author = self.handover.author(self.process_start);
            match settle(session, &part, self.settings.batch, &self.rules, author).await {
                Ok(entries) => {
                    is_more |= !entries.is_empty();
                    self.metrics.swept(entries.len() as u64);
                    self.handover.give(entries);
                }
                Err(error @ (StoreError::Content(_) | StoreError::Violated(_) | StoreError::Corrupt(_))) => {
                    // Inside a failed transaction: never to be used again.
                    *held = None;
                    let rest = part.split_off(part.len() / 2);
                    match (part.is_empty(), rest.as_slice()) {
                        (true, [customer]) => {
                            over.add(customer.as_str(), &error.in_full());
                            is_more = true;
                        }
                        _ => parts.extend([rest, part]),
                    }
                }
                Err(other) => return Err(other),
            }
        }
        Ok(is_more.then_some(due.unpublished))
    }

    async fn session<'s>(&self, held: &'s mut Option<Session>) -> Result<&'s mut Session, StoreError> {
        let session = match held.take() {
            Some(session) => session,
            None => self.database.connect_to_sweep().await?,
        };
        Ok(held.insert(session))
    }

    /// How long to leave the database to messages after a batch that took so long.
    fn rest(&self, took: Duration, unpublished: i64) -> Duration {
        let rest = took * u32::from(100 - self.settings.share) / u32::from(self.settings.share);
        if unpublished > FAR_BEHIND { rest.max(self.settings.interval) } else { rest }
    }
}

/// Accounts that cannot be settled, by customer, and until when they are passed over.
#[derive(Default)]
struct PassedOver(BTreeMap<String, Instant>);

impl PassedOver {
    fn add(&mut self, customer: &str, error: &str) {
        tracing::error!(customer, error, "what is due of this account cannot be written; it is passed over for now");
        self.0.insert(customer.to_owned(), Instant::now() + PASSED_OVER);
    }

    /// Those that are to be passed over still.
    fn customers(&mut self) -> Vec<&str> {
        let now = Instant::now();
        self.0.retain(|_, until| now < *until);
        self.0.keys().map(String::as_str).collect()
    }
}

/// Settles what is due of `customers` in one transaction, `batch` grants of it. Gives the entries that came of it; none
/// where others hold the accounts or settled them.
pub(crate) async fn settle(
    session: &mut Session,
    customers: &[CustomerId],
    batch: usize,
    rules: &Rules,
    author: Option<Uuid>,
) -> Result<Vec<Handed>, StoreError> {
    let mut tx = session.begin().await?;
    let (clock, accounts) = tx.lock_free_accounts(customers).await?;
    let mut books = Books::new(rules, clock);
    books.accounts = accounts;
    let mut limit = batch;
    loop {
        let part = tx.load_due(&mut books.accounts, clock, limit).await?;
        for customer in &part.whole {
            books.settle(customer);
        }
        if let Some((customer, cut)) = &part.cut {
            books.settle_before(customer, *cut);
        }
        // Activations of one instant stay together: if they are more than a batch, the batch has to be larger.
        if part.cut.is_none() || !books.changes.entries.is_empty() {
            break;
        }
        limit = limit.saturating_mul(2);
    }
    let written = tx.write(&books, &[], author).await?;
    tx.commit().await?;
    Ok(handed(books, &written))
}
