//! What the relay needs of the ledger: entries behind the cursor, the cursor, and the lock that makes it the only one.
//!
//! The advisory lock belongs to the session, and the cursor is moved on that session only: that is the fence. A frozen
//! process loses the session by `idle_session_timeout`.

use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::PgListener;

use super::error::StoreError;
use super::rows::TermsRow;
use super::session::{Database, Session};
use crate::domain::ledger::{LedgerEntry, Terms};

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
            r#"select h.position as head, c.position as cursor,
                      coalesce(extract(epoch from clock_timestamp() - l.recorded_at)::float8, 0) as "lag!"
               from ledger_head h, relay_cursor c left join ledger l on l.position = c.position + 1"#
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
    ) -> Result<Vec<(LedgerEntry, Option<Terms>)>, StoreError> {
        let rows = sqlx::query_file!("src/store/sql/entries_after.sql", position, limit)
            .fetch_all(&mut self.connection)
            .await?;
        rows.into_iter()
            .map(|row| {
                let terms = match (row.terms_amount, row.terms_basis, row.terms_category.clone(), row.terms_priority) {
                    (Some(amount), Some(basis), Some(category), Some(priority)) => Some(
                        TermsRow {
                            grant_id: row.grant_id.unwrap_or_default(),
                            customer_id: row.customer_id.clone(),
                            credit_type: row.credit_type.clone(),
                            amount,
                            basis,
                            category,
                            priority,
                            cost_amount: row.terms_cost_amount,
                            cost_currency: row.terms_cost_currency.clone(),
                            effective_at: row.terms_starts_at.unwrap_or(row.effective_at),
                            expires_at: row.terms_expires_at,
                            price_id: None,
                            rule: None,
                            rules_hash: None,
                            replaces: row.terms_replaces,
                            reason: None,
                            actor: row.actor.clone(),
                            cause_source: row.cause_source.clone(),
                            cause_id: row.cause_id.clone(),
                            cause_type: row.cause_type.clone(),
                        }
                        .terms()?,
                    ),
                    _ => None,
                };
                let row = ledger_row!(row);
                Ok((row.entry()?, terms))
            })
            .collect()
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
