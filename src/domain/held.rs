//! What a customer holds at an instant: by credit type, and grant by grant in the order of use.
//!
//! Pure. A grant counts by what remains of it and by its dates alone: inside them it may be used, before them it is
//! scheduled, from its end on it holds nothing. So it makes no difference whether the entry of an activation or expiry
//! is written yet: this is how a read settles in memory. Built by `store` from the grants' rows for now, and by
//! [`super::past`] from entries for any instant before.

use std::collections::BTreeMap;

use num_bigint::BigInt;

use super::amounts::{Credits, Currency, Money};
use super::ids::{CreditType, GrantId};
use super::ledger::ShownTerms;
use super::message::Timestamp;
use super::order::Place;

/// A grant and what remains of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Which grant.
    pub grant_id: GrantId,
    /// Its dates, cost and place in the order of use.
    pub terms: ShownTerms,
    /// What it holds.
    pub remaining: Credits,
}

impl Held {
    /// What remains in money at cost basis; absent for what nobody paid for.
    #[must_use]
    pub fn worth(&self) -> Option<Money> {
        self.terms.cost.map(|cost| cost.share(self.remaining, self.terms.amount))
    }

    /// Whether it starts after `at`.
    #[must_use]
    pub fn is_scheduled(&self, at: Timestamp) -> bool {
        self.terms.effective_at > at
    }

    fn holds_something(&self, at: Timestamp) -> bool {
        !self.remaining.is_zero() && self.terms.expires_at.is_none_or(|end| end > at)
    }
}

/// What a customer holds of one credit type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// What may be used: the sum of what remains of active grants.
    pub spendable: Credits,
    /// The sum of what remains of grants that start later.
    pub scheduled: Credits,
    /// Deferred revenue: the worth of what remains of paid grants, active and scheduled, in the currency's smallest
    /// unit.
    pub deferred: BTreeMap<Currency, BigInt>,
    /// The grants that hold something, in the order of use.
    pub grants: Vec<Held>,
}

impl Default for Holding {
    /// Nothing.
    fn default() -> Self {
        Self { spendable: Credits::ZERO, scheduled: Credits::ZERO, deferred: BTreeMap::new(), grants: Vec::new() }
    }
}

impl Holding {
    fn add(&mut self, grant: Held, at: Timestamp) {
        let sum = if grant.is_scheduled(at) { &mut self.scheduled } else { &mut self.spendable };
        *sum = sum.plus(grant.remaining);
        if let Some(worth) = grant.worth() {
            *self.deferred.entry(worth.currency()).or_default() += worth.minor();
        }
        self.grants.push(grant);
    }
}

/// What a customer holds at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    /// The instant.
    pub at: Timestamp,
    /// By credit type; one without a grant that holds something is there as well.
    pub pools: BTreeMap<CreditType, Holding>,
}

impl Holdings {
    /// Counts what `grants` hold at `at`. `pools` are the credit types that the customer ever had an entry of.
    #[must_use]
    pub fn new(
        at: Timestamp,
        pools: impl IntoIterator<Item = CreditType>,
        grants: impl IntoIterator<Item = (CreditType, Held)>,
    ) -> Self {
        let mut pools: BTreeMap<CreditType, Holding> =
            pools.into_iter().map(|credit_type| (credit_type, Holding::default())).collect();
        for (credit_type, grant) in grants.into_iter().filter(|(_, grant)| grant.holds_something(at)) {
            pools.entry(credit_type).or_default().add(grant, at);
        }
        for pool in pools.values_mut() {
            pool.grants.sort_by_key(|grant| Place::new(grant.grant_id, &grant.terms));
        }
        Self { at, pools }
    }
}
