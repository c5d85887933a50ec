//! The event of a ledger entry: a structured `CloudEvents` event that stands alone.
//!
//! Its bytes are a function of the entry's row and of the terms in its grant's first row, neither of which ever
//! changes, so a repetition is identical. Called by `relay`, which publishes them in order of position.

use std::fmt::{self, Display};

use chrono::{Datelike, SecondsFormat, Timelike};
use num_bigint::BigInt;
use serde::{Serialize, Serializer};

use crate::domain::amounts::{Credits, Money, power_of_ten, to_units};
use crate::domain::ids::{GrantId, Reason};
use crate::domain::ledger::{Cause, Delta, GrantAfter, LedgerEntry, ShownTerms, Terms};
use crate::domain::message::Timestamp;
use crate::domain::rules::Category;

/// The content type of every event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The `type` of every event, and the first word of its routing key.
pub const EVENT_TYPE: &str = "ledger-changed";

/// Room for an event without growing, in bytes.
const EVENT_ROOM: usize = 1024;

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
    let message_id = entry.entry_id.to_string();
    let terms = terms.copied().or_else(|| said.terms.as_deref().map(Terms::shown));
    let body = Body {
        specversion: "1.0",
        id: &message_id,
        source,
        kind: EVENT_TYPE,
        subject: said.customer_id.as_str(),
        time: instant(entry.recorded_at),
        datacontenttype: "application/json",
        data: data(entry, terms.as_ref()),
    };
    let body = super::json_bytes(&body, EVENT_ROOM).unwrap_or_default();
    Event { routing_key: [EVENT_TYPE, ".", said.kind.name()].concat(), body, message_id }
}

/// Anything that can be shown, as a JSON text. Written where it goes, without a text of its own.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: &'a str,
    time: Shown<Instant>,
    datacontenttype: &'static str,
    data: Data<'a>,
}

/// Counters of 64 bits and decimals are texts: readers that hold numbers as floats would round them.
#[derive(Serialize)]
struct Data<'a> {
    position: Shown<u64>,
    customer_id: &'a str,
    credit_type: &'a str,
    sequence: Shown<u64>,
    #[serde(rename = "type")]
    kind: &'static str,
    delta: Shown<Delta>,
    end_balance: Shown<Credits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<Shown<Credits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shortfall: Option<Shown<Credits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<Grant>,
    actor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    cause: CauseText<'a>,
    effective_at: Shown<Instant>,
    recorded_at: Shown<Instant>,
}

#[derive(Serialize)]
struct Grant {
    #[serde(rename = "grant_id")]
    id: Shown<GrantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Shown<Credits>>,
    remaining: Shown<Credits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_basis: Option<CostBasis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_at: Option<Shown<Instant>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Shown<Instant>>,
    status: &'static str,
}

#[derive(Serialize)]
struct CostBasis {
    total: Shown<Money>,
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

fn data<'a>(entry: &'a LedgerEntry, terms: Option<&ShownTerms>) -> Data<'a> {
    let said = &entry.entry;
    Data {
        position: Shown(entry.position),
        customer_id: said.customer_id.as_str(),
        credit_type: said.credit_type.as_str(),
        sequence: Shown(said.sequence),
        kind: said.kind.name(),
        delta: Shown(said.delta),
        end_balance: Shown(said.end_balance),
        requested: said.demand.map(|demand| Shown(demand.requested)),
        shortfall: said.demand.map(|demand| Shown(demand.shortfall)),
        grant: said.grant.as_ref().map(|after| grant(after, terms)),
        actor: said.actor.as_str(),
        reason: said.reason.as_ref().map(Reason::as_str),
        cause: cause(&said.cause),
        effective_at: instant(said.effective_at),
        recorded_at: instant(entry.recorded_at),
    }
}

fn grant(after: &GrantAfter, terms: Option<&ShownTerms>) -> Grant {
    Grant {
        id: Shown(after.grant_id),
        category: terms.map(|terms| terms.category.name()),
        priority: terms.map(|terms| terms.priority.value()),
        amount: terms.map(|terms| Shown(terms.amount)),
        remaining: Shown(after.remaining),
        cost_basis: terms.and_then(cost_basis),
        effective_at: terms.map(|terms| instant(terms.effective_at)),
        expires_at: terms.and_then(|terms| terms.expires_at).map(instant),
        status: after.status.name(),
    }
}

fn cost_basis(terms: &ShownTerms) -> Option<CostBasis> {
    let cost = terms.cost.filter(|_| terms.category == Category::Paid)?;
    let per_credit = per_credit(cost, terms.amount)?;
    Some(CostBasis { total: Shown(cost), currency: cost.currency().code(), per_credit })
}

/// Money per credit to [`PER_CREDIT_PLACES`], toward zero, reckoned in integers; `None` for a grant of nothing.
fn per_credit(cost: Money, amount: Credits) -> Option<String> {
    if amount.is_zero() {
        return None;
    }
    match narrow(cost, amount) {
        Some(units) => Some(plain(units)),
        None => wide(cost, amount).map(plain),
    }
}

/// [`per_credit`] in units of its last place, if all of it fits into 128 bits, as nearly always.
fn narrow(cost: Money, amount: Credits) -> Option<i128> {
    let (money, credits) = (cost.amount(), amount.value());
    let ten = |exponent| 10_i128.checked_pow(exponent);
    let below = credits.mantissa().checked_mul(ten(money.scale())?)?;
    let above = money.mantissa().checked_mul(ten(credits.scale().checked_add(PER_CREDIT_PLACES)?)?)?;
    above.checked_div(below)
}

/// [`narrow`], however wide it is.
fn wide(cost: Money, amount: Credits) -> Option<BigInt> {
    let amount = amount.value();
    let credits = to_units(amount, amount.scale()) * power_of_ten(cost.currency().places());
    let money = cost.minor() * power_of_ten(amount.scale()) * power_of_ten(PER_CREDIT_PLACES);
    money.checked_div(&credits)
}

/// The decimal of `units` times `10^-PER_CREDIT_PLACES`, without trailing zeros; wider than a `Decimal` if need be.
fn plain(units: impl Display) -> String {
    let places = PER_CREDIT_PLACES as usize;
    let mut digits = format!("{units:0>width$}", width = places + 1);
    digits.insert(digits.len() - places, '.');
    digits.truncate(digits.trim_end_matches('0').trim_end_matches('.').len());
    digits
}

fn cause(cause: &Cause) -> CauseText<'_> {
    CauseText { source: cause.source.as_str(), id: cause.id.as_str(), kind: &cause.kind }
}

/// RFC 3339 in UTC with `Z`, at most six places, no trailing zeros.
struct Instant(Timestamp);

fn instant(at: Timestamp) -> Shown<Instant> {
    Shown(Instant(at))
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date_naive(), self.0.time());
        let micros = time.nanosecond() / 1_000;
        let whole = u32::try_from(date.year()).ok().filter(|year| *year <= 9_999 && micros < 1_000_000);
        let Some(year) = whole else {
            // No instant of a message: chrono knows how to write it.
            let full = self.0.to_rfc3339_opts(SecondsFormat::Micros, true);
            let short = full.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
            return write!(f, "{short}Z");
        };
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let fields = [
            (0, 4, year),
            (5, 7, date.month()),
            (8, 10, date.day()),
            (11, 13, time.hour()),
            (14, 16, time.minute()),
            (17, 19, time.second()),
            (20, 26, micros),
        ];
        for (from, to, value) in fields {
            digits(text.get_mut(from..to).unwrap_or_default(), value);
        }
        let end = text.iter().take(26).rposition(|byte| !matches!(byte, b'0' | b'.')).map_or(0, |last| last + 1);
        let end = if micros == 0 { 19 } else { end };
        if let Some(last) = text.get_mut(end) {
            *last = b'Z';
        }
        f.write_str(std::str::from_utf8(text.get(..=end).unwrap_or_default()).unwrap_or_default())
    }
}

/// Writes `value` into `places`, as many digits as there are.
fn digits(places: &mut [u8], mut value: u32) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}
