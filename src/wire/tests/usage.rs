//! `usage-recorded`: what is taken, what is refused, and what counts as another content.

use super::*;
use crate::domain::message::Fingerprint;

const AMOUNT: Option<RefusalCode> = Some(RefusalCode::InvalidAmount);
const FIELD: Option<RefusalCode> = Some(RefusalCode::InvalidField);

fn usage() -> Value {
    json!({
        "usage_id": "use_1", "customer_id": "cus_1", "credit_type": "credits", "amount": "2.5",
        "occurred_at": "2026-01-12T09:30:00Z", "metadata": {"model": "large"}
    })
}

fn decoded(change: &Value) -> Result<Decoded, DecodeError> {
    decode_data("usage-recorded", &with(&usage(), change))
}

fn fingerprint(change: &Value) -> Fingerprint {
    decoded(change).unwrap_or_else(|error| panic!("{error}\n{change}")).message.fingerprint
}

#[test]
fn a_use_is_read_as_it_is_written() {
    let Content::Usage(usage) = content("usage-recorded", &usage()) else { panic!("no use") };
    let said = [usage.usage_id.as_str(), usage.customer_id.as_str(), usage.credit_type.as_str()];
    assert_eq!(said, ["use_1", "cus_1", "credits"]);
    assert_eq!(
        (usage.amount.to_string(), usage.occurred_at.to_rfc3339()),
        ("2.5".into(), "2026-01-12T09:30:00+00:00".into())
    );
    assert_eq!(usage.metadata["model"], "large");
}

#[test]
fn what_a_use_requires_has_to_be_there_as_text() {
    for name in ["usage_id", "customer_id", "credit_type", "occurred_at"] {
        for bad in [json!(null), json!(1), json!(""), json!(["a"]), json!({}), json!("x".repeat(256)), json!("a\u{1}")]
        {
            check(decoded(&json!({name: bad})), FIELD, &format!("{name} {bad}"));
        }
        let mut without = usage();
        without.as_object_mut().unwrap().remove(name);
        check(decode_data("usage-recorded", &without), FIELD, &format!("without {name}"));
    }
    for name in ["usage_id", "customer_id", "credit_type"] {
        check(decoded(&json!({name: "x".repeat(255)})), None, name);
        check(decoded(&json!({name: "é".repeat(128)})), FIELD, name);
    }
}

#[test]
fn an_amount_of_credits_is_taken_exactly_or_refused() {
    let cases = [
        (r#""2""#, None),
        ("2", None),
        (r#""0.000000001""#, None),
        (r#""2.500""#, None),
        (r#""1.0000000000000""#, None),
        (r#""999999999999999.999999999""#, None),
        ("999999999999999", None),
        (r#""0.0000000001""#, AMOUNT),
        (r#""1000000000000000""#, AMOUNT),
        ("1000000000000000", AMOUNT),
        ("0", AMOUNT),
        (r#""0.000""#, AMOUNT),
        ("-1", AMOUNT),
        (r#""-1""#, AMOUNT),
        (r#""+1""#, AMOUNT),
        ("2.5", AMOUNT),
        ("1e3", AMOUNT),
        (r#""1e3""#, AMOUNT),
        (r#""1_000""#, AMOUNT),
        (r#"" 1""#, AMOUNT),
        (r#""NaN""#, AMOUNT),
        (r#""""#, AMOUNT),
        ("null", FIELD),
        ("true", FIELD),
        ("[]", FIELD),
    ];
    for (amount, code) in cases {
        let data = format!(
            r#"{{"usage_id":"u","customer_id":"c","credit_type":"t","occurred_at":"2026-01-12T09:30:00Z","amount":{amount}}}"#
        );
        check(decode_text("usage-recorded", &data), code, amount);
    }
}

#[test]
fn when_it_occurred_is_an_instant_with_an_offset() {
    let cases = [
        ("2026-01-12T09:30:00Z", None),
        ("2026-01-12T11:30:00.1234567+02:00", None),
        ("2026-01-12T09:30:00", FIELD),
        ("2026-01-12", FIELD),
        ("2026-02-30T09:30:00Z", FIELD),
        ("yesterday", FIELD),
        ("1768210200", FIELD),
    ];
    for (at, code) in cases {
        check(decoded(&json!({"occurred_at": at})), code, at);
    }
}

#[test]
fn metadata_of_a_use_keeps_its_limits() {
    let keys = |count: usize| Value::Object((0..count).map(|n| (n.to_string(), json!("v"))).collect());
    let cases = [
        (keys(50), None),
        (keys(51), FIELD),
        (json!({"é".repeat(40): "é".repeat(500)}), None),
        (json!({"é".repeat(41): "v"}), FIELD),
        (json!({"k": "é".repeat(501)}), FIELD),
        (json!({"k": 1}), FIELD),
        (json!([]), FIELD),
        (json!(null), None),
    ];
    for (metadata, code) in cases {
        check(decoded(&json!({"metadata": metadata})), code, &metadata.to_string());
    }
}

#[test]
fn uses_that_say_the_same_have_the_same_fingerprint() {
    let same = [
        json!({"amount": "2.50"}),
        json!({"amount": "02.5"}),
        json!({"occurred_at": "2026-01-12T10:30:00.000+01:00"}),
        json!({"occurred_at": "2026-01-12T09:30:00.0000009Z"}),
        json!({"unknown": 1.5}),
        json!({"metadata": {"model": "large", "absent": null}}),
    ];
    for case in same {
        assert_eq!(fingerprint(&case), fingerprint(&json!({})), "{case}");
    }
    let spaced = usage().to_string().replace(',', " ,\n ").replace(':', " : ").replace("09 : 30 : 00", "09:30:00");
    let later = event_text("usage-recorded", &spaced)
        .replace("\"2026-01-12T09:30:00Z\",\"data\"", "\"2027-01-12T09:30:00Z\",\"data\"");
    assert!(later.contains("2027"));
    assert_eq!(structured(later.as_bytes()).unwrap().message.fingerprint, fingerprint(&json!({})));
}

#[test]
fn uses_that_differ_in_any_field_have_other_fingerprints() {
    let mut seen = vec![fingerprint(&json!({}))];
    for case in [
        json!({"usage_id": "use_2"}),
        json!({"customer_id": "cus_2"}),
        json!({"credit_type": "minutes"}),
        json!({"amount": "2.51"}),
        json!({"amount": "25"}),
        json!({"occurred_at": "2026-01-12T09:30:00.000001Z"}),
        json!({"metadata": {"model": "small"}}),
        json!({"metadata": null}),
    ] {
        let fingerprint = fingerprint(&case);
        assert!(!seen.contains(&fingerprint), "{case}");
        seen.push(fingerprint);
    }
}
