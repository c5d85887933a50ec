//! What is told of a purchase: why nothing happened, what is waited for, the arithmetic, and the sides of a conflict.

use std::collections::HashMap;

use super::fixtures::*;
use super::rulebook::*;
use super::world::World;
use crate::domain::amounts::{Scale, parse_plain};
use crate::domain::awaited::awaited;
use crate::domain::books::Purchase;
use crate::domain::explain::{TargetTold, decisions, known, said_before, targets};
use crate::domain::facts::{Contradiction, Facts};
use crate::domain::message::Message;
use crate::domain::message::RefundStatus::{Failed, Pending};
use crate::domain::purchase::{decide, wanted};
use crate::domain::rules::{AmountRule, Rules};
use crate::domain::sides::side_by_side;
use crate::domain::signup::looks;

/// The one purchase that `messages` make, and its facts.
fn purchase(rules: &'static Rules, messages: &[Message]) -> (World, Purchase, Facts) {
    let mut world = World::under(rules);
    world.take_all(messages.iter().cloned());
    let [purchase] = world.books.purchases.values().cloned().collect::<Vec<_>>().try_into().expect("one purchase");
    let facts = Facts::unite(&purchase.kept).unwrap();
    (world, purchase, facts)
}

/// What each waiting message waits for, in order of arrival.
fn waits(rules: &'static Rules, messages: &[Message]) -> Vec<String> {
    let (world, purchase, facts) = purchase(rules, messages);
    let (_, undecided) = decide(&facts, &purchase.decided, rules);
    let wanted = wanted(&facts, &purchase.decided, |gift| world.books.is_made(gift));
    let waiting = purchase.kept.iter().filter(|kept| purchase.waiting.contains(&kept.inbox_id));
    waiting.map(|kept| awaited(&kept.statement, &facts, &wanted, &undecided, Some(rules)).join("; ")).collect()
}

fn asked_back(rules: &'static Rules, messages: &[Message]) -> Vec<TargetTold> {
    let (world, purchase, facts) = purchase(rules, messages);
    let wanted = wanted(&facts, &purchase.decided, |gift| world.books.is_made(gift));
    let grants: HashMap<_, _> = world.grants().map(|grant| (grant.terms.grant_id, grant.clone())).collect();
    targets(&facts, &wanted, |id| grants.get(&id))
}

fn step<'t>(told: &'t TargetTold, name: &str) -> &'t str {
    told.steps.iter().find(|(step, _)| *step == name).map_or("", |(_, words)| words)
}

#[test]
fn a_refund_waits_for_the_purchase_that_it_names() {
    let on = |fixture: super::fixtures::Fixture<_>| waits(packs(), &[fixture.into()]);
    assert_eq!(on(refund("re_1").on_payment("pi_1")), ["the payment pi_1 that it refunds"]);
    assert_eq!(
        on(refund("re_1").on_invoice("in_1").on_alias("ch_1")),
        ["the invoice in_1 or a payment or an invoice with the alias ch_1 that it refunds"]
    );
}

#[test]
fn a_link_waits_for_one_of_its_names() {
    let link = purchase_linked().payments(&["pi_1"]).invoice("in_1");
    assert_eq!(waits(packs(), &[link.into()]), ["the invoice in_1 or the payment pi_1 that it links"]);
}

#[test]
fn a_payment_without_lines_waits_for_whoever_has_them() {
    let payment = payment_succeeded().without_lines();
    let of = |payment: &Fixture<_>| waits(packs(), &[payment.into()]);
    assert_eq!(of(&payment.clone().for_invoice("in_1")), ["the invoice in_1 whose lines it needs"]);
    assert_eq!(of(&payment), ["an invoice, or another message with lines, of payment pi_1"]);
    let invoice = invoice_issued().without_lines();
    assert_eq!(waits(packs(), &[invoice.into()]), ["the lines of invoice in_1, which were not in it"]);
}

#[test]
fn a_line_waits_for_the_trigger_of_its_rule() {
    let invoice = waits(packs(), &[invoice_issued().into()]);
    assert_eq!(invoice, ["a payment of invoice in_1, which grants for pack by rule packs"]);
    let on_issue = rules(vec![rule("on-issue").on_invoices()], vec![]);
    let payment = waits(on_issue, &[payment_succeeded().into()]);
    assert_eq!(payment, ["an invoice of payment pi_1, which grants for pack by rule on-issue"]);
    let payment = waits(on_issue, &[payment_succeeded().for_invoice("in_1").into()]);
    assert_eq!(payment, ["the invoice in_1, which grants for pack by rule on-issue"]);
}

#[test]
fn a_purchase_in_part_paid_waits_for_the_rest_of_the_money() {
    let full = rules(vec![rule("full").in_full()], vec![]);
    let part = payment_succeeded().of("30.00", "USD").for_invoice("in_1").without_lines();
    let by = "rule full grants for pack once it is paid in full";
    let rest = format!("19.00 USD more for invoice in_1 (30.00 of 49.00 paid): {by}");
    assert_eq!(waits(full, &[invoice_issued().into(), part.into()]), [rest.clone(), rest]);
    let early = payment_succeeded().for_invoice("in_1");
    assert_eq!(waits(full, &[early.into()]), [format!("the invoice in_1 and its total: {by}")]);
}

#[test]
fn amounts_are_told_with_their_arithmetic_and_their_rounding() {
    let number = |text| parse_plain(text).unwrap();
    let sold = lines(&[("pack", 3, "9.99")], "USD");
    let line = &sold.0[&price("pack")];
    let told = |rule: AmountRule, places| rule.in_words(line, Scale::new(places).unwrap());
    assert_eq!(told(AmountRule::PerUnit(number("250")), 0), "3 × 250 = 750");
    assert_eq!(told(AmountRule::PerUnit(number("0.5")), 0), "3 × 0.5 = 1.5, rounded down to 1");
    assert_eq!(told(AmountRule::PerCurrencyUnit(number("2.5")), 0), "9.99 × 2.5 = 24.975, rounded down to 24");
    assert_eq!(told(AmountRule::PerCurrencyUnit(number("2.5")), 3), "9.99 × 2.5 = 24.975");
    assert_eq!(told(AmountRule::Fixed(number("500")), 0), "500");
    let most = "3 × 999999999999999 = 2999999999999997, which is 1e15 or more";
    assert_eq!(told(AmountRule::PerUnit(number("999999999999999")), 0), most);
}

#[test]
fn a_line_that_no_rule_takes_is_told_with_the_condition_that_each_did_not_meet() {
    let mut tiered = rule("tiered");
    tiered.matches.metadata = [("tier".to_owned(), vec!["gold".to_owned(), "silver".to_owned()])].into();
    let mut euros = rule("euros");
    euros.matches.currency = Some(vec![crate::domain::amounts::Currency::parse("EUR").unwrap()]);
    let rules = rules(vec![rule("packs").takes("pack packs"), euros, tiered], vec![]);
    let payment = payment_succeeded().for_lines(&[("seats", 1, "49.00")]);
    let (_, purchase, facts) = purchase(rules, &[payment.into()]);
    let told = decisions(&facts, &purchase.decided, |_| Some(rules));
    let looked: Vec<String> = told[0].looked_at.iter().map(|(rule, why)| format!("{rule}: {why}")).collect();
    assert_eq!(told[0].words, "no rule takes it");
    assert_eq!(
        looked,
        [
            "packs: price_id is \"seats\", not \"pack\" or \"packs\"",
            "euros: currency is \"USD\", not \"EUR\"",
            "tiered: metadata.tier is absent, not \"gold\" or \"silver\"",
        ]
    );
}

#[test]
fn without_the_rules_file_a_line_is_told_with_its_amount() {
    let (_, purchase, facts) = purchase(packs(), &[payment_succeeded().into()]);
    let [with, without] = [Some(packs()), None].map(|rules| decisions(&facts, &purchase.decided, |_| rules));
    assert_eq!((with[0].words.as_str(), without[0].words.as_str()), ("1 × 1000 = 1000 credits", "1000 credits"));
}

#[test]
fn a_plain_refund_is_told_as_one_quotient() {
    let payment = payment_succeeded();
    let told = asked_back(packs(), &[(&payment).into(), partial_refund_of(&payment).into()]);
    assert_eq!(step(&told[0], "over"), "max(0, 49.00 paid - 49.00 due) = 0.00");
    assert_eq!(step(&told[0], "base"), "min(49.00 due, 49.00 paid) = 49.00");
    assert_eq!(step(&told[0], "counted"), "min(49.00, max(0, 12.25 refunded - 0.00 over)) = 12.25");
    assert_eq!(step(&told[0], "target"), "1000 × 12.25 / 49.00 = 250");
    assert_eq!(
        told[0].made.map(|(asked, taken)| (asked.to_string(), taken.to_string())),
        Some(("250".into(), "250".into()))
    );
}

#[test]
fn a_refund_by_line_of_an_overpaid_invoice_is_told_step_by_step() {
    let rules = rules(vec![rule("all")], vec![]);
    let invoice = invoice_issued().of("100.00", "USD").for_lines(&[("a", 1, "50.00"), ("b", 1, "50.00")]);
    let payment = payment_succeeded().of("150.00", "USD").without_lines().for_invoice("in_1");
    let back = partial_refund_of(&payment).of("51.00", "USD").by_line(&[("a", "51.00")]);
    let told = asked_back(rules, &[invoice.into(), payment.into(), back.into()]);
    let steps = ["over", "base", "counted", "R", "X", "f", "g", "target"].map(|name| step(&told[0], name));
    let expected = [
        "max(0, 150.00 paid - 100.00 due) = 50.00",
        "min(100.00 due, 150.00 paid) = 100.00",
        "min(100.00, max(0, 51.00 refunded - 50.00 over)) = 1.00",
        "51.00 in refunds that name lines",
        "min(1.00, 51.00) = 1.00",
        "51.00 × 1.00 / (51.00 × 50.00) = 1/50",
        "(1.00 - 1.00) / (100.00 - 1.00) = 0",
        "1000 × (1/50 + (1 - 1/50) × 0) = 20",
    ];
    assert_eq!(steps, expected);
    assert_eq!(step(&told[1], "f"), "0, nothing of it is on this line");
    assert_eq!(step(&told[1], "target"), "1000 × (0 + (1 - 0) × 0) = 0");
}

#[test]
fn a_surplus_grant_is_told_as_asked_back_whole() {
    let (first, second) = (payment_succeeded(), payment_succeeded().named("pi_2"));
    let link = purchase_linked().payments(&["pi_1", "pi_2"]);
    let told = asked_back(packs(), &[first.into(), second.into(), link.into()]);
    assert_eq!(told[0].words, "nothing refunded");
    assert_eq!(told[1].words, "duplicate of purchase pi_1: all 1000 are asked back");
}

#[test]
fn facts_say_what_is_seen_what_counts_and_what_the_sums_are() {
    let payment = payment_succeeded().for_invoice("in_1").sent_as("evt_1");
    let failed = partial_refund_of(&payment).that_is(Failed);
    let (_, _, facts) = purchase(packs(), &[payment.into(), failed.into()]);
    let told: Vec<String> = known(&facts).iter().map(|known| format!("{}: {}", known.what, known.says)).collect();
    assert_eq!(
        told,
        [
            "customer: cus_1",
            "lines: pack × 1 for 49.00 USD",
            "invoice in_1: named, but not seen yet",
            "payment pi_1: 49.00 USD, stated by evt_1",
            "refund re_1: 12.25 USD failed, which does not count",
            "paid: 49.00 USD",
            "due: 49.00 USD (the sum of the payments)",
            "refunded: 0.00 USD",
        ]
    );
}

#[test]
fn a_duplicate_is_told_with_those_that_said_it_before() {
    let payment = payment_succeeded().sent_as("evt_1");
    let back = partial_refund_of(&payment).that_is(Pending).sent_as("evt_2");
    let again = payment.clone().sent_as("evt_3");
    let (_, purchase, _) = purchase(packs(), &[payment.into(), back.into(), again.into()]);
    let said: Vec<&str> = said_before(&purchase.kept, 2).iter().map(|kept| kept.key.id.as_str()).collect();
    assert_eq!(said, ["evt_1"]);
}

#[test]
fn a_signup_hears_of_each_rule_what_it_gives_or_why_not() {
    let rules = rules(
        vec![],
        vec![signup_rule("pro").of_plan("pro"), signup_rule("once").once_per_identity(), signup_rule("all")],
    );
    let claimed_by_cus_9 = |signup: &Fixture<_>| {
        let holder = crate::domain::ids::CustomerId::parse("cus_9").unwrap();
        looks(&signup.says, rules, |_, _| Some(holder.clone())).into_iter().map(|look| look.words).collect::<Vec<_>>()
    };
    assert_eq!(
        claimed_by_cus_9(&signup().with_identity("person")),
        [
            "plan is absent, not \"pro\"",
            "rule once is once per identity, and customer cus_9 claimed it",
            "100 credits, once per customer",
        ]
    );
    assert_eq!(
        claimed_by_cus_9(&signup().for_plan("free"))[..2],
        ["plan is \"free\", not \"pro\"", "rule once is once per identity, and the signup has none"]
    );
    assert_eq!(claimed_by_cus_9(&signup().by("cus_9").with_identity("person"))[1], "100 credits, once per identity");
}

/// Field, both values, and the ids of the messages that state them.
fn sides(conflict: &Contradiction) -> [String; 5] {
    let id = |key: &Option<crate::domain::message::MessageKey>| key.as_ref().unwrap().id.to_string();
    let Contradiction { field, kept, given, kept_by, given_by } = conflict;
    [field.to_string(), kept.to_string(), given.to_string(), id(kept_by), id(given_by)]
}

#[test]
fn a_conflict_names_both_values_and_both_messages() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().sent_as("evt_1"));
    let record = world.take(payment_succeeded().of("50.00", "USD").sent_as("evt_2"));
    let expected = ["payment pi_1: amount", "49.00 USD", "50.00 USD", "evt_1", "evt_2"];
    assert_eq!(sides(&record.conflict.unwrap()), expected);
}

#[test]
fn a_waiting_refund_that_became_the_conflict_is_on_the_side_of_what_is_refused() {
    let mut world = World::under(packs());
    world.take(refund("re_1").of("12.25", "EUR").on_payment("pi_1").sent_as("evt_1"));
    let (record, changes) = world.heard(payment_succeeded().sent_as("evt_2"));
    assert!(record.conflict.is_none(), "the payment is kept");
    let conflict = changes.earlier[0].conflict.as_ref().unwrap();
    assert_eq!(sides(conflict), ["currency", "USD", "EUR", "evt_2", "evt_1"]);
}

#[test]
fn a_link_between_two_purchases_that_contradict_names_the_messages_of_both() {
    let mut world = World::under(packs());
    world.take(payment_succeeded().sent_as("evt_1"));
    world.take(payment_succeeded().named("pi_2").by("cus_2").sent_as("evt_2"));
    let record = world.take(purchase_linked().payments(&["pi_1", "pi_2"]).sent_as("evt_3"));
    assert_eq!(sides(&record.conflict.unwrap()), ["customer", "cus_1", "cus_2", "evt_1", "evt_2"]);
}

#[test]
fn two_messages_stand_side_by_side_with_every_field_that_one_of_them_has() {
    let (kept, refused) = (payment_succeeded(), payment_succeeded().of("50.00", "USD").paid_by("card"));
    let [kept, refused] = [kept, refused].map(|payment| Message::from(payment).content);
    let fields = side_by_side(&kept, &refused);
    let different: Vec<_> = fields
        .iter()
        .filter(|field| field.differs())
        .map(|field| (field.name, field.kept.as_deref(), field.refused.as_deref()))
        .collect();
    assert_eq!(different, [("amount", Some("49.00 USD"), Some("50.00 USD")), ("payment_method", None, Some("card"))]);
    assert!(fields.iter().any(|field| field.name == "lines" && !field.differs()));
}
