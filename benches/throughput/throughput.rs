//! Messages a second of each worker, with a full queue before it.
//!
//! A run fills the inbound queue, starts the worker and looks at the queues only: it begins when the first messages
//! have left the inbound queue, so start-up is not counted, and ends when the queue bound to the events exchange
//! holds one event a message and the worker, if it keeps a cursor, has it there too.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, STALL_LIMIT};
use crate::message::MIX_ENTRIES;
use crate::names::{MESSAGE_TYPE, MIX_TYPES, Names};
use crate::process::Process;
use crate::report::{Report, median};
use crate::settings::Part;
use crate::subject::Subject;

/// How often the inbound queue is looked at before the first delivery.
const START_POLL: Duration = Duration::from_millis(2);
/// How often the outbound queue is looked at: under half a percent of the shortest run.
const END_POLL: Duration = Duration::from_millis(20);
/// Customers of the hot run: nearly every message waits for an account that another one holds.
const HOT_CUSTOMERS: u64 = 10;

/// Whose messages they are.
#[derive(Clone, Copy)]
enum Load {
    /// Each of a customer of its own.
    Uniform,
    /// All of a few.
    Hot,
    /// Of all types, each of customers of its own.
    Mixed,
}

/// One worker under one load: a line of the report.
struct Run {
    part: Part,
    subject: Subject,
    load: Load,
    figure: fn(&mut Report) -> &mut Option<f64>,
}

/// In the order of a round.
const RUNS: [Run; 5] = [
    Run { part: Part::Ceiling, subject: Subject::Ceiling, load: Load::Uniform, figure: |report| &mut report.ceiling },
    Run {
        part: Part::PerMessage,
        subject: Subject::PerMessage,
        load: Load::Uniform,
        figure: |report| &mut report.per_message,
    },
    Run {
        part: Part::CreditsUniform,
        subject: Subject::Credits,
        load: Load::Uniform,
        figure: |report| &mut report.credits,
    },
    Run {
        part: Part::CreditsHot,
        subject: Subject::Credits,
        load: Load::Hot,
        figure: |report| &mut report.credits_hot,
    },
    Run {
        part: Part::CreditsMixed,
        subject: Subject::Credits,
        load: Load::Mixed,
        figure: |report| &mut report.credits_mixed,
    },
];

/// Runs all rounds and enters the medians.
///
/// # Errors
/// A run that did not handle every message exactly once.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut rates: [Vec<f64>; RUNS.len()] = Default::default();
    for round in 1..=bench.settings.rounds {
        for (run, rates) in RUNS.iter().zip(&mut rates).filter(|(run, _)| bench.settings.wants(run.part)) {
            let name = run.name();
            let rate = run.measure(bench).await.with_context(|| format!("round {round}, {name}"))?;
            eprintln!("round {round}: {name}: {rate:.0} messages/s");
            rates.push(rate);
        }
    }
    for (run, rates) in RUNS.iter().zip(rates) {
        *(run.figure)(report) = median(rates);
    }
    Ok(())
}

impl Run {
    fn name(&self) -> String {
        let load = match self.load {
            Load::Uniform => "uniform",
            Load::Hot => "hot",
            Load::Mixed => "mixed",
        };
        format!("{} {load}", self.subject.label())
    }

    /// How many, of a mix whole tens, so that their entries can be counted.
    fn messages(&self, bench: &Bench) -> u64 {
        match self.load {
            Load::Uniform | Load::Hot => bench.settings.messages,
            Load::Mixed => bench.settings.messages / 10 * 10,
        }
    }

    /// Messages a second, from the first delivery to the last confirmed output.
    async fn measure(&self, bench: &Bench) -> Result<f64> {
        let names = self.subject.names();
        self.subject.prepare(bench).await?;
        let messages = self.messages(bench);
        let (kinds, entries): (&[&str], u64) = match self.load {
            Load::Uniform | Load::Hot => (&[MESSAGE_TYPE], messages),
            Load::Mixed => (&MIX_TYPES, messages / 10 * MIX_ENTRIES),
        };
        match self.load {
            Load::Uniform => bench.fill(&names, 0..messages, messages).await?,
            Load::Hot => bench.fill(&names, 0..messages, HOT_CUSTOMERS).await?,
            Load::Mixed => bench.fill_mixed(&names, messages).await?,
        }
        bench.rest().await?;

        let mut process = self.subject.start(bench)?;
        let begun = first_delivery(bench, &names, kinds, &mut process, messages).await?;
        let ended = last_output(bench, self.subject, (&names, kinds), &mut process, entries).await?;

        process.stop().await?;
        let events = bench.broker.depth(&names.outbound).await?.ready;
        ensure!(events == entries, "{events} events came out of {messages} messages, and not {entries}");
        self.subject.verify(bench, entries).await?;
        self.subject.clear(bench).await?;
        Ok(per_second(messages, ended - begun))
    }
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 messages")]
pub(crate) fn per_second(messages: u64, time: Duration) -> f64 {
    messages as f64 / time.as_secs_f64()
}

/// Waits for the moment when the first messages are out of the inbound queues.
pub(crate) async fn first_delivery(
    bench: &Bench,
    names: &Names,
    kinds: &[&str],
    process: &mut Process,
    messages: u64,
) -> Result<Instant> {
    let started = Instant::now();
    while started.elapsed() < STALL_LIMIT {
        if bench.ready(names, kinds).await? < messages {
            return Ok(Instant::now());
        }
        process.check_alive()?;
        sleep(START_POLL).await;
    }
    anyhow::bail!("no delivery after {STALL_LIMIT:?}\n{}", process.log_tail());
}

/// Waits for the moment when all events are in their queue, the worker knows it, and no message waits any more: some
/// messages of the mix have no event.
async fn last_output(
    bench: &Bench,
    subject: Subject,
    (names, kinds): (&Names, &[&str]),
    process: &mut Process,
    entries: u64,
) -> Result<Instant> {
    let (mut events, mut progress) = (0, Instant::now());
    while progress.elapsed() < STALL_LIMIT {
        let seen = bench.broker.depth(&names.outbound).await?.ready;
        if seen >= entries && subject.knows_it_is_done(bench, entries).await? && bench.ready(names, kinds).await? == 0 {
            return Ok(Instant::now());
        }
        if seen > events {
            (events, progress) = (seen, Instant::now());
        }
        process.check_alive()?;
        sleep(END_POLL).await;
    }
    anyhow::bail!("{events} of {entries} events, and no more for {STALL_LIMIT:?}\n{}", process.log_tail());
}
