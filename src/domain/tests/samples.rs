//! The sample messages of `tests/fixtures`, here as values: in any order they lead to what EXPECTED.md promises.

use super::fixtures::*;
use super::random::Random;
use super::rulebook::*;
use super::world::World;
use crate::domain::message::Message;
use crate::domain::message::RefundStatus::Failed;
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::rules::Rules;

fn sample_rules() -> &'static Rules {
    let enterprise = rule("enterprise-invoice").takes("price_enterprise_credits").on_invoices_and_payments();
    rules(
        vec![rule("credit-packs").takes("price_credits_1000"), enterprise.per_currency_unit("25").with_priority(40)],
        vec![signup_rule("welcome").once_per_identity().with_priority(0).for_days(3650)],
    )
}

/// The ten good samples in the order of their time.
fn good() -> Vec<Message> {
    let pack = |id: &str| payment_succeeded().named(id).for_lines(&[("price_credits_1000", 1, "49.00")]);
    let ada = pack("pi_1001").by("cus_ada").also_named(&["cs_1001", "ch_1001"]).paid_by("card").sent_as("evt_1001");
    let kei = payment_succeeded().named("pi_1002").by("cus_kei").of("21000", "JPY").sent_as("evt_1002");
    let bob = invoice_issued().named("in_2001").by("cus_bob").of("120.00", "EUR").numbered("2026-0042");
    let paid = payment_succeeded().named("pi_2001").by("cus_bob").of("120.00", "EUR").without_lines();
    let rest = refund("re_1002").of("36.75", "USD").on_payment("pi_1001");
    vec![
        pack("pi_3001").by("cus_dee").sent_as("evt_1010").into(),
        (&ada).into(),
        kei.for_lines(&[("price_credits_1000", 3, "21000")]).into(),
        signup().by("cus_cyd").with_identity("b1946ac92492d2347c6235b4d2611184").for_plan("free").into(),
        bob.for_lines(&[("price_enterprise_credits", 1, "100.00"), ("price_support", 1, "20.00")]).into(),
        paid.for_invoice("in_2001").into(),
        refund("re_3001").of("9.80", "USD").on_payment("pi_3001").into(),
        partial_refund_of(&ada).named("re_1001").of_customer("cus_ada").into(),
        (&rest).into(),
        rest.that_is(Failed).into(),
    ]
}

#[test]
fn the_samples_published_twice_in_any_order_lead_to_what_is_promised() {
    let rules = sample_rules();
    for seed in 0..500 {
        let mut messages = [good(), good()].concat();
        Random::seeded(seed).shuffle(&mut messages);
        let mut world = World::under(rules);
        world.take_all(messages);
        let balances = world.balances().into_iter().map(|((customer, _), balance)| format!("{customer} {balance}"));
        let promised = ["cus_ada 750", "cus_bob 2500", "cus_cyd 100", "cus_dee 800", "cus_kei 3000"];
        assert_eq!(balances.collect::<Vec<_>>(), promised, "seed {seed}");
        let mut grants: Vec<_> = world.grants().map(|grant| grant.terms.amount.to_string()).collect();
        grants.sort();
        assert_eq!(grants, ["100", "1000", "1000", "2500", "3000"], "seed {seed}");
    }
}

#[test]
fn the_samples_in_time_order_and_again_are_ten_applied_and_ten_duplicates() {
    let mut world = World::under(sample_rules());
    let mut waited = 0;
    let mut outcomes = Vec::new();
    for message in [good(), good()].concat() {
        let (record, changes) = world.heard(message);
        waited += changes.earlier.len();
        outcomes.push(record.outcome);
    }
    assert_eq!(outcomes, [[Outcome::Applied; 10], [Outcome::Duplicate; 10]].concat());
    assert_eq!(waited, 0);
}

#[test]
fn the_two_bad_samples_that_contradict_good_ones_are_conflicts_after_them() {
    let mut world = World::under(sample_rules());
    world.take_all(good());
    let other = payment_succeeded().named("pi_1001").by("cus_ada").of("50.00", "USD");
    let record = world.take(other.clone().sent_as("evt_1001"));
    assert_eq!(record.code, Some(RefusalCode::IdempotencyConflict));
    assert_eq!(world.take(other.sent_as("evt_9001")).code, Some(RefusalCode::FactConflict));
}
