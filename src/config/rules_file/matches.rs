//! A rule's `match` table: which lines or signups it takes.

use std::collections::{BTreeMap, BTreeSet};

use super::conditions::Conditions;
use crate::config::document::{Node, Report, Table, misspelt};
use crate::config::problem::nearest;
use crate::domain::amounts::Currency;
use crate::domain::ids::{MAX_ID_BYTES, PriceId};
use crate::domain::rules::{LineMatch, SignupMatch};

/// Keys of a match on purchases.
pub(super) const LINE_KEYS: [&str; 3] = ["price_id", "currency", "metadata"];
/// Keys of a match on signups.
pub(super) const SIGNUP_KEYS: [&str; 3] = ["plan", "campaign", "metadata"];

/// The longest metadata key and value that messages may have, in characters.
const METADATA_LIMITS: (usize, usize) = (40, 500);

/// It could not be read; the report says why.
struct Refused;

/// Reads the match of a rule on purchases; without one every line fits.
pub(super) fn line(rule: &Table<'_, '_>, report: &mut Report<'_>) -> Option<LineMatch> {
    let Some(node) = rule.node("match") else { return Some(LineMatch::default()) };
    let table = node.table(report)?;
    let known = allow_keys(&table, &LINE_KEYS, "signups", report);
    let price_id = condition(&table, "price_id", price, report);
    let currency = condition(&table, "currency", currency, report);
    let metadata = metadata(&table, report)?;
    known.and(Ok(LineMatch { price_id: price_id.ok()?, currency: currency.ok()?, metadata })).ok()
}

/// Reads the match of a rule on signups; without one every signup fits.
pub(super) fn signup(rule: &Table<'_, '_>, report: &mut Report<'_>) -> Option<SignupMatch> {
    let Some(node) = rule.node("match") else { return Some(SignupMatch::default()) };
    let table = node.table(report)?;
    let known = allow_keys(&table, &SIGNUP_KEYS, "purchases", report);
    let plan = condition(&table, "plan", text, report);
    let campaign = condition(&table, "campaign", text, report);
    let metadata = metadata(&table, report)?;
    known.and(Ok(SignupMatch { plan: plan.ok()?, campaign: campaign.ok()?, metadata })).ok()
}

/// The match on purchases as sets of values.
pub(super) fn conditions(line: &LineMatch) -> Conditions {
    fn set<T: ToString>(values: &[T]) -> BTreeSet<String> {
        values.iter().map(ToString::to_string).collect()
    }
    let prices = line.price_id.iter().map(|prices| ("price_id".to_owned(), set(prices)));
    let currencies = line.currency.iter().map(|currencies| ("currency".to_owned(), set(currencies)));
    let metadata = line.metadata.iter().map(|(key, values)| (format!("metadata.{key}"), set(values)));
    Conditions(prices.chain(currencies).chain(metadata).collect())
}

fn allow_keys(table: &Table<'_, '_>, valid: &[&str], others: &str, report: &mut Report<'_>) -> Result<(), Refused> {
    let mut result = Ok(());
    for (key, node) in table.nodes().filter(|(key, _)| !valid.contains(key)) {
        result = Err(Refused);
        if LINE_KEYS.contains(&key) || SIGNUP_KEYS.contains(&key) {
            let (message, _) = misspelt(format!("is for rules on {others} only"), "", valid);
            node.refuse_key(report, &message, key, &[]);
        } else if let Some(bare) = key.strip_prefix("metadata.") {
            node.refuse_key(report, &format!("unknown key, write metadata.{bare} without quotes"), key, &[]);
        } else {
            node.refuse_key(report, "unknown key", key, valid);
        }
    }
    result
}

/// Reads one value of a condition, or notes what is wrong with it.
type ReadValue<T> = fn(&str, &Node<'_, '_>, &mut Report<'_>) -> Option<T>;

/// Absent where the key is.
fn condition<T>(
    table: &Table<'_, '_>,
    key: &str,
    read: ReadValue<T>,
    report: &mut Report<'_>,
) -> Result<Option<Vec<T>>, Refused> {
    let Some(node) = table.node(key) else { return Ok(None) };
    values(&node, read, report).map(Some).ok_or(Refused)
}

fn values<T>(node: &Node<'_, '_>, read: ReadValue<T>, report: &mut Report<'_>) -> Option<Vec<T>> {
    let values: Vec<Option<T>> = words(node, report)?.iter().map(|(word, item)| read(word, item, report)).collect();
    values.into_iter().collect()
}

/// The text of a value, or those of a list that is not empty.
pub(super) fn words<'a, 't>(node: &Node<'a, 't>, report: &mut Report<'_>) -> Option<Vec<(&'a str, Node<'a, 't>)>> {
    let Some(items) = node.items() else {
        return match node.value().as_str() {
            Some(text) => Some(vec![(text, node.clone())]),
            None => node.mismatch(report, node.value(), "a text or a list of texts"),
        };
    };
    if items.is_empty() {
        node.refuse(report, "is an empty list, which nothing fits");
        return None;
    }
    let texts: Vec<_> = items.iter().map(|item| Some((item.text(report)?, item.clone()))).collect();
    texts.into_iter().collect()
}

fn price(word: &str, node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<PriceId> {
    PriceId::parse(word).map_err(|error| node.refuse(report, format!("{word:?} {error}"))).ok()
}

fn currency(word: &str, node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<Currency> {
    let parsed = Currency::parse(word);
    if let Err(error) = &parsed {
        let codes = currency_codes();
        let near = nearest(word, codes.iter().map(String::as_str));
        report.add(node.at(), &node.path, format!("{word:?} {error}"), near);
    }
    parsed.ok()
}

/// Every current code: all words of three capitals that are one.
fn currency_codes() -> Vec<String> {
    let letters = || 'A'..='Z';
    let words = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}"))));
    words.filter(|word| Currency::parse(word).is_ok()).collect()
}

/// A plan or a campaign: messages have at most [`MAX_ID_BYTES`] bytes of either.
fn text(word: &str, node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    if word.len() > MAX_ID_BYTES {
        let bytes = word.len();
        node.refuse(report, format!("can never match: {bytes} bytes, messages have at most {MAX_ID_BYTES}"));
        return None;
    }
    Some(word.to_owned())
}

fn metadata(table: &Table<'_, '_>, report: &mut Report<'_>) -> Option<BTreeMap<String, Vec<String>>> {
    let Some(node) = table.node("metadata") else { return Some(BTreeMap::new()) };
    let metadata = node.table(report)?;
    let pairs: Vec<_> = metadata.nodes().map(|(key, node)| metadata_pair(key, &node, report)).collect();
    pairs.into_iter().collect()
}

fn metadata_pair(key: &str, node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<(String, Vec<String>)> {
    let values = values(node, metadata_value, report);
    let key = short_enough(key, METADATA_LIMITS.0, node, report);
    Some((key?, values?))
}

fn metadata_value(word: &str, node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    short_enough(word, METADATA_LIMITS.1, node, report)
}

fn short_enough(text: &str, most: usize, node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    let length = text.chars().count();
    if length > most {
        node.refuse(report, format!("can never match: {length} characters, messages have at most {most}"));
        return None;
    }
    Some(text.to_owned())
}
