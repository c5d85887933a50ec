//! `credits grant`: credits by hand.

use anyhow::anyhow;
use clap::ValueEnum;
use rust_decimal::Decimal;
use serde_json::json;

use super::adjust::{self, Common, Wanted, length, priority};
use super::show::time;
use super::when::instant;
use super::{ExitError, Global};
use crate::domain::amounts::{Credits, Currency, Money, parse_plain};
use crate::domain::ids::{CreditType, CustomerId};
use crate::domain::message::Timestamp;
use crate::domain::rules::Priority;

/// What a grant is said to be for where nobody says it.
const REASON: &str = "granted by hand";

/// Grant credits by hand
///
/// Shows what would come of it (credits, total cost, dates, the balance before and after) and asks; --yes is for scripts.
/// Then it is taken as a `credit-adjustment` message is, by the same keys and into the same ledger, and what was written
/// is shown. With --idempotency-key it is done once, however often and from how many places at once it is run: the
/// second run prints the result of the first and exits with 0; the same key with another content is refused.
///
/// A grant is never edited. To change its dates or its priority use `credits regrant`; to change anything else revoke it
/// and grant anew.
///
/// Exits with 1 if it is refused or nobody says yes; nothing is written then. With 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The customer, as the billing system names it
    #[arg(value_name = "CUSTOMER", value_parser = CustomerId::parse)]
    pub customer: CustomerId,
    /// How many credits
    #[arg(value_name = "AMOUNT", value_parser = credits)]
    pub amount: Credits,
    /// The credit type, one of the rules file's
    #[arg(long = "type", value_name = "NAME", value_parser = CreditType::parse)]
    pub credit_type: CreditType,
    /// Whether somebody paid for them
    #[arg(long, value_name = "CATEGORY")]
    pub category: Paid,
    /// What one credit cost: the total cost is this times the amount, rounded down to the currency's places
    #[arg(long, value_name = "PRICE", value_parser = parse_plain, requires = "currency")]
    pub unit_cost: Option<Decimal>,
    /// The currency of the cost, such as USD
    #[arg(long, value_name = "CODE", value_parser = Currency::parse, requires = "unit_cost")]
    pub currency: Option<Currency>,
    /// How it was paid: words for people
    #[arg(long, value_name = "TEXT")]
    pub payment_method: Option<String>,
    /// 0 to 100, lower is used first; 50 if absent
    #[arg(long, value_name = "NUMBER", value_parser = priority)]
    pub priority: Option<Priority>,
    /// When it starts, such as `2027-01-31` or `2027-01-31T12:00:00Z`; now if absent
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub effective_at: Option<Timestamp>,
    /// When it ends; never if absent
    #[arg(long, value_name = "TIME", value_parser = instant, conflicts_with = "expires_after")]
    pub expires_at: Option<Timestamp>,
    /// How long after its start it ends, such as `365d`, or `never`
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    pub expires_after: Option<String>,
    /// Why: words for people
    #[arg(long, value_name = "TEXT", default_value = REASON)]
    pub reason: String,
    /// Who, under which key, and whether to ask
    #[command(flatten)]
    pub common: Common,
}

/// Whether somebody paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Paid {
    /// Somebody paid for the credits
    Paid,
    /// Nobody did: they have no cost
    Promotional,
}

fn credits(text: &str) -> Result<Credits, String> {
    let amount = parse_plain(text).map_err(|error| error.to_string())?;
    Credits::stored(amount).filter(|amount| !amount.is_zero()).ok_or_else(|| "is not above zero".to_owned())
}

/// Grants credits.
///
/// # Errors
/// [`ExitError`], as its numbers say; [`ExitError::Failed`] if it is refused or nobody says yes.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    let wanted = wanted(args)?;
    adjust::run(global, &args.common, async |_| Ok(wanted))
}

/// What the arguments ask for.
///
/// # Errors
/// [`ExitError::Failed`] for a cost of what nobody paid for, and for one from 1e15 on.
pub fn wanted(args: &Args) -> Result<Wanted, ExitError> {
    let cost = args.unit_cost.zip(args.currency).map(|(unit, currency)| {
        if args.category == Paid::Promotional {
            return Err(ExitError::Failed(anyhow!(
                "--unit-cost is for --category paid: a promotional grant costs nothing"
            )));
        }
        let total = Money::priced(unit, args.amount, currency);
        total.ok_or_else(|| ExitError::Failed(anyhow!("the total cost is not below 1000000000000000")))
    });
    let mut fields = adjust::fields(&json!({
        "action": "grant",
        "amount": args.amount.to_string(),
        "category": match args.category { Paid::Paid => "paid", Paid::Promotional => "promotional" },
        "payment_method": args.payment_method,
        "priority": args.priority.map(Priority::value),
        "effective_at": args.effective_at.map(time),
        "expires_at": args.expires_at.map(time),
        "expires_after": args.expires_after,
        "reason": args.reason,
    }));
    if let Some(cost) = cost.transpose()? {
        let basis = json!({ "total": cost.to_string(), "currency": cost.currency().code() });
        fields.insert("cost_basis".to_owned(), basis);
    }
    Ok(Wanted { customer: args.customer.clone(), credit_type: args.credit_type.clone(), fields })
}
