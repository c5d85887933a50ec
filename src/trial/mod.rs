//! What rules would give: messages through the core, without touching anything.
//!
//! [`cases`] takes the cases of a rules file and says where they come out otherwise than expected; [`diff`] takes stored
//! messages under other rules and says which grants would be others. Both decode with `wire` and decide with
//! [`Books`](crate::domain::books::Books), as the worker does: there is no second reading of rules. Pure; called by
//! `cli`.

pub mod cases;
pub mod diff;
mod signups;
mod totals;

use chrono::SecondsFormat;

use crate::domain::account::Grant;
use crate::domain::ids::{PriceId, Reason, RuleName};
use crate::domain::message::Timestamp;

/// What stands for a value that is not there.
const NONE: &str = "none";

/// What a grant says in one field of `config`'s expected grants, at `now`.
fn said(grant: &Grant, field: &str, now: Timestamp) -> String {
    let terms = &grant.terms;
    let none = || NONE.to_owned();
    match field {
        "customer_id" => terms.customer_id.to_string(),
        "rule" => terms.rule.as_ref().map_or_else(none, |rule: &RuleName| rule.to_string()),
        "price_id" => terms.price_id.as_ref().map_or_else(none, |price: &PriceId| price.to_string()),
        "credit_type" => terms.credit_type.to_string(),
        "amount" => terms.amount.to_string(),
        "remaining" => grant.remaining.to_string(),
        "asked" => grant.asked.to_string(),
        "status" => grant.status(now).name().to_owned(),
        "category" => terms.category.name().to_owned(),
        "priority" => terms.priority.value().to_string(),
        "cost" => terms.cost.map_or_else(none, |cost| format!("{cost} {}", cost.currency())),
        "effective_at" => shown(terms.effective_at),
        "expires_at" => terms.expires_at.map_or_else(none, shown),
        _ => terms.reason.as_ref().map_or_else(none, |reason: &Reason| reason.as_str().to_owned()),
    }
}

fn shown(instant: Timestamp) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
