//! The messages: payments shaped like the sample among the fixtures, each with ids of its own.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::names::PRICE;

const SAMPLE: &str = include_str!("../../tests/fixtures/payment-succeeded.pack.json");

/// A message as it is published.
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
}

/// The id of message `number`; an event names it as its cause.
pub(crate) fn id(number: u64) -> String {
    format!("evt_{number}")
}

/// The sample, ready to be given other ids.
pub(crate) struct Template(Value);

impl Template {
    /// Reads the sample and leaves one alias in it, as most payments have.
    ///
    /// # Errors
    /// The sample does not buy what the rules of the benchmark sell.
    pub(crate) fn load() -> Result<Self> {
        let sample: Value = serde_json::from_str(SAMPLE)?;
        let price = sample.pointer("/data/lines/0/price_id").and_then(Value::as_str);
        anyhow::ensure!(price == Some(PRICE), "the sample payment does not buy {PRICE}");
        Ok(Self(sample))
    }

    /// A payment of its own, by one of `customers`.
    ///
    /// # Errors
    /// The sample is not an event with data.
    pub(crate) fn payment(&self, number: u64, customers: u64) -> Result<Message> {
        let id = id(number);
        let mut event = self.0.clone();
        event["id"] = json!(id);
        let data = event.get_mut("data").context("the sample has no data")?;
        data["payment_id"] = json!(format!("pi_{number}"));
        data["customer_id"] = json!(format!("cus_{}", number % customers));
        data["aliases"] = json!([format!("cs_{number}")]);
        // With its white space, so that a body is as long as the sample's.
        Ok(Message { id, body: serde_json::to_vec_pretty(&event)? })
    }
}
