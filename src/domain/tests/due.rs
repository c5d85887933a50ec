//! When a payment-triggered grant is due.

use super::fixtures::*;
use super::rulebook::*;
use super::world::World;
use crate::domain::message::Message;
use crate::domain::outcome::Outcome::{Applied, Waiting};
use crate::domain::rules::Rules;

fn in_full() -> &'static Rules {
    rules(vec![rule("full").in_full()], vec![])
}

fn part(id: &str, amount: &str) -> Fixture<crate::domain::message::Payment> {
    payment_succeeded().named(id).of(amount, "USD").without_lines().for_invoice("in_1")
}

#[test]
fn the_first_payment_grants_unless_the_rule_wants_all_of_them() {
    let mut world = World::under(packs());
    world.take(invoice_issued());
    assert_eq!(world.story(part("pi_1", "1.00")), ["grant: 1000"]);
}

#[test]
fn in_full_grants_when_the_payments_reach_the_total() {
    let mut world = World::under(in_full());
    world.take(invoice_issued());
    assert_eq!(world.outcome(part("pi_1", "20.00")), Waiting);
    let (record, changes) = world.heard(part("pi_2", "29.00"));
    assert_eq!((record.outcome, changes.entries.len()), (Applied, 1));
    assert_eq!(changes.earlier.len(), 2, "the invoice and the first payment waited");
}

#[test]
fn in_full_counts_payments_before_refunds() {
    let mut world = World::under(in_full());
    world.take_all([Message::from(invoice_issued()), part("pi_1", "20.00").into(), part("pi_2", "29.00").into()]);
    assert_eq!(world.story(refund("re_1").of("24.50", "USD").on_invoice("in_1")), ["revoke 500: -500"]);
}

#[test]
fn in_full_waits_for_an_invoice_that_is_named_and_not_yet_seen() {
    let mut world = World::under(in_full());
    assert_eq!(world.outcome(payment_succeeded().for_invoice("in_1")), Waiting);
    assert_eq!(world.story(invoice_issued()), ["grant: 1000"]);
}

#[test]
fn in_full_without_an_invoice_is_paid_with_its_first_payment() {
    let mut world = World::under(in_full());
    assert_eq!(world.story(payment_succeeded()), ["grant: 1000"]);
}

#[test]
fn a_grant_that_was_not_due_after_all_is_revoked_and_the_same_one_reinstated_when_it_is() {
    let mut world = World::under(in_full());
    world.take(payment_succeeded());
    let (_, changes) = world.heard(purchase_linked().payments(&["pi_1"]).invoice("in_1"));
    assert_eq!(changes.entries[0].reason.as_ref().unwrap().as_str(), "not paid in full");
    assert_eq!(changes.earlier[0].outcome, Waiting, "the payment now waits, visibly");
    assert_eq!(world.story(invoice_issued().of("50.00", "USD")), Vec::<String>::new());
    assert_eq!(world.story(part("pi_2", "1.00")), ["reinstate 1000: 1000"]);
}

#[test]
fn a_refund_that_names_an_invoice_makes_no_purchase_wait_for_it_and_a_link_does() {
    let messages: [Message; 3] = [
        payment_succeeded().into(),
        refund("re_1").on_payment("pi_1").on_invoice("in_1").into(),
        purchase_linked().payments(&["pi_1"]).invoice("in_1").into(),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut world = World::under(in_full());
        world.take_all(order.map(|at| messages[at].clone()));
        assert_eq!(world.balance("cus_1", "credits"), "0", "{order:?}");
    }
    let mut world = World::under(in_full());
    world.take_all(messages[..2].to_vec());
    assert_eq!(world.remaining("pack"), "750");
}

#[test]
fn a_zero_total_grants_only_by_a_rule_on_issue() {
    let free = invoice_issued().of("0", "USD").for_lines(&[("pack", 1, "0")]);
    for rules in [packs(), in_full()] {
        assert_eq!(World::under(rules).outcome(&free), Waiting);
    }
    let on_issue = rules(vec![rule("issued").on_invoices_and_payments()], vec![]);
    assert_eq!(World::under(on_issue).story(&free), ["grant: 1000"]);
}
