//! A grant that a case expects: the fields that it states, in the spelling that `trial` gives what it got.

use std::collections::BTreeMap;

use chrono::SecondsFormat;

use super::instant;
use crate::config::document::{Node, Report, Table};
use crate::config::rules_file::rule::one_of;
use crate::domain::amounts::{Currency, Money, parse_plain};
use crate::domain::ids::{CreditType, RuleName};
use crate::domain::ledger::GrantStatus;
use crate::domain::rules::{Category, Rules};

/// What a case can say of a grant. Whatever it leaves out may be anything.
const FIELDS: [&str; 14] = [
    "customer_id",
    "rule",
    "price_id",
    "credit_type",
    "amount",
    "remaining",
    "asked",
    "status",
    "category",
    "priority",
    "cost",
    "effective_at",
    "expires_at",
    "reason",
];

/// What stands for a cost or an end that is not there.
const NONE: &str = "none";

/// A grant that has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedGrant {
    /// Where it begins.
    pub line: usize,
    /// What has to be so, by field. Never empty.
    pub fields: BTreeMap<&'static str, String>,
}

pub(super) fn read(table: &Table<'_, '_>, rules: &Rules, report: &mut Report<'_>) -> Option<ExpectedGrant> {
    table.allow(&FIELDS, report);
    table.needed("amount", report);
    let stated = FIELDS.into_iter().filter_map(|field| Some((field, table.node(field)?)));
    let read: Vec<Option<(&str, String)>> =
        stated.map(|(field, node)| Some((field, value(field, &node, rules, report)?))).collect();
    let fields: Option<BTreeMap<&str, String>> = read.into_iter().collect();
    Some(ExpectedGrant { line: report.line(table.span.start), fields: fields? })
}

fn value(field: &str, node: &Node<'_, '_>, rules: &Rules, report: &mut Report<'_>) -> Option<String> {
    match field {
        "rule" => {
            let purchases = rules.purchase.iter().map(|rule| &rule.name);
            let names = purchases.chain(rules.signup.iter().map(|rule| &rule.name));
            word(node, "is no rule of the rules file", &names.map(RuleName::as_str).collect::<Vec<_>>(), report)
        }
        "credit_type" => {
            let types: Vec<&str> = rules.credit_types.keys().map(CreditType::as_str).collect();
            word(node, "is no credit type of the rules file", &types, report)
        }
        "amount" | "remaining" | "asked" => decimal(node, report),
        "status" => one_of(node, &GrantStatus::ALL, GrantStatus::name, report).map(|status| status.name().to_owned()),
        "category" => {
            let categories = [Category::Paid, Category::Promotional];
            one_of(node, &categories, Category::name, report).map(|category| category.name().to_owned())
        }
        "priority" => node.whole(report).map(|number| number.to_string()),
        "cost" => cost(node, report),
        "expires_at" if node.value().as_str() == Some(NONE) => Some(NONE.to_owned()),
        "effective_at" | "expires_at" => instant(node, report).map(shown),
        _ => node.text(report).map(str::to_owned),
    }
}

fn shown(instant: crate::domain::message::Timestamp) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn word(node: &Node<'_, '_>, what: &str, valid: &[&str], report: &mut Report<'_>) -> Option<String> {
    let text = node.text(report)?;
    if !valid.contains(&text) {
        node.refuse_word(report, what, text, valid);
        return None;
    }
    Some(text.to_owned())
}

/// A whole number or a text, without trailing zeros.
fn decimal(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    let text = match node.value().as_str() {
        Some(text) => text.to_owned(),
        None => node.whole(report)?.to_string(),
    };
    match parse_plain(&text) {
        Ok(number) => Some(number.normalize().to_string()),
        Err(error) => {
            node.refuse(report, format!("{text:?} {error}"));
            None
        }
    }
}

/// `49.00 USD`, or `none`.
fn cost(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    let text = node.text(report)?;
    if text == NONE {
        return Some(NONE.to_owned());
    }
    let money = text
        .split_once(' ')
        .and_then(|(amount, currency)| Money::new(parse_plain(amount).ok()?, Currency::parse(currency).ok()?).ok());
    if money.is_none() {
        node.refuse(report, format!("{text:?} is no money such as \"49.00 USD\", and not \"{NONE}\""));
    }
    money.map(|money| format!("{money} {}", money.currency()))
}
