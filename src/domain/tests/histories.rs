//! The promise over random histories: any order and any repetition end in the same open grants and balances.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::fixtures::start;
use super::model::{self, Expected};
use super::random::{Random, on_every_core};
use super::shop::{History, history, rules_of_every_form};
use super::world::{Balances, Open, World};
use crate::domain::books::Changes;
use crate::domain::message::{Message, Timestamp};
use crate::domain::outcome::Outcome;
use crate::domain::rules::Rules;

const HISTORIES: u64 = 20_000;

#[test]
fn any_order_and_any_repetition_end_in_the_same_open_grants_and_balances() {
    let rules = rules_of_every_form();
    on_every_core(HISTORIES, |seed| holds(rules, seed));
}

fn holds(rules: &'static Rules, seed: u64) {
    let mut random = Random::seeded(seed);
    let History { messages, end } = history(&mut random);
    let context = || format!("seed {seed}: {messages:#?}");

    let mut in_order = World::under(rules);
    walk(&mut in_order, &messages.iter().collect::<Vec<_>>(), end, &mut random, &mut |_, _| {});

    let mut repeated: Vec<&Message> = Vec::new();
    for message in &messages {
        repeated.extend(std::iter::repeat_n(message, random.from(1..=3)));
    }
    random.shuffle(&mut repeated);
    let mut shuffled = World::under(rules);
    let mut latest = start();
    walk(&mut shuffled, &repeated, end, &mut random, &mut |world, taken| {
        latest = latest.max(world.books.clock);
        let expected = model::expected(taken, rules, latest).unwrap_or_else(|_| panic!("{}", context()));
        assert_eq!(world.open_at(latest, &expected), expected.open, "after {} of {}", taken.len(), context());
    });

    let all: Vec<&Message> = messages.iter().collect();
    let expected = model::expected(&all, rules, end).unwrap();
    for world in [&in_order, &shuffled] {
        let unexpired = || world.grants().filter(|grant| !grant.has_expired(end));
        assert!(
            unexpired().all(|grant| grant.taken == grant.asked),
            "unused, all that is asked is there: {}",
            context()
        );
        assert_eq!(world.open_at(end, &expected), expected.open, "{}", context());
        assert_eq!(world.balances_but(&expected), expected.balances, "{}", context());
        assert_eq!(world.starts_of(&expected), expected.starts, "{}", context());
    }
}

/// Takes `messages` while the clock runs to `end`, and now and then a little back; `check` sees every distinct
/// message taken so far.
fn walk<'m>(
    world: &mut World,
    messages: &[&'m Message],
    end: Timestamp,
    random: &mut Random,
    check: &mut impl FnMut(&World, &[&'m Message]),
) {
    let mut clocks: Vec<i64> = messages.iter().map(|_| i64::try_from(random.below(100)).unwrap()).collect();
    clocks.sort_unstable();
    let mut keys = BTreeSet::new();
    let mut taken = Vec::new();
    for (message, before) in messages.iter().zip(clocks.into_iter().rev()) {
        if random.percent(10) {
            world.settle_at(world.books.clock);
        }
        world.books.clock = end - TimeDelta::hours(before) + TimeDelta::hours(i64::from(random.percent(10)));
        world.books.clock = world.books.clock.min(end);
        let (record, changes) = world.heard((*message).clone());
        assert_ne!(record.outcome, Outcome::DeadLettered, "{}: {message:?}", record.reason);
        if keys.insert(&message.key) {
            taken.push(*message);
            world.one_grant_a_line();
            check(world, &taken);
        } else {
            assert_eq!((record.outcome, changes), (Outcome::Duplicate, Changes::default()));
        }
    }
    world.settle_at(end);
}

impl World {
    /// What is open at `now`, whether or not expiries are written yet, without grants that order may decide.
    pub(super) fn open_at(&self, now: Timestamp, expected: &Expected) -> Vec<Open> {
        let open = self.grants().filter(|grant| !grant.remaining.is_zero() && !grant.has_expired(now)).map(Open::from);
        let sure = |open: &Open| !expected.contested.contains(&(open.customer.clone(), open.credit_type.clone()));
        let mut open: Vec<Open> = open.filter(sure).collect();
        open.sort();
        open
    }

    pub(super) fn balances_but(&self, expected: &Expected) -> Balances {
        self.balances().into_iter().filter(|(pool, _)| !expected.contested.contains(pool)).collect()
    }

    /// The starts of the grants that one message alone could have caused.
    pub(super) fn starts_of(&self, expected: &Expected) -> BTreeMap<(String, String), BTreeSet<Timestamp>> {
        let mut starts: BTreeMap<(String, String), BTreeSet<Timestamp>> = BTreeMap::new();
        for grant in self.grants().filter(|grant| !grant.surplus) {
            let terms = &grant.terms;
            let of = terms.price_id.as_ref().map(ToString::to_string);
            let of = of.or_else(|| terms.rule.as_ref().map(ToString::to_string)).unwrap_or_default();
            let key = (terms.customer_id.to_string(), of);
            if expected.starts.contains_key(&key) {
                starts.entry(key).or_default().insert(terms.effective_at);
            }
        }
        starts
    }
}
