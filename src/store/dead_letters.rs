//! Refused messages with their original bytes, and deliveries that processes died on.

use uuid::Uuid;

use super::batch::Batch;
use super::error::StoreError;
use super::session::Session;
use crate::domain::books::Books;
use crate::domain::facts::Contradiction;
use crate::domain::ids::MAX_ID_BYTES;
use crate::domain::message::MessageKey;
use crate::domain::outcome::{Outcome, RefusalCode};

/// A refused delivery.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// The dead letter that it is already, if a person has it taken again.
    pub number: Option<i64>,
    /// The queue that it came by first.
    pub queue: &'a str,
    /// Its name as far as it could be read.
    pub key: Option<&'a MessageKey>,
    /// The AMQP `message_id`, where the message itself gave no name.
    pub message_id: Option<&'a str>,
    /// The type as far as it could be read.
    pub kind: Option<&'a str>,
    /// Why.
    pub code: RefusalCode,
    /// In words, for people.
    pub reason: &'a str,
    /// Its properties as JSON, as published: without what the broker adds on the way.
    pub properties: &'a str,
    /// Its body, as it came.
    pub body: &'a [u8],
    /// Both sides, if it contradicts what is kept.
    pub conflict: Option<&'a Contradiction>,
}

/// The columns of a contradiction.
#[derive(Default)]
struct Sides {
    field: Option<String>,
    kept: Option<String>,
    given: Option<String>,
    kept_by: (Option<String>, Option<String>),
    given_by: (Option<String>, Option<String>),
}

impl Sides {
    fn of(conflict: Option<&Contradiction>) -> Self {
        let Some(conflict) = conflict else { return Self::default() };
        let key = |key: Option<&MessageKey>| (key.map(|key| key.source.to_string()), key.map(|key| key.id.to_string()));
        Self {
            field: Some(conflict.field.to_string()),
            kept: Some(conflict.kept.to_string()),
            given: Some(conflict.given.to_string()),
            kept_by: key(conflict.kept_by.as_ref()),
            given_by: key(conflict.given_by.as_ref()),
        }
    }
}

impl Batch<'_> {
    /// Keeps a refused delivery. The same one again raises its counter and opens it, unless it was discarded under the
    /// same code. One that a person had taken again stays the dead letter that it is, with the new code and reason.
    pub async fn bury(&mut self, letter: &DeadLetter<'_>) -> Result<(), StoreError> {
        if let Some(number) = letter.number {
            return self.bury_again(number, letter).await;
        }
        let message_id = letter.key.map(|key| key.id.as_str()).or(letter.message_id);
        let sides = Sides::of(letter.conflict);
        sqlx::query!(
            "insert into dead_letters (queue, source, message_id, type, content_hash, code, reason, properties, body,
                 conflict_field, conflict_kept, conflict_given, kept_source, kept_id, given_source, given_id)
             values ($1, $2, $3, $4, sha256($8 || convert_to($7, 'UTF8')), $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                 $15)
             on conflict on constraint dead_letters_same
             do update set seen = dead_letters.seen + 1, last_seen_at = clock_timestamp(), code = excluded.code,
                 reason = excluded.reason,
                 conflict_field = excluded.conflict_field, conflict_kept = excluded.conflict_kept,
                 conflict_given = excluded.conflict_given, kept_source = excluded.kept_source,
                 kept_id = excluded.kept_id, given_source = excluded.given_source, given_id = excluded.given_id,
                 state = case when (dead_letters.state, dead_letters.code) = ('discarded', excluded.code)
                              then 'discarded' else 'open' end",
            clean(letter.queue),
            letter.key.map(|key| key.source.as_str()),
            message_id.map(clean),
            letter.kind.map(clean),
            letter.code.name(),
            clean_text(letter.reason),
            clean_text(letter.properties),
            letter.body,
            sides.field,
            sides.kept,
            sides.given,
            sides.kept_by.0,
            sides.kept_by.1,
            sides.given_by.0,
            sides.given_by.1,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// What it is called and where it came from stays; what could be read of it for the first time is added.
    async fn bury_again(&mut self, number: i64, letter: &DeadLetter<'_>) -> Result<(), StoreError> {
        let sides = Sides::of(letter.conflict);
        sqlx::query!(
            "update dead_letters set code = $2, reason = $3, source = coalesce(source, $4), type = coalesce(type, $5),
                 conflict_field = $6, conflict_kept = $7, conflict_given = $8, kept_source = $9, kept_id = $10,
                 given_source = $11, given_id = $12
             where dead_letter_id = $1",
            number,
            letter.code.name(),
            clean_text(letter.reason),
            letter.key.map(|key| key.source.as_str()),
            letter.kind.map(clean),
            sides.field,
            sides.kept,
            sides.given,
            sides.kept_by.0,
            sides.kept_by.1,
            sides.given_by.0,
            sides.given_by.1,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Keeps the messages of refunds that became conflicts: their original bytes are in the inbox.
    pub async fn bury_released(&mut self, books: &Books<'_>) -> Result<(), StoreError> {
        for record in books.changes.earlier.iter().filter(|record| record.outcome == Outcome::DeadLettered) {
            let sides = Sides::of(record.conflict.as_deref());
            sqlx::query!(
                "insert into dead_letters (queue, source, message_id, type, content_hash, code, reason, properties,
                     body, inbox_id, conflict_field, conflict_kept, conflict_given, kept_source, kept_id, given_source,
                     given_id)
                 select queue, source, message_id, type, sha256(body || convert_to(properties, 'UTF8')), $2, $3,
                        properties, body, inbox_id, $4, $5, $6, $7, $8, $9, $10
                 from inbox where inbox_id = $1
                 on conflict on constraint dead_letters_same
                 do update set seen = dead_letters.seen + 1, last_seen_at = clock_timestamp(), code = excluded.code,
                     reason = excluded.reason, inbox_id = excluded.inbox_id,
                     conflict_field = excluded.conflict_field, conflict_kept = excluded.conflict_kept,
                     conflict_given = excluded.conflict_given, kept_source = excluded.kept_source,
                     kept_id = excluded.kept_id, given_source = excluded.given_source, given_id = excluded.given_id,
                     state = case when (dead_letters.state, dead_letters.code) = ('discarded', excluded.code)
                                  then 'discarded' else 'open' end",
                record.inbox_id.0,
                record.code.map_or("fact-conflict", RefusalCode::name),
                record.reason,
                sides.field,
                sides.kept,
                sides.given,
                sides.kept_by.0,
                sides.kept_by.1,
                sides.given_by.0,
                sides.given_by.1,
            )
            .execute(&mut *self.tx)
            .await?;
        }
        Ok(())
    }

    /// Forgets the attempts at a delivery: it has its outcome.
    pub async fn forget_attempts(&mut self, queue: &str, content_hash: &[u8]) -> Result<(), StoreError> {
        sqlx::query!("delete from attempts where queue = $1 and content_hash = $2", queue, content_hash)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

impl Session {
    /// Notes, in a transaction of its own, that this process is about to try a delivery alone. Gives how many process
    /// starts did so before and never came to an end.
    pub async fn note_attempt(
        &mut self,
        queue: &str,
        content_hash: &[u8],
        process_start: Uuid,
    ) -> Result<i64, StoreError> {
        let others = sqlx::query_scalar!(
            r#"select count(*) as "others!" from attempts
               where queue = $1 and content_hash = $2 and process_start <> $3"#,
            queue,
            content_hash,
            process_start,
        )
        .fetch_one(&mut self.connection)
        .await?;
        sqlx::query!(
            "insert into attempts (queue, content_hash, process_start) values ($1, $2, $3) on conflict do nothing",
            queue,
            content_hash,
            process_start,
        )
        .execute(&mut self.connection)
        .await?;
        Ok(others)
    }

    /// Forgets this process' attempts: it lived to see them end, or shuts down in order.
    pub async fn forget_own_attempts(&mut self, process_start: Uuid) -> Result<(), StoreError> {
        sqlx::query!("delete from attempts where process_start = $1", process_start)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

/// Text that Postgres takes and an index holds: no NUL, at most [`MAX_ID_BYTES`]. The body has the whole.
fn clean(text: &str) -> String {
    let mut kept = clean_text(text);
    let mut end = MAX_ID_BYTES.min(kept.len());
    while !kept.is_char_boundary(end) {
        end -= 1;
    }
    kept.truncate(end);
    kept
}

pub(super) fn clean_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
