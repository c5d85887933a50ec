//! The event of a ledger entry: a structured `CloudEvents` event that stands alone.
//!
//! Its bytes are a function of the entry's row and of the terms in its grant's first row, neither of which ever
//! changes, so a repetition is identical. Called by `relay`, which publishes them in order of position.

use std::fmt::Display;

use chrono::SecondsFormat;
use serde::Serialize;

use crate::domain::amounts::{Money, power_of_ten, to_units};
use crate::domain::ids::Reason;
use crate::domain::ledger::{Cause, Entry, GrantAfter, LedgerEntry, ShownTerms, Terms};
use crate::domain::message::Timestamp;
use crate::domain::rules::Category;

/// The content type of every event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The `type` of every event, and the first word of its routing key.
pub const EVENT_TYPE: &str = "ledger-changed";

/// Decimal places of the price per credit; what lies beyond is dropped.
const PER_CREDIT_PLACES: u32 = 12;

/// One event, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The entry's id: the event's `id` and the AMQP message id.
    pub message_id: String,
    /// `ledger-changed.<entry type>`
    pub routing_key: String,
    /// The JSON body, of [`CONTENT_TYPE`].
    pub body: Vec<u8>,
}

/// The event of `entry`, sent by `source` (such as `/credits`).
///
/// `terms` are those of the grant that the entry touches, from the grant's first entry; where they are `None`, the
/// entry's own are taken. Without either the event names the grant by its id, remaining and status alone.
#[must_use]
pub fn event(entry: &LedgerEntry, terms: Option<&ShownTerms>, source: &str) -> Event {
    let said = &entry.entry;
    let recorded_at = time(entry.recorded_at);
    let body = Body {
        specversion: "1.0",
        id: entry.entry_id.to_string(),
        source,
        kind: EVENT_TYPE,
        subject: said.customer_id.as_str(),
        time: &recorded_at,
        datacontenttype: "application/json",
        data: data(
            entry.position,
            said,
            terms.copied().or_else(|| said.terms.as_deref().map(Terms::shown)).as_ref(),
            &recorded_at,
        ),
    };
    Event {
        message_id: body.id.clone(),
        routing_key: format!("{EVENT_TYPE}.{}", said.kind.name()),
        body: super::json_text(&body).into_bytes(),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: &'a str,
    time: &'a str,
    datacontenttype: &'static str,
    data: Data<'a>,
}

/// Counters of 64 bits and decimals are texts: readers that hold numbers as floats would round them.
#[derive(Serialize)]
struct Data<'a> {
    position: String,
    customer_id: &'a str,
    credit_type: &'a str,
    sequence: String,
    #[serde(rename = "type")]
    kind: &'static str,
    delta: String,
    end_balance: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shortfall: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<Grant>,
    actor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    cause: CauseText<'a>,
    effective_at: String,
    recorded_at: &'a str,
}

#[derive(Serialize)]
struct Grant {
    #[serde(rename = "grant_id")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    remaining: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_basis: Option<CostBasis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    status: &'static str,
}

#[derive(Serialize)]
struct CostBasis {
    total: String,
    currency: &'static str,
    per_credit: String,
}

#[derive(Serialize)]
struct CauseText<'a> {
    source: &'a str,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

fn data<'a>(position: u64, said: &'a Entry, terms: Option<&ShownTerms>, recorded_at: &'a str) -> Data<'a> {
    Data {
        position: position.to_string(),
        customer_id: said.customer_id.as_str(),
        credit_type: said.credit_type.as_str(),
        sequence: said.sequence.to_string(),
        kind: said.kind.name(),
        delta: said.delta.to_string(),
        end_balance: said.end_balance.to_string(),
        requested: said.demand.map(|demand| demand.requested.to_string()),
        shortfall: said.demand.map(|demand| demand.shortfall.to_string()),
        grant: said.grant.as_ref().map(|after| grant(after, terms)),
        actor: said.actor.as_str(),
        reason: said.reason.as_ref().map(Reason::as_str),
        cause: cause(&said.cause),
        effective_at: time(said.effective_at),
        recorded_at,
    }
}

fn grant(after: &GrantAfter, terms: Option<&ShownTerms>) -> Grant {
    Grant {
        id: after.grant_id.to_string(),
        category: terms.map(|terms| terms.category.name()),
        priority: terms.map(|terms| terms.priority.value()),
        amount: terms.map(|terms| terms.amount.to_string()),
        remaining: after.remaining.to_string(),
        cost_basis: terms.and_then(cost_basis),
        effective_at: terms.map(|terms| time(terms.effective_at)),
        expires_at: terms.and_then(|terms| terms.expires_at).map(time),
        status: after.status.name(),
    }
}

fn cost_basis(terms: &ShownTerms) -> Option<CostBasis> {
    let cost = terms.cost.filter(|_| terms.category == Category::Paid)?;
    let per_credit = per_credit(cost, terms)?;
    Some(CostBasis { total: cost.to_string(), currency: cost.currency().code(), per_credit })
}

/// Money per credit to [`PER_CREDIT_PLACES`], toward zero, reckoned in integers; `None` for a grant of nothing.
fn per_credit(cost: Money, terms: &ShownTerms) -> Option<String> {
    let amount = terms.amount.value().normalize();
    let credits = to_units(amount, amount.scale()) * power_of_ten(cost.currency().places());
    let money = cost.minor() * power_of_ten(amount.scale()) * power_of_ten(PER_CREDIT_PLACES);
    money.checked_div(&credits).map(|units| plain(&units))
}

/// The decimal of `units` times `10^-PER_CREDIT_PLACES`, without trailing zeros; wider than a `Decimal` if need be.
fn plain(units: &impl Display) -> String {
    let places = PER_CREDIT_PLACES as usize;
    let digits = format!("{units:0>width$}", units = units.to_string(), width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    let part = part.trim_end_matches('0');
    if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
}

fn cause(cause: &Cause) -> CauseText<'_> {
    CauseText { source: cause.source.as_str(), id: cause.id.as_str(), kind: &cause.kind }
}

/// RFC 3339 in UTC with `Z`, at most six places, no trailing zeros.
fn time(instant: Timestamp) -> String {
    let full = instant.to_rfc3339_opts(SecondsFormat::Micros, true);
    let short = full.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{short}Z")
}
