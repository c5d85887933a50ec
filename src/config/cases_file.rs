//! Reads the cases of a rules file: messages as they would arrive, and the grants that are expected of them.
//!
//! Words that a file can get wrong are checked here, against the rules that it belongs to: keys, message types, fields
//! of `data`, outcomes, codes, rules, credit types. What messages come to is for `trial` to say.

mod data;
mod expected;

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::document::{Node, Report, Table, parse};
use super::problem::ConfigError;
use super::rules_file::rule::one_of;
use super::settings::read;
use crate::domain::message::{MessageType, Timestamp};
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::rules::Rules;

pub use expected::ExpectedGrant;

const CASE_KEYS: [&str; 4] = ["name", "messages", "at", "grants"];
const MESSAGE_KEYS: [&str; 8] = ["type", "data", "id", "source", "time", "body", "outcome", "code"];
/// What `body` holds itself.
const ENVELOPE_KEYS: [&str; 5] = ["type", "data", "id", "source", "time"];

/// When a message happened that does not say so.
const DEFAULT_TIME: &str = "2026-01-01T00:00:00Z";
/// Who sent a message that does not say so.
const DEFAULT_SOURCE: &str = "/cases";

/// A valid file of cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CasesFile {
    /// In file order.
    pub cases: Vec<Case>,
}

/// Messages, and what is expected of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// For people; unique in the file.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// In the order in which they arrive. At least one.
    pub messages: Vec<CaseMessage>,
    /// When the grants are looked at; absent: right after the last message.
    pub at: Option<Timestamp>,
    /// Every grant that is expected, and no other.
    pub grants: Vec<ExpectedGrant>,
}

/// One message as it would arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseMessage {
    /// Where it begins.
    pub line: usize,
    /// The whole event as JSON.
    pub body: String,
    /// What has to become of it in the end; absent: anything but a refusal.
    pub outcome: Option<Outcome>,
    /// Why it has to be refused.
    pub code: Option<RefusalCode>,
}

impl CasesFile {
    /// The file beside `rules`: of `rules.toml` it is `rules.test.toml`.
    #[must_use]
    pub fn beside(rules: &Path) -> PathBuf {
        rules.with_extension("test.toml")
    }

    /// Reads the file at `path`, with cases for `rules`.
    ///
    /// # Errors
    /// [`ConfigError`] if it cannot be read, or with every mistake in it.
    pub fn read(path: &Path, rules: &Rules) -> Result<Self, ConfigError> {
        Self::parse(&path.display().to_string(), &read(path)?, rules)
    }

    /// Parses `text`; `file` names it in problems.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn parse(file: &str, text: &str, rules: &Rules) -> Result<Self, ConfigError> {
        let mut report = Report::new(file, text);
        let cases = cases(&mut report, rules);
        let problems = report.finish();
        match cases {
            Some(cases) if problems.is_empty() => Ok(Self { cases }),
            _ => Err(ConfigError { problems }),
        }
    }
}

fn cases(report: &mut Report<'_>, rules: &Rules) -> Option<Vec<Case>> {
    let parsed = parse(report)?;
    let root = Table::root(&parsed);
    root.allow(&["cases"], report);
    let tables = tables(&root.needed("cases", report)?, "cases", report)?;
    let read: Vec<Option<Case>> = tables.iter().map(|table| case(table, rules, report)).collect();
    let mut seen: Vec<&str> = Vec::new();
    for (case, table) in read.iter().zip(&tables).filter_map(|(case, table)| Some((case.as_ref()?, table))) {
        if seen.contains(&case.name.as_str()) {
            let message = format!("{:?} is the name of an earlier case already", case.name);
            report.add(table.span.start, &table.path_of("name"), message, None);
        }
        seen.push(&case.name);
    }
    read.into_iter().collect()
}

/// The tables of a list.
fn tables<'a, 't>(node: &Node<'a, 't>, what: &str, report: &mut Report<'_>) -> Option<Vec<Table<'a, 't>>> {
    let Some(items) = node.items() else {
        return node.mismatch(report, node.value(), &format!("a list of tables, such as [[{what}]],"));
    };
    let tables: Vec<Option<Table<'_, '_>>> = items.iter().map(|item| item.table(report)).collect();
    tables.into_iter().collect()
}

fn case(table: &Table<'_, '_>, rules: &Rules, report: &mut Report<'_>) -> Option<Case> {
    table.allow(&CASE_KEYS, report);
    let name = table.needed("name", report).and_then(|node| node.text(report).map(str::to_owned));
    let arrivals = table.needed("messages", report).and_then(|node| {
        let tables = tables(&node, "cases.messages", report)?;
        if tables.is_empty() {
            node.refuse(report, "is empty, a case needs a message");
        }
        let read: Vec<_> = (1..).zip(&tables).map(|(number, table)| message(number, table, report)).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    let at = table.node("at").map_or(Some(None), |node| instant(&node, report).map(Some));
    let grants = table.node("grants").map_or(Some(Vec::new()), |node| {
        let tables = tables(&node, "cases.grants", report)?;
        let read: Vec<_> = tables.iter().map(|table| expected::read(table, rules, report)).collect();
        read.into_iter().collect()
    });
    Some(Case { name: name?, line: report.line(table.span.start), messages: arrivals?, at: at?, grants: grants? })
}

fn message(number: usize, table: &Table<'_, '_>, report: &mut Report<'_>) -> Option<CaseMessage> {
    table.allow(&MESSAGE_KEYS, report);
    let body = match table.node("body") {
        Some(node) => whole(table, &node, report),
        None => event(number, table, report),
    };
    let outcome =
        table.node("outcome").map_or(Some(None), |node| one_of(&node, &Outcome::ALL, Outcome::name, report).map(Some));
    let code = table.node("code").map_or(Some(None), |node| {
        let code = one_of(&node, &RefusalCode::ALL, RefusalCode::name, report)?;
        if matches!(outcome, Some(Some(other)) if other != Outcome::DeadLettered) {
            node.refuse_key(report, "is for messages whose outcome is \"dead-lettered\" only", "code", &[]);
        }
        Some(Some(code))
    });
    Some(CaseMessage { line: report.line(table.span.start), body: body?, outcome: outcome?, code: code? })
}

/// A body as it came.
fn whole(table: &Table<'_, '_>, body: &Node<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    for key in ENVELOPE_KEYS {
        if let Some(node) = table.node(key) {
            node.refuse_key(report, "is in `body`, which is the whole event", key, &[]);
        }
    }
    body.text(report).map(str::to_owned)
}

/// The event that `type`, `data` and the rest of the envelope make.
fn event(number: usize, table: &Table<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    let kind =
        table.needed("type", report).and_then(|node| one_of(&node, &MessageType::ALL, MessageType::name, report));
    let data = table.needed("data", report).and_then(|node| node.table(report));
    if let (Some(kind), Some(data)) = (kind, &data) {
        data::allow_fields(kind, data, report);
    }
    let mut text = |key: &str, default: String| match table.node(key) {
        Some(node) => node.text(report).map(str::to_owned),
        None => Some(default),
    };
    let id = text("id", format!("message-{number}"));
    let source = text("source", DEFAULT_SOURCE.to_owned());
    let time = match table.node("time") {
        Some(node) => instant(&node, report).and_then(|_| node.value().as_str().map(str::to_owned)),
        None => Some(DEFAULT_TIME.to_owned()),
    };
    let data = data.and_then(|data| data::json_of(&data, report));
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    Some(format!(
        r#"{{"specversion":"1.0","id":{},"source":{},"type":{},"time":{},"data":{}}}"#,
        quoted(&id?),
        quoted(&source?),
        quoted(kind?.name()),
        quoted(&time?),
        data?,
    ))
}

/// A text with an RFC 3339 time.
fn instant(node: &Node<'_, '_>, report: &mut Report<'_>) -> Option<Timestamp> {
    let DeValue::String(text) = node.value() else {
        return node.mismatch(report, node.value(), "a text such as \"2026-01-31T12:00:00Z\"");
    };
    let parsed = chrono::DateTime::parse_from_rfc3339(text);
    if parsed.is_err() {
        node.refuse(report, format!("{text:?} is no RFC 3339 time with an offset, such as \"2026-01-31T12:00:00Z\""));
    }
    parsed.ok().map(|instant| instant.to_utc())
}

#[cfg(test)]
mod tests;
