//! `credits balance`: what a customer can spend.

use super::ask::ask;
use super::output::{self, Format, Listing};
use super::show::time;
use super::{ExitError, Global};
use crate::domain::ids::CustomerId;
use crate::store::Session;
use crate::store::read::AccountView;

/// Show what a customer can spend now, by credit type
///
/// Grants outside their dates do not count, whether or not the entry for it is written yet. A customer without any
/// credits has no line. Exits with 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The customer, as the billing system names it
    #[arg(value_name = "CUSTOMER", value_parser = CustomerId::parse)]
    pub customer: CustomerId,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// Shows what a customer can spend.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    output::show(&ask(global, async |session| answer(session, args).await)?)
}

/// What a customer can spend, as text.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub async fn answer(session: &mut Session, args: &Args) -> Result<String, ExitError> {
    let view = session.snapshot().await?.balances(&args.customer).await?;
    if view.is_none() {
        output::complain(&format!("note: no message ever named the customer {}", args.customer));
    }
    Ok(listing(view.as_ref()).render(args.format))
}

fn listing(view: Option<&AccountView>) -> Listing {
    let mut listing = Listing::new(&["credit_type", "balance", "as_of"]);
    for (view, (kind, pool)) in view.iter().flat_map(|view| view.account.pools.iter().map(move |pool| (view, pool))) {
        listing.add([kind.to_string(), pool.balance.to_string(), time(view.now)].map(Some));
    }
    listing
}
