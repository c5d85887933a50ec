//! What messages look like as bytes: billing messages in, `ledger-changed` events out.
//!
//! The only room that knows message JSON. In: [`decode`] turns what the broker brought into a [`Message`] of the core,
//! or a [`DecodeError`] that names the field and the code of its dead letter; [`decode_stored`] does the same for a
//! body that was kept. The same bytes always give the same answer. Out: [`event::event`] gives the event of a ledger
//! entry. Pure: no I/O, no clock. Called by `handler`, `store`'s readers of kept bodies, and `relay`.
//!
//! The walk of a message: size -> `json` (strict text to a tree; `plain` is its quick way) -> `envelope` (structured or binary, the
//! attributes) -> one file a type (`payment`, `invoice`, `refund`, `signup`, `link`), which read their fields
//! through `fields` -> `fingerprint`.

mod adjustment;
mod envelope;
pub mod event;
mod fields;
mod fingerprint;
mod invoice;
mod json;
mod lines;
mod link;
mod payment;
mod plain;
mod refund;
mod signup;
#[cfg(test)]
mod tests;
mod usage;

use crate::domain::message::{Content, Message, MessageKey, MessageType, Statement, Timestamp};
use crate::domain::outcome::RefusalCode;
use fields::{Fields, Problems, cut};

/// The largest body, in bytes: 256 KiB. A message of 1,000 lines fits; anything larger is no billing message.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// What arrived: the body and the AMQP properties that an envelope may be made of. Empty texts count as absent.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    /// The body as it came.
    pub body: &'a [u8],
    /// `content-type`: decides between structured and binary mode.
    pub content_type: Option<&'a str>,
    /// `message-id`: the event's `id` in binary mode.
    pub message_id: Option<&'a str>,
    /// `type`: the event's `type` in binary mode.
    pub kind: Option<&'a str>,
    /// `app-id`: the event's `source` in binary mode.
    pub app_id: Option<&'a str>,
    /// `timestamp`, in seconds since 1970: the event's `time` in binary mode.
    pub timestamp: Option<u64>,
    /// Looks a header up by its exact name: texts as they are, numbers as their digits, anything else as absent.
    ///
    /// Asked only for `cloudEvents_…` and `cloudEvents:…`, and only in binary mode.
    pub header: &'a dyn Fn(&str) -> Option<String>,
}

/// A message, and what has to be kept beside its body to decode it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What it says.
    pub message: Message,
    /// Whether the body is the whole event (structured mode) or its `data` alone (binary mode).
    pub structured: bool,
}

/// A body that was kept, with what [`decode`] found in its envelope.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// As in [`Decoded::structured`].
    pub structured: bool,
    /// What names the message.
    pub key: &'a MessageKey,
    /// The message type's name, such as `payment-succeeded`.
    pub kind: &'a str,
    /// The event's `time`.
    pub time: Timestamp,
    /// The body as it came.
    pub body: &'a [u8],
}

/// Why a message was refused. The same bytes fail the same way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.name())]
pub struct DecodeError {
    /// The first failed check, in the order of [`RefusalCode`].
    pub code: RefusalCode,
    /// The field's path, its value cut to 80 characters, and what is wrong with it. Without control characters.
    pub detail: String,
    /// What names the message, if that could be read.
    pub key: Option<MessageKey>,
}

impl DecodeError {
    fn new(code: RefusalCode, detail: &str, key: Option<MessageKey>) -> Self {
        Self { code, detail: cut(detail), key }
    }
}

/// Decodes a message that arrived.
///
/// # Errors
/// [`DecodeError`] with the first code in this order: `too-large`, `malformed`, `unsupported-type`,
/// `unsupported-version`, `invalid-field`, `invalid-amount`, `unknown-currency`. Within one code the field that is
/// read first.
pub fn decode(raw: &Raw<'_>) -> Result<Decoded, DecodeError> {
    let refuse = |code, detail: String| DecodeError::new(code, &detail, envelope::key_in_properties(raw));
    let malformed = |detail| refuse(RefusalCode::Malformed, detail);
    if raw.body.len() > MAX_BODY_BYTES {
        let detail = format!("the body has {} bytes, at most {MAX_BODY_BYTES} are allowed", raw.body.len());
        return Err(refuse(RefusalCode::TooLarge, detail));
    }
    let root = json::parse(raw.body).map_err(malformed)?;
    let opened = envelope::open(raw, root).map_err(malformed)?;

    let problems = Problems::default();
    let event = Fields::root(&opened.event, &problems);
    let envelope = envelope::read(&event);
    let content = envelope.kind.and_then(|kind| event.object("data", |data| content(kind, data)));
    match (problems.first(), envelope.key, envelope.time, content) {
        (None, Some(key), Some(time), Some(content)) => {
            Ok(Decoded { message: message(key, time, content), structured: opened.structured })
        }
        (first, key, ..) => Err(refusal(first, key.or_else(|| envelope::key_in_properties(raw)))),
    }
}

/// Decodes a kept body again: facts are read from there and not stored a second time.
///
/// # Errors
/// As [`decode`], of the checks on the body; a body that [`decode`] took fails none of them under the same version.
pub fn decode_stored(stored: &Stored<'_>) -> Result<Message, DecodeError> {
    let refuse = |code, detail: String| DecodeError::new(code, &detail, Some(stored.key.clone()));
    let malformed = |detail| refuse(RefusalCode::Malformed, detail);
    let kind = MessageType::from_name(stored.kind)
        .ok_or_else(|| refuse(RefusalCode::UnsupportedType, format!("type {:?} is not supported", stored.kind)))?;
    let root = json::parse(stored.body).map_err(malformed)?;
    let event = envelope::open_stored(stored.structured, root).map_err(malformed)?;

    let problems = Problems::default();
    let content = Fields::root(&event, &problems).object("data", |data| content(kind, data));
    match (problems.first(), content) {
        (None, Some(content)) => Ok(message(stored.key.clone(), stored.time, content)),
        (first, _) => Err(refusal(first, Some(stored.key.clone()))),
    }
}

/// Room for the properties of a message without growing, in bytes.
const TEXT_ROOM: usize = 192;

/// Renders a header table or the like, for the record. `null` for what JSON cannot express.
///
/// A NUL in a text becomes `\u0000`: right in JSON, but nothing that Postgres takes as `jsonb`.
#[must_use]
pub fn json_text(value: &impl serde::Serialize) -> String {
    let text = json_bytes(value, TEXT_ROOM).and_then(|text| String::from_utf8(text).ok());
    text.unwrap_or_else(|| "null".to_owned())
}

fn json_bytes(value: &impl serde::Serialize, room: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(room);
    serde_json::to_writer(&mut bytes, value).ok().map(|()| bytes)
}

/// Reads what [`json_text`] rendered. A time stamp comes back as a number, bytes as a list of numbers.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn from_json_text<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn content(kind: MessageType, data: &Fields<'_>) -> Option<Content> {
    match kind {
        MessageType::PaymentSucceeded => payment::read(data).map(|payment| purchase(Statement::Payment(payment))),
        MessageType::InvoiceIssued => invoice::read(data).map(|invoice| purchase(Statement::Invoice(invoice))),
        MessageType::Refund => refund::read(data).map(|refund| purchase(Statement::Refund(refund))),
        MessageType::PurchaseLinked => link::read(data).map(|link| purchase(Statement::Link(link))),
        MessageType::Signup => signup::read(data).map(Content::Signup),
        MessageType::UsageRecorded => usage::read(data).map(Content::Usage),
        MessageType::CreditAdjustment => adjustment::read(data).map(Content::Adjustment),
    }
}

fn purchase(statement: Statement) -> Content {
    Content::Purchase(statement.into())
}

fn message(key: MessageKey, time: Timestamp, content: Content) -> Message {
    Message { key, time, fingerprint: fingerprint::of(&content), content }
}

/// Nothing is read as absent without a problem on record; if that ever failed, the message would still be refused.
fn refusal(first: Option<(RefusalCode, String)>, key: Option<MessageKey>) -> DecodeError {
    let (code, detail) = first.unwrap_or_else(|| (RefusalCode::InvalidField, "data cannot be read".to_owned()));
    DecodeError::new(code, &detail, key)
}
