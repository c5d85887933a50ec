//! What was sold: the lines of a payment or an invoice, summed per price.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rust_decimal::Decimal;

use super::fields::{Fields, Zero};
use crate::domain::amounts::{Currency, InvalidAmount, LIMIT, Money};
use crate::domain::ids::PriceId;
use crate::domain::message::{Line, Lines, Metadata};
use crate::domain::outcome::RefusalCode;

/// The most lines of one message.
pub(super) const MAX_LINES: usize = 1_000;

/// All lines of one price so far.
struct Sum {
    quantity: u64,
    amount: Decimal,
    metadata: Metadata,
}

/// Reads `lines`. Lines of one price are one line: quantities and amounts added, the metadata has to be equal.
pub(super) fn read(data: &Fields<'_>, currency: Option<Currency>) -> Option<Lines> {
    let mut sums = BTreeMap::new();
    data.each("lines", MAX_LINES, |line| add(line, currency, &mut sums));
    let lines = sums.into_iter().map(|(price, sum)| Some((price, line(sum, currency?)?)));
    let lines = lines.collect::<Option<BTreeMap<_, _>>>().filter(|lines| !lines.is_empty());
    lines.map(|lines| Lines(lines.into()))
}

fn line(sum: Sum, currency: Currency) -> Option<Line> {
    let amount = Money::new(sum.amount, currency).ok()?;
    Some(Line { quantity: sum.quantity, amount, metadata: sum.metadata })
}

/// A field that was refused counts as nothing here: the message is refused, but the other checks still run.
fn add(line: &Fields<'_>, currency: Option<Currency>, sums: &mut BTreeMap<PriceId, Sum>) {
    let price_id = line.required("price_id", PriceId::parse);
    let quantity = line.quantity().unwrap_or_default();
    let amount = line.amount("amount", currency, Zero::Allowed).unwrap_or_default();
    let metadata = line.metadata();
    match price_id.map(|price_id| sums.entry(price_id)) {
        None => {}
        Some(Entry::Vacant(place)) => {
            place.insert(Sum { quantity, amount, metadata });
        }
        Some(Entry::Occupied(mut place)) => {
            let sum = place.get_mut();
            if sum.metadata != metadata {
                line.note(RefusalCode::InvalidField, "metadata", "differs from another line of the same price");
            }
            sum.quantity = sum.quantity.saturating_add(quantity);
            add_amount(line, &mut sum.amount, amount);
        }
    }
}

/// Adds `amount` to `sum`; from 1e15 on the line's amount is noted as refused.
pub(super) fn add_amount(line: &Fields<'_>, sum: &mut Decimal, amount: Decimal) {
    if let Some(total) = sum.checked_add(amount).filter(|sum| *sum < LIMIT) {
        *sum = total;
    } else {
        let what = format_args!("with the other lines of its price {}", InvalidAmount::TooLarge);
        line.note(RefusalCode::InvalidAmount, "amount", what);
    }
}
