//! Kept messages by the page, with the purchases and grants that they belong to: for who reads all of them again.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Snapshot;
use crate::domain::account::Grant;
use crate::domain::ids::{InboxId, MessageId, PurchaseId, RulesHash, Source};
use crate::domain::message::{MessageKey, MessageType, Name, Timestamp};
use crate::store::batch::{PurchaseRow, StoredMessage};
use crate::store::error::StoreError;
use crate::store::in_order;
use crate::store::rows::{id, rules_hash};

/// A kept message and its place in the order in which messages were taken.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The message.
    pub message: StoredMessage,
    /// Of two messages of a purchase the one with the lower number was taken first.
    pub taken: i64,
}

/// Builds an [`Arrived`] from a checked query's record.
macro_rules! arrived {
    ($row:expr) => {{
        let row = $row;
        Arrived {
            message: StoredMessage {
                inbox_id: InboxId(row.inbox_id),
                key: MessageKey { source: id(Source::parse(&row.source))?, id: id(MessageId::parse(&row.message_id))? },
                kind: row.kind,
                time: row.time,
                structured: row.structured,
                body: row.body,
            },
            taken: row.taken,
        }
    }};
}

/// A rules file that was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRules {
    /// Its SHA-256.
    pub hash: RulesHash,
    /// Its text, byte for byte.
    pub text: String,
    /// When it came into force first.
    pub first_used: Timestamp,
}

/// Messages from one arrival on and before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrivalRange {
    /// The first id that is in.
    pub from: InboxId,
    /// The first id that is not.
    pub to: InboxId,
}

impl ArrivalRange {
    /// From `from` on and before `to`, to the millisecond; absent is open.
    #[must_use]
    pub fn new(from: Option<Timestamp>, to: Option<Timestamp>) -> Self {
        // The ids of the inbox begin with the milliseconds since 1970.
        let least =
            |at: Timestamp| InboxId(Uuid::from_u128(u128::from(at.timestamp_millis().max(0).cast_unsigned()) << 80));
        Self { from: from.map_or(InboxId(Uuid::nil()), least), to: to.map_or(InboxId(Uuid::max()), least) }
    }

    /// Whether it holds `id`.
    #[must_use]
    pub fn holds(&self, id: InboxId) -> bool {
        self.from <= id && id < self.to
    }
}

impl Snapshot<'_> {
    /// The database's clock.
    ///
    /// # Errors
    /// [`StoreError`], as everything here.
    pub async fn clock(&mut self) -> Result<Timestamp, StoreError> {
        Ok(sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(&mut *self.tx).await?)
    }

    /// The first and the last message of `range`.
    pub async fn span(&mut self, range: ArrivalRange) -> Result<Option<(InboxId, InboxId)>, StoreError> {
        let row = sqlx::query!(
            "select (select inbox_id from inbox where inbox_id >= $1 and inbox_id < $2 order by inbox_id limit 1) as first,
                    (select inbox_id from inbox where inbox_id >= $1 and inbox_id < $2
                     order by inbox_id desc limit 1) as last",
            range.from.0,
            range.to.0,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(row.first.zip(row.last).map(|(first, last)| (InboxId(first), InboxId(last))))
    }

    /// The next messages of `range` behind `after`, by arrival.
    pub async fn page(&mut self, range: ArrivalRange, after: InboxId, limit: i64) -> Result<Vec<Arrived>, StoreError> {
        let rows = sqlx::query!(
            "select inbox_id, source, message_id, type as kind, time, structured, body, first_outcome_id as taken
             from inbox
             where inbox_id > $1 and inbox_id >= $2 and inbox_id < $3
             order by inbox_id limit $4",
            after.0,
            range.from.0,
            range.to.0,
            limit,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter().map(|row| Ok(arrived!(row))).collect()
    }

    /// Of the next `window` messages behind `after` and before `range`: the last one's id, and the signups. No more are
    /// looked at in one statement, however rare signups are.
    pub async fn signups_before(
        &mut self,
        range: ArrivalRange,
        after: InboxId,
        window: i64,
    ) -> Result<Option<(InboxId, Vec<Arrived>)>, StoreError> {
        let last = sqlx::query_scalar!(
            "select inbox_id from (
                 select inbox_id from inbox where inbox_id > $1 and inbox_id < $2 order by inbox_id limit $3
             ) as next order by inbox_id desc limit 1",
            after.0,
            range.from.0,
            window,
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        let Some(last) = last else { return Ok(None) };
        let rows = sqlx::query!(
            "select inbox_id, source, message_id, type as kind, time, structured, body, first_outcome_id as taken
             from inbox where inbox_id > $1 and inbox_id <= $2 and type = $3 order by inbox_id",
            after.0,
            last,
            MessageType::Signup.name(),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let signups = rows.into_iter().map(|row| Ok(arrived!(row))).collect::<Result<_, StoreError>>()?;
        Ok(Some((InboxId(last), signups)))
    }

    /// These messages.
    pub async fn messages(&mut self, ids: &[Uuid]) -> Result<Vec<Arrived>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query!(
            "select inbox_id, source, message_id, type as kind, time, structured, body, first_outcome_id as taken
             from inbox where inbox_id = any($1)",
            ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter().map(|row| Ok(arrived!(row))).collect()
    }

    /// The purchases that have one of `names`.
    pub async fn purchases_named(&mut self, names: &BTreeSet<Name>) -> Result<Vec<PurchaseRow>, StoreError> {
        let kinds: Vec<&str> = names.iter().map(Name::kind).collect();
        let values: Vec<&str> = names.iter().map(Name::value).collect();
        let rows = sqlx::query!(
            r#"with named as materialized (
                   select distinct n.purchase_id
                   from names n join unnest($1::text[], $2::text[]) as wanted (kind, value)
                        on n.kind = wanted.kind and n.value = wanted.value
               )
               select purchase_id as "purchase_id!", messages as "messages!", grants as "grants!", waiting as "waiting!"
               from named join purchases using (purchase_id)
               union all
               select purchase_id, messages, grants, '{}'::uuid[] from named join plain_purchases using (purchase_id)
               where not exists (select from purchases where purchases.purchase_id = named.purchase_id)
               order by 1"#,
            &kinds as _,
            &values as _,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let row = rows.into_iter().map(|row| PurchaseRow {
            id: PurchaseId(row.purchase_id),
            messages: row.messages.into_iter().map(InboxId).collect(),
            grants: row.grants,
            waiting: row.waiting.into_iter().map(InboxId).collect(),
        });
        Ok(row.collect())
    }

    /// These grants, as they stand in their rows.
    pub async fn grants(&mut self, ids: &[Uuid]) -> Result<Vec<Grant>, StoreError> {
        in_order::grants(&mut self.tx, &[], Timestamp::default(), ids).await
    }

    /// The grants that signups led to: the message's row and the grant's id.
    pub async fn given_by_signups(&mut self, signups: &[Uuid]) -> Result<Vec<(InboxId, Uuid)>, StoreError> {
        let rows = sqlx::query!(
            r#"select o.inbox_id as "inbox_id!", l.grant_id as "grant_id!"
               from outcomes o cross join unnest(o.positions) as place join ledger l on l.position = place
               where o.inbox_id = any($1) and l.amount is not null and l.price_id is null and l.grant_id is not null"#,
            signups,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(rows.into_iter().map(|row| (InboxId(row.inbox_id), row.grant_id)).collect())
    }

    /// The rules files whose SHA-256 begins with these hexadecimal digits, the oldest first.
    pub async fn rules_files(&mut self, prefix: &str) -> Result<Vec<KeptRules>, StoreError> {
        let rows = sqlx::query!(
            "select rules_hash, text, first_used from rules_files
             where starts_with(encode(rules_hash, 'hex'), $1) order by first_used",
            prefix,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let kept = |hash: &[u8], text, first_used| Ok(KeptRules { hash: rules_hash(hash)?, text, first_used });
        rows.into_iter().map(|row| kept(&row.rules_hash, row.text, row.first_used)).collect()
    }
}
