//! A rule's `grant` table: what it gives.

use chrono::TimeDelta;
use rust_decimal::Decimal;
use toml::de::{DeInteger, DeValue};

use super::CreditTypes;
use super::rule::{Trigger, one_of};
use crate::config::document::{Node, Report, Table};
use crate::domain::amounts::{Credits, InvalidAmount, Scale, parse_plain};
use crate::domain::ids::{CreditType, MAX_REASON_CHARS, Reason};
use crate::domain::rules::{AmountRule, Category, GrantTemplate, Priority, RULE_PLACES};
use crate::domain::span;

/// Every key of the table.
pub(super) const KEYS: [&str; 9] = [
    "credit_type",
    "credits",
    "credits_per_unit",
    "credits_per_currency_unit",
    "category",
    "priority",
    "effective_after",
    "expires_after",
    "reason",
];

/// A way to count: its key, and what makes its number a rule.
type Counting = (&'static str, fn(Decimal) -> AmountRule);

/// The three ways to count, of which a rule has exactly one.
const AMOUNTS: [Counting; 3] = [
    ("credits", AmountRule::Fixed),
    ("credits_per_unit", AmountRule::PerUnit),
    ("credits_per_currency_unit", AmountRule::PerCurrencyUnit),
];

/// Reads the table and notes every mistake.
pub(super) fn read(
    table: &Table<'_, '_>,
    trigger: Option<Trigger>,
    credit_types: &CreditTypes,
    report: &mut Report<'_>,
) -> Option<GrantTemplate> {
    table.allow(&KEYS, report);
    let credit_type = table.needed("credit_type", report).and_then(|node| credit_type(&node, credit_types, report));
    let scale = credit_type.as_ref().and_then(|(_, scale)| *scale);
    let amount = amount(table, trigger, scale, report);
    let category = table.needed("category", report).and_then(|node| category(&node, trigger, report));
    let priority = table.node("priority").map_or(Some(Priority::DEFAULT), |node| priority(&node, report));
    let dates = dates(table, report);
    let reason = table.node("reason").map_or(Some(None), |node| reason(&node, report).map(Some));
    let (effective_after, expires_after) = dates?;
    Some(GrantTemplate {
        credit_type: credit_type?.0,
        scale: scale?,
        amount: amount?,
        category: category?,
        priority: priority?,
        effective_after,
        expires_after,
        reason: reason?,
    })
}

fn credit_type(
    node: &Node<'_, '_>,
    credit_types: &CreditTypes,
    report: &mut Report<'_>,
) -> Option<(CreditType, Option<Scale>)> {
    let text = node.text(report)?;
    let found = credit_types.iter().find(|(name, _)| name.as_str() == text);
    if found.is_none() {
        let names: Vec<&str> = credit_types.keys().map(CreditType::as_str).collect();
        node.refuse_word(report, "is no credit type of this file", text, &names);
    }
    found.map(|(name, scale)| (name.clone(), *scale))
}

fn amount(
    table: &Table<'_, '_>,
    trigger: Option<Trigger>,
    scale: Option<Scale>,
    report: &mut Report<'_>,
) -> Option<AmountRule> {
    let mut stated = AMOUNTS.iter().filter_map(|(key, rule)| Some((*key, *rule, table.node(key)?)));
    let Some((key, rule, node)) = stated.next() else {
        let message = "needs one of `credits`, `credits_per_unit`, `credits_per_currency_unit`";
        report.add(table.span.start, &table.path, message, None);
        return None;
    };
    for (second, _, node) in stated {
        node.refuse_key(report, &format!("is one way to count too many, `{key}` is there already"), second, &[]);
    }
    if trigger == Some(Trigger::Signup) && key != "credits" {
        node.replace_key(report, "a signup has no line to count by", "credits");
    }
    let amount = rule(number(&node, report)?);
    if let (AmountRule::Fixed(credits), Some(scale)) = (amount, scale) {
        Credits::new(credits, scale).map_err(|error| refuse_amount(&node, credits, &error, report)).ok()?;
    }
    Some(amount)
}

fn refuse_amount(node: &Node<'_, '_>, credits: Decimal, error: &InvalidAmount, report: &mut Report<'_>) {
    node.refuse(report, format!("{credits} {error} by the scale of its credit type"));
}

/// A whole number or a text with a plain decimal, zero included (it grants nothing, and the outcome says so).
fn number(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<Decimal> {
    let text = match node.value() {
        DeValue::String(text) => text.as_ref(),
        DeValue::Integer(number) if number.radix() == DeInteger::default().radix() => number.as_str(),
        DeValue::Float(number) => {
            let quoted = format!("{:?}", number.as_str());
            let message = format!("{} is a TOML float, which is inexact: decimals are texts", number.as_str());
            report.add(node.at(), &node.path, message, Some(&quoted));
            return None;
        }
        other => return node.mismatch(report, other, "a whole number or a text such as \"12.345\""),
    };
    match parse_plain(text) {
        Ok(number) => Some(number),
        Err(InvalidAmount::TooManyPlaces { given, .. }) => {
            let error = InvalidAmount::TooManyPlaces { given, allowed: RULE_PLACES };
            node.refuse(report, format!("{text} {error}"));
            None
        }
        Err(error) => {
            node.refuse(report, format!("{text:?} {error}"));
            None
        }
    }
}

fn category(node: &Node<'_, '_>, trigger: Option<Trigger>, report: &mut Report<'_>) -> Option<Category> {
    let category = one_of(node, &[Category::Promotional, Category::Paid], Category::name, report)?;
    if category == Category::Paid && trigger == Some(Trigger::Signup) {
        let message = "a signup is not paid for, its credits cannot be \"paid\"";
        report.add(node.at(), &node.path, message, Some(Category::Promotional.name()));
    }
    Some(category)
}

fn priority(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<Priority> {
    let number = node.whole(report)?;
    let priority = u8::try_from(number).ok().and_then(Priority::new);
    if priority.is_none() {
        node.refuse(report, format!("{number} is not within 0 to 100"));
    }
    priority
}

/// `effective_after` and `expires_after`.
type Dates = (Option<TimeDelta>, Option<TimeDelta>);

fn dates(table: &Table<'_, '_>, report: &mut Report<'_>) -> Option<Dates> {
    let mut read = |key: &str| table.node(key).map_or(Some(None), |node| length(&node, report).map(Some));
    let (effective, expires) = (read("effective_after"), read("expires_after"));
    let (effective, expires) = (effective?, expires?);
    match (effective, expires, table.node("expires_after")) {
        (Some(starts), Some(ends), Some(node)) if ends <= starts => {
            node.refuse(report, "is not later than `effective_after`");
            None
        }
        _ => Some((effective, expires)),
    }
}

fn length(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<TimeDelta> {
    let text = node.text(report)?;
    span::parse(text).map_err(|error| node.refuse(report, format!("{text:?} {error}"))).ok()
}

fn reason(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<Reason> {
    let text = node.text(report)?;
    if text.chars().any(char::is_control) {
        node.refuse(report, "holds a control character");
        return None;
    }
    let reason = Reason::parse(text);
    if reason.is_none() {
        let length = text.chars().count();
        node.refuse(report, format!("has {length} characters, at most {MAX_REASON_CHARS} are allowed"));
    }
    reason
}
