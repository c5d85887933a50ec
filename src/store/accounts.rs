//! Locks accounts and loads what a batch needs of them: pools, grants that are named, grants that are due.
//! Never all grants of an account: a hot customer has 100,000.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::Batch;
use super::error::StoreError;
use super::in_order::{self, Pools};
use super::rows::{TermsRow, credits, fact, id, origin, rules_hash, scale};
use crate::domain::account::{Account, Pool};
use crate::domain::ids::{CreditType, CustomerId, GrantId, PriceId, PurchaseId, RuleName};
use crate::domain::message::Timestamp;
use crate::domain::purchase::{Decision, Gift, Verdict};

impl Batch<'_> {
    /// Locks the accounts of `customers`, makes those that are new, and loads them with the `named` grants, all that
    /// is due, and of each of `pools` what can be taken from it. Gives the database's clock as read after the locks.
    pub async fn lock_accounts(
        &mut self,
        customers: &BTreeSet<CustomerId>,
        named: &[Uuid],
        pools: &Pools,
    ) -> Result<(Timestamp, HashMap<CustomerId, Account>), StoreError> {
        let mut accounts: HashMap<CustomerId, Account> =
            customers.iter().map(|id| (id.clone(), Account::new(id.clone()))).collect();
        let ids: Vec<&str> = customers.iter().map(CustomerId::as_str).collect();
        let (all_new, mut clock) = match self.early.accounts {
            // What was asked for then is part of what is asked for now.
            Some((asked, all_new, clock)) if asked == ids.len() => (all_new, clock),
            _ => {
                let made = sqlx::query!(
                    r#"with clock as materialized (select clock_timestamp() as now),
                       made as (
                           insert into accounts (customer_id, settled_to)
                           select new, clock.now from unnest($1::text[]) as new, clock
                           where (select 1 from accounts where customer_id = new) is null returning 1
                       )
                       select clock.now as "now!", (select count(*) from made) = cardinality($1::text[]) as "all_new!"
                       from clock"#,
                    &ids as _,
                )
                .fetch_one(&mut *self.tx)
                .await?;
                (made.all_new, made.now)
            }
        };
        if all_new {
            for customer in customers {
                self.settle_at(&mut accounts, customer.clone(), clock);
            }
        }
        let existing: Vec<&str> =
            customers.iter().filter(|id| !self.settled.contains_key(*id)).map(CustomerId::as_str).collect();
        if !existing.is_empty() {
            clock = self.load_existing(&existing, &mut accounts).await?;
        }
        self.load_grants(&existing, named, pools, clock, &mut accounts).await?;
        Ok((clock, accounts))
    }

    fn settle_at(&mut self, accounts: &mut HashMap<CustomerId, Account>, id: CustomerId, at: Timestamp) {
        if let Some(account) = accounts.get_mut(&id) {
            account.settled_to = Some(at);
        }
        self.settled.insert(id, at);
    }

    pub(super) async fn load_existing(
        &mut self,
        existing: &[&str],
        accounts: &mut HashMap<CustomerId, Account>,
    ) -> Result<Timestamp, StoreError> {
        let rows = sqlx::query!(
            "select customer_id, settled_to from accounts where customer_id = any($1)
             order by customer_id for update",
            existing as _,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        for row in rows {
            let customer = id(CustomerId::parse(&row.customer_id))?;
            self.settle_at(accounts, customer, row.settled_to);
        }
        let rows = sqlx::query!(
            r#"with clock as materialized (select clock_timestamp() as now)
               select clock.now as "now!", customer_id as "customer_id?", credit_type as "credit_type?",
                      balance as "balance?", sequence as "sequence?"
               from clock left join pools on customer_id = any($1)"#,
            existing as _,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let clock = rows.first().map(|row| row.now).ok_or_else(|| StoreError::corrupt("no clock"))?;
        for row in rows {
            let (Some(customer), Some(kind), Some(balance), Some(sequence)) =
                (row.customer_id, row.credit_type, row.balance, row.sequence)
            else {
                continue;
            };
            let balance = credits(balance).map_err(|error| error.in_row("the pool of", &customer))?;
            let pool = Pool { balance, sequence: sequence.cast_unsigned() };
            let (customer, kind) = (id(CustomerId::parse(&customer))?, id(CreditType::parse(&kind))?);
            if let Some(account) = accounts.get_mut(&customer) {
                account.pools.insert(kind.clone(), pool);
            }
            self.stored.pools.insert((customer, kind));
        }
        Ok(clock)
    }

    async fn load_grants(
        &mut self,
        existing: &[&str],
        named: &[Uuid],
        pools: &Pools,
        clock: Timestamp,
        accounts: &mut HashMap<CustomerId, Account>,
    ) -> Result<(), StoreError> {
        if existing.is_empty() && named.is_empty() {
            return Ok(());
        }
        let open = in_order::all_open(&mut self.tx, pools).await?;
        let named: Vec<Uuid> = named.iter().copied().chain(open).collect();
        let mut wanted = in_order::Wanted::of(pools);
        let mut customers = existing;
        loop {
            let (owners, kinds, amounts) = wanted.columns();
            let rows = sqlx::query_file!(
                "src/store/sql/load_grants.sql",
                customers as _,
                clock,
                &named,
                &owners as _,
                &kinds as _,
                &amounts,
                wanted.limit(),
            )
            .fetch_all(&mut *self.tx)
            .await?;
            for row in rows {
                let row = grant_row!(row);
                let grant = row.grant()?;
                self.stored.grants.insert(grant.terms.grant_id);
                if let Some(account) = accounts.get_mut(&grant.terms.customer_id) {
                    account.grants.insert(grant.terms.grant_id, grant);
                }
            }
            wanted = wanted.still_missing(accounts, &named, clock);
            if wanted.is_empty() {
                return Ok(());
            }
            // What is due is there already.
            customers = &[];
        }
    }

    /// The purchases that grants belong to: read, not locked.
    pub async fn purchases_of(
        &mut self,
        grants: &BTreeSet<GrantId>,
    ) -> Result<BTreeMap<GrantId, PurchaseId>, StoreError> {
        if grants.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids: Vec<Uuid> = grants.iter().map(|grant| grant.0).collect();
        let rows = sqlx::query!(
            r#"select grant_id, purchase_id as "purchase_id!" from grants
               where grant_id = any($1) and purchase_id is not null"#,
            &ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(rows.into_iter().map(|row| (GrantId(row.grant_id), PurchaseId(row.purchase_id))).collect())
    }

    /// The decisions of `purchases` that led to no grant (yet).
    pub async fn decisions(&mut self, purchases: &[PurchaseId]) -> Result<Vec<(PurchaseId, Decision)>, StoreError> {
        if purchases.is_empty() {
            return Ok(Vec::new());
        }
        let decided = Self::decisions_in(&mut self.tx, purchases).await?;
        self.stored.decisions = !decided.is_empty();
        Ok(decided)
    }

    /// The same on any session, for those who ask.
    pub(super) async fn decisions_in(
        connection: &mut PgConnection,
        purchases: &[PurchaseId],
    ) -> Result<Vec<(PurchaseId, Decision)>, StoreError> {
        let ids: Vec<Uuid> = purchases.iter().map(|id| id.0).collect();
        let rows = sqlx::query!(
            "select * from decisions where purchase_id = any($1) order by price_id, fact_kind, fact_id",
            &ids
        )
        .fetch_all(connection)
        .await?;
        let missing = || StoreError::corrupt("a decision without its terms");
        let mut decided = Vec::new();
        for row in rows {
            let rule = row.rule.as_deref().map(RuleName::parse).transpose().map_err(StoreError::corrupt)?;
            let verdict = match row.verdict.as_str() {
                "no-rule" => Verdict::NoRule,
                "zero" => Verdict::Zero(rule.ok_or_else(missing)?),
                "too-much" => Verdict::TooMuch(rule.ok_or_else(missing)?),
                _ => {
                    let amount = row.amount.ok_or_else(missing)?;
                    let terms = TermsRow {
                        grant_id: row.grant_id.ok_or_else(missing)?,
                        customer_id: row.customer_id,
                        credit_type: row.credit_type.ok_or_else(missing)?,
                        amount,
                        basis: amount,
                        category: row.category.ok_or_else(missing)?,
                        priority: row.priority.ok_or_else(missing)?,
                        cost_amount: row.cost_amount,
                        cost_currency: row.cost_currency,
                        effective_at: row.effective_at.ok_or_else(missing)?,
                        expires_at: row.expires_at,
                        price_id: Some(row.price_id.clone()),
                        rule: row.rule,
                        rules_hash: Some(row.rules_hash.clone()),
                        replaces: None,
                        reason: row.reason,
                        actor: row.actor.ok_or_else(missing)?,
                        cause_source: row.cause_source.ok_or_else(missing)?,
                        cause_id: row.cause_id.ok_or_else(missing)?,
                        cause_type: row.cause_type.ok_or_else(missing)?,
                    };
                    let (on_invoice, in_full) = (row.on_invoice.ok_or_else(missing)?, row.in_full.ok_or_else(missing)?);
                    Verdict::Gift(Box::new(Gift {
                        terms: terms.terms()?.into(),
                        scale: scale(row.scale.ok_or_else(missing)?)?,
                        origin: origin(&row.fact_kind, &row.fact_id, on_invoice, in_full)?,
                    }))
                }
            };
            let decision = Decision {
                price_id: id(PriceId::parse(&row.price_id))?,
                fact: fact(&row.fact_kind, &row.fact_id)?,
                rules_hash: rules_hash(&row.rules_hash)?,
                verdict,
            };
            decided.push((PurchaseId(row.purchase_id), decision));
        }
        Ok(decided)
    }
}
