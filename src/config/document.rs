//! A TOML text with positions: every value knows its key path and where it stands.
//!
//! Reading goes on after a mistake, so that all of them are reported at once; what cannot be read is `None`, and the
//! report then holds the reason.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, listed, nearest};

const MISSING: &str = "is missing";

/// The mistakes found in one text so far.
pub(super) struct Report<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<(usize, Problem)>,
    /// Paths of keys that are there under a misspelt name, and so are not missing.
    misspelt: BTreeSet<String>,
}

impl<'t> Report<'t> {
    /// Starts without mistakes.
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, found: Vec::new(), misspelt: BTreeSet::new() }
    }

    /// Notes one mistake.
    pub(super) fn add(&mut self, at: usize, key: &str, message: impl Into<String>, suggestion: Option<&str>) {
        let problem = Problem {
            file: self.file.to_owned(),
            line: Some(self.line(at)),
            key: key.to_owned(),
            message: message.into(),
            suggestion: suggestion.map(str::to_owned),
        };
        self.found.push((at, problem));
    }

    /// The line of a byte offset, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    /// All mistakes, by position.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.found.retain(|(_, problem)| problem.message != MISSING || !self.misspelt.contains(&problem.key));
        self.found.sort_by_key(|(at, _)| *at);
        self.found.into_iter().map(|(_, problem)| problem).collect()
    }
}

/// Parses `text` and notes what is no TOML; a line of the text is never shown, since it may hold a password.
pub(super) fn parse<'t>(report: &mut Report<'t>) -> Option<Spanned<DeTable<'t>>> {
    let text = report.text;
    let (table, errors) = DeTable::parse_recoverable(text);
    let ok = errors.is_empty();
    for error in errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        report.add(at, "", format!("is no TOML: {}", error.message()), None);
    }
    ok.then_some(table)
}

/// A table and the path that leads to it.
#[derive(Clone)]
pub(super) struct Table<'a, 't> {
    /// Such as `rules[1].grant`; empty for the whole text.
    pub(super) path: String,
    /// Where it stands.
    pub(super) span: Range<usize>,
    entries: &'a DeTable<'t>,
}

impl<'a, 't> Table<'a, 't> {
    /// The whole text as a table.
    pub(super) fn root(parsed: &'a Spanned<DeTable<'t>>) -> Self {
        Self { path: String::new(), span: 0..0, entries: parsed.get_ref() }
    }

    /// The path of `key` in this table.
    pub(super) fn path_of(&self, key: &str) -> String {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let shown = if key.bytes().all(bare) { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { shown } else { format!("{}.{shown}", self.path) }
    }

    /// The value of `key`.
    pub(super) fn node(&self, key: &str) -> Option<Node<'a, 't>> {
        let (name, value) = self.entries.get_key_value(key)?;
        Some(Node { path: self.path_of(key), key_at: name.span().start, value })
    }

    /// Every key with its value, by key.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&'a str, Node<'a, 't>)> {
        self.entries.iter().map(|(name, value)| {
            let key = name.get_ref().as_ref();
            (key, Node { path: self.path_of(key), key_at: name.span().start, value })
        })
    }

    /// The value of a key that has to be there.
    pub(super) fn needed(&self, key: &str, report: &mut Report<'_>) -> Option<Node<'a, 't>> {
        let node = self.node(key);
        if node.is_none() {
            report.add(self.span.start, &self.path_of(key), MISSING, None);
        }
        node
    }

    /// Refuses every key that is not in `valid`.
    pub(super) fn allow(&self, valid: &[&str], report: &mut Report<'_>) {
        for (key, node) in self.nodes().filter(|(key, _)| !valid.contains(key)) {
            node.refuse_key(report, "unknown key", key, valid);
        }
    }
}

/// A value, the path of its key, and where both stand.
#[derive(Clone)]
pub(super) struct Node<'a, 't> {
    /// Such as `rules[1].grant.credit_type`.
    pub(super) path: String,
    key_at: usize,
    value: &'a Spanned<DeValue<'t>>,
}

impl<'a, 't> Node<'a, 't> {
    /// Where the value stands.
    pub(super) fn at(&self) -> usize {
        self.value.span().start
    }

    /// The value itself.
    pub(super) fn value(&self) -> &'a DeValue<'t> {
        self.value.get_ref()
    }

    /// Notes a mistake in the value.
    pub(super) fn refuse(&self, report: &mut Report<'_>, message: impl Into<String>) {
        report.add(self.at(), &self.path, message, None);
    }

    /// Notes that the value, `word`, is none of `valid`, and the nearest of them.
    pub(super) fn refuse_word(&self, report: &mut Report<'_>, what: &str, word: &str, valid: &[&str]) {
        let (message, near) = misspelt(format!("{word:?} {what}"), word, valid);
        report.add(self.at(), &self.path, message, near);
    }

    /// Notes that the key, `key`, is none of `valid`, and the nearest of them.
    pub(super) fn refuse_key(&self, report: &mut Report<'_>, what: &str, key: &str, valid: &[&str]) {
        let (message, near) = misspelt(what.to_owned(), key, valid);
        if let (Some(near), Some(parent)) = (near, self.path.strip_suffix(key)) {
            report.misspelt.insert(format!("{parent}{near}"));
        }
        report.add(self.key_at, &self.path, message, near);
    }

    /// Notes a mistake in the key, and what to write instead.
    pub(super) fn replace_key(&self, report: &mut Report<'_>, message: &str, instead: &str) {
        report.add(self.key_at, &self.path, message, Some(instead));
    }

    /// The value as a text.
    pub(super) fn text(&self, report: &mut Report<'_>) -> Option<&'a str> {
        match self.value() {
            DeValue::String(text) => Some(text.as_ref()),
            other => self.mismatch(report, other, "a text in quotes"),
        }
    }

    /// The value as a whole number of any size below 2^63.
    pub(super) fn whole(&self, report: &mut Report<'_>) -> Option<i64> {
        match self.value() {
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                parsed.map_err(|_| self.refuse(report, format!("{number} is out of all bounds"))).ok()
            }
            other => self.mismatch(report, other, "a whole number"),
        }
    }

    /// The value as a table.
    pub(super) fn table(&self, report: &mut Report<'_>) -> Option<Table<'a, 't>> {
        match self.value() {
            DeValue::Table(entries) => Some(Table { path: self.path.clone(), span: self.value.span(), entries }),
            other => self.mismatch(report, other, "a table"),
        }
    }

    /// The items of a list; `None` for any other value, without a mistake.
    pub(super) fn items(&self) -> Option<Vec<Node<'a, 't>>> {
        let DeValue::Array(items) = self.value() else { return None };
        let item = |(at, value): (usize, &'a Spanned<DeValue<'t>>)| Node {
            path: format!("{}[{at}]", self.path),
            key_at: value.span().start,
            value,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Notes that the value is of the wrong kind.
    pub(super) fn mismatch<T>(&self, report: &mut Report<'_>, found: &DeValue<'_>, needed: &str) -> Option<T> {
        self.refuse(report, format!("is {}, {needed} is needed", kind(found)));
        None
    }
}

/// The message for a word that is none of `valid`: the nearest one, or all if none is near.
pub(super) fn misspelt<'v>(message: String, word: &str, valid: &[&'v str]) -> (String, Option<&'v str>) {
    match nearest(word, valid.iter().copied()) {
        Some(near) => (message, Some(near)),
        None if valid.is_empty() => (message, None),
        None => (format!("{message}, valid: {}", listed(valid.iter().copied())), None),
    }
}

/// What a value is, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a TOML float",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
