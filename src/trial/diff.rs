//! Stored messages under other rules, against what was granted.
//!
//! A purchase is taken whole, in the order in which the worker took its messages, into empty books; a signup after all
//! earlier ones. Grants are compared by purchase and price, or customer and rule. What a link showed to be one grant too
//! many is left out on both sides. Memory does not grow with purchases: what differs is counted, and listed up to a
//! limit.

use std::collections::{BTreeMap, HashMap};

use super::said;
use super::signups::Signups;
pub use super::totals::{Credits, RuleTally, TypeTotals, net};
use crate::domain::account::Grant;
use crate::domain::books::Books;
use crate::domain::ids::{CreditType, CustomerId, GrantId, InboxId, PriceId, RuleName};
use crate::domain::message::{Message, Timestamp};
use crate::domain::rules::Rules;

/// What makes a grant another one. Customer, price and credit type are what grants are compared by.
const COMPARED: [&str; 9] =
    ["rule", "amount", "asked", "category", "priority", "cost", "effective_at", "expires_at", "reason"];

/// A grant that would be another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// As it is; absent if there is none.
    pub granted: Option<Grant>,
    /// As it would be; absent if there would be none.
    pub would_be: Option<Grant>,
}

/// What became of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Which.
    pub field: &'static str,
    /// As it is.
    pub granted: String,
    /// As it would be.
    pub would_be: String,
}

/// What grants of one purchase are compared by.
type Line = (Option<PriceId>, CreditType);

/// A comparison under way.
#[derive(Debug)]
pub struct Diff<'r> {
    rules: &'r Rules,
    clock: Timestamp,
    limit: usize,
    signups: Signups,
    /// Grants whose signup would have led to none so far; a later one of the same customer still may.
    missed: BTreeMap<GrantId, Grant>,
    outcome: Compared,
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub struct Compared {
    /// Purchases that were compared.
    pub purchases: u64,
    /// Signups that were compared.
    pub signups: u64,
    /// Grants that would be others.
    pub differing: u64,
    /// The first of them, as many as were asked for.
    pub listed: Vec<Difference>,
    /// By rule: of a grant that would not be its own, else the rule that would grant.
    pub by_rule: BTreeMap<RuleName, RuleTally>,
    /// By credit type.
    pub by_type: BTreeMap<CreditType, TypeTotals>,
}

impl Difference {
    /// The side that is there, as it would be rather than as it is.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.would_be.as_ref().or(self.granted.as_ref())
    }

    /// `more`, `fewer` or `other`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match (&self.granted, &self.would_be) {
            (None, _) => "more",
            (Some(_), None) => "fewer",
            (Some(_), Some(_)) => "other",
        }
    }

    /// What differs, where there are two sides.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldChange> {
        let (Some(granted), Some(would_be)) = (&self.granted, &self.would_be) else { return Vec::new() };
        let sides = COMPARED.map(|field| FieldChange {
            field,
            // None of these fields depends on the time at which one looks.
            granted: said(granted, field, Timestamp::default()),
            would_be: said(would_be, field, Timestamp::default()),
        });
        sides.into_iter().filter(|change| change.granted != change.would_be).collect()
    }

    fn is_none(&self) -> bool {
        match (&self.granted, &self.would_be) {
            (None, None) => true,
            (Some(_), Some(_)) => self.fields().is_empty(),
            _ => false,
        }
    }
}

impl<'r> Diff<'r> {
    /// Begins; at most `limit` grants will be listed. `clock` is the database's.
    #[must_use]
    pub fn new(rules: &'r Rules, clock: Timestamp, limit: usize) -> Self {
        let (signups, missed, outcome) = (Signups::default(), BTreeMap::new(), Compared::default());
        Self { rules, clock, limit, signups, missed, outcome }
    }

    /// Compares one purchase: all its kept messages in the order in which they were taken, and all its grants.
    pub fn purchase(&mut self, messages: impl IntoIterator<Item = (InboxId, Message)>, granted: Vec<Grant>) {
        let mut books = Books::new(self.rules, self.clock);
        for (inbox_id, message) in messages {
            books.take(inbox_id, message);
        }
        let line = |grant: &Grant| (grant.terms.price_id.clone(), grant.terms.credit_type.clone());
        let mut lines: BTreeMap<Line, Difference> = BTreeMap::new();
        for grant in granted.into_iter().filter(|grant| !grant.surplus) {
            lines.insert(line(&grant), Difference { granted: Some(grant), would_be: None });
        }
        let accounts = books.accounts.into_values();
        for grant in accounts.flat_map(|account| account.grants.into_values()).filter(|grant| !grant.surplus) {
            let slot = lines.entry(line(&grant)).or_insert(Difference { granted: None, would_be: None });
            slot.would_be = Some(grant);
        }
        self.outcome.purchases = self.outcome.purchases.saturating_add(1);
        for difference in lines.into_values() {
            self.note(difference);
        }
    }

    /// Takes a signup from before the range: it is not compared, but what it got and claimed counts.
    pub fn earlier_signup(&mut self, inbox_id: InboxId, message: Message) {
        self.signups.take(inbox_id, message, self.rules, self.clock);
    }

    /// Compares one signup. `known` are the grants that there are under the ids that it could give, `caused` those that
    /// it did give.
    pub fn signup(
        &mut self,
        inbox_id: InboxId,
        message: Message,
        known: &HashMap<GrantId, Grant>,
        caused: impl IntoIterator<Item = Grant>,
    ) {
        self.outcome.signups = self.outcome.signups.saturating_add(1);
        for grant in self.signups.take(inbox_id, message, self.rules, self.clock) {
            self.missed.remove(&grant.terms.grant_id);
            let granted = known.get(&grant.terms.grant_id).cloned();
            self.note(Difference { granted, would_be: Some(grant) });
        }
        for grant in caused {
            if self.signups.gave(grant.terms.grant_id) {
                continue;
            }
            let may_come = |rule: &RuleName| self.rules.signup.iter().any(|other| other.name == *rule);
            if grant.terms.rule.as_ref().is_some_and(may_come) {
                self.missed.insert(grant.terms.grant_id, grant);
            } else {
                self.note(Difference { granted: Some(grant), would_be: None });
            }
        }
    }

    /// Ends it.
    #[must_use]
    pub fn finish(mut self) -> Compared {
        for grant in std::mem::take(&mut self.missed).into_values() {
            self.note(Difference { granted: Some(grant), would_be: None });
        }
        self.outcome
    }

    fn note(&mut self, difference: Difference) {
        let (granted, would_be) = (difference.granted.as_ref(), difference.would_be.as_ref());
        let Some(grant) = difference.grant() else { return };
        let totals = self.outcome.by_type.entry(grant.terms.credit_type.clone()).or_default();
        totals.grants = totals.grants.saturating_add(u64::from(granted.is_some()));
        totals.would_be_grants = totals.would_be_grants.saturating_add(u64::from(would_be.is_some()));
        totals.credits.add(granted, would_be);
        if difference.is_none() {
            return;
        }
        self.outcome.differing = self.outcome.differing.saturating_add(1);
        if let Some(rule) = grant.terms.rule.clone() {
            let tally = self.outcome.by_rule.entry(rule).or_default();
            let count = match (granted, would_be) {
                (None, _) => &mut tally.more,
                (Some(_), None) => &mut tally.fewer,
                (Some(_), Some(_)) => &mut tally.other,
            };
            *count = count.saturating_add(1);
            tally.credits.add(granted, would_be);
        }
        if self.outcome.listed.len() < self.limit {
            self.outcome.listed.push(difference);
        }
    }
}

impl Compared {
    /// By customer and credit type, of the grants that are listed.
    #[must_use]
    pub fn by_customer(&self) -> BTreeMap<(&CustomerId, &CreditType), Credits> {
        let mut customers: BTreeMap<(&CustomerId, &CreditType), Credits> = BTreeMap::new();
        for difference in &self.listed {
            let Some(grant) = difference.grant() else { continue };
            let key = (&grant.terms.customer_id, &grant.terms.credit_type);
            customers.entry(key).or_default().add(difference.granted.as_ref(), difference.would_be.as_ref());
        }
        customers
    }
}

#[cfg(test)]
mod tests;
