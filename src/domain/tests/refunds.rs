//! What refunds ask back: the worked cases of the law, and each sentence about targets.

use super::fixtures::*;
use super::rulebook::*;
use super::world::World;
use crate::domain::message::Message;
use crate::domain::message::RefundStatus::{Canceled, Failed, Pending, Succeeded};
use crate::domain::outcome::Outcome;
use crate::domain::rules::Rules;

/// Takes `messages` in every order; what remains of the grants for `prices` is always `left`.
fn in_every_order(rules: &'static Rules, messages: &[Message], left: &[(&str, &str)]) {
    let mut orders = 0;
    let mut order: Vec<usize> = (0..messages.len()).collect();
    permute(&mut order, 0, &mut |order| {
        orders += 1;
        let mut world = World::under(rules);
        world.take_all(order.iter().map(|at| messages[*at].clone()));
        for (price, left) in left {
            assert_eq!(world.remaining(price), *left, "{price} in order {order:?}");
        }
    });
    assert_eq!(orders, (1..=messages.len()).product::<usize>());
}

fn permute(order: &mut Vec<usize>, from: usize, check: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return check(order);
    }
    for at in from..order.len() {
        order.swap(from, at);
        permute(order, from + 1, check);
        order.swap(from, at);
    }
}

#[test]
fn a_quarter_refunded_revokes_a_quarter_and_the_rest_the_rest() {
    let payment = payment_succeeded();
    let mut world = World::under(packs());
    assert_eq!(world.story(&payment), ["grant: 1000"]);
    assert_eq!(world.story(partial_refund_of(&payment).of("12.25", "USD")), ["revoke 250: -250"]);
    assert_eq!(world.story(partial_refund_of(&payment).named("re_2").of("36.75", "USD")), ["revoke 750: -750"]);
}

#[test]
fn three_thirds_of_a_hundred_are_33_33_34() {
    let payment = payment_succeeded().of("3.00", "USD");
    let mut world = World::under(rules(vec![rule("packs").per_unit("100")], vec![]));
    world.take(&payment);
    for (id, step) in [("re_1", "33"), ("re_2", "33"), ("re_3", "34")] {
        let story = world.story(partial_refund_of(&payment).named(id).of("1.00", "USD"));
        assert_eq!(story, [format!("revoke {step}: -{step}")]);
    }
}

#[test]
fn used_credits_stay_used_and_the_shortfall_is_told() {
    let payment = payment_succeeded().of("50.00", "USD");
    let half = partial_refund_of(&payment).of("25.00", "USD");
    let rest = half.clone().named("re_2");
    let mut world = World::under(packs());
    world.take(&payment);
    world.uses("pack", "800");
    assert_eq!(world.story(&half), ["revoke 500: -200, short 300"]);
    assert_eq!(world.story(&rest), ["revoke 500: 0, short 500"]);
    assert_eq!(world.grant("pack").open_shortfall().to_string(), "800");
    assert_eq!(world.story(rest.that_is(Failed)), ["reinstate 500: 0, short 500"]);
    assert_eq!(world.story(half.that_is(Failed)), ["reinstate 500: 200, short 300"]);
    assert_eq!(world.remaining("pack"), "200");
    assert!(world.grant("pack").open_shortfall().is_zero());
}

#[test]
fn a_refund_that_failed_in_the_end_takes_nothing_in_every_order() {
    let payment = payment_succeeded();
    let a = partial_refund_of(&payment).named("re_a");
    let b = partial_refund_of(&payment).named("re_b");
    let messages = [(&payment).into(), (&a).into(), a.that_is(Failed).into(), b.into()];
    in_every_order(packs(), &messages, &[("pack", "750")]);
}

#[test]
fn an_invoice_paid_twice_and_refunded_once_keeps_its_credits() {
    let invoice = invoice_issued().of("50.00", "USD");
    let first = payment_succeeded().of("50.00", "USD").without_lines().for_invoice("in_1");
    let second = first.clone().named("pi_2");
    let back = partial_refund_of(&second).of("50.00", "USD");
    let messages = [invoice.into(), first.into(), second.into(), back.into()];
    in_every_order(packs(), &messages, &[("pack", "1000")]);
}

#[test]
fn a_refund_by_line_and_one_without_take_both_lines_whole() {
    let rules = rules(vec![rule("a").takes("a"), rule("b").takes("b").per_unit("1250")], vec![]);
    let payment = payment_succeeded().of("100.00", "USD").for_lines(&[("a", 1, "50.00"), ("b", 1, "50.00")]);
    let on_a = partial_refund_of(&payment).of("50.00", "USD").by_line(&[("a", "50.00")]);
    let plain = partial_refund_of(&payment).named("re_2").of("50.00", "USD");
    in_every_order(rules, &[(&payment).into(), on_a.into(), plain.into()], &[("a", "0"), ("b", "0")]);
}

#[test]
fn an_invoice_granted_on_issue_loses_what_was_refunded_of_its_total() {
    let rules = rules(vec![rule("on-issue").on_invoices_and_payments()], vec![]);
    let (invoice, payment, back) = hundred_with_thirty_paid_and_refunded();
    in_every_order(rules, &[invoice, payment, back], &[("pack", "700")]);
}

#[test]
fn an_invoice_granted_on_payment_loses_what_was_refunded_of_what_was_paid() {
    let (invoice, payment, back) = hundred_with_thirty_paid_and_refunded();
    in_every_order(packs(), &[invoice, payment, back], &[("pack", "0")]);
}

fn hundred_with_thirty_paid_and_refunded() -> (Message, Message, Message) {
    let payment = payment_succeeded().of("30.00", "USD").without_lines().for_invoice("in_1");
    let back = partial_refund_of(&payment).of("30.00", "USD");
    (invoice_issued().of("100.00", "USD").into(), payment.into(), back.into())
}

#[test]
fn a_refund_with_tax_on_one_line_takes_that_line_alone() {
    let rules = rules(vec![rule("all")], vec![]);
    let invoice = invoice_issued().of("120.00", "USD").for_lines(&[("a", 1, "50.00"), ("b", 1, "50.00")]);
    let payment = payment_succeeded().of("120.00", "USD").without_lines().for_invoice("in_1");
    let back = partial_refund_of(&payment).of("60.00", "USD").by_line(&[("a", "50.00")]);
    in_every_order(rules, &[invoice.into(), payment.into(), back.into()], &[("a", "0"), ("b", "1000")]);
}

#[test]
fn money_back_comes_out_of_an_overpayment_first() {
    let rules = rules(vec![rule("all")], vec![]);
    let invoice = invoice_issued().of("100.00", "USD").for_lines(&[("a", 1, "50.00"), ("b", 1, "50.00")]);
    let payment = payment_succeeded().of("150.00", "USD").without_lines().for_invoice("in_1");
    let back = partial_refund_of(&payment).of("51.00", "USD").by_line(&[("a", "51.00")]);
    in_every_order(rules, &[invoice.into(), payment.into(), back.into()], &[("a", "980"), ("b", "1000")]);
}

#[test]
fn parts_of_32_9_8_and_3_of_52_take_32_9_8_and_4_of_53_at_every_prefix_in_every_order() {
    let rules = rules(vec![rule("packs").per_unit("53")], vec![]);
    let payment = payment_succeeded().of("52.00", "USD");
    let part = |euros: u32| partial_refund_of(&payment).named(&format!("re_{euros}")).of(&format!("{euros}.00"), "USD");
    let mut world = World::under(rules);
    world.take(&payment);
    let steps: Vec<String> = [32, 9, 8, 3].iter().flat_map(|euros| world.story(part(*euros))).collect();
    assert_eq!(steps, ["revoke 32: -32", "revoke 9: -9", "revoke 8: -8", "revoke 4: -4"]);
    let mut order = vec![0, 1, 2, 3];
    permute(&mut order, 0, &mut |order| {
        let mut world = World::under(rules);
        world.take(&payment);
        let mut back = 0;
        for at in order {
            let euros = [32, 9, 8, 3][*at];
            back += euros;
            world.take(part(euros));
            assert_eq!(world.remaining("pack"), (53 - 53 * back / 52).to_string(), "after {back} in {order:?}");
        }
    });
}

#[test]
fn only_a_succeeded_refund_counts() {
    let payment = payment_succeeded();
    let mut world = World::under(packs());
    world.take(&payment);
    assert!(world.story(partial_refund_of(&payment).that_is(Pending)).is_empty());
    assert_eq!(world.story(partial_refund_of(&payment)), ["revoke 250: -250"]);
    assert_eq!(world.story(partial_refund_of(&payment).that_is(Canceled)), ["reinstate 250: 250"]);
    assert!(world.story(partial_refund_of(&payment).that_is(Failed)).is_empty());
}

#[test]
fn a_pending_status_that_comes_late_changes_nothing() {
    let payment = payment_succeeded();
    let mut world = World::under(packs());
    world.take_all([Message::from(&payment), partial_refund_of(&payment).into()]);
    assert!(world.story(partial_refund_of(&payment).that_is(Pending)).is_empty());
    assert_eq!(world.remaining("pack"), "750");
}

#[test]
fn the_same_refund_under_new_ids_is_one_refund() {
    let payment = payment_succeeded();
    let back = partial_refund_of(&payment);
    let mut world = World::under(packs());
    world.take_all([Message::from(&payment), (&back).into(), back.clone().of_customer("cus_1").into()]);
    assert_eq!(world.outcome(back.sent_as("evt_again")), Outcome::Duplicate);
    assert_eq!(world.remaining("pack"), "750");
}

#[test]
fn a_refund_that_comes_first_waits_and_is_then_the_cause_of_its_own_entry() {
    let payment = payment_succeeded();
    let back = partial_refund_of(&payment).sent_as("evt_back");
    let mut world = World::under(packs());
    assert_eq!(world.outcome(&back), Outcome::Waiting);
    let (record, changes) = world.heard(&payment);
    assert_eq!((record.outcome, record.entries), (Outcome::Applied, vec![0]));
    let [told] = changes.earlier.as_slice() else { panic!("one message waited: {:?}", changes.earlier) };
    assert_eq!((told.outcome, &told.entries), (Outcome::Applied, &vec![1]));
    assert_eq!(changes.entries[1].cause.id.as_str(), "evt_back");
    assert_eq!(world.remaining("pack"), "750");
}

#[test]
fn a_refund_known_by_invoice_or_alias_finds_its_payment() {
    for back in [refund("re_1").on_invoice("in_1"), refund("re_1").on_alias("cs_1")] {
        let payment = payment_succeeded().for_invoice("in_1").also_named(&["cs_1"]);
        in_every_order(packs(), &[payment.into(), back.into()], &[("pack", "750")]);
    }
}

#[test]
fn what_is_refunded_beyond_everything_counts_for_nothing_and_its_entry_says_so() {
    let payment = payment_succeeded();
    let mut world = World::under(packs());
    world.take(&payment);
    let (_, changes) = world.heard(partial_refund_of(&payment).of("60.00", "USD"));
    let reason = changes.entries[0].reason.as_ref().unwrap().as_str().to_owned();
    assert!(reason.contains("11.00 refunded beyond that counts for nothing"), "{reason}");
    assert!(world.story(partial_refund_of(&payment).named("re_2").of("5.00", "USD")).is_empty());
}

#[test]
fn a_refund_on_a_foreign_price_counts_as_one_without_lines() {
    let payment = payment_succeeded();
    let mut world = World::under(packs());
    world.take(&payment);
    assert_eq!(world.story(partial_refund_of(&payment).by_line(&[("other", "12.25")])), ["revoke 250: -250"]);
}

#[test]
fn a_free_line_is_taken_back_only_by_refunds_without_lines() {
    let rules = rules(vec![rule("all")], vec![]);
    let payment = payment_succeeded().of("50.00", "USD").for_lines(&[("a", 1, "50.00"), ("free", 1, "0")]);
    let mut world = World::under(rules);
    world.take(&payment);
    world.take(partial_refund_of(&payment).of("25.00", "USD").by_line(&[("a", "25.00")]));
    assert_eq!((world.remaining("a"), world.remaining("free")), ("500".into(), "1000".into()));
    world.take(partial_refund_of(&payment).named("re_2").of("12.50", "USD"));
    assert_eq!((world.remaining("a"), world.remaining("free")), ("250".into(), "500".into()));
}

#[test]
fn a_refund_of_a_zero_total_takes_nothing() {
    let rules = rules(vec![rule("on-issue").on_invoices_and_payments()], vec![]);
    let payment = payment_succeeded().of("10.00", "USD").without_lines().for_invoice("in_1");
    let back = partial_refund_of(&payment).of("10.00", "USD");
    let messages = [invoice_issued().of("0", "USD").into(), payment.into(), back.into()];
    in_every_order(rules, &messages, &[("pack", "1000")]);
}

#[test]
fn a_second_payment_gives_back_what_a_refund_of_the_first_took() {
    let first = payment_succeeded().of("50.00", "USD").for_invoice("in_1");
    let second = first.clone().named("pi_2").without_lines();
    let mut world = World::under(packs());
    world.take_all([Message::from(&first), partial_refund_of(&first).of("50.00", "USD").into()]);
    assert_eq!(world.remaining("pack"), "0");
    assert_eq!(world.story(second), ["reinstate 500: 500"]);
    assert_eq!(world.story(invoice_issued().of("50.00", "USD").without_lines()), ["reinstate 500: 500"]);
}

#[test]
fn products_at_the_limits_agree_with_big_integers() {
    use num_bigint::BigInt;
    let amount = "999999999999999";
    let rules = rules(vec![rule("packs").per_unit(amount)], vec![]);
    for back in ["333333333333333.33", "0.01", "999999999999998.99", "1.07", "499999999999999.50"] {
        let payment = payment_succeeded().of("999999999999999.99", "USD");
        let mut world = World::under(rules);
        world.take_all([Message::from(&payment), partial_refund_of(&payment).of(back, "USD").into()]);
        let cents: BigInt = back.replace('.', "").parse().unwrap();
        let whole: BigInt = amount.parse().unwrap();
        let paid: BigInt = "99999999999999999".parse().unwrap();
        assert_eq!(world.remaining("pack"), (&whole - &whole * cents / paid).to_string(), "{back}");
    }
}

#[test]
fn products_by_line_at_the_limits_agree_with_big_integers() {
    use num_bigint::BigInt;
    let number = |text: &str| text.replace('.', "").parse::<BigInt>().unwrap();
    let amount = "999999999999999";
    let (paid, line, by_line, of_a, plain) =
        ("999999999999999.99", "333333333333333.33", "222222222222222.22", "111111111111111.07", "100000000000000.01");
    let rules = rules(vec![rule("all").fixed(amount)], vec![]);
    let payment = payment_succeeded().of(paid, "USD").for_lines(&[("a", 1, line), ("b", 1, "666666666666666.66")]);
    let mut world = World::under(rules);
    world.take(&payment);
    world.take(partial_refund_of(&payment).of(by_line, "USD").by_line(&[("a", of_a)]));
    world.take(partial_refund_of(&payment).named("re_2").of(plain, "USD"));
    // What came by line counts in full, so f is of_a / line; the rest is taken of what the lines left.
    let (f, f_of) = (number(of_a), number(line));
    let (g, g_of) = (number(plain), number(paid) - number(by_line));
    let left = |f: &BigInt| {
        let whole = number(amount);
        let target = &whole * (f * &g_of + (&f_of - f) * &g) / (&f_of * &g_of);
        (whole - target).to_string()
    };
    assert_eq!((world.remaining("a"), world.remaining("b")), (left(&f), left(&BigInt::ZERO)));
}

#[test]
fn fractions_round_toward_zero_to_the_scale_of_the_credit_type() {
    let rules = rules(vec![rule("minutes").of_type("gpu-minutes", 3).per_unit("1")], vec![]);
    let payment = payment_succeeded().of("3.00", "USD");
    let mut world = World::under(rules);
    world.take(&payment);
    assert_eq!(world.story(partial_refund_of(&payment).of("1.00", "USD")), ["revoke 0.333: -0.333"]);
    assert_eq!(world.story(partial_refund_of(&payment).named("re_2").of("1.00", "USD")), ["revoke 0.333: -0.333"]);
    let last = partial_refund_of(&payment).named("re_3").of("1.00", "USD").that_is(Succeeded);
    assert_eq!(world.story(last), ["revoke 0.334: -0.334"]);
}
