//! How often a pool is read for a use: never for more than the named grants in front hold.

use std::collections::HashMap;

use rust_decimal::Decimal;
use uuid::Uuid;

use super::customer;
use crate::domain::account::{Account, Grant};
use crate::domain::amounts::{Credits, Scale};
use crate::domain::ids::{Actor, CreditType, GrantId, MessageId, Source};
use crate::domain::ledger::{Cause, Terms};
use crate::domain::message::Timestamp;
use crate::domain::needs::Draw;
use crate::domain::rules::{Category, Priority};
use crate::store::in_order::{Pools, Wanted};

fn grant(id: u128, amount: i64) -> Grant {
    let amount = Credits::stored(Decimal::from(amount)).unwrap();
    let terms = Terms {
        grant_id: GrantId(Uuid::from_u128(id)),
        customer_id: customer("cus"),
        credit_type: CreditType::parse("credits").unwrap(),
        amount,
        category: Category::Promotional,
        priority: Priority::DEFAULT,
        cost: None,
        effective_at: Timestamp::default(),
        expires_at: None,
        price_id: None,
        rule: None,
        rules_hash: None,
        replaces: None,
        basis: amount,
        reason: None,
        actor: Actor::parse("ada").unwrap(),
        cause: Cause {
            source: Source::parse("/tests").unwrap(),
            id: MessageId::parse("evt_1").unwrap(),
            kind: "credit-adjustment".into(),
        },
    };
    Grant::new(terms, Scale::new(0).unwrap(), None, Timestamp::default())
}

/// How often a pool of `grants`, in their order, is read for a use of `asked`; and how many of them are loaded then.
fn reads(grants: &[Grant], named: &[u128], asked: i64) -> (usize, usize) {
    let named: Vec<Uuid> = named.iter().map(|id| Uuid::from_u128(*id)).collect();
    let draw = Draw::Amount(Credits::stored(Decimal::from(asked)).unwrap());
    let pools = Pools::from([((customer("cus"), CreditType::parse("credits").unwrap()), draw)]);
    let mut account = Account::new(customer("cus"));
    account.settled_to = Some(Timestamp::default());
    let mut accounts = HashMap::from([(customer("cus"), account)]);
    let mut wanted = Wanted::of(&pools);
    for read in 1..=100 {
        let account = accounts.get_mut(&customer("cus")).unwrap();
        let (mut held, limit) = (Decimal::ZERO, usize::try_from(wanted.limit()).unwrap());
        for (at, grant) in grants.iter().enumerate() {
            if (at < limit && held < wanted.columns().2[0]) || named.contains(&grant.terms.grant_id.0) {
                account.grants.insert(grant.terms.grant_id, grant.clone());
            }
            held += grant.remaining.value();
        }
        wanted = wanted.still_missing(&accounts, &named, Timestamp::default());
        if wanted.is_empty() {
            return (read, accounts[&customer("cus")].grants.len());
        }
    }
    panic!("a hundred reads do not suffice")
}

#[test]
fn a_large_named_grant_in_front_costs_one_more_read_and_not_the_whole_pool() {
    let mut grants = vec![grant(1, 1_000)];
    grants.extend((2..500).map(|id| grant(id, 1_000)));
    assert_eq!(reads(&grants, &[1], 10), (2, 3));
    assert_eq!(reads(&grants, &[1, 2, 3], 1_500), (2, 8));
}

#[test]
fn a_pool_is_read_until_it_holds_what_is_asked_for_or_has_no_more() {
    let grants: Vec<Grant> = (1..=300).map(|id| grant(id, 1)).collect();
    assert_eq!(reads(&grants, &[], 1), (1, 1));
    assert_eq!(reads(&grants, &[], 16), (1, 16));
    assert_eq!(reads(&grants, &[], 17), (2, 17));
    assert_eq!(reads(&grants, &[], 300), (3, 300));
    assert_eq!(reads(&grants, &[], 9_000), (3, 300));
    assert_eq!(reads(&grants[..5], &[5], 5), (2, 5));
    assert_eq!(reads(&grants[..5], &[1, 2], 3), (2, 5));
}
