//! The order in which grants are used: one comparator for use, preview and every list, and it is total.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use super::account::Grant;
use super::ids::{CreditType, GrantId};
use super::ledger::ShownTerms;
use super::message::Timestamp;
use super::rules::{Category, Priority};

/// When a grant is used: priority, expiry (none last), promotional before paid, start, id. The first comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    priority: Priority,
    ends: Ends,
    category: Category,
    effective_at: Timestamp,
    grant_id: GrantId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ends {
    At(Timestamp),
    Never,
}

impl Place {
    /// The place of a grant with these terms.
    #[must_use]
    pub fn new(grant_id: GrantId, terms: &ShownTerms) -> Self {
        Self {
            priority: terms.priority,
            ends: terms.expires_at.map_or(Ends::Never, Ends::At),
            category: terms.category,
            effective_at: terms.effective_at,
            grant_id,
        }
    }
}

impl Grant {
    /// Its place in the order of use.
    #[must_use]
    pub fn place(&self) -> Place {
        Place::new(self.terms.grant_id, &self.terms.shown())
    }

    /// The order of use, total: priority, expiry (none last), promotional before paid, start, id.
    #[must_use]
    pub fn order_of_use(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

/// The spendable grants of an account in the order of use, for the pools that use has asked for.
///
/// Built at a pool's first use and kept up to date from then on, so that a thousand uses of one customer sort once. Only
/// a way to find grants: it says nothing that they do not say, and so does not count when accounts are compared.
#[derive(Debug, Clone, Default)]
pub(super) struct InOrder(HashMap<CreditType, BTreeSet<Place>>);

impl PartialEq for InOrder {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for InOrder {}

impl InOrder {
    /// The grants to take `amount`-bearing use from, first to last, of an account that is settled to `now`.
    pub(super) fn of(
        &mut self,
        credit_type: &CreditType,
        grants: &HashMap<GrantId, Grant>,
        now: Timestamp,
    ) -> impl Iterator<Item = GrantId> {
        let sorted = || {
            let spendable = |grant: &&Grant| grant.terms.credit_type == *credit_type && grant.is_spendable(now);
            grants.values().filter(spendable).map(Grant::place).collect()
        };
        self.0.entry(credit_type.clone()).or_insert_with(sorted).iter().map(|place| place.grant_id)
    }

    /// Notes that a grant is as it is now, in an account that is settled to `now`.
    pub(super) fn note(&mut self, grant: &Grant, now: Timestamp) {
        let Some(places) = self.0.get_mut(&grant.terms.credit_type) else { return };
        if grant.is_spendable(now) {
            places.insert(grant.place());
        } else {
            places.remove(&grant.place());
        }
    }
}
