//! Between the driver's types and the plain ones of [`super::types`].
//!
//! Nothing is lost that a dead letter needs to be shown or sent again, and nothing is interpreted, with two exceptions:
//! how often the message came before (`x-delivery-count`), and which queue a dead letter was in first
//! (`x-first-death-queue`).

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::types::{ChannelId, Delivery, HeaderValue, Properties};

/// Headers nested deeper are dropped: what walks them later must not run out of stack.
const MAX_HEADER_DEPTH: usize = 32;

/// The broker's count of earlier deliveries, on quorum queues.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// The queue that a dead letter was in first.
const FIRST_DEATH_QUEUE: &str = "x-first-death-queue";

/// One delivery of `queue`, or of the queue that it was dead-lettered from if `queue` holds dead letters.
pub(super) fn delivery(came: lapin::message::Delivery, queue: &str, dead: bool, channel: ChannelId) -> Delivery {
    let properties = properties(&came.properties);
    let first = dead.then(|| text(&properties, FIRST_DEATH_QUEUE)).flatten();
    Delivery {
        queue: first.unwrap_or(queue).into(),
        channel,
        tag: came.delivery_tag,
        delivered_before: delivered_before(&properties),
        properties,
        body: came.data,
    }
}

fn delivered_before(properties: &Properties) -> u64 {
    match properties.headers.get(DELIVERY_COUNT) {
        Some(HeaderValue::Int(count)) => u64::try_from(*count).unwrap_or(0),
        _ => 0,
    }
}

fn text<'a>(properties: &'a Properties, header: &str) -> Option<&'a str> {
    match properties.headers.get(header) {
        Some(HeaderValue::Text(text)) => Some(text),
        _ => None,
    }
}

fn properties(from: &BasicProperties) -> Properties {
    let owned = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    Properties {
        content_type: owned(from.content_type()),
        content_encoding: owned(from.content_encoding()),
        message_id: owned(from.message_id()),
        correlation_id: owned(from.correlation_id()),
        kind: owned(from.kind()),
        app_id: owned(from.app_id()),
        timestamp: *from.timestamp(),
        headers: from.headers().as_ref().map(|headers| table(headers, 0)).unwrap_or_default(),
    }
}

fn table(from: &FieldTable, depth: usize) -> BTreeMap<String, HeaderValue> {
    from.inner().iter().map(|(key, one)| (key.as_str().to_owned(), value(one, depth.saturating_add(1)))).collect()
}

fn value(from: &AMQPValue, depth: usize) -> HeaderValue {
    match from {
        AMQPValue::Boolean(truth) => HeaderValue::Bool(*truth),
        AMQPValue::ShortShortInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::ShortShortUInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::ShortInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::ShortUInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::LongInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::LongUInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::LongLongInt(number) => HeaderValue::Int(*number),
        AMQPValue::Float(number) => HeaderValue::Float((*number).into()),
        AMQPValue::Double(number) => HeaderValue::Float(*number),
        AMQPValue::DecimalValue(decimal) => HeaderValue::Text(format!("{}e-{}", decimal.value, decimal.scale)),
        AMQPValue::ShortString(text) => HeaderValue::Text(text.as_str().to_owned()),
        AMQPValue::LongString(text) => text_or_bytes(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => text_or_bytes(bytes.as_slice()),
        AMQPValue::Timestamp(seconds) => HeaderValue::Timestamp(*seconds),
        AMQPValue::Void => HeaderValue::Null,
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) if depth >= MAX_HEADER_DEPTH => HeaderValue::Null,
        AMQPValue::FieldArray(list) => {
            HeaderValue::List(list.as_slice().iter().map(|one| value(one, depth.saturating_add(1))).collect())
        }
        AMQPValue::FieldTable(nested) => HeaderValue::Table(table(nested, depth)),
    }
}

fn text_or_bytes(bytes: &[u8]) -> HeaderValue {
    match std::str::from_utf8(bytes) {
        Ok(text) => HeaderValue::Text(text.to_owned()),
        Err(_) => HeaderValue::Bytes(bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: ChannelId = ChannelId { generation: 1, consumer: 0 };

    fn came(headers: &[(&str, AMQPValue)]) -> lapin::message::Delivery {
        let mut came = lapin::message::Delivery::mock(1, "billing".into(), "signup".into(), false, b"{}".to_vec());
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        came.properties = BasicProperties::default().with_headers(table);
        came
    }

    #[test]
    fn the_delivery_count_is_how_often_it_came_before() {
        assert_eq!(delivery(came(&[]), "q", false, CHANNEL).delivered_before, 0);
        let third = came(&[(DELIVERY_COUNT, AMQPValue::LongLongInt(2))]);
        assert_eq!(delivery(third, "q", false, CHANNEL).delivered_before, 2);
    }

    #[test]
    fn a_dead_letter_names_the_queue_that_it_was_in_first() {
        let header = (FIRST_DEATH_QUEUE, AMQPValue::LongString("credits.signup".into()));
        let dead = delivery(came(std::slice::from_ref(&header)), "credits.dead-letters", true, CHANNEL);
        assert_eq!(&*dead.queue, "credits.signup");
        let live = delivery(came(&[header]), "credits.refund", false, CHANNEL);
        assert_eq!(&*live.queue, "credits.refund", "a publisher cannot rename the queue of a live message");
    }

    #[test]
    fn text_that_is_no_utf8_stays_bytes() {
        let odd = delivery(came(&[("odd", AMQPValue::LongString(vec![0xff_u8].into()))]), "q", false, CHANNEL);
        assert_eq!(odd.properties.headers["odd"], HeaderValue::Bytes(vec![0xff]));
    }

    #[test]
    fn headers_nested_too_deep_are_dropped() {
        let deep = (0..1000).fold(AMQPValue::Void, |inner, _| AMQPValue::FieldArray(vec![inner].into()));
        let taken = delivery(came(&[("deep", deep)]), "q", false, CHANNEL);
        let (mut depth, mut at) = (0, &taken.properties.headers["deep"]);
        while let HeaderValue::List(inner) = at {
            (depth, at) = (depth + 1, &inner[0]);
        }
        assert_eq!((depth, at), (MAX_HEADER_DEPTH - 1, &HeaderValue::Null));
    }
}
