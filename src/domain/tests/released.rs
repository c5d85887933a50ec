//! A refund never makes anything else the conflict: it gives way, and what it alone held together comes apart.

use super::fixtures::*;
use super::rulebook::*;
use super::world::World;
use crate::domain::message::Message;
use crate::domain::outcome::Outcome::{Applied, DeadLettered, Waiting};
use crate::domain::outcome::RefusalCode;

#[test]
fn a_waiting_refund_that_its_payment_contradicts_becomes_the_conflict() {
    for wrong in [
        refund("re_1").of("12.25", "EUR").on_payment("pi_1"),
        refund("re_1").on_payment("pi_1").of_customer("cus_2"),
        refund("re_1").on_payment("pi_1").on_invoice("in_2"),
    ] {
        let mut world = World::under(packs());
        assert_eq!(world.outcome(wrong.sent_as("evt_1")), Waiting);
        let (record, changes) = world.heard(payment_succeeded().for_invoice("in_1"));
        assert_eq!(record.outcome, Applied);
        assert_eq!(changes.earlier[0].code, Some(RefusalCode::FactConflict));
        assert_eq!(world.remaining("pack"), "1000");
        let mended = partial_refund_of(&payment_succeeded()).sent_as("evt_1");
        assert_eq!(world.story(mended), ["revoke 250: -250"], "its key is released");
    }
}

#[test]
fn a_refund_gives_way_with_all_its_messages() {
    let mut world = World::under(packs());
    world.take(refund("re_1").on_alias("cs_1"));
    world.take(refund("re_1").on_payment("pi_1").of_customer("cus_2"));
    let (_, changes) = world.heard(payment_succeeded());
    assert_eq!((changes.released.len(), changes.earlier.len()), (2, 2));
    assert_eq!(world.books.names.len(), 1, "only the payment's own name is left");
}

#[test]
fn a_refund_that_contradicts_is_itself_the_conflict() {
    let mut world = World::under(packs());
    world.take(payment_succeeded());
    assert_eq!(world.outcome(refund("re_1").on_payment("pi_1").of("1.00", "EUR")), DeadLettered);
    assert_eq!(world.outcome(refund("re_1").on_payment("pi_1")), Applied);
    let record = world.take(refund("re_1").on_payment("pi_1").of("13.00", "USD"));
    assert_eq!((record.outcome, world.remaining("pack").as_str()), (DeadLettered, "750"));
}

/// A payment without lines, one with, and the refund that alone links them; the line is decided by the first.
fn bridged() -> World {
    let mut world = World::under(packs());
    world.take(payment_succeeded().named("pi_1").without_lines().also_named(&["cs_1"]));
    world.take(refund("re_1").on_payment("pi_1").on_alias("cs_2"));
    world.take(payment_succeeded().named("pi_2").also_named(&["cs_2"]));
    assert_eq!(world.grant("pack").terms.reason.as_ref().unwrap().as_str(), "payment pi_1");
    assert_eq!(world.remaining("pack"), "875");
    world
}

#[test]
fn purchases_that_only_a_refund_held_together_come_apart() {
    let mut world = bridged();
    let (record, changes) = world.heard(payment_succeeded().named("pi_3").by("cus_2").also_named(&["cs_2"]));
    assert_eq!(record.outcome, DeadLettered, "the payments contradict without the refund too");
    assert!(changes.released.is_empty());
    let bystander = payment_succeeded().named("pi_3").for_invoice("in_3").without_lines().also_named(&["cs_1"]);
    let other = invoice_issued().named("in_4").also_named(&["cs_2"]);
    world.take(bystander);
    let (record, changes) = world.heard(other);
    assert_eq!((record.outcome, changes.released.len()), (Applied, 1));
    let mut left: Vec<String> = world.grants().map(|grant| grant.remaining.to_string()).collect();
    left.sort();
    assert_eq!(left, ["0", "1000"], "what the link alone showed to be sold is taken back, the seller's own stays");
    assert_eq!(record.entries.len(), changes.entries.len(), "the message tells of all that it caused");
    assert!(changes.earlier.iter().any(|told| told.outcome == Waiting), "the first payment waits for lines again");
}

#[test]
fn a_line_that_comes_back_gives_the_same_grant_again() {
    let mut world = bridged();
    world.take(payment_succeeded().named("pi_1").without_lines().for_invoice("in_3").also_named(&["cs_1"]));
    world.take(invoice_issued().named("in_4").also_named(&["cs_2"]));
    assert_eq!(world.balance("cus_1", "credits"), "1000");
    assert_eq!(world.story(payment_succeeded().named("pi_1").for_invoice("in_3")), ["reinstate 1000: 1000"]);
    assert_eq!(world.balance("cus_1", "credits"), "2000");
}

#[test]
fn a_lent_line_whose_grant_was_never_due_is_decided_anew() {
    let mut world = World::under(rules(vec![rule("full").in_full()], vec![]));
    let first = payment_succeeded().for_invoice("in_1");
    world.take(first.clone().without_lines());
    world.take(refund("re_1").on_payment("pi_1").on_alias("cs_2"));
    world.take(payment_succeeded().named("pi_2").also_named(&["cs_2"]));
    assert_eq!(world.grants().count(), 0, "the invoice is not seen yet");
    let (_, changes) = world.heard(first.for_lines(&[("pack", 2, "49.00")]));
    assert_eq!((changes.released.len(), world.balance("cus_1", "credits").as_str()), (1, "1000"));
    world.take(invoice_issued().without_lines());
    assert_eq!(world.balance("cus_1", "credits"), "3000");
}

#[test]
fn a_refund_that_was_applied_through_a_released_ones_link_waits_again() {
    let mut world = World::under(packs());
    world.take(refund("re_1").on_payment("pi_1").on_alias("cs_1"));
    world.take(refund("re_2").on_alias("cs_1"));
    world.take(payment_succeeded());
    assert_eq!(world.remaining("pack"), "500");
    world.take(purchase_linked().aliases(&["cs_1"]).invoice("in_9"));
    let (_, changes) = world.heard(payment_succeeded().for_invoice("in_1"));
    assert_eq!((changes.released.len(), world.remaining("pack").as_str()), (1, "1000"));
    let waits: Vec<_> = changes.earlier.iter().filter(|told| told.outcome == Waiting).collect();
    assert_eq!(waits.len(), 2, "the other refund and the link");
    let (_, changes) = world.heard(payment_succeeded().named("pi_2").for_invoice("in_9"));
    assert!(changes.earlier.iter().any(|told| told.outcome == Applied && !told.entries.is_empty()));
}

#[test]
fn a_new_refund_cannot_bridge_purchases_that_came_apart() {
    let mut world = World::under(packs());
    let bridge = |id: &str| refund(id).of("1.00", "USD").on_payment("pi_1").on_alias("cs_2");
    let one = payment_succeeded().named("pi_1");
    let two = payment_succeeded().named("pi_2").also_named(&["cs_2"]);
    world.take_all([Message::from(bridge("re_1").of_customer("cus_1")), one.into(), two.into()]);
    world.take(purchase_linked().payments(&["pi_1"]).invoice("in_1"));
    world.take(purchase_linked().payments(&["pi_2"]).invoice("in_2"));
    assert_eq!(world.books.purchases.len(), 2);
    assert_eq!(world.outcome(bridge("re_2")), DeadLettered);
    assert_eq!(world.balance("cus_1", "credits"), "2000");
}
