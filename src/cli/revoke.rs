//! `credits revoke`: credits taken back by hand.

use serde_json::json;

use super::adjust::{self, Common, Wanted, grant_id, grant_of};
use super::{ExitError, Global};
use crate::domain::amounts::parse_plain;
use crate::domain::ids::{CreditType, CustomerId, GrantId};
use crate::store::Session;

/// Take credits back by hand
///
/// From one grant (so much, or all that remains), or with --all everything that is open of a customer's credit type, what
/// is scheduled included. What was used stays used: if less remains than --amount says, that is taken, and the ledger
/// says what was not there. What refunds ask back is reckoned apart from it.
///
/// Shows what would come of it and asks; --yes is for scripts. With --idempotency-key it is done once: the second run
/// prints the result of the first; the same key with another content is refused.
///
/// There is no edit of a grant: revoke it and grant anew, or, for other dates or another priority of what remains, use
/// `credits regrant`, which does both in one.
///
/// Exits with 1 if it is refused, nothing remains, or nobody says yes; nothing is written then. With 69 if the database
/// cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The grant, as `credits grants CUSTOMER` shows it
    #[arg(value_name = "GRANT", value_parser = grant_id, required_unless_present = "all", conflicts_with = "all")]
    pub grant: Option<GrantId>,
    /// Take so many credits back, instead of all that remain
    #[arg(long, value_name = "AMOUNT", value_parser = amount, requires = "grant")]
    pub amount: Option<String>,
    /// The customer of --all
    #[arg(long, value_name = "CUSTOMER", value_parser = CustomerId::parse, requires = "all")]
    pub customer: Option<CustomerId>,
    /// The credit type of --all
    #[arg(long = "type", value_name = "NAME", value_parser = CreditType::parse, requires = "all")]
    pub credit_type: Option<CreditType>,
    /// All that is open of a customer's credit type
    #[arg(long, requires = "customer", requires = "credit_type")]
    pub all: bool,
    /// Why: words for people
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who, under which key, and whether to ask
    #[command(flatten)]
    pub common: Common,
}

fn amount(text: &str) -> Result<String, String> {
    let amount = parse_plain(text).map_err(|error| error.to_string())?;
    if amount.is_zero() { Err("is not above zero".to_owned()) } else { Ok(amount.to_string()) }
}

/// Takes credits back.
///
/// # Errors
/// [`ExitError`], as its numbers say; [`ExitError::Failed`] if it is refused or nobody says yes.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    adjust::run(global, &args.common, async |session| wanted(session, args).await)
}

/// What the arguments ask for.
///
/// # Errors
/// [`ExitError::Failed`] if there is no such grant.
pub async fn wanted(session: &mut Session, args: &Args) -> Result<Wanted, ExitError> {
    let fields = adjust::fields(&json!({
        "action": "revoke",
        "grant_id": args.grant.map(|grant| grant.to_string()),
        "amount": args.amount,
        "reason": args.reason,
    }));
    match (args.grant, &args.customer, &args.credit_type) {
        (None, Some(customer), Some(credit_type)) => {
            Ok(Wanted { customer: customer.clone(), credit_type: credit_type.clone(), fields })
        }
        (grant, ..) => {
            let terms = grant_of(session, grant.unwrap_or(GrantId(uuid::Uuid::nil()))).await?.terms;
            Ok(Wanted { customer: terms.customer_id.clone(), credit_type: terms.credit_type.clone(), fields })
        }
    }
}
