//! A dead letter is taken again, because a person says so.
//!
//! Its original bytes go the way of a delivery: the same decoding, [`attempt`], the same keys and locks, and in the same
//! transaction the dead letter is closed. So it has one effect, whoever dies or tries at the same time, and the broker
//! is not needed. The relays of running workers are called by the commit, as after that of any other process. What is
//! refused again stays the dead letter that it is, with the new reason. Called by `cli`.

use std::collections::BTreeSet;
use std::slice;

use uuid::Uuid;

use super::batch::{Attempt, Report, attempt, why_refused};
use super::crash;
use super::intake::Work;
use crate::domain::ids::Actor;
use crate::domain::ledger::LedgerEntry;
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::rules::Rules;
use crate::store::batch::Batch;
use crate::store::replay::{Replay, State};
use crate::store::{Database, Session, StoreError};

/// So often one that the database asks to run again is run.
const MOST_TRIES: usize = 10;

/// Why a dead letter was not taken again. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is none of that number.
    #[error("there is no dead letter with the number {0}")]
    Missing(i64),
    /// Somebody was here before.
    #[error("dead letter {0} is {name} already: `credits dead-letters show {0}` says by whom", name = .1.name())]
    Closed(i64, State),
    /// Its properties cannot be read back.
    #[error("the stored properties of dead letter {0} cannot be read: {1}")]
    Unreadable(i64, String),
    /// The database did not do it. After [`StoreError::Lost`] it may have been done: to try again does no harm.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a dead letter that was taken again, or would become of it.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused again, if it was.
    pub code: Option<RefusalCode>,
    /// In words: rule, arithmetic, what is missing, both sides of a conflict.
    pub reason: String,
    /// The message that is kept.
    pub inbox_id: Option<Uuid>,
    /// The ledger entries that came of it; of earlier messages too, if those waited for it.
    pub entries: Vec<LedgerEntry>,
}

/// Takes dead letters again, each in a transaction of its own.
#[derive(Debug)]
pub struct Replays<'a> {
    database: &'a Database,
    rules: &'a Rules,
    session: Option<Session>,
}

impl<'a> Replays<'a> {
    /// By the rules given, which are those of the worker if a person is careful.
    #[must_use]
    pub fn new(database: &'a Database, rules: &'a Rules) -> Self {
        Self { database, rules, session: None }
    }

    /// Takes one again in the name of `actor`.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub async fn replay(&mut self, number: i64, actor: &Actor) -> Result<Replayed, ReplayError> {
        self.run(number, Some(actor)).await
    }

    /// What [`Replays::replay`] would do now; all of it is rolled back.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub async fn try_out(&mut self, number: i64) -> Result<Replayed, ReplayError> {
        self.run(number, None).await
    }

    async fn run(&mut self, number: i64, actor: Option<&Actor>) -> Result<Replayed, ReplayError> {
        let mut tries = 1;
        loop {
            match self.run_once(number, actor).await {
                Err(ReplayError::Store(StoreError::Again(_) | StoreError::Violated(_))) if tries < MOST_TRIES => {
                    tries += 1;
                }
                Err(ReplayError::Store(error @ (StoreError::Content(_) | StoreError::Violated(_)))) => {
                    return self.refuse(number, actor, &error).await;
                }
                done => return done,
            }
        }
    }

    async fn run_once(&mut self, number: i64, actor: Option<&Actor>) -> Result<Replayed, ReplayError> {
        let mut session = self.take_session().await?;
        let replayed = take_again(&mut session, number, self.rules, actor).await?;
        // After an error the session is never used again.
        self.session = Some(session);
        Ok(replayed)
    }

    async fn take_session(&mut self) -> Result<Session, StoreError> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => self.database.connect().await,
        }
    }

    /// The database refuses what the message leads to, as it would for a lane.
    async fn refuse(
        &mut self,
        number: i64,
        actor: Option<&Actor>,
        error: &StoreError,
    ) -> Result<Replayed, ReplayError> {
        let (code, reason) = why_refused(error);
        let mut session = self.take_session().await?;
        let mut batch = session.begin().await?;
        let work = open_letter(&mut batch, number).await?;
        batch.bury(&super::batch::letter(&work, code, &reason)).await?;
        let replayed =
            Replayed { outcome: Outcome::DeadLettered, code: Some(code), reason, inbox_id: None, entries: Vec::new() };
        finish(batch, number, actor, &replayed).await?;
        self.session = Some(session);
        Ok(replayed)
    }
}

async fn take_again(
    session: &mut Session,
    number: i64,
    rules: &Rules,
    actor: Option<&Actor>,
) -> Result<Replayed, ReplayError> {
    // No relay knows this author, so each takes the entries for those of another process.
    let author = Some(Uuid::now_v7());
    let mut extra = BTreeSet::new();
    loop {
        let mut batch = session.begin().await?;
        let work = open_letter(&mut batch, number).await?;
        match attempt(&mut batch, slice::from_ref(&work), rules, &extra, author).await? {
            Attempt::Written(report) => {
                let replayed = replayed(&work, report);
                finish(batch, number, actor, &replayed).await?;
                return Ok(replayed);
            }
            Attempt::More(names) => {
                batch.rollback().await?;
                extra.extend(names);
            }
        }
    }
}

async fn open_letter(batch: &mut Batch<'_>, number: i64) -> Result<Work, ReplayError> {
    let letter = batch.stored_letter(number).await?.ok_or(ReplayError::Missing(number))?;
    match letter.state {
        State::Open => Work::again(number, letter).map_err(|error| ReplayError::Unreadable(number, error)),
        closed @ (State::Replayed | State::Discarded) => Err(ReplayError::Closed(number, closed)),
    }
}

fn replayed(work: &Work, report: Report) -> Replayed {
    let entries = report.entries.into_iter().map(|(entry, _)| entry).collect();
    let record = report.records.into_iter().next().flatten();
    match (record, &work.decoded) {
        (Some(record), _) => Replayed {
            outcome: record.outcome,
            code: record.code,
            inbox_id: (record.outcome != Outcome::DeadLettered).then_some(record.inbox_id.0),
            reason: record.reason,
            entries,
        },
        (None, decoded) => Replayed {
            outcome: Outcome::DeadLettered,
            code: decoded.as_ref().err().map(|error| error.code),
            reason: decoded.as_ref().err().map(|error| error.detail.clone()).unwrap_or_default(),
            inbox_id: None,
            entries,
        },
    }
}

/// Notes what became of it and commits; without an actor it rolls back.
async fn finish(
    mut batch: Batch<'_>,
    number: i64,
    actor: Option<&Actor>,
    replayed: &Replayed,
) -> Result<(), ReplayError> {
    let Some(actor) = actor else { return Ok(batch.rollback().await?) };
    let positions: Vec<i64> = replayed.entries.iter().map(|entry| entry.position.cast_signed()).collect();
    let noted = Replay {
        number,
        actor,
        outcome: replayed.outcome,
        code: replayed.code,
        reason: &replayed.reason,
        inbox_id: replayed.inbox_id,
        positions: &positions,
    };
    if !batch.note_replay(&noted).await? {
        // Somebody closed it meanwhile.
        let state = batch.stored_letter(number).await?.map_or(State::Replayed, |letter| letter.state);
        batch.rollback().await?;
        return Err(ReplayError::Closed(number, state));
    }
    batch.commit().await?;
    crash::point("committed");
    Ok(())
}
