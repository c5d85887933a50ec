//! An account that is settled in parts, of which each loads only so many grants: as if settled at once.

use std::collections::BTreeSet;

use super::audit::Audit;
use super::fixtures::*;
use super::random::{Random, on_every_core};
use crate::domain::account::{Account, Cut, Grant};
use crate::domain::amounts::{Credits, Scale, parse_plain};
use crate::domain::ids::{Actor, CreditType, CustomerId, GrantId, MessageId, Source};
use crate::domain::ledger::EntryType::{Expire, Grant as Activate};
use crate::domain::ledger::{Cause, Entry, EntryType, Terms};
use crate::domain::message::Timestamp;
use crate::domain::rules::{Category, Priority};

/// A grant of 10 credits in one of two pools, made at the start.
fn grant(id: u128, from: Timestamp, to: Option<Timestamp>) -> Grant {
    let credits = Credits::new(parse_plain("10").unwrap(), Scale::new(0).unwrap()).unwrap();
    let terms = Terms {
        grant_id: GrantId(uuid::Uuid::from_u128(id)),
        customer_id: CustomerId::parse("cus_1").unwrap(),
        credit_type: CreditType::parse(if id.is_multiple_of(3) { "minutes" } else { "credits" }).unwrap(),
        amount: credits,
        category: Category::Promotional,
        priority: Priority::DEFAULT,
        cost: None,
        effective_at: from,
        expires_at: to,
        price_id: None,
        rule: None,
        rules_hash: None,
        replaces: None,
        basis: credits,
        reason: None,
        actor: Actor::parse("ada").unwrap(),
        cause: Cause {
            source: Source::parse("/tests").unwrap(),
            id: MessageId::parse("evt_1").unwrap(),
            kind: "credit-adjustment".into(),
        },
    };
    Grant::new(terms, Scale::new(0).unwrap(), None, start())
}

/// An account with `grants`, made at the start, and the reader of its entries so far.
fn account(grants: impl IntoIterator<Item = Grant>) -> (Account, Audit) {
    let mut account = Account::new(CustomerId::parse("cus_1").unwrap());
    let (mut entries, mut audit) = (Vec::new(), Audit::default());
    account.settle(start(), &mut entries);
    for grant in grants {
        account.grant(grant, start(), &mut entries);
    }
    audit.read(&entries);
    (account, audit)
}

/// As the store loads it: `limit` of the grants that are due at `now`, and what comes next if there are more.
fn load(account: &Account, now: Timestamp, limit: usize) -> (BTreeSet<GrantId>, Option<Cut>) {
    let settled_to = account.settled_to.unwrap();
    let key = |grant: &Grant| {
        let due_at = grant.due_at(settled_to)?;
        Some((due_at, due_at == grant.terms.effective_at, grant.terms.grant_id))
    };
    let mut due: Vec<_> = account.grants.values().filter_map(key).filter(|(at, ..)| *at <= now).collect();
    due.sort();
    let cut = due.get(limit).map(|(due_at, starts, grant_id)| Cut {
        due_at: *due_at,
        kind: if *starts { Activate } else { Expire },
        grant_id: *grant_id,
    });
    (due.into_iter().take(limit).map(|(.., id)| id).collect(), cut)
}

/// Settles one part, of `limit` grants or of as many more as it takes. Gives its entries, and whether it was the last.
fn part(account: &mut Account, now: Timestamp, mut limit: usize) -> (Vec<Entry>, bool) {
    loop {
        let (loaded, cut) = load(account, now, limit);
        let mut some = account.clone();
        some.grants.retain(|id, _| loaded.contains(id));
        let mut entries = Vec::new();
        match cut {
            Some(cut) => some.settle_before(cut, &mut entries),
            None => some.settle(now, &mut entries),
        }
        if cut.is_some() && entries.is_empty() {
            limit *= 2;
            continue;
        }
        account.grants.extend(std::mem::take(&mut some.grants));
        (account.settled_to, account.pools) = (some.settled_to, some.pools);
        return (entries, cut.is_none());
    }
}

fn audited(audit: &mut Audit, account: &Account, entries: &[Entry]) {
    audit.read(entries);
    audit.check(&[(account.customer_id.clone(), account.clone())].into());
}

/// Type, grant and instant of each entry.
fn seen(entries: &[Entry]) -> Vec<(EntryType, u128, Timestamp)> {
    entries.iter().map(|entry| (entry.kind, entry.grant.unwrap().grant_id.0.as_u128(), entry.effective_at)).collect()
}

#[test]
fn expiries_of_one_instant_are_written_in_parts_and_the_account_stays_just_before_it() {
    let (mut account, mut audit) = account((1..=5).map(|id| grant(id, start(), Some(day(2)))));
    let mut all = Vec::new();
    for expected in [1..=2, 3..=4] {
        let (entries, last) = part(&mut account, day(9), 2);
        audited(&mut audit, &account, &entries);
        assert_eq!(seen(&entries), expected.map(|id| (Expire, id, day(2))).collect::<Vec<_>>());
        assert_eq!(account.settled_to, Some(day(2) - chrono::TimeDelta::microseconds(1)));
        assert!(!last);
        all.extend(entries);
    }
    let (entries, last) = part(&mut account, day(9), 2);
    audited(&mut audit, &account, &entries);
    assert_eq!((seen(&entries), account.settled_to, last), (vec![(Expire, 5, day(2))], Some(day(9)), true));
}

#[test]
fn activations_of_one_instant_stay_together_behind_its_expiries() {
    let grants = (1..=4).map(|id| grant(id, start(), Some(day(2)))).chain((5..=9).map(|id| grant(id, day(2), None)));
    let (mut account, mut audit) = account(grants.chain([grant(10, day(3), None)]));
    let mut parts = Vec::new();
    while {
        let (entries, last) = part(&mut account, day(9), 3);
        audited(&mut audit, &account, &entries);
        parts.push(seen(&entries));
        !last
    } {}
    let expire = |id| (Expire, id, day(2));
    let start = |id| (Activate, id, day(2));
    assert_eq!(
        parts,
        [
            vec![expire(1), expire(2), expire(3)],
            vec![expire(4)],
            vec![start(5), start(6), start(7), start(8), start(9), (Activate, 10, day(3))]
        ]
    );
}

#[test]
fn an_expiry_waits_for_those_of_its_instant_that_come_before_it_and_are_not_loaded() {
    // Grant 9 starts, so it is loaded first; at its end grants 1 and 2 end too, and come before it.
    let (mut account, _) =
        account([grant(9, day(1), Some(day(2))), grant(1, start(), Some(day(2))), grant(2, start(), Some(day(2)))]);
    let (entries, _) = part(&mut account, day(9), 2);
    assert_eq!(seen(&entries), [(Activate, 9, day(1)), (Expire, 1, day(2))]);
    let (entries, last) = part(&mut account, day(9), 2);
    assert_eq!((seen(&entries), last), (vec![(Expire, 2, day(2)), (Expire, 9, day(2))], true));
}

#[test]
fn settling_in_random_parts_equals_settling_at_once() {
    on_every_core(20_000, |seed| {
        let mut random = Random::seeded(seed);
        let instants = random.from(1..=4);
        let mut grants = Vec::new();
        for id in 1..=random.from(1..=14) {
            // Few instants, so that many fall together; 0 is the start, from which grants are active.
            let from = random.below(instants + 1);
            let to = random.percent(80).then(|| random.from(from + 1..=instants + 1));
            let at = |of: usize| day(i64::try_from(of).unwrap());
            grants.push(grant(id as u128, at(from), to.map(at)));
        }
        let now = day(i64::try_from(random.below(instants + 2)).unwrap());
        let (mut account, mut audit) = account(grants);
        let (mut at_once, mut expected) = (account.clone(), Vec::new());
        at_once.settle(now, &mut expected);

        // A message now and then settles all that is left.
        let wholly_at = random.percent(30).then(|| random.below(4));
        let mut entries = Vec::new();
        for round in 0.. {
            assert!(round < 200, "seed {seed}: it comes to an end");
            let limit = if wholly_at == Some(round) { usize::MAX } else { random.from(1..=5) };
            let (new, last) = part(&mut account, now, limit);
            audited(&mut audit, &account, &new);
            entries.extend(new);
            if last {
                break;
            }
        }
        assert_eq!(entries, expected, "seed {seed}");
        assert_eq!(account, at_once, "seed {seed}");
    });
}
