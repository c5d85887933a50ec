//! A lane: one database session and what has come for it, batch after batch.
//!
//! What an error means is in its variant. A lock that another session holds, a content that the database refuses and a
//! stored row that rules a new one out or cannot be bisect the batch. What is still locked then, or about a row that
//! cannot be, is set aside and tried again between later batches; what is still ruled out after a few tries is refused.
//! A lost session is opened anew and the same batch run again, keyed, since after an error during COMMIT its outcome is
//! unknown; a database in trouble is waited for while the deliveries are held. A delivery that was seen twice before is
//! handled alone, one at a time in the whole process, so that a message that kills the process takes no neighbour with
//! it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, watch};
use uuid::Uuid;

use super::batch::{Attempt, Report, attempt, letter, why_refused};
use super::crash;
use super::dispatcher::Said;
use super::handover::Handover;
use super::intake::{Work, content_hash, is_suspect};
use crate::broker::{Delivery, How};
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::rules::Rules;
use crate::http::{Condition, Readiness};
use crate::retry::Retry;
use crate::store::{Database, Session, StoreError};
use crate::telemetry::{Metrics, RetryKind};

/// So many process starts that never came to an end make a delivery a dead letter.
const FATAL_ATTEMPTS: i64 = 3;
/// The first and the longest wait for a database in trouble: back within 5 s of its return.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Between two tries of what is set aside: at least this, and so many times as long as the last try took. A try may wait
/// for the whole lock timeout, and most of a lane's time belongs to those that nothing holds up. A row that cannot be is
/// mended by a person, and each try of it costs the lane its session: that has more time.
const ASIDE_PAUSE: Duration = Duration::from_millis(200);
const CORRUPT_PAUSE: Duration = Duration::from_secs(2);
const ASIDE_SHARE: u32 = 4;
/// The longest wait for a lock in the parts of a batch that waited for one in vain. Each locked message of it would cost
/// several waits otherwise, and new deliveries wait for them all.
const HURRIED: Duration = Duration::from_millis(100);

/// So many times a single message is tried against a row that rules it out. Another session may have written that row
/// between two statements of this one: then the next try sees it. After that it stays there.
const VIOLATIONS: u32 = 3;

/// So many times in a row a batch that another one overtakes runs again at once, on the same session.
const OVERTAKEN: u32 = 10;

/// What lanes work with.
#[derive(Clone)]
pub struct Parts {
    /// Opens its session.
    pub database: Database,
    /// The rules in force.
    pub rules: Arc<Rules>,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Says what is missing.
    pub readiness: Readiness,
    /// Leads to the relay of this process.
    pub handover: Arc<Handover>,
    /// One delivery alone at a time.
    pub alone: Arc<Semaphore>,
    /// Names this start of the process.
    pub process_start: Uuid,
    /// Turns true when the process is asked to stop.
    pub stop: watch::Receiver<bool>,
}

/// A lane.
pub struct Lane {
    parts: Parts,
    /// Which one it is, from 0 on.
    number: usize,
    arrivals: mpsc::UnboundedReceiver<Vec<Work>>,
    tell: mpsc::UnboundedSender<Said>,
    session: Option<Session>,
    retry: Retry,
    /// Messages that are held up, unacknowledged: another session holds their names or accounts, or they are about a row
    /// that cannot be. And when to try them again.
    aside: Vec<Work>,
    aside_until: Instant,
    /// What was said about rows that cannot be, since `aside` was empty last.
    said: BTreeSet<String>,
}

/// The process is asked to stop, and what is in hand has no outcome: it will be delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stopping;

/// Messages that are tried together.
#[derive(Default)]
struct Part {
    works: Vec<Work>,
    /// Whether they are what is left of a batch that waited for a lock in vain.
    hurried: bool,
    /// How often a stored row ruled it out, while it was a single message.
    violations: u32,
}

impl Part {
    /// Keeps the first half and gives the other one.
    fn split(&mut self) -> Self {
        let works = self.works.split_off(self.works.len() / 2);
        Self { works, hurried: self.hurried, ..Self::default() }
    }
}

impl Lane {
    /// Lane `number`: gets `arrivals`, and has the dispatcher to `tell` what is done.
    #[must_use]
    pub fn new(
        parts: Parts,
        number: usize,
        arrivals: mpsc::UnboundedReceiver<Vec<Work>>,
        tell: mpsc::UnboundedSender<Said>,
    ) -> Self {
        let retry = Retry::new(RETRY_FIRST, RETRY_MAX);
        parts.metrics.set_aside(number, 0);
        let (aside, aside_until, said) = (Vec::new(), Instant::now(), BTreeSet::new());
        Self { parts, number, arrivals, tell, session: None, retry, aside, aside_until, said }
    }

    /// Handles batches until the process is asked to stop; then finishes the one in hand and leaves the rest.
    pub async fn run(mut self) {
        let mut stop = self.parts.stop.clone();
        self.say(Said::Free(self.number));
        loop {
            let arrivals = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                arrivals = self.arrivals.recv() => arrivals,
                () = tokio::time::sleep_until(self.aside_until.into()), if !self.aside.is_empty() => Some(Vec::new()),
            };
            // Without a dispatcher nothing comes any more.
            let Some(mut arrivals) = arrivals else { return };
            if arrivals.is_empty() {
                self.say(Said::Busy(self.number));
                // What was given just before goes first.
                arrivals = self.arrivals.try_recv().unwrap_or_default();
            }
            crash::point("received");
            if self.handle(arrivals).await.is_err() {
                return;
            }
            self.say(Said::Free(self.number));
        }
    }

    fn say(&self, what: Said) {
        // Without a dispatcher the whole crew ends, and everything comes again.
        let _ = self.tell.send(what);
    }

    async fn handle(&mut self, mut works: Vec<Work>) -> Result<(), Stopping> {
        // Of a session that is gone the broker delivers everything again.
        if let Some(newest) = works.iter().map(|work| work.delivery.channel.generation).max() {
            self.aside.retain(|work| work.delivery.channel.generation >= newest);
        }
        let suspects: Vec<Work> = works.extract_if(.., |work| is_suspect(&work.delivery)).collect();
        self.run_batch(Part { works, ..Part::default() }).await?;
        if !suspects.is_empty() || self.is_time_for_aside() {
            // What comes now may take long, or take the process with it.
            self.say(Said::Slow(self.number));
        }
        for work in suspects {
            self.handle_alone(work.delivery).await?;
        }
        self.try_aside().await?;
        self.parts.metrics.set_aside(self.number, self.aside.len());
        Ok(())
    }

    fn is_time_for_aside(&self) -> bool {
        !self.aside.is_empty() && Instant::now() >= self.aside_until
    }

    /// Tries again what is set aside, if it is time to.
    async fn try_aside(&mut self) -> Result<(), Stopping> {
        let begun = Instant::now();
        if self.is_time_for_aside() {
            let mut works = std::mem::take(&mut self.aside);
            let suspects: Vec<Work> = works.extract_if(.., |work| is_suspect(&work.delivery)).collect();
            self.run_batch(Part { works, ..Part::default() }).await?;
            for work in suspects {
                self.handle_alone(work.delivery).await?;
            }
            if self.aside.is_empty() {
                self.said.clear();
            }
            let pause = if self.said.is_empty() { ASIDE_PAUSE } else { CORRUPT_PAUSE };
            self.aside_until = Instant::now() + pause.max(begun.elapsed() * ASIDE_SHARE);
        }
        Ok(())
    }

    /// Runs a batch, in ever smaller parts where it fails, until every message has its outcome or is set aside.
    async fn run_batch(&mut self, batch: Part) -> Result<(), Stopping> {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            if part.works.is_empty() {
                continue;
            }
            let error = match self.try_batch(&mut part).await {
                Ok(report) => {
                    self.done(&part.works, report).await;
                    continue;
                }
                Err(error) => error,
            };
            self.say(Said::Slow(self.number));
            match error {
                StoreError::Locked(_) | StoreError::Content(_) | StoreError::Violated(_) | StoreError::Corrupt(_)
                    if part.works.len() > 1 =>
                {
                    self.parts.metrics.retried(RetryKind::Bisection);
                    let is_locked = matches!(error, StoreError::Locked(_));
                    part.hurried |= is_locked;
                    let rest = part.split();
                    // A locked half goes to the bottom: the others go on meanwhile.
                    let at = if is_locked { 0 } else { parts.len() };
                    parts.insert(at, rest);
                    parts.push(part);
                }
                StoreError::Locked(_) | StoreError::Corrupt(_) => {
                    self.parts.metrics.retried(RetryKind::Database);
                    self.say_corrupt(&part.works, &error);
                    self.aside.append(&mut part.works);
                }
                StoreError::Violated(_) if part.violations + 1 < VIOLATIONS => {
                    part.violations += 1;
                    parts.insert(0, part);
                    self.pause(&error).await?;
                }
                StoreError::Content(_) | StoreError::Violated(_) => self.refuse(&part.works, &error).await?,
                other => {
                    parts.push(part);
                    self.pause(&other).await?;
                }
            }
        }
        Ok(())
    }

    /// Says which message is about a row that cannot be: once, however often it is tried.
    fn say_corrupt(&mut self, works: &[Work], error: &StoreError) {
        if !matches!(error, StoreError::Corrupt(_)) {
            return;
        }
        for work in works {
            let key = work.decoded.as_ref().ok().map(|decoded| &decoded.message.key);
            let (source, message) = key.map_or_else(Default::default, |key| (key.source.as_str(), key.id.as_str()));
            let error = error.in_full();
            if self.said.insert(format!("{source} {message} {error}")) {
                let queue = &work.delivery.queue;
                tracing::error!(%queue, source, id = message, error, "set aside until that row is mended");
            }
        }
    }

    async fn try_batch(&mut self, part: &mut Part) -> Result<Report, StoreError> {
        let started = Instant::now();
        let report = self.commit_batch(part).await;
        if report.is_ok() {
            self.retry.reset();
            self.parts.metrics.committed(part.works.len(), started.elapsed());
            self.parts.readiness.set(Condition::Database, Ok(()));
            self.parts.metrics.database_connected(true);
        } else {
            // The session may be inside a transaction, or gone: never use it again.
            self.session = None;
            // After an error during COMMIT the rows may be there: under new ids the next try's are told from them.
            part.works.iter_mut().for_each(Work::renew);
        }
        report
    }

    async fn commit_batch(&mut self, part: &Part) -> Result<Report, StoreError> {
        let patience = part.hurried.then(|| HURRIED.min(self.parts.database.lock_timeout()));
        let session = match self.session.take() {
            Some(session) => session,
            None => self.parts.database.connect().await?,
        };
        let session = self.session.insert(session);
        let rules = Arc::clone(&self.parts.rules);
        let author = self.parts.handover.author(self.parts.process_start);
        let mut extra = BTreeSet::new();
        let mut overtaken = 0;
        loop {
            let mut batch = session.begin().await?;
            if let Some(limit) = patience {
                batch.hurry(limit).await?;
            }
            match attempt(&mut batch, &part.works, &rules, &extra, author).await {
                Ok(Attempt::Written(report)) => {
                    batch.commit().await?;
                    crash::point("committed");
                    return Ok(report);
                }
                Ok(Attempt::More(names)) => {
                    batch.rollback().await?;
                    extra.extend(names);
                }
                // Another lane was faster with a key or a name: the session is as good as before.
                Err(StoreError::Again(_)) if overtaken < OVERTAKEN => {
                    overtaken += 1;
                    self.parts.metrics.retried(RetryKind::Conflict);
                    batch.rollback().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands on what was committed, counts it, and says that it is done.
    async fn done(&mut self, works: &[Work], report: Report) {
        if !report.entries.is_empty() {
            self.parts.handover.give(report.entries);
            // Somebody waits for the events, nobody for what follows here.
            tokio::task::yield_now().await;
        }
        for (work, (outcome, code)) in works.iter().zip(&report.outcomes) {
            let kind = work.decoded.as_ref().ok().map(|decoded| decoded.message.content.message_type());
            self.parts.metrics.delivered(kind, *outcome, *code);
            if *outcome == Outcome::DeadLettered {
                let code = code.map_or("", RefusalCode::name);
                tracing::warn!(queue = %work.delivery.queue, code, "dead-lettered; see `credits dead-letters list`");
            }
        }
        self.say(Said::Done(works.iter().map(|work| work.delivery.settled(How::Ack)).collect()));
    }

    /// Waits before the next try, as long as the error asks for; ends early if the process is asked to stop.
    async fn pause(&mut self, error: &StoreError) -> Result<(), Stopping> {
        let (kind, delay) = match error {
            StoreError::Again(_) => (RetryKind::Conflict, Duration::ZERO),
            StoreError::Violated(_) => (RetryKind::Conflict, self.retry.next_delay()),
            _ => (RetryKind::Database, self.retry.next_delay()),
        };
        self.parts.metrics.retried(kind);
        if kind == RetryKind::Database {
            let words = error.in_full();
            tracing::warn!(kind = error.kind(), error = words, "the batch did not go through, trying again");
            self.parts.readiness.set(Condition::Database, Err(words));
            self.parts.metrics.database_connected(false);
        }
        tokio::select! {
            biased;
            _ = self.parts.stop.wait_for(|stop| *stop) => Err(Stopping),
            () = tokio::time::sleep(delay) => Ok(()),
        }
    }

    /// Dead-letters a single message whose content the database refuses, or which a stored row rules out. No code says
    /// just that: a stored row that it contradicts is nearest to a fact that it contradicts.
    async fn refuse(&mut self, works: &[Work], error: &StoreError) -> Result<(), Stopping> {
        let (code, reason) = why_refused(error);
        for work in works {
            self.bury_alone(work, code, &reason).await?;
        }
        Ok(())
    }

    async fn bury_alone(&mut self, work: &Work, code: RefusalCode, reason: &str) -> Result<(), Stopping> {
        while let Err(error) = self.try_bury(work, code, reason).await {
            self.session = None;
            self.pause(&error).await?;
        }
        let report = Report { outcomes: vec![(Outcome::DeadLettered, Some(code))], ..Report::default() };
        self.done(std::slice::from_ref(work), report).await;
        Ok(())
    }

    async fn try_bury(&mut self, work: &Work, code: RefusalCode, reason: &str) -> Result<(), StoreError> {
        let session = self.session().await?;
        let mut batch = session.begin().await?;
        batch.bury(&letter(work, code, reason)).await?;
        batch.forget_attempts(&work.delivery.queue, &content_hash(&work.delivery)).await?;
        batch.commit().await
    }

    async fn session(&mut self) -> Result<&mut Session, StoreError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.parts.database.connect().await?,
        };
        Ok(self.session.insert(session))
    }

    /// Handles a delivery that may be what kills processes: alone, and noted before it is looked at.
    async fn handle_alone(&mut self, delivery: Delivery) -> Result<(), Stopping> {
        let alone = Arc::clone(&self.parts.alone);
        // The semaphore is never closed.
        let _place = alone.acquire().await;
        let hash = content_hash(&delivery);
        let others = loop {
            match self.note(&delivery, &hash).await {
                Ok(others) => break others,
                Err(error) => {
                    self.session = None;
                    self.pause(&error).await?;
                }
            }
        };
        if others >= FATAL_ATTEMPTS {
            let work = Work::unread(delivery);
            let reason = "three process starts tried this message alone, and none of them lived to see it end";
            return self.bury_alone(&work, RefusalCode::CrashedWorker, reason).await;
        }
        let queue = delivery.queue.clone();
        let result = self.run_batch(Part { works: vec![Work::new(delivery)], ..Part::default() }).await;
        // It has its outcome, or this process lived to see it fail: either way nobody died of it.
        if let Err(error) = self.forget(&queue, &hash).await {
            self.session = None;
            tracing::warn!(error = error.in_full(), "an attempt stays noted until this process ends in order");
        }
        result
    }

    async fn note(&mut self, delivery: &Delivery, hash: &[u8]) -> Result<i64, StoreError> {
        let start = self.parts.process_start;
        self.session().await?.note_attempt(&delivery.queue, hash, start).await
    }

    async fn forget(&mut self, queue: &str, hash: &[u8]) -> Result<(), StoreError> {
        let mut batch = self.session().await?.begin().await?;
        batch.forget_attempts(queue, hash).await?;
        batch.commit().await
    }
}
