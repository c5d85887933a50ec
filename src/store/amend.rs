//! Amends rows that a batch found: names, purchases, grants, accounts and decisions. Each is one statement, and is
//! left out where nothing of its kind changed.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::Batch;
use super::composite::NewDecision;
use super::error::StoreError;
use super::write::{Made, changed_grants, grants_text, messages_text, waiting_text};
use crate::domain::account::Account;
use crate::domain::books::{Books, Purchase};
use crate::domain::ids::{CustomerId, PurchaseId};
use crate::domain::message::{Name, Timestamp};
use crate::domain::purchase::Verdict;

impl Batch<'_> {
    /// Names whose purchase is not what their row says: a wrong guess, a merge, a release.
    pub(super) async fn write_names(&mut self, books: &Books<'_>) -> Result<(), StoreError> {
        let rows = |name: &Name| self.guessed.get(name).or_else(|| self.stored.names.get(name)).copied();
        let names = books.changes.names.iter().chain(self.guessed.keys());
        let wrong: Vec<(&Name, Option<PurchaseId>)> = names
            .map(|name| (name, books.names.get(name).copied()))
            .filter(|(name, purchase)| rows(name) != *purchase)
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let kinds: Vec<&str> = wrong.iter().map(|(name, _)| name.kind()).collect();
        let values: Vec<&str> = wrong.iter().map(|(name, _)| name.value()).collect();
        let purchases: Vec<Option<Uuid>> = wrong.iter().map(|(_, purchase)| purchase.map(|id| id.0)).collect();
        sqlx::query!(
            "update names set purchase_id = new.purchase_id
             from (select distinct * from unnest($1::text[], $2::text[], $3::uuid[])) as new (kind, value, purchase_id)
             where names.kind = new.kind and names.value = new.value",
            &kinds as _,
            &values as _,
            &purchases as _,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    pub(super) async fn write_purchases(&mut self, books: &Books<'_>) -> Result<(), StoreError> {
        let old: Vec<PurchaseId> =
            books.changes.purchases.iter().filter(|id| self.stored.purchases.contains(id)).copied().collect();
        if old.is_empty() {
            return Ok(());
        }
        let gone: Vec<Uuid> = old.iter().filter(|id| !books.purchases.contains_key(id)).map(|id| id.0).collect();
        let changed: Vec<&Purchase> = old.iter().filter_map(|id| books.purchases.get(id)).collect();
        sqlx::query!(
            "with gone as (delete from purchases where purchase_id = any($5))
             update purchases set messages = m::uuid[], grants = g::uuid[], waiting = w::uuid[],
                 waiting_since = case when w <> '{}' then coalesce(waiting_since, clock_timestamp()) end
             from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as new (p, m, g, w) where purchase_id = p",
            &changed.iter().map(|purchase| purchase.id.0).collect::<Vec<_>>(),
            &changed.iter().map(|purchase| messages_text(purchase)).collect::<Vec<_>>(),
            &changed.iter().map(|purchase| grants_text(purchase, books)).collect::<Vec<_>>(),
            &changed.iter().map(|purchase| waiting_text(purchase)).collect::<Vec<_>>(),
            &gone,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Grants that have a row. Those that cease to be the one of their line, or of their purchase, are set aside first,
    /// so that the law's unique index never sees two; `write_new` comes later for the same reason.
    pub(super) async fn write_grants(&mut self, books: &Books<'_>) -> Result<(), StoreError> {
        if self.stored.grants.is_empty() {
            return Ok(());
        }
        let old = |made: &Made<'_>| self.stored.grants.contains(&made.grant.terms.grant_id);
        let changed: Vec<Made<'_>> = changed_grants(books).into_iter().filter(old).collect();
        let leaves = |made: &&Made<'_>| made.grant.surplus || self.moves(made);
        let leaving: Vec<&Made<'_>> = changed.iter().filter(leaves).collect();
        let sole: Vec<&Made<'_>> = changed.iter().filter(|made| !made.grant.surplus).collect();
        self.update_grants(&leaving, true).await?;
        self.update_grants(&sole, false).await
    }

    /// Whether the grant belongs to another purchase than its row says.
    fn moves(&self, made: &Made<'_>) -> bool {
        made.purchase.is_some() && self.stored.purchase_of.get(&made.grant.terms.grant_id).copied() != made.purchase
    }

    async fn update_grants(&mut self, grants: &[&Made<'_>], surplus: bool) -> Result<(), StoreError> {
        if grants.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "update grants set remaining = new.remaining, asked = new.asked, taken = new.taken,
                 revoked = new.revoked, surplus = $6, due_at = new.due_at, spendable = new.spendable,
                 replaced_by = new.replaced_by, purchase_id = coalesce(new.purchase_id, grants.purchase_id)
             from unnest($1::uuid[], $2::numeric[], $3::numeric[], $4::numeric[], $5::numeric[], $7::timestamptz[],
                         $8::uuid[], $9::bool[], $10::uuid[])
                  as new (grant_id, remaining, asked, taken, revoked, due_at, purchase_id, spendable, replaced_by)
             where grants.grant_id = new.grant_id",
            &grants.iter().map(|made| made.grant.terms.grant_id.0).collect::<Vec<_>>(),
            &grants.iter().map(|made| made.grant.remaining.value()).collect::<Vec<_>>(),
            &grants.iter().map(|made| made.grant.asked.value()).collect::<Vec<_>>(),
            &grants.iter().map(|made| made.grant.taken.value()).collect::<Vec<_>>(),
            &grants.iter().map(|made| made.grant.revoked.value()).collect::<Vec<_>>(),
            surplus,
            &grants.iter().map(|made| made.due_at).collect::<Vec<_>>() as _,
            &grants.iter().map(|made| made.purchase.map(|id| id.0)).collect::<Vec<_>>() as _,
            &grants.iter().map(|made| made.spendable).collect::<Vec<_>>(),
            &grants.iter().map(|made| made.grant.replaced_by.map(|id| id.0)).collect::<Vec<_>>() as _,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Decisions without a grant: written anew for every purchase that changed.
    pub(super) async fn write_decisions(&mut self, books: &Books<'_>) -> Result<(), StoreError> {
        if self.stored.decisions {
            let changed: Vec<Uuid> = books.changes.purchases.iter().map(|id| id.0).collect();
            sqlx::query!("delete from decisions where purchase_id = any($1)", &changed).execute(&mut *self.tx).await?;
        }
        let mut new = Vec::new();
        for purchase in books.changes.purchases.iter().filter_map(|id| books.purchases.get(id)) {
            for decision in &purchase.decided {
                let gift = match &decision.verdict {
                    Verdict::Gift(gift) if books.is_made(gift) => continue,
                    Verdict::Gift(gift) => Some(gift.as_ref()),
                    Verdict::NoRule | Verdict::Zero(_) | Verdict::TooMuch(_) => None,
                };
                let customer = purchase.kept.iter().find_map(|kept| kept.statement.customer());
                let customer = customer.ok_or_else(|| StoreError::corrupt("a decision without a customer"))?;
                new.push(NewDecision { purchase: purchase.id, customer, decision, gift });
            }
        }
        if !new.is_empty() {
            sqlx::query!(
                "insert into decisions select * from unnest($1::decisions[]) on conflict do nothing",
                &new as _
            )
            .execute(&mut *self.tx)
            .await?;
        }
        Ok(())
    }
}

/// Accounts that were settled further than their row says.
pub(super) async fn write_accounts(
    tx: &mut PgConnection,
    settled: &HashMap<CustomerId, Timestamp>,
    books: &Books<'_>,
) -> Result<(), StoreError> {
    let moved = |account: &&Account| account.settled_to != settled.get(&account.customer_id).copied();
    let changed: Vec<&Account> =
        books.changes.accounts.iter().filter_map(|id| books.accounts.get(id)).filter(moved).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let customers: Vec<&str> = changed.iter().map(|account| account.customer_id.as_str()).collect();
    let instants: Vec<Timestamp> = changed.iter().filter_map(|account| account.settled_to).collect();
    let rows = sqlx::query!(
        "update accounts set settled_to = new.settled_to
         from unnest($1::text[], $2::timestamptz[]) as new (customer_id, settled_to)
         where accounts.customer_id = new.customer_id",
        &customers as _,
        &instants,
    )
    .execute(tx)
    .await?
    .rows_affected();
    if rows == customers.len() as u64 { Ok(()) } else { Err(StoreError::corrupt("an account was not locked")) }
}
