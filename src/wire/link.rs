//! `purchase-linked`: names of one purchase.

use super::fields::Fields;
use crate::domain::ids::{Alias, InvoiceId, PaymentId};
use crate::domain::message::Link;

/// Reads the message's `data`; at least two different names have to be there.
pub(super) fn read(data: &Fields<'_>) -> Option<Link> {
    let payment_ids = data.names("payment_ids", PaymentId::parse);
    let invoice_id = data.optional("invoice_id", InvoiceId::parse);
    let aliases = data.names("aliases", Alias::parse);
    if payment_ids.len() + usize::from(invoice_id.is_some()) + aliases.len() < 2 {
        data.note_whole("links nothing: at least two of payment_ids, invoice_id and aliases are needed");
        return None;
    }
    Some(Link { payment_ids, invoice_id, aliases })
}
