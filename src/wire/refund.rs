//! `refund`: money goes back, or is about to, or failed to.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::fields::{Fields, Zero};
use super::lines::{MAX_LINES, add_amount};
use crate::domain::amounts::{Currency, Money};
use crate::domain::ids::{Alias, CustomerId, InvoiceId, PaymentId, PriceId, RefundId};
use crate::domain::message::{Refund, RefundStatus};
use crate::domain::outcome::RefusalCode;

/// Reads the message's `data`; `None` if something in it was noted as refused.
pub(super) fn read(data: &Fields<'_>) -> Option<Refund> {
    let refund_id = data.required("refund_id", RefundId::parse);
    let currency = data.currency();
    let amount = data.amount("amount", currency, Zero::Refused);
    let status = data.required("status", status);
    let payment_id = data.optional("payment_id", PaymentId::parse);
    let invoice_id = data.optional("invoice_id", InvoiceId::parse);
    let aliases = data.names("aliases", Alias::parse);
    if payment_id.is_none() && invoice_id.is_none() && aliases.is_empty() {
        data.note_whole("names no purchase: payment_id, invoice_id or aliases is needed");
    }
    let customer_id = data.optional("customer_id", CustomerId::parse);
    let lines = lines(data, currency, amount);
    let reason = data.optional("reason", super::fields::reason);
    Some(Refund {
        refund_id: refund_id?,
        amount: Money::positive(amount?, currency?).ok()?,
        status: status?,
        payment_id,
        invoice_id,
        aliases,
        customer_id,
        lines,
        reason,
    })
}

fn status(word: &str) -> Result<RefundStatus, &'static str> {
    [RefundStatus::Pending, RefundStatus::Succeeded, RefundStatus::Failed, RefundStatus::Canceled]
        .into_iter()
        .find(|status| status.name() == word)
        .ok_or("is none of pending, succeeded, failed, canceled")
}

/// Money per price: summed, and together at most the refund's `amount`.
fn lines(data: &Fields<'_>, currency: Option<Currency>, amount: Option<Decimal>) -> Option<BTreeMap<PriceId, Money>> {
    let mut sums = BTreeMap::<PriceId, Decimal>::new();
    data.each("lines", MAX_LINES, |line| {
        let price_id = line.required("price_id", PriceId::parse);
        let part = line.amount("amount", currency, Zero::Allowed);
        if let (Some(price_id), Some(part)) = (price_id, part) {
            add_amount(line, sums.entry(price_id).or_default(), part);
        }
    });
    // A thousand prices below 1e15 each stay far below what a Decimal holds.
    let together: Decimal = sums.values().sum();
    if amount.is_some_and(|amount| together > amount) {
        let what = format_args!("are {} together, more than the refund's amount", together.normalize());
        data.note(RefusalCode::InvalidAmount, "lines", what);
    }
    let money = sums.into_iter().map(|(price, sum)| Some((price, Money::new(sum, currency?).ok()?)));
    money.collect::<Option<BTreeMap<_, _>>>().filter(|lines| !lines.is_empty())
}
