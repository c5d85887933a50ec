//! Reads a rules file into [`Rules`], or says everything that is wrong with it.
//!
//! What a single rule may say is in `rule`, `matches` and `grant`; here is what rules mean for each other: the first rule that
//! takes a line decides, so a rule behind others that take all its lines is a mistake, and so are two rules with
//! different triggers that can match one line, since order of arrival would then pick the grant.

mod conditions;
mod grant;
mod matches;
pub(in crate::config) mod rule;

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use self::rule::{Draft, Rule};
use super::document::{Node, Report, Table, parse};
use super::problem::ConfigError;
use super::settings::read;
use crate::domain::amounts::{MAX_SCALE, Scale};
use crate::domain::ids::{CreditType, RulesHash};
use crate::domain::rules::Rules;

/// A valid rules file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesFile {
    /// What it says.
    pub rules: Rules,
    /// Its text, byte for byte: `store` keeps it under its hash.
    pub text: String,
}

/// The credit types of a file; without a scale where the scale itself is a mistake.
type CreditTypes = BTreeMap<CreditType, Option<Scale>>;

impl RulesFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] if it cannot be read, or with every mistake in it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&path.display().to_string(), read(path)?)
    }

    /// Parses `text`; `file` names it in problems.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn parse(file: &str, text: String) -> Result<Self, ConfigError> {
        let mut report = Report::new(file, &text);
        let rules = rules(&text, &mut report);
        let problems = report.finish();
        match rules {
            Some(rules) if problems.is_empty() => Ok(Self { rules, text }),
            _ => Err(ConfigError { problems }),
        }
    }
}

fn rules<'t>(text: &'t str, report: &mut Report<'t>) -> Option<Rules> {
    let parsed = parse(report)?;
    let root = Table::root(&parsed);
    root.allow(&["credit_types", "rules"], report);
    let credit_types = credit_types(&root, report);
    let nodes = root.node("rules").map_or(Some(Vec::new()), |node| tables(&node, report))?;
    let drafts: Vec<Draft> = nodes.iter().map(|node| Draft::read(node, &credit_types, report)).collect();
    refuse_duplicate_names(&drafts, report);
    refuse_unreachable(&drafts, report);
    refuse_two_triggers(&drafts, report);
    let hash = RulesHash(Sha256::digest(text.as_bytes()).into());
    assemble(hash, credit_types, drafts)
}

fn tables<'a, 't>(node: &Node<'a, 't>, report: &mut Report<'_>) -> Option<Vec<Table<'a, 't>>> {
    let Some(items) = node.items() else {
        return node.mismatch(report, node.value(), "a list of tables, each headed [[rules]],");
    };
    Some(items.iter().filter_map(|item| item.table(report)).collect())
}

fn credit_types(root: &Table<'_, '_>, report: &mut Report<'_>) -> CreditTypes {
    let Some(table) = root.needed("credit_types", report).and_then(|node| node.table(report)) else {
        return CreditTypes::new();
    };
    if table.nodes().next().is_none() {
        report.add(table.span.start, &table.path, "names no credit type", None);
    }
    table.nodes().filter_map(|(name, node)| credit_type(name, &node, report)).collect()
}

fn credit_type(name: &str, node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<(CreditType, Option<Scale>)> {
    let scale = node.table(report).and_then(|table| {
        table.allow(&["scale"], report);
        scale(&table.needed("scale", report)?, report)
    });
    match CreditType::parse(name) {
        Ok(name) => Some((name, scale)),
        Err(error) => {
            node.refuse(report, format!("the name {error}"));
            None
        }
    }
}

fn scale(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<Scale> {
    let places = node.whole(report)?;
    let scale = u8::try_from(places).ok().and_then(Scale::new);
    if scale.is_none() {
        node.refuse(report, format!("{places} is not within 0 to {MAX_SCALE}"));
    }
    scale
}

fn refuse_duplicate_names(drafts: &[Draft], report: &mut Report<'_>) {
    let taken = |name: &str| drafts.iter().any(|draft| draft.name() == Some(name));
    for (at, draft) in drafts.iter().enumerate() {
        let Some(name) = draft.name() else { continue };
        let Some(first) = drafts.iter().take(at).find(|other| other.name() == Some(name)) else { continue };
        let free = (2..drafts.len() + 2).map(|number| format!("{name}-{number}")).find(|free| !taken(free));
        let message = format!("{name:?} is the name of {} already", first.path);
        report.add(draft.name_at, &format!("{}.name", draft.path), message, free.as_deref());
    }
}

/// Refuses each rule whose lines are all taken before it is asked.
fn refuse_unreachable(drafts: &[Draft], report: &mut Report<'_>) {
    let purchases: Vec<_> = drafts.iter().filter_map(|draft| Some((draft, draft.on_purchases.as_ref()?))).collect();
    for (at, (draft, (_, conditions))) in purchases.iter().enumerate() {
        let earlier = purchases.get(..at).unwrap_or_default();
        let takers = conditions.taken_by(earlier.iter().map(|(_, (_, conditions))| conditions));
        let takers: Vec<String> = takers.iter().filter_map(|at| Some(earlier.get(*at)?.0.title())).collect();
        if !takers.is_empty() {
            let message = format!("can never match, all its lines are taken before by {}", takers.join(" and "));
            report.add(draft.match_at, &format!("{}.match", draft.path), message, None);
        }
    }
}

/// Refuses each rule that can match a line of an earlier rule with another trigger.
fn refuse_two_triggers(drafts: &[Draft], report: &mut Report<'_>) {
    let purchases: Vec<_> = drafts.iter().filter_map(|draft| Some((draft, draft.on_purchases.as_ref()?))).collect();
    for (at, (draft, (triggers, conditions))) in purchases.iter().enumerate() {
        let mut earlier = purchases.iter().take(at);
        let clash = earlier.find(|(_, (others, other))| others != triggers && other.overlaps(conditions));
        if let Some((other, (others, _))) = clash {
            let message = format!(
                "{triggers} here and {others} in {}, but one line can match both; one rule can have both in its list",
                other.title()
            );
            report.add(draft.on_at, &format!("{}.on", draft.path), message, Some(&others.to_string()));
        }
    }
}

/// All of it, or nothing where the report holds a mistake: a file is never taken in part.
fn assemble(hash: RulesHash, credit_types: CreditTypes, drafts: Vec<Draft>) -> Option<Rules> {
    let credit_types = credit_types.into_iter().map(|(name, scale)| Some((name, scale?))).collect::<Option<_>>()?;
    let mut rules = Rules { hash, credit_types, purchase: Vec::new(), signup: Vec::new() };
    for draft in drafts {
        match draft.rule? {
            Rule::Purchase(rule) => rules.purchase.push(rule),
            Rule::Signup(rule) => rules.signup.push(rule),
        }
    }
    Some(rules)
}

#[cfg(test)]
mod tests;
