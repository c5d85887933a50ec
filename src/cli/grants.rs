//! `credits grants`: what a customer was granted, and what became of it.

use std::collections::HashMap;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::Value;

use super::ask::ask;
use super::output::{self, Format, Listing};
use super::show::{self, time};
use super::{ExitError, Global};
use crate::domain::account::Grant;
use crate::domain::amounts::Credits;
use crate::domain::ids::{CreditType, CustomerId, GrantId};
use crate::domain::ledger::{Delta, GrantStatus};
use crate::domain::life::Life;
use crate::domain::message::Timestamp;
use crate::store::Session;
use crate::store::read::AccountView;

/// Show a customer's grants in the order in which they are used
///
/// The original amount against what remains, and what became of the rest: used, revoked (less what was reinstated) and
/// expired; these four come to the amount. --wide adds priority, category, cost, who granted it and why, the grants
/// that it replaces and that replaced it, and its life: when it was scheduled, became spendable, was first and last
/// used, revoked, and expired. JSON has everything. Exits with 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The customer, as the billing system names it
    #[arg(value_name = "CUSTOMER", value_parser = CustomerId::parse)]
    pub customer: CustomerId,
    /// Only grants of this credit type
    #[arg(long, value_name = "NAME", value_parser = CreditType::parse)]
    pub credit_type: Option<CreditType>,
    /// Only grants that stand so
    #[arg(long, value_name = "STATUS", value_parser = statuses())]
    pub status: Option<GrantStatus>,
    /// Show every column; instants in full
    #[arg(long)]
    pub wide: bool,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

fn statuses() -> impl TypedValueParser<Value = GrantStatus> {
    let names = PossibleValuesParser::new(GrantStatus::ALL.map(GrantStatus::name));
    names.try_map(|name| GrantStatus::from_name(&name).ok_or("is no status"))
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
    let mut snapshot = session.snapshot().await?;
    let view = snapshot.account(&args.customer).await?;
    if view.is_none() {
        output::complain(&format!("note: no message ever named the customer {}", args.customer));
    }
    let mut lives = snapshot.lives(&args.customer).await?;
    let told: Vec<Told<'_>> = view.iter().flat_map(|view| told(view, &mut lives, args)).collect();
    Ok(if args.format.json {
        output::pretty(&told.iter().map(Told::json).collect())
    } else if args.wide {
        wide(&told).render(args.format)
    } else {
        narrow(&told).render(args.format)
    })
}

/// A grant with its life, at the account's `now`.
struct Told<'v> {
    grant: &'v Grant,
    life: Life,
    status: GrantStatus,
    now: Timestamp,
}

/// The grants that are asked for, in the order of use.
fn told<'v>(view: &'v AccountView, lives: &mut HashMap<GrantId, Life>, args: &Args) -> Vec<Told<'v>> {
    for entry in &view.unwritten {
        if let Some(touched) = entry.grant {
            lives.entry(touched.grant_id).or_default().take(entry);
        }
    }
    let all = view.grants().into_iter().map(|grant| Told {
        grant,
        life: lives.get(&grant.terms.grant_id).copied().unwrap_or_default(),
        status: grant.status(view.now),
        now: view.now,
    });
    all.filter(|told| args.credit_type.as_ref().is_none_or(|wanted| *wanted == told.grant.terms.credit_type))
        .filter(|told| args.status.is_none_or(|wanted| wanted == told.status))
        .collect()
}

/// What fits into a terminal. The dates are days; what is nothing is empty.
fn narrow(told: &[Told<'_>]) -> Listing {
    let mut listing = Listing::new(&[
        "grant_id",
        "credit_type",
        "status",
        "amount",
        "remaining",
        "used",
        "revoked",
        "expired",
        "starts",
        "ends",
    ]);
    let day = |at: Timestamp| at.format("%Y-%m-%d").to_string();
    for one in told {
        let terms = &one.grant.terms;
        let dates = [Some(day(terms.effective_at)), terms.expires_at.map(day)];
        listing.add(one.amounts().into_iter().chain(dates));
    }
    listing
}

fn wide(told: &[Told<'_>]) -> Listing {
    let mut listing = Listing::new(&[
        "grant_id",
        "credit_type",
        "status",
        "amount",
        "remaining",
        "used",
        "revoked",
        "expired",
        "category",
        "priority",
        "cost",
        "effective_at",
        "expires_at",
        "scheduled_at",
        "granted_at",
        "first_used_at",
        "last_used_at",
        "revoked_at",
        "expired_at",
        "replaces",
        "replaced_by",
        "price_id",
        "actor",
        "shortfall",
        "reason",
    ]);
    for one in told {
        let (grant, terms) = (one.grant, &one.grant.terms);
        let begins = [
            Some(terms.category.name().to_owned()),
            Some(terms.priority.value().to_string()),
            terms.cost.map(show::money),
            Some(time(terms.effective_at)),
            terms.expires_at.map(time),
        ];
        let ends = [
            terms.replaces.map(|other| other.to_string()),
            grant.replaced_by.map(|other| other.to_string()),
            terms.price_id.as_ref().map(ToString::to_string),
            Some(terms.actor.to_string()),
            show::shortfall(grant),
            terms.reason.as_ref().map(|reason| reason.as_str().to_owned()),
        ];
        let instants = one.instants().map(|(_, at)| at.map(time));
        listing.add(one.amounts().into_iter().chain(begins).chain(instants).chain(ends));
    }
    listing
}

impl Told<'_> {
    fn amounts(&self) -> [Option<String>; 8] {
        let some = |credits: Credits| (!credits.is_zero()).then(|| credits.to_string());
        let revoked = self.grant.revoked;
        let terms = &self.grant.terms;
        [
            Some(terms.grant_id.to_string()),
            Some(terms.credit_type.to_string()),
            Some(self.status.name().to_owned()),
            Some(terms.amount.to_string()),
            Some(self.grant.remaining.to_string()),
            some(self.life.used),
            (revoked != Delta::ZERO).then(|| revoked.to_string()),
            some(self.life.expired),
        ]
    }

    fn instants(&self) -> [(&'static str, Option<Timestamp>); 6] {
        [
            ("scheduled_at", self.life.scheduled_at),
            ("granted_at", self.life.granted_at),
            ("first_used_at", self.life.first_used_at),
            ("last_used_at", self.life.last_used_at),
            ("revoked_at", self.life.revoked_at),
            ("expired_at", self.life.expired_at),
        ]
    }

    fn json(&self) -> Value {
        let mut json = show::grant_json(self.grant, self.now);
        json["used"] = self.life.used.to_string().into();
        json["revoked"] = self.grant.revoked.to_string().into();
        json["expired"] = self.life.expired.to_string().into();
        for (name, at) in self.instants().into_iter().filter_map(|(name, at)| Some((name, at?))) {
            json[name] = time(at).into();
        }
        json
    }
}
