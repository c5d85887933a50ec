//! `credits ledger`: the history, and the proof that nobody changed it.

use clap::Subcommand;

use super::output::Format;

/// Show or verify the ledger
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do with it.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show a customer's entries, oldest first
    List(ListArgs),
    /// Verify the whole ledger: chain, order, gaps and balances
    ///
    /// Prints the last position if all is well. Otherwise names the first position that is not as it was written, and
    /// exits with 1. Exits with 69 if the database cannot be reached.
    Verify(VerifyArgs),
}

/// Arguments of `ledger list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// The customer, as the billing system names it
    #[arg(value_name = "CUSTOMER")]
    pub customer: String,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// Arguments of `ledger verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}
