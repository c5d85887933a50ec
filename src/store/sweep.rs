//! What the sweeper asks: who has something due, and the next part of it under the accounts' locks.
//!
//! The lock order is that of `batch`: accounts, then the head. An account that somebody else holds is passed over: its
//! holder settles it or lets go of it soon, and a sweep that waited would hold other accounts meanwhile.

use std::collections::HashMap;

use sqlx::Executor;

use super::batch::Batch;
use super::error::StoreError;
use super::rows::id;
use super::session::{Database, Session};
use crate::domain::account::{Account, Cut};
use crate::domain::ids::{CustomerId, GrantId};
use crate::domain::ledger::EntryType;
use crate::domain::message::Timestamp;

/// What there is to sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Customers with an activation or expiry that is due, in the order of their ids.
    pub customers: Vec<CustomerId>,
    /// Those of them whose ids cannot be.
    pub unreadable: Vec<String>,
    /// How many entries of the ledger are not published yet.
    pub unpublished: i64,
}

/// What was loaded of accounts that are locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePart {
    /// Accounts of which all is loaded that is due.
    pub whole: Vec<CustomerId>,
    /// The account of which more is due, and what that begins with.
    pub cut: Option<(CustomerId, Cut)>,
}

impl Database {
    /// Opens a session for the sweeper.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn connect_to_sweep(&self) -> Result<Session, StoreError> {
        let mut session = self.connect().await?;
        // The first of a million that are due: as an index has them in order. Statistics from before they fell due would
        // have all of them collected and sorted for each batch.
        session.connection.execute("set enable_bitmapscan = off").await?;
        Ok(session)
    }
}

impl Session {
    /// The customers of the `limit` oldest due grants, but only so many that `limit` due grants are theirs, and without
    /// those that are to be passed `over`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(&mut self, limit: i64, over: &[&str]) -> Result<Due, StoreError> {
        let row = sqlx::query_file!("src/store/sql/due.sql", limit, over as _).fetch_one(&mut self.connection).await?;
        let (mut customers, mut unreadable) = (Vec::new(), Vec::new());
        for text in row.customers.unwrap_or_default() {
            match CustomerId::parse(&text) {
                Ok(customer) => customers.push(customer),
                Err(_) => unreadable.push(text),
            }
        }
        Ok(Due { customers, unreadable, unpublished: row.unpublished })
    }
}

impl Batch<'_> {
    /// Locks those accounts of `customers` that nobody else has locked, and loads them without grants. Gives the
    /// database's clock as read after the locks.
    pub async fn lock_free_accounts(
        &mut self,
        customers: &[CustomerId],
    ) -> Result<(Timestamp, HashMap<CustomerId, Account>), StoreError> {
        let ids: Vec<&str> = customers.iter().map(CustomerId::as_str).collect();
        let free = sqlx::query_scalar!(
            "select customer_id from accounts where customer_id = any($1)
             order by customer_id for update skip locked",
            &ids as _,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let free: Vec<&str> = free.iter().map(String::as_str).collect();
        let mut accounts = HashMap::with_capacity(free.len());
        for customer in &free {
            let customer = id(CustomerId::parse(customer))?;
            accounts.insert(customer.clone(), Account::new(customer));
        }
        let clock = self.load_existing(&free, &mut accounts).await?;
        Ok((clock, accounts))
    }

    /// Loads what is due at `clock` of locked `accounts`: one account after the other, each in the order in which it is
    /// settled, `limit` grants in all. Accounts behind the one that is cut are not told of.
    pub async fn load_due(
        &mut self,
        accounts: &mut HashMap<CustomerId, Account>,
        clock: Timestamp,
        limit: usize,
    ) -> Result<DuePart, StoreError> {
        let mut ids: Vec<&str> = accounts.keys().map(CustomerId::as_str).collect();
        ids.sort_unstable();
        let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut rows = sqlx::query_file!("src/store/sql/load_due.sql", &ids as _, clock, one_more)
            .fetch_all(&mut *self.tx)
            .await?;
        let beyond = if rows.len() > limit { rows.pop() } else { None };
        for row in rows {
            let row = grant_row!(row);
            let grant = row.grant()?;
            self.stored.grants.insert(grant.terms.grant_id);
            if let Some(account) = accounts.get_mut(&grant.terms.customer_id) {
                account.grants.insert(grant.terms.grant_id, grant);
            }
        }
        let cut = match beyond {
            Some(row) => {
                let kind = if row.due_at == row.effective_at { EntryType::Grant } else { EntryType::Expire };
                let cut = Cut { due_at: row.due_at, kind, grant_id: GrantId(row.grant_id) };
                Some((id(CustomerId::parse(&row.customer_id))?, cut))
            }
            None => None,
        };
        let is_whole = |customer: &&CustomerId| cut.as_ref().is_none_or(|(last, _)| *customer < last);
        let mut whole: Vec<CustomerId> = accounts.keys().filter(is_whole).cloned().collect();
        whole.sort();
        Ok(DuePart { whole, cut })
    }
}
