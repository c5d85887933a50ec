//! A message's `data`, from TOML to JSON.

use toml::de::DeValue;

use crate::config::document::{Node, Report, Table};
use crate::domain::message::MessageType;

const LINE_FIELDS: [&str; 4] = ["price_id", "quantity", "amount", "metadata"];
const REFUND_LINE_FIELDS: [&str; 2] = ["price_id", "amount"];

/// The fields that the worker knows; it ignores others, so a misspelt one would go unnoticed.
pub(super) fn fields(kind: MessageType) -> &'static [&'static str] {
    match kind {
        MessageType::PaymentSucceeded => &[
            "payment_id",
            "customer_id",
            "amount",
            "currency",
            "invoice_id",
            "aliases",
            "lines",
            "payment_method",
            "metadata",
        ],
        MessageType::InvoiceIssued => {
            &["invoice_id", "customer_id", "total", "currency", "lines", "number", "payment_ids", "aliases", "metadata"]
        }
        MessageType::Signup => &["customer_id", "identity", "campaign", "plan", "metadata"],
        MessageType::Refund => &[
            "refund_id",
            "amount",
            "currency",
            "status",
            "payment_id",
            "invoice_id",
            "aliases",
            "customer_id",
            "lines",
            "reason",
        ],
        MessageType::PurchaseLinked => &["payment_ids", "invoice_id", "aliases"],
        MessageType::UsageRecorded => &["usage_id", "customer_id", "credit_type", "amount", "occurred_at", "metadata"],
        MessageType::CreditAdjustment => &[
            "adjustment_id",
            "action",
            "customer_id",
            "credit_type",
            "amount",
            "grant_id",
            "used",
            "category",
            "priority",
            "cost_basis",
            "effective_at",
            "expires_at",
            "expires_after",
            "payment_method",
            "actor",
            "reason",
        ],
    }
}

/// Refuses fields that the worker would ignore.
pub(super) fn allow_fields(kind: MessageType, data: &Table<'_, '_>, report: &mut Report<'_>) {
    data.allow(fields(kind), report);
    let of_line: &[&str] = if kind == MessageType::Refund { &REFUND_LINE_FIELDS } else { &LINE_FIELDS };
    for line in data.node("lines").and_then(|node| node.items()).into_iter().flatten() {
        if matches!(line.value(), DeValue::Table(_))
            && let Some(line) = line.table(report)
        {
            line.allow(of_line, report);
        }
    }
}

/// The table as JSON text, as far as TOML can say it.
pub(super) fn json_of(table: &Table<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    let members: Vec<Option<String>> =
        table.nodes().map(|(key, node)| Some(format!("{}:{}", quoted(key), json(&node, report)?))).collect();
    let members: Option<Vec<String>> = members.into_iter().collect();
    Some(format!("{{{}}}", members?.join(",")))
}

fn json(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    match node.value() {
        DeValue::String(text) => Some(quoted(text)),
        DeValue::Integer(_) => node.whole(report).map(|number| number.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Float(number) => {
            let instead = quoted(number.as_str());
            let message = format!("{} is a TOML float, which is inexact: decimals are texts", number.as_str());
            report.add(node.at(), &node.path, message, Some(&instead));
            None
        }
        DeValue::Datetime(_) => node.mismatch(report, node.value(), "a text in quotes"),
        DeValue::Array(_) => {
            let items: Vec<Option<String>> =
                node.items().into_iter().flatten().map(|item| json(&item, report)).collect();
            let items: Option<Vec<String>> = items.into_iter().collect();
            Some(format!("[{}]", items?.join(",")))
        }
        DeValue::Table(_) => json_of(&node.table(report)?, report),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
