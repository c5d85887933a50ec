use super::*;
use crate::domain::message::{Signup, Statement};

const FIELD: Option<RefusalCode> = Some(RefusalCode::InvalidField);

fn of(length: usize) -> String {
    "x".repeat(length)
}

#[test]
fn what_is_required_has_to_be_there_as_text() {
    let cases: [(&str, Value, &[&str]); 4] = [
        ("payment-succeeded", payment(), &["payment_id", "customer_id"]),
        ("invoice-issued", invoice(), &["invoice_id", "customer_id"]),
        ("refund", refund(), &["refund_id", "status"]),
        ("signup", signup(), &["customer_id"]),
    ];
    for (kind, base, names) in cases {
        check(decode_data(kind, &base), None, kind);
        for name in names {
            for bad in [json!(null), json!(1), json!(""), json!(["a"]), json!({}), json!(of(256)), json!("a\u{1}")] {
                check(decode_data(kind, &with(&base, &json!({*name: bad}))), FIELD, &format!("{kind} {name} {bad}"));
            }
            let mut without = base.clone();
            without.as_object_mut().unwrap().remove(*name);
            check(decode_data(kind, &without), FIELD, &format!("{kind} without {name}"));
        }
    }
}

#[test]
fn what_may_be_absent_is_checked_when_it_is_there() {
    let short = [json!(of(255)), json!(null)];
    let long = [json!(of(256)), json!("é".repeat(128)), json!(1), json!(true), json!({})];
    let cases: [(&str, Value, &[&str]); 4] = [
        ("payment-succeeded", payment(), &["invoice_id", "payment_method"]),
        ("invoice-issued", invoice(), &["number"]),
        ("refund", refund(), &["invoice_id", "customer_id"]),
        ("signup", signup(), &["identity", "campaign", "plan"]),
    ];
    for (kind, base, names) in cases {
        for name in names {
            let decode = |value: &Value| decode_data(kind, &with(&base, &json!({*name: value})));
            for value in &short {
                check(decode(value), None, &format!("{kind} {name} {value}"));
            }
            for value in &long {
                check(decode(value), FIELD, &format!("{kind} {name} {value}"));
            }
        }
    }
}

#[test]
fn a_reason_has_at_most_200_characters() {
    let cases = [(json!("é".repeat(200)), None), (json!("é".repeat(201)), FIELD), (json!(1), FIELD)];
    for (reason, code) in cases {
        check(decode_data("refund", &with(&refund(), &json!({"reason": reason}))), code, "reason");
    }
}

#[test]
fn metadata_is_texts_within_limits() {
    let keys = |count: usize| Value::Object((0..count).map(|n| (n.to_string(), json!("v"))).collect());
    let mut with_a_null = keys(50);
    with_a_null["absent"] = json!(null);
    let cases = [
        (keys(50), None),
        (with_a_null, None),
        (keys(51), FIELD),
        (json!({"é".repeat(40): "v"}), None),
        (json!({"é".repeat(41): "v"}), FIELD),
        (json!({"k": "é".repeat(500)}), None),
        (json!({"k": "é".repeat(501)}), FIELD),
        (json!({"k": 1}), FIELD),
        (json!({"k": true}), FIELD),
        (json!({"k": {}}), FIELD),
        (json!([]), FIELD),
        (json!("k"), FIELD),
        (json!(null), None),
        (json!({}), None),
    ];
    for (metadata, code) in cases {
        let line = json!([{"price_id": "a", "amount": "1", "metadata": metadata}]);
        for (kind, base) in [("payment-succeeded", payment()), ("invoice-issued", invoice()), ("signup", signup())] {
            check(decode_data(kind, &with(&base, &json!({"metadata": metadata}))), code, &metadata.to_string());
        }
        check(decode_data("payment-succeeded", &with(&payment(), &json!({"lines": line}))), code, "of a line");
    }
}

#[test]
fn lists_have_limits() {
    let names = |count: usize| Value::from((0..count).map(|n| format!("n{n}")).collect::<Vec<_>>());
    let lines = |count: usize| Value::from(vec![json!({"price_id": "a", "amount": "0.01"}); count]);
    let cases = [
        ("payment-succeeded", payment(), json!({"aliases": names(100)}), None),
        ("payment-succeeded", payment(), json!({"aliases": names(101)}), FIELD),
        ("invoice-issued", invoice(), json!({"payment_ids": names(101)}), FIELD),
        ("purchase-linked", link(), json!({"payment_ids": names(101)}), FIELD),
        ("refund", refund(), json!({"aliases": names(101)}), FIELD),
        ("payment-succeeded", payment(), json!({"lines": lines(1_000)}), None),
        ("payment-succeeded", payment(), json!({"lines": lines(1_001)}), FIELD),
        ("invoice-issued", invoice(), json!({"lines": lines(1_001)}), FIELD),
        ("refund", refund(), json!({"lines": lines(1_000)}), None),
        ("refund", refund(), json!({"lines": lines(1_001)}), FIELD),
        ("payment-succeeded", payment(), json!({"aliases": ["a", "a"]}), None),
        ("payment-succeeded", payment(), json!({"aliases": ["a", null]}), FIELD),
        ("payment-succeeded", payment(), json!({"aliases": ["a", ""]}), FIELD),
        ("payment-succeeded", payment(), json!({"aliases": ["a", of(256)]}), FIELD),
        ("payment-succeeded", payment(), json!({"aliases": "a"}), FIELD),
        ("payment-succeeded", payment(), json!({"lines": [null]}), FIELD),
        ("payment-succeeded", payment(), json!({"lines": {}}), FIELD),
    ];
    for (kind, base, change, code) in cases {
        let case: String = change.to_string().chars().take(80).collect();
        check(decode_data(kind, &with(&base, &change)), code, &format!("{kind} {case}"));
    }
}

#[test]
fn a_quantity_is_an_integer_from_1_to_a_billion() {
    let cases = [
        ("1", None),
        ("1000000000", None),
        ("null", None),
        ("0", FIELD),
        ("-1", FIELD),
        ("-0", FIELD),
        ("1000000001", FIELD),
        ("1.0", FIELD),
        ("1e3", FIELD),
        ("1e400", FIELD),
        ("99999999999999999999999999999999999999999", FIELD),
        (r#""1""#, FIELD),
        ("true", FIELD),
    ];
    for (quantity, code) in cases {
        let line = format!(r#"{{"price_id":"a","amount":"1","quantity":{quantity}}}"#);
        let data = format!(r#"{{"payment_id":"p","customer_id":"c","currency":"USD","amount":1,"lines":[{line}]}}"#);
        check(decode_text("payment-succeeded", &data), code, quantity);
    }
}

#[test]
fn a_status_is_one_of_four() {
    for status in ["pending", "succeeded", "failed", "canceled"] {
        check(decode_data("refund", &with(&refund(), &json!({"status": status}))), None, status);
    }
    for status in ["Succeeded", "cancelled", " failed"] {
        check(decode_data("refund", &with(&refund(), &json!({"status": status}))), FIELD, status);
    }
}

#[test]
fn a_refund_names_a_purchase_and_a_link_names_two_things() {
    let refund_by = |names: Value| decode_data("refund", &with(&with(&refund(), &json!({"payment_id": null})), &names));
    let linked = |names: Value| decode_data("purchase-linked", &names);
    check(refund_by(json!({})), FIELD, "nothing");
    check(refund_by(json!({"aliases": []})), FIELD, "no alias");
    check(refund_by(json!({"aliases": ["a"]})), None, "an alias");
    check(refund_by(json!({"invoice_id": "i"})), None, "an invoice");
    check(linked(json!({})), FIELD, "nothing");
    check(linked(json!({"invoice_id": "i"})), FIELD, "one");
    check(linked(json!({"payment_ids": ["p", "p"]})), FIELD, "one, twice");
    check(linked(json!({"payment_ids": ["p", "q"]})), None, "two payments");
    check(linked(json!({"aliases": ["a"], "invoice_id": "i"})), None, "an alias and an invoice");
}

#[test]
fn an_invoice_says_its_lines_be_they_none() {
    check(decode_data("invoice-issued", &with(&invoice(), &json!({"lines": null}))), FIELD, "null");
    let empty = content("invoice-issued", &with(&invoice(), &json!({"lines": []})));
    let Statement::Invoice(empty) = purchase(empty) else { panic!("no invoice") };
    assert_eq!(empty.lines, None);
}

#[test]
fn absent_null_and_empty_are_the_same() {
    let bare = json!({"payment_id": "p", "customer_id": "c", "amount": 1, "currency": "EUR"});
    let nulls = json!({"invoice_id": null, "aliases": null, "lines": null, "payment_method": null, "metadata": null});
    let empties = json!({"aliases": [], "lines": [], "metadata": {}});
    let said = content("payment-succeeded", &bare);
    assert_eq!(content("payment-succeeded", &with(&bare, &nulls)), said);
    assert_eq!(content("payment-succeeded", &with(&bare, &empties)), said);
}

#[test]
fn unknown_fields_are_ignored() {
    let said = content("signup", &with(&signup(), &json!({"new": {"field": [1.5, null]}})));
    assert_eq!(said, content("signup", &signup()));
    let Content::Signup(Signup { plan, campaign, .. }) = said else { panic!("no signup") };
    assert_eq!((plan.as_deref(), campaign.as_deref()), (Some("free"), Some("launch")));
}
