//! One `[[rules]]` table: its name, trigger and repetition; `matches` and `grant` read the tables in it.

use std::fmt;

use super::CreditTypes;
use super::conditions::Conditions;
use super::{grant, matches};
use crate::config::document::{Node, Report, Table};
use crate::domain::ids::{MAX_ID_BYTES, RuleName};
use crate::domain::message::MessageType;
use crate::domain::rules::{GrantTemplate, LineMatch, OncePer, PurchaseRule, SignupMatch, SignupRule, WhenPaid};

const KEYS: [&str; 6] = ["name", "on", "match", "grant", "when_paid", "once_per"];
const TRIGGERS: [&str; 3] = ["payment-succeeded", "invoice-issued", "signup"];

/// A rule's actor is `rule:<name>`, and actors are ids.
const MAX_NAME_BYTES: usize = MAX_ID_BYTES - "rule:".len();

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// Somebody bought something.
    Purchase(Triggers),
    /// Somebody signed up.
    Signup,
}

/// Which messages trigger a purchase rule: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Triggers {
    payment: bool,
    invoice: bool,
}

impl fmt::Display for Triggers {
    /// As in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.payment, self.invoice) {
            (true, true) => r#"["payment-succeeded", "invoice-issued"]"#,
            (true, false) => r#""payment-succeeded""#,
            (false, _) => r#""invoice-issued""#,
        })
    }
}

/// A rule as far as it could be read, with the places that later checks name.
pub(super) struct Draft {
    /// `rules[1]`
    pub(super) path: String,
    name: Option<RuleName>,
    /// Triggers and match, where the rule is on purchases and both could be read.
    pub(super) on_purchases: Option<(Triggers, Conditions)>,
    /// The whole rule; absent if anything in it is a mistake.
    pub(super) rule: Option<Rule>,
    /// Where its name stands.
    pub(super) name_at: usize,
    /// Where its `on` stands.
    pub(super) on_at: usize,
    /// Where its `match` stands, or the rule if it has none.
    pub(super) match_at: usize,
}

/// A whole rule of either sort.
pub(super) enum Rule {
    /// On payments or invoices.
    Purchase(PurchaseRule),
    /// On signups.
    Signup(SignupRule),
}

impl Draft {
    /// Reads one rule and notes every mistake that it has by itself.
    pub(super) fn read(table: &Table<'_, '_>, credit_types: &CreditTypes, report: &mut Report<'_>) -> Self {
        allow_keys(table, report);
        let name = table.needed("name", report).and_then(|node| name(&node, report));
        let trigger = table.needed("on", report).and_then(|node| trigger(&node, report));
        let grant = table.needed("grant", report).and_then(|node| node.table(report));
        let grant = grant.and_then(|table| grant::read(&table, trigger, credit_types, report));
        let (on_purchases, rule) = match trigger {
            Some(Trigger::Purchase(triggers)) => {
                let line = matches::line(table, report);
                let conditions = line.as_ref().map(|line| (triggers, matches::conditions(line)));
                (conditions, purchase(table, triggers, (name.clone(), line, grant), report))
            }
            Some(Trigger::Signup) => {
                let signup_match = matches::signup(table, report);
                (None, signup(table, (name.clone(), signup_match, grant), report))
            }
            None => (None, None),
        };
        let at = |key: &str| table.node(key).map_or(table.span.start, |node| node.at());
        let (name_at, on_at, match_at) = (at("name"), at("on"), at("match"));
        Self { path: table.path.clone(), name, on_purchases, rule, name_at, on_at, match_at }
    }

    /// The rule's name, if it is one.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_ref().map(RuleName::as_str)
    }

    /// `rules[0] "credit-packs"`
    pub(super) fn title(&self) -> String {
        self.name().map_or_else(|| self.path.clone(), |name| format!("{} {name:?}", self.path))
    }
}

/// Refuses unknown keys; those of a table inside are told where they belong.
fn allow_keys(table: &Table<'_, '_>, report: &mut Report<'_>) {
    for (key, node) in table.nodes().filter(|(key, _)| !KEYS.contains(key)) {
        if grant::KEYS.contains(&key) {
            node.refuse_key(report, "unknown key here, it belongs into `grant`", key, &[]);
        } else if matches::LINE_KEYS.contains(&key) || matches::SIGNUP_KEYS.contains(&key) {
            node.refuse_key(report, "unknown key here, it belongs into `match`", key, &[]);
        } else {
            node.refuse_key(report, "unknown key", key, &KEYS);
        }
    }
}

fn name(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<RuleName> {
    let text = node.text(report)?;
    match RuleName::parse(text) {
        Ok(_) if text.len() > MAX_NAME_BYTES => {
            node.refuse(report, format!("has {} bytes, at most {MAX_NAME_BYTES} are allowed", text.len()));
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            node.refuse(report, format!("{text:?} {error}"));
            None
        }
    }
}

fn trigger(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<Trigger> {
    let words = matches::words(node, report)?;
    let unknown: Vec<_> = words.iter().filter(|(word, _)| !TRIGGERS.contains(word)).collect();
    for (word, item) in &unknown {
        item.refuse_word(report, "is no trigger", word, &TRIGGERS);
    }
    let has = |kind: MessageType| words.iter().any(|(word, _)| *word == kind.name());
    let triggers = Triggers { payment: has(MessageType::PaymentSucceeded), invoice: has(MessageType::InvoiceIssued) };
    match (has(MessageType::Signup), triggers.payment || triggers.invoice) {
        _ if !unknown.is_empty() => None,
        (true, true) => {
            node.refuse(report, "mixes signup with purchases, a rule is on one of them");
            None
        }
        (true, false) => Some(Trigger::Signup),
        (false, _) => Some(Trigger::Purchase(triggers)),
    }
}

fn purchase(
    table: &Table<'_, '_>,
    triggers: Triggers,
    (name, matches, grant): (Option<RuleName>, Option<LineMatch>, Option<GrantTemplate>),
    report: &mut Report<'_>,
) -> Option<Rule> {
    let when_paid = when_paid(table, triggers, report);
    refuse_here(table, "once_per", "is for rules on signups only", report);
    Some(Rule::Purchase(PurchaseRule {
        name: name?,
        on_payment: triggers.payment,
        on_invoice: triggers.invoice,
        when_paid: when_paid?,
        matches: matches?,
        grant: grant?,
    }))
}

fn signup(
    table: &Table<'_, '_>,
    (name, matches, grant): (Option<RuleName>, Option<SignupMatch>, Option<GrantTemplate>),
    report: &mut Report<'_>,
) -> Option<Rule> {
    let once_per = once_per(table, report);
    refuse_here(table, "when_paid", "is for rules on purchases only", report);
    Some(Rule::Signup(SignupRule { name: name?, once_per: once_per?, matches: matches?, grant: grant? }))
}

fn refuse_here(table: &Table<'_, '_>, key: &str, message: &str, report: &mut Report<'_>) {
    if let Some(node) = table.node(key) {
        node.refuse_key(report, message, key, &[]);
    }
}

fn when_paid(table: &Table<'_, '_>, triggers: Triggers, report: &mut Report<'_>) -> Option<WhenPaid> {
    let Some(node) = table.node("when_paid") else { return Some(WhenPaid::FirstPayment) };
    let found = one_of(&node, &[WhenPaid::FirstPayment, WhenPaid::InFull], WhenPaid::name, report);
    if triggers.invoice {
        let message = "is for rules on payment-succeeded alone: with invoice-issued in `on` a grant is due at once";
        node.refuse_key(report, message, "when_paid", &[]);
    }
    found
}

fn once_per(table: &Table<'_, '_>, report: &mut Report<'_>) -> Option<OncePer> {
    let Some(node) = table.node("once_per") else { return Some(OncePer::Customer) };
    let name = |once_per| match once_per {
        OncePer::Customer => "customer",
        OncePer::Identity => "identity",
    };
    one_of(&node, &[OncePer::Customer, OncePer::Identity], name, report)
}

/// The value whose name the text is, or a mistake that names the nearest one.
pub(in crate::config) fn one_of<T: Copy>(
    node: &Node<'_, '_>,
    values: &[T],
    name: impl Fn(T) -> &'static str,
    report: &mut Report<'_>,
) -> Option<T> {
    let text = node.text(report)?;
    let found = values.iter().copied().find(|value| name(*value) == text);
    if found.is_none() {
        let names: Vec<&str> = values.iter().map(|value| name(*value)).collect();
        node.refuse_word(report, "is no valid word", text, &names);
    }
    found
}
