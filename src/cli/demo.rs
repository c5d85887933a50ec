//! `credits demo`: the whole walk on sample messages.
//!
//! Starts a worker in this process, publishes the samples in three rounds through the real broker, and shows what the
//! reading verbs show. Each round has its outcomes before the next is published.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde_json::Value;
use tokio::sync::watch;

use super::output::{self, Format};
use super::publish::message;
use super::{ExitError, Global, balance, block_on, dead_letters, grants, ledger, migrate};
use crate::app::{self, AppError};
use crate::broker::{Confirm, Options, Outgoing, declare_with_events, publish_all};
use crate::config::{RulesFile, Settings};
use crate::domain::ids::CustomerId;
use crate::store::Session;
use crate::store::verify::Finding;
use crate::telemetry::{self, Metrics};

/// How long a round, or the publishing of all events, may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How often the demo looks whether a round is over.
const LOOK: Duration = Duration::from_millis(50);

/// Show the worker at work on sample messages
///
/// Publishes the good samples in the order of their time, all of them again, then the bad ones; shows the grants,
/// balances and ledger of their customers and the dead letters, verifies the ledger, and ends with one line of counts.
/// For a database and a broker of its own: it fails if the database has seen messages before.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of samples: `*.json`, `bad/` and `rules.toml`
    #[arg(long, value_name = "DIR", default_value = "tests/fixtures")]
    pub samples: PathBuf,
}

/// Shows the worker at work.
///
/// # Errors
/// [`ExitError::Failed`] if something comes out otherwise than it should; the others as their numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    let mut settings = global.settings()?;
    settings.http.listen.set_port(0);
    let rules = RulesFile::read(&args.samples.join("rules.toml"))?;
    let metrics = Metrics::default();
    let _log = telemetry::start(&settings.log, &metrics);
    block_on(async {
        migrate::migrate(&settings).await?;
        let (tell, stop) = watch::channel(false);
        let worker = tokio::spawn(app::run(settings.clone(), rules, metrics, stop));
        let shown = show(&settings, &args.samples).await;
        // The worker may have ended by itself, with the better explanation.
        let _ = tell.send(true);
        let ended = worker.await.context("the worker died").map_err(ExitError::Failed)?;
        ended.map_err(|error| match error {
            AppError::Config(error) => ExitError::from(error),
            other => ExitError::Failed(other.into()),
        })?;
        shown
    })
}

async fn show(settings: &Settings, samples: &Path) -> Result<(), ExitError> {
    let broker = app::broker(settings)?;
    let mut session = app::database(&settings.database)?.connect().await?;
    if session.tally().await?.received() > 0 {
        return Err(failed("this database has seen messages before: the demo wants one of its own"));
    }
    declare_with_events(&broker, &format!("{}.demo-events", settings.broker.queue_prefix)).await?;
    let (good, bad) = (good(samples)?, bad(samples)?);
    let customers = customers(&good);
    let good: Vec<Outgoing> = good.into_iter().map(|sample| sample.message).collect();
    for (title, round) in [("good samples", &good), ("all of them again", &good), ("bad samples", &bad)] {
        output::show(&format!("publishing {} messages: {title}\n", round.len()))?;
        publish_round(&broker, &mut session, round.clone()).await?;
    }
    for customer in &customers {
        show_customer(&mut session, customer).await?;
    }
    let everything = dead_letters::ListArgs { code: None, all: false, limit: 100, format: Format { json: false } };
    output::show(&format!("\ndead letters\n{}", dead_letters::list(&mut session, &everything).await?))?;
    conclude(&mut session).await
}

/// Publishes one round and waits until every message of it has its outcome.
async fn publish_round(broker: &Options, session: &mut Session, round: Vec<Outgoing>) -> Result<(), ExitError> {
    let before = session.tally().await?.received();
    let expected = before + i64::try_from(round.len()).unwrap_or(i64::MAX);
    let confirms = publish_all(broker, &broker.billing_exchange, round).await?;
    if let Some(other) = confirms.iter().find(|confirm| **confirm != Confirm::Acked) {
        return Err(failed(format!("the broker did not take a sample: {other:?}")));
    }
    let started = Instant::now();
    while session.tally().await?.received() < expected {
        if started.elapsed() > LIMIT {
            return Err(failed(format!("no outcome for every message in time: {:?}", session.tally().await?)));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn show_customer(session: &mut Session, customer: &CustomerId) -> Result<(), ExitError> {
    let format = Format { json: false };
    let of = customer.clone();
    let grants = grants::Args { customer: of.clone(), credit_type: None, status: None, wide: false, format };
    let grants = grants::answer(session, &grants).await?;
    // The grants stand above it.
    let balance = balance::Args { customer: of.clone(), at: None, limit: Some(0), format };
    let balance = balance::answer(session, &balance).await?;
    let mut entries = Vec::new();
    let everything = ledger::ListArgs { customer: Some(of), ..ledger::ListArgs::default() };
    ledger::list(session, &everything, &mut entries).await?;
    let entries = String::from_utf8_lossy(&entries);
    output::show(&format!("\n{customer}\n{grants}{balance}{entries}"))
}

/// Waits until every entry is published, verifies the ledger, and says the closing line.
async fn conclude(session: &mut Session) -> Result<(), ExitError> {
    let started = Instant::now();
    let mut progress = session.progress().await?;
    while progress.cursor < progress.head {
        if started.elapsed() > LIMIT {
            return Err(failed(format!("events are published only to position {}", progress.cursor)));
        }
        tokio::time::sleep(LOOK).await;
        progress = session.progress().await?;
    }
    let finding = ledger::verify(session).await?;
    let Finding::Sound { position } = finding else {
        return Err(failed(ledger::verdict(&finding, Format { json: false })));
    };
    let tally = session.tally().await?;
    output::show(&format!(
        "\ndemo ok: {} received, {} applied, {} duplicate, {} ignored, {} waiting, {} dead-lettered; \
         ledger verified to position {position}; {} events published\n",
        tally.received(),
        tally.applied,
        tally.duplicate,
        tally.ignored,
        tally.waiting,
        tally.dead_lettered,
        progress.cursor,
    ))
}

/// A good sample.
struct Sample {
    time: String,
    customer: Option<CustomerId>,
    message: Outgoing,
}

/// The good samples in the order of their time, then of their names.
fn good(samples: &Path) -> Result<Vec<Sample>, ExitError> {
    let mut found = Vec::new();
    for file in files(samples)?.into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "json")) {
        let body = read(&file)?;
        let event: Value = serde_json::from_slice(&body).with_context(|| said(&file)).map_err(ExitError::Failed)?;
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let sample = Sample {
            time: text("/time").unwrap_or_default(),
            customer: text("/data/customer_id").and_then(|id| CustomerId::parse(&id).ok()),
            message: message(body, &name(&file), None),
        };
        found.push(sample);
    }
    // All samples state their time in UTC, to the second: as text they are in order.
    found.sort_by(|a, b| a.time.cmp(&b.time));
    if found.is_empty() { Err(failed(format!("there are no samples in {}", samples.display()))) } else { Ok(found) }
}

fn bad(samples: &Path) -> Result<Vec<Outgoing>, ExitError> {
    let files = files(&samples.join("bad"))?;
    files.iter().map(|file| Ok(message(read(file)?, &name(file), None))).collect()
}

fn customers(good: &[Sample]) -> BTreeSet<CustomerId> {
    good.iter().filter_map(|sample| sample.customer.clone()).collect()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, ExitError> {
    let listing = std::fs::read_dir(folder).with_context(|| said(folder)).map_err(ExitError::Failed)?;
    let mut files: Vec<PathBuf> =
        listing.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Vec<u8>, ExitError> {
    std::fs::read(file).with_context(|| said(file)).map_err(ExitError::Failed)
}

fn said(path: &Path) -> String {
    format!("{} cannot be read", path.display())
}

fn name(file: &Path) -> String {
    file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn failed(what: impl Into<String>) -> ExitError {
    ExitError::Failed(anyhow!(what.into()))
}
