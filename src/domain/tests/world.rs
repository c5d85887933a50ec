//! Books with a clock that a test moves, and what a test reads from them.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use uuid::Uuid;

use super::audit::Audit;
use super::fixtures::day;
use crate::domain::account::{Grant, Why};
use crate::domain::amounts::{Credits, parse_plain};
use crate::domain::books::{Books, Changes, Record};
use crate::domain::ids::{Actor, GrantId, InboxId};
use crate::domain::ledger::{Demand, Entry, EntryType};
use crate::domain::message::{Message, Timestamp};
use crate::domain::outcome::Outcome;
use crate::domain::purchase::gifts;
use crate::domain::rules::{Category, Rules};

/// What has to be the same in every order: whose, credit type, price and rule, amount, remaining, category, priority,
/// length in seconds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Open {
    pub(super) customer: String,
    pub(super) credit_type: String,
    pub(super) price: Option<String>,
    pub(super) rule: String,
    pub(super) amount: Decimal,
    pub(super) remaining: Decimal,
    pub(super) category: Category,
    pub(super) priority: u8,
    pub(super) seconds: Option<i64>,
}

/// Balances that are not zero, by customer and credit type.
pub(super) type Balances = BTreeMap<(String, String), Decimal>;

#[derive(Clone)]
pub(super) struct World {
    pub(super) books: Books<'static>,
    pub(super) audit: Audit,
    next: u128,
}

impl World {
    /// Nothing has happened; it is day 30.
    pub(super) fn under(rules: &'static Rules) -> Self {
        Self { books: Books::new(rules, day(30)), audit: Audit::default(), next: 1 }
    }

    pub(super) fn at(mut self, clock: Timestamp) -> Self {
        self.books.clock = clock;
        self
    }

    /// Takes a message, checks the invariants, and keeps no entries: see [`World::heard`] for those.
    pub(super) fn take(&mut self, message: impl Into<Message>) -> Record {
        self.heard(message).0
    }

    /// Takes a message: what became of it, and everything it changed.
    pub(super) fn heard(&mut self, message: impl Into<Message>) -> (Record, Changes) {
        let inbox_id = InboxId(Uuid::from_u128(self.next));
        self.next += 1;
        let record = self.books.take(inbox_id, message.into());
        let changes = std::mem::take(&mut self.books.changes);
        self.audit.read(&changes.entries);
        self.audit.check(&self.books.accounts);
        (record, changes)
    }

    pub(super) fn take_all(&mut self, messages: impl IntoIterator<Item = impl Into<Message>>) {
        for message in messages {
            self.take(message);
        }
    }

    /// The entries that a message brings, in words.
    pub(super) fn story(&mut self, message: impl Into<Message>) -> Vec<String> {
        self.heard(message).1.entries.iter().map(in_words).collect()
    }

    pub(super) fn outcome(&mut self, message: impl Into<Message>) -> Outcome {
        self.take(message).outcome
    }

    /// Moves the clock and settles every account; the entries that this brings.
    pub(super) fn settle_at(&mut self, clock: Timestamp) -> Vec<Entry> {
        self.books.clock = clock;
        let mut entries = Vec::new();
        for account in self.books.accounts.values_mut() {
            let now = account.now(clock);
            account.settle(now, &mut entries);
        }
        self.audit.read(&entries);
        self.audit.check(&self.books.accounts);
        entries
    }

    /// Uses credits of the one grant for `price`, as a `consume` would.
    pub(super) fn uses(&mut self, price: &str, amount: &str) {
        self.uses_of(self.grant(price).terms.grant_id, Credits::stored(parse_plain(amount).unwrap()).unwrap());
    }

    /// Uses credits of one grant, whatever its place in the order of use; the entries that this brings.
    pub(super) fn uses_of(&mut self, grant_id: GrantId, amount: Credits) -> Vec<Entry> {
        let mut entries = Vec::new();
        for account in self.books.accounts.values_mut() {
            let Some(grant) = account.grants.get(&grant_id) else { continue };
            let why = Why { actor: Actor::usage(), reason: None, cause: grant.terms.cause.clone() };
            let now = account.settled_to.unwrap();
            let demand = Demand { requested: amount, shortfall: Credits::ZERO };
            if !amount.is_zero() {
                account.take(grant_id, demand, why, (now, now, now), &mut entries);
            }
        }
        self.audit.read(&entries);
        entries
    }

    pub(super) fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.books.accounts.values().flat_map(|account| account.grants.values())
    }

    /// The one grant for `price` that is not surplus.
    pub(super) fn grant(&self, price: &str) -> &Grant {
        let is_for = |grant: &&Grant| grant.terms.price_id.as_ref().is_some_and(|id| id.as_str() == price);
        let mut found = self.grants().filter(is_for).filter(|grant| !grant.surplus);
        let grant = found.next().expect("a grant for that price");
        assert!(found.next().is_none(), "two grants for {price}");
        grant
    }

    pub(super) fn remaining(&self, price: &str) -> String {
        self.grant(price).remaining.to_string()
    }

    pub(super) fn balance(&self, customer: &str, credit_type: &str) -> String {
        let balance = self.balances().get(&(customer.to_owned(), credit_type.to_owned())).copied();
        balance.unwrap_or_default().to_string()
    }

    /// Fails if a purchase has two grants for one price that are not surplus.
    pub(super) fn one_grant_a_line(&self) {
        for purchase in self.books.purchases.values() {
            let mut lines = BTreeSet::new();
            for gift in gifts(&purchase.decided) {
                let terms = &gift.terms;
                let grant = self.grants().find(|grant| grant.terms.grant_id == terms.grant_id);
                if grant.is_some_and(|grant| !grant.surplus) {
                    assert!(lines.insert((&terms.price_id, &terms.credit_type)), "two grants for one line: {terms:?}");
                }
            }
        }
    }

    pub(super) fn open(&self) -> Vec<Open> {
        let mut open: Vec<Open> = self.grants().filter(|grant| !grant.remaining.is_zero()).map(Open::from).collect();
        open.sort();
        open
    }

    pub(super) fn balances(&self) -> Balances {
        let mut balances = Balances::new();
        for account in self.books.accounts.values() {
            for (credit_type, pool) in account.pools.iter().filter(|(_, pool)| !pool.balance.is_zero()) {
                let key = (account.customer_id.to_string(), credit_type.to_string());
                balances.insert(key, pool.balance.value());
            }
        }
        balances
    }
}

impl From<&Grant> for Open {
    fn from(grant: &Grant) -> Self {
        let terms = &grant.terms;
        Self {
            customer: terms.customer_id.to_string(),
            credit_type: terms.credit_type.to_string(),
            price: terms.price_id.as_ref().map(ToString::to_string),
            rule: terms.rule.as_ref().map(ToString::to_string).unwrap_or_default(),
            amount: terms.amount.value(),
            remaining: grant.remaining.value(),
            category: terms.category,
            priority: terms.priority.value(),
            seconds: terms.expires_at.map(|end| (end - terms.effective_at).num_seconds()),
        }
    }
}

/// `revoke 500: -200, short 300` or `grant: 1000`.
pub(super) fn in_words(entry: &Entry) -> String {
    let kind = entry.kind.name();
    match entry.demand {
        None if entry.kind == EntryType::Schedule => kind.to_owned(),
        None => format!("{kind}: {}", entry.delta),
        Some(demand) if demand.shortfall.is_zero() => format!("{kind} {}: {}", demand.requested, entry.delta),
        Some(demand) => format!("{kind} {}: {}, short {}", demand.requested, entry.delta, demand.shortfall),
    }
}
