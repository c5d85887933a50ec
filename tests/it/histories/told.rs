//! A message of the core's tests, as a sender would put it.

use credits::domain::amounts::Money;
use credits::domain::message::{Content, Line, Lines, Message, Statement};
use serde_json::{Value, json};

use crate::fixtures::{BillingMessage, message};

/// The message as an event; `suffix` comes behind every id and name in it.
pub(super) fn told(said: &Message, suffix: &str) -> BillingMessage {
    let id = |id: &dyn std::fmt::Display| Value::from(format!("{id}{suffix}"));
    let data = match &said.content {
        Content::Purchase(statement) => match statement.as_ref() {
            Statement::Payment(payment) => json!({
                "payment_id": id(&payment.payment_id),
                "customer_id": id(&payment.customer_id),
                "amount": payment.amount.to_string(),
                "currency": payment.amount.currency().code(),
                "invoice_id": payment.invoice_id.as_ref().map(|invoice| id(invoice)),
                "aliases": payment.aliases.iter().map(|alias| id(alias)).collect::<Value>(),
                "lines": payment.lines.as_ref().map(lines),
                "payment_method": payment.payment_method,
            }),
            Statement::Invoice(invoice) => json!({
                "invoice_id": id(&invoice.invoice_id),
                "customer_id": id(&invoice.customer_id),
                "total": invoice.total.to_string(),
                "currency": invoice.total.currency().code(),
                "lines": invoice.lines.as_ref().map_or_else(|| json!([]), lines),
                "number": invoice.number,
                "payment_ids": invoice.payment_ids.iter().map(|payment| id(payment)).collect::<Value>(),
                "aliases": invoice.aliases.iter().map(|alias| id(alias)).collect::<Value>(),
            }),
            Statement::Refund(refund) => json!({
                "refund_id": id(&refund.refund_id),
                "amount": refund.amount.to_string(),
                "currency": refund.amount.currency().code(),
                "status": format!("{:?}", refund.status).to_lowercase(),
                "payment_id": refund.payment_id.as_ref().map(|payment| id(payment)),
                "invoice_id": refund.invoice_id.as_ref().map(|invoice| id(invoice)),
                "aliases": refund.aliases.iter().map(|alias| id(alias)).collect::<Value>(),
                "customer_id": refund.customer_id.as_ref().map(|customer| id(customer)),
                "lines": refund.lines.as_ref().map(|lines| {
                    let line = |(price, amount): (_, &Money)| json!({ "price_id": words(price), "amount": amount.to_string() });
                    lines.iter().map(line).collect::<Value>()
                }),
                "reason": refund.reason.as_ref().map(credits::domain::ids::Reason::as_str),
            }),
            Statement::Link(link) => json!({
                "payment_ids": link.payment_ids.iter().map(|payment| id(payment)).collect::<Value>(),
                "invoice_id": link.invoice_id.as_ref().map(|invoice| id(invoice)),
                "aliases": link.aliases.iter().map(|alias| id(alias)).collect::<Value>(),
            }),
        },
        Content::Signup(signup) => json!({
            "customer_id": id(&signup.customer_id),
            "identity": signup.identity.as_ref().map(|identity| id(identity)),
            "campaign": signup.campaign,
            "plan": signup.plan,
        }),
        Content::Usage(usage) => json!({
            "usage_id": id(&usage.usage_id),
            "customer_id": id(&usage.customer_id),
            "credit_type": usage.credit_type.as_str(),
            "amount": usage.amount.to_string(),
            "occurred_at": usage.occurred_at.to_rfc3339(),
        }),
        Content::Adjustment(_) => unreachable!("no history of billing messages holds an adjustment"),
    };
    let event_id = format!("{}{suffix}", said.key.id);
    message(said.content.message_type().name(), &event_id, &data).at(&said.time.to_rfc3339())
}

fn lines(Lines(lines): &Lines) -> Value {
    let line = |(price, line): (_, &Line)| json!({ "price_id": words(price), "quantity": line.quantity, "amount": line.amount.to_string() });
    lines.iter().map(line).collect()
}

fn words(name: &impl std::fmt::Display) -> String {
    name.to_string()
}
