//! What the relay needs of the ledger: entries behind the cursor, the cursor, and the lock that makes it the only one.
//!
//! The advisory lock belongs to the session, and the cursor is moved on that session only: that is the fence. A frozen
//! process loses the session by `idle_session_timeout`.

use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::PgListener;

use super::error::StoreError;
use super::rows::{cause, cost, credits, demand, grant_after, id};
use super::session::{Database, Session};
use crate::domain::ids::{Actor, CreditType, CustomerId, Reason};
use crate::domain::ledger::{Delta, Entry, EntryType, LedgerEntry, ShownTerms};

/// The advisory lock's key ("credits" in ASCII). Locks are per database, so one number serves every deployment.
const RELAY_LOCK: i64 = 0x0063_7265_6469_7473;

/// How long the relay's session may be silent before the server ends it: the relay asks far more often.
const IDLE_SESSION: Duration = Duration::from_secs(15);

/// How far the ledger and the relay are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// The ledger's last position.
    pub head: i64,
    /// The last position that was published and confirmed.
    pub cursor: i64,
    /// How long the oldest unpublished entry has been waiting, in seconds by the database's clock.
    pub lag_seconds: f64,
}

impl Session {
    /// Tries to become the one relay of this database.
    ///
    /// # Errors
    /// [`StoreError`], as everything here.
    pub async fn become_relay(&mut self) -> Result<bool, StoreError> {
        let lock: bool = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "locked!""#, RELAY_LOCK)
            .fetch_one(&mut self.connection)
            .await?;
        if lock {
            let idle = IDLE_SESSION.as_millis();
            // A cursor that is lost with the server's memory only means that events are sent again, the same bytes.
            let settings = format!("set idle_session_timeout = {idle}; set synchronous_commit = off");
            self.connection.execute(sqlx::AssertSqlSafe(settings)).await?;
        }
        Ok(lock)
    }

    /// How far the relay is.
    pub async fn cursor(&mut self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!("select position from relay_cursor").fetch_one(&mut self.connection).await?)
    }

    /// Says that everything up to `position` is confirmed.
    pub async fn move_cursor(&mut self, position: i64) -> Result<(), StoreError> {
        sqlx::query!("update relay_cursor set position = $1, moved_at = clock_timestamp()", position)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// How far ledger and relay are, for gauges.
    pub async fn progress(&mut self) -> Result<Progress, StoreError> {
        let row = sqlx::query!(
            r#"select (select position from ledger_head) as "head!", (select position from relay_cursor) as "cursor!",
                      coalesce(extract(epoch from clock_timestamp() - (
                          select recorded_at from ledger where position = (select position + 1 from relay_cursor)
                      ))::float8, 0) as "lag!""#
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(Progress { head: row.head, cursor: row.cursor, lag_seconds: row.lag })
    }

    /// The entries behind `position`, in order, each with the terms of its grant.
    pub async fn entries_after(
        &mut self,
        position: i64,
        limit: i64,
    ) -> Result<Vec<(LedgerEntry, Option<ShownTerms>)>, StoreError> {
        let rows = sqlx::query_file!("src/store/sql/entries_after.sql", position, limit)
            .fetch_all(&mut self.connection)
            .await?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let terms = match (row.amount, row.category.as_deref(), row.priority) {
                (Some(amount), Some(category), Some(priority)) => Some(ShownTerms {
                    amount: credits(amount)?,
                    category: super::rows::category(category)?,
                    priority: super::rows::priority(priority)?,
                    cost: cost(row.cost_amount, row.cost_currency.as_deref())?,
                    effective_at: row.starts_at.unwrap_or(row.effective_at),
                    expires_at: row.expires_at,
                }),
                _ => None,
            };
            let entry = Entry {
                customer_id: id(CustomerId::parse(&row.customer_id))?,
                credit_type: id(CreditType::parse(&row.credit_type))?,
                sequence: row.sequence.cast_unsigned(),
                kind: EntryType::from_name(&row.kind).ok_or_else(|| StoreError::corrupt(&row.kind))?,
                delta: Delta::stored(row.delta),
                end_balance: credits(row.end_balance)?,
                grant: grant_after(row.grant_id, row.grant_remaining, row.grant_status.as_deref())?,
                terms: None,
                demand: demand(row.requested, row.shortfall)?,
                actor: Actor::stored(&row.actor),
                reason: row.reason.as_deref().map(Reason::cut),
                cause: cause(&row.cause_source, &row.cause_id, &row.cause_type)?,
                effective_at: row.effective_at,
                counts_at: row.counts_at,
            };
            let position = row.position.cast_unsigned();
            entries
                .push((LedgerEntry { position, entry_id: row.entry_id, recorded_at: row.recorded_at, entry }, terms));
        }
        Ok(entries)
    }
}

/// Hears of commits that wrote entries.
#[derive(Debug)]
pub struct Bell(PgListener);

impl Database {
    /// Opens a session that hears of commits.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn bell(&self) -> Result<Bell, StoreError> {
        let mut listener = PgListener::connect_with(&self.small_pool()?).await?;
        listener.listen("credits_ledger").await?;
        Ok(Bell(listener))
    }
}

impl Bell {
    /// Waits for the next commit that wrote entries. After a lost session it rings once by itself.
    ///
    /// # Errors
    /// [`StoreError::Lost`] if the session cannot be had again.
    pub async fn wait(&mut self) -> Result<(), StoreError> {
        self.0.try_recv().await?;
        Ok(())
    }
}
