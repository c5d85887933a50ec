//! `invoice-issued`: money is owed.

use super::fields::{Fields, Zero};
use super::lines;
use crate::domain::amounts::Money;
use crate::domain::ids::{Alias, CustomerId, InvoiceId, PaymentId};
use crate::domain::message::Invoice;

/// Reads the message's `data`; `None` if something in it was noted as refused. `lines` has to be there, be it empty.
pub(super) fn read(data: &Fields<'_>) -> Option<Invoice> {
    let invoice_id = data.required("invoice_id", InvoiceId::parse);
    let customer_id = data.required("customer_id", CustomerId::parse);
    let currency = data.currency();
    let total = data.amount("total", currency, Zero::Allowed);
    data.list_needed("lines");
    let lines = lines::read(data, currency);
    let number = data.text("number");
    let payment_ids = data.names("payment_ids", PaymentId::parse);
    let aliases = data.names("aliases", Alias::parse);
    let metadata = data.metadata();
    Some(Invoice {
        invoice_id: invoice_id?,
        customer_id: customer_id?,
        total: Money::new(total?, currency?).ok()?,
        lines,
        number,
        payment_ids,
        aliases,
        metadata,
    })
}
