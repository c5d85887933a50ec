//! The ledger: page by page, and as a stream of all that matches.
//!
//! `recorded_at` never falls from one position to the next, so a range of time is a range of positions, found by halving.
//! One customer's entries are found pool by pool, where the index has their order; the whole ledger's by position.

use std::ops::ControlFlow;

use futures::TryStreamExt;
use sqlx::Executor;

use super::Snapshot;
use crate::domain::ids::{CreditType, CustomerId};
use crate::domain::ledger::{EntryType, LedgerEntry};
use crate::domain::message::Timestamp;
use crate::store::error::StoreError;
use crate::store::rows::LedgerRow;

/// Which entries. Without anything: all.
#[derive(Debug, Clone, Copy, Default)]
pub struct LedgerQuery<'a> {
    /// Of this customer alone.
    pub customer: Option<&'a CustomerId>,
    /// Of this credit type alone.
    pub credit_type: Option<&'a CreditType>,
    /// Of this type alone.
    pub kind: Option<EntryType>,
    /// Of this actor alone.
    pub actor: Option<&'a str>,
    /// Written at this instant or later.
    pub from: Option<Timestamp>,
    /// Written before this instant.
    pub to: Option<Timestamp>,
    /// Behind this position alone; a page then has the first ones, otherwise the last ones.
    pub after: Option<i64>,
}

/// Entries, the newest last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerPage {
    /// The entries, without terms.
    pub entries: Vec<LedgerEntry>,
    /// Whether the limit cut some off: newer ones behind `after`, else older ones.
    pub more: bool,
}

/// The positions that a query is about: behind `over`, up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    over: i64,
    last: i64,
}

/// Who hears of each entry of a stream, with its hash, and says whether to go on.
pub(super) type Listener<'l> = dyn FnMut(&LedgerRow<'_>, &[u8]) -> ControlFlow<()> + Send + 'l;

impl Snapshot<'_> {
    /// A page of at most `limit` entries.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger(&mut self, query: &LedgerQuery<'_>, limit: u32) -> Result<LedgerPage, StoreError> {
        let (positions, more) = self.ledger_page(query, limit).await?;
        Ok(LedgerPage { entries: self.entries_at(&positions).await?, more })
    }

    /// Gives every entry of `query` to `listener`, in order, with all columns, as it comes from the database: with a
    /// `limit` those of the page, and then says whether there are more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_stream(
        &mut self,
        query: &LedgerQuery<'_>,
        limit: Option<u32>,
        listener: &mut Listener<'_>,
    ) -> Result<bool, StoreError> {
        // How long it takes is up to who reads: neither a slow one nor a ledger of years may end it half-way.
        self.tx.execute("set local statement_timeout = 0; set local tcp_user_timeout = 0").await?;
        let (span, more) = match limit {
            None => (self.positions_of(query).await?, false),
            Some(limit) => {
                let (mut positions, more) = self.ledger_page(query, limit).await?;
                positions.sort_unstable();
                match (positions.first(), positions.last()) {
                    (Some(first), Some(last)) => (Span { over: first - 1, last: *last }, more),
                    _ => return Ok(false),
                }
            }
        };
        let credit_type = query.credit_type.map(CreditType::as_str);
        let kind = query.kind.map(EntryType::name);
        let Span { over, last } = span;
        macro_rules! give_all {
            ($rows:expr) => {{
                let mut rows = $rows;
                while let Some(mut row) = rows.try_next().await? {
                    let hash = std::mem::take(&mut row.hash);
                    if listener(&ledger_row!(row), &hash).is_break() {
                        break;
                    }
                }
            }};
        }
        if let Some(customer) = query.customer.map(CustomerId::as_str) {
            let file = sqlx::query_file!(
                "src/store/sql/stream_customer.sql",
                customer,
                credit_type,
                kind,
                query.actor,
                over,
                last
            );
            give_all!(file.fetch(&mut *self.tx));
        } else {
            let file = sqlx::query_file!("src/store/sql/stream_all.sql", credit_type, kind, query.actor, over, last);
            give_all!(file.fetch(&mut *self.tx));
        }
        Ok(more)
    }

    /// The positions of a page, and whether there are more.
    async fn ledger_page(&mut self, query: &LedgerQuery<'_>, limit: u32) -> Result<(Vec<i64>, bool), StoreError> {
        // The index has the order: collecting and sorting all of a large pool for one page would be slower by far.
        self.tx.execute("set local enable_bitmapscan = off").await?;
        let span = self.positions_of(query).await?;
        // One more than the limit, so that it shows whether there are more.
        let most = i64::from(limit).saturating_add(1);
        let mut positions = match (query.customer, query.after) {
            (Some(customer), Some(_)) => self.first_of(customer, query, span, most).await?,
            (Some(customer), None) => self.last_of(customer, query, span, most).await?,
            (None, Some(_)) => self.first_of_all(query, span, most).await?,
            (None, None) => self.last_of_all(query, span, most).await?,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = positions.len() > limit;
        positions.truncate(limit);
        Ok((positions, more))
    }

    async fn positions_of(&mut self, query: &LedgerQuery<'_>) -> Result<Span, StoreError> {
        let head = sqlx::query_scalar!("select position from ledger_head").fetch_one(&mut *self.tx).await?;
        let from = match query.from {
            Some(from) => self.before(from, head).await?,
            None => 0,
        };
        let last = match query.to {
            Some(to) => self.before(to, head).await?,
            None => head,
        };
        Ok(Span { over: from.max(query.after.unwrap_or(0)), last })
    }

    /// The last position up to `head` that was written before `instant`; 0 if there is none.
    async fn before(&mut self, instant: Timestamp, head: i64) -> Result<i64, StoreError> {
        let (mut before, mut not_before) = (0, head.saturating_add(1));
        while not_before - before > 1 {
            let middle = before + (not_before - before) / 2;
            let found = sqlx::query_scalar!(
                r#"select recorded_at < $2 as "is_before!" from ledger where position >= $1 order by position limit 1"#,
                middle,
                instant
            )
            .fetch_optional(&mut *self.tx)
            .await?;
            if found == Some(true) {
                before = middle;
            } else {
                not_before = middle;
            }
        }
        Ok(before)
    }

    /// The newest first. Each pool by itself, since there the index has the order. `position + 0`, so that the database
    /// does not look up the whole range of positions besides.
    async fn last_of(
        &mut self,
        customer: &CustomerId,
        query: &LedgerQuery<'_>,
        span: Span,
        most: i64,
    ) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select l.position
             from pools p cross join lateral (
                 select position from ledger
                 where customer_id = p.customer_id and credit_type = p.credit_type and ($3::text is null or type = $3)
                       and ($4::text is null or actor = $4) and position + 0 > $5 and position + 0 <= $6
                 order by sequence desc limit $7
             ) l
             where p.customer_id = $1 and ($2::text is null or p.credit_type = $2)
             order by l.position desc limit $7",
            customer.as_str(),
            query.credit_type.map(CreditType::as_str),
            query.kind.map(EntryType::name),
            query.actor,
            span.over,
            span.last,
            most,
        )
        .fetch_all(&mut *self.tx)
        .await?)
    }

    /// The oldest first.
    async fn first_of(
        &mut self,
        customer: &CustomerId,
        query: &LedgerQuery<'_>,
        span: Span,
        most: i64,
    ) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select l.position
             from pools p cross join lateral (
                 select position from ledger
                 where customer_id = p.customer_id and credit_type = p.credit_type and ($3::text is null or type = $3)
                       and ($4::text is null or actor = $4) and position + 0 > $5 and position + 0 <= $6
                 order by sequence limit $7
             ) l
             where p.customer_id = $1 and ($2::text is null or p.credit_type = $2)
             order by l.position limit $7",
            customer.as_str(),
            query.credit_type.map(CreditType::as_str),
            query.kind.map(EntryType::name),
            query.actor,
            span.over,
            span.last,
            most,
        )
        .fetch_all(&mut *self.tx)
        .await?)
    }

    /// The newest first, whoever's.
    async fn last_of_all(&mut self, query: &LedgerQuery<'_>, span: Span, most: i64) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select position from ledger
             where position > $4 and position <= $5 and ($1::text is null or credit_type = $1)
                   and ($2::text is null or type = $2) and ($3::text is null or actor = $3)
             order by position desc limit $6",
            query.credit_type.map(CreditType::as_str),
            query.kind.map(EntryType::name),
            query.actor,
            span.over,
            span.last,
            most,
        )
        .fetch_all(&mut *self.tx)
        .await?)
    }

    /// The oldest first, whoever's.
    async fn first_of_all(&mut self, query: &LedgerQuery<'_>, span: Span, most: i64) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select position from ledger
             where position > $4 and position <= $5 and ($1::text is null or credit_type = $1)
                   and ($2::text is null or type = $2) and ($3::text is null or actor = $3)
             order by position limit $6",
            query.credit_type.map(CreditType::as_str),
            query.kind.map(EntryType::name),
            query.actor,
            span.over,
            span.last,
            most,
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
