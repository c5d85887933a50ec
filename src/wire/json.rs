//! Strict JSON: text to a small tree that keeps every number's digits as they were written.
//!
//! `serde_json` does the grammar; this file adds what it leaves open: a byte order mark, a key that stands twice, more
//! than [`MAX_DEPTH`] levels and a NUL are refused. Numbers stay text, so no float ever stands between a message and
//! an amount, and `1e400` or 40 digits are judged by the field they stand in.
//!
//! A body is read twice at most: `plain` reads in one pass what nearly every body is made of, and gives up at the first
//! thing that is rare or wrong. Then each level is read by itself, which takes one scan more for each level, but knows
//! where it stands and what a number looked like. The scans do not recurse, so depth costs neither the stack nor much time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::plain;

/// The most levels of objects and lists, the outermost included.
pub(super) const MAX_DEPTH: usize = 64;

/// A JSON object; no key stands twice.
pub(super) type Object<'a> = BTreeMap<Cow<'a, str>, Node<'a>>;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    /// As it was written: `49.10`, `1e400`, `-0`.
    Number(Cow<'a, str>),
    /// Unescaped, without NUL.
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Object<'a>),
}

/// Where a value stands, such as `data.lines[2].amount`. Made on the stack, written out only for a refusal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the body"),
            Self::Key(Path::Root, key) => write!(f, "{}", key.escape_debug()),
            Self::Key(parent, key) => write!(f, "{parent}.{}", key.escape_debug()),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Parses a whole body.
///
/// # Errors
/// What is wrong, in words, if the body is no UTF-8, starts with a byte order mark, is no JSON, nests too deep, has a
/// key twice in one object, or holds a NUL, escaped or not.
pub(super) fn parse(body: &[u8]) -> Result<Node<'_>, String> {
    if body.is_empty() {
        return Err("the body is empty".to_owned());
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| format!("the body is no UTF-8 from byte {} on", error.valid_up_to()))?;
    if text.starts_with('\u{feff}') {
        return Err("the body starts with a byte order mark".to_owned());
    }
    plain::read(text).map_or_else(|| by_levels(text), Ok)
}

/// Parses a whole text level by level.
pub(super) fn by_levels(text: &str) -> Result<Node<'_>, String> {
    if text.trim_ascii_start().starts_with('{') {
        // Reading its members checks the whole of it.
        return object(text, &Path::Root, deeper(0)?).map(Node::Object);
    }
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| no_json(&Path::Root, &error))?;
    node(raw.get(), &Path::Root, 0)
}

/// `text` is one value whose syntax is already checked, but for the escapes in strings.
fn node<'a>(text: &'a str, path: &Path<'_>, depth: usize) -> Result<Node<'a>, String> {
    match text.as_bytes().first() {
        Some(b'{') => object(text, path, deeper(depth)?).map(Node::Object),
        Some(b'[') => list(text, path, deeper(depth)?).map(Node::List),
        Some(b'"') => string(text, path).map(Node::Text),
        Some(b't') => Ok(Node::Bool(true)),
        Some(b'f') => Ok(Node::Bool(false)),
        Some(b'n') => Ok(Node::Null),
        _ => Ok(Node::Number(text.into())),
    }
}

fn deeper(depth: usize) -> Result<usize, String> {
    if depth == MAX_DEPTH { Err(format!("the body nests deeper than {MAX_DEPTH} levels")) } else { Ok(depth + 1) }
}

fn object<'a>(text: &'a str, path: &Path<'_>, depth: usize) -> Result<Object<'a>, String> {
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| no_json(path, &error))?;
    let mut object = Object::new();
    for (Key(key), raw) in members.0 {
        let value = node(raw.get(), &Path::Key(path, &key), depth)?;
        if key.contains('\0') {
            return Err(format!("{path} has a key that holds a NUL"));
        }
        if let Some((key, _)) = object.get_key_value(&key) {
            return Err(format!("{path} has the key {key:?} twice"));
        }
        object.insert(key, value);
    }
    Ok(object)
}

fn list<'a>(text: &'a str, path: &Path<'_>, depth: usize) -> Result<Vec<Node<'a>>, String> {
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| no_json(path, &error))?;
    items.into_iter().enumerate().map(|(index, raw)| node(raw.get(), &Path::Item(path, index), depth)).collect()
}

/// Borrows where there is no escape, which is nearly always.
fn string<'a>(text: &'a str, path: &Path<'_>) -> Result<Cow<'a, str>, String> {
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text.trim_matches('"')));
    }
    let unescaped: String = serde_json::from_str(text).map_err(|error| no_json(path, &error))?;
    if unescaped.contains('\0') { Err(format!("{path} holds a NUL")) } else { Ok(Cow::Owned(unescaped)) }
}

fn no_json(path: &Path<'_>, error: &serde_json::Error) -> String {
    format!("{path} is no JSON: {error}")
}

/// An object's members in the order in which they stand, keys that stand twice included.
struct Members<'a>(Vec<(Key<'a>, &'a RawValue)>);

/// A key; borrowed where it has no escape.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}
