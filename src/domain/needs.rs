//! What a message needs of the world: `store` locks and loads it before [`super::books::Books`] take the message.

use std::collections::{BTreeMap, BTreeSet};

use super::adjustment::{Action, Adjustment};
use super::amounts::Credits;
use super::ids::{CreditType, CustomerId, GrantId, Identity, RuleName};
use super::message::{Content, Message, Name};
use super::rules::Rules;

/// What has to be loaded and locked before a message can be taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Every name it mentions.
    pub names: BTreeSet<Name>,
    /// Every customer it mentions.
    pub customers: BTreeSet<CustomerId>,
    /// Grants that it could make apart from any purchase.
    pub grants: BTreeSet<GrantId>,
    /// Identities that it could claim.
    pub identities: BTreeSet<(RuleName, Identity)>,
    /// Pools that it takes from without naming a grant.
    pub pools: BTreeMap<(CustomerId, CreditType), Draw>,
    /// Grants that it closes: their purchases change with them.
    pub regranted: BTreeSet<GrantId>,
}

/// How much of a pool could be taken in the order of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// So much, and no more.
    Amount(Credits),
    /// All of it, scheduled grants included.
    All,
}

impl Draw {
    /// Both, one after the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            // Far below what a decimal holds, for as many uses as one batch has; beyond it, all.
            (Self::Amount(one), Self::Amount(two)) => one.checked_add(two).map_or(Self::All, Self::Amount),
            _ => Self::All,
        }
    }
}

/// Says what `message` needs.
#[must_use]
pub fn needs(message: &Message, rules: &Rules) -> Needs {
    match &message.content {
        Content::Purchase(statement) => Needs {
            names: statement.names(),
            customers: statement.customer().cloned().into_iter().collect(),
            ..Needs::default()
        },
        Content::Signup(signup) => super::signup::needs(signup, rules),
        Content::Usage(usage) => Needs {
            names: message.content.names(),
            customers: [usage.customer_id.clone()].into(),
            pools: [((usage.customer_id.clone(), usage.credit_type.clone()), Draw::Amount(usage.amount))].into(),
            ..Needs::default()
        },
        Content::Adjustment(adjustment) => Needs {
            names: message.content.names(),
            customers: [adjustment.customer_id.clone()].into(),
            ..needs_by_hand(adjustment)
        },
    }
}

fn needs_by_hand(adjustment: &Adjustment) -> Needs {
    match &adjustment.action {
        Action::Grant(_) => Needs { grants: [adjustment.made()].into(), ..Needs::default() },
        Action::Revoke { grant_id, .. } => Needs { grants: [*grant_id].into(), ..Needs::default() },
        Action::Regrant { grant_id, .. } => {
            let grants = [*grant_id, adjustment.made()].into();
            Needs { grants, regranted: [*grant_id].into(), ..Needs::default() }
        }
        Action::RevokeAll => {
            let pool = (adjustment.customer_id.clone(), adjustment.credit_type.clone());
            Needs { pools: [(pool, Draw::All)].into(), ..Needs::default() }
        }
    }
}
