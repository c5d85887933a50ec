//! `credits run`: the worker itself.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{ExitError, Global, block_on, read_rules};
use crate::app::{self, AppError};
use crate::telemetry::{self, Metrics};

/// Run the worker until SIGTERM or Ctrl-C
///
/// Takes billing messages from the broker, writes grants and the ledger, and publishes every entry. With the database
/// or the broker away it keeps trying; it never gives up by itself. On SIGTERM it stops taking messages, finishes what
/// it has in hand (`worker.drain_timeout`) and exits with 0. With a schema that is behind or ahead it exits with 78.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rules file, instead of the one that the settings name
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Bring the schema up to date first, as `credits migrate` does
    #[arg(long)]
    pub migrate: bool,
}

/// Runs the worker until SIGTERM or Ctrl-C.
///
/// # Errors
/// [`ExitError::Config`] for a mistake in settings, rules or schema; [`ExitError::Failed`] if work in hand did not end
/// in time.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    let settings = global.settings()?;
    let rules = read_rules(&settings, args.rules.as_deref())?;
    let metrics = Metrics::default();
    let _log = telemetry::start(&settings.log, &metrics);
    block_on(async {
        if args.migrate {
            super::migrate::migrate(&settings).await?;
        }
        let (tell, stop) = watch::channel(false);
        tokio::spawn(async move {
            signalled().await;
            // Nobody listens any more: then there is nothing to stop.
            let _ = tell.send(true);
            signalled().await;
            std::process::exit(1);
        });
        app::run(settings, rules, metrics, stop).await.map_err(|error| match error {
            AppError::Config(error) => ExitError::from(error),
            error @ (AppError::Setup(_) | AppError::Port { .. }) => ExitError::Config(error.into()),
            error @ AppError::Late => ExitError::Failed(error.into()),
        })
    })
}

/// Waits for SIGTERM or Ctrl-C.
async fn signalled() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be heard, only Ctrl-C");
            drop(tokio::signal::ctrl_c().await);
        }
    }
}
