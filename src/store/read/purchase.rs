//! Purchases as their rows have them, and how they are found: by a name, by a grant, by waiting.
//!
//! Bodies of messages are for `wire` to decode, which their reader has to ask.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::{AccountView, KeptMessage, Snapshot};
use crate::domain::account::Grant;
use crate::domain::ids::{CustomerId, GrantId, Identity, InboxId, PurchaseId, RuleName, RulesHash};
use crate::domain::ledger::LedgerEntry;
use crate::domain::message::{Name, Timestamp};
use crate::domain::purchase::Decision;
use crate::store::batch::{Batch, name};
use crate::store::error::StoreError;
use crate::store::in_order;
use crate::store::rows::id;

/// All rows of one purchase.
#[derive(Debug, Clone)]
pub struct PurchaseRows {
    /// Which.
    pub id: PurchaseId,
    /// Its kept messages in order of arrival, with their outcomes.
    pub messages: Vec<KeptMessage>,
    /// The messages that wait.
    pub waiting: BTreeSet<InboxId>,
    /// What was decided of lines without a grant (yet).
    pub pending: Vec<Decision>,
    /// Its grants as they are written.
    pub grants: HashMap<GrantId, Grant>,
    /// Every entry of those grants, in order.
    pub entries: Vec<LedgerEntry>,
    /// The accounts of those grants, each with them alone, as they are now.
    pub accounts: Vec<AccountView>,
}

/// One message that waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waiting {
    /// The message.
    pub inbox_id: InboxId,
    /// The purchase that misses something.
    pub purchase: PurchaseId,
    /// When it began to wait.
    pub since: Timestamp,
    /// How long it has been waiting, in seconds by the database's clock.
    pub seconds: i64,
}

impl Snapshot<'_> {
    /// Every kind of name with this value, and the purchase that it belongs to; absent if no kept message has it.
    pub async fn named(&mut self, value: &str) -> Result<Vec<(Name, Option<PurchaseId>)>, StoreError> {
        let rows = sqlx::query!("select kind, purchase_id from names where value = $1 order by kind", value)
            .fetch_all(&mut *self.tx)
            .await?;
        rows.into_iter().map(|row| Ok((name(&row.kind, value)?, row.purchase_id.map(PurchaseId)))).collect()
    }

    /// The purchases that `names` belong to.
    pub async fn purchases_of(&mut self, names: &BTreeSet<Name>) -> Result<BTreeSet<PurchaseId>, StoreError> {
        let kinds: Vec<&str> = names.iter().map(Name::kind).collect();
        let values: Vec<&str> = names.iter().map(Name::value).collect();
        let rows = sqlx::query_scalar!(
            r#"select n.purchase_id as "purchase_id!"
               from names n join unnest($1::text[], $2::text[]) as wanted (kind, value)
                    on n.kind = wanted.kind and n.value = wanted.value
               where n.purchase_id is not null"#,
            &kinds as _,
            &values as _,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(rows.into_iter().map(PurchaseId).collect())
    }

    /// One purchase with all its rows.
    pub async fn purchase(&mut self, purchase: PurchaseId) -> Result<Option<PurchaseRows>, StoreError> {
        let row = sqlx::query!(
            r#"select messages as "messages!", grants as "grants!", waiting as "waiting!" from purchases
               where purchase_id = $1
               union all
               select messages, grants, '{}'::uuid[] from plain_purchases
               where purchase_id = $1 and not exists (select from purchases where purchase_id = $1)"#,
            purchase.0,
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let grants = self.grants_of(&row.grants).await?;
        let mut rows = PurchaseRows {
            id: purchase,
            messages: self.kept(&row.messages).await?,
            waiting: row.waiting.into_iter().map(InboxId).collect(),
            pending: self.pending(purchase).await?,
            entries: Vec::new(),
            accounts: Vec::new(),
            grants,
        };
        let customers: BTreeSet<CustomerId> =
            rows.grants.values().map(|grant| grant.terms.customer_id.clone()).collect();
        for customer in customers {
            rows.entries.extend(self.entries_of(&customer, &row.grants).await?);
        }
        rows.entries.sort_by_key(|entry| entry.position);
        rows.accounts = self.touched(&rows.entries).await?;
        Ok(Some(rows))
    }

    async fn pending(&mut self, purchase: PurchaseId) -> Result<Vec<Decision>, StoreError> {
        let decided = Batch::decisions_in(&mut self.tx, &[purchase]).await?;
        Ok(decided.into_iter().map(|(_, decision)| decision).collect())
    }

    /// Grants by their ids, as they are written: not settled.
    pub async fn grants_of(&mut self, ids: &[Uuid]) -> Result<HashMap<GrantId, Grant>, StoreError> {
        let grants = in_order::grants(&mut self.tx, &[], Timestamp::default(), ids).await?;
        Ok(grants.into_iter().map(|grant| (grant.terms.grant_id, grant)).collect())
    }

    /// Every entry of a customer's `grants`, in order.
    pub async fn entries_of(&mut self, customer: &CustomerId, grants: &[Uuid]) -> Result<Vec<LedgerEntry>, StoreError> {
        let positions = sqlx::query_scalar!(
            "select position from ledger where customer_id = $1 and grant_id = any($2) order by position",
            customer.as_str(),
            grants,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        self.entries_at(&positions).await
    }

    /// The purchase of a grant; absent for a grant of none.
    pub async fn purchase_of_grant(&mut self, GrantId(grant): GrantId) -> Result<Option<PurchaseId>, StoreError> {
        let row = sqlx::query_scalar!("select purchase_id from grants where grant_id = $1", grant)
            .fetch_optional(&mut *self.tx)
            .await?;
        Ok(row.flatten().map(PurchaseId))
    }

    /// A customer's purchases with a grant, or with a line that was decided and gave none (yet), at most `limit`, and
    /// whether there are more. First those with the latest grant, or the latest first message of those without one.
    pub async fn purchases_of_customer(
        &mut self,
        customer: &CustomerId,
        limit: u32,
    ) -> Result<(Vec<PurchaseId>, bool), StoreError> {
        // What a release set apart has no first message under its id: it comes last.
        let mut rows = sqlx::query_scalar!(
            r#"select purchase_id as "purchase_id!" from (
                   select purchase_id, first_counts_at as at from grants
                   where customer_id = $1 and purchase_id is not null
                   union all
                   select purchase_id, (select received_at from inbox where inbox_id = purchase_id) from decisions
                   where customer_id = $1
               ) as purchase
               group by purchase_id order by max(at) desc nulls last, purchase_id limit $2"#,
            customer.as_str(),
            i64::from(limit).saturating_add(1),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        Ok((rows.into_iter().map(PurchaseId).collect(), more))
    }

    /// A customer's signups that gave nothing, the latest first, at most `limit`.
    pub async fn signups_without_grant(
        &mut self,
        customer: &CustomerId,
        limit: u32,
    ) -> Result<Vec<KeptMessage>, StoreError> {
        let rows = sqlx::query_scalar!(
            "select inbox_id from signups_without_grant where customer_id = $1 order by inbox_id desc limit $2",
            customer.as_str(),
            i64::from(limit),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        self.kept(&rows).await
    }

    /// A customer's grants that no purchase gave, the latest first, at most `limit`.
    pub async fn grants_apart(&mut self, customer: &CustomerId, limit: u32) -> Result<Vec<GrantId>, StoreError> {
        let rows = sqlx::query_scalar!(
            "select grant_id from grants where customer_id = $1 and purchase_id is null
             order by first_counts_at desc, grant_id limit $2",
            customer.as_str(),
            i64::from(limit),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(rows.into_iter().map(GrantId).collect())
    }

    /// A customer's account as it is now, with these grants and no others.
    pub async fn account_of(
        &mut self,
        customer: &CustomerId,
        grants: &[GrantId],
    ) -> Result<Option<AccountView>, StoreError> {
        let ids: Vec<Uuid> = grants.iter().map(|grant| grant.0).collect();
        let mut view = self.account_with(customer, &ids).await?;
        if let Some(view) = &mut view {
            view.account.grants.retain(|id, _| grants.contains(id));
        }
        Ok(view)
    }

    /// The messages that wait, the oldest purchase first, at most `limit`.
    pub async fn waiting(&mut self, limit: u32) -> Result<Vec<Waiting>, StoreError> {
        let rows = sqlx::query!(
            r#"select w.inbox_id as "inbox_id!", p.purchase_id, o.decided_at as "since!",
                      extract(epoch from clock_timestamp() - o.decided_at)::bigint as "seconds!"
               from purchases p
                    cross join lateral unnest(p.waiting) as w (inbox_id)
                    cross join lateral (
                        select max(decided_at) as decided_at from outcomes
                        where inbox_id = w.inbox_id and outcome = 'waiting') o
               where p.waiting_since is not null
               order by p.waiting_since, w.inbox_id limit $1"#,
            i64::from(limit),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let waiting = rows.into_iter().map(|row| Waiting {
            inbox_id: InboxId(row.inbox_id),
            purchase: PurchaseId(row.purchase_id),
            since: row.since,
            seconds: row.seconds,
        });
        Ok(waiting.collect())
    }

    /// The text of a rules file that was in force.
    pub async fn rules_text(&mut self, RulesHash(hash): RulesHash) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!("select text from rules_files where rules_hash = $1", hash.as_slice())
            .fetch_optional(&mut *self.tx)
            .await?)
    }

    /// Who claimed `identity`, by rule.
    pub async fn claims(&mut self, identity: &Identity) -> Result<HashMap<RuleName, CustomerId>, StoreError> {
        let rows = sqlx::query!("select rule, customer_id from identity_claims where identity = $1", identity.as_str())
            .fetch_all(&mut *self.tx)
            .await?;
        rows.into_iter()
            .map(|row| Ok((id(RuleName::parse(&row.rule))?, id(CustomerId::parse(&row.customer_id))?)))
            .collect()
    }
}
