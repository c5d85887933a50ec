//! Billing messages, named for the fact. Each starts valid, with ids of its own; a call changes one thing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

/// The price that `tests/fixtures/rules.toml` gives 1000 credits a unit for.
pub(crate) const PACK: &str = "price_credits_1000";
/// The price that it gives 25 credits for each unit of currency for, on invoice or payment.
pub(crate) const ENTERPRISE: &str = "price_enterprise_credits";

/// One message on its way to the broker.
#[derive(Debug, Clone)]
pub(crate) struct BillingMessage {
    routing_key: String,
    queue: Option<&'static str>,
    properties: BasicProperties,
    event: Value,
    body: Vec<u8>,
}

/// A payment of 49.00 USD for one pack, which gives 1000 credits.
pub(crate) fn payment_succeeded() -> BillingMessage {
    let number = number();
    let data = json!({
        "payment_id": format!("pi_{number}"), "customer_id": format!("cus_{number}"),
        "amount": "49.00", "currency": "USD",
        "lines": [{ "price_id": PACK, "quantity": 1, "amount": "49.00" }],
    });
    event("payment-succeeded", number, &data)
}

/// An invoice of 100.00 EUR for enterprise credits, which gives 2500 credits.
pub(crate) fn invoice_issued() -> BillingMessage {
    let number = number();
    let data = json!({
        "invoice_id": format!("in_{number}"), "customer_id": format!("cus_{number}"),
        "total": "100.00", "currency": "EUR",
        "lines": [{ "price_id": ENTERPRISE, "quantity": 1, "amount": "100.00" }],
    });
    event("invoice-issued", number, &data)
}

/// The payment that pays all of `invoice`.
pub(crate) fn payment_of(invoice: &BillingMessage) -> BillingMessage {
    let number = number();
    let data = json!({
        "payment_id": format!("pi_{number}"), "customer_id": invoice.data("customer_id"),
        "invoice_id": invoice.data("invoice_id"), "amount": invoice.data("total"), "currency": invoice.data("currency"),
    });
    event("payment-succeeded", number, &data)
}

/// A signup, which gives 100 credits.
pub(crate) fn signup() -> BillingMessage {
    let number = number();
    let data = json!({ "customer_id": format!("cus_{number}"), "identity": format!("identity_{number}") });
    event("signup", number, &data)
}

/// A refund of all of `payment`.
pub(crate) fn refund_of(payment: &BillingMessage) -> BillingMessage {
    partial_refund_of(payment, payment.data("amount"))
}

/// A refund of `amount` of `payment`.
pub(crate) fn partial_refund_of(payment: &BillingMessage, amount: &str) -> BillingMessage {
    let number = number();
    let data = json!({
        "refund_id": format!("re_{number}"), "payment_id": payment.data("payment_id"),
        "amount": amount, "currency": payment.data("currency"), "status": "succeeded",
    });
    event("refund", number, &data)
}

/// Bytes that need be no message at all.
pub(crate) fn raw(body: Vec<u8>) -> BillingMessage {
    BillingMessage::new("payment-succeeded", Value::Null, body)
}

/// The sample in `tests/fixtures`, byte for byte.
pub(crate) fn sample(name: &str) -> BillingMessage {
    let body = std::fs::read(samples_folder().join(name)).unwrap_or_else(|error| panic!("sample {name}: {error}"));
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let kind = event["type"].as_str().filter(|kind| *kind != "chargeback").unwrap_or("payment-succeeded").to_owned();
    BillingMessage::new(&kind, event, body)
}

/// The good samples, in the order of their `time`.
pub(crate) fn good_samples() -> Vec<BillingMessage> {
    let mut samples: Vec<BillingMessage> = sample_names("").iter().map(|name| sample(name)).collect();
    samples.sort_by_key(|sample| sample.event["time"].as_str().unwrap().to_owned());
    samples
}

/// The names of the samples in a folder of `tests/fixtures` that are messages.
pub(crate) fn sample_names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(samples_folder().join(folder)).unwrap();
    let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_message = |name: &String| Path::new(name).extension().is_some_and(|kind| kind == "json" || kind == "txt");
    let mut names: Vec<String> = files.filter(is_message).map(|name| format!("{folder}{name}")).collect();
    names.sort();
    names
}

fn samples_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

impl BillingMessage {
    /// In structured mode: the body is the whole event.
    fn new(kind: &str, event: Value, body: Vec<u8>) -> Self {
        let properties = BasicProperties::default().with_content_type("application/cloudevents+json".into());
        Self { routing_key: kind.to_owned(), queue: None, properties, event, body }
    }

    /// In binary mode, the envelope in the AMQP properties: the body is the data alone.
    pub(crate) fn in_properties(mut self) -> Self {
        let word = |name: &str| self.event[name].as_str().unwrap().into();
        let time = chrono::DateTime::parse_from_rfc3339(self.event["time"].as_str().unwrap()).unwrap();
        self.properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_message_id(word("id"))
            .with_type(word("type"))
            .with_app_id(word("source"))
            .with_timestamp(time.timestamp().unsigned_abs());
        self.body = serde_json::to_vec(&self.event["data"]).unwrap();
        self
    }

    /// In binary mode, the envelope in headers whose names begin with `prefix`.
    pub(crate) fn in_headers(mut self, prefix: &str) -> Self {
        let mut headers = FieldTable::default();
        for name in ["specversion", "id", "source", "type", "time"] {
            let value = self.event[name].as_str().unwrap();
            headers.insert(format!("{prefix}{name}").into(), AMQPValue::LongString(value.into()));
        }
        self.properties = BasicProperties::default().with_content_type("application/json".into()).with_headers(headers);
        self.body = serde_json::to_vec(&self.event["data"]).unwrap();
        self
    }

    /// Straight into one of the worker's queues, past the exchange.
    pub(crate) fn into_queue(mut self, queue: &'static str) -> Self {
        self.queue = Some(queue);
        self
    }

    pub(crate) fn properties(&self) -> &BasicProperties {
        &self.properties
    }

    pub(crate) fn queue(&self) -> Option<&'static str> {
        self.queue
    }

    pub(crate) fn routing_key(&self) -> &str {
        &self.routing_key
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The event's id, where the bytes are an event.
    pub(crate) fn id(&self) -> Option<&str> {
        self.event["id"].as_str()
    }

    /// A field of the data, which has to be a text.
    pub(crate) fn data(&self, field: &str) -> &str {
        self.event["data"][field].as_str().unwrap_or_else(|| panic!("no text {field} in {}", self.event))
    }

    pub(crate) fn customer(&self) -> &str {
        self.data("customer_id")
    }

    /// With another value of one field of the data.
    pub(crate) fn with(self, field: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.changed(|event| event["data"][field] = value)
    }

    /// Happening at that time.
    pub(crate) fn at(self, time: &str) -> Self {
        self.changed(|event| event["time"] = time.into())
    }

    /// By that customer.
    pub(crate) fn by(self, customer: &str) -> Self {
        self.with("customer_id", customer)
    }

    /// The same content under another message id.
    pub(crate) fn under_id(self, id: &str) -> Self {
        self.changed(|event| event["id"] = id.into())
    }

    /// Every id and name of it with `suffix`: the same message in a world of its own.
    pub(crate) fn suffixed(self, suffix: &str) -> Self {
        const IDS: [&str; 6] = ["payment_id", "invoice_id", "refund_id", "customer_id", "identity", "aliases"];
        self.changed(|event| {
            add(&mut event["id"], suffix);
            for (field, value) in event["data"].as_object_mut().unwrap() {
                if IDS.contains(&field.as_str()) {
                    add(value, suffix);
                }
            }
        })
    }

    fn changed(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.event);
        self.body = serde_json::to_vec(&self.event).unwrap();
        self
    }
}

fn add(value: &mut Value, suffix: &str) {
    match value {
        Value::String(text) => text.push_str(suffix),
        Value::Array(items) => items.iter_mut().for_each(|item| add(item, suffix)),
        other => panic!("no id: {other}"),
    }
}

fn event(kind: &str, number: u64, data: &Value) -> BillingMessage {
    message(kind, &format!("evt_{number}"), data)
}

/// An event of that type, under that id, with that data.
pub(crate) fn message(kind: &str, id: &str, data: &Value) -> BillingMessage {
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/tests", "type": kind,
        "time": "2026-01-12T09:30:00Z", "datacontenttype": "application/json", "data": data,
    });
    let body = serde_json::to_vec(&event).unwrap();
    BillingMessage::new(kind, event, body)
}

/// A number that no other fixture of this process has.
fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
