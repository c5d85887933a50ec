//! One customer's ledger, page by page.

use super::Snapshot;
use crate::domain::ids::{CreditType, CustomerId};
use crate::domain::ledger::{EntryType, LedgerEntry};
use crate::store::error::StoreError;

/// Which entries.
#[derive(Debug, Clone, Copy)]
pub struct LedgerQuery<'a> {
    /// Whose.
    pub customer: &'a CustomerId,
    /// Of this credit type alone.
    pub credit_type: Option<&'a CreditType>,
    /// Of this type alone.
    pub kind: Option<EntryType>,
    /// The first ones behind this position; absent: the last ones of all.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Entries, the newest last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerPage {
    /// The entries, without terms.
    pub entries: Vec<LedgerEntry>,
    /// Whether the limit cut some off: newer ones behind `after`, else older ones.
    pub more: bool,
}

impl Snapshot<'_> {
    /// A page of a customer's entries.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger(&mut self, query: &LedgerQuery<'_>) -> Result<LedgerPage, StoreError> {
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let mut positions = match query.after {
            Some(after) => self.first_after(query, after).await?,
            None => self.last(query).await?,
        };
        let more = positions.len() > limit;
        positions.truncate(limit);
        Ok(LedgerPage { entries: self.entries_at(&positions).await?, more })
    }

    /// One more than the limit, the newest first. Each pool by itself, since there the index has the order.
    async fn last(&mut self, query: &LedgerQuery<'_>) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select l.position
             from pools p cross join lateral (
                 select position from ledger
                 where customer_id = p.customer_id and credit_type = p.credit_type and ($3::text is null or type = $3)
                 order by sequence desc limit $4
             ) l
             where p.customer_id = $1 and ($2::text is null or p.credit_type = $2)
             order by l.position desc limit $4",
            query.customer.as_str(),
            query.credit_type.map(CreditType::as_str),
            query.kind.map(EntryType::name),
            i64::from(query.limit).saturating_add(1),
        )
        .fetch_all(&mut *self.tx)
        .await?)
    }

    /// One more than the limit, the oldest first.
    async fn first_after(&mut self, query: &LedgerQuery<'_>, after: i64) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select l.position
             from pools p cross join lateral (
                 select position from ledger
                 where customer_id = p.customer_id and credit_type = p.credit_type and ($3::text is null or type = $3)
                       and position > $5
                 order by sequence limit $4
             ) l
             where p.customer_id = $1 and ($2::text is null or p.credit_type = $2)
             order by l.position limit $4",
            query.customer.as_str(),
            query.credit_type.map(CreditType::as_str),
            query.kind.map(EntryType::name),
            i64::from(query.limit).saturating_add(1),
            after,
        )
        .fetch_all(&mut *self.tx)
        .await?)
    }

    /// The entries of these positions, in order.
    pub(super) async fn entries_at(&mut self, positions: &[i64]) -> Result<Vec<LedgerEntry>, StoreError> {
        let rows = sqlx::query_file!("src/store/sql/entries_at.sql", positions).fetch_all(&mut *self.tx).await?;
        rows.into_iter().map(|row| ledger_row!(row).entry()).collect()
    }
}
