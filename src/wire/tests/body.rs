use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::wire::MAX_BODY_BYTES;

const MALFORMED: Option<RefusalCode> = Some(RefusalCode::Malformed);

#[test]
fn a_body_that_is_no_strict_json_is_malformed() {
    let good = event_text("signup", r#"{"customer_id":"c"}"#);
    let cases: &[(&str, Vec<u8>)] = &[
        ("empty", b"".to_vec()),
        ("white space", b" \n".to_vec()),
        ("not JSON", b"amount=1".to_vec()),
        ("cut short", good.as_bytes()[..good.len() - 1].to_vec()),
        ("something behind it", format!("{good}1").into_bytes()),
        ("bad UTF-8", b"{\"id\":\"\xff\"}".to_vec()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("BOM", format!("\u{feff}{good}").into_bytes()),
        ("NUL escape in a value", good.replace("evt_1", r"evt_\u0000").into_bytes()),
        ("NUL escape in a key", good.replace("specversion", r"spec\u0000").into_bytes()),
        ("NUL escape in an unknown field", event_text("signup", r#"{"customer_id":"c","x":[{"y":"\u0000"}]}"#).into()),
        ("raw NUL", good.replace("evt_1", "evt_\0").into_bytes()),
        ("raw NUL behind the body", format!("{good}\0").into_bytes()),
        ("lone surrogate", good.replace("evt_1", r"\ud800").into_bytes()),
        ("lone surrogate in a key", good.replace("specversion", r"\udc00").into_bytes()),
        ("raw line break in a text", good.replace("evt_1", "evt\n1").into_bytes()),
        ("NaN", event_text("payment-succeeded", r#"{"amount":NaN}"#).into()),
        ("leading plus", event_text("payment-succeeded", r#"{"amount":+1}"#).into()),
        ("leading zero", event_text("payment-succeeded", r#"{"amount":01}"#).into()),
        ("underscore", event_text("payment-succeeded", r#"{"amount":1_000}"#).into()),
        ("trailing comma", event_text("signup", r#"{"customer_id":"c",}"#).into()),
        ("comment", event_text("signup", r#"{"customer_id":"c"/**/}"#).into()),
        ("key twice in the event", good.replace("{\"specversion\"", "{\"id\":\"evt_1\",\"specversion\"").into()),
        ("key twice in data", event_text("signup", r#"{"customer_id":"c","customer_id":"c"}"#).into()),
        ("key twice in an unknown field", event_text("signup", r#"{"customer_id":"c","x":[{"y":1,"y":1}]}"#).into()),
        ("key twice, once escaped", event_text("signup", r#"{"customer_id":"c","customer\u005fid":"c"}"#).into()),
        ("no object", b"[]".to_vec()),
        ("a number", b"1e400".to_vec()),
    ];
    for (case, body) in cases {
        check(structured(body), MALFORMED, case);
    }
}

#[test]
fn depth_64_is_taken_and_depth_65_is_malformed() {
    // The event and its data are two levels.
    for (inner, code) in [(62, None), (63, MALFORMED)] {
        for (open, close) in [("[", "]"), (r#"{"x":"#, "}")] {
            let nested = format!("{}1{}", open.repeat(inner), close.repeat(inner));
            check(decode_text("signup", &format!(r#"{{"customer_id":"c","x":{nested}}}"#)), code, "nested");
        }
    }
}

#[test]
fn depth_10_000_is_refused_at_once_and_costs_no_stack() {
    let began = Instant::now();
    for (open, close) in [("[", "]"), (r#"{"x":"#, "}")] {
        let closed = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        check(structured(closed.as_bytes()), MALFORMED, "closed");
        check(structured(open.repeat(10_000).as_bytes()), MALFORMED, "never closed");
    }
    assert!(began.elapsed().as_millis() < 2_000, "took {:?}", began.elapsed());
}

#[test]
fn a_body_above_256_kib_is_too_large_whatever_it_holds() {
    let limit = event_text("signup", r#"{"customer_id":"c"}"#);
    let padded = format!("{limit}{}", " ".repeat(MAX_BODY_BYTES - limit.len()));
    check(structured(padded.as_bytes()), None, "at the limit");
    check(structured(format!("{padded} ").as_bytes()), Some(RefusalCode::TooLarge), "one byte more");
    check(structured(&vec![0xff; 20 << 20]), Some(RefusalCode::TooLarge), "20 MiB of nothing");
}

#[test]
fn a_refusal_names_the_place_and_the_value() {
    let cases = [
        (r#"{"customer_id":"c","x":[{"y":1,"y":2}]}"#, r#"data.x[0] has the key "y" twice"#),
        (r#"{"customer_id":"c\u0000"}"#, "data.customer_id holds a NUL"),
        (r#"{"customer_id":7}"#, "data.customer_id 7 is no text"),
        (r#"{"customer_id":"\u0007"}"#, r#"data.customer_id "\u{7}" holds a control character"#),
        (r#"{"customer_id":null}"#, "data.customer_id is missing"),
        (r#"{"customer_id":"c","metadata":{"k":[]}}"#, "data.metadata.k […] is no text"),
    ];
    for (data, detail) in cases {
        assert_eq!(decode_text("signup", data).unwrap_err().detail, detail);
    }
    let data =
        with(&payment(), &json!({"lines": [{"price_id": "a", "amount": "1"}, {"price_id": "b", "amount": "1.234"}]}));
    let error = decode_data("payment-succeeded", &data).unwrap_err();
    assert_eq!(error.detail, r#"data.lines[1].amount "1.234" has 3 decimal places, at most 2 are allowed"#);
    assert_eq!(error.to_string(), format!("invalid-amount: {}", error.detail));
    assert_eq!(error.key.unwrap().id.as_str(), "evt_1");
}

#[test]
fn a_refusal_is_short_whatever_was_sent() {
    let long = "é".repeat(5_000);
    let key = format!(r#"{{"customer_id":"c","{long}":{{"a":1,"a":1}}}}"#);
    let bodies = [format!(r#"{{"customer_id":"{long}"}}"#), key, format!(r#"{{"metadata":{{"{long}":1}}}}"#)];
    for data in bodies {
        let detail = decode_text("signup", &data).unwrap_err().detail;
        assert!(detail.chars().count() <= 401, "{detail}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), mode in any::<bool>()) {
        let content_type = mode.then_some(STRUCTURED);
        let _ = decode(&Raw { content_type, kind: Some("refund"), ..bare(&body) });
    }

    #[test]
    fn no_change_of_a_good_body_makes_it_panic_or_pass_for_json(
        kind in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let samples = [
            ("payment-succeeded", payment()), ("invoice-issued", invoice()), ("refund", refund()),
            ("signup", signup()), ("purchase-linked", link()),
        ];
        let (kind, data) = kind.get(&samples);
        let mut body = event_text(kind, &data.to_string()).into_bytes();
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let result = structured(&body);
        let json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
        prop_assert!(json || result.is_err_and(|error| error.code == RefusalCode::Malformed));
    }

    #[test]
    fn the_quick_way_reads_what_the_careful_one_reads_or_gives_up(
        value in any_json(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[-0-9.eE\"\\\\{}\\[\\],:u\u{0}a ]"), 0..3),
    ) {
        let mut text = value.to_string();
        for (at, put) in edits {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            text.insert_str(places[at.index(places.len())], &put);
        }
        if let Some(node) = crate::wire::plain::read(&text) {
            prop_assert_eq!(crate::wire::json::by_levels(&text), Ok(node), "{}", text);
        }
    }

    #[test]
    fn every_strict_json_is_read_as_serde_json_reads_it(value in any_json()) {
        let text = value.to_string();
        let node = crate::wire::json::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(as_value(&node), value);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(|text| Value::from(text.replace('\0', ""))),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let keys = any::<String>().prop_map(|text| text.replace('\0', ""));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn as_value(node: &crate::wire::json::Node<'_>) -> Value {
    use crate::wire::json::Node;
    match node {
        Node::Null => Value::Null,
        Node::Bool(value) => Value::from(*value),
        Node::Number(digits) => serde_json::from_str(digits).unwrap(),
        Node::Text(text) => Value::from(text.as_ref()),
        Node::List(items) => Value::Array(items.iter().map(as_value).collect()),
        Node::Object(object) => {
            Value::Object(object.iter().map(|(key, value)| (key.to_string(), as_value(value))).collect())
        }
    }
}
