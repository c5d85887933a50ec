//! `credits dead-letters`: the messages that were refused.

use clap::Subcommand;

use super::output::Format;

/// Show refused messages
///
/// A refused message claims nothing: mended and published again under the same id it is taken.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to show of the dead letters.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List them, newest first: number, code, queue, message id, how often, when
    List(ListArgs),
    /// Show one: why it was refused, its properties and its body as it came
    ///
    /// Exits with 1 if there is none of that number.
    Show(ShowArgs),
}

/// Arguments of `dead-letters list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only those refused for this reason, such as `fact-conflict`
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub limit: u32,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// Arguments of `dead-letters show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The number that `dead-letters list` gives it
    #[arg(value_name = "NUMBER")]
    pub number: i64,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}
