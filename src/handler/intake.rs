//! What a delivery is worth before the database is asked: decoded, or refused with the reason.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::crash;
use super::sharing::Share;
use crate::broker::{ChannelId, Delivery, HeaderValue};
use crate::domain::ids::InboxId;
use crate::domain::outcome::RefusalCode;
use crate::store::replay::StoredLetter;
use crate::wire::{self, DecodeError, Decoded, Raw};

/// One delivery on its way through.
#[derive(Debug)]
pub struct Work {
    /// As it came, without what the broker adds to headers.
    pub delivery: Delivery,
    /// The row that its message gets if it is kept.
    pub inbox_id: InboxId,
    /// Its properties as JSON.
    pub properties: String,
    /// Its message, or why there is none.
    pub decoded: Result<Decoded, DecodeError>,
    /// The dead letter that it is already, if a person has it taken again.
    pub letter: Option<i64>,
    /// What it was shared out by among the lanes; absent if it was not, or if no customer is known.
    pub share: Option<Share>,
}

/// A delivery that came so often before is handled alone.
const ALONE_FROM: u64 = 2;

/// Whether a delivery may be what kills processes: nobody looks into it until it is handled alone.
#[must_use]
pub fn is_suspect(delivery: &Delivery) -> bool {
    delivery.delivered_before >= ALONE_FROM
}

/// `broker` puts the raw properties here where the driver could not have parsed them.
const UNREADABLE: &str = "x-unreadable-properties";

/// Headers that the broker adds to a delivery: no part of what was published.
fn is_brokers_own(header: &str) -> bool {
    matches!(header, "x-delivery-count" | "x-acquired-count" | "x-death")
        || header.starts_with("x-first-death-")
        || header.starts_with("x-last-death-")
}

impl Work {
    /// Decodes a delivery.
    #[must_use]
    pub fn new(mut delivery: Delivery) -> Self {
        delivery.properties.headers.retain(|name, _| !is_brokers_own(name));
        let decoded = decode(&delivery);
        if let Ok(decoded) = &decoded {
            crash::on_message(decoded.message.key.id.as_str());
        }
        let properties = wire::json_text(&delivery.properties);
        Self { delivery, inbox_id: InboxId(Uuid::now_v7()), properties, decoded, letter: None, share: None }
    }
}

impl Work {
    /// Gives it another row: for another try.
    pub fn renew(&mut self) {
        self.inbox_id = InboxId(Uuid::now_v7());
    }

    /// Takes a delivery that is not to be decoded now, if ever: processes may have died of that.
    #[must_use]
    pub fn unread(mut delivery: Delivery) -> Self {
        delivery.properties.headers.retain(|name, _| !is_brokers_own(name));
        let properties = wire::json_text(&delivery.properties);
        let unread = DecodeError { code: RefusalCode::CrashedWorker, detail: "not decoded".into(), key: None };
        Self {
            delivery,
            inbox_id: InboxId(Uuid::now_v7()),
            properties,
            decoded: Err(unread),
            letter: None,
            share: None,
        }
    }
}

impl Work {
    /// Decodes a dead letter again, from its original bytes and properties.
    ///
    /// # Errors
    /// What is wrong with the stored properties, in words.
    pub fn again(number: i64, letter: StoredLetter) -> Result<Self, String> {
        let delivery = Delivery {
            queue: letter.queue.into(),
            // It came by no channel, and is never settled there.
            channel: ChannelId { generation: 0, consumer: 0 },
            tag: 0,
            delivered_before: 0,
            properties: wire::from_json_text(&letter.properties)?,
            body: letter.body,
        };
        Ok(Self { properties: letter.properties, letter: Some(number), ..Self::new(delivery) })
    }
}

fn decode(delivery: &Delivery) -> Result<Decoded, DecodeError> {
    let properties = &delivery.properties;
    if properties.headers.contains_key(UNREADABLE) {
        let detail = "the AMQP properties cannot be read: text that is no UTF-8, or too deep a table".to_owned();
        return Err(DecodeError { code: RefusalCode::Malformed, detail, key: None });
    }
    let header = |name: &str| match properties.headers.get(name) {
        Some(HeaderValue::Text(text)) => Some(text.clone()),
        Some(HeaderValue::Int(number)) => Some(number.to_string()),
        // What is stored of a dead letter does not tell it from a number, and a replay has to read the same.
        Some(HeaderValue::Timestamp(seconds)) => i64::try_from(*seconds).ok().map(|seconds| seconds.to_string()),
        _ => None,
    };
    wire::decode(&Raw {
        body: &delivery.body,
        content_type: properties.content_type.as_deref(),
        message_id: properties.message_id.as_deref(),
        kind: properties.kind.as_deref(),
        app_id: properties.app_id.as_deref(),
        timestamp: properties.timestamp,
        header: &header,
    })
}

/// Names a delivery across processes without decoding it: SHA-256 of its message id and body.
#[must_use]
pub fn content_hash(delivery: &Delivery) -> [u8; 32] {
    let id = delivery.properties.message_id.as_deref().unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update((id.len() as u64).to_be_bytes());
    hash.update(id);
    hash.update(&delivery.body);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::broker::Properties;
    use crate::store::replay::State;

    const SIGNUP: &str = r#"{"customer_id":"ada"}"#;

    fn check(properties: Properties, body: &str) -> Result<Decoded, DecodeError> {
        let channel = ChannelId { generation: 1, consumer: 0 };
        let body = body.as_bytes().to_vec();
        let came = Delivery { queue: "q".into(), channel, tag: 1, delivered_before: 0, properties, body: body.clone() };
        let first = Work::new(came);
        let (state, properties) = (State::Open, first.properties.clone());
        let again = Work::again(7, StoredLetter { state, queue: "q".into(), properties, body }).unwrap();
        assert_eq!(format!("{:?}", again.decoded), format!("{:?}", first.decoded));
        assert_eq!(again.properties, first.properties, "what is stored stays as it was");
        first.decoded
    }

    #[test]
    fn what_is_stored_of_a_delivery_decodes_to_the_same() {
        let headers: BTreeMap<String, HeaderValue> = [
            ("cloudEvents_source", HeaderValue::Text("/billing \u{0} ü".into())),
            ("a", HeaderValue::Null),
            ("b", HeaderValue::Bool(true)),
            ("c", HeaderValue::Float(5.0)),
            ("d", HeaderValue::Float(f64::NAN)),
            ("e", HeaderValue::Bytes(vec![0, 255])),
            ("f", HeaderValue::Timestamp(u64::MAX)),
            ("g", HeaderValue::List(vec![HeaderValue::Int(-1), HeaderValue::Table(BTreeMap::new())])),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let binary = Properties {
            content_type: Some("application/json".into()),
            message_id: Some("evt_1".into()),
            kind: Some("signup".into()),
            app_id: Some("/billing".into()),
            timestamp: Some(1_768_210_200),
            ..Properties::default()
        };
        check(binary.clone(), SIGNUP).unwrap();
        check(Properties { headers: headers.clone(), ..binary.clone() }, SIGNUP).unwrap();
        check(Properties { headers: headers.clone(), app_id: None, ..binary.clone() }, SIGNUP).unwrap_err();
        check(Properties { headers, ..Properties::default() }, "no json").unwrap_err();
        for id in [HeaderValue::Int(7), HeaderValue::Timestamp(7), HeaderValue::Timestamp(u64::MAX), HeaderValue::Null]
        {
            let headers = [("cloudEvents_id".to_owned(), id)].into();
            drop(check(Properties { message_id: None, headers, ..binary.clone() }, SIGNUP));
        }
        let unreadable = [(UNREADABLE.to_owned(), HeaderValue::Bytes(vec![1]))].into();
        let refused = check(Properties { headers: unreadable, ..binary }, SIGNUP).unwrap_err();
        assert_eq!(refused.code, RefusalCode::Malformed);
    }
}
