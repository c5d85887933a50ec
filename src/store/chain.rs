//! The ledger's hash chain.
//!
//! A row's hash is SHA-256 over [`FORMAT`], the previous row's hash and every other column of the row in a canonical
//! form: each column as the length of its text (8 bytes, big-endian) and its text, an absent one as the length
//! `u64::MAX`. Decimals are written without exponent and trailing zeros, instants as microseconds since 1970, bytes
//! as they are. So a row that is cut out, moved or changed by one byte breaks the chain at its place.

use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::rows::LedgerRow;
use crate::domain::message::Timestamp;

/// The canonical form that this code writes.
pub const FORMAT: i16 = 1;

/// The hash of `row`, which follows the row with hash `previous` (empty before the first).
#[must_use]
pub fn hash(previous: &[u8], row: &LedgerRow<'_>) -> [u8; 32] {
    let mut chain = Chain(Sha256::new());
    chain.bytes(Some(previous));
    chain.number(i64::from(row.format));
    chain.number(row.position);
    chain.id(Some(row.entry_id));
    chain.text(Some(&row.customer_id));
    chain.text(Some(&row.credit_type));
    chain.number(row.sequence);
    chain.text(Some(&row.kind));
    chain.decimal(Some(row.delta));
    chain.decimal(Some(row.end_balance));
    chain.id(row.grant_id);
    chain.decimal(row.grant_remaining);
    chain.text(row.grant_status.as_deref());
    chain.decimal(row.requested);
    chain.decimal(row.shortfall);
    chain.text(Some(&row.actor));
    chain.text(row.reason.as_deref());
    chain.text(Some(&row.cause_source));
    chain.text(Some(&row.cause_id));
    chain.text(Some(&row.cause_type));
    chain.instant(Some(row.effective_at));
    chain.instant(Some(row.recorded_at));
    chain.instant(Some(row.counts_at));
    chain.decimal(row.amount);
    chain.decimal(row.basis);
    chain.text(row.category.as_deref());
    chain.text(row.priority.map(|priority| priority.to_string()).as_deref());
    chain.decimal(row.cost_amount);
    chain.text(row.cost_currency.as_deref());
    chain.instant(row.starts_at);
    chain.instant(row.expires_at);
    chain.text(row.price_id.as_deref());
    chain.text(row.rule.as_deref());
    chain.bytes(row.rules_hash.as_deref());
    chain.id(row.replaces);
    chain.0.finalize().into()
}

struct Chain(Sha256);

impl Chain {
    fn bytes(&mut self, value: Option<&[u8]>) {
        let length = value.map_or(u64::MAX, |bytes| bytes.len() as u64);
        self.0.update(length.to_be_bytes());
        self.0.update(value.unwrap_or_default());
    }

    fn text(&mut self, value: Option<&str>) {
        self.bytes(value.map(str::as_bytes));
    }

    fn number(&mut self, value: i64) {
        self.bytes(Some(&value.to_be_bytes()));
    }

    fn id(&mut self, value: Option<Uuid>) {
        self.bytes(value.as_ref().map(|id| id.as_bytes().as_slice()));
    }

    fn decimal(&mut self, value: Option<Decimal>) {
        self.text(value.map(|number| number.normalize().to_string()).as_deref());
    }

    fn instant(&mut self, value: Option<Timestamp>) {
        self.bytes(value.map(|at| at.timestamp_micros().to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    }
}
