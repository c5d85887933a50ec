//! What holds of every life, however often somebody sweeps in between.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use rust_decimal::Decimal;

use super::super::random::{Random, on_every_core};
use super::super::shop::rules_of_every_form;
use super::super::world::World;
use super::life::{Life, life};
use crate::domain::ids::{CreditType, CustomerId, GrantId};
use crate::domain::ledger::{Entry, EntryType};
use crate::domain::message::{Content, Message, Timestamp};
use crate::domain::outcome::Outcome;
use crate::domain::rules::Category;
use crate::domain::usage::Usage;

const LIVES: u64 = 5_000;

type Pool = (CustomerId, CreditType);
type Balances = BTreeMap<Pool, Decimal>;

#[test]
fn no_sweep_changes_a_balance_and_every_past_balance_is_what_was_read_then() {
    on_every_core(LIVES, |seed| {
        let mut random = Random::seeded(seed);
        let life = life(&mut random);
        let told = |what: &str| format!("seed {seed}: {what}");
        let never = lived(&life, Sweeper::Never, &mut random, seed);
        let often = lived(&life, Sweeper::Often, &mut random, seed);
        let at_times = lived(&life, Sweeper::AtTimes, &mut random, seed);
        assert_eq!(never.read, often.read, "{}", told("swept often or never, every read is the same"));
        assert_eq!(never.read, at_times.read, "{}", told("swept at times or never, every read is the same"));
        assert_eq!(by_customer(&never.all), by_customer(&often.all), "{}", told("the ledger of each is the same"));
        assert_eq!(by_customer(&never.all), by_customer(&at_times.all), "{}", told("the ledger of each is the same"));
        for (at, balances) in &never.read {
            assert_eq!(&from_entries(&never.commanded, *at), balances, "{}", told(&format!("as of {at}, unswept")));
            assert_eq!(&from_entries(&often.all, *at), balances, "{}", told(&format!("as of {at}, swept")));
            assert_eq!(&from_deltas(&often.all, *at), balances, "{}", told(&format!("as of {at}, by deltas")));
        }
    });
}

#[test]
fn lives_are_eventful() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..300 {
        let life = life(&mut Random::seeded(seed));
        let mut world = World::under(rules_of_every_form());
        for (clock, message) in life {
            world.books.clock = clock;
            let (record, changes) = world.heard(message);
            *seen.entry(record.outcome.name()).or_default() += 1;
            for entry in &changes.entries {
                *seen.entry(entry.kind.name()).or_default() += 1;
                let replaces = entry.terms.as_ref().is_some_and(|terms| terms.replaces.is_some());
                *seen.entry("regranted").or_default() += usize::from(replaces);
                let short = entry.demand.is_some_and(|demand| !demand.shortfall.is_zero());
                *seen.entry("short").or_default() += usize::from(short);
            }
            let uses = changes.entries.iter().filter(|entry| entry.kind == EntryType::Consume).count();
            *seen.entry("use of several").or_default() += usize::from(uses > 1);
        }
    }
    println!("{seen:?}");
    let rare = seen.iter().find(|(_, count)| **count < 50);
    assert!(seen.len() == 13 && rare.is_none(), "{rare:?} of {seen:?}");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sweeper {
    Never,
    Often,
    AtTimes,
}

/// What was read after each instant's last message, and what was written.
struct Lived {
    read: BTreeMap<Timestamp, Balances>,
    /// By the messages alone, before the last sweep.
    commanded: Vec<Entry>,
    all: Vec<Entry>,
}

/// Lives a life under the audit of every step.
fn lived(life: &Life, sweeper: Sweeper, random: &mut Random, seed: u64) -> Lived {
    let mut world = World::under(rules_of_every_form());
    let mut lived = Lived { read: BTreeMap::new(), commanded: Vec::new(), all: Vec::new() };
    for (at, (clock, message)) in life.iter().enumerate() {
        world.books.clock = *clock;
        let predicted = as_predicted(&world, message);
        let (record, changes) = world.heard(message.clone());
        if let Some(predicted) = predicted.filter(|_| record.outcome == Outcome::Applied) {
            assert_eq!(taken(&changes.entries), predicted, "seed {seed}: {message:#?}");
        }
        lived.all.extend(changes.entries);
        let next = life.get(at + 1).map_or(*clock + TimeDelta::days(3), |(next, _)| *next);
        if *clock < next {
            lived.read.insert(*clock, read(&world, *clock));
        }
        lived.all.extend(swept(&mut world, sweeper, next, random));
    }
    lived.commanded.clone_from(&lived.all);
    let end = life.last().map_or_else(super::super::fixtures::start, |(clock, _)| *clock + TimeDelta::days(30));
    lived.all.extend(world.settle_at(end));
    lived
}

/// Sweeps between now and the next message: never, at every hour or so, or now and then.
fn swept(world: &mut World, sweeper: Sweeper, next: Timestamp, random: &mut Random) -> Vec<Entry> {
    let times = match sweeper {
        Sweeper::Never => 0,
        Sweeper::Often => 3,
        Sweeper::AtTimes => usize::from(random.percent(20)),
    };
    let mut entries = Vec::new();
    for _ in 0..times {
        let left = (next - world.books.clock).num_microseconds().unwrap();
        let part = left * i64::try_from(random.below(101)).unwrap() / 100;
        let at = world.books.clock + TimeDelta::microseconds(part);
        entries.extend(world.settle_at(at));
    }
    entries
}

/// What a read at `now` says: what remains of grants inside their dates, whatever is written of that.
fn read(world: &World, now: Timestamp) -> Balances {
    let mut balances = Balances::new();
    for account in world.books.accounts.values() {
        let pools = account.pools.keys().map(|kind| ((account.customer_id.clone(), kind.clone()), Decimal::ZERO));
        balances.extend(pools);
    }
    for grant in world.grants() {
        let terms = &grant.terms;
        if terms.effective_at <= now && terms.expires_at.is_none_or(|end| now < end) {
            *balances.get_mut(&(terms.customer_id.clone(), terms.credit_type.clone())).unwrap() +=
                grant.remaining.value();
        }
    }
    balances
}

/// The entries that count at `at`, settled in memory to it.
fn from_entries(entries: &[Entry], at: Timestamp) -> Balances {
    let mut balances = Balances::new();
    let mut grants = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.counts_at <= at) {
        balances.insert(pool(entry), Decimal::ZERO);
        let Some(after) = entry.grant else { continue };
        if let Some(terms) = &entry.terms {
            grants.insert(after.grant_id, (pool(entry), terms, after.remaining.value()));
        }
        grants.get_mut(&after.grant_id).expect("a first entry counts first").2 = after.remaining.value();
    }
    for (pool, terms, remaining) in grants.into_values() {
        if terms.effective_at <= at && terms.expires_at.is_none_or(|end| at < end) {
            *balances.get_mut(&pool).unwrap() += remaining;
        }
    }
    balances
}

/// The sum of deltas that count at `at`, of a ledger that everything due is written in.
fn from_deltas(entries: &[Entry], at: Timestamp) -> Balances {
    let mut balances = Balances::new();
    for entry in entries.iter().filter(|entry| entry.counts_at <= at) {
        *balances.entry(pool(entry)).or_default() += entry.delta.value();
    }
    balances
}

fn pool(entry: &Entry) -> Pool {
    (entry.customer_id.clone(), entry.credit_type.clone())
}

fn by_customer(entries: &[Entry]) -> BTreeMap<&CustomerId, Vec<&Entry>> {
    let mut all: BTreeMap<_, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        all.entry(&entry.customer_id).or_default().push(entry);
    }
    all
}

/// One entry of a use: which grant, what it asked for, and what was not there.
type Part = (Option<GrantId>, Decimal, Decimal);

fn taken(entries: &[Entry]) -> Vec<Part> {
    let consumed = entries.iter().filter(|entry| entry.kind == EntryType::Consume);
    let part = |entry: &Entry| {
        let demand = entry.demand.unwrap();
        assert_eq!(entry.delta.value(), demand.shortfall.value() - demand.requested.value(), "{entry:?}");
        (entry.grant.map(|grant| grant.grant_id), demand.requested.value(), demand.shortfall.value())
    };
    consumed.map(part).collect()
}

/// What a use will take, if the message is one: from all grants, sorted and walked through.
fn as_predicted(world: &World, message: &Message) -> Option<Vec<Part>> {
    let Content::Usage(Usage { customer_id, credit_type, amount, .. }) = &message.content else { return None };
    let account = world.books.accounts.get(customer_id);
    let now = account.map_or(world.books.clock, |account| account.now(world.books.clock));
    let grants = account.into_iter().flat_map(|account| account.grants.values());
    let open = grants.filter(|grant| {
        let terms = &grant.terms;
        let started = terms.effective_at <= now;
        started && terms.credit_type == *credit_type && terms.expires_at.is_none_or(|end| now < end)
    });
    let mut open: Vec<_> = open.filter(|grant| grant.remaining.value() > Decimal::ZERO).collect();
    open.sort_by(|one, other| {
        let end = |at: &Option<Timestamp>| at.map_or(i64::MAX, |at| at.timestamp_micros());
        let (a, b) = (&one.terms, &other.terms);
        let by_end = a.priority.value().cmp(&b.priority.value()).then(end(&a.expires_at).cmp(&end(&b.expires_at)));
        let paid = |category: Category| u8::from(category == Category::Paid);
        let by_kind = by_end.then(paid(a.category).cmp(&paid(b.category)));
        by_kind.then(a.effective_at.cmp(&b.effective_at)).then(a.grant_id.0.as_bytes().cmp(b.grant_id.0.as_bytes()))
    });
    let mut left = amount.value();
    let mut parts = Vec::new();
    for grant in open {
        if left > Decimal::ZERO {
            let part = left.min(grant.remaining.value());
            left -= part;
            parts.push((Some(grant.terms.grant_id), part, Decimal::ZERO));
        }
    }
    match parts.last_mut() {
        Some((_, asked, short)) => (*asked, *short) = (*asked + left, left),
        None => parts.push((None, left, left)),
    }
    Some(parts)
}
