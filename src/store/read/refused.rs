//! Refused messages.

use super::Snapshot;
use crate::domain::facts::Contradiction;
use crate::domain::ids::{InboxId, MessageId, Source};
use crate::domain::message::{MessageKey, Timestamp};
use crate::domain::outcome::RefusalCode;
use crate::store::error::StoreError;
use crate::store::replay::Act;
use crate::store::rows::id;

/// A refused message, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The dead letter's number.
    pub number: i64,
    /// The queue that it came by first.
    pub queue: String,
    /// Its sender, if that could be read.
    pub source: Option<String>,
    /// Its id, if there was one.
    pub message_id: Option<String>,
    /// Its type, if that could be read.
    pub kind: Option<String>,
    /// Why: a word of [`RefusalCode`].
    pub code: String,
    /// Why, in words; of a conflict both sides.
    pub reason: String,
    /// How often the same one came.
    pub seen: i64,
    /// When it came first.
    pub first_seen_at: Timestamp,
    /// When it came last.
    pub last_seen_at: Timestamp,
    /// `open`, `replayed` or `discarded`.
    pub state: String,
    /// Its row, if it was kept before: a refund that became a conflict.
    pub inbox_id: Option<InboxId>,
    /// Both sides, if it contradicts what is kept.
    pub conflict: Option<Contradiction>,
}

/// Which refused messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedQuery {
    /// Of this code only.
    pub code: Option<RefusalCode>,
    /// Closed ones too: replayed and discarded.
    pub closed: bool,
    /// At most so many.
    pub limit: u32,
}

/// What a refused message said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedBody {
    /// Its properties as JSON, as published.
    pub properties: String,
    /// Its body, as it came.
    pub body: Vec<u8>,
}

/// Builds a [`Refused`] from a checked query's record.
macro_rules! refused {
    ($row:expr) => {{
        let row = $row;
        Refused {
            number: row.dead_letter_id,
            queue: row.queue,
            source: row.source,
            message_id: row.message_id,
            kind: row.kind,
            code: row.code,
            reason: row.reason,
            seen: row.seen,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            state: row.state,
            inbox_id: row.inbox_id.map(InboxId),
            conflict: match (row.conflict_field, row.conflict_kept, row.conflict_given) {
                (Some(field), Some(kept), Some(given)) => Some(Contradiction {
                    field: field.into(),
                    kept: kept.into(),
                    given: given.into(),
                    kept_by: key(row.kept_source.as_deref(), row.kept_id.as_deref())?,
                    given_by: key(row.given_source.as_deref(), row.given_id.as_deref())?,
                }),
                _ => None,
            },
        }
    }};
}

fn key(source: Option<&str>, message_id: Option<&str>) -> Result<Option<MessageKey>, StoreError> {
    let (Some(source), Some(message_id)) = (source, message_id) else { return Ok(None) };
    Ok(Some(MessageKey { source: id(Source::parse(source))?, id: id(MessageId::parse(message_id))? }))
}

impl Snapshot<'_> {
    /// Refused messages, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letters(&mut self, query: RefusedQuery) -> Result<Vec<Refused>, StoreError> {
        let rows = sqlx::query!(
            "select dead_letter_id, queue, source, message_id, type as kind, code, reason, seen, first_seen_at,
                    last_seen_at, state, inbox_id, conflict_field, conflict_kept, conflict_given, kept_source, kept_id,
                    given_source, given_id
             from dead_letters where ($1::text is null or code = $1) and ($2 or state = 'open')
             order by dead_letter_id desc limit $3",
            query.code.map(RefusalCode::name),
            query.closed,
            i64::from(query.limit),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter().map(|row| Ok(refused!(row))).collect()
    }

    /// One refused message with what it said.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letter(&mut self, number: i64) -> Result<Option<(Refused, RefusedBody)>, StoreError> {
        let row = sqlx::query!(
            "select dead_letter_id, queue, source, message_id, type as kind, code, reason, seen, first_seen_at,
                    last_seen_at, state, inbox_id, conflict_field, conflict_kept, conflict_given, kept_source, kept_id,
                    given_source, given_id, properties, body
             from dead_letters where dead_letter_id = $1",
            number,
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        let Some(mut row) = row else { return Ok(None) };
        let said = RefusedBody { properties: std::mem::take(&mut row.properties), body: std::mem::take(&mut row.body) };
        Ok(Some((refused!(row), said)))
    }

    /// What people did about a refused message, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letter_history(&mut self, number: i64) -> Result<Vec<Act>, StoreError> {
        let acts = sqlx::query_as!(
            Act,
            "select act, actor, outcome, code, reason, positions, acted_at from dead_letter_history
             where dead_letter_id = $1 order by act_id",
            number,
        );
        Ok(acts.fetch_all(&mut *self.tx).await?)
    }

    /// The refused messages of an id, the oldest first.
    pub(super) async fn refused_under(
        &mut self,
        message_id: &str,
        source: Option<&str>,
    ) -> Result<Vec<Refused>, StoreError> {
        let rows = sqlx::query!(
            "select dead_letter_id, queue, source, message_id, type as kind, code, reason, seen, first_seen_at,
                    last_seen_at, state, inbox_id, conflict_field, conflict_kept, conflict_given, kept_source, kept_id,
                    given_source, given_id
             from dead_letters where message_id = $1 and ($2::text is null or source = $2)
             order by dead_letter_id",
            message_id,
            source,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter().map(|row| Ok(refused!(row))).collect()
    }

    /// The messages that were refused for contradicting one of `kept`, the oldest first.
    pub async fn refused_against(&mut self, kept: &[&MessageKey]) -> Result<Vec<Refused>, StoreError> {
        let ids: Vec<&str> = kept.iter().map(|key| key.id.as_str()).collect();
        let sources: Vec<&str> = kept.iter().map(|key| key.source.as_str()).collect();
        let rows = sqlx::query!(
            "select dead_letter_id, queue, source, message_id, type as kind, code, reason, seen, first_seen_at,
                    last_seen_at, state, inbox_id, conflict_field, conflict_kept, conflict_given, kept_source, kept_id,
                    given_source, given_id
             from dead_letters
             where (kept_id, kept_source) in (select * from unnest($1::text[], $2::text[])) and kept_id is not null
             order by dead_letter_id",
            &ids as _,
            &sources as _,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter().map(|row| Ok(refused!(row))).collect()
    }

    /// Conflicts whose body has this text, the latest first, at most `limit`, with what they said. It looks at every
    /// dead letter: there are few, and this is asked only for names that no kept message has.
    pub async fn conflicts_with(&mut self, text: &str, limit: u32) -> Result<Vec<(Refused, RefusedBody)>, StoreError> {
        let numbers = sqlx::query_scalar!(
            "select dead_letter_id from dead_letters
             where code = $1 and position(convert_to($2, 'UTF8') in body) > 0
             order by dead_letter_id desc limit $3",
            RefusalCode::FactConflict.name(),
            text,
            i64::from(limit),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let mut found = Vec::new();
        for number in numbers {
            found.extend(self.dead_letter(number).await?);
        }
        Ok(found)
    }
}
