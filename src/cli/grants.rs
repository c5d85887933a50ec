//! `credits grants`: what a customer was granted.

use super::output::Format;

/// Show a customer's grants in the order in which they are used
///
/// With amount, what remains, status, dates, price or rule, and who granted it. Exits with 69 if the database cannot be
/// reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The customer, as the billing system names it
    #[arg(value_name = "CUSTOMER")]
    pub customer: String,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}
