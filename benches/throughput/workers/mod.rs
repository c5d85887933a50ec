//! The workers that `credits` is measured against. Each runs in a process of its own, started by the benchmark.

mod ceiling;
pub(crate) mod per_message;

use std::future::Future;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::settings::required;
use crate::subject::Subject;

/// Runs the worker called `label` until it is told to stop.
///
/// # Errors
/// Broker or database fail it: it does not try again, and the benchmark fails with it.
pub(crate) async fn run(label: &str) -> Result<()> {
    let amqp_url = required("AMQP_URL")?;
    match Subject::of(label) {
        Some(Subject::Ceiling) => ceiling::run(&amqp_url).await,
        Some(Subject::PerMessage) => per_message::run(&amqp_url, &required("DATABASE_URL")?).await,
        Some(Subject::Credits) | None => bail!("`{label}` is no worker of the benchmark"),
    }
}

/// Ends with SIGTERM.
fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        terminated.recv().await;
    })
}
