//! Runs a case: its messages through empty books, then what is there against what is expected.
//!
//! The clock stands at the latest `time` of the messages so far, so a case comes out the same on every day.

use crate::config::{Case, CaseMessage, ExpectedGrant};
use crate::domain::account::Grant;
use crate::domain::books::{Books, Record};
use crate::domain::ids::{CustomerId, InboxId};
use crate::domain::message::Timestamp;
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::rules::Rules;
use crate::wire::{Raw, decode};
use uuid::Uuid;

use super::said;

/// What a grant is described by where there is no other side to compare it with.
const DESCRIPTION: [&str; 6] = ["customer_id", "rule", "price_id", "credit_type", "amount", "remaining"];

/// What makes a grant another one, and not the same one with a mistake in it.
const IDENTITY: [&str; 4] = ["customer_id", "rule", "price_id", "credit_type"];

/// Something that came out otherwise than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What it is about, such as `message 2` or `grant 1`.
    pub subject: String,
    /// Where the file says so; absent for a grant that it does not name.
    pub line: Option<usize>,
    /// The field; absent where a whole grant is missing or too much.
    pub field: Option<&'static str>,
    /// What the file says; absent where it says that there is no such thing.
    pub expected: Option<String>,
    /// What came out; absent where nothing did.
    pub got: Option<String>,
}

/// What became of a message in the end.
struct Ended {
    outcome: Outcome,
    code: Option<RefusalCode>,
    reason: String,
}

/// Runs `case` under `rules`: everything that comes out otherwise than expected.
#[must_use]
pub fn run(case: &Case, rules: &Rules) -> Vec<Mismatch> {
    let mut books = Books::new(rules, Timestamp::default());
    let ended = take(&mut books, &case.messages);
    if let Some(at) = case.at {
        books.clock = books.clock.max(at);
    }
    let customers: Vec<CustomerId> = books.accounts.keys().cloned().collect();
    for customer in &customers {
        books.settle(customer);
    }
    let outcomes = (1..).zip(case.messages.iter().zip(&ended));
    let outcomes = outcomes.filter_map(|(number, (message, ended))| outcome(number, message, ended));
    outcomes.chain(grants(&case.grants, &standing(&books), books.clock)).collect()
}

fn take(books: &mut Books<'_>, messages: &[CaseMessage]) -> Vec<Ended> {
    let mut ended: Vec<(InboxId, Ended)> = Vec::new();
    for (number, message) in (1_u128..).zip(messages) {
        let inbox_id = InboxId(Uuid::from_u128(number));
        let told = books.changes.earlier.len();
        let last = match decode(&raw(&message.body)) {
            Ok(decoded) => {
                books.clock = books.clock.max(decoded.message.time);
                Ended::from(&books.take(inbox_id, decoded.message))
            }
            Err(error) => Ended { outcome: Outcome::DeadLettered, code: Some(error.code), reason: error.detail },
        };
        ended.push((inbox_id, last));
        for record in books.changes.earlier.get(told..).unwrap_or_default() {
            if let Some((_, earlier)) = ended.iter_mut().find(|(id, _)| *id == record.inbox_id) {
                *earlier = Ended::from(record);
            }
        }
    }
    ended.into_iter().map(|(_, ended)| ended).collect()
}

/// The body as a broker would bring it, in structured mode.
fn raw(body: &str) -> Raw<'_> {
    Raw {
        body: body.as_bytes(),
        content_type: Some("application/cloudevents+json"),
        message_id: None,
        kind: None,
        app_id: None,
        timestamp: None,
        header: &|_| None,
    }
}

impl From<&Record> for Ended {
    fn from(record: &Record) -> Self {
        Self { outcome: record.outcome, code: record.code, reason: record.reason.clone() }
    }
}

/// A refusal that the case does not expect is a mismatch too: a case with a slip in a message must not pass unseen.
fn outcome(number: usize, message: &CaseMessage, ended: &Ended) -> Option<Mismatch> {
    let wanted = message.outcome.or(message.code.map(|_| Outcome::DeadLettered));
    let as_wanted = match wanted {
        None => ended.outcome != Outcome::DeadLettered,
        Some(wanted) => wanted == ended.outcome && (message.code.is_none() || message.code == ended.code),
    };
    let words = |outcome: Outcome, code: Option<RefusalCode>| match code {
        Some(code) => format!("{} {}", outcome.name(), code.name()),
        None => outcome.name().to_owned(),
    };
    (!as_wanted).then(|| Mismatch {
        subject: format!("message {number}"),
        line: Some(message.line),
        field: Some("outcome"),
        expected: Some(wanted.map_or_else(|| "no refusal".to_owned(), |wanted| words(wanted, message.code))),
        got: Some(format!("{}: {}", words(ended.outcome, ended.code), ended.reason)),
    })
}

/// Every grant but those that a link showed to be one too many, in the order of use.
fn standing<'b>(books: &'b Books<'_>) -> Vec<&'b Grant> {
    let all = books.accounts.values().flat_map(|account| account.grants.values());
    let mut grants: Vec<&Grant> = all.filter(|grant| !grant.surplus).collect();
    grants.sort_by(|a, b| {
        let key = |grant: &Grant| (grant.terms.customer_id.clone(), grant.terms.credit_type.clone());
        key(a).cmp(&key(b)).then_with(|| a.order_of_use(b))
    });
    grants
}

/// Pairs what is expected with what is there, the most alike first, and compares each pair.
fn grants(expected: &[ExpectedGrant], there: &[&Grant], now: Timestamp) -> Vec<Mismatch> {
    let differs = |field: &str, wanted: &ExpectedGrant, grant: &Grant| {
        wanted.fields.get(field).is_some_and(|value| said(grant, field, now) != *value)
    };
    let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
    for (at, wanted) in expected.iter().enumerate() {
        for (place, grant) in there.iter().enumerate() {
            if !IDENTITY.iter().any(|field| differs(field, wanted, grant)) {
                let unlike = wanted.fields.keys().filter(|field| differs(field, wanted, grant)).count();
                pairs.push((unlike, at, place));
            }
        }
    }
    pairs.sort_unstable();
    let mut partner: Vec<Option<&Grant>> = vec![None; expected.len()];
    let mut free: Vec<bool> = vec![true; there.len()];
    for (_, at, place) in pairs {
        if let (Some(slot @ None), Some(free @ true)) = (partner.get_mut(at), free.get_mut(place)) {
            *slot = there.get(place).copied();
            *free = false;
        }
    }
    let compared = (1..).zip(expected.iter().zip(&partner));
    let compared = compared.flat_map(|(number, (wanted, grant))| compare(number, wanted, *grant, now));
    let extra = there.iter().zip(&free).filter(|(_, free)| **free).map(|(grant, _)| Mismatch {
        subject: "a grant that is not expected".to_owned(),
        line: None,
        field: None,
        expected: None,
        got: Some(described(grant, now)),
    });
    compared.chain(extra).collect()
}

fn compare(number: usize, wanted: &ExpectedGrant, grant: Option<&Grant>, now: Timestamp) -> Vec<Mismatch> {
    let about = |field, expected: String, got| Mismatch {
        subject: format!("grant {number}"),
        line: Some(wanted.line),
        field,
        expected: Some(expected),
        got,
    };
    let Some(grant) = grant else {
        let words: Vec<String> = wanted.fields.iter().map(|(field, value)| format!("{field} {value}")).collect();
        return vec![about(None, words.join(", "), None)];
    };
    let differs = wanted.fields.iter().filter_map(|(field, value)| {
        let got = said(grant, field, now);
        (got != *value).then(|| about(Some(*field), value.clone(), Some(got)))
    });
    differs.collect()
}

fn described(grant: &Grant, now: Timestamp) -> String {
    let words = DESCRIPTION.map(|field| format!("{field} {}", said(grant, field, now)));
    words.join(", ")
}

#[cfg(test)]
mod tests;
