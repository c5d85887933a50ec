//! How entries, grants and refused messages look, wherever a verb shows them.
//!
//! A table has what people look for; JSON has everything, under the names that published events use.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::output::Listing;
use crate::domain::account::Grant;
use crate::domain::amounts::Money;
use crate::domain::ids::{PriceId, Reason, RuleName, RulesHash};
use crate::domain::ledger::{Cause, LedgerEntry};
use crate::domain::message::{Name, Timestamp};
use crate::store::read::{AccountView, Refused, Trace};

/// RFC 3339 in UTC with `Z`, without trailing zeros.
pub(super) fn time(instant: Timestamp) -> String {
    let full = instant.to_rfc3339_opts(SecondsFormat::Micros, true);
    let short = full.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{short}Z")
}

/// `49.00 EUR`.
pub(super) fn money(amount: Money) -> String {
    format!("{amount} {}", amount.currency())
}

/// An object without what is absent.
pub(super) fn compact(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}

/// What else a table of entries tells.
pub(super) enum Besides<'p> {
    /// Nothing: they are one customer's.
    Nothing,
    /// Whose they are.
    Customers,
    /// Of each whether its event is out.
    Published(&'p dyn Fn(&LedgerEntry) -> bool),
}

/// Entries as a table.
pub(super) fn entries(entries: &[LedgerEntry], besides: &Besides<'_>) -> Listing {
    let mut columns = vec![
        "position",
        "recorded_at",
        "type",
        "credit_type",
        "delta",
        "end_balance",
        "grant_id",
        "remaining",
        "status",
        "requested",
        "shortfall",
        "actor",
        "cause",
        "reason",
    ];
    match besides {
        Besides::Nothing => {}
        Besides::Customers => columns.insert(1, "customer_id"),
        Besides::Published(_) => columns.push("published"),
    }
    let mut listing = Listing::new(&columns);
    for line in entries {
        let entry = &line.entry;
        let mut cells = vec![
            Some(line.position.to_string()),
            Some(time(line.recorded_at)),
            Some(entry.kind.name().to_owned()),
            Some(entry.credit_type.to_string()),
            Some(entry.delta.to_string()),
            Some(entry.end_balance.to_string()),
            entry.grant.map(|grant| grant.grant_id.to_string()),
            entry.grant.map(|grant| grant.remaining.to_string()),
            entry.grant.map(|grant| grant.status.name().to_owned()),
            entry.demand.map(|demand| demand.requested.to_string()),
            entry.demand.map(|demand| demand.shortfall.to_string()),
            Some(entry.actor.to_string()),
            Some(entry.cause.id.to_string()),
            entry.reason.as_ref().map(|reason| reason.as_str().to_owned()),
        ];
        match besides {
            Besides::Nothing => {}
            Besides::Customers => cells.insert(1, Some(entry.customer_id.to_string())),
            Besides::Published(is_published) => {
                cells.push(Some(if is_published(line) { "yes" } else { "no" }.to_owned()));
            }
        }
        listing.add(cells);
    }
    listing
}

/// An entry with all that it says.
pub(super) fn entry_json(line: &LedgerEntry) -> Value {
    let entry = &line.entry;
    let grant = entry.grant.map(|grant| {
        json!({
            "grant_id": grant.grant_id.to_string(),
            "remaining": grant.remaining.to_string(),
            "status": grant.status.name(),
        })
    });
    compact(json!({
        "position": line.position.to_string(),
        "entry_id": line.entry_id.to_string(),
        "customer_id": entry.customer_id.as_str(),
        "credit_type": entry.credit_type.as_str(),
        "sequence": entry.sequence.to_string(),
        "type": entry.kind.name(),
        "delta": entry.delta.to_string(),
        "end_balance": entry.end_balance.to_string(),
        "requested": entry.demand.map(|demand| demand.requested.to_string()),
        "shortfall": entry.demand.map(|demand| demand.shortfall.to_string()),
        "grant": grant,
        "actor": entry.actor.as_str(),
        "reason": entry.reason.as_ref().map(Reason::as_str),
        "cause": cause_json(&entry.cause),
        "effective_at": time(entry.effective_at),
        "recorded_at": time(line.recorded_at),
        "counts_at": time(entry.counts_at),
    }))
}

/// An entry, and whether its event is out.
pub(super) fn published_json(line: &LedgerEntry, trace: &Trace) -> Value {
    let mut json = entry_json(line);
    json["published"] = trace.is_published(line).into();
    json
}

fn cause_json(cause: &Cause) -> Value {
    json!({ "source": cause.source.as_str(), "id": cause.id.as_str(), "type": cause.kind.as_ref() })
}

/// Grants as a table, in the order in which they are used.
pub(super) fn grants(views: &[AccountView]) -> Listing {
    let mut listing = Listing::new(&[
        "grant_id",
        "credit_type",
        "status",
        "remaining",
        "amount",
        "category",
        "priority",
        "cost",
        "effective_at",
        "expires_at",
        "price_id",
        "actor",
        "shortfall",
        "reason",
    ]);
    for (view, grant) in each(views) {
        let terms = &grant.terms;
        listing.add([
            Some(terms.grant_id.to_string()),
            Some(terms.credit_type.to_string()),
            Some(grant.status(view.now).name().to_owned()),
            Some(grant.remaining.to_string()),
            Some(terms.amount.to_string()),
            Some(terms.category.name().to_owned()),
            Some(terms.priority.value().to_string()),
            terms.cost.map(money),
            Some(time(terms.effective_at)),
            terms.expires_at.map(time),
            terms.price_id.as_ref().map(ToString::to_string),
            Some(terms.actor.to_string()),
            shortfall(grant),
            terms.reason.as_ref().map(|reason| reason.as_str().to_owned()),
        ]);
    }
    listing
}

/// Grants with all that they are, in the order in which they are used.
pub(super) fn grants_json(views: &[AccountView]) -> Value {
    each(views).map(|(view, grant)| grant_json(grant, view.now)).collect()
}

fn each(views: &[AccountView]) -> impl Iterator<Item = (&AccountView, &Grant)> {
    views.iter().flat_map(|view| view.grants().into_iter().map(move |grant| (view, grant)))
}

/// What refunds asked for and did not get, where there is such a thing.
pub(super) fn shortfall(grant: &Grant) -> Option<String> {
    let open = grant.open_shortfall();
    (!open.is_zero()).then(|| open.to_string())
}

/// A grant with all that it is at `now`.
pub(super) fn grant_json(grant: &Grant, now: Timestamp) -> Value {
    let terms = &grant.terms;
    compact(json!({
        "grant_id": terms.grant_id.to_string(),
        "customer_id": terms.customer_id.as_str(),
        "credit_type": terms.credit_type.as_str(),
        "status": grant.status(now).name(),
        "remaining": grant.remaining.to_string(),
        "amount": terms.amount.to_string(),
        "category": terms.category.name(),
        "priority": terms.priority.value(),
        "cost": terms.cost.map(|cost| json!({ "total": cost.to_string(), "currency": cost.currency().code() })),
        "effective_at": time(terms.effective_at),
        "expires_at": terms.expires_at.map(time),
        "price_id": terms.price_id.as_ref().map(PriceId::as_str),
        "rule": terms.rule.as_ref().map(RuleName::as_str),
        "rules_sha256": terms.rules_hash.map(|hash| hash.to_string()),
        "replaces": terms.replaces.map(|grant| grant.to_string()),
        "replaced_by": grant.replaced_by.map(|grant| grant.to_string()),
        "asked": grant.asked.to_string(),
        "taken": grant.taken.to_string(),
        "shortfall": shortfall(grant),
        "actor": terms.actor.as_str(),
        "reason": terms.reason.as_ref().map(Reason::as_str),
        "cause": cause_json(&terms.cause),
    }))
}

/// Refused messages.
pub(super) fn refused(letters: &[Refused]) -> Listing {
    let mut listing = Listing::new(&[
        "number",
        "state",
        "code",
        "queue",
        "type",
        "source",
        "message_id",
        "seen",
        "first_seen_at",
        "last_seen_at",
        "reason",
    ]);
    for letter in letters {
        listing.add([
            Some(letter.number.to_string()),
            Some(letter.state.clone()),
            Some(letter.code.clone()),
            Some(letter.queue.clone()),
            letter.kind.clone(),
            letter.source.clone(),
            letter.message_id.clone(),
            Some(letter.seen.to_string()),
            Some(time(letter.first_seen_at)),
            Some(time(letter.last_seen_at)),
            Some(letter.reason.clone()),
        ]);
    }
    listing
}

/// Names of a purchase: `payment pi_1, other cs_1`.
pub(super) fn names<'n>(names: impl IntoIterator<Item = &'n Name>) -> String {
    let shown = names.into_iter().map(|name| format!("{} {}", name.kind(), name.value()));
    shown.collect::<Vec<_>>().join(", ")
}

/// A rules file's hash as tables show it.
pub(super) fn short_hash(hash: RulesHash) -> String {
    hash.to_string().chars().take(12).collect()
}

/// A heading, and what stands below it.
pub(super) fn section(heading: &str, below: &str) -> String {
    format!("\n{heading}\n\n{below}")
}

/// One name and value a line, the values under each other.
pub(super) fn fields(pairs: &[(&str, Option<String>)]) -> String {
    let present: Vec<(&str, &String)> =
        pairs.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?))).collect();
    let width = present.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, value): (&str, &String)| format!("{name:width$}  {}\n", super::output::printable(value));
    present.into_iter().map(line).collect()
}
