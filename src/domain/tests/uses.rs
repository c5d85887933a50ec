//! Use between refunds: what order may decide, and what it may not.

use super::fixtures::*;
use super::random::{Random, on_every_core};
use super::rulebook::*;
use super::shop::{history, rules_of_every_form};
use super::world::World;
use crate::domain::amounts::Credits;

#[test]
fn a_revoke_never_reaches_another_grants_credits() {
    let rules = rules(vec![rule("all")], vec![]);
    let payment = payment_succeeded().for_lines(&[("a", 1, "49.00")]);
    let mut world = World::under(rules);
    world.take(&payment);
    world.take(payment_succeeded().named("pi_2").for_lines(&[("b", 1, "49.00")]));
    world.uses("a", "1000");
    assert_eq!(world.story(partial_refund_of(&payment)), ["revoke 250: 0, short 250"]);
    assert_eq!(world.remaining("b"), "1000");
}

#[test]
fn what_was_used_before_a_merge_is_shortfall_of_the_surplus_grant() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().named("pi_2"));
    world.uses("pack", "300");
    world.take(payment_succeeded().named("pi_1"));
    world.take(purchase_linked().payments(&["pi_1", "pi_2"]));
    let surplus = world.grants().find(|grant| grant.surplus).unwrap();
    assert_eq!((surplus.taken.to_string(), surplus.open_shortfall().to_string()), ("700".into(), "300".into()));
    assert_eq!(world.balance("cus_1", "credits"), "1000");
}

#[test]
fn whatever_is_used_in_between_every_grant_adds_up() {
    let rules = rules_of_every_form();
    on_every_core(1_500, |seed| {
        let mut random = Random::seeded(seed);
        let history = history(&mut random);
        let mut messages = history.messages;
        random.shuffle(&mut messages);
        let mut world = World::under(rules);
        for (at, message) in messages.iter().enumerate() {
            world.books.clock = history.end - chrono::TimeDelta::hours(i64::try_from(messages.len() - at).unwrap());
            world.take(message.clone());
            use_something(&mut world, &mut random);
            for grant in world.grants().filter(|grant| !grant.has_expired(world.books.clock)) {
                let (amount, parts) = (grant.terms.amount, grant.remaining.plus(grant.taken));
                assert_eq!(
                    amount.less(parts).value(),
                    world.audit.use_of(grant.terms.grant_id),
                    "seed {seed}: {grant:?}"
                );
                assert!(grant.taken <= grant.asked, "seed {seed}: {grant:?}");
            }
        }
    });
}

/// A half of some active grants is used.
fn use_something(world: &mut World, random: &mut Random) {
    world.settle_at(world.books.clock);
    let active = world.grants().filter(|grant| grant.is_inside(world.books.clock) && !grant.remaining.is_zero());
    let mut active: Vec<_> = active.map(|grant| (grant.terms.grant_id, grant.remaining)).collect();
    active.sort();
    for (grant_id, remaining) in active {
        if random.percent(20) {
            let half = (remaining.value() / rust_decimal::Decimal::TWO).trunc();
            world.uses_of(grant_id, Credits::stored(half).unwrap());
        }
    }
}
