//! What a sweep leaves to messages: a million grants that expired at one instant, and payments of others beside it.
//!
//! The grants are made before the clock starts, by the worker's own write path, as of a week ago: 100 to a customer. Then
//! the same number of payments is measured twice on the same database, as in `throughput`: with the sweeper switched
//! off, and while it writes the million. Events of expiries go to a queue of their own, so the last event of a payment
//! can be told. In the end everything has to be swept and published, and `credits ledger verify` has to pass.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use credits::config::RulesFile;
use sqlx::{Executor, PgConnection};
use tokio::time::{Instant, sleep};

use crate::backlog::{Owed, owe};
use crate::bench::{Bench, STALL_LIMIT};
use crate::database;
use crate::names::{CREDITS_CURSOR_SQL, CREDITS_HEAD_SQL, MESSAGE_TYPE, Names, credits_rules};
use crate::process::Process;
use crate::report::Report;
use crate::settings::Part;
use crate::subject::Subject;
use crate::throughput::{first_delivery, per_second};

/// Grants of one customer.
const EACH: u64 = 100;
/// Grants of one transaction while they are made.
const MADE_AT_ONCE: u64 = 10_000;
/// Events of expiries that stay in their queue.
const KEPT: u32 = 100_000;
/// How often the queue of payments' events is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How often the database is asked how far the sweep is, once payments are done.
const SWEPT_POLL: Duration = Duration::from_millis(200);
/// For `credits ledger verify`, over more than two million entries.
const VERIFY_LIMIT: Duration = Duration::from_mins(5);

const SUBJECT: Subject = Subject::Credits;
const NO_SWEEPER: (&str, &str) = ("CREDITS_SWEEPER_ENABLED", "false");

/// Entries besides those of payments, each of which has one.
const OTHER_ENTRIES_SQL: &str = "select position - (select count(*) from inbox) from ledger_head";
const OPEN_SQL: &str = "select count(*) from grants where due_at <= now()";
const EXPIRED_SQL: &str = "select count(*) from ledger where type = 'expire'";

/// Measures, if asked to.
///
/// # Errors
/// A message or a grant that was not handled exactly once; a sweep that was over before the messages.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    if !bench.settings.wants(Part::Sweep) {
        return Ok(());
    }
    let (names, messages, grants) = (SUBJECT.names(), bench.settings.messages, bench.settings.sweep_grants);
    SUBJECT.prepare(bench).await?;
    bench.broker.set_swept_apart(&names, KEPT).await?;
    let mut connection = database::connect(&bench.settings.database_url, Some(&names.database)).await?;
    make_grants(bench, &mut connection).await?;

    let run = Run { bench, names: &names, messages };
    let (process, rate) = run.payments(0, &[NO_SWEEPER]).await.context("with nothing due")?;
    process.stop().await?;
    bench.left_behind(&names).await?;
    eprintln!("sweep: {rate:.0} messages/s with the sweeper switched off");
    report.nothing_due = Some(rate);

    let (mut process, rate, meanwhile) = run.payments_and_sweep(&mut connection).await.context("while sweeping")?;
    eprintln!("sweep: {rate:.0} messages/s beside {meanwhile:.0} swept/s");
    (report.while_sweeping, report.swept_meanwhile) = (Some(rate), Some(meanwhile));

    let (left, begun) = (database::number(&mut connection, OPEN_SQL).await?, Instant::now());
    ensure!(left > 0, "the sweep was over before the messages: more grants or fewer messages are needed");
    until_published(&mut connection, &mut process, 2 * grants + 2 * messages).await?;
    report.swept_alone = Some(per_second(left, begun.elapsed()));

    process.stop().await?;
    let expired = database::number(&mut connection, EXPIRED_SQL).await?;
    ensure!(expired == grants, "{expired} of {grants} grants expired");
    SUBJECT.verb(bench, &["ledger", "verify"], VERIFY_LIMIT).await?;
    drop(connection);
    SUBJECT.clear(bench).await
}

/// Makes the grants, and has their own events count as published.
async fn make_grants(bench: &Bench, connection: &mut PgConnection) -> Result<()> {
    let begun = Instant::now();
    let rules = RulesFile::parse("rules.toml", credits_rules())?.rules;
    let mut session = SUBJECT.session(bench).await?;
    let (as_of, end) = (days_ago(7)?, days_ago(1)?);
    let grants = bench.settings.sweep_grants;
    for first in (0..grants).step_by(usize::try_from(MADE_AT_ONCE)?) {
        let one = |number: u64| Owed {
            customer: format!("old_{}", number / EACH),
            number: u128::from(number) + 1,
            from: as_of,
            to: Some(end),
        };
        let owed: Vec<Owed> = (first..grants.min(first + MADE_AT_ONCE)).map(one).collect();
        owe(&mut session, &rules, as_of, &owed).await?;
    }
    connection.execute("update relay_cursor set position = (select position from ledger_head)").await?;
    // As it would be by now, had they been made over a week.
    connection.execute("vacuum (analyze)").await?;
    eprintln!("sweep: {grants} grants of {} customers made in {:?}", grants.div_ceil(EACH), begun.elapsed());
    Ok(())
}

/// In microseconds, as Postgres keeps it.
fn days_ago(days: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros((Utc::now() - TimeDelta::days(days)).timestamp_micros()).context("an instant")
}

struct Run<'b> {
    bench: &'b Bench,
    names: &'b Names,
    messages: u64,
}

impl Run<'_> {
    /// Payments a second, from the first delivery to the last event of one; the worker still runs.
    async fn payments(&self, before: u64, settings: &[(&str, &str)]) -> Result<(Process, f64)> {
        let mut process = self.start(before, settings).await?;
        let begun = first_delivery(self.bench, self.names, &[MESSAGE_TYPE], &mut process, self.messages).await?;
        let ended = self.last_event(&mut process, before + self.messages).await?;
        Ok((process, per_second(self.messages, ended - begun)))
    }

    /// The same with the sweep beside it, and how many grants a second were swept meanwhile.
    async fn payments_and_sweep(&self, connection: &mut PgConnection) -> Result<(Process, f64, f64)> {
        let mut process = self.start(self.messages, &[]).await?;
        let begun = first_delivery(self.bench, self.names, &[MESSAGE_TYPE], &mut process, self.messages).await?;
        let before = database::number(connection, OTHER_ENTRIES_SQL).await?;
        let ended = self.last_event(&mut process, 2 * self.messages).await?;
        let swept = database::number(connection, OTHER_ENTRIES_SQL).await? - before;
        let rate = per_second(self.messages, ended - begun);
        Ok((process, rate, per_second(swept, begun.elapsed())))
    }

    async fn start(&self, before: u64, settings: &[(&str, &str)]) -> Result<Process> {
        self.bench.fill(self.names, before..before + self.messages, u64::MAX).await?;
        self.bench.rest().await?;
        SUBJECT.start_with(self.bench, settings)
    }

    /// Waits for the moment when `events` of payments are in their queue.
    async fn last_event(&self, process: &mut Process, events: u64) -> Result<Instant> {
        let (mut last, mut progress) = (0, Instant::now());
        while progress.elapsed() < STALL_LIMIT {
            let seen = self.bench.broker.depth(&self.names.outbound).await?.ready;
            if seen >= events {
                return Ok(Instant::now());
            }
            if seen > last {
                (last, progress) = (seen, Instant::now());
            }
            process.check_alive()?;
            sleep(POLL).await;
        }
        anyhow::bail!("{last} of {events} events, and no more for {STALL_LIMIT:?}\n{}", process.log_tail());
    }
}

/// Waits until the ledger has `entries`, and all of them are published.
async fn until_published(connection: &mut PgConnection, process: &mut Process, entries: u64) -> Result<()> {
    let (mut last, mut progress) = (0, Instant::now());
    while progress.elapsed() < STALL_LIMIT {
        let published = database::number(connection, CREDITS_CURSOR_SQL).await?;
        if published >= entries {
            ensure!(database::number(connection, CREDITS_HEAD_SQL).await? == entries, "more than {entries} entries");
            return Ok(());
        }
        if published > last {
            (last, progress) = (published, Instant::now());
        }
        process.check_alive()?;
        sleep(SWEPT_POLL).await;
    }
    anyhow::bail!("{last} of {entries} entries are published, and no more for {STALL_LIMIT:?}\n{}", process.log_tail());
}
