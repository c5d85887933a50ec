//! The words of this room's tests: valid bodies in which a case changes one thing.

mod adjustment;
mod amounts;
mod body;
mod envelope;
mod event;
mod fingerprint;
mod limits;
mod samples;
mod usage;

use std::sync::Arc;

use serde_json::{Value, json};

use super::{DecodeError, Decoded, Raw, decode};
use crate::domain::message::{Content, Statement};
use crate::domain::outcome::RefusalCode;

const STRUCTURED: &str = "application/cloudevents+json";

/// Properties without anything.
fn bare(body: &[u8]) -> Raw<'_> {
    Raw { body, content_type: None, message_id: None, kind: None, app_id: None, timestamp: None, header: &|_| None }
}

fn structured(body: &[u8]) -> Result<Decoded, DecodeError> {
    decode(&Raw { content_type: Some(STRUCTURED), ..bare(body) })
}

fn event_text(kind: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"evt_1","source":"/billing","type":"{kind}","time":"2026-01-12T09:30:00Z","data":{data}}}"#
    )
}

/// Decodes `data`, given as text, in a valid envelope.
fn decode_text(kind: &str, data: &str) -> Result<Decoded, DecodeError> {
    structured(event_text(kind, data).as_bytes())
}

/// Decodes `data` in a valid envelope.
fn decode_data(kind: &str, data: &Value) -> Result<Decoded, DecodeError> {
    decode_text(kind, &data.to_string())
}

fn content(kind: &str, data: &Value) -> Content {
    decode_data(kind, data).unwrap_or_else(|error| panic!("{error}\n{data}")).message.content
}

/// What a message states about a purchase.
fn purchase(content: Content) -> Statement {
    match content {
        Content::Purchase(statement) => Arc::unwrap_or_clone(statement),
        other => panic!("of no purchase: {other:?}"),
    }
}

/// Checks that the message is refused, or taken where `code` is `None`.
#[track_caller]
fn check(result: Result<Decoded, DecodeError>, code: Option<RefusalCode>, case: &str) {
    let got = result.as_ref().err().map(|error| error.code);
    assert_eq!(got, code, "{case}: {:?}", result.err().map(|error| error.detail));
}

/// `base` with the members of `change` put in; `null` takes a member out for the decoder.
fn with(base: &Value, change: &Value) -> Value {
    let mut whole = base.clone();
    for (key, value) in change.as_object().expect("an object") {
        whole[key] = value.clone();
    }
    whole
}

fn payment() -> Value {
    json!({
        "payment_id": "pi_1", "customer_id": "cus_1", "amount": "49.00", "currency": "USD",
        "aliases": ["cs_1", "ch_1"], "payment_method": "card", "metadata": {"plan": "pro"},
        "lines": [{"price_id": "price_1", "quantity": 1, "amount": "49.00"}]
    })
}

fn invoice() -> Value {
    json!({
        "invoice_id": "in_1", "customer_id": "cus_1", "total": "120.00", "currency": "EUR", "number": "2026-1",
        "payment_ids": ["pi_1"], "lines": [{"price_id": "price_1", "amount": "120.00"}]
    })
}

fn refund() -> Value {
    json!({
        "refund_id": "re_1", "payment_id": "pi_1", "amount": "12.25", "currency": "USD", "status": "succeeded",
        "reason": "asked for"
    })
}

fn signup() -> Value {
    json!({"customer_id": "cus_1", "identity": "b194", "campaign": "launch", "plan": "free"})
}

fn link() -> Value {
    json!({"payment_ids": ["pi_1"], "invoice_id": "in_1"})
}

/// A lookup in a fixed list of headers.
fn headers<'a>(list: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    move |name| list.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}
