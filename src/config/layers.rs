//! The layers that settings come from, laid over each other: for every key the last one that states it.
//!
//! Keys are `section.key`. The built-in `config/default.toml` states every key, so it is also the list of valid ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use chrono::TimeDelta;
use secrecy::SecretString;
use toml::de::DeValue;

use super::document::{Node, Report, Table, kind, misspelt, parse};
use super::problem::{Problem, nearest};
use crate::domain::span;

/// What starts the name of every variable of ours.
const PREFIX: &str = "CREDITS_";

/// The customary names of the two URLs. `CREDITS_<SECTION>_<KEY>` wins over them.
const CUSTOMARY: [(&str, &str); 2] = [("DATABASE_URL", "database.url"), ("AMQP_URL", "broker.url")];

/// Every key with the value that counts, and the mistakes so far. Has no `Debug`: it holds URLs.
pub(super) struct Layers {
    values: BTreeMap<String, Stated>,
    problems: Vec<Problem>,
}

/// A value and who stated it.
struct Stated {
    origin: Origin,
    value: Raw,
}

#[derive(Clone)]
struct Origin {
    file: String,
    line: Option<usize>,
}

enum Raw {
    Text(String),
    Whole(i64),
    Flag(bool),
    /// From the environment: text that becomes what the key needs.
    Variable(String),
    /// A list, a table, a float: no key takes one.
    Other(&'static str),
}

impl Raw {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Variable(_) => "a text",
            Self::Whole(_) => "a whole number",
            Self::Flag(_) => "a truth value",
            Self::Other(kind) => kind,
        }
    }
}

impl Layers {
    /// Starts with the layer that states every key.
    pub(super) fn new(defaults: &str) -> Self {
        let mut layers = Self { values: BTreeMap::new(), problems: Vec::new() };
        layers.lay_file("config/default.toml", defaults, None);
        layers
    }

    /// Lays a file over what is there; a key that no layer below states is refused.
    pub(super) fn add_file(&mut self, file: &str, text: &str) {
        let valid: BTreeSet<String> = self.values.keys().cloned().collect();
        self.lay_file(file, text, Some(&valid));
    }

    /// Lays the variables over what is there.
    ///
    /// A misspelt one is refused. Variables of ours that are no settings at all (such as `CREDITS_SERVICES`) and those
    /// that Kubernetes sets for a service called `credits` are let alone.
    pub(super) fn add_environment(&mut self, environment: &BTreeMap<String, String>) {
        for (variable, key) in CUSTOMARY {
            self.lay_variable(environment, variable, key);
        }
        let known: BTreeMap<String, String> = self.values.keys().map(|key| (variable_of(key), key.clone())).collect();
        for (variable, key) in &known {
            self.lay_variable(environment, variable, key);
        }
        let ours = environment.keys().filter(|name| name.starts_with(PREFIX) && !known.contains_key(*name));
        for name in ours.filter(|name| !is_service_link(name)) {
            self.refuse_variable(name, &known);
        }
    }

    fn lay_file(&mut self, file: &str, text: &str, valid: Option<&BTreeSet<String>>) {
        let mut report = Report::new(file, text);
        if let Some(parsed) = parse(&mut report) {
            let root = Table::root(&parsed);
            if let Some(valid) = valid {
                let sections: BTreeSet<&str> = valid.iter().filter_map(|key| section(key)).collect();
                root.allow(&sections.into_iter().collect::<Vec<_>>(), &mut report);
            }
            for (name, node) in root.nodes().filter(|(name, _)| is_section(name, valid)) {
                self.lay_section(file, name, &node, valid, &mut report);
            }
        }
        self.problems.extend(report.finish());
    }

    fn lay_section(
        &mut self,
        file: &str,
        name: &str,
        node: &Node<'_, '_>,
        valid: Option<&BTreeSet<String>>,
        report: &mut Report<'_>,
    ) {
        let Some(table) = node.table(report) else { return };
        if let Some(valid) = valid {
            let keys: Vec<&str> = valid.iter().filter_map(|key| key.strip_prefix(name)?.strip_prefix('.')).collect();
            table.allow(&keys, report);
        }
        for (_, node) in table.nodes().filter(|(_, node)| valid.is_none_or(|valid| valid.contains(&node.path))) {
            let origin = Origin { file: file.to_owned(), line: Some(report.line(node.at())) };
            self.values.insert(node.path.clone(), Stated { origin, value: raw(node.value()) });
        }
    }

    fn lay_variable(&mut self, environment: &BTreeMap<String, String>, variable: &str, key: &str) {
        if let Some(value) = environment.get(variable).filter(|value| !value.is_empty()) {
            let origin = Origin { file: format!("environment variable {variable}"), line: None };
            self.values.insert(key.to_owned(), Stated { origin, value: Raw::Variable(value.clone()) });
        }
    }

    fn refuse_variable(&mut self, name: &str, known: &BTreeMap<String, String>) {
        let near = nearest_variable(name, known);
        let in_section = known.iter().any(|(_, key)| {
            section(key).is_some_and(|section| name.starts_with(&format!("{PREFIX}{}_", section.to_uppercase())))
        });
        if in_section || near.is_some() {
            self.problems.push(Problem {
                file: format!("environment variable {name}"),
                line: None,
                key: String::new(),
                message: "names no setting".to_owned(),
                suggestion: near.map(str::to_owned),
            });
        }
    }

    /// Notes a mistake in the value of `key`, naming who stated it.
    pub(super) fn refuse(&mut self, key: &str, message: impl Into<String>, suggestion: Option<&str>) {
        let origin = self.values.get(key).map(|stated| stated.origin.clone());
        let Origin { file, line } = origin.unwrap_or(Origin { file: "config/default.toml".to_owned(), line: None });
        let suggestion = suggestion.map(str::to_owned);
        self.problems.push(Problem { file, line, key: key.to_owned(), message: message.into(), suggestion });
    }

    /// The mistakes of all layers: the file's by position, then the variables'.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line.is_none(), problem.line));
        self.problems
    }

    /// The text of `key`.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.values.get(key).map(|stated| &stated.value) {
            Some(Raw::Text(text) | Raw::Variable(text)) => Some(text.clone()),
            other => {
                let found = other.map_or("missing", Raw::kind);
                self.refuse(key, format!("is {found}, a text in quotes is needed"), None);
                None
            }
        }
    }

    /// One of `words`.
    pub(super) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let valid: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let (message, near) = misspelt(format!("{text:?} is no valid word"), &text, &valid);
            self.refuse(key, message, near);
        }
        found.map(|(_, value)| *value)
    }

    /// A truth value.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let found = match self.values.get(key).map(|stated| &stated.value) {
            Some(Raw::Flag(flag)) => return Some(*flag),
            Some(Raw::Variable(text)) if text == "true" => return Some(true),
            Some(Raw::Variable(text)) if text == "false" => return Some(false),
            Some(Raw::Variable(text)) => format!("{text:?}"),
            other => other.map_or("missing", Raw::kind).to_owned(),
        };
        self.refuse(key, format!("is {found}, true or false is needed"), None);
        None
    }

    /// A whole number within `range`.
    pub(super) fn whole<T>(&mut self, key: &str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        let number = match self.values.get(key).map(|stated| &stated.value) {
            Some(Raw::Whole(number)) => Ok(*number),
            Some(Raw::Variable(text)) => text.parse().map_err(|_| format!("{text:?}")),
            other => Err(other.map_or("missing", Raw::kind).to_owned()),
        };
        match number {
            Err(found) => self.refuse(key, format!("is {found}, a whole number is needed"), None),
            Ok(number) => match T::try_from(number) {
                Ok(value) if range.contains(&value) => return Some(value),
                _ => {
                    let (least, most) = (range.start(), range.end());
                    self.refuse(key, format!("{number} is not within {least} to {most}"), None);
                }
            },
        }
        None
    }

    /// A length of time within `least` to `most`, both written as in the file.
    pub(super) fn span(&mut self, key: &str, least: &str, most: &str) -> Option<std::time::Duration> {
        let text = self.text(key)?;
        let within = |span: &TimeDelta| {
            span::parse(least).is_ok_and(|least| *span >= least) && span::parse(most).is_ok_and(|most| *span <= most)
        };
        match span::parse(&text) {
            Ok(span) if within(&span) => return span.to_std().ok(),
            Ok(_) => self.refuse(key, format!("{text:?} is not within {least} to {most}"), None),
            Err(error) => self.refuse(key, format!("{text:?} {error}"), None),
        }
        None
    }

    /// A URL of one of `schemes`, absent where it is empty. Its value is never shown.
    pub(super) fn url(&mut self, key: &str, schemes: &[&str]) -> Option<SecretString> {
        let text = self.text(key).filter(|text| !text.is_empty())?;
        if schemes.iter().any(|scheme| text.starts_with(scheme)) {
            return Some(SecretString::from(text));
        }
        let schemes = schemes.join("… or ");
        self.refuse(key, format!("starts otherwise than {schemes}…"), None);
        None
    }

    /// A text for which `valid` holds; `what` says what is needed.
    pub(super) fn name(&mut self, key: &str, what: &str, valid: fn(&str) -> bool) -> Option<String> {
        let text = self.text(key)?;
        if !valid(&text) {
            self.refuse(key, format!("{text:?} is not {what}"), None);
            return None;
        }
        Some(text)
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Raw::Whole(number),
            Err(_) => Raw::Other("a number out of all bounds"),
        },
        other => Raw::Other(kind(other)),
    }
}

fn section(key: &str) -> Option<&str> {
    key.split_once('.').map(|(section, _)| section)
}

fn is_section(name: &str, valid: Option<&BTreeSet<String>>) -> bool {
    valid.is_none_or(|valid| valid.iter().any(|key| section(key) == Some(name)))
}

fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// The nearest name behind the prefix, so that the prefix itself does not make names alike.
fn nearest_variable<'k>(name: &str, known: &'k BTreeMap<String, String>) -> Option<&'k str> {
    let bare = name.strip_prefix(PREFIX)?;
    let near = nearest(bare, known.keys().filter_map(|variable| variable.strip_prefix(PREFIX)))?;
    known.keys().map(String::as_str).find(|variable| variable.strip_prefix(PREFIX) == Some(near))
}

/// Whether Kubernetes sets this variable for a service whose name starts with `credits`.
fn is_service_link(name: &str) -> bool {
    let docker_style = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    name.ends_with("_PORT")
        || name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| docker_style(rest))
}
