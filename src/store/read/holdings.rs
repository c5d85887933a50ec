//! What a customer holds, now and at any past instant; and the lives of the grants.
//!
//! For now it is read from the grants' rows, of which only those count that hold something. For a past instant it is
//! read from the ledger alone, as a stream: memory is taken for each grant, not for each entry.

use std::collections::HashMap;

use futures::TryStreamExt;
use sqlx::Executor;

use super::Snapshot;
use crate::domain::held::{Held, Holdings};
use crate::domain::ids::{CreditType, CustomerId, GrantId};
use crate::domain::ledger::ShownTerms;
use crate::domain::life::Life;
use crate::domain::message::Timestamp;
use crate::domain::past::{Past, Step};
use crate::store::error::StoreError;
use crate::store::rows::{category, cost, credits, id, priority};

/// What a customer holds at the instant that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAt {
    /// The holdings, and the instant that they are of.
    pub holdings: Holdings,
    /// The account's `now`. Holdings of a later instant are what a read will say then if nothing else happens.
    pub now: Timestamp,
}

impl Snapshot<'_> {
    /// What a customer holds at `at`, or at the account's `now`. `None` if no message ever named the customer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn held(&mut self, customer: &CustomerId, at: Option<Timestamp>) -> Result<Option<HeldAt>, StoreError> {
        let account = sqlx::query!(
            r#"select greatest(settled_to, clock_timestamp()) as "now!" from accounts where customer_id = $1"#,
            customer.as_str()
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        let Some(account) = account else { return Ok(None) };
        let now = account.now;
        let holdings = match at {
            Some(past) if past < now => self.held_in_the_past(customer, past).await?,
            _ => self.held_from(customer, at.unwrap_or(now)).await?,
        };
        Ok(Some(HeldAt { holdings, now }))
    }

    /// From the rows of pools and grants, at `at`, which is not before the account's `now`.
    async fn held_from(&mut self, customer: &CustomerId, at: Timestamp) -> Result<Holdings, StoreError> {
        let pools = sqlx::query_scalar!("select credit_type from pools where customer_id = $1", customer.as_str())
            .fetch_all(&mut *self.tx)
            .await?;
        let pools: Vec<CreditType> =
            pools.iter().map(|name| id(CreditType::parse(name))).collect::<Result<_, StoreError>>()?;
        let mut grants = Vec::new();
        let mut rows = sqlx::query_file!("src/store/sql/held_now.sql", customer.as_str()).fetch(&mut *self.tx);
        while let Some(row) = rows.try_next().await? {
            let terms = ShownTerms {
                amount: credits(row.amount)?,
                category: category(&row.category)?,
                priority: priority(row.priority)?,
                cost: cost(row.cost_amount, row.cost_currency.as_deref())?,
                effective_at: row.effective_at,
                expires_at: row.expires_at,
            };
            let held = Held { grant_id: GrantId(row.grant_id), terms, remaining: credits(row.remaining)? };
            grants.push((id(CreditType::parse(&row.credit_type))?, held));
        }
        Ok(Holdings::new(at, pools, grants))
    }

    async fn held_in_the_past(&mut self, customer: &CustomerId, at: Timestamp) -> Result<Holdings, StoreError> {
        // A customer with entries by the million takes longer than a statement otherwise may; and the index has their
        // order, so that nothing is sorted.
        self.tx.execute("set local statement_timeout = 0; set local enable_bitmapscan = off").await?;
        let mut past = Past::new(at);
        let mut rows = sqlx::query_file!("src/store/sql/past_steps.sql", customer.as_str(), at).fetch(&mut *self.tx);
        while let Some(row) = rows.try_next().await? {
            let grant = match (row.grant_id, row.grant_remaining) {
                (Some(grant_id), Some(remaining)) => Some((GrantId(grant_id), credits(remaining)?)),
                _ => None,
            };
            let terms = match (row.amount, row.category.as_deref(), row.priority, row.starts_at) {
                (Some(amount), Some(kind), Some(first), Some(effective_at)) => Some(ShownTerms {
                    amount: credits(amount)?,
                    category: category(kind)?,
                    priority: priority(first)?,
                    cost: cost(row.cost_amount, row.cost_currency.as_deref())?,
                    effective_at,
                    expires_at: row.expires_at,
                }),
                _ => None,
            };
            let credit_type = id(CreditType::parse(&row.credit_type))?;
            past.take(Step { counts_at: row.counts_at, credit_type, grant, terms }).map_err(StoreError::corrupt)?;
        }
        Ok(past.holdings())
    }

    /// The lives of a customer's grants, as far as the ledger tells them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lives(&mut self, customer: &CustomerId) -> Result<HashMap<GrantId, Life>, StoreError> {
        self.tx.execute("set local statement_timeout = 0").await?;
        let rows = sqlx::query_file!("src/store/sql/lives.sql", customer.as_str()).fetch_all(&mut *self.tx).await?;
        rows.into_iter()
            .map(|row| {
                let life = Life {
                    scheduled_at: row.scheduled_at,
                    granted_at: row.granted_at,
                    first_used_at: row.first_used_at,
                    last_used_at: row.last_used_at,
                    revoked_at: row.revoked_at,
                    expired_at: row.expired_at,
                    used: credits(row.used)?,
                    expired: credits(row.expired)?,
                };
                Ok((GrantId(row.grant_id), life))
            })
            .collect()
    }
}
