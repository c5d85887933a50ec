//! What a customer held at a past instant, from the ledger alone.
//!
//! Pure. An entry counts from its `counts_at` on. What counts by then says what remained of each grant, and the grants'
//! dates say the rest (see [`super::held`]): an activation or expiry that was due and not written at that instant makes
//! no difference, since its entry, whenever it was written, counts from the instant at which it was due. So the answer
//! is what a read said at that instant, apart from commits that were then under way.

use std::collections::{BTreeSet, HashMap};

use super::amounts::Credits;
use super::held::{Held, Holdings};
use super::ids::{CreditType, GrantId};
use super::ledger::{Entry, ShownTerms};
use super::message::Timestamp;

/// The part of an entry that the past is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// From when it counts.
    pub counts_at: Timestamp,
    /// Which pool.
    pub credit_type: CreditType,
    /// The grant touched and what remains of it; absent on a `consume` that found nothing.
    pub grant: Option<(GrantId, Credits)>,
    /// On a grant's first entry.
    pub terms: Option<ShownTerms>,
}

impl From<&Entry> for Step {
    fn from(entry: &Entry) -> Self {
        Self {
            counts_at: entry.counts_at,
            credit_type: entry.credit_type.clone(),
            grant: entry.grant.map(|grant| (grant.grant_id, grant.remaining)),
            terms: entry.terms.as_deref().map(super::ledger::Terms::shown),
        }
    }
}

/// An entry touches a grant that no entry before it made: the ledger is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("grant {0} has no first entry")]
pub struct NoFirstEntry(pub GrantId);

/// One customer's entries up to an instant, as far as they were taken.
#[derive(Debug, Clone)]
pub struct Past {
    at: Timestamp,
    pools: BTreeSet<CreditType>,
    grants: HashMap<GrantId, (CreditType, Held)>,
}

impl Past {
    /// Looks back at `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self { at, pools: BTreeSet::new(), grants: HashMap::new() }
    }

    /// Takes the next entry of the customer: within a pool they come in order. What counts later is passed over.
    ///
    /// # Errors
    /// [`NoFirstEntry`] if entries before this one are missing.
    pub fn take(&mut self, step: Step) -> Result<(), NoFirstEntry> {
        if step.counts_at > self.at {
            return Ok(());
        }
        if let Some((grant_id, remaining)) = step.grant {
            if let Some(terms) = step.terms {
                self.grants.insert(grant_id, (step.credit_type.clone(), Held { grant_id, terms, remaining }));
            }
            self.grants.get_mut(&grant_id).ok_or(NoFirstEntry(grant_id))?.1.remaining = remaining;
        }
        if !self.pools.contains(&step.credit_type) {
            self.pools.insert(step.credit_type);
        }
        Ok(())
    }

    /// What the customer held.
    #[must_use]
    pub fn holdings(self) -> Holdings {
        Holdings::new(self.at, self.pools, self.grants.into_values())
    }
}
