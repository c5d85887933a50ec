//! The table of `table.txt`: a life a line, in steps, and what comes out.
//!
//! The worked cases of order, time and refunds that need no use or adjustment stand in `time` and `refunds`.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::super::fixtures::*;
use super::super::rulebook::rules;
use super::super::world::World;
use super::words::*;
use crate::domain::adjustment::{Action, Adjustment, Expiry};
use crate::domain::ids::GrantId;
use crate::domain::ledger::Entry;
use crate::domain::message::{Message, Refund, RefundStatus, Timestamp};
use crate::domain::outcome::Outcome;
use crate::domain::rules::{Category, Priority};

const TABLE: &str = include_str!("table.txt");

#[test]
fn every_line_of_the_table_comes_out_as_it_says() {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (mut wrong, mut count) = (Vec::new(), 0);
    for line in lines {
        let (case, wanted) = line.split_once(" => ").unwrap_or((line, ""));
        let (_, steps) = case.split_once(": ").expect("a claim");
        let found = Play::of(steps);
        count += 1;
        if found != wanted {
            wrong.push(format!("{case} => {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} came out otherwise:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 110, "{count} lines");
}

#[test]
fn what_was_taken_is_a_duplicate_under_rules_that_no_longer_know_its_credit_type() {
    let mut world = World::under(counter());
    world.take(adjustment("a", Action::Grant(new_terms("5"))));
    world.take(usage("u", "2"));
    world.books.rules = rules(vec![], vec![]);
    assert_eq!(world.outcome(adjustment("a", Action::Grant(new_terms("5")))), Outcome::Duplicate);
    assert_eq!(world.outcome(usage("u", "2")), Outcome::Duplicate);
    assert_eq!(world.outcome(usage("v", "2")), Outcome::DeadLettered);
}

/// A life in the making: it begins on day 1.
struct Play {
    world: World,
    /// Of grants by hand, by their ids.
    names: BTreeMap<GrantId, String>,
    refunds: BTreeMap<String, Fixture<Refund>>,
    uses: usize,
    /// What the last step brought.
    last: Vec<String>,
}

/// The words of one step, taken from the front or found by the word before them.
struct Words<'s>(Vec<&'s str>);

impl<'s> Words<'s> {
    fn next(&mut self) -> &'s str {
        self.0.remove(0)
    }

    fn after(&self, word: &str) -> Option<&'s str> {
        let at = self.0.iter().position(|found| *found == word)?;
        self.0.get(at + 1).copied()
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    fn instant(&self, word: &str) -> Option<Timestamp> {
        self.after(word).map(instant)
    }

    fn priority(&self) -> Option<Priority> {
        self.0.iter().find_map(|word| Priority::new(word.strip_prefix('p')?.parse().ok()?))
    }

    fn expiry(&self) -> Option<Expiry> {
        let days = |text: &str| TimeDelta::days(text.trim_end_matches('d').parse().unwrap());
        let at = self.instant("until").map(Expiry::At).or(self.has("never").then_some(Expiry::Never));
        at.or(self.after("for").map(|length| Expiry::After(days(length))))
    }
}

/// `10d`, and a microsecond before it `10d-1`.
fn instant(text: &str) -> Timestamp {
    let (days, micros) = text.split_once('d').unwrap();
    day(days.parse().unwrap()) + TimeDelta::microseconds(micros.parse().unwrap_or_default())
}

impl Play {
    fn of(steps: &str) -> String {
        let world = World::under(counter()).at(day(1));
        let mut play = Self { world, names: BTreeMap::new(), refunds: BTreeMap::new(), uses: 0, last: Vec::new() };
        for step in steps.split("; ") {
            play.step(&mut Words(step.split(' ').collect()));
        }
        format!("{} | {}", play.stand(), play.last.join("; "))
    }

    fn step(&mut self, words: &mut Words<'_>) {
        match words.next() {
            "at" => self.world.books.clock = instant(words.next()),
            "sweep" => {
                let entries = self.world.settle_at(self.world.books.clock);
                self.last = entries.iter().map(|entry| self.entry(entry)).collect();
            }
            "give" => self.give(words),
            "use" => self.uses(words),
            "revoke" => self.revoke(words),
            "regrant" => self.regrant(words),
            "pay" => self.pay(words),
            "refund" => self.refund(words),
            "signup" => self.say(signup(), words),
            other => panic!("no step {other}"),
        }
    }

    fn say<T>(&mut self, message: Fixture<T>, words: &Words<'_>)
    where
        Message: From<Fixture<T>>,
    {
        let message = message.at(self.world.books.clock);
        let message: Message = match words.after("sent") {
            Some(id) => message.sent_as(id).into(),
            None => message.into(),
        };
        let (record, changes) = self.world.heard(message);
        self.last = changes.entries.iter().map(|entry| self.entry(entry)).collect();
        match (record.outcome, record.code) {
            (Outcome::Applied, _) => {}
            (_, Some(code)) => self.last.push(format!("refused {}", code.name())),
            (outcome, None) => self.last.push(outcome.name().to_owned()),
        }
    }

    fn adjust(&mut self, id: &str, action: Action, words: &Words<'_>) {
        let mut message = adjustment(id, action);
        message = match words.after("of") {
            Some(credit_type) => message.of_type(credit_type),
            None => message,
        };
        message = match words.after("by") {
            Some(customer) => message.by(customer),
            None => message,
        };
        let made = Adjustment::made(&message.says);
        self.names.insert(made, id.to_owned());
        self.say(message, words);
    }

    fn give(&mut self, words: &mut Words<'_>) {
        let (name, amount) = (words.next(), words.next());
        let mut terms = new_terms(amount);
        terms.priority = words.priority().unwrap_or(Priority::DEFAULT);
        terms.expiry = words.expiry().unwrap_or(Expiry::Never);
        terms.effective_at = words.instant("from");
        terms.used = words.after("used").map_or(crate::domain::amounts::Credits::ZERO, credits);
        terms.cost = words.after("cost").map(|cost| money(cost, words.after("in").unwrap_or("USD")));
        if words.has("paid") || terms.cost.is_some() {
            terms.category = Category::Paid;
        }
        self.adjust(name, Action::Grant(terms), words);
    }

    fn uses(&mut self, words: &mut Words<'_>) {
        self.uses += 1;
        let id = words.after("as").map_or_else(|| format!("u{}", self.uses), str::to_owned);
        let mut message = usage(&id, words.next());
        if let Some(credit_type) = words.after("of") {
            message = message.of_type(credit_type);
        }
        if let Some(customer) = words.after("by") {
            message = message.by(customer);
        }
        self.say(message, words);
    }

    fn revoke(&mut self, words: &mut Words<'_>) {
        let name = words.next();
        let amount = words.0.first().and_then(|word| word.starts_with(|c: char| c.is_ascii_digit()).then_some(*word));
        let action = match name {
            "all" => Action::RevokeAll,
            name => Action::Revoke { grant_id: self.id(name), amount: amount.map(credits) },
        };
        self.uses += 1;
        let id = words.after("as").map_or_else(|| format!("revoke {}", self.uses), str::to_owned);
        self.adjust(&id, action, words);
    }

    fn regrant(&mut self, words: &mut Words<'_>) {
        let grant_id = self.id(words.next());
        let action = Action::Regrant {
            grant_id,
            priority: words.priority(),
            effective_at: words.instant("from"),
            expiry: words.expiry(),
        };
        self.adjust(words.after("as").unwrap(), action, words);
    }

    /// `pay NAME CREDITS MONEY`: the grant has the price's name.
    fn pay(&mut self, words: &mut Words<'_>) {
        let (price, count, amount) = (words.next(), words.next().parse().unwrap(), words.next());
        let payment = payment_succeeded().named(&format!("pi_{price}")).of(amount, words.after("in").unwrap_or("USD"));
        self.say(payment.for_lines(&[(price, count, amount)]), words);
    }

    /// `refund ID MONEY of NAME`, or `refund ID fails` of one that was told before.
    fn refund(&mut self, words: &mut Words<'_>) {
        let id = words.next();
        let message = match words.next() {
            "fails" => self.refunds[id].clone().that_is(RefundStatus::Failed),
            amount => {
                let payment = format!("pi_{}", words.after("of").unwrap());
                refund(id).of(amount, words.after("in").unwrap_or("USD")).on_payment(&payment)
            }
        };
        self.refunds.insert(id.to_owned(), message.clone());
        self.say(message, words);
    }

    fn id(&self, name: &str) -> GrantId {
        let by_hand = self.names.iter().find(|(_, known)| *known == name).map(|(id, _)| *id);
        by_hand
            .or_else(|| {
                self.world.grants().find(|grant| self.name(grant.terms.grant_id) == name).map(|g| g.terms.grant_id)
            })
            .unwrap_or_else(|| GrantId::derive(&["nobody's", name]))
    }

    fn name(&self, id: GrantId) -> String {
        let made = || self.world.grants().find(|grant| grant.terms.grant_id == id).map(|grant| &grant.terms);
        let of_price = || made()?.price_id.as_ref().map(ToString::to_string);
        let of_rule = || made()?.rule.as_ref().map(ToString::to_string);
        self.names.get(&id).cloned().or_else(of_price).or_else(of_rule).unwrap_or_default()
    }

    fn entry(&self, entry: &Entry) -> String {
        let name = entry.grant.map_or_else(|| "of nothing".to_owned(), |grant| self.name(grant.grant_id));
        let kind = entry.kind.name();
        match entry.demand {
            None => format!("{kind} {name}: {}", entry.delta),
            Some(demand) if demand.shortfall.is_zero() => {
                format!("{kind} {} {name}: {}", demand.requested, entry.delta)
            }
            Some(demand) => format!("{kind} {} {name}: {}, short {}", demand.requested, entry.delta, demand.shortfall),
        }
    }

    /// What a read now says: every grant by its name, and the balances.
    fn stand(&self) -> String {
        let mut grants: Vec<String> = Vec::new();
        let mut balances = Vec::new();
        for account in self.world.books.accounts.values() {
            let (mut account, mut unread) = (account.clone(), Vec::new());
            let now = account.now(self.world.books.clock);
            account.settle(now, &mut unread);
            for grant in account.grants.values() {
                let cost = grant.terms.cost.map(|cost| format!(" {cost} {}", cost.currency().code()));
                let (name, status) = (self.name(grant.terms.grant_id), grant.status(now).name());
                grants.push(format!("{name} {} {status}{}", grant.remaining, cost.unwrap_or_default()));
            }
            balances.extend(account.pools.iter().map(|(kind, pool)| format!("{} {kind}", pool.balance)));
        }
        grants.sort();
        balances.sort();
        format!("{} = {}", grants.join(", "), balances.join(" + "))
    }
}
