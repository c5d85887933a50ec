//! Writes activations and expiries that have come due, through the same books and the same write path as messages.
//!
//! No balance depends on it: reads settle in memory. It only brings the entries, and their events, in time. Two of
//! them do no harm: accounts are locked, and who comes second finds nothing due. Called by `app`.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use crate::config::settings::SweeperSettings;
use crate::domain::books::Books;
use crate::domain::ids::CustomerId;
use crate::domain::rules::Rules;
use crate::handler::Handover;
use crate::handler::batch::handed;
use crate::handler::handover::Handed;
use crate::store::in_order::Pools;
use crate::store::{Database, Session, StoreError};
use crate::telemetry::Metrics;

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
    /// Sweeps at every interval, and again at once as long as there is more, until the process is asked to stop.
    pub async fn run(mut self) {
        let mut session = None;
        while !*self.stop.borrow() {
            let more = match self.sweep(&mut session).await {
                Ok(more) => more,
                Err(error) => {
                    session = None;
                    if !matches!(error, StoreError::Again(_) | StoreError::Locked(_)) {
                        tracing::warn!(error = error.in_full(), "the sweeper stopped, trying again");
                    }
                    false
                }
            };
            if more {
                continue;
            }
            tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(self.settings.interval) => {}
            }
        }
    }

    async fn sweep(&self, held: &mut Option<Session>) -> Result<bool, StoreError> {
        let session = match held.take() {
            Some(session) => session,
            None => self.database.connect().await?,
        };
        let session = held.insert(session);
        let limit = i64::try_from(self.settings.batch).unwrap_or(i64::MAX);
        let due = session.due_customers(limit).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let entries = settle(session, &due, &self.rules, self.handover.author(self.process_start)).await?;
        self.metrics.swept(entries.len() as u64);
        self.handover.give(entries);
        Ok(true)
    }
}

/// Settles accounts in one transaction. Gives the entries that came of it.
async fn settle(
    session: &mut Session,
    due: &BTreeSet<CustomerId>,
    rules: &Rules,
    author: Option<Uuid>,
) -> Result<Vec<Handed>, StoreError> {
    let mut batch = session.begin().await?;
    let (clock, accounts) = batch.lock_accounts(due, &[], &Pools::new()).await?;
    let mut books = Books::new(rules, clock);
    books.accounts = accounts;
    for customer in due {
        books.settle(customer);
    }
    let written = batch.write(&books, &[], author).await?;
    batch.commit().await?;
    Ok(handed(books, &written))
}
