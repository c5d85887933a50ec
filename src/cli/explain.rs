//! `credits explain`: what became of a message, and why.

use super::output::Format;

/// Explain what became of a message
///
/// Its outcomes in order, each with its reason, the rule and the arithmetic, and the ledger entries that came of it.
/// Exits with 1 if no message of that id has arrived, with 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The message's id, as its sender gave it
    #[arg(value_name = "MESSAGE-ID")]
    pub message_id: String,
    /// The message's sender, where several use the same id
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}
