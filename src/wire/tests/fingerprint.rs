use proptest::prelude::*;

use super::*;
use crate::domain::message::Fingerprint;

fn of(kind: &str, data: &Value) -> Fingerprint {
    decode_data(kind, data).unwrap_or_else(|error| panic!("{error}\n{data}")).message.fingerprint
}

fn of_payment(change: &Value) -> Fingerprint {
    of("payment-succeeded", &with(&payment(), change))
}

#[test]
fn the_form_of_version_1_does_not_move() {
    let hex = |fingerprint: Fingerprint| hex::encode(fingerprint.0);
    insta::assert_snapshot!(hex(of("payment-succeeded", &payment())), @"df31be76273787a0398902b3004fc516e31aadfa9cd914e7d4e93263f5615591");
    insta::assert_snapshot!(hex(of("invoice-issued", &invoice())), @"63acfc67c826b40f2442632ebff9b506c4043e0e1f9b40c26fe9b29642619f00");
    insta::assert_snapshot!(hex(of("refund", &refund())), @"7b6a76dd0e569849e137d4c81ef117b85c420fb6e4fe2a8cb52da410c674c19d");
    insta::assert_snapshot!(hex(of("signup", &signup())), @"d4e7fd5da0a645c2201cf619aa70ffef94c9d4229f6ee505f56254ccbf679eb7");
    insta::assert_snapshot!(hex(of("purchase-linked", &link())), @"72247fd272fb1fa2d3673356a0268132455233ef020a9a6d95c9ca27572fb160");
}

#[test]
fn what_says_the_same_has_the_same_fingerprint() {
    let cases = [
        json!({"amount": 49}),
        json!({"amount": "49"}),
        json!({"amount": "0049.000"}),
        json!({"aliases": ["ch_1", "cs_1"]}),
        json!({"aliases": ["ch_1", "cs_1", "ch_1"]}),
        json!({"unknown": 1.5}),
        json!({"invoice_id": null}),
        json!({"metadata": {"plan": "pro", "absent": null}}),
        json!({"lines": [{"price_id": "price_1", "amount": 49, "metadata": {}}]}),
        json!({"lines": [{"amount": "24.5", "price_id": "price_1", "quantity": 1, "metadata": null, "new": 1}]}),
    ];
    // The last case changes the amount of its line too, so it is compared with its own spelling.
    let (last, same) = cases.split_last().unwrap();
    for case in same {
        assert_eq!(of_payment(case), of_payment(&json!({})), "{case}");
    }
    assert_eq!(of_payment(last), of_payment(&json!({"lines": [{"price_id": "price_1", "amount": "24.50"}]})));
}

#[test]
fn time_id_source_order_and_white_space_are_no_content() {
    let fingerprint = |body: &str| structured(body.as_bytes()).unwrap().message.fingerprint;
    let one = r#"{"id":"a","source":"s","type":"signup","time":"2026-01-12T09:30:00Z","data":{"customer_id":"c","plan":"p"}}"#;
    let two = r#"{"data":{ "plan" : "p" , "customer_id":"\u0063"},"time":"2027-01-12T09:30:00Z","type":"signup","source":"t","id":"b"}"#;
    assert_eq!(fingerprint(one), fingerprint(two));
}

#[test]
fn what_says_something_else_has_another_fingerprint() {
    let cases = [
        json!({"payment_id": "pi_2"}),
        json!({"customer_id": "cus_2"}),
        json!({"amount": "49.01"}),
        json!({"currency": "EUR"}),
        json!({"invoice_id": "in_1"}),
        json!({"aliases": ["cs_1"]}),
        json!({"aliases": ["cs_1ch_1"]}),
        json!({"aliases": null}),
        json!({"payment_method": "transfer"}),
        json!({"payment_method": null}),
        json!({"payment_method": ""}),
        json!({"metadata": {"plan": "pr", "o": ""}}),
        json!({"metadata": null}),
        json!({"lines": null}),
        json!({"lines": [{"price_id": "price_1", "amount": "49.00", "quantity": 2}]}),
        json!({"lines": [{"price_id": "price_1", "amount": "49.00", "metadata": {"k": "v"}}]}),
        json!({"lines": [{"price_id": "price_1", "amount": "48.00"}]}),
        json!({"lines": [{"price_id": "price_2", "amount": "49.00"}]}),
    ];
    let mut seen = vec![of_payment(&json!({}))];
    for case in cases {
        let fingerprint = of_payment(&case);
        assert!(!seen.contains(&fingerprint), "{case}");
        seen.push(fingerprint);
    }
}

#[test]
fn every_known_field_counts() {
    let cases = [
        (
            "invoice-issued",
            invoice(),
            vec!["invoice_id", "customer_id", "number", "payment_ids", "aliases", "metadata"],
        ),
        ("refund", refund(), vec!["refund_id", "payment_id", "invoice_id", "aliases", "customer_id", "reason"]),
        ("signup", signup(), vec!["customer_id", "identity", "campaign", "plan", "metadata"]),
        ("purchase-linked", link(), vec!["payment_ids", "invoice_id", "aliases"]),
    ];
    for (kind, base, names) in cases {
        for name in names {
            let value = match name {
                "aliases" | "payment_ids" => json!(["another"]),
                "metadata" => json!({"another": "one"}),
                _ => json!("another"),
            };
            assert_ne!(of(kind, &with(&base, &json!({name: value}))), of(kind, &base), "{kind} {name}");
        }
    }
    for change in
        [json!({"status": "failed"}), json!({"lines": [{"price_id": "a", "amount": 1}]}), json!({"amount": 1})]
    {
        assert_ne!(of("refund", &with(&refund(), &change)), of("refund", &refund()), "{change}");
    }
    for change in [json!({"total": "1"}), json!({"lines": []})] {
        assert_ne!(of("invoice-issued", &with(&invoice(), &change)), of("invoice-issued", &invoice()), "{change}");
    }
}

proptest! {
    #[test]
    fn fingerprints_differ_exactly_when_contents_do(left in any_signup(), right in any_signup()) {
        let (a, b) = (decode_data("signup", &left).unwrap().message, decode_data("signup", &right).unwrap().message);
        prop_assert_eq!(a.content == b.content, a.fingerprint == b.fingerprint);
    }
}

fn any_signup() -> impl Strategy<Value = Value> {
    let text = || prop::option::of("[ab]{0,2}");
    let metadata = prop::collection::btree_map("[ab]{0,2}", "[ab]{0,2}", 0..3);
    ("[ab]{1,2}", text(), text(), metadata).prop_map(|(customer_id, campaign, plan, metadata)| {
        json!({"customer_id": customer_id, "campaign": campaign, "plan": plan, "metadata": metadata})
    })
}
