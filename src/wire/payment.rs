//! `payment-succeeded`: money came in.

use super::fields::{Fields, Zero};
use super::lines;
use crate::domain::amounts::Money;
use crate::domain::ids::{Alias, CustomerId, InvoiceId, PaymentId};
use crate::domain::message::Payment;

/// Reads the message's `data`; `None` if something in it was noted as refused.
pub(super) fn read(data: &Fields<'_>) -> Option<Payment> {
    let payment_id = data.required("payment_id", PaymentId::parse);
    let customer_id = data.required("customer_id", CustomerId::parse);
    let currency = data.currency();
    let amount = data.amount("amount", currency, Zero::Refused);
    let invoice_id = data.optional("invoice_id", InvoiceId::parse);
    let aliases = data.names("aliases", Alias::parse);
    let lines = lines::read(data, currency);
    let payment_method = data.text("payment_method");
    let metadata = data.metadata();
    Some(Payment {
        payment_id: payment_id?,
        customer_id: customer_id?,
        amount: Money::positive(amount?, currency?).ok()?,
        invoice_id,
        aliases,
        lines,
        payment_method,
        metadata,
    })
}
