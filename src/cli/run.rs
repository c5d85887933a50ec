//! `credits run`: the worker itself.

use std::path::PathBuf;

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
