//! Entries as CSV or NDJSON, row by row as they come from the database: every column, under the ledger's own names.
//!
//! A cell is a text: decimals as they stand in the ledger, instants in RFC 3339, bytes in hexadecimal. A reader that has
//! enough ends it quietly.

use std::io::{self, Write};
use std::ops::ControlFlow;

use rust_decimal::Decimal;
use serde::ser::{SerializeMap, Serializer};

use crate::cli::ExitError;
use crate::cli::output::written;
use crate::cli::show::time;
use crate::store::read::{LedgerQuery, Snapshot};
use crate::store::rows::LedgerRow;

/// The ledger's columns, in its order.
const COLUMNS: [&str; 35] = [
    "position",
    "entry_id",
    "format",
    "customer_id",
    "credit_type",
    "sequence",
    "type",
    "delta",
    "end_balance",
    "grant_id",
    "grant_remaining",
    "grant_status",
    "requested",
    "shortfall",
    "actor",
    "reason",
    "cause_source",
    "cause_id",
    "cause_type",
    "effective_at",
    "recorded_at",
    "counts_at",
    "amount",
    "basis",
    "category",
    "priority",
    "cost_amount",
    "cost_currency",
    "starts_at",
    "expires_at",
    "price_id",
    "rule",
    "rules_hash",
    "replaces",
    "hash",
];

type Cells = [Option<String>; COLUMNS.len()];

fn cells(row: &LedgerRow<'_>, hash: &[u8]) -> Cells {
    let number = |value: Decimal| value.normalize().to_string();
    let text = |text: &str| text.to_owned();
    [
        Some(row.position.to_string()),
        Some(row.entry_id.to_string()),
        Some(row.format.to_string()),
        Some(text(&row.customer_id)),
        Some(text(&row.credit_type)),
        Some(row.sequence.to_string()),
        Some(text(&row.kind)),
        Some(number(row.delta)),
        Some(number(row.end_balance)),
        row.grant_id.map(|id| id.to_string()),
        row.grant_remaining.map(number),
        row.grant_status.as_deref().map(text),
        row.requested.map(number),
        row.shortfall.map(number),
        Some(text(&row.actor)),
        row.reason.as_deref().map(text),
        Some(text(&row.cause_source)),
        Some(text(&row.cause_id)),
        Some(text(&row.cause_type)),
        Some(time(row.effective_at)),
        Some(time(row.recorded_at)),
        Some(time(row.counts_at)),
        row.amount.map(number),
        row.basis.map(number),
        row.category.as_deref().map(text),
        row.priority.map(|priority| priority.to_string()),
        row.cost_amount.map(number),
        row.cost_currency.as_deref().map(text),
        row.starts_at.map(time),
        row.expires_at.map(time),
        row.price_id.as_deref().map(text),
        row.rule.as_deref().map(text),
        row.rules_hash.as_deref().map(hex::encode),
        row.replaces.map(|id| id.to_string()),
        Some(hex::encode(hash)),
    ]
}

/// Writes one row; after the last one, without a row, what it still has in hand.
type Writer<'w> = Box<dyn FnMut(Option<&Cells>) -> io::Result<()> + Send + 'w>;

/// Rows as CSV; the heading is written at once.
///
/// # Errors
/// [`ExitError::Failed`] if it cannot be written.
pub(super) fn csv(out: &mut (impl Write + Send)) -> Result<Writer<'_>, ExitError> {
    let mut rows = ::csv::Writer::from_writer(out);
    written(rows.write_record(COLUMNS).map_err(as_io).and_then(|()| rows.flush()))?;
    Ok(Box::new(move |cells| match cells {
        Some(cells) => rows.write_record(cells.iter().map(|cell| cell.as_deref().unwrap_or_default())).map_err(as_io),
        None => rows.flush(),
    }))
}

/// The error below, so that a reader that has gone is known as such.
fn as_io(error: ::csv::Error) -> io::Error {
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Rows as one JSON object a line, without what is absent.
pub(super) fn ndjson(out: &mut (impl Write + Send)) -> Writer<'_> {
    Box::new(move |cells| {
        let Some(cells) = cells else { return Ok(()) };
        let mut line = serde_json::Serializer::new(&mut *out);
        let mut object = line.serialize_map(None)?;
        for (name, cell) in COLUMNS.iter().zip(cells) {
            if let Some(cell) = cell {
                object.serialize_entry(name, cell)?;
            }
        }
        SerializeMap::end(object)?;
        out.write_all(b"\n")
    })
}

/// Writes the entries of `query` as they come. Gives the last position, and whether a `limit` left some out.
///
/// # Errors
/// [`ExitError`], as its numbers say. A reader that has closed its end is none.
pub(super) async fn write(
    snapshot: &mut Snapshot<'_>,
    query: &LedgerQuery<'_>,
    limit: Option<u32>,
    mut writer: Writer<'_>,
) -> Result<(Option<u64>, bool), ExitError> {
    let mut last = None;
    let mut result = Ok(());
    let mut listener = |row: &LedgerRow<'_>, hash: &[u8]| {
        last = Some(row.position.cast_unsigned());
        result = writer(Some(&cells(row, hash)));
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let more = snapshot.ledger_stream(query, limit, &mut listener).await?;
    written(result.and_then(|()| writer(None)))?;
    Ok((last, more))
}
