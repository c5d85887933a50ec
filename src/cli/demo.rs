//! `credits demo`: the whole walk on sample messages.

use std::path::PathBuf;

/// Show the worker at work on sample messages
///
/// Publishes the good samples in the order of their time, all of them again, then the bad ones; shows the grants,
/// balances and ledger of their customers and the dead letters, verifies the ledger, and ends with one line of counts.
/// For a database and a broker of its own: it fails on customers that are there already.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of samples: `*.json`, `bad/` and `rules.toml`
    #[arg(long, value_name = "DIR", default_value = "tests/fixtures")]
    pub samples: PathBuf,
}
