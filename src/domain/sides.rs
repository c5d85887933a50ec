//! What messages say, field by field, and two of them side by side.
//!
//! Under the names that fields have in messages. Pure; called by the verbs that show conflicts and purchases. What
//! contradicts is for `facts` to say.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::adjustment::{Action, Adjustment, Expiry, NewTerms};
use super::facts::{lines, money, refund_lines};
use super::message::{Content, Invoice, Link, Metadata, Payment, Refund, Signup, Statement, Timestamp};
use super::usage::Usage;

/// One field as two messages have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in the message.
    pub name: &'static str,
    /// What the message that is kept says, if it says anything.
    pub kept: Option<String>,
    /// What the refused one says.
    pub refused: Option<String>,
}

impl Field {
    /// Whether the two say different things.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.kept != self.refused
    }
}

/// Every field that one of two messages has.
#[must_use]
pub fn side_by_side(kept: &Content, refused: &Content) -> Vec<Field> {
    let (kept, refused) = (fields(kept), fields(refused));
    let value = |fields: &[(&'static str, String)], name: &str| {
        fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.clone())
    };
    let mut names: Vec<&'static str> = Vec::new();
    for (name, _) in kept.iter().chain(&refused) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let field = |name| Field { name, kept: value(&kept, name), refused: value(&refused, name) };
    names.into_iter().map(field).collect()
}

/// What a message says, in the order in which the fields are documented. Absent ones are left out.
#[must_use]
pub fn fields(content: &Content) -> Vec<(&'static str, String)> {
    let mut fields = vec![("type", Some(content.message_type().name().to_owned()))];
    fields.extend(match content {
        Content::Purchase(statement) => match statement.as_ref() {
            Statement::Payment(payment) => of_payment(payment),
            Statement::Invoice(invoice) => of_invoice(invoice),
            Statement::Refund(refund) => of_refund(refund),
            Statement::Link(link) => of_link(link),
        },
        Content::Signup(signup) => of_signup(signup),
        Content::Usage(usage) => of_usage(usage),
        Content::Adjustment(adjustment) => of_adjustment(adjustment),
    });
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

type Said = Vec<(&'static str, Option<String>)>;

fn of_payment(payment: &Payment) -> Said {
    vec![
        ("payment_id", Some(payment.payment_id.to_string())),
        ("customer_id", Some(payment.customer_id.to_string())),
        ("amount", Some(money(&payment.amount))),
        ("invoice_id", payment.invoice_id.as_ref().map(ToString::to_string)),
        ("aliases", list(&payment.aliases)),
        ("lines", payment.lines.as_ref().map(lines)),
        ("payment_method", payment.payment_method.clone()),
        ("metadata", pairs(&payment.metadata)),
    ]
}

fn of_invoice(invoice: &Invoice) -> Said {
    vec![
        ("invoice_id", Some(invoice.invoice_id.to_string())),
        ("customer_id", Some(invoice.customer_id.to_string())),
        ("total", Some(money(&invoice.total))),
        ("payment_ids", list(&invoice.payment_ids)),
        ("aliases", list(&invoice.aliases)),
        ("lines", invoice.lines.as_ref().map(lines)),
        ("number", invoice.number.clone()),
        ("metadata", pairs(&invoice.metadata)),
    ]
}

fn of_refund(refund: &Refund) -> Said {
    vec![
        ("refund_id", Some(refund.refund_id.to_string())),
        ("status", Some(refund.status.name().to_owned())),
        ("amount", Some(money(&refund.amount))),
        ("payment_id", refund.payment_id.as_ref().map(ToString::to_string)),
        ("invoice_id", refund.invoice_id.as_ref().map(ToString::to_string)),
        ("aliases", list(&refund.aliases)),
        ("customer_id", refund.customer_id.as_ref().map(ToString::to_string)),
        ("lines", refund.lines.as_ref().map(refund_lines)),
        ("reason", refund.reason.as_ref().map(|reason| reason.as_str().to_owned())),
    ]
}

fn of_link(link: &Link) -> Said {
    vec![
        ("payment_ids", list(&link.payment_ids)),
        ("invoice_id", link.invoice_id.as_ref().map(ToString::to_string)),
        ("aliases", list(&link.aliases)),
    ]
}

fn of_signup(signup: &Signup) -> Said {
    vec![
        ("customer_id", Some(signup.customer_id.to_string())),
        ("identity", signup.identity.as_ref().map(ToString::to_string)),
        ("plan", signup.plan.clone()),
        ("campaign", signup.campaign.clone()),
        ("metadata", pairs(&signup.metadata)),
    ]
}

fn of_usage(usage: &Usage) -> Said {
    vec![
        ("usage_id", Some(usage.usage_id.to_string())),
        ("customer_id", Some(usage.customer_id.to_string())),
        ("credit_type", Some(usage.credit_type.to_string())),
        ("amount", Some(usage.amount.to_string())),
        ("occurred_at", Some(instant(usage.occurred_at))),
        ("metadata", pairs(&usage.metadata)),
    ]
}

fn of_adjustment(adjustment: &Adjustment) -> Said {
    let mut said = vec![
        ("adjustment_id", Some(adjustment.adjustment_id.to_string())),
        ("customer_id", Some(adjustment.customer_id.to_string())),
        ("credit_type", Some(adjustment.credit_type.to_string())),
    ];
    match &adjustment.action {
        Action::Grant(terms) => {
            said.push(("action", Some("grant".to_owned())));
            said.extend(of_terms(terms));
        }
        Action::Revoke { grant_id, amount } => {
            said.push(("action", Some("revoke".to_owned())));
            said.push(("grant_id", Some(grant_id.to_string())));
            said.push(("amount", amount.map(|amount| amount.to_string())));
        }
        Action::RevokeAll => said.push(("action", Some("revoke".to_owned()))),
        Action::Regrant { grant_id, priority, effective_at, expiry } => {
            said.push(("action", Some("regrant".to_owned())));
            said.push(("grant_id", Some(grant_id.to_string())));
            said.push(("priority", priority.map(|priority| priority.value().to_string())));
            said.push(("effective_at", effective_at.map(instant)));
            said.push(("expires", expiry.map(expires)));
        }
    }
    said.push(("payment_method", adjustment.payment_method.clone()));
    said.push(("actor", Some(adjustment.actor.to_string())));
    said.push(("reason", Some(adjustment.reason.as_str().to_owned())));
    said
}

fn of_terms(terms: &NewTerms) -> Said {
    vec![
        ("amount", Some(terms.amount.to_string())),
        ("used", Some(terms.used).filter(|used| !used.is_zero()).map(|used| used.to_string())),
        ("category", Some(terms.category.name().to_owned())),
        ("priority", Some(terms.priority.value().to_string())),
        ("cost_basis", terms.cost.as_ref().map(money)),
        ("effective_at", terms.effective_at.map(instant)),
        ("expires", Some(expires(terms.expiry))),
    ]
}

fn expires(expiry: Expiry) -> String {
    match expiry {
        Expiry::Never => "never".to_owned(),
        Expiry::At(end) => instant(end),
        Expiry::After(length) => format!("{} ms after its start", length.num_milliseconds()),
    }
}

fn instant(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

fn list(values: &BTreeSet<impl Display>) -> Option<String> {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn pairs(metadata: &Metadata) -> Option<String> {
    let texts: Vec<String> = metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}
