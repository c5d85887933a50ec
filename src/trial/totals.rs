//! What a comparison comes to: by rule, and by credit type.

use rust_decimal::Decimal;

use crate::domain::account::Grant;

/// Credits of grants after what refunds ask back, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credits {
    /// What was granted.
    pub granted: Decimal,
    /// What the rules would have granted.
    pub would_be: Decimal,
}

/// The grants of one rule that would be others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleTally {
    /// Grants that there are not.
    pub more: u64,
    /// Grants that there would not be.
    pub fewer: u64,
    /// Grants that would have another amount or other terms.
    pub other: u64,
    /// Of those grants alone.
    pub credits: Credits,
}

/// All grants of one credit type that were compared, equal ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeTotals {
    /// How many were granted.
    pub grants: u64,
    /// How many the rules would have granted.
    pub would_be_grants: u64,
    /// What they hold.
    pub credits: Credits,
}

impl Credits {
    /// What the rules would have granted more; below zero if less.
    #[must_use]
    pub fn difference(&self) -> Decimal {
        self.would_be.saturating_sub(self.granted)
    }

    /// Adds one pair. 28 digits hold the sum of a trillion of the largest grants.
    pub fn add(&mut self, granted: Option<&Grant>, would_be: Option<&Grant>) {
        self.granted = self.granted.saturating_add(granted.map_or(Decimal::ZERO, net));
        self.would_be = self.would_be.saturating_add(would_be.map_or(Decimal::ZERO, net));
    }
}

/// A grant's credits after what refunds ask back.
#[must_use]
pub fn net(grant: &Grant) -> Decimal {
    grant.terms.amount.less(grant.asked).value()
}
