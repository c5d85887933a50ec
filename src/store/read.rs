//! What people ask: balances, grants, the ledger, dead letters, what became of a message.
//!
//! Every question is answered from one [`Snapshot`], so its parts agree with each other however busy the worker is.
//! A balance is **settled in memory**: a read never counts a grant outside its dates, whether or not the sweeper has
//! written the entry for it yet. Called by `cli`, and by the metrics task for [`Gauges`]. It never writes.

mod account;
mod explain;
mod history;
mod refused;

use sqlx::{Connection, Postgres, Transaction};

use super::error::StoreError;
use super::session::Session;

pub use account::AccountView;
pub use explain::{KeptMessage, Told, Trace};
pub use history::{LedgerPage, LedgerQuery};
pub use refused::{Refused, RefusedBody};

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

impl Session {
    /// Opens a snapshot. It ends when it is dropped.
    ///
    /// # Errors
    /// [`StoreError`], as everything here.
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
