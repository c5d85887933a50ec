//! Facts, names and decisions: which messages are one purchase, and what its lines give once.

use std::sync::Arc;

use super::fixtures::*;
use super::rulebook::*;
use super::world::World;
use crate::domain::ids::Actor;
use crate::domain::message::Message;
use crate::domain::outcome::Outcome::{Applied, DeadLettered, Duplicate, Ignored, Waiting};
use crate::domain::outcome::RefusalCode;
use crate::domain::rules::Rules;

fn on_issue() -> &'static Rules {
    rules(vec![rule("enterprise").on_invoices_and_payments()], vec![])
}

#[test]
fn a_later_message_adds_what_was_absent() {
    let mut world = World::under(packs());
    assert_eq!(world.outcome(payment_succeeded().without_lines()), Waiting);
    assert_eq!(world.story(payment_succeeded()), ["grant: 1000"]);
}

#[test]
fn a_payment_without_lines_waits_and_takes_effect_with_its_invoice() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().without_lines().for_invoice("in_1"));
    let (record, changes) = world.heard(invoice_issued());
    assert_eq!(record.outcome, Applied);
    assert_eq!(changes.earlier.iter().map(|told| told.outcome).collect::<Vec<_>>(), [Applied]);
    assert_eq!(world.balance("cus_1", "credits"), "1000");
}

#[test]
fn an_invoice_waits_for_the_payment_that_its_rule_asks_for() {
    let mut world = World::under(packs());
    assert_eq!(world.outcome(invoice_issued()), Waiting);
    let (_, changes) = world.heard(payment_succeeded().without_lines().for_invoice("in_1"));
    assert_eq!(changes.entries.len(), 1);
    assert_eq!(changes.earlier[0].outcome, Applied);
}

#[test]
fn of_payment_method_and_number_the_first_stays() {
    let mut world = World::under(packs());
    world.take_all([payment_succeeded().paid_by("card"), payment_succeeded().paid_by("transfer")]);
    world.take_all([invoice_issued().numbered("1"), invoice_issued().numbered("2")]);
    assert_eq!(world.outcome(payment_succeeded().sent_as("evt_9").paid_by("cash")), Duplicate);
}

#[test]
fn a_message_that_adds_nothing_is_a_duplicate_and_one_that_adds_a_name_is_not() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().also_named(&["cs_1"]));
    assert_eq!(world.outcome(payment_succeeded().sent_as("evt_2")), Duplicate);
    assert_eq!(world.outcome(payment_succeeded().also_named(&["cs_1", "cs_2"])), Applied);
    assert_eq!(world.outcome(purchase_linked().payments(&["pi_1"]).aliases(&["cs_2"])), Duplicate);
}

#[test]
fn the_same_id_with_another_content_is_an_idempotency_conflict_and_changes_nothing() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().sent_as("evt_1"));
    assert_eq!(world.outcome(payment_succeeded().sent_as("evt_1")), Duplicate);
    let record = world.take(payment_succeeded().named("pi_2").sent_as("evt_1"));
    assert_eq!(record.code, Some(RefusalCode::IdempotencyConflict));
    assert_eq!(world.balance("cus_1", "credits"), "1000");
}

#[test]
fn another_amount_for_the_same_payment_is_a_conflict_that_shows_both_sides_and_claims_no_key() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().sent_as("evt_1"));
    let record = world.take(payment_succeeded().of("50.00", "USD").also_named(&["cs_1"]).sent_as("evt_2"));
    assert_eq!((record.outcome, record.code), (DeadLettered, Some(RefusalCode::FactConflict)));
    assert!(record.reason.contains("49.00") && record.reason.contains("50.00") && record.reason.contains("evt_1"));
    assert_eq!(world.outcome(refund("re_1").on_alias("cs_1")), Waiting, "nothing of it is kept, no name either");
    assert_eq!(world.outcome(payment_succeeded().also_named(&["cs_2"]).sent_as("evt_2")), Applied);
}

#[test]
fn a_link_between_two_customers_is_the_conflict_and_both_purchases_stay() {
    let mut world = World::under(packs());
    world.take_all([payment_succeeded(), payment_succeeded().named("pi_2").by("cus_2")]);
    let record = world.take(purchase_linked().payments(&["pi_1", "pi_2"]));
    assert_eq!(record.code, Some(RefusalCode::FactConflict));
    assert_eq!((world.balance("cus_1", "credits"), world.balance("cus_2", "credits")), ("1000".into(), "1000".into()));
}

#[test]
fn a_purchase_has_one_invoice_seen_or_not_one_currency_and_one_set_of_lines() {
    let first = payment_succeeded().for_invoice("in_1");
    let second = first.clone().named("pi_2");
    for other in [
        second.clone().for_invoice("in_2").also_named(&["cs_1"]),
        second.clone().of("49.00", "EUR"),
        second.for_lines(&[("pack", 2, "49.00")]),
    ] {
        let mut world = World::under(packs());
        world.take(first.clone().also_named(&["cs_1"]));
        assert_eq!(world.outcome(other), DeadLettered);
    }
}

#[test]
fn one_value_under_two_kinds_of_names_is_no_link() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().named("x"));
    world.take(payment_succeeded().named("y").by("cus_2").for_invoice("x"));
    world.take(payment_succeeded().named("z").by("cus_3").also_named(&["x"]));
    assert_eq!(world.books.purchases.len(), 3);
}

#[test]
fn a_chain_of_aliases_of_any_length_makes_one_purchase() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().also_named(&["a0"]));
    world.take(refund("re_1").on_alias("a9"));
    for at in [8, 1, 6, 3, 4, 5, 2, 7, 0] {
        world.take(purchase_linked().aliases(&[format!("a{at}"), format!("a{}", at + 1)]));
    }
    assert_eq!((world.remaining("pack"), world.books.purchases.len()), ("750".into(), 1));
}

#[test]
fn an_ignored_message_keeps_its_names() {
    let mut world = World::under(packs());
    let payment = payment_succeeded().for_lines(&[("unsold", 1, "49.00")]).also_named(&["cs_1"]);
    assert_eq!(world.outcome(payment), Ignored);
    assert_eq!(world.outcome(refund("re_1").on_alias("cs_1")), Applied);
}

#[test]
fn an_invoice_and_its_payment_give_one_grant_whichever_comes_first() {
    let payment = payment_succeeded().for_invoice("in_1").at(hour(1));
    let invoice = invoice_issued();
    let messages: [Message; 2] = [(&payment).into(), (&invoice).into()];
    for order in [[0, 1], [1, 0]] {
        let mut world = World::under(on_issue());
        world.take_all(order.map(|at| messages[at].clone()));
        assert_eq!((world.grants().count(), world.balance("cus_1", "credits")), (1, "1000".into()));
    }
}

#[test]
fn the_first_rule_in_the_file_that_takes_a_line_decides_and_then_its_trigger() {
    let issued = rule("issued").takes("pack").on_invoices();
    let mut world = World::under(rules(vec![issued, rule("all").fixed("5")], vec![]));
    let record = world.take(payment_succeeded().for_invoice("in_1"));
    assert_eq!((record.outcome, record.reason.as_str()), (Waiting, "pack waits for its invoice"));
    world.take(invoice_issued());
    assert_eq!(world.remaining("pack"), "1000");
}

#[test]
fn a_rule_matches_the_lines_own_metadata_and_currency() {
    let mut rule = rule("team").takes("pack");
    rule.matches.metadata.insert("plan".into(), vec!["team".into(), "pro".into()]);
    let rules = rules(vec![rule], vec![]);
    let mut payment = payment_succeeded();
    assert_eq!(World::under(rules).outcome(&payment), Ignored);
    payment.says.metadata.insert("plan".into(), "pro".into());
    assert_eq!(World::under(rules).outcome(&payment), Ignored, "the message's own metadata is not the line's");
    let line = Arc::make_mut(&mut payment.says.lines.as_mut().unwrap().0).get_mut(&price("pack")).unwrap();
    line.metadata.insert("plan".into(), "pro".into());
    assert_eq!(World::under(rules).outcome(&payment), Applied);
}

#[test]
fn a_line_is_decided_once_whatever_rules_come_later() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().for_lines(&[("pack", 1, "40.00"), ("late", 1, "9.00")]));
    world.books.rules = rules(vec![rule("generous").per_unit("9000")], vec![]);
    world.take(payment_succeeded().for_lines(&[("pack", 1, "40.00"), ("late", 1, "9.00")]).also_named(&["cs_1"]));
    world.take(invoice_issued().for_lines(&[("pack", 1, "40.00"), ("late", 1, "9.00")]).also_named(&["cs_1"]));
    assert_eq!((world.grants().count(), world.remaining("pack")), (1, "1000".into()));
}

#[test]
fn the_granting_fact_is_the_first_that_is_known_when_the_line_is_decided() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().named("pi_b").without_lines().for_invoice("in_1").at(hour(1)));
    world.take(payment_succeeded().named("pi_a").without_lines().for_invoice("in_1").at(hour(2)));
    world.take(invoice_issued().at(hour(3)));
    let terms = &world.grant("pack").terms;
    assert_eq!(terms.reason.as_ref().unwrap().as_str(), "payment pi_a");
    assert_eq!(terms.effective_at, hour(2), "the time of the fact named by the trigger, not of the invoice");
}

#[test]
fn of_several_messages_that_state_a_fact_the_first_kept_dates_it() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().without_lines().at(hour(2)));
    world.take(payment_succeeded().at(hour(1)));
    assert_eq!(world.grant("pack").terms.effective_at, hour(2));
}

#[test]
fn zero_credits_grant_nothing_and_say_so() {
    let mut world = World::under(rules(vec![rule("crumbs").per_currency_unit("0.001")], vec![]));
    let record = world.take(payment_succeeded());
    assert_eq!((record.outcome, world.grants().count()), (Applied, 0));
    assert!(record.reason.contains("gives nothing, its amount is zero"), "{}", record.reason);
}

#[test]
fn one_message_tells_of_granted_and_of_ruleless_lines() {
    let mut world = World::under(packs());
    let record = world.take(payment_succeeded().for_lines(&[("pack", 2, "40.00"), ("support", 1, "9.00")]));
    assert_eq!(record.outcome, Applied);
    assert!(record.reason.contains("2000 credits") && record.reason.contains("no rule takes support"));
}

#[test]
fn of_two_granted_purchases_shown_to_be_one_the_first_fact_survives() {
    let (first, second) = (payment_succeeded(), payment_succeeded().named("pi_2"));
    for order in [[&first, &second], [&second, &first]] {
        let mut world = World::under(packs());
        world.take_all(order);
        world.take(partial_refund_of(&second));
        assert_eq!(world.balance("cus_1", "credits"), "1750");
        let (record, changes) = world.heard(purchase_linked().payments(&["pi_1", "pi_2"]));
        assert_eq!(record.entries, [0, 1]);
        assert!(changes.entries.iter().any(|entry| {
            let reason = entry.reason.as_ref().map_or("", |reason| reason.as_str());
            entry.actor == Actor::merge() && reason == "duplicate of purchase pi_1"
        }));
        // Of 98.00 paid 12.25 went back: an eighth.
        assert_eq!((world.remaining("pack"), world.balance("cus_1", "credits")), ("875".into(), "875".into()));
    }
}

#[test]
fn a_surplus_grant_that_was_refunded_before_is_surplus_all_the_same() {
    let second = payment_succeeded().named("pi_2");
    let mut world = World::under(packs());
    world.take_all([Message::from(payment_succeeded()), (&second).into()]);
    world.take(partial_refund_of(&second).of("49.00", "USD"));
    assert_eq!(world.story(purchase_linked().payments(&["pi_1", "pi_2"])), ["revoke 500: -500"]);
    assert_eq!(world.grants().filter(|grant| grant.surplus).count(), 1);
}

#[test]
fn an_invoices_grant_survives_a_payments() {
    let mut world = World::under(on_issue());
    world.take_all([Message::from(payment_succeeded()), invoice_issued().into()]);
    assert_eq!(world.balance("cus_1", "credits"), "2000");
    world.take(purchase_linked().payments(&["pi_1"]).invoice("in_1"));
    let reason = world.grant("pack").terms.reason.clone().unwrap();
    assert_eq!((world.balance("cus_1", "credits").as_str(), reason.as_str()), ("1000", "invoice in_1"));
}

#[test]
fn a_grant_that_was_never_due_does_not_push_aside_one_that_is_there() {
    let mut world = World::under(rules(vec![rule("full").in_full()], vec![]));
    world.take(payment_succeeded().named("pi_1").for_invoice("in_1"));
    world.take(payment_succeeded().named("pi_2"));
    world.uses("pack", "600");
    assert_eq!(world.story(purchase_linked().payments(&["pi_1", "pi_2"])), ["revoke 1000: -400, short 600"]);
    assert_eq!(world.story(invoice_issued().of("98.00", "USD")), ["reinstate 1000: 400, short 600"]);
    assert_eq!(world.grants().count(), 1, "what was used stays used");
}
