//! What people ask: balances, grants, the ledger, dead letters, what became of a message.
//!
//! Every question is answered from one [`Snapshot`], so its parts agree with each other however busy the worker is.
//! A balance is **settled in memory**: a read never counts a grant outside its dates, whether or not the sweeper has
//! written the entry for it yet. Called by `cli`, and by the metrics task for [`Gauges`]. It never writes.

mod account;
mod explain;
mod history;
mod holdings;
mod keys;
mod purchase;
mod refused;
mod report;
mod stored;

use sqlx::{Connection, Postgres, Transaction};

use super::error::StoreError;
use super::session::Session;

pub use account::AccountView;
pub use explain::{KeptMessage, Told, Trace};
pub use history::{LedgerPage, LedgerQuery};
pub use holdings::HeldAt;
pub use purchase::{PurchaseRows, Waiting};
pub use refused::{Refused, RefusedBody, RefusedQuery};
pub use stored::{ArrivalRange, Arrived, KeptRules};

/// The database as it is at one moment: a read-only transaction.
#[derive(Debug)]
pub struct Snapshot<'s> {
    pub(super) tx: Transaction<'s, Postgres>,
}

/// What waits for something, for gauges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gauges {
    /// Kept messages whose partner is missing.
    pub waiting: i64,
    /// How long the oldest purchase with such a message has been waiting, in seconds by the database's clock.
    pub oldest_waiting_seconds: f64,
    /// Deliveries that a process tries alone, or died on.
    pub attempts: i64,
}

/// How many deliveries came to what, each counted by its last outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Applied.
    pub applied: i64,
    /// Said nothing new.
    pub duplicate: i64,
    /// No rule took them.
    pub ignored: i64,
    /// Still wait.
    pub waiting: i64,
    /// Refused.
    pub dead_lettered: i64,
}

impl Tally {
    /// All deliveries that have an outcome.
    #[must_use]
    pub fn received(&self) -> i64 {
        [self.duplicate, self.ignored, self.waiting, self.dead_lettered].iter().fold(self.applied, |sum, n| sum + n)
    }
}

impl Session {
    /// Counts all deliveries by what became of them last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tally(&mut self) -> Result<Tally, StoreError> {
        let row = sqlx::query!(
            r#"select count(*) filter (where outcome = 'applied') as "applied!",
                      count(*) filter (where outcome = 'duplicate') as "duplicate!",
                      count(*) filter (where outcome = 'ignored') as "ignored!",
                      (select coalesce(sum(cardinality(waiting)), 0)::bigint from purchases
                       where waiting_since is not null) as "waiting!",
                      (select coalesce(sum(seen), 0)::bigint from dead_letters) as "dead_lettered!"
               from outcomes"#
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(Tally {
            applied: row.applied,
            duplicate: row.duplicate,
            ignored: row.ignored,
            waiting: row.waiting,
            dead_lettered: row.dead_lettered,
        })
    }

    /// Opens a snapshot. It ends when it is dropped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn snapshot(&mut self) -> Result<Snapshot<'_>, StoreError> {
        let begin = "begin isolation level repeatable read read only";
        Ok(Snapshot { tx: self.connection.begin_with(begin).await? })
    }

    /// What waits for something.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn gauges(&mut self) -> Result<Gauges, StoreError> {
        let row = sqlx::query!(
            r#"select coalesce(sum(cardinality(waiting)), 0)::bigint as "waiting!",
                      coalesce(extract(epoch from clock_timestamp() - min(waiting_since))::float8, 0) as "oldest!",
                      (select count(*) from attempts) as "attempts!"
               from purchases where waiting_since is not null"#
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(Gauges { waiting: row.waiting, oldest_waiting_seconds: row.oldest, attempts: row.attempts })
    }
}
