//! The first pass: the whole file is read and checked, and nothing is written.

use std::collections::hash_map::Entry;
use std::time::Duration;

use uuid::Uuid;

use super::line::{Lines, SOURCE, Seen, external_id, message};
use super::summary::Summary;
use super::{Args, BATCH, Complaints};
use crate::cli::ExitError;
use crate::cli::adjust::both_sides;
use crate::cli::adjust::message::{Stated, plain};
use crate::cli::progress::Progress;
use crate::domain::books::Books;
use crate::domain::ids::{InboxId, Source};
use crate::domain::ledger::Entry as LedgerLine;
use crate::domain::message::Timestamp;
use crate::domain::outcome::Outcome;
use crate::domain::rules::Rules;
use crate::store::Session;

/// Reads the file, notes what is wrong with it, and sums it up.
///
/// # Errors
/// [`ExitError`] if file or database cannot be read. A mistake in a line is a complaint.
pub(super) async fn check(
    session: &mut Session,
    rules: &Rules,
    args: &Args,
    mistakes: &mut Complaints,
) -> Result<Summary, ExitError> {
    let clock = session.snapshot().await?.clock().await?;
    let mut lines = Lines::open(&args.file)?;
    let (mut seen, mut summary, mut differing) = (Seen::new(), Summary::default(), Complaints::default());
    let mut progress = Progress::patient(Duration::from_millis(200), Duration::from_secs(3));
    let mut batch: Vec<(u64, Stated)> = Vec::with_capacity(BATCH);
    while let Some((number, line)) = lines.next()? {
        let checked = message(&line, &args.actor, clock).and_then(|stated| {
            first_of(&mut seen, number, &stated)?;
            let entries = try_out(rules, clock, &stated)?;
            Ok((stated, entries))
        });
        match checked {
            Ok((stated, entries)) => {
                summary.add(&stated.adjustment, &entries);
                batch.push((number, stated));
            }
            Err(what) => mistakes.add(&format!("{}: {what}", lines.place(number))),
        }
        if batch.len() == BATCH {
            compare(session, &lines, &batch, &mut summary, &mut differing).await?;
            batch.clear();
            progress.tell_bar(lines.read, lines.size, "bytes read");
        }
    }
    compare(session, &lines, &batch, &mut summary, &mut differing).await?;
    progress.end();
    mistakes.tell();
    differing.tell();
    Ok(summary)
}

fn first_of(seen: &mut Seen, number: u64, stated: &Stated) -> Result<(), String> {
    match seen.entry(stated.adjustment.made()) {
        Entry::Vacant(place) => {
            place.insert(number);
            Ok(())
        }
        Entry::Occupied(first) => {
            let id = external_id(stated.key.id.as_str());
            Err(format!("external_id {id:?} stands on line {} already", first.get()))
        }
    }
}

/// What would come of it in an account of its own: the core says what is wrong with its type, places and dates.
fn try_out(rules: &Rules, clock: Timestamp, stated: &Stated) -> Result<Vec<LedgerLine>, String> {
    let decoded = stated.work.decoded.as_ref().map_err(|error| plain(&error.detail))?;
    let mut books = Books::new(rules, clock);
    let record = books.take(InboxId(Uuid::nil()), decoded.message.clone());
    if record.outcome == Outcome::DeadLettered { Err(plain(&record.reason)) } else { Ok(books.changes.entries) }
}

/// Notes what is there already, and complains of what is there with another content.
async fn compare(
    session: &mut Session,
    lines: &Lines,
    batch: &[(u64, Stated)],
    summary: &mut Summary,
    differing: &mut Complaints,
) -> Result<(), ExitError> {
    let known = known(session, batch.iter().map(|(_, stated)| stated)).await?;
    for (known, (number, stated)) in known.into_iter().zip(batch) {
        match known {
            Known::New => {}
            Known::Same => summary.there = summary.there.saturating_add(1),
            Known::Differs => {
                summary.differing.insert(*number);
                complain_of(session, &lines.place(*number), stated, differing).await?;
            }
        }
    }
    Ok(())
}

/// Whether a line was imported before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// No.
    New,
    /// As it is.
    Same,
    /// Its external id was, with another content.
    Differs,
}

/// Of each message whether it is there already.
pub(super) async fn known(
    session: &mut Session,
    batch: impl Iterator<Item = &Stated> + Clone,
) -> Result<Vec<Known>, ExitError> {
    let ids: Vec<&str> = batch.clone().map(|stated| stated.key.id.as_str()).collect();
    let Some(source) = Source::parse(SOURCE).ok().filter(|_| !ids.is_empty()) else { return Ok(Vec::new()) };
    let taken = session.snapshot().await?.taken_keys(&source, &ids).await?;
    let known = |stated: &Stated| {
        let given = stated.work.decoded.as_ref().ok().map(|decoded| decoded.message.fingerprint);
        match taken.get(&stated.key.id) {
            None => Known::New,
            Some(print) if Some(*print) == given => Known::Same,
            Some(_) => Known::Differs,
        }
    };
    Ok(batch.map(known).collect())
}

/// Says that an external id was imported with another content, and what differs.
pub(super) async fn complain_of(
    session: &mut Session,
    place: &str,
    stated: &Stated,
    complaints: &mut Complaints,
) -> Result<(), ExitError> {
    let sides = if complaints.is_full() { String::new() } else { both_sides(session, stated).await? };
    let id = external_id(stated.key.id.as_str());
    complaints.add(&format!("{place}: external_id {id:?} was imported with another content: {sides}"));
    Ok(())
}
