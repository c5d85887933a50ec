use std::fs;
use std::path::PathBuf;

use super::*;
use crate::domain::ids::Alias;
use crate::domain::message::{RefundStatus, Statement};
use crate::wire::{Stored, decode_stored};

fn sample(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const GOOD: [(&str, &str); 10] = [
    ("invoice-issued.json", "invoice-issued"),
    ("payment-succeeded.after-its-refund.json", "payment-succeeded"),
    ("payment-succeeded.for-invoice.json", "payment-succeeded"),
    ("payment-succeeded.pack.json", "payment-succeeded"),
    ("payment-succeeded.three-packs-jpy.json", "payment-succeeded"),
    ("refund.before-its-payment.json", "refund"),
    ("refund.partial.json", "refund"),
    ("refund.rest-failed-later.json", "refund"),
    ("refund.rest.json", "refund"),
    ("signup.json", "signup"),
];

#[test]
fn every_good_sample_decodes() {
    for (name, kind) in GOOD {
        let decoded = structured(&sample(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(decoded.structured);
        assert_eq!(decoded.message.content.message_type().name(), kind, "{name}");
    }
}

#[test]
fn every_bad_sample_is_refused_with_its_code_but_the_two_conflicts_decode() {
    let cases = [
        ("float-amount.json", Some(RefusalCode::InvalidAmount)),
        ("missing-customer.json", Some(RefusalCode::InvalidField)),
        ("negative-amount.json", Some(RefusalCode::InvalidAmount)),
        ("not-json.txt", Some(RefusalCode::Malformed)),
        ("nul-escape.json", Some(RefusalCode::Malformed)),
        ("same-id-other-amount.json", None),
        ("same-payment-other-amount.json", None),
        ("too-many-places.json", Some(RefusalCode::InvalidAmount)),
        ("unknown-currency.json", Some(RefusalCode::UnknownCurrency)),
        ("unknown-type.json", Some(RefusalCode::UnsupportedType)),
    ];
    for (name, code) in cases {
        check(structured(&sample(&format!("bad/{name}"))), code, name);
    }
}

#[test]
fn a_sample_says_what_its_file_says() {
    let message = structured(&sample("payment-succeeded.pack.json")).unwrap().message;
    assert_eq!((message.key.source.as_str(), message.key.id.as_str()), ("/payments/stripe", "evt_1001"));
    assert_eq!(message.time.to_rfc3339(), "2026-01-12T09:30:00+00:00");
    let Statement::Payment(payment) = purchase(message.content) else { panic!("no payment") };
    assert_eq!(payment.payment_id.as_str(), "pi_1001");
    assert_eq!(payment.customer_id.as_str(), "cus_ada");
    assert_eq!((payment.amount.to_string().as_str(), payment.amount.currency().code()), ("49.00", "USD"));
    assert_eq!(payment.aliases.iter().map(Alias::as_str).collect::<Vec<_>>(), ["ch_1001", "cs_1001"]);
    assert_eq!(payment.payment_method.as_deref(), Some("card"));
    assert_eq!(payment.metadata.get("plan").map(String::as_str), Some("pro"));
    let (price, line) = payment.lines.as_ref().unwrap().0.first_key_value().unwrap();
    assert_eq!((price.as_str(), line.quantity), ("price_credits_1000", 1));
    assert_eq!(line.amount, payment.amount);

    let message = structured(&sample("refund.rest-failed-later.json")).unwrap().message;
    let Statement::Refund(refund) = purchase(message.content) else { panic!("no refund") };
    assert_eq!((refund.status, refund.amount.to_string().as_str()), (RefundStatus::Failed, "36.75"));
    assert_eq!(refund.payment_id.unwrap().as_str(), "pi_1001");
}

#[test]
fn a_kept_body_decodes_to_the_same_message() {
    for (name, kind) in GOOD {
        let body = sample(name);
        let Decoded { message, structured } = structured(&body).unwrap();
        let stored = Stored { structured, key: &message.key, kind, time: message.time, body: &body };
        assert_eq!(decode_stored(&stored).unwrap(), message, "{name}");
    }
}

#[test]
fn a_kept_body_of_binary_mode_decodes_to_the_same_message() {
    let body = payment().to_string();
    let raw = Raw {
        message_id: Some("evt_1"),
        kind: Some("payment-succeeded"),
        app_id: Some("/billing"),
        timestamp: Some(1_768_210_200),
        ..bare(body.as_bytes())
    };
    let Decoded { message, structured } = decode(&raw).unwrap();
    assert!(!structured);
    let kind = "payment-succeeded";
    let stored = Stored { structured, key: &message.key, kind, time: message.time, body: body.as_bytes() };
    assert_eq!(decode_stored(&stored).unwrap(), message);
    let as_signup = decode_stored(&Stored { kind: "no-type", ..stored }).unwrap_err();
    assert_eq!((as_signup.code, as_signup.key), (RefusalCode::UnsupportedType, Some(message.key)));
}
