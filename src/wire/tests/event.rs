use chrono::DateTime;
use num_bigint::BigInt;
use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::domain::amounts::{Credits, Currency, Money, parse_plain};
use crate::domain::ids::{Actor, CreditType, CustomerId, GrantId, MessageId, Reason, RuleName, Source};
use crate::domain::ledger::{Cause, Delta, Demand, Entry, EntryType, GrantAfter, GrantStatus, LedgerEntry, Terms};
use crate::domain::message::Timestamp;
use crate::domain::rules::{Category, Priority};
use crate::wire::event::event;

fn at(text: &str) -> Timestamp {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn credits(text: &str) -> Credits {
    Credits::stored(parse_plain(text).unwrap()).unwrap()
}

fn money(amount: &str, currency: &str) -> Money {
    Money::new(parse_plain(amount).unwrap(), Currency::parse(currency).unwrap()).unwrap()
}

fn cause() -> Cause {
    Cause {
        source: Source::parse("/payments/stripe").unwrap(),
        id: MessageId::parse("evt_1").unwrap(),
        kind: "payment-succeeded".into(),
    }
}

/// 1000 paid credits for 49.00 USD, for a year.
fn pack() -> Terms {
    Terms {
        grant_id: GrantId(Uuid::from_u128(0x6f0c)),
        customer_id: CustomerId::parse("cus_1").unwrap(),
        credit_type: CreditType::parse("credits").unwrap(),
        amount: credits("1000"),
        category: Category::Paid,
        priority: Priority::DEFAULT,
        cost: Some(money("49.00", "USD")),
        effective_at: at("2026-11-22T09:30:00Z"),
        expires_at: Some(at("2027-11-22T09:30:00Z")),
        price_id: None,
        rule: Some(RuleName::parse("credit-packs").unwrap()),
        rules_hash: None,
        replaces: None,
        basis: credits("1000"),
        reason: None,
        actor: Actor::parse("rule:credit-packs").unwrap(),
        cause: cause(),
    }
}

fn welcome() -> Terms {
    Terms { category: Category::Promotional, cost: None, expires_at: None, amount: credits("100"), ..pack() }
}

/// An entry of the pack; the closure makes it another one.
fn entry(kind: EntryType, change: impl FnOnce(&mut Entry)) -> LedgerEntry {
    let mut entry = Entry {
        customer_id: CustomerId::parse("cus_1").unwrap(),
        credit_type: CreditType::parse("credits").unwrap(),
        sequence: 7,
        kind,
        delta: Delta::plus(credits("1000")),
        end_balance: credits("1250"),
        grant: Some(GrantAfter {
            grant_id: GrantId(Uuid::from_u128(0x6f0c)),
            remaining: credits("1000"),
            status: GrantStatus::Active,
        }),
        terms: None,
        demand: None,
        actor: Actor::parse("rule:credit-packs").unwrap(),
        reason: Some(Reason::cut("payment pi_1")),
        cause: cause(),
        effective_at: at("2026-11-22T09:30:00Z"),
        counts_at: at("2026-11-22T09:30:00.398211Z"),
    };
    change(&mut entry);
    let recorded_at = at("2026-11-22T09:30:00.398211Z");
    LedgerEntry { position: 1841, entry_id: Uuid::from_u128(0x0193), recorded_at, entry }
}

fn after(entry: &mut Entry, remaining: &str, status: GrantStatus) {
    entry.grant = entry.grant.map(|grant| GrantAfter { remaining: credits(remaining), status, ..grant });
}

fn asks(entry: &mut Entry, requested: &str, shortfall: &str) {
    entry.demand = Some(Demand { requested: credits(requested), shortfall: credits(shortfall) });
}

/// The body, which is one line, broken at a few keys.
fn shown(entry: &LedgerEntry, terms: Option<&Terms>) -> String {
    let event = event(entry, terms.map(Terms::shown).as_ref(), "/credits");
    assert_eq!(event.message_id, entry.entry_id.to_string());
    assert_eq!(event.routing_key, format!("ledger-changed.{}", entry.entry.kind.name()));
    let body = String::from_utf8(event.body).unwrap();
    ["type", "time", "data", "delta", "requested", "grant", "cost_basis", "effective_at", "actor", "cause"]
        .iter()
        .fold(body, |body, key| body.replace(&format!(",\"{key}\":"), &format!(",\n\"{key}\":")))
}

#[test]
fn a_grant_is_shown_as_the_contract_shows_it() {
    insta::assert_snapshot!(shown(&entry(EntryType::Grant, |_| {}), Some(&pack())), @r#"
    {"specversion":"1.0","id":"00000000-0000-0000-0000-000000000193","source":"/credits",
    "type":"ledger-changed","subject":"cus_1",
    "time":"2026-11-22T09:30:00.398211Z","datacontenttype":"application/json",
    "data":{"position":"1841","customer_id":"cus_1","credit_type":"credits","sequence":"7",
    "type":"grant",
    "delta":"1000","end_balance":"1250",
    "grant":{"grant_id":"00000000-0000-0000-0000-000000006f0c","category":"paid","priority":50,"amount":"1000","remaining":"1000",
    "cost_basis":{"total":"49.00","currency":"USD","per_credit":"0.049"},
    "effective_at":"2026-11-22T09:30:00Z","expires_at":"2027-11-22T09:30:00Z","status":"active"},
    "actor":"rule:credit-packs","reason":"payment pi_1",
    "cause":{"source":"/payments/stripe","id":"evt_1",
    "type":"payment-succeeded"},
    "effective_at":"2026-11-22T09:30:00Z","recorded_at":"2026-11-22T09:30:00.398211Z"}}
    "#);
}

#[test]
fn a_schedule_takes_the_terms_of_its_own_row() {
    let scheduled = entry(EntryType::Schedule, |entry| {
        entry.delta = Delta::ZERO;
        entry.terms = Some(welcome().into());
        entry.reason = None;
        after(entry, "100", GrantStatus::Scheduled);
    });
    insta::assert_snapshot!(shown(&scheduled, None), @r#"
    {"specversion":"1.0","id":"00000000-0000-0000-0000-000000000193","source":"/credits",
    "type":"ledger-changed","subject":"cus_1",
    "time":"2026-11-22T09:30:00.398211Z","datacontenttype":"application/json",
    "data":{"position":"1841","customer_id":"cus_1","credit_type":"credits","sequence":"7",
    "type":"schedule",
    "delta":"0","end_balance":"1250",
    "grant":{"grant_id":"00000000-0000-0000-0000-000000006f0c","category":"promotional","priority":50,"amount":"100","remaining":"100",
    "effective_at":"2026-11-22T09:30:00Z","status":"scheduled"},
    "actor":"rule:credit-packs",
    "cause":{"source":"/payments/stripe","id":"evt_1",
    "type":"payment-succeeded"},
    "effective_at":"2026-11-22T09:30:00Z","recorded_at":"2026-11-22T09:30:00.398211Z"}}
    "#);
}

#[test]
fn a_consume_says_what_was_asked_for() {
    let consumed = entry(EntryType::Consume, |entry| {
        entry.delta = Delta::minus(credits("0.25"));
        asks(entry, "0.5", "0.25");
        after(entry, "0", GrantStatus::Depleted);
    });
    insta::assert_snapshot!(shown(&consumed, Some(&welcome())), @r#"
    {"specversion":"1.0","id":"00000000-0000-0000-0000-000000000193","source":"/credits",
    "type":"ledger-changed","subject":"cus_1",
    "time":"2026-11-22T09:30:00.398211Z","datacontenttype":"application/json",
    "data":{"position":"1841","customer_id":"cus_1","credit_type":"credits","sequence":"7",
    "type":"consume",
    "delta":"-0.25","end_balance":"1250",
    "requested":"0.5","shortfall":"0.25",
    "grant":{"grant_id":"00000000-0000-0000-0000-000000006f0c","category":"promotional","priority":50,"amount":"100","remaining":"0",
    "effective_at":"2026-11-22T09:30:00Z","status":"depleted"},
    "actor":"rule:credit-packs","reason":"payment pi_1",
    "cause":{"source":"/payments/stripe","id":"evt_1",
    "type":"payment-succeeded"},
    "effective_at":"2026-11-22T09:30:00Z","recorded_at":"2026-11-22T09:30:00.398211Z"}}
    "#);
}

#[test]
fn a_consume_that_found_nothing_names_no_grant() {
    let nothing = entry(EntryType::Consume, |entry| {
        entry.delta = Delta::ZERO;
        entry.end_balance = Credits::ZERO;
        asks(entry, "5", "5");
        entry.grant = None;
    });
    insta::assert_snapshot!(shown(&nothing, None), @r#"
    {"specversion":"1.0","id":"00000000-0000-0000-0000-000000000193","source":"/credits",
    "type":"ledger-changed","subject":"cus_1",
    "time":"2026-11-22T09:30:00.398211Z","datacontenttype":"application/json",
    "data":{"position":"1841","customer_id":"cus_1","credit_type":"credits","sequence":"7",
    "type":"consume",
    "delta":"0","end_balance":"0",
    "requested":"5","shortfall":"5",
    "actor":"rule:credit-packs","reason":"payment pi_1",
    "cause":{"source":"/payments/stripe","id":"evt_1",
    "type":"payment-succeeded"},
    "effective_at":"2026-11-22T09:30:00Z","recorded_at":"2026-11-22T09:30:00.398211Z"}}
    "#);
}

#[test]
fn a_revoke_says_its_shortfall() {
    let revoked = entry(EntryType::Revoke, |entry| {
        entry.delta = Delta::minus(credits("200"));
        asks(entry, "500", "300");
        entry.actor = Actor::parse("worker:refund").unwrap();
        after(entry, "0", GrantStatus::Revoked);
    });
    insta::assert_snapshot!(shown(&revoked, Some(&pack())), @r#"
    {"specversion":"1.0","id":"00000000-0000-0000-0000-000000000193","source":"/credits",
    "type":"ledger-changed","subject":"cus_1",
    "time":"2026-11-22T09:30:00.398211Z","datacontenttype":"application/json",
    "data":{"position":"1841","customer_id":"cus_1","credit_type":"credits","sequence":"7",
    "type":"revoke",
    "delta":"-200","end_balance":"1250",
    "requested":"500","shortfall":"300",
    "grant":{"grant_id":"00000000-0000-0000-0000-000000006f0c","category":"paid","priority":50,"amount":"1000","remaining":"0",
    "cost_basis":{"total":"49.00","currency":"USD","per_credit":"0.049"},
    "effective_at":"2026-11-22T09:30:00Z","expires_at":"2027-11-22T09:30:00Z","status":"revoked"},
    "actor":"worker:refund","reason":"payment pi_1",
    "cause":{"source":"/payments/stripe","id":"evt_1",
    "type":"payment-succeeded"},
    "effective_at":"2026-11-22T09:30:00Z","recorded_at":"2026-11-22T09:30:00.398211Z"}}
    "#);
}

#[test]
fn a_reinstate_says_its_shortfall_be_it_none() {
    let reinstated = entry(EntryType::Reinstate, |entry| asks(entry, "1000", "0"));
    insta::assert_snapshot!(shown(&reinstated, Some(&pack())), @r#"
    {"specversion":"1.0","id":"00000000-0000-0000-0000-000000000193","source":"/credits",
    "type":"ledger-changed","subject":"cus_1",
    "time":"2026-11-22T09:30:00.398211Z","datacontenttype":"application/json",
    "data":{"position":"1841","customer_id":"cus_1","credit_type":"credits","sequence":"7",
    "type":"reinstate",
    "delta":"1000","end_balance":"1250",
    "requested":"1000","shortfall":"0",
    "grant":{"grant_id":"00000000-0000-0000-0000-000000006f0c","category":"paid","priority":50,"amount":"1000","remaining":"1000",
    "cost_basis":{"total":"49.00","currency":"USD","per_credit":"0.049"},
    "effective_at":"2026-11-22T09:30:00Z","expires_at":"2027-11-22T09:30:00Z","status":"active"},
    "actor":"rule:credit-packs","reason":"payment pi_1",
    "cause":{"source":"/payments/stripe","id":"evt_1",
    "type":"payment-succeeded"},
    "effective_at":"2026-11-22T09:30:00Z","recorded_at":"2026-11-22T09:30:00.398211Z"}}
    "#);
}

#[test]
fn an_expire_asks_for_nothing() {
    let expired = entry(EntryType::Expire, |entry| {
        entry.delta = Delta::minus(credits("1000"));
        entry.effective_at = at("2027-11-22T09:30:00.5Z");
        after(entry, "0", GrantStatus::Expired);
    });
    insta::assert_snapshot!(shown(&expired, Some(&pack())), @r#"
    {"specversion":"1.0","id":"00000000-0000-0000-0000-000000000193","source":"/credits",
    "type":"ledger-changed","subject":"cus_1",
    "time":"2026-11-22T09:30:00.398211Z","datacontenttype":"application/json",
    "data":{"position":"1841","customer_id":"cus_1","credit_type":"credits","sequence":"7",
    "type":"expire",
    "delta":"-1000","end_balance":"1250",
    "grant":{"grant_id":"00000000-0000-0000-0000-000000006f0c","category":"paid","priority":50,"amount":"1000","remaining":"0",
    "cost_basis":{"total":"49.00","currency":"USD","per_credit":"0.049"},
    "effective_at":"2026-11-22T09:30:00Z","expires_at":"2027-11-22T09:30:00Z","status":"expired"},
    "actor":"rule:credit-packs","reason":"payment pi_1",
    "cause":{"source":"/payments/stripe","id":"evt_1",
    "type":"payment-succeeded"},
    "effective_at":"2027-11-22T09:30:00.5Z","recorded_at":"2026-11-22T09:30:00.398211Z"}}
    "#);
}

#[test]
fn a_repetition_is_identical() {
    let granted = entry(EntryType::Grant, |_| {});
    assert_eq!(event(&granted, Some(&pack().shown()), "/credits"), event(&granted, Some(&pack().shown()), "/credits"));
}

#[test]
fn a_price_per_credit_has_12_places_toward_zero_and_no_trailing_zeros() {
    let cases = [
        ("49.00", "USD", "1000", "49.00", "0.049"),
        ("49.00", "USD", "49", "49.00", "1"),
        ("1", "USD", "3", "1.00", "0.333333333333"),
        ("2", "USD", "3", "2.00", "0.666666666666"),
        ("0", "USD", "3", "0.00", "0"),
        ("100", "USD", "1", "100.00", "100"),
        ("21000", "JPY", "3000", "21000", "7"),
        ("1.005", "KWD", "0.5", "1.005", "2.01"),
        ("0.01", "USD", "999999999999999", "0.01", "0"),
        ("999999999999999.99", "USD", "0.000000001", "999999999999999.99", "999999999999999990000000"),
        ("999999999999999.99", "USD", "999999999999999", "999999999999999.99", "1"),
        ("0.01", "USD", "10000000000", "0.01", "0.000000000001"),
    ];
    for (total, currency, amount, shown, per_credit) in cases {
        let terms = Terms { cost: Some(money(total, currency)), amount: credits(amount), ..pack() };
        let body =
            String::from_utf8(event(&entry(EntryType::Grant, |_| {}), Some(&terms.shown()), "/credits").body).unwrap();
        let basis =
            format!(r#""cost_basis":{{"total":"{shown}","currency":"{currency}","per_credit":"{per_credit}"}}"#);
        assert!(body.contains(&basis), "{basis}\n{body}");
    }
}

#[test]
fn times_have_at_most_six_places_and_no_trailing_zeros() {
    let cases = [
        ("2026-11-22T09:30:00Z", "2026-11-22T09:30:00Z"),
        ("2026-11-22T09:30:00.5Z", "2026-11-22T09:30:00.5Z"),
        ("2026-11-22T09:30:10.000001Z", "2026-11-22T09:30:10.000001Z"),
        ("2026-11-22T11:30:00.120+02:00", "2026-11-22T09:30:00.12Z"),
    ];
    for (instant, shown) in cases {
        let mut granted = entry(EntryType::Grant, |_| {});
        granted.recorded_at = at(instant);
        let body = String::from_utf8(event(&granted, None, "/credits").body).unwrap();
        assert!(body.contains(&format!(r#""time":"{shown}""#)), "{body}");
        assert!(body.ends_with(&format!(r#""recorded_at":"{shown}"}}}}"#)), "{body}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_price_per_credit_is_the_quotient_of_whole_numbers(
        minor in wide(18), places in 0_usize..4, units in wide(24), scale in 0_u32..=9,
    ) {
        let currency = Currency::parse(["JPY", "USD", "KWD", "CLF"][places]).unwrap();
        let minor = i128::try_from(minor).unwrap();
        let units = i128::try_from(units).unwrap().max(1);
        let cost = Money::new(Decimal::from_i128_with_scale(minor, currency.places()), currency);
        let amount = Credits::stored(Decimal::from_i128_with_scale(units, scale)).unwrap();
        let Ok(cost) = cost else { return Ok(()) };
        let terms = Terms { cost: Some(cost), amount, ..pack() };
        let body = event(&entry(EntryType::Grant, |_| {}), Some(&terms.shown()), "/credits").body;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let above = BigInt::from(minor) * BigInt::from(10).pow(scale + 12);
        let below = BigInt::from(units) * BigInt::from(10).pow(currency.places());
        let expected = crate::domain::amounts::plain(&(above / below), 12);
        prop_assert_eq!(&body["data"]["grant"]["cost_basis"]["per_credit"], &expected);
    }

    #[test]
    fn a_time_is_written_as_rfc_3339_says(micros in -100_000_000_000_000_000_i64..300_000_000_000_000_000, cut in 0_u32..7) {
        let micros = micros - micros % 10_i64.pow(cut);
        let mut granted = entry(EntryType::Grant, |_| {});
        granted.recorded_at = DateTime::from_timestamp_micros(micros).unwrap();
        let full = granted.recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let short = full.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        let body: serde_json::Value = serde_json::from_slice(&event(&granted, None, "/credits").body).unwrap();
        prop_assert_eq!(&body["data"]["recorded_at"], &format!("{short}Z"));
    }
}

/// Whole numbers of any length up to `digits`.
fn wide(digits: u32) -> impl Strategy<Value = u128> {
    (0..=digits).prop_flat_map(|digits| 0..10_u128.pow(digits))
}
