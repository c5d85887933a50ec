use super::*;
use crate::domain::message::Message;

const FIELD: Option<RefusalCode> = Some(RefusalCode::InvalidField);
const TYPE: Option<RefusalCode> = Some(RefusalCode::UnsupportedType);
const VERSION: Option<RefusalCode> = Some(RefusalCode::UnsupportedVersion);
const MALFORMED: Option<RefusalCode> = Some(RefusalCode::Malformed);
const TIME: u64 = 1_768_210_200;

fn event() -> Value {
    json!({
        "specversion": "1.0", "id": "evt_1", "source": "/billing", "type": "signup", "time": "2026-01-12T09:30:00Z",
        "datacontenttype": "application/json", "data": {"customer_id": "cus_1"}
    })
}

fn change(change: &Value) -> Result<Decoded, DecodeError> {
    structured(with(&event(), change).to_string().as_bytes())
}

fn at(time: &str) -> Result<Message, DecodeError> {
    change(&json!({"time": time})).map(|decoded| decoded.message)
}

fn binary(body: &[u8]) -> Raw<'_> {
    let kind = Some("signup");
    Raw { message_id: Some("evt_1"), kind, app_id: Some("/billing"), timestamp: Some(TIME), ..bare(body) }
}

#[test]
fn attributes_are_checked_in_order() {
    let cases = [
        (json!({}), None),
        (json!({"type": null}), TYPE),
        (json!({"type": 1}), TYPE),
        (json!({"type": "Signup"}), TYPE),
        (json!({"type": "chargeback", "data": null, "id": null, "dataversion": "2"}), TYPE),
        (json!({"type": "usage-recorded"}), FIELD),
        (json!({"type": "credit-adjustment"}), FIELD),
        (json!({"dataversion": "1"}), None),
        (json!({"dataversion": "1.7"}), None),
        (json!({"dataversion": 1}), None),
        (json!({"dataversion": "2"}), VERSION),
        (json!({"dataversion": "1."}), VERSION),
        (json!({"dataversion": "10"}), VERSION),
        (json!({"dataversion": "v1"}), VERSION),
        (json!({"dataversion": ""}), VERSION),
        (json!({"dataversion": 2}), VERSION),
        (json!({"dataversion": true}), VERSION),
        (json!({"dataversion": "2", "id": null, "data": {}}), VERSION),
        (json!({"specversion": "1.1"}), None),
        (json!({"specversion": null}), None),
        (json!({"specversion": "0.3"}), VERSION),
        (json!({"id": null}), FIELD),
        (json!({"id": 1}), FIELD),
        (json!({"id": ""}), FIELD),
        (json!({"id": "x".repeat(255)}), None),
        (json!({"id": "x".repeat(256)}), FIELD),
        (json!({"source": null}), FIELD),
        (json!({"source": "x".repeat(256)}), FIELD),
        (json!({"time": null}), FIELD),
        (json!({"time": TIME}), FIELD),
        (json!({"datacontenttype": "application/json; charset=utf-8"}), None),
        (json!({"datacontenttype": "application/vnd.billing+JSON"}), None),
        (json!({"datacontenttype": "text/xml"}), FIELD),
        (json!({"datacontenttype": 1}), FIELD),
        (json!({"data": null}), FIELD),
        (json!({"data": []}), FIELD),
        (json!({"data": "{}"}), FIELD),
        (json!({"data": null, "data_base64": "e30="}), FIELD),
        (json!({"subject": "s", "traceparent": 7}), None),
    ];
    for (case, code) in cases {
        check(change(&case), code, &case.to_string());
    }
}

#[test]
fn a_time_is_rfc_3339_in_utc_cut_to_microseconds() {
    let cases = [
        ("2026-01-12T09:30:00Z", "2026-01-12T09:30:00+00:00"),
        ("2026-01-12T09:30:00.1234569Z", "2026-01-12T09:30:00.123456+00:00"),
        ("2026-01-12T11:30:00+02:00", "2026-01-12T09:30:00+00:00"),
        ("2026-01-11T23:30:00.5-10:00", "2026-01-12T09:30:00.500+00:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"),
    ];
    for (written, read) in cases {
        assert_eq!(at(written).unwrap().time.to_rfc3339(), read, "{written}");
    }
}

#[test]
fn a_time_that_is_none_is_refused() {
    let cases = [
        "",
        "yesterday",
        "2026-01-12",
        "2026-01-12T09:30:00",
        "2026-01-12T09:30Z",
        "2026-02-30T09:30:00Z",
        "2026-01-12T24:00:00Z",
        "2026-01-12T23:59:60Z",
        "2026-01-12T23:59:61Z",
        "2026-01-12T09:30:00+24:00",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "12026-01-12T09:30:00Z",
        "1768210200",
    ];
    for time in cases {
        assert_eq!(at(time).unwrap_err().code, RefusalCode::InvalidField, "{time}");
    }
}

#[test]
fn the_content_type_tells_the_mode() {
    let whole = event().to_string();
    let cases = [
        (Some("application/cloudevents+json"), true),
        (Some("Application/CloudEvents+JSON"), true),
        (Some("application/cloudevents+json; charset=UTF-8"), true),
        (Some(" application/cloudevents+json ;x"), true),
        // The kindness: nothing outside the body names the event.
        (None, true),
        (Some(""), true),
        (Some("application/json"), true),
        (Some("application/json; charset=utf-8"), true),
        (Some("text/plain"), false),
        (Some("application/cloudevents-batch+json"), false),
    ];
    for (content_type, taken) in cases {
        let code = if taken { None } else { TYPE };
        check(decode(&Raw { content_type, ..bare(whole.as_bytes()) }), code, &format!("{content_type:?}"));
    }
    let stamped = Raw { timestamp: Some(TIME), ..bare(whole.as_bytes()) };
    check(decode(&stamped), None, "a timestamp alone names nothing");
    let named = Raw { message_id: Some("evt_2"), ..bare(whole.as_bytes()) };
    check(decode(&named), TYPE, "an id outside the body makes it binary");
}

#[test]
fn binary_mode_takes_the_attributes_from_the_properties() {
    let body = br#"{"customer_id":"cus_1"}"#;
    for content_type in [None, Some("application/json"), Some("application/octet-stream")] {
        let Decoded { message, structured } = decode(&Raw { content_type, ..binary(body) }).unwrap();
        assert!(!structured);
        assert_eq!((message.key.source.as_str(), message.key.id.as_str()), ("/billing", "evt_1"));
        assert_eq!(message.time.to_rfc3339(), "2026-01-12T09:30:00+00:00");
        assert_eq!(message.content, change(&json!({})).unwrap().message.content);
    }
}

#[test]
fn binary_mode_takes_from_headers_what_the_properties_lack() {
    let body = br#"{"customer_id":"cus_1"}"#;
    for prefix in ["cloudEvents_", "cloudEvents:"] {
        let names =
            ["id", "source", "type", "time", "specversion", "dataversion"].map(|name| format!("{prefix}{name}"));
        let values = ["evt_h", "/header", "signup", "2026-01-12T09:30:00.25Z", "1.0", "1.3"];
        let list: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
        let message = decode(&Raw { header: &headers(&list), ..bare(body) }).unwrap().message;
        assert_eq!((message.key.source.as_str(), message.key.id.as_str()), ("/header", "evt_h"));
        assert_eq!(message.time.to_rfc3339(), "2026-01-12T09:30:00.250+00:00");

        let message = decode(&Raw { header: &headers(&list), ..binary(body) }).unwrap().message;
        assert_eq!((message.key.source.as_str(), message.key.id.as_str()), ("/billing", "evt_1"));
        assert_eq!(message.time.to_rfc3339(), "2026-01-12T09:30:00+00:00");
    }
}

#[test]
fn binary_mode_is_checked_like_structured_mode() {
    let body = br#"{"customer_id":"cus_1"}"#;
    let long = "x".repeat(256);
    let two = headers(&[("cloudEvents_dataversion", "2")]);
    let old = headers(&[("cloudEvents:specversion", "0.3")]);
    let nul = headers(&[("cloudEvents_dataversion", "1\0")]);
    let cases = [
        (binary(body), None, "as it is"),
        (Raw { kind: None, ..binary(body) }, TYPE, "no type"),
        (Raw { kind: Some("chargeback"), ..binary(body) }, TYPE, "unknown type"),
        (Raw { header: &two, ..binary(body) }, VERSION, "another major"),
        (Raw { header: &old, ..binary(body) }, VERSION, "an old envelope"),
        (Raw { message_id: None, ..binary(body) }, FIELD, "no id"),
        (Raw { message_id: Some(""), ..binary(body) }, FIELD, "an empty id"),
        (Raw { message_id: Some(&long), ..binary(body) }, FIELD, "a huge id"),
        (Raw { app_id: None, ..binary(body) }, FIELD, "no source"),
        (Raw { timestamp: None, ..binary(body) }, FIELD, "no time"),
        (Raw { timestamp: Some(TIME * 1000), ..binary(body) }, FIELD, "milliseconds"),
        (Raw { timestamp: Some(u64::MAX), ..binary(body) }, FIELD, "no instant at all"),
        (Raw { message_id: Some("a\0"), ..binary(body) }, MALFORMED, "NUL in the id"),
        (Raw { kind: Some("signup\0"), ..binary(body) }, MALFORMED, "NUL in the type"),
        (Raw { app_id: Some("\0"), ..binary(body) }, MALFORMED, "NUL in the source"),
        (Raw { content_type: Some("\0"), ..binary(body) }, MALFORMED, "NUL in the content type"),
        (Raw { header: &nul, ..binary(body) }, MALFORMED, "NUL in a header"),
        (binary(b"[]"), FIELD, "no object"),
        (binary(b"null"), FIELD, "null"),
        (binary(b"{}"), FIELD, "no customer"),
        (binary(b"{"), MALFORMED, "no JSON"),
    ];
    for (raw, code, case) in cases {
        check(decode(&raw), code, case);
    }
}

#[test]
fn a_refusal_carries_the_key_as_far_as_it_could_be_read() {
    let key = |result: Result<Decoded, DecodeError>| {
        result.unwrap_err().key.map(|key| (key.source.to_string(), key.id.to_string()))
    };
    let named = Some(("/billing".to_owned(), "evt_1".to_owned()));
    assert_eq!(key(change(&json!({"type": "chargeback"}))), named);
    assert_eq!(key(change(&json!({"data": {}}))), named);
    assert_eq!(key(change(&json!({"id": 5}))), None);
    assert_eq!(key(structured(b"{")), None);
    assert_eq!(key(decode(&binary(b"{"))), named);
    assert_eq!(key(decode(&binary(&vec![b' '; 300_000]))), named);
    assert_eq!(key(decode(&Raw { content_type: Some(STRUCTURED), ..binary(b"{") })), None);
}
