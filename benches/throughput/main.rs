//! The benchmark: this worker against two others, on real services, in one run.
//!
//! Three programs take the same messages from a quorum queue and publish what follows from them:
//!
//! - *ceiling*: moves the bytes and does nothing else, which is the most that the broker and its client give;
//! - *per-message*: one transaction a message, sixteen at once, as a team would write it with the same crates;
//! - *credits*: the release build of this project with its own defaults.
//!
//! Each runs as a process of its own, so the machine is shared in the same way. Throughput is taken from the first
//! delivery to the last confirmed output, seen from outside and by the same means for all of them; rounds are
//! interleaved and the median counts. Latency is taken at a steady pace, publish to published event.
//!
//! A last part has *credits* alone, over a million grants that expired at one instant: what the sweep of these leaves to
//! messages, see [`sweep`].
//!
//! Run by `make bench`. Needs `DATABASE_URL` (of a role that may create databases and checkpoint) and `AMQP_URL`;
//! keep them private instances: anything else that uses them shows in the figures. Progress goes to stderr, the
//! figures go to stdout, one `name: value` a line. A run whose rows or events are not exactly as many as its
//! messages fails. `CREDITS_BENCH_…` variables make shorter runs: see [`settings`].

mod bench;
mod broker;
mod database;
mod latency;
mod message;
mod names;
mod process;
mod report;
mod settings;
mod subject;
mod sweep;
mod throughput;
mod uses;
mod workers;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::Bench;
use crate::report::Report;
use crate::settings::Settings;

// The store's own tests name them so: see `sweep`.
use credits::{domain, store};

#[path = "../../src/store/tests/backlog.rs"]
#[expect(clippy::expect_used, reason = "shared with tests; constants that parse")]
mod backlog;

/// The argument, followed by a name, that turns this binary into one of the workers it measures.
const WORKER_ARGUMENT: &str = "--worker";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [WORKER_ARGUMENT, name] => workers::run(name).await,
        given if given.contains(&"--bench") => until_told_to_stop().await,
        _ => {
            eprintln!("throughput: measures only under `cargo bench` (see `make bench`)");
            Ok(())
        }
    }
}

/// Runs the benchmark; a signal drops it, and with it the workers that it started.
async fn until_told_to_stop() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = measure_all() => done,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminated.recv() => anyhow::bail!("terminated"),
    }
}

async fn measure_all() -> Result<()> {
    let settings = Settings::from_env()?;
    let bench = Bench::open(settings).await?;
    let mut report = Report::default();
    // Before the broker's log is long: rolled over at 1 GB, it took the p99 of whose turn it was from 5 to 43 ms.
    latency::measure(&bench, &mut report).await?;
    throughput::measure(&bench, &mut report).await?;
    uses::measure(&bench, &mut report).await?;
    sweep::measure(&bench, &mut report).await?;
    print!("{report}");
    Ok(())
}
