//! Typed access to the fields of an object: each getter reads one field, checks it and notes what is wrong.
//!
//! A getter never stops the reading. It gives `None` for a field that is absent or refused and leaves a note in
//! [`Problems`], so that every field is looked at and the code that comes first in the order of checks wins, wherever
//! its field stands. So call all getters first and use `?` on their results afterwards. `null` is absent everywhere.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use rust_decimal::Decimal;

use super::json::{Node, Object, Path};
use crate::domain::amounts::{Credits, Currency, InvalidAmount, MAX_SCALE, Money, Scale, parse_plain};
use crate::domain::ids::{MAX_REASON_CHARS, Reason};
use crate::domain::message::Metadata;
use crate::domain::outcome::RefusalCode;

/// The longest free text other than a reason, in bytes of UTF-8.
pub(super) const MAX_TEXT_BYTES: usize = 255;
/// The most names in one list: a purchase has a handful, and each is locked.
pub(super) const MAX_NAMES: usize = 100;
/// The most keys in one metadata object.
pub(super) const MAX_METADATA_KEYS: usize = 50;
/// The longest metadata key, in Unicode scalar values.
pub(super) const MAX_METADATA_KEY_CHARS: usize = 40;
/// The longest metadata value, in Unicode scalar values.
pub(super) const MAX_METADATA_VALUE_CHARS: usize = 500;
/// The largest quantity of one line.
pub(super) const MAX_QUANTITY: u64 = 1_000_000_000;
/// The longest value that a refusal shows, in Unicode scalar values.
const MAX_SHOWN_CHARS: usize = 80;
/// The longest refusal, in Unicode scalar values: a path may hold a sender's key.
const MAX_DETAIL_CHARS: usize = 400;

/// What is wrong with a message: the first finding of each code.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<BTreeMap<RefusalCode, String>>);

impl Problems {
    /// The code that comes first in the order of checks, and its first finding.
    pub(super) fn first(&self) -> Option<(RefusalCode, String)> {
        self.0.borrow().first_key_value().map(|(code, detail)| (*code, detail.clone()))
    }

    fn note(&self, code: RefusalCode, detail: impl FnOnce() -> String) {
        self.0.borrow_mut().entry(code).or_insert_with(detail);
    }
}

/// Whether an amount may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    Allowed,
    Refused,
}

/// The fields of one object, where it stands, and where its problems are noted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    object: &'a Object<'a>,
    path: Path<'a>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// The fields of the outermost object.
    pub(super) fn root(object: &'a Object<'a>, problems: &'a Problems) -> Self {
        Self { object, path: Path::Root, problems }
    }

    /// The field's value, unless it is absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Node<'a>> {
        self.object.get(name).filter(|node| **node != Node::Null)
    }

    /// Notes what is wrong with the field, and shows the value that it has.
    pub(super) fn note(&self, code: RefusalCode, name: &str, what: impl Display) {
        self.note_value(code, &Path::Key(&self.path, name), self.get(name), what);
    }

    /// Notes what is wrong with the object as a whole.
    pub(super) fn note_whole(&self, what: impl Display) {
        self.note_value(RefusalCode::InvalidField, &self.path, None, what);
    }

    fn note_value(&self, code: RefusalCode, path: &Path<'_>, value: Option<&Node<'_>>, what: impl Display) {
        self.problems.note(code, || match value {
            Some(value) => format!("{path} {} {what}", shown(value)),
            None => format!("{path} {what}"),
        });
    }

    fn invalid(&self, name: &str, what: impl Display) {
        self.note(RefusalCode::InvalidField, name, what);
    }

    fn needed(&self, name: &str) -> Option<&'a Node<'a>> {
        let node = self.get(name);
        if node.is_none() {
            self.note_value(RefusalCode::InvalidField, &Path::Key(&self.path, name), None, "is missing");
        }
        node
    }

    /// A text that has to be there.
    pub(super) fn required<T, E: Display>(&self, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        self.needed(name)?;
        self.optional(name, parse)
    }

    /// A text that may be absent.
    pub(super) fn optional<T, E: Display>(&self, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        let Node::Text(text) = self.get(name)? else {
            self.invalid(name, "is no text");
            return None;
        };
        parse(text).map_err(|error| self.invalid(name, error)).ok()
    }

    /// A free text of at most [`MAX_TEXT_BYTES`].
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.optional(name, |text| match text.len() {
            0..=MAX_TEXT_BYTES => Ok(text.to_owned()),
            long => Err(format!("has {long} bytes, at most {MAX_TEXT_BYTES} are allowed")),
        })
    }

    /// A list of names, without order or repetition; empty if absent.
    pub(super) fn names<T: Ord, E: Display>(&self, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> BTreeSet<T> {
        let path = Path::Key(&self.path, name);
        let read = |(index, node): (usize, &Node<'_>)| {
            let what: Cow<'_, str> = match node {
                Node::Text(text) => match parse(text) {
                    Ok(value) => return Some(value),
                    Err(error) => error.to_string().into(),
                },
                _ => "is no text".into(),
            };
            self.note_value(RefusalCode::InvalidField, &Path::Item(&path, index), Some(node), what);
            None
        };
        self.list(name, MAX_NAMES).iter().enumerate().filter_map(read).collect()
    }

    /// Hands the object in the field to `read`; it has to be there.
    pub(super) fn object<T>(&self, name: &str, read: impl FnOnce(&Fields<'_>) -> Option<T>) -> Option<T> {
        let path = Path::Key(&self.path, name);
        let Node::Object(object) = self.needed(name)? else {
            self.invalid(name, "is no object");
            return None;
        };
        read(&Fields { object, path, problems: self.problems })
    }

    /// Hands each object of a list of at most `limit` to `read`; none if the list is absent.
    pub(super) fn each(&self, name: &str, limit: usize, mut read: impl FnMut(&Fields<'_>)) {
        let list = Path::Key(&self.path, name);
        for (index, node) in self.list(name, limit).iter().enumerate() {
            let path = Path::Item(&list, index);
            match node {
                Node::Object(object) => read(&Fields { object, path, problems: self.problems }),
                _ => self.note_value(RefusalCode::InvalidField, &path, Some(node), "is no object"),
            }
        }
    }

    fn list(&self, name: &str, limit: usize) -> &'a [Node<'a>] {
        match self.get(name) {
            None => &[],
            Some(Node::List(items)) if items.len() <= limit => items,
            Some(Node::List(items)) => {
                self.invalid(name, format_args!("has {} items, at most {limit} are allowed", items.len()));
                &[]
            }
            Some(_) => {
                self.invalid(name, "is no list");
                &[]
            }
        }
    }

    /// A list that has to be there, be it empty: notes its absence.
    pub(super) fn list_needed(&self, name: &str) {
        self.needed(name);
    }

    /// `currency`, which has to be there.
    pub(super) fn currency(&self) -> Option<Currency> {
        let Node::Text(code) = self.needed("currency")? else {
            self.invalid("currency", "is no text");
            return None;
        };
        Currency::parse(code).map_err(|error| self.note(RefusalCode::UnknownCurrency, "currency", error)).ok()
    }

    /// An amount of money in major units, which has to be there. Without a currency its places are not checked.
    pub(super) fn amount(&self, name: &str, currency: Option<Currency>, zero: Zero) -> Option<Decimal> {
        self.decimal(name, |amount| checked(amount, currency, zero))
    }

    /// An amount of credits, which has to be there, of at most [`MAX_SCALE`] places: those of its credit type are known
    /// by the rules.
    pub(super) fn credits(&self, name: &str, zero: Zero) -> Option<Credits> {
        let credits = self.decimal(name, |amount| {
            let scale = Scale::new(MAX_SCALE).ok_or(InvalidAmount::NotPlain)?;
            match Credits::new(amount, scale)? {
                none if none.is_zero() && zero == Zero::Refused => Err(InvalidAmount::Zero),
                credits => Ok(credits.value()),
            }
        });
        credits.and_then(Credits::stored)
    }

    fn decimal(&self, name: &str, check: impl Fn(Decimal) -> Result<Decimal, InvalidAmount>) -> Option<Decimal> {
        let written = match self.needed(name)? {
            Node::Text(text) => text.as_ref(),
            Node::Number(digits) if digits.contains(['.', 'e', 'E']) => {
                let what = "is a JSON number with a point or an exponent: write a text such as \"49.00\"";
                self.note(RefusalCode::InvalidAmount, name, what);
                return None;
            }
            Node::Number(digits) => digits.as_ref(),
            _ => {
                self.invalid(name, "is no decimal text");
                return None;
            }
        };
        let amount = parse_plain(written).and_then(check);
        amount.map_err(|error| self.note(RefusalCode::InvalidAmount, name, error)).ok()
    }

    /// `quantity`: 1 to [`MAX_QUANTITY`], 1 if absent.
    pub(super) fn quantity(&self) -> Option<u64> {
        if self.get("quantity").is_none() {
            return Some(1);
        }
        let quantity = self.whole("quantity").filter(|quantity| (1..=MAX_QUANTITY).contains(quantity));
        if quantity.is_none() {
            self.invalid("quantity", format_args!("is no JSON integer from 1 to {MAX_QUANTITY}"));
        }
        quantity
    }

    /// A JSON integer from 0 on; `None` for anything else, and notes nothing.
    pub(super) fn whole(&self, name: &str) -> Option<u64> {
        match self.get(name) {
            Some(Node::Number(digits)) => digits.parse().ok(),
            _ => None,
        }
    }

    /// `metadata`; empty if absent.
    pub(super) fn metadata(&self) -> Metadata {
        let object = match self.get("metadata") {
            None => return Metadata::new(),
            Some(Node::Object(object)) => object,
            Some(_) => {
                self.invalid("metadata", "is no object");
                return Metadata::new();
            }
        };
        let present: Vec<_> = object.iter().filter(|(_, value)| **value != Node::Null).collect();
        if present.len() > MAX_METADATA_KEYS {
            let what = format_args!("has {} keys, at most {MAX_METADATA_KEYS} are allowed", present.len());
            self.invalid("metadata", what);
        }
        let path = Path::Key(&self.path, "metadata");
        present.into_iter().filter_map(|(key, value)| self.metadata_entry(&path, key, value)).collect()
    }

    fn metadata_entry(&self, path: &Path<'_>, key: &str, value: &Node<'_>) -> Option<(String, String)> {
        let shown_key: String = key.chars().take(MAX_METADATA_KEY_CHARS).collect();
        let path = Path::Key(path, &shown_key);
        let what = match value {
            _ if longer(key, MAX_METADATA_KEY_CHARS) => {
                format!("has a key of more than {MAX_METADATA_KEY_CHARS} characters")
            }
            Node::Text(text) if longer(text, MAX_METADATA_VALUE_CHARS) => {
                format!("has more than {MAX_METADATA_VALUE_CHARS} characters")
            }
            Node::Text(text) => return Some((key.to_owned(), text.clone().into_owned())),
            _ => "is no text".to_owned(),
        };
        self.note_value(RefusalCode::InvalidField, &path, Some(value), what);
        None
    }
}

/// Words for people.
pub(super) fn reason(text: &str) -> Result<Reason, String> {
    Reason::parse(text).ok_or_else(|| format!("has more than {MAX_REASON_CHARS} characters"))
}

fn checked(amount: Decimal, currency: Option<Currency>, zero: Zero) -> Result<Decimal, InvalidAmount> {
    match (currency, zero) {
        (Some(currency), Zero::Refused) => Money::positive(amount, currency).map(Money::amount),
        (Some(currency), Zero::Allowed) => Money::new(amount, currency).map(Money::amount),
        (None, Zero::Refused) if amount.is_zero() => Err(InvalidAmount::Zero),
        (None, _) => Ok(amount),
    }
}

fn longer(text: &str, limit: usize) -> bool {
    text.chars().nth(limit).is_some()
}

/// The value as a refusal shows it: cut, and without control characters.
fn shown(value: &Node<'_>) -> String {
    match value {
        Node::Null => "null".to_owned(),
        Node::Bool(value) => value.to_string(),
        Node::Number(digits) => start(digits, MAX_SHOWN_CHARS),
        Node::Text(text) => format!("{:?}", start(text, MAX_SHOWN_CHARS)),
        Node::List(_) => "[…]".to_owned(),
        Node::Object(_) => "{…}".to_owned(),
    }
}

/// A refusal's words, cut to a length that fits a table.
pub(super) fn cut(detail: &str) -> String {
    start(detail, MAX_DETAIL_CHARS)
}

fn start(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
