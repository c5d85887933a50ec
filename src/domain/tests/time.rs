//! Order of use, and what the clock brings: activations, expiries, instants from which an entry counts.

use super::fixtures::*;
use super::rulebook::*;
use super::world::{World, in_words};
use crate::domain::account::{Account, Grant};
use crate::domain::amounts::{Credits, Scale, parse_plain};
use crate::domain::ids::{Actor, CreditType, CustomerId, GrantId, MessageId, Source};
use crate::domain::ledger::EntryType::{Expire, Grant as Activate, Schedule};
use crate::domain::ledger::{Cause, Entry, GrantStatus, Terms};
use crate::domain::message::{Message, Timestamp};
use crate::domain::rules::{Category, Priority, Rules};

fn credits(amount: &str) -> Credits {
    Credits::new(parse_plain(amount).unwrap(), Scale::new(9).unwrap()).unwrap()
}

/// A grant of 100 promotional credits that starts at once and never ends.
fn terms(id: u128) -> Terms {
    Terms {
        grant_id: GrantId(uuid::Uuid::from_u128(id)),
        customer_id: CustomerId::parse("cus_1").unwrap(),
        credit_type: CreditType::parse("credits").unwrap(),
        amount: credits("100"),
        category: Category::Promotional,
        priority: Priority::DEFAULT,
        cost: None,
        effective_at: start(),
        expires_at: None,
        price_id: None,
        rule: None,
        rules_hash: None,
        replaces: None,
        basis: credits("100"),
        reason: None,
        actor: Actor::parse("ada").unwrap(),
        cause: Cause {
            source: Source::parse("/tests").unwrap(),
            id: MessageId::parse("evt_1").unwrap(),
            kind: "credit-adjustment".into(),
        },
    }
}

fn grant(terms: Terms) -> Grant {
    Grant::new(terms, Scale::new(0).unwrap(), None, start())
}

fn with(id: u128, change: impl FnOnce(&mut Terms)) -> Grant {
    let mut terms = terms(id);
    change(&mut terms);
    grant(terms)
}

#[test]
fn sixty_credits_come_from_the_promotional_grant_first_and_never_from_a_later_priority() {
    let priority = |value| Priority::new(value).unwrap();
    let of = |id, first: u8, end, category, amount| {
        with(id, |terms| {
            (terms.priority, terms.expires_at, terms.category) = (priority(first), Some(end), category);
            terms.amount = credits(amount);
        })
    };
    let a = of(1, 1, day(30), Category::Paid, "50");
    let b = of(2, 1, day(30), Category::Promotional, "20");
    let c = of(3, 2, day(13), Category::Promotional, "100");
    let mut grants = [a, b, c];
    grants.sort_by(Grant::order_of_use);
    let mut wanted = credits("60");
    let used = grants.map(|grant| {
        let used = wanted.min(grant.remaining);
        wanted = wanted.less(used);
        (grant.terms.grant_id.0.as_u128(), used.to_string())
    });
    assert_eq!(used, [(2, "20".into()), (1, "40".into()), (3, "0".into())]);
}

#[test]
fn the_order_of_use_is_total_and_each_rule_outweighs_all_after_it() {
    let earlier = |change: fn(&mut Terms), against: fn(&mut Terms)| {
        // The id is the last to decide: here it always speaks for the other one.
        let (first, second) = (with(2, change), with(1, against));
        assert!(first.order_of_use(&second).is_lt() && second.order_of_use(&first).is_gt());
    };
    earlier(|t| t.priority = Priority::new(0).unwrap(), |t| t.expires_at = Some(day(1)));
    earlier(|t| (t.expires_at, t.category) = (Some(day(9)), Category::Paid), |_| {});
    earlier(|t| (t.expires_at, t.category) = (Some(day(1)), Category::Paid), |t| t.expires_at = Some(day(2)));
    earlier(|t| t.effective_at = day(3), |t| t.category = Category::Paid);
    earlier(|_| {}, |t| t.effective_at = day(1));
    assert!(with(1, |_| {}).order_of_use(&with(2, |_| {})).is_lt());
    assert!(with(1, |_| {}).order_of_use(&with(1, |_| {})).is_eq());
}

/// An account on which `grants` are made at `now`, and the entries of that.
fn account(grants: impl IntoIterator<Item = Grant>, now: Timestamp) -> (Account, Vec<Entry>) {
    let mut account = Account::new(CustomerId::parse("cus_1").unwrap());
    let mut entries = Vec::new();
    for mut grant in grants {
        grant.first_counts_at = now;
        account.settle(now, &mut entries);
        account.grant(grant, now, &mut entries);
    }
    (account, entries)
}

fn settled(account: &mut Account, now: Timestamp) -> Vec<Entry> {
    let mut entries = Vec::new();
    account.settle(now, &mut entries);
    entries
}

#[test]
fn at_one_instant_expiries_come_before_activations_and_then_ids_decide() {
    let starts = |id| with(id, |t| t.effective_at = day(5));
    let ends = |id| with(id, |t| t.expires_at = Some(day(5)));
    let (mut account, _) =
        account([starts(2), ends(4), starts(1), ends(3), with(5, |t| t.expires_at = Some(day(4)))], day(1));
    let entries = settled(&mut account, day(6));
    let order: Vec<_> =
        entries.iter().map(|e| (e.kind, e.grant.unwrap().grant_id.0.as_u128(), e.effective_at)).collect();
    let at = day(5);
    assert_eq!(order, [(Expire, 5, day(4)), (Expire, 3, at), (Expire, 4, at), (Activate, 1, at), (Activate, 2, at)]);
    assert!(settled(&mut account, day(6)).is_empty(), "what is written is not written again");
}

#[test]
fn what_falls_due_counts_from_its_instant_however_late_it_is_written() {
    let (mut account, made) = account([with(1, |t| (t.effective_at, t.expires_at) = (day(2), Some(day(4))))], day(1));
    assert_eq!((made[0].kind, made[0].counts_at, made[0].effective_at), (Schedule, day(1), day(2)));
    let entries = settled(&mut account, day(20));
    let counts: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.effective_at, entry.counts_at)).collect();
    assert_eq!(counts, [(Activate, day(2), day(2)), (Expire, day(4), day(4))]);
    assert!(entries.iter().all(|entry| entry.actor == Actor::schedule() && entry.terms.is_none()));
}

#[test]
fn an_early_read_and_a_late_sweep_agree() {
    let (account, _) =
        account([with(1, |t| t.expires_at = Some(day(4))), with(2, |t| t.effective_at = day(3))], day(1));
    let (mut read, mut swept) = (account.clone(), account);
    settled(&mut read, day(5));
    settled(&mut swept, day(3));
    settled(&mut swept, day(5));
    assert_eq!(read, swept);
}

#[test]
fn an_instant_is_in_a_grants_interval_from_its_start_and_not_at_its_end() {
    let grant = with(1, |t| (t.effective_at, t.expires_at) = (day(2), Some(day(4))));
    let inside = [hour(47), day(2), hour(95), day(4)].map(|now| grant.is_inside(now));
    assert_eq!(inside, [false, true, true, false]);
}

#[test]
fn an_accounts_now_never_runs_backwards() {
    let (mut account, _) = account([], day(1));
    settled(&mut account, day(3));
    assert_eq!((account.now(day(2)), account.now(day(4))), (day(3), day(4)));
}

fn brief() -> &'static Rules {
    rules(vec![rule("brief").between_days(2, 4)], vec![])
}

#[test]
fn a_grant_made_after_its_end_gets_its_grant_and_its_expire_entry_at_once() {
    let mut world = World::under(brief()).at(day(9));
    let (_, changes) = world.heard(payment_succeeded());
    let seen: Vec<_> = changes.entries.iter().map(|e| (in_words(e), e.effective_at, e.counts_at)).collect();
    assert_eq!(seen, [("grant: 1000".into(), day(2), day(9)), ("expire: -1000".into(), day(4), day(9))]);
    let status: Vec<_> = changes.entries.iter().map(|e| e.grant.unwrap().status).collect();
    assert_eq!(status, [GrantStatus::Active, GrantStatus::Expired]);
}

#[test]
fn a_scheduled_grant_partly_taken_back_activates_with_what_remains() {
    let mut world = World::under(brief()).at(day(1));
    assert_eq!(world.story(payment_succeeded()), ["schedule"]);
    assert_eq!(world.story(partial_refund_of(&payment_succeeded())), ["revoke 250: 0"]);
    assert_eq!(world.grant("pack").status(day(1)), GrantStatus::Scheduled);
    assert_eq!(world.settle_at(day(3)).iter().map(in_words).collect::<Vec<_>>(), ["grant: 750"]);
    assert_eq!(world.settle_at(day(4)).iter().map(in_words).collect::<Vec<_>>(), ["expire: -750"]);
}

#[test]
fn a_scheduled_grant_taken_back_whole_never_activates_and_is_reinstated_in_its_interval() {
    let payment = payment_succeeded();
    let all = partial_refund_of(&payment).of("49.00", "USD");
    let mut world = World::under(brief()).at(day(1));
    world.take_all([Message::from(&payment), (&all).into()]);
    assert_eq!(world.grant("pack").status(day(1)), GrantStatus::Revoked);
    assert!(world.settle_at(day(3)).is_empty());
    let failed = all.that_is(crate::domain::message::RefundStatus::Failed);
    assert_eq!(world.story(failed), ["reinstate 1000: 1000"]);
    assert_eq!(world.settle_at(day(5)).iter().map(in_words).collect::<Vec<_>>(), ["expire: -1000"]);
}

#[test]
fn nothing_is_reinstated_on_an_expired_grant() {
    let payment = payment_succeeded();
    let back = partial_refund_of(&payment);
    let mut world = World::under(brief()).at(day(3));
    world.take_all([Message::from(&payment), (&back).into()]);
    world.books.clock = day(4);
    let (_, changes) = world.heard(back.that_is(crate::domain::message::RefundStatus::Failed));
    assert_eq!(
        changes.entries.iter().map(in_words).collect::<Vec<_>>(),
        ["expire: -750", "reinstate 250: 0, short 250"]
    );
    assert_eq!(changes.entries[1].reason.as_ref().unwrap().as_str(), "expired");
    assert_eq!(changes.entries[1].grant.unwrap().status, GrantStatus::Expired);
}

#[test]
fn a_refund_of_an_expired_grant_is_all_shortfall() {
    let mut world = World::under(brief()).at(day(3));
    world.take(payment_succeeded());
    world.books.clock = day(9);
    let story = world.story(partial_refund_of(&payment_succeeded()));
    assert_eq!(story, ["expire: -1000", "revoke 250: 0, short 250"]);
}

#[test]
fn statuses_follow_from_dates_and_amounts() {
    let payment = payment_succeeded();
    let all = partial_refund_of(&payment).of("49.00", "USD");
    let mut world = World::under(packs());
    world.take(&payment);
    assert_eq!(world.grant("pack").status(day(30)), GrantStatus::Active);
    world.uses("pack", "1000");
    assert_eq!(world.grant("pack").status(day(30)), GrantStatus::Depleted);
    world.take(&all);
    assert_eq!(world.grant("pack").status(day(30)), GrantStatus::Depleted, "the revoke took nothing");
    let mut world = World::under(packs());
    world.take(&payment);
    world.uses("pack", "1");
    world.take(&all);
    assert_eq!(world.grant("pack").status(day(30)), GrantStatus::Revoked);
}

#[test]
fn a_grants_dates_count_from_the_fact_of_its_trigger_and_not_from_what_let_it_take_effect() {
    let mut world = World::under(rules(vec![rule("year").for_days(365)], vec![]));
    world.take(refund("re_1").on_payment("pi_1").at(hour(1)));
    world.take(payment_succeeded().without_lines().for_invoice("in_1").at(hour(2)));
    world.take(invoice_issued().at(hour(3)));
    let terms = &world.grant("pack").terms;
    assert_eq!((terms.effective_at, terms.expires_at), (hour(2), Some(hour(2 + 365 * 24))));
}
