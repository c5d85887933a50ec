//! The ledger: what one line says, and the words for it.
//!
//! `account` makes [`Entry`]s; `store` gives them position, id, time of writing and hash, and from then on they are
//! [`LedgerEntry`]s that never change. `wire` turns each into one event.

use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;
use uuid::Uuid;

use super::amounts::{Credits, Money, shown};
use super::ids::{Actor, CreditType, CustomerId, GrantId, MessageId, PriceId, Reason, RuleName, RulesHash, Source};
use super::message::Timestamp;
use super::rules::{Category, Priority};

/// What a line does to a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryType {
    /// A grant was made that starts later. Delta 0.
    Schedule,
    /// Credits became spendable.
    Grant,
    /// Credits were used.
    Consume,
    /// Credits were taken back.
    Revoke,
    /// Credits ran out of time.
    Expire,
    /// Credits that were taken back were given again.
    Reinstate,
}

impl EntryType {
    /// Every type.
    pub const ALL: [Self; 6] =
        [Self::Schedule, Self::Grant, Self::Consume, Self::Revoke, Self::Expire, Self::Reinstate];

    /// The word in ledger, events and routing keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Grant => "grant",
            Self::Consume => "consume",
            Self::Revoke => "revoke",
            Self::Expire => "expire",
            Self::Reinstate => "reinstate",
        }
    }

    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Where a grant stands; derived from a grant's dates and amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantStatus {
    /// Starts later.
    Scheduled,
    /// May be used.
    Active,
    /// Nothing remains, by use.
    Depleted,
    /// Nothing remains, and revokes took more than reinstates gave back.
    Revoked,
    /// Its time is over.
    Expired,
}

impl GrantStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Scheduled, Self::Active, Self::Depleted, Self::Revoked, Self::Expired];

    /// The word in ledger and events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Depleted => "depleted",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// The message (or the verb) that brought a change about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The system that sent it.
    pub source: Source,
    /// Its id there.
    pub id: MessageId,
    /// Its type, such as `payment-succeeded`.
    pub kind: Arc<str>,
}

/// What a grant is, from its first entry on; never edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Derived from the cause.
    pub grant_id: GrantId,
    /// Whose credits.
    pub customer_id: CustomerId,
    /// Which pool.
    pub credit_type: CreditType,
    /// How many credits, above zero.
    pub amount: Credits,
    /// Whether somebody paid for them.
    pub category: Category,
    /// When they are used.
    pub priority: Priority,
    /// Paid grants: the line's money in total. Promotional ones: absent, which means zero.
    pub cost: Option<Money>,
    /// Active from this instant on.
    pub effective_at: Timestamp,
    /// Not active from this instant on; later than `effective_at`.
    pub expires_at: Option<Timestamp>,
    /// The line's price.
    pub price_id: Option<PriceId>,
    /// The rule that gave it.
    pub rule: Option<RuleName>,
    /// The rules file it stood in.
    pub rules_hash: Option<RulesHash>,
    /// After a regrant: the grant it replaces.
    pub replaces: Option<GrantId>,
    /// What refund fractions apply to: the amount, or after a regrant the first grant's.
    pub basis: Credits,
    /// Words for people.
    pub reason: Option<Reason>,
    /// Who gave it.
    pub actor: Actor,
    /// What brought it about.
    pub cause: Cause,
}

/// The part of a grant's terms that its events show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownTerms {
    /// How many credits.
    pub amount: Credits,
    /// Whether somebody paid for them.
    pub category: Category,
    /// When they are used.
    pub priority: Priority,
    /// Paid grants: the line's money in total.
    pub cost: Option<Money>,
    /// Active from this instant on.
    pub effective_at: Timestamp,
    /// Not active from this instant on.
    pub expires_at: Option<Timestamp>,
}

impl Terms {
    /// What events show of them.
    #[must_use]
    pub fn shown(&self) -> ShownTerms {
        ShownTerms {
            amount: self.amount,
            category: self.category,
            priority: self.priority,
            cost: self.cost,
            effective_at: self.effective_at,
            expires_at: self.expires_at,
        }
    }
}

/// A signed change of a balance. Below 1e15 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delta(Decimal);

impl Delta {
    /// No change.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Credits come in.
    #[must_use]
    pub fn plus(credits: Credits) -> Self {
        Self(credits.value())
    }

    /// Credits go out.
    #[must_use]
    pub fn minus(credits: Credits) -> Self {
        if credits.is_zero() { Self::ZERO } else { Self(-credits.value()) }
    }

    /// With so much more coming in.
    #[must_use]
    pub fn more(self, credits: Credits) -> Self {
        Self(self.0.saturating_add(credits.value()).normalize())
    }

    /// With so much more going out.
    #[must_use]
    pub fn fewer(self, credits: Credits) -> Self {
        Self(self.0.saturating_sub(credits.value()).normalize())
    }

    /// Takes what the database holds.
    #[must_use]
    pub fn stored(value: Decimal) -> Self {
        Self(value.normalize())
    }

    /// The signed number, without trailing zeros.
    #[must_use]
    pub fn value(self) -> Decimal {
        self.0
    }
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.0, f)
    }
}

/// The grant that an entry touched, as it is after the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantAfter {
    /// Which grant.
    pub grant_id: GrantId,
    /// What it holds.
    pub remaining: Credits,
    /// Where it stands.
    pub status: GrantStatus,
}

/// What a `revoke`, `reinstate` or `consume` asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Asked for.
    pub requested: Credits,
    /// The part that was not there to take (or to give back).
    pub shortfall: Credits,
}

/// One line of the ledger, before it has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose pool.
    pub customer_id: CustomerId,
    /// Which pool.
    pub credit_type: CreditType,
    /// 1, 2, 3 … within the pool.
    pub sequence: u64,
    /// What it does.
    pub kind: EntryType,
    /// Change of the pool's spendable balance.
    pub delta: Delta,
    /// The balance after it.
    pub end_balance: Credits,
    /// The grant touched; absent on a `consume` that found nothing.
    pub grant: Option<GrantAfter>,
    /// On a grant's first entry only.
    pub terms: Option<Arc<Terms>>,
    /// On `revoke`, `reinstate` and `consume` only.
    pub demand: Option<Demand>,
    /// Who.
    pub actor: Actor,
    /// Why, in words.
    pub reason: Option<Reason>,
    /// By which message; activation and expiry carry the grant's own cause.
    pub cause: Cause,
    /// The business instant.
    pub effective_at: Timestamp,
    /// From when a past balance counts it.
    pub counts_at: Timestamp,
}

/// One line of the ledger in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// 1, 2, 3 … over the whole ledger, in the order of commits.
    pub position: u64,
    /// Its event's id.
    pub entry_id: Uuid,
    /// When it was written; never below the entry before it.
    pub recorded_at: Timestamp,
    /// What it says.
    pub entry: Entry,
}
