//! Follows the entries as a reader of the ledger would, and holds the accounts to them: invariants 1, 2 and 3.

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;

use crate::domain::account::Account;
use crate::domain::ids::{CreditType, CustomerId, GrantId};
use crate::domain::ledger::{Entry, EntryType};
use crate::domain::message::Timestamp;

#[derive(Debug, Clone, Default)]
struct Pool {
    sequence: u64,
    sum: Decimal,
    counts_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Audit {
    pools: BTreeMap<(CustomerId, CreditType), Pool>,
    remaining: HashMap<GrantId, Decimal>,
    used: HashMap<GrantId, Decimal>,
}

impl Audit {
    /// Reads new entries, in order.
    pub(super) fn read(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.read_pool(entry);
            self.read_grant(entry);
        }
    }

    fn read_pool(&mut self, entry: &Entry) {
        let pool = self.pools.entry((entry.customer_id.clone(), entry.credit_type.clone())).or_default();
        pool.sequence += 1;
        pool.sum += entry.delta.value();
        assert_eq!(entry.sequence, pool.sequence, "sequence has no gaps: {entry:?}");
        assert_eq!(entry.end_balance.value(), pool.sum, "end_balance is the sum of deltas: {entry:?}");
        assert!(pool.counts_at.is_none_or(|last| last <= entry.counts_at), "counts_at never falls: {entry:?}");
        pool.counts_at = Some(entry.counts_at);
    }

    fn read_grant(&mut self, entry: &Entry) {
        let Some(after) = entry.grant else {
            assert!(entry.kind == EntryType::Consume && entry.delta.value().is_zero(), "found nothing: {entry:?}");
            assert!(entry.demand.is_some_and(|demand| demand.shortfall == demand.requested), "{entry:?}");
            return;
        };
        let begins = matches!(entry.kind, EntryType::Schedule | EntryType::Grant) && entry.terms.is_some();
        if let Some(terms) = &entry.terms {
            assert!(begins, "terms stand on the first entry only: {entry:?}");
            assert!(!self.remaining.contains_key(&after.grant_id), "a grant is made once: {entry:?}");
            assert!(terms.expires_at.is_none_or(|end| terms.effective_at < end), "dates in order: {entry:?}");
            self.remaining.insert(after.grant_id, terms.amount.value());
        }
        let remaining = self.remaining.get_mut(&after.grant_id).expect("a grant's first entry has its terms");
        let moved = entry.demand.map_or(Decimal::ZERO, |demand| {
            assert!(!demand.requested.is_zero() && demand.shortfall <= demand.requested, "{entry:?}");
            demand.requested.less(demand.shortfall).value()
        });
        match entry.kind {
            EntryType::Schedule => assert!(begins && entry.delta.value().is_zero(), "{entry:?}"),
            EntryType::Grant => assert_eq!(entry.delta.value(), *remaining, "{entry:?}"),
            EntryType::Revoke => *remaining -= moved,
            EntryType::Consume => {
                *remaining -= moved;
                *self.used.entry(after.grant_id).or_default() += moved;
            }
            EntryType::Reinstate => *remaining += moved,
            EntryType::Expire => *remaining += entry.delta.value(),
        }
        assert_eq!(after.remaining.value(), *remaining, "grant_remaining follows the entries: {entry:?}");
    }

    /// All that was used of a grant.
    pub(super) fn use_of(&self, grant_id: GrantId) -> Decimal {
        self.used.get(&grant_id).copied().unwrap_or_default()
    }

    /// Holds accounts to what was read.
    pub(super) fn check(&self, accounts: &HashMap<CustomerId, Account>) {
        for account in accounts.values() {
            let mut active: BTreeMap<&CreditType, Decimal> = BTreeMap::new();
            for grant in account.grants.values() {
                let (remaining, amount) = (grant.remaining, grant.terms.amount);
                assert!(remaining <= amount, "no grant holds more than its amount: {grant:?}");
                assert_eq!(self.remaining[&grant.terms.grant_id], remaining.value(), "entries tell all of {grant:?}");
                assert!(grant.asked <= grant.terms.basis && grant.taken <= grant.terms.basis, "{grant:?}");
                if account.settled_to.is_some_and(|now| grant.is_inside(now)) {
                    *active.entry(&grant.terms.credit_type).or_default() += remaining.value();
                }
            }
            for (credit_type, pool) in &account.pools {
                let read = &self.pools[&(account.customer_id.clone(), credit_type.clone())];
                let active = active.get(credit_type).copied().unwrap_or_default();
                assert_eq!(pool.balance.value(), read.sum, "the balance is the sum of deltas");
                assert_eq!(pool.balance.value(), active, "the balance is what remains of active grants");
                assert_eq!(pool.sequence, read.sequence, "the pool agrees with its last entry");
            }
        }
    }
}
