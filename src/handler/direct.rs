//! Messages that a verb states itself, and takes at once: the way of a delivery, without a queue.
//!
//! The same decoding, [`attempt`], the same keys and locks, one transaction. So it has one effect, whoever dies or tries
//! at the same time, and the relays of running workers are called by the commit. All or nothing: unless every message is
//! new and moves something, nothing is written, no dead letter either, since whoever asked is there to be told. Called
//! by `cli`.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::batch::{Attempt, Report, attempt};
use super::crash;
use super::intake::Work;
use crate::broker::{ChannelId, Delivery, Properties};
use crate::domain::books::Record;
use crate::domain::ledger::{EntryType, LedgerEntry};
use crate::domain::outcome::Outcome;
use crate::domain::rules::Rules;
use crate::store::{Database, Session, StoreError};

/// What stands in the place of a queue's name.
const QUEUE: &str = "command line";
/// So often a transaction that the database asks to run again is run.
const MOST_TRIES: usize = 10;

/// What is to stay of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// What came of the messages, if all of them are new and move something.
    Effect,
    /// Nothing: it is only to be seen.
    Nothing,
}

/// What came of messages, or would come of them.
#[derive(Debug)]
pub struct Taken {
    /// Whether it is written.
    pub written: bool,
    /// What became of each message, in order.
    pub records: Vec<Record>,
    /// All new entries; those of a message are at the places that its record names.
    pub entries: Vec<LedgerEntry>,
}

impl Taken {
    /// Whether a message is new and moves something.
    #[must_use]
    pub fn moves(&self, record: &Record) -> bool {
        record.outcome == Outcome::Applied && self.entries_of(record).any(moves)
    }

    /// The entries of one of the messages.
    pub fn entries_of<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = &'a LedgerEntry> {
        record.entries.iter().filter_map(|at| self.entries.get(*at))
    }
}

/// A revoke that finds nothing says so in its entry; everything else that is written moves something.
fn moves(entry: &LedgerEntry) -> bool {
    let entry = &entry.entry;
    entry.kind != EntryType::Revoke || entry.demand.is_none_or(|demand| demand.requested > demand.shortfall)
}

/// A message of a verb: a structured event, decoded as if a queue had brought it.
#[must_use]
pub fn stated(body: Vec<u8>) -> Work {
    let content_type = Some("application/cloudevents+json".to_owned());
    Work::new(Delivery {
        queue: QUEUE.into(),
        // It came by no channel, and is never settled there.
        channel: ChannelId { generation: 0, consumer: 0 },
        tag: 0,
        delivered_before: 0,
        properties: Properties { content_type, ..Properties::default() },
        body,
    })
}

/// Takes messages of verbs, each call in a transaction of its own.
#[derive(Debug)]
pub struct Direct<'a> {
    database: &'a Database,
    rules: &'a Rules,
    author: Uuid,
    session: Option<Session>,
}

impl<'a> Direct<'a> {
    /// By the rules given, which are those of the worker if a person is careful.
    #[must_use]
    pub fn new(database: &'a Database, rules: &'a Rules) -> Self {
        // No relay knows this author, so each takes the entries for those of another process.
        Self { database, rules, author: Uuid::now_v7(), session: None }
    }

    /// Takes messages that could be decoded, together; the same one stands among them once.
    ///
    /// # Errors
    /// [`StoreError`]. After [`StoreError::Lost`] it may have been done: to try again does no harm.
    pub async fn take(&mut self, works: &mut [Work], keep: Keep) -> Result<Taken, StoreError> {
        let mut tries = 1;
        loop {
            match self.take_once(works, keep).await {
                Err(StoreError::Again(_) | StoreError::Violated(_) | StoreError::Locked(_)) if tries < MOST_TRIES => {
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn take_once(&mut self, works: &mut [Work], keep: Keep) -> Result<Taken, StoreError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.database.connect().await?,
        };
        let taken = run(&mut session, works, self.rules, self.author, keep).await?;
        // After an error the session is never used again.
        self.session = Some(session);
        Ok(taken)
    }
}

async fn run(
    session: &mut Session,
    works: &mut [Work],
    rules: &Rules,
    author: Uuid,
    keep: Keep,
) -> Result<Taken, StoreError> {
    let mut extra = BTreeSet::new();
    loop {
        works.iter_mut().for_each(Work::renew);
        let mut batch = session.begin().await?;
        match attempt(&mut batch, works, rules, &extra, Some(author)).await? {
            Attempt::Written(report) => {
                let mut taken = taken(report);
                taken.written = keep == Keep::Effect && taken.records.iter().all(|record| taken.moves(record));
                if taken.written {
                    batch.commit().await?;
                    crash::point("committed");
                } else {
                    batch.rollback().await?;
                }
                return Ok(taken);
            }
            Attempt::More(names) => {
                batch.rollback().await?;
                extra.extend(names);
            }
        }
    }
}

fn taken(report: Report) -> Taken {
    let entries = report.entries.into_iter().map(|(entry, _)| entry).collect();
    Taken { written: false, records: report.records.into_iter().flatten().collect(), entries }
}
