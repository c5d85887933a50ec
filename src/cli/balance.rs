//! `credits balance`: what a customer can spend.

use super::output::Format;

/// Show what a customer can spend now, by credit type
///
/// Grants outside their dates do not count, whether or not the entry for it is written yet. A customer without any
/// credits has no line. Exits with 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The customer, as the billing system names it
    #[arg(value_name = "CUSTOMER")]
    pub customer: String,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}
