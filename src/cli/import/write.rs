//! The second pass: what is not there yet is written, batch by batch.

use std::time::Duration;

use anyhow::anyhow;

use super::check::{Known, complain_of, known};
use super::line::{Lines, message};
use super::summary::Summary;
use super::{Args, BATCH, Complaints};
use crate::cli::ExitError;
use crate::cli::adjust::message::Stated;
use crate::cli::progress::Progress;
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::rules::Rules;
use crate::handler::batch::why_refused;
use crate::handler::direct::{Direct, Keep};
use crate::handler::intake::Work;
use crate::store::{Database, Session, StoreError};

/// What was done.
pub(super) struct Done {
    /// Grants that were written.
    pub(super) written: u64,
    /// Grants that were there.
    pub(super) there: u64,
    /// Lines that are refused.
    pub(super) left_out: u64,
    /// How long it took.
    pub(super) took: Duration,
}

struct Import<'a> {
    session: &'a mut Session,
    direct: Direct<'a>,
    summary: &'a Summary,
    complaints: Complaints,
    done: Done,
}

/// A line's message, and where it stands.
type Placed = (u64, String, Stated);

/// Writes what is not there yet.
///
/// # Errors
/// [`ExitError`] if file or database cannot be read, or the file is another one than was checked. What was written by
/// then stays, and is found there by the next run.
pub(super) async fn write(
    database: &Database,
    session: &mut Session,
    rules: &Rules,
    args: &Args,
    summary: &Summary,
) -> Result<Done, ExitError> {
    let done = Done { written: 0, there: 0, left_out: 0, took: Duration::ZERO };
    let direct = Direct::new(database, rules);
    let mut import = Import { session, direct, summary, complaints: Complaints::default(), done };
    let mut lines = Lines::open(&args.file)?;
    let mut progress = Progress::new(Duration::from_millis(200), Duration::from_secs(3));
    let (mut batch, mut read): (Vec<Placed>, u64) = (Vec::with_capacity(BATCH), 0);
    loop {
        let clock = import.session.snapshot().await?.clock().await?;
        while batch.len() < BATCH
            && let Some((number, line)) = lines.next()?
        {
            let place = lines.place(number);
            let stated = message(&line, &args.actor, clock);
            let stated = stated.map_err(|what| ExitError::Failed(anyhow!("{place}: {what}: the file has changed")))?;
            batch.push((number, place, stated));
        }
        progress.tell_bar(read, summary.grants, "grants");
        if batch.is_empty() {
            break;
        }
        read = read.saturating_add(u64::try_from(batch.len()).unwrap_or(u64::MAX));
        import.take(std::mem::take(&mut batch)).await?;
    }
    import.complaints.tell();
    import.done.took = progress.end();
    Ok(import.done)
}

impl Import<'_> {
    /// Takes a batch: what is there already is passed over without a transaction.
    async fn take(&mut self, batch: Vec<Placed>) -> Result<(), ExitError> {
        let known = known(self.session, batch.iter().map(|(.., stated)| stated)).await?;
        let mut fresh = Vec::with_capacity(batch.len());
        for (known, line) in known.into_iter().zip(batch) {
            match known {
                Known::New => fresh.push(line),
                Known::Same => self.done.there += 1,
                Known::Differs => self.leave_out(&line, None).await?,
            }
        }
        let mut open = vec![fresh];
        while let Some(lines) = open.pop() {
            open.extend(self.write(lines).await?);
        }
        Ok(())
    }

    /// Writes lines in one transaction, and gives what has to be tried again: the rest if some turn out to be there or
    /// to be refused; two halves if the database refuses something that they lead to.
    async fn write(&mut self, lines: Vec<Placed>) -> Result<Vec<Vec<Placed>>, ExitError> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let (mut works, mut placed): (Vec<Work>, Vec<(u64, String)>) = (Vec::new(), Vec::new());
        let mut said = Vec::with_capacity(lines.len());
        for (number, place, Stated { key, adjustment, work }) in lines {
            works.push(work);
            placed.push((number, place));
            said.push((key, adjustment));
        }
        let taken = self.direct.take(&mut works, Keep::Effect).await;
        let again = placed.into_iter().zip(said).zip(works);
        let mut again: Vec<Placed> = again
            .map(|(((number, place), (key, adjustment)), work)| (number, place, Stated { key, adjustment, work }))
            .collect();
        match taken {
            Ok(taken) if taken.written => {
                self.done.written += u64::try_from(again.len()).unwrap_or(u64::MAX);
                Ok(Vec::new())
            }
            Ok(taken) => {
                let mut rest = Vec::new();
                for (line, record) in again.into_iter().zip(&taken.records) {
                    match record.outcome {
                        Outcome::Duplicate => self.done.there += 1,
                        _ if taken.moves(record) => rest.push(line),
                        _ if record.code == Some(RefusalCode::IdempotencyConflict) => {
                            self.leave_out(&line, None).await?;
                        }
                        _ => self.leave_out(&line, Some(&record.reason)).await?,
                    }
                }
                Ok(vec![rest])
            }
            Err(StoreError::Content(_) | StoreError::Violated(_)) if again.len() > 1 => {
                let second = again.split_off(again.len() / 2);
                Ok(vec![second, again])
            }
            Err(error @ (StoreError::Content(_) | StoreError::Violated(_))) => {
                let (_, why) = why_refused(&error);
                for line in &again {
                    self.leave_out(line, Some(&why)).await?;
                }
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Counts a line that is refused, and says why unless the first pass did: another content if there is no reason.
    async fn leave_out(&mut self, (number, place, stated): &Placed, reason: Option<&str>) -> Result<(), ExitError> {
        self.done.left_out += 1;
        match reason {
            Some(reason) => self.complaints.add(&format!("{place}: {reason}")),
            None if self.summary.differing.contains(number) => {}
            None => complain_of(self.session, place, stated, &mut self.complaints).await?,
        }
        Ok(())
    }
}
