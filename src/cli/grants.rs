//! `credits grants`: what a customer was granted.

use super::ask::ask;
use super::output::{self, Format};
use super::{ExitError, Global, show};
use crate::domain::ids::CustomerId;
use crate::store::Session;

/// Show a customer's grants in the order in which they are used
///
/// With amount, what remains, status, dates, price or rule, and who granted it. Exits with 69 if the database cannot be
/// reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The customer, as the billing system names it
    #[arg(value_name = "CUSTOMER", value_parser = CustomerId::parse)]
    pub customer: CustomerId,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// Shows a customer's grants.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    output::show(&ask(global, async |session| answer(session, args).await)?)
}

/// A customer's grants, as text.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub async fn answer(session: &mut Session, args: &Args) -> Result<String, ExitError> {
    let view = session.snapshot().await?.account(&args.customer).await?;
    if view.is_none() {
        output::complain(&format!("note: no message ever named the customer {}", args.customer));
    }
    let views: Vec<_> = view.into_iter().collect();
    Ok(if args.format.json {
        output::pretty(&show::grants_json(&views))
    } else {
        show::grants(&views).render(args.format)
    })
}
