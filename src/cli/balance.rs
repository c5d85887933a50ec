//! `credits balance`: what a customer can spend, now or at any instant.

use num_bigint::BigInt;
use serde_json::{Value, json};

use super::ask::ask;
use super::output::{self, Format, Listing};
use super::show::{self, time};
use super::when::instant;
use super::{ExitError, Global};
use crate::domain::amounts::{Currency, Money, with_places};
use crate::domain::held::{Held, Holding, Holdings};
use crate::domain::ids::{CreditType, CustomerId};
use crate::domain::ledger::GrantStatus;
use crate::domain::message::Timestamp;
use crate::store::Session;

/// How many grants of a credit type a table shows unless more are asked for.
const SHOWN: usize = 20;

/// Show what a customer can spend, now or at an instant
///
/// By credit type: the balance that can be spent; what is scheduled, that is, what remains of grants that start later;
/// and deferred revenue, the worth of what remains of paid grants at cost basis, each share rounded toward zero to the
/// currency's places. Below that the grants that hold something, in the order in which they are used.
/// Grants outside their dates do not count, whether or not the entry for it is written yet. A customer without any
/// credits has no line. With --at the answer is worked out from the ledger: what this verb said at that instant. An
/// instant in the future is shown as if nothing else happened until then. Exits with 69 if the database cannot be
/// reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The customer, as the billing system names it
    #[arg(value_name = "CUSTOMER", value_parser = CustomerId::parse)]
    pub customer: CustomerId,
    /// At this instant, such as `2026-01-31` (its first moment, in UTC) or `2026-01-31T12:00:00Z`; otherwise now
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// At most so many grants of each credit type; otherwise 20 in a table and all in JSON
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<usize>,
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
    let Some(held) = session.snapshot().await?.held(&args.customer, args.at).await? else {
        output::complain(&format!("note: no message ever named the customer {}", args.customer));
        return Ok(if args.format.json { "[]\n".to_owned() } else { pools(None).render(args.format) });
    };
    if held.holdings.at > held.now {
        output::complain("note: that is in the future: shown as if nothing else happened until then");
    }
    if args.format.json {
        return Ok(output::pretty(&all_json(&held.holdings, args.limit.unwrap_or(usize::MAX))));
    }
    let limit = args.limit.unwrap_or(SHOWN);
    let mut text = pools(Some(&held.holdings)).render(args.format);
    let left_out: usize = held.holdings.pools.values().map(|pool| pool.grants.len().saturating_sub(limit)).sum();
    if limit > 0 && held.holdings.pools.values().any(|pool| !pool.grants.is_empty()) {
        let grants = grants(&held.holdings, limit).render(args.format);
        text += &show::section("grants, in the order in which they are used", &grants);
        if left_out > 0 {
            output::complain(&format!("note: {left_out} more grants are not shown: --limit"));
        }
    }
    Ok(text)
}

fn pools(holdings: Option<&Holdings>) -> Listing {
    let mut listing = Listing::new(&["credit_type", "balance", "scheduled", "deferred", "as_of"]);
    for (at, (kind, pool)) in holdings.iter().flat_map(|held| held.pools.iter().map(|pool| (held.at, pool))) {
        let deferred: Vec<String> = deferred(pool).map(|(amount, currency)| format!("{amount} {currency}")).collect();
        listing.add([
            Some(kind.to_string()),
            Some(pool.spendable.to_string()),
            Some(pool.scheduled.to_string()),
            Some(deferred.join(", ")),
            Some(time(at)),
        ]);
    }
    listing
}

/// Amounts with the currency's places.
fn deferred(pool: &Holding) -> impl Iterator<Item = (String, Currency)> {
    let amount = |(currency, units): (&Currency, &BigInt)| (with_places(units, currency.places()), *currency);
    pool.deferred.iter().map(amount)
}

fn grants(holdings: &Holdings, limit: usize) -> Listing {
    let mut listing = Listing::new(&[
        "credit_type",
        "grant_id",
        "remaining",
        "status",
        "priority",
        "category",
        "effective_at",
        "expires_at",
        "worth",
    ]);
    let pools = holdings.pools.iter();
    for (kind, grant) in pools.flat_map(|(kind, pool)| pool.grants.iter().take(limit).map(move |grant| (kind, grant))) {
        listing.add([
            Some(kind.to_string()),
            Some(grant.grant_id.to_string()),
            Some(grant.remaining.to_string()),
            Some(status(grant, holdings.at).to_owned()),
            Some(grant.terms.priority.value().to_string()),
            Some(grant.terms.category.name().to_owned()),
            Some(time(grant.terms.effective_at)),
            grant.terms.expires_at.map(time),
            grant.worth().map(show::money),
        ]);
    }
    listing
}

fn status(grant: &Held, at: Timestamp) -> &'static str {
    if grant.is_scheduled(at) { GrantStatus::Scheduled.name() } else { GrantStatus::Active.name() }
}

fn all_json(holdings: &Holdings, limit: usize) -> Value {
    let pool = |(kind, pool): (&CreditType, &Holding)| {
        let grants = pool.grants.iter().take(limit).map(|grant| grant_json(grant, holdings.at));
        let deferred =
            deferred(pool).map(|(amount, currency)| json!({ "amount": amount, "currency": currency.code() }));
        let left_out = pool.grants.len().saturating_sub(limit);
        show::compact(json!({
            "credit_type": kind.as_str(),
            "balance": pool.spendable.to_string(),
            "scheduled": pool.scheduled.to_string(),
            "deferred": deferred.collect::<Value>(),
            "as_of": time(holdings.at),
            "grants": grants.collect::<Value>(),
            "grants_left_out": (left_out > 0).then(|| left_out.to_string()),
        }))
    };
    holdings.pools.iter().map(pool).collect()
}

fn grant_json(grant: &Held, at: Timestamp) -> Value {
    let money = |money: Money| json!({ "amount": money.to_string(), "currency": money.currency().code() });
    show::compact(json!({
        "grant_id": grant.grant_id.to_string(),
        "status": status(grant, at),
        "remaining": grant.remaining.to_string(),
        "amount": grant.terms.amount.to_string(),
        "category": grant.terms.category.name(),
        "priority": grant.terms.priority.value(),
        "worth": grant.worth().map(money),
        "effective_at": time(grant.terms.effective_at),
        "expires_at": grant.terms.expires_at.map(time),
    }))
}
