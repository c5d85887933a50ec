//! `credit-adjustment`: three actions, each with fields of its own.

use super::*;
use crate::domain::adjustment::{Action, Adjustment, Expiry};
use crate::domain::message::Fingerprint;

const AMOUNT: Option<RefusalCode> = Some(RefusalCode::InvalidAmount);
const FIELD: Option<RefusalCode> = Some(RefusalCode::InvalidField);
const ID: &str = "6f0c2b6e-3c6f-5b7e-9d3a-2f1f0f4b8c11";

fn of_action(action: &str, terms: &Value) -> Value {
    let whole = json!({
        "adjustment_id": "adj_1", "action": action, "customer_id": "cus_1", "credit_type": "credits",
        "actor": "ada", "reason": "goodwill"
    });
    with(&whole, terms)
}

fn grant() -> Value {
    of_action(
        "grant",
        &json!({"amount": "100", "category": "paid", "cost_basis": {"total": "4.90", "currency": "USD"}}),
    )
}

fn revoke() -> Value {
    of_action("revoke", &json!({"grant_id": ID, "amount": "10"}))
}

fn regrant() -> Value {
    of_action("regrant", &json!({"grant_id": ID, "expires_after": "30d"}))
}

fn decoded(base: &Value, change: &Value) -> Result<Decoded, DecodeError> {
    decode_data("credit-adjustment", &with(base, change))
}

fn read(base: &Value, change: &Value) -> Adjustment {
    match content("credit-adjustment", &with(base, change)) {
        Content::Adjustment(adjustment) => adjustment,
        other => panic!("no adjustment: {other:?}"),
    }
}

fn fingerprint(base: &Value, change: &Value) -> Fingerprint {
    decoded(base, change).unwrap_or_else(|error| panic!("{error}\n{change}")).message.fingerprint
}

#[test]
fn a_grant_by_hand_without_terms_is_of_priority_50_at_the_messages_time_without_end() {
    let Action::Grant(terms) = read(&grant(), &json!({})).action else { panic!("no grant") };
    assert_eq!(
        (terms.amount.to_string(), terms.used.to_string(), terms.priority.value()),
        ("100".into(), "0".into(), 50)
    );
    assert_eq!((terms.effective_at, terms.expiry), (None, Expiry::Never));
    assert_eq!(terms.cost.unwrap().to_string(), "4.90");
}

#[test]
fn a_revoke_names_a_grant_or_means_everything() {
    let action = |change: Value| read(&revoke(), &change).action;
    assert!(matches!(action(json!({})), Action::Revoke { amount: Some(amount), .. } if amount.to_string() == "10"));
    assert!(matches!(action(json!({"amount": null})), Action::Revoke { amount: None, .. }));
    assert_eq!(action(json!({"amount": null, "grant_id": null})), Action::RevokeAll);
    check(decoded(&revoke(), &json!({"grant_id": null})), FIELD, "an amount of no grant");
}

#[test]
fn a_regrant_without_terms_changes_none() {
    let Action::Regrant { priority, effective_at, expiry, .. } =
        read(&regrant(), &json!({"expires_after": null})).action
    else {
        panic!("no regrant")
    };
    assert_eq!((priority, effective_at, expiry), (None, None, None));
}

#[test]
fn what_every_action_requires_has_to_be_there_as_text() {
    for base in [grant(), revoke(), regrant()] {
        for name in ["adjustment_id", "action", "customer_id", "credit_type", "actor"] {
            for bad in [json!(null), json!(1), json!(""), json!(["a"]), json!("x".repeat(256)), json!("a\u{1}")] {
                check(decoded(&base, &json!({name: bad})), FIELD, &format!("{name} {bad}"));
            }
        }
        for bad in [json!(null), json!(1), json!("é".repeat(201))] {
            check(decoded(&base, &json!({"reason": bad})), FIELD, "reason");
        }
        check(decoded(&base, &json!({"reason": "é".repeat(200)})), None, "reason");
        check(decoded(&base, &json!({"payment_method": "x".repeat(255)})), None, "payment_method");
        check(decoded(&base, &json!({"payment_method": "x".repeat(256)})), FIELD, "payment_method");
        check(decoded(&base, &json!({"adjustment_id": "x".repeat(255), "customer_id": "y".repeat(255)})), None, "ids");
    }
}

#[test]
fn an_action_is_one_of_three() {
    for action in ["Grant", "give", "edit", "revoke ", "reinstate"] {
        check(decoded(&grant(), &json!({"action": action})), FIELD, action);
    }
}

#[test]
fn nobody_passes_for_a_rule_or_the_worker() {
    let cases = [
        ("ada", None),
        ("ops:ada", None),
        ("ruler", None),
        ("workers:1", None),
        ("rule:packs", FIELD),
        ("worker:usage", FIELD),
        ("worker:", FIELD),
        ("rule:", FIELD),
    ];
    for (actor, code) in cases {
        for base in [grant(), revoke(), regrant()] {
            check(decoded(&base, &json!({"actor": actor})), code, actor);
        }
    }
}

#[test]
fn a_field_of_another_action_is_refused() {
    let terms = [
        ("category", json!("paid")),
        ("priority", json!(1)),
        ("used", json!("1")),
        ("cost_basis", json!({"total": "1", "currency": "USD"})),
        ("effective_at", json!("2026-01-12T09:30:00Z")),
        ("expires_at", json!("2027-01-12T09:30:00Z")),
        ("expires_after", json!("1d")),
    ];
    for (name, value) in terms {
        check(decoded(&revoke(), &json!({name: value})), FIELD, &format!("{name} of a revoke"));
        check(decoded(&revoke(), &json!({name: null})), None, &format!("{name} of a revoke, null"));
    }
    for (name, value) in
        [("amount", json!("1")), ("used", json!("1")), ("category", json!("paid")), ("cost_basis", json!({}))]
    {
        check(decoded(&regrant(), &json!({name: value})), FIELD, &format!("{name} of a regrant"));
    }
    check(decoded(&grant(), &json!({"grant_id": ID})), FIELD, "grant_id of a grant");
    check(decoded(&grant(), &json!({"grant_id": null, "unknown": 1.5})), None, "null and unknown fields");
}

#[test]
fn amounts_by_hand_are_taken_exactly_or_refused() {
    let cases = [
        (json!("0.000000001"), None),
        (json!(7), None),
        (json!("999999999999999.999999999"), None),
        (json!("0"), AMOUNT),
        (json!(0.5), AMOUNT),
        (json!("1e3"), AMOUNT),
        (json!("+1"), AMOUNT),
        (json!(-1), AMOUNT),
        (json!("0.0000000001"), AMOUNT),
        (json!("1000000000000000"), AMOUNT),
        (json!(true), FIELD),
    ];
    for (amount, code) in cases {
        check(decoded(&grant(), &json!({"amount": amount})), code, &format!("grant {amount}"));
        check(decoded(&revoke(), &json!({"amount": amount})), code, &format!("revoke {amount}"));
    }
    check(decoded(&grant(), &json!({"amount": null})), FIELD, "a grant of nothing");
    let used = [("0", None), ("100", None), ("99.5", None), ("100.000000001", AMOUNT), ("-1", AMOUNT), ("", AMOUNT)];
    for (used, code) in used {
        check(decoded(&grant(), &json!({"used": used})), code, &format!("used {used}"));
    }
}

#[test]
fn a_priority_is_an_integer_from_0_to_100() {
    let cases = [
        ("0", None),
        ("100", None),
        ("null", None),
        ("101", FIELD),
        ("-1", FIELD),
        ("1.0", FIELD),
        (r#""1""#, FIELD),
        ("300", FIELD),
    ];
    for (priority, code) in cases {
        for base in [grant(), regrant()] {
            let value: Value = serde_json::from_str(priority).unwrap();
            check(decoded(&base, &json!({"priority": value})), code, priority);
        }
    }
}

#[test]
fn a_category_is_one_of_two_and_only_paid_grants_cost() {
    let unknown = Some(RefusalCode::UnknownCurrency);
    let cost = |total: Value, currency: Value| json!({"cost_basis": {"total": total, "currency": currency}});
    let cases = [
        (json!({"category": null}), FIELD),
        (json!({"category": "free"}), FIELD),
        (json!({"category": "promotional"}), FIELD),
        (json!({"category": "promotional", "cost_basis": null}), None),
        (json!({"cost_basis": null}), None),
        (json!({"cost_basis": "4.90"}), FIELD),
        (json!({"cost_basis": {}}), FIELD),
        (cost(json!("0"), json!("USD")), None),
        (cost(json!("4.901"), json!("USD")), AMOUNT),
        (cost(json!("4.901"), json!("KWD")), None),
        (cost(json!("4.9"), json!("JPY")), AMOUNT),
        (cost(json!(4.9), json!("USD")), AMOUNT),
        (cost(json!("-1"), json!("USD")), AMOUNT),
        (cost(json!("1"), json!("usd")), unknown),
        (cost(json!("1"), json!(null)), FIELD),
        (cost(json!(null), json!("USD")), FIELD),
    ];
    for (change, code) in cases {
        check(decoded(&grant(), &change), code, &change.to_string());
    }
}

#[test]
fn an_end_is_an_instant_or_a_length_and_never_both() {
    let cases = [
        (json!({"expires_after": "365d"}), None),
        (json!({"expires_after": "never"}), None),
        (json!({"expires_at": "2027-01-12T09:30:00+02:00", "expires_after": null}), None),
        (json!({"expires_at": "2027-01-12T09:30:00Z", "expires_after": "365d"}), FIELD),
        (json!({"expires_at": "2027-01-12T09:30:00Z", "expires_after": "never"}), FIELD),
        (json!({"expires_at": "never", "expires_after": null}), FIELD),
        (json!({"expires_after": "0d"}), FIELD),
        (json!({"expires_after": "-1d"}), FIELD),
        (json!({"expires_after": "1 year"}), FIELD),
        (json!({"expires_after": "Never"}), FIELD),
        (json!({"expires_after": 30}), FIELD),
        (json!({"effective_at": "2026-01-12T09:30:00"}), FIELD),
        (json!({"effective_at": "tomorrow"}), FIELD),
    ];
    for (change, code) in cases {
        for base in [grant(), regrant()] {
            check(decoded(&base, &change), code, &change.to_string());
        }
    }
}

#[test]
fn a_grant_id_is_a_uuid() {
    let cases = [(json!(ID), None), (json!("grant_1"), FIELD), (json!(""), FIELD), (json!(1), FIELD)];
    for (id, code) in cases {
        check(decoded(&revoke(), &json!({"grant_id": id})), code, &id.to_string());
        check(decoded(&regrant(), &json!({"grant_id": id})), code, &id.to_string());
    }
    check(decoded(&regrant(), &json!({"grant_id": null})), FIELD, "a regrant of nothing");
}

#[test]
fn adjustments_that_say_the_same_have_the_same_fingerprint() {
    let grants = [
        json!({"amount": "100.0"}),
        json!({"amount": 100}),
        json!({"used": "0"}),
        json!({"priority": 50}),
        json!({"expires_after": "never"}),
        json!({"payment_method": null, "unknown": true}),
        json!({"cost_basis": {"total": "4.9", "currency": "USD", "per_credit": "0.049"}}),
    ];
    for case in grants {
        assert_eq!(fingerprint(&grant(), &case), fingerprint(&grant(), &json!({})), "{case}");
    }
    assert_eq!(fingerprint(&revoke(), &json!({"grant_id": ID.to_uppercase()})), fingerprint(&revoke(), &json!({})));
    for same in ["720h", "2592000s"] {
        assert_eq!(fingerprint(&regrant(), &json!({"expires_after": same})), fingerprint(&regrant(), &json!({})));
    }
    let spaced = event_text("credit-adjustment", &grant().to_string().replace(',', " ,\n "));
    let later = spaced.replace("2026-01-12", "2027-01-12");
    assert_eq!(structured(later.as_bytes()).unwrap().message.fingerprint, fingerprint(&grant(), &json!({})));
}

#[test]
fn adjustments_that_differ_in_any_field_have_other_fingerprints() {
    let other = "00000000-0000-5000-8000-000000000000";
    let everywhere = [
        json!({}),
        json!({"adjustment_id": "adj_2"}),
        json!({"customer_id": "cus_2"}),
        json!({"credit_type": "minutes"}),
        json!({"actor": "bob"}),
        json!({"reason": "goodwil"}),
        json!({"payment_method": "transfer"}),
    ];
    let of_a_grant = [
        json!({"amount": "101"}),
        json!({"used": "1"}),
        json!({"category": "promotional", "cost_basis": null}),
        json!({"cost_basis": null}),
        json!({"cost_basis": {"total": "4.91", "currency": "USD"}}),
        json!({"cost_basis": {"total": "4.90", "currency": "EUR"}}),
        json!({"priority": 0}),
        json!({"effective_at": "2027-01-12T09:30:00Z"}),
        json!({"expires_at": "2027-01-12T09:30:00Z"}),
        json!({"expires_after": "365d"}),
        json!({"expires_after": "500ms"}),
        json!({"expires_after": "900ms"}),
    ];
    let of_a_revoke = [json!({"grant_id": other}), json!({"amount": null}), json!({"amount": null, "grant_id": null})];
    let of_a_regrant = [
        json!({"grant_id": other}),
        json!({"priority": 50}),
        json!({"effective_at": "2026-01-12T09:30:00Z"}),
        json!({"expires_after": "never"}),
        json!({"expires_after": null}),
        json!({"expires_after": null, "expires_at": "2027-01-12T09:30:00Z"}),
    ];
    let mut seen: Vec<Fingerprint> = Vec::new();
    for (base, own) in [(grant(), &of_a_grant[..]), (revoke(), &of_a_revoke), (regrant(), &of_a_regrant)] {
        for case in everywhere.iter().chain(own) {
            let fingerprint = fingerprint(&base, case);
            assert!(!seen.contains(&fingerprint), "{case}");
            seen.push(fingerprint);
        }
    }
}
