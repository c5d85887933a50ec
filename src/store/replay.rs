//! What people do about dead letters: take one again, or discard it.
//!
//! A dead letter is closed by one update under the condition that it is open, in the transaction of whatever else is
//! done: of two who try at once the second finds it closed, and rolls back what it did. Its row is locked last, behind
//! the ledger's head, as when a message is refused.

use uuid::Uuid;

use super::batch::Batch;
use super::dead_letters::clean_text;
use super::error::StoreError;
use super::session::Session;
use crate::domain::ids::Actor;
use crate::domain::message::Timestamp;
use crate::domain::outcome::{Outcome, RefusalCode};

/// What is to be done about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has decided.
    Open,
    /// It was taken again, and had its effect.
    Replayed,
    /// Somebody decided that nothing is to come of it.
    Discarded,
}

impl State {
    /// The word in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Replayed, Self::Discarded].into_iter().find(|state| state.name() == name)
    }
}

/// A dead letter with what it takes to take it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLetter {
    /// What is to be done about it.
    pub state: State,
    /// The queue that it came by first.
    pub queue: String,
    /// Its properties as JSON, as published.
    pub properties: String,
    /// Its body, as it came.
    pub body: Vec<u8>,
}

/// A replay, as it is noted.
#[derive(Debug, Clone, Copy)]
pub struct Replay<'a> {
    /// The dead letter's number.
    pub number: i64,
    /// Who had it taken again.
    pub actor: &'a Actor,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused again, if it was.
    pub code: Option<RefusalCode>,
    /// Why, in words.
    pub reason: &'a str,
    /// The row of the message that is kept.
    pub inbox_id: Option<Uuid>,
    /// The ledger entries that came of it.
    pub positions: &'a [i64],
}

/// What somebody did about a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// `replay` or `discard`.
    pub act: String,
    /// Who.
    pub actor: String,
    /// What became of a replay.
    pub outcome: Option<String>,
    /// Why a replay was refused again.
    pub code: Option<String>,
    /// Of a replay: why that outcome. Of a discard: the person's reason.
    pub reason: String,
    /// The ledger entries that came of it.
    pub positions: Vec<i64>,
    /// When.
    pub acted_at: Timestamp,
}

impl Batch<'_> {
    /// A dead letter; `None` if there is none of that number. Locks nothing: [`Batch::note_replay`] finds out whether
    /// it is still open.
    pub async fn stored_letter(&mut self, number: i64) -> Result<Option<StoredLetter>, StoreError> {
        let row =
            sqlx::query!("select state, queue, properties, body from dead_letters where dead_letter_id = $1", number)
                .fetch_optional(&mut *self.tx)
                .await?;
        row.map(|row| {
            let state = State::from_name(&row.state).ok_or_else(|| StoreError::corrupt(&row.state))?;
            Ok(StoredLetter { state, queue: row.queue, properties: row.properties, body: row.body })
        })
        .transpose()
    }

    /// Notes a replay, and closes the dead letter unless it was refused again. Gives whether it was open until now; if
    /// not, nothing is noted, and the caller has to roll back.
    pub async fn note_replay(&mut self, replay: &Replay<'_>) -> Result<bool, StoreError> {
        let state = if replay.outcome == Outcome::DeadLettered { State::Open } else { State::Replayed };
        let noted = sqlx::query!(
            "with letter as (
                 update dead_letters set state = $2 where dead_letter_id = $1 and state = 'open'
                 returning dead_letter_id
             )
             insert into dead_letter_history (dead_letter_id, act, actor, outcome, code, reason, inbox_id, positions)
             select dead_letter_id, 'replay', $3, $4, $5, $6, $7, $8 from letter",
            replay.number,
            state.name(),
            replay.actor.as_str(),
            replay.outcome.name(),
            replay.code.map(RefusalCode::name),
            clean_text(replay.reason),
            replay.inbox_id,
            replay.positions,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(noted.rows_affected() == 1)
    }
}

impl Session {
    /// Closes an open dead letter without any effect. Gives whether there was an open one of that number.
    pub async fn discard(&mut self, number: i64, actor: &Actor, reason: &str) -> Result<bool, StoreError> {
        let noted = sqlx::query!(
            "with letter as (
                 update dead_letters set state = 'discarded' where dead_letter_id = $1 and state = 'open'
                 returning dead_letter_id
             )
             insert into dead_letter_history (dead_letter_id, act, actor, reason, positions)
             select dead_letter_id, 'discard', $2, $3, '{}' from letter",
            number,
            actor.as_str(),
            clean_text(reason),
        )
        .execute(&mut self.connection)
        .await?;
        Ok(noted.rows_affected() == 1)
    }

    /// The numbers of the open dead letters with a code, the oldest first.
    pub async fn open_letters(&mut self, code: RefusalCode) -> Result<Vec<i64>, StoreError> {
        let numbers = sqlx::query_scalar!(
            "select dead_letter_id from dead_letters where state = 'open' and code = $1 order by dead_letter_id",
            code.name(),
        );
        Ok(numbers.fetch_all(&mut self.connection).await?)
    }
}
