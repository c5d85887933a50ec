//! One customer's credits at the account's `now`.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Snapshot;
use crate::domain::account::{Account, Grant, Pool};
use crate::domain::ids::{CreditType, CustomerId};
use crate::domain::ledger::Entry;
use crate::domain::message::Timestamp;
use crate::store::error::StoreError;
use crate::store::in_order;
use crate::store::rows::{credits, id};

/// An account, settled in memory to `now`. Nothing of that is written.
#[derive(Debug, Clone)]
pub struct AccountView {
    /// The database's clock, but never before the instant to which the account was settled.
    pub now: Timestamp,
    /// Pools and grants as of `now`.
    pub account: Account,
    /// The entries that settling would have written.
    pub unwritten: Vec<Entry>,
}

impl AccountView {
    /// The grants that were loaded, in the order in which they are used, one credit type after the other.
    #[must_use]
    pub fn grants(&self) -> Vec<&Grant> {
        let mut grants: Vec<&Grant> = self.account.grants.values().collect();
        grants.sort_by(|a, b| {
            let types = a.terms.credit_type.cmp(&b.terms.credit_type);
            types.then_with(|| a.order_of_use(b))
        });
        grants
    }
}

impl Snapshot<'_> {
    /// A customer's balances, without the grants behind them: quick, however many there are. `None` if no message
    /// ever named the customer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn balances(&mut self, customer: &CustomerId) -> Result<Option<AccountView>, StoreError> {
        self.account_with(customer, &[]).await
    }

    /// A customer's balances and all grants.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn account(&mut self, customer: &CustomerId) -> Result<Option<AccountView>, StoreError> {
        let grants = sqlx::query_scalar!("select grant_id from grants where customer_id = $1", customer.as_str())
            .fetch_all(&mut *self.tx)
            .await?;
        self.account_with(customer, &grants).await
    }

    /// A customer's balances, what is due, and the grants of these ids.
    pub(super) async fn account_with(
        &mut self,
        customer: &CustomerId,
        grants: &[Uuid],
    ) -> Result<Option<AccountView>, StoreError> {
        let row = sqlx::query!(
            r#"select settled_to, clock_timestamp() as "clock!" from accounts where customer_id = $1"#,
            customer.as_str()
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let mut account = Account::new(customer.clone());
        account.settled_to = Some(row.settled_to);
        account.pools = self.pools(customer).await?;
        let now = account.now(row.clock);
        self.load_grants(&mut account, now, grants).await?;
        let mut unwritten = Vec::new();
        account.settle(now, &mut unwritten);
        Ok(Some(AccountView { now, account, unwritten }))
    }

    async fn pools(&mut self, customer: &CustomerId) -> Result<BTreeMap<CreditType, Pool>, StoreError> {
        let rows =
            sqlx::query!("select credit_type, balance, sequence from pools where customer_id = $1", customer.as_str())
                .fetch_all(&mut *self.tx)
                .await?;
        rows.into_iter()
            .map(|row| {
                let pool = Pool { balance: credits(row.balance)?, sequence: row.sequence.cast_unsigned() };
                Ok((id(CreditType::parse(&row.credit_type))?, pool))
            })
            .collect()
    }

    async fn load_grants(&mut self, account: &mut Account, now: Timestamp, named: &[Uuid]) -> Result<(), StoreError> {
        let customers = [account.customer_id.as_str()];
        for grant in in_order::grants(&mut self.tx, &customers, now, named).await? {
            if grant.terms.customer_id == account.customer_id {
                account.grants.insert(grant.terms.grant_id, grant);
            }
        }
        Ok(())
    }
}
