//! How much of a pool has to be loaded so that use finds in memory what it would find among all grants.
//!
//! A use takes from the spendable grants in order, so the first ones suffice that together hold what all uses of the
//! batch ask for. Grants that other messages of the batch name do not count for that sum: a refund may empty them first.
//! Nor does what is due: settling comes first. Then no use ever looks for a grant behind the last one loaded.

use std::collections::{BTreeMap, HashMap, HashSet};

use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::account::{Account, Grant};
use crate::domain::ids::{CreditType, CustomerId};
use crate::domain::message::Timestamp;
use crate::domain::needs::Draw;

/// What a batch could take of pools without naming a grant.
pub type Pools = BTreeMap<(CustomerId, CreditType), Draw>;

/// So many grants of a pool are read at first: most uses need one or two.
const AT_FIRST: i64 = 16;

/// And so many times more each time that they do not suffice.
const TIMES: i64 = 16;

/// A pool, and how much all uses ask of it.
#[derive(Clone, Copy)]
struct Pool<'p> {
    customer: &'p CustomerId,
    kind: &'p CreditType,
    used: Decimal,
    /// How much the loaded grants have to hold: the same, and what of them others may take first.
    held: Decimal,
}

/// The amounts that are still to be found, and how many grants of each pool are read for that.
pub(super) struct Wanted<'p> {
    pools: Vec<Pool<'p>>,
    limit: i64,
}

impl<'p> Wanted<'p> {
    pub(super) fn of(pools: &'p Pools) -> Self {
        let amounts = pools.iter().filter_map(|((customer, kind), draw)| match draw {
            Draw::Amount(amount) => Some(Pool { customer, kind, used: amount.value(), held: amount.value() }),
            Draw::All => None,
        });
        Self { pools: amounts.collect(), limit: AT_FIRST }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    pub(super) fn limit(&self) -> i64 {
        self.limit
    }

    /// Customers, credit types and amounts.
    pub(super) fn columns(&self) -> (Vec<&'p str>, Vec<&'p str>, Vec<Decimal>) {
        let owners = self.pools.iter().map(|pool| pool.customer.as_str());
        let kinds = self.pools.iter().map(|pool| pool.kind.as_str());
        (owners.collect(), kinds.collect(), self.pools.iter().map(|pool| pool.held).collect())
    }

    /// What is still missing after grants were loaded: nothing of a pool that holds enough, or has no more.
    pub(super) fn still_missing(
        self,
        accounts: &HashMap<CustomerId, Account>,
        named: &[Uuid],
        clock: Timestamp,
    ) -> Self {
        if self.pools.is_empty() {
            return self;
        }
        let named: HashSet<Uuid> = named.iter().copied().collect();
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let missing = self.pools.into_iter().filter_map(|pool| {
            let account = accounts.get(pool.customer)?;
            let settled_to = account.settled_to?;
            let found = |grant: &&Grant| {
                let due = grant.terms.expires_at.is_some_and(|end| end <= clock);
                grant.terms.credit_type == *pool.kind && grant.is_spendable(settled_to) && !due
            };
            let (mut count, mut all, mut sure) = (0, Decimal::ZERO, Decimal::ZERO);
            for grant in account.grants.values().filter(found) {
                let remaining = grant.remaining.value();
                count += 1;
                all += remaining;
                if !named.contains(&grant.terms.grant_id.0) {
                    sure += remaining;
                }
            }
            let has_more = count >= limit || all >= pool.held;
            // Twice what others may take first: a few rounds, whatever they named.
            (sure < pool.used && has_more).then(|| Pool { held: pool.used + (all - sure) * Decimal::TWO, ..pool })
        });
        Self { pools: missing.collect(), limit: self.limit.saturating_mul(TIMES) }
    }
}

/// Grants by their ids, and what is due of `customers` at `clock`, as they stand in their rows.
pub(super) async fn grants(
    connection: &mut PgConnection,
    customers: &[&str],
    clock: Timestamp,
    ids: &[Uuid],
) -> Result<Vec<Grant>, StoreError> {
    let none: [&str; 0] = [];
    let amounts: [Decimal; 0] = [];
    let rows = sqlx::query_file!(
        "src/store/sql/load_grants.sql",
        customers as _,
        clock,
        ids,
        &none as _,
        &none as _,
        &amounts,
        0
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| grant_row!(row).grant()).collect()
}

/// Every grant with something left, scheduled ones too, of the pools of which everything may be taken.
pub(super) async fn all_open(connection: &mut PgConnection, pools: &Pools) -> Result<Vec<Uuid>, StoreError> {
    let all: Vec<_> = pools.iter().filter(|(_, draw)| **draw == Draw::All).map(|(pool, _)| pool).collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let ids = sqlx::query_scalar!(
        "select grant_id from grants
         join unnest($1::text[], $2::text[]) as pool (customer_id, credit_type) using (customer_id, credit_type)
         where remaining > 0",
        &all.iter().map(|(customer, _)| customer.as_str()).collect::<Vec<_>>() as _,
        &all.iter().map(|(_, kind)| kind.as_str()).collect::<Vec<_>>() as _,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids)
}
