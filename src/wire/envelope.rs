//! The envelope: CloudEvents 1.0 in structured or binary mode, brought to one form.
//!
//! *Structured*: the content type is `application/cloudevents+json`; the body is the whole event. *Binary*: any other
//! content type, or none; the body is `data`, the attributes come from the AMQP properties, or else from headers named
//! `cloudEvents_…` or `cloudEvents:…`. One kindness: without a content type, or with `application/json`, a body with
//! `specversion` is taken as structured if no property or header gives an id, a source or a type. (A `timestamp` alone
//! says nothing: brokers can stamp it themselves.) `specversion` may be absent and is then 1.0.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, SecondsFormat};

use super::Raw;
use super::fields::Fields;
use super::json::{Node, Object};
use crate::domain::ids::{MessageId, Source};
use crate::domain::message::{MessageKey, MessageType, Timestamp};
use crate::domain::outcome::RefusalCode;

const STRUCTURED: &str = "application/cloudevents+json";
/// The attributes that binary mode looks for outside the body.
const ATTRIBUTES: [&str; 6] = ["id", "source", "type", "time", "specversion", "dataversion"];
/// One of these outside the body means that it is not the whole event.
const NAMING: [&str; 3] = ["id", "source", "type"];

/// A message in the form of structured mode, whatever mode it came in.
pub(super) struct Opened<'a> {
    pub(super) event: Object<'a>,
    pub(super) structured: bool,
}

/// What the envelope says; absent where it says nothing or nothing valid.
pub(super) struct Envelope {
    pub(super) key: Option<MessageKey>,
    pub(super) kind: Option<MessageType>,
    pub(super) time: Option<Timestamp>,
}

/// Finds the mode and brings the message to the form of structured mode.
///
/// # Errors
/// What makes it malformed, in words: a NUL in a property, or a structured body that is no object.
pub(super) fn open<'a>(raw: &Raw<'a>, root: Node<'a>) -> Result<Opened<'a>, String> {
    let texts = [raw.content_type, raw.message_id, raw.kind, raw.app_id];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Err("a property holds a NUL".to_owned());
    }
    if is_structured(raw, &root) {
        open_stored(true, root).map(|event| Opened { event, structured: true })
    } else {
        let event = ATTRIBUTES.into_iter().filter_map(|name| Some((Cow::Borrowed(name), attribute(raw, name)?)));
        let mut event: Object<'a> = event.map(|(name, text)| (name, Node::Text(text))).collect();
        if event.values().any(|value| matches!(value, Node::Text(text) if text.contains('\0'))) {
            return Err("a header holds a NUL".to_owned());
        }
        event.insert("data".into(), root);
        Ok(Opened { event, structured: false })
    }
}

/// Brings a kept body to the form of structured mode, without attributes where they were not in the body.
///
/// # Errors
/// What makes it malformed, in words: a structured body that is no object.
pub(super) fn open_stored(structured: bool, root: Node<'_>) -> Result<Object<'_>, String> {
    match (structured, root) {
        (true, Node::Object(event)) => Ok(event),
        (true, _) => Err("the body is no event: no JSON object".to_owned()),
        (false, data) => Ok(Object::from([("data".into(), data)])),
    }
}

/// What names the message, as far as the properties say so in binary mode: for bodies that cannot be read.
pub(super) fn key_in_properties(raw: &Raw<'_>) -> Option<MessageKey> {
    if raw.content_type.is_some_and(|text| media_type(text).eq_ignore_ascii_case(STRUCTURED)) {
        return None;
    }
    let source = Source::parse(&attribute(raw, "source")?).ok()?;
    let id = MessageId::parse(&attribute(raw, "id")?).ok()?;
    Some(MessageKey { source, id })
}

fn is_structured(raw: &Raw<'_>, root: &Node<'_>) -> bool {
    match raw.content_type.filter(|text| !text.is_empty()).map(media_type) {
        Some(media) if media.eq_ignore_ascii_case(STRUCTURED) => true,
        Some(media) if !media.eq_ignore_ascii_case("application/json") => false,
        _ => {
            matches!(root, Node::Object(event) if event.contains_key("specversion"))
                && NAMING.iter().all(|name| attribute(raw, name).is_none())
        }
    }
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// An attribute outside the body: the property, or else the header.
fn attribute<'a>(raw: &Raw<'a>, name: &str) -> Option<Cow<'a, str>> {
    let property = match name {
        "id" => raw.message_id.map(Cow::Borrowed),
        "source" => raw.app_id.map(Cow::Borrowed),
        "type" => raw.kind.map(Cow::Borrowed),
        "time" => raw.timestamp.map(seconds).map(Cow::Owned),
        _ => None,
    };
    let given = |text: &Cow<'_, str>| !text.is_empty();
    let header = |prefix: &str| (raw.header)(&format!("{prefix}{name}")).map(Cow::Owned).filter(given);
    property.filter(given).or_else(|| header("cloudEvents_")).or_else(|| header("cloudEvents:"))
}

/// RFC 3339, or the bare digits of what is no instant: they are refused where the time is read.
fn seconds(since_1970: u64) -> String {
    let instant = i64::try_from(since_1970).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    instant.map_or_else(|| since_1970.to_string(), |instant| instant.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Reads and checks the attributes.
pub(super) fn read(event: &Fields<'_>) -> Envelope {
    let kind = kind(event);
    version(event, "specversion");
    version(event, "dataversion");
    let id = event.required("id", MessageId::parse);
    let source = event.required("source", Source::parse);
    let time = event.required("time", instant);
    event.optional("datacontenttype", json_like);
    let key = source.zip(id).map(|(source, id)| MessageKey { source, id });
    Envelope { key, kind, time }
}

fn kind(event: &Fields<'_>) -> Option<MessageType> {
    let kind = match event.get("type") {
        Some(Node::Text(name)) => MessageType::from_name(name),
        _ => None,
    };
    if kind.is_none() {
        let what = if event.get("type").is_some() { "is not supported" } else { "is missing" };
        event.note(RefusalCode::UnsupportedType, "type", what);
    }
    kind
}

/// Both versions have to be `1` or `1.x`; absent ones are. As JSON number or text.
fn version(event: &Fields<'_>, name: &str) {
    let supported = match event.get(name) {
        None => true,
        Some(Node::Text(version) | Node::Number(version)) => is_one(version),
        Some(_) => false,
    };
    if !supported {
        event.note(RefusalCode::UnsupportedVersion, name, "is not supported: 1 or 1.x is");
    }
}

fn is_one(version: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = version.split('.');
    parts.next() == Some("1") && parts.all(number)
}

/// An RFC 3339 instant in UTC, cut to microseconds.
pub(super) fn instant(text: &str) -> Result<Timestamp, &'static str> {
    let given = DateTime::parse_from_rfc3339(text)
        .map_err(|_| "is no RFC 3339 time with an offset, such as \"2026-11-22T09:30:00Z\"")?;
    if given.timestamp_subsec_nanos() >= 1_000_000_000 {
        return Err("is a leap second");
    }
    DateTime::from_timestamp_micros(given.timestamp_micros())
        .filter(|instant| (1970..=9999).contains(&instant.year()))
        .ok_or("is not within the years 1970 to 9999")
}

fn json_like(content_type: &str) -> Result<(), &'static str> {
    let media = media_type(content_type).to_ascii_lowercase();
    let subtype = media.split_once('/').map_or("", |(_, subtype)| subtype);
    if subtype == "json" || subtype.ends_with("+json") { Ok(()) } else { Err("is no JSON content type") }
}
