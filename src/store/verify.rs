//! The proof that the ledger is as it was written, and that balances and grants follow from it.
//!
//! One snapshot, one pass in order of position: the chain is computed anew, every entry has to follow from those
//! before it, and at the end head, pools and grants have to agree with the last entries. What is named is the **first**
//! position that is wrong, with all that is wrong there. Memory is taken for each pool and each grant, not for entries.
//! A worker may go on meanwhile; the snapshot holds back the database's clean-up for as long as it lasts.
//!
//! Called by `credits ledger verify`, by the demo and by fault tests. It never mends anything.

mod grants;
mod walk;

use std::fmt;

use futures::TryStreamExt;
use sqlx::Executor;

use super::error::StoreError;
use super::read::Snapshot;
use walk::{Row, Walk};

/// How many entries lie between two calls of whoever watches.
const WATCHED_EVERY: i64 = 10_000;

/// What came of verifying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// All is well.
    Sound {
        /// The last position; 0 for an empty ledger.
        position: i64,
    },
    /// Something is not as it was written.
    Damaged(Damage),
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// Where. Of a pool or grant that disagrees with the ledger: its last entry; absent if it has none.
    pub position: Option<i64>,
    /// What is wrong there; never empty.
    pub complaints: Vec<String>,
}

impl Damage {
    pub(super) fn at(position: i64, complaint: impl Into<String>) -> Self {
        Self { position: Some(position), complaints: vec![complaint.into()] }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "position {position}: ")?;
        }
        f.write_str(&self.complaints.join("; "))
    }
}

/// The row that says where the ledger ends.
pub(super) struct Head {
    pub(super) position: i64,
    pub(super) hash: Vec<u8>,
    pub(super) recorded_at: crate::domain::message::Timestamp,
}

impl Snapshot<'_> {
    /// Verifies the whole ledger. Now and then `watch` hears how many entries are done, and of how many.
    ///
    /// # Errors
    /// [`StoreError`] if the ledger cannot be read; damage is no error.
    pub async fn verify(&mut self, watch: &mut (dyn FnMut(i64, i64) + Send)) -> Result<Finding, StoreError> {
        // A ledger of years takes longer than a statement otherwise may.
        self.tx.execute("set local statement_timeout = 0").await?;
        let head = self.head().await?;
        let mut walk = Walk::default();
        if let Some(damage) = self.walk(&mut walk, head.position, watch).await? {
            return Ok(Finding::Damaged(damage));
        }
        if let Some(damage) = walk.against_head(&head) {
            return Ok(Finding::Damaged(damage));
        }
        let pools = self.pools_against(&mut walk).await?;
        let grants = self.grants_against(&mut walk).await?;
        // Those without a position come first in the order of `Option`: last they belong.
        let first = pools.into_iter().chain(grants).min_by_key(|damage| (damage.position.is_none(), damage.clone()));
        Ok(first.map_or(Finding::Sound { position: head.position }, Finding::Damaged))
    }

    async fn head(&mut self) -> Result<Head, StoreError> {
        let row = sqlx::query!("select position, hash, recorded_at from ledger_head").fetch_one(&mut *self.tx).await?;
        Ok(Head { position: row.position, hash: row.hash, recorded_at: row.recorded_at })
    }

    async fn walk(
        &mut self,
        walk: &mut Walk,
        head: i64,
        watch: &mut (dyn FnMut(i64, i64) + Send),
    ) -> Result<Option<Damage>, StoreError> {
        let mut rows = sqlx::query_file!("src/store/sql/verify_rows.sql").fetch(&mut *self.tx);
        while let Some(mut row) = rows.try_next().await? {
            let hash = std::mem::take(&mut row.hash);
            let unlike_grant = std::mem::take(&mut row.unlike_grant);
            let unlike_terms = std::mem::take(&mut row.unlike_terms);
            let inexact = row.inexact;
            let row = Row { entry: ledger_row!(row), hash, inexact, unlike_grant, unlike_terms };
            let damage = walk.take(&row);
            if damage.is_some() {
                return Ok(damage);
            }
            if walk.position % WATCHED_EVERY == 0 {
                watch(walk.position, head);
            }
        }
        Ok(None)
    }

    /// Pools against their last entries and against their grants.
    async fn pools_against(&mut self, walk: &mut Walk) -> Result<Option<Damage>, StoreError> {
        let mut first = None;
        let mut rows = sqlx::query_file!("src/store/sql/verify_pools.sql").fetch(&mut *self.tx);
        while let Some(row) = rows.try_next().await? {
            let balances = walk::Balances {
                stored: row.balance,
                held: row.held,
                spendable: row.spendable,
                settled: row.settled_to.is_some(),
            };
            let damage = walk.against_pool((row.customer_id, row.credit_type), row.sequence, &balances);
            first = earlier(first, damage);
        }
        drop(rows);
        Ok(earlier(first, walk.pool_without_row()))
    }

    /// Grants against their entries.
    async fn grants_against(&mut self, walk: &mut Walk) -> Result<Option<Damage>, StoreError> {
        let mut first = None;
        let mut rows = sqlx::query!("select grant_id, remaining, revoked from grants").fetch(&mut *self.tx);
        while let Some(row) = rows.try_next().await? {
            first = earlier(first, walk.grants.against_row(row.grant_id, row.remaining, row.revoked));
        }
        Ok(first)
    }
}

fn earlier(first: Option<Damage>, next: Option<Damage>) -> Option<Damage> {
    first.into_iter().chain(next).min_by_key(|damage| (damage.position.is_none(), damage.clone()))
}
