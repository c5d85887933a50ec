//! How long a batch waits for a lock.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor};

use super::batch::Batch;
use super::error::StoreError;

impl Batch<'_> {
    /// Waits at most `limit` for each lock that comes before writing, where the session's setting would wait longer. The
    /// ledger's head is none of them: everybody holds it for a moment, and whoever waits for it gets it.
    pub async fn hurry(&mut self, limit: Duration) -> Result<(), StoreError> {
        // 0 would be no limit at all.
        let millis = limit.as_millis().max(1);
        self.tx.execute(AssertSqlSafe(format!("set local lock_timeout = {millis}"))).await?;
        self.hurried = true;
        Ok(())
    }

    /// Waits as long as the session's setting says again.
    pub(super) async fn take_time(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.hurried) {
            self.tx.execute("set local lock_timeout to default").await?;
        }
        Ok(())
    }
}
