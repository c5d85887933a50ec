//! `credit-adjustment`: somebody grants, revokes or regrants by hand.

use uuid::Uuid;

use super::envelope::instant;
use super::fields::{Fields, Zero, reason};
use crate::domain::adjustment::{Action, Adjustment, Expiry, NewTerms};
use crate::domain::amounts::{Credits, Money};
use crate::domain::ids::{Actor, AdjustmentId, CreditType, CustomerId, GrantId};
use crate::domain::outcome::RefusalCode;
use crate::domain::rules::{Category, Priority};
use crate::domain::span;

/// Fields that only some actions have.
const TERMS: [&str; 7] = ["used", "category", "priority", "cost_basis", "effective_at", "expires_at", "expires_after"];

/// Reads the message's `data`; `None` if something in it was noted as refused.
pub(super) fn read(data: &Fields<'_>) -> Option<Adjustment> {
    let adjustment_id = data.required("adjustment_id", AdjustmentId::parse);
    let customer_id = data.required("customer_id", CustomerId::parse);
    let credit_type = data.required("credit_type", CreditType::parse);
    let payment_method = data.text("payment_method");
    let actor = data.required("actor", Actor::operator);
    let reason = data.required("reason", reason);
    let action = data.required("action", |word| match word {
        "grant" | "revoke" | "regrant" => Ok(word.to_owned()),
        _ => Err("is none of grant, revoke, regrant"),
    });
    let action = match action?.as_str() {
        "grant" => {
            foreign(data, "grant", &["grant_id"]);
            new_terms(data).map(Action::Grant)
        }
        "revoke" => {
            foreign(data, "revoke", &TERMS);
            revoke(data)
        }
        _ => {
            foreign(data, "regrant", &["amount", "used", "category", "cost_basis"]);
            regrant(data)
        }
    };
    Some(Adjustment {
        adjustment_id: adjustment_id?,
        customer_id: customer_id?,
        credit_type: credit_type?,
        action: action?,
        payment_method,
        actor: actor?,
        reason: reason?,
    })
}

/// Fields that mean something under another action: somebody expects an effect that there would not be.
fn foreign(data: &Fields<'_>, action: &str, fields: &[&str]) {
    for field in fields.iter().filter(|field| data.get(field).is_some()) {
        data.note(RefusalCode::InvalidField, field, format_args!("is no field of a {action}"));
    }
}

fn revoke(data: &Fields<'_>) -> Option<Action> {
    let grant_id = data.optional("grant_id", grant_id);
    let amount = data.get("amount").is_some().then(|| data.credits("amount", Zero::Refused));
    match (grant_id, data.get("grant_id").is_some(), amount) {
        (Some(grant_id), _, amount) => {
            Some(Action::Revoke { grant_id, amount: amount.map_or(Some(None), |a| a.map(Some))? })
        }
        (None, false, None) => Some(Action::RevokeAll),
        (None, false, Some(_)) => {
            data.note(RefusalCode::InvalidField, "grant_id", "is missing: an amount is taken back from one grant");
            None
        }
        (None, true, _) => None,
    }
}

fn regrant(data: &Fields<'_>) -> Option<Action> {
    let grant_id = data.required("grant_id", grant_id);
    let priority = priority(data);
    let effective_at = data.optional("effective_at", instant);
    let expiry = expiry(data);
    Some(Action::Regrant { grant_id: grant_id?, priority, effective_at, expiry })
}

fn new_terms(data: &Fields<'_>) -> Option<NewTerms> {
    let amount = data.credits("amount", Zero::Refused);
    let used = match data.get("used") {
        None => Some(Credits::ZERO),
        Some(_) => data.credits("used", Zero::Allowed),
    };
    let category = data.required("category", |word| Category::from_name(word).ok_or("is none of paid, promotional"));
    let priority = priority(data);
    let cost = data.get("cost_basis").and_then(|_| data.object("cost_basis", cost_basis));
    let effective_at = data.optional("effective_at", instant);
    let expiry = expiry(data);
    if let (Some(amount), Some(used)) = (amount, used)
        && used > amount
    {
        data.note(RefusalCode::InvalidAmount, "used", "is more than amount");
    }
    if category == Some(Category::Promotional) && cost.is_some() {
        data.note(RefusalCode::InvalidField, "cost_basis", "is for paid grants: a promotional one costs nothing");
    }
    Some(NewTerms {
        amount: amount?,
        used: used?,
        category: category?,
        priority: priority.unwrap_or(Priority::DEFAULT),
        cost,
        effective_at,
        expiry: expiry.unwrap_or(Expiry::Never),
    })
}

/// `total` and `currency`, as in events. Other fields of theirs are ignored.
fn cost_basis(cost: &Fields<'_>) -> Option<Money> {
    let currency = cost.currency();
    let total = cost.amount("total", currency, Zero::Allowed);
    Money::new(total?, currency?).ok()
}

fn priority(data: &Fields<'_>) -> Option<Priority> {
    data.get("priority")?;
    let priority = data.whole("priority").and_then(|number| u8::try_from(number).ok()).and_then(Priority::new);
    if priority.is_none() {
        data.note(RefusalCode::InvalidField, "priority", "is no JSON integer from 0 to 100");
    }
    priority
}

/// `expires_at`, or `expires_after`, which may be `never`.
fn expiry(data: &Fields<'_>) -> Option<Expiry> {
    let length = |text: &str| match text {
        "never" => Ok(Expiry::Never),
        text => span::parse(text).map(Expiry::After),
    };
    let at = data.optional("expires_at", instant).map(Expiry::At);
    let after = data.optional("expires_after", length);
    if at.is_some() && after.is_some() {
        data.note(RefusalCode::InvalidField, "expires_after", "stands beside expires_at: one of them is enough");
    }
    at.or(after)
}

fn grant_id(text: &str) -> Result<GrantId, &'static str> {
    Uuid::try_parse(text).map(GrantId).map_err(|_| "is no grant id, which is a UUID")
}
