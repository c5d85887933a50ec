//! The messages: payments shaped like the sample among the fixtures, each with ids of its own; and a mix of all types.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::names::{MESSAGE_TYPE, PRICE};

const SAMPLE: &str = include_str!("../../tests/fixtures/payment-succeeded.pack.json");

/// Entries that ten messages of the mix make: the invoice's payment grants, and it adds none.
pub(crate) const MIX_ENTRIES: u64 = 9;

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

    /// Message `number` of the mix, and its type: of ten messages four uses, three payments, and an invoice, a signup and
    /// a refund. The invoice is that of the first of the payments, the refund gives a quarter of the second back, and who
    /// pays also uses. So ten messages make [`MIX_ENTRIES`] entries in whatever order they are handled.
    ///
    /// # Errors
    /// The sample is not an event with data.
    pub(crate) fn mixed(&self, number: u64) -> Result<(&'static str, Message)> {
        let (ten, place) = (number / 10, number % 10);
        let id = id(number);
        let (first, second) = (ten * 10 + 1, ten * 10 + 4);
        let (kind, data) = match place {
            1 | 4 | 7 => {
                let mut payment = self.payment(number, u64::MAX)?;
                if place == 1 {
                    let mut event: Value = serde_json::from_slice(&payment.body)?;
                    event["data"]["invoice_id"] = json!(format!("in_{ten}"));
                    payment.body = serde_json::to_vec_pretty(&event)?;
                }
                return Ok((MESSAGE_TYPE, payment));
            }
            0 | 3 | 6 | 9 => (
                "usage-recorded",
                json!({
                    "usage_id": format!("use_{number}"), "customer_id": format!("cus_{}", [first, second][usize::from(place > 5)]),
                    "credit_type": "credits", "amount": "5", "occurred_at": "2026-01-12T09:30:00Z",
                    "metadata": { "model": "large", "request": format!("req_{number}") }
                }),
            ),
            2 => (
                "invoice-issued",
                json!({
                    "invoice_id": format!("in_{ten}"), "customer_id": format!("cus_{first}"), "total": "49.00",
                    "currency": "USD", "number": format!("2026-{ten}"),
                    "lines": [{ "price_id": PRICE, "quantity": 1, "amount": "49.00" }]
                }),
            ),
            5 => ("signup", json!({ "customer_id": format!("cus_{number}"), "identity": format!("person_{ten}") })),
            _ => (
                "refund",
                json!({
                    "refund_id": format!("re_{ten}"), "payment_id": format!("pi_{second}"), "amount": "12.25",
                    "currency": "USD", "status": "succeeded"
                }),
            ),
        };
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/bench", "type": kind, "time": "2026-01-12T09:30:00Z",
            "datacontenttype": "application/json", "data": data
        });
        Ok((kind, Message { id, body: serde_json::to_vec_pretty(&event)? }))
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
