//! The past from entries: what an account held at any instant, and what became of its grants.

use std::collections::HashMap;

use super::fixtures::*;
use super::random::{Random, on_every_core};
use super::rulebook::*;
use super::shop::{history, rules_of_every_form};
use super::world::World;
use crate::domain::account::Account;
use crate::domain::amounts::Credits;
use crate::domain::held::{Held, Holdings};
use crate::domain::ids::{CustomerId, GrantId};
use crate::domain::ledger::{Delta, Entry};
use crate::domain::life::Life;
use crate::domain::message::Timestamp;
use crate::domain::past::{NoFirstEntry, Past, Step};

/// What the account holds at `at`, by its grants.
fn held(account: &Account, at: Timestamp) -> Holdings {
    let grants = account.grants.values().map(|grant| {
        let held = Held { grant_id: grant.terms.grant_id, terms: grant.terms.shown(), remaining: grant.remaining };
        (grant.terms.credit_type.clone(), held)
    });
    Holdings::new(at, account.pools.keys().cloned(), grants)
}

fn past<'e>(entries: impl IntoIterator<Item = &'e Entry>, at: Timestamp) -> Holdings {
    let mut past = Past::new(at);
    for entry in entries {
        past.take(Step::from(entry)).unwrap();
    }
    past.holdings()
}

/// Now and then a half of an active grant is used, or all of it.
fn use_half(world: &mut World, random: &mut Random) -> Vec<Entry> {
    let mut entries = world.settle_at(world.books.clock);
    let mut active: Vec<_> = world
        .grants()
        .filter(|grant| grant.is_spendable(world.books.clock))
        .map(|grant| (grant.terms.grant_id, grant.remaining))
        .collect();
    active.sort();
    for (grant_id, remaining) in active {
        if random.percent(20) {
            let half = Credits::stored((remaining.value() / rust_decimal::Decimal::TWO).trunc()).unwrap();
            entries.extend(world.uses_of(grant_id, if random.percent(30) { remaining } else { half }));
        }
    }
    entries
}

/// Balance, scheduled and deferred, in words.
fn sums(holdings: &Holdings) -> Vec<String> {
    let words = |(kind, pool): (_, &crate::domain::held::Holding)| {
        let deferred: Vec<_> = pool.deferred.iter().map(|(currency, units)| format!("{units} {currency}")).collect();
        format!("{kind}: {} + {}, {}", pool.spendable, pool.scheduled, deferred.join(" "))
    };
    holdings.pools.iter().map(words).collect()
}

#[test]
fn an_instant_in_the_past_is_as_it_was_read_then_however_late_entries_are_written() {
    let rules = rules_of_every_form();
    on_every_core(400, |seed| {
        let mut random = Random::seeded(seed);
        let history = history(&mut random);
        let mut messages = history.messages;
        random.shuffle(&mut messages);
        let mut world = World::under(rules);
        let mut entries: HashMap<CustomerId, Vec<Entry>> = HashMap::new();
        let mut said = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            let left = i64::try_from(messages.len() - at).unwrap();
            world.books.clock = history.end - chrono::TimeDelta::days(9 * left);
            let mut written = world.heard(message.clone()).1.entries;
            written.extend(use_half(&mut world, &mut random));
            for entry in written {
                entries.entry(entry.customer_id.clone()).or_default().push(entry);
            }
            // Nothing is written in between: a read settles in memory.
            let later = world.books.clock + chrono::TimeDelta::hours(i64::try_from(random.below(9 * 24)).unwrap());
            said.extend(world.books.accounts.values().map(|account| (account.clone(), later)));
        }
        for (account, at) in said {
            let mut settled = account.clone();
            settled.settle(account.now(at), &mut Vec::new());
            let said = held(&account, account.now(at));
            for (kind, pool) in &settled.pools {
                assert_eq!(said.pools[kind].spendable, pool.balance, "seed {seed}: {kind} at {at}");
            }
            let theirs = entries.get(&account.customer_id).into_iter().flatten();
            assert_eq!(past(theirs, said.at), said, "seed {seed}: {} at {at}", account.customer_id);
        }
    });
}

#[test]
fn what_became_of_a_grant_comes_to_its_amount() {
    let rules = rules_of_every_form();
    on_every_core(400, |seed| {
        let mut random = Random::seeded(seed);
        let history = history(&mut random);
        let mut world = World::under(rules);
        let mut lives: HashMap<GrantId, Life> = HashMap::new();
        let mut entries = Vec::new();
        for (at, message) in history.messages.iter().enumerate() {
            let left = i64::try_from(history.messages.len() - at).unwrap();
            world.books.clock = history.end - chrono::TimeDelta::days(9 * left);
            entries.extend(world.heard(message.clone()).1.entries);
            entries.extend(use_half(&mut world, &mut random));
        }
        entries.extend(world.settle_at(history.end + chrono::TimeDelta::days(30)));
        for entry in &entries {
            lives.entry(entry.grant.unwrap().grant_id).or_default().take(entry);
        }
        for grant in world.grants() {
            let life = lives[&grant.terms.grant_id];
            let parts = grant.revoked.more(grant.remaining).more(life.used).more(life.expired);
            assert_eq!(parts, Delta::plus(grant.terms.amount), "seed {seed}: {life:?} of {grant:?}");
            assert_eq!(life.expired_at.is_some(), !life.expired.is_zero(), "seed {seed}: {life:?}");
            let begun = life.scheduled_at.or(life.granted_at);
            assert_eq!(begun, Some(grant.first_counts_at), "seed {seed}: {life:?}");
        }
    });
}

#[test]
fn a_grant_counts_from_when_it_was_made_and_not_from_its_start() {
    let mut world = World::under(rules(vec![rule("year").for_days(365)], vec![])).at(day(9));
    let (_, changes) = world.heard(payment_succeeded());
    assert_eq!(changes.entries[0].effective_at, start());
    assert_eq!(sums(&past(&changes.entries, hour(9 * 24 - 1))), Vec::<String>::new());
    assert_eq!(sums(&past(&changes.entries, day(9))), ["credits: 1000 + 0, 4900 USD"]);
    assert_eq!(sums(&past(&changes.entries, day(365))), ["credits: 0 + 0, "]);
}

#[test]
fn a_scheduled_grant_is_spendable_from_its_start_though_no_entry_says_so_yet() {
    let mut world = World::under(rules(vec![rule("brief").between_days(2, 4)], vec![])).at(day(1));
    let (_, changes) = world.heard(payment_succeeded());
    let at = |at| sums(&past(&changes.entries, at)).remove(0);
    assert_eq!(at(day(1)), "credits: 0 + 1000, 4900 USD");
    assert_eq!(at(day(2)), "credits: 1000 + 0, 4900 USD");
    assert_eq!(at(day(4)), "credits: 0 + 0, ");
}

#[test]
fn what_remains_is_worth_its_share_rounded_once_a_grant() {
    let mut world = World::under(packs());
    let payment = payment_succeeded();
    let mut entries = world.heard(&payment).1.entries;
    entries.extend(world.heard(partial_refund_of(&payment).of("0.07", "USD")).1.entries);
    // 1 of 1000 is taken back: 999 of them are worth 48.951.
    assert_eq!(sums(&past(&entries, day(30))), ["credits: 999 + 0, 4895 USD"]);
}

#[test]
fn an_entry_of_a_grant_that_was_never_made_is_refused() {
    let mut world = World::under(packs());
    let payment = payment_succeeded();
    world.take(&payment);
    let entries = world.heard(partial_refund_of(&payment)).1.entries;
    let grant_id = entries[0].grant.unwrap().grant_id;
    assert_eq!(Past::new(day(40)).take(Step::from(&entries[0])), Err(NoFirstEntry(grant_id)));
}
