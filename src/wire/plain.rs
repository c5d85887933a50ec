//! The quick way to read a body: one pass, for what nearly every body is made of.
//!
//! What it reads it reads as [`super::json`] would. It gives up, without a word, at whatever that one refuses, and at every
//! number that is no integer of 64 bits: how such a number was written is lost here. Called by `json` alone.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::json::{Key, MAX_DEPTH, Node, Object};

/// The value that `text` is, if nothing in it is rare or wrong.
pub(super) fn read(text: &str) -> Option<Node<'_>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let node = Value { depth: 0 }.deserialize(&mut reader).ok()?;
    reader.end().ok().map(|()| node)
}

/// A value within so many levels of objects and lists.
#[derive(Clone, Copy)]
struct Value {
    depth: usize,
}

impl Value {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH { Err(E::custom("too deep")) } else { Ok(Self { depth: self.depth + 1 }) }
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without floats")
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number(number.to_string().into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number(number.to_string().into()))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        // A NUL has to be escaped in JSON, and what has an escape is not borrowed.
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'de>, E> {
        if text.contains('\0') { Err(E::custom("a NUL")) } else { Ok(Node::Text(text.to_owned().into())) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        let item = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = items.next_element_seed(item)? {
            list.push(value);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node<'de>, A::Error> {
        let member = self.deeper()?;
        let mut object = Object::new();
        while let Some(Key(key)) = members.next_key()? {
            let value = members.next_value_seed(member)?;
            if key.contains('\0') || object.insert(key, value).is_some() {
                return Err(A::Error::custom("a NUL in a key, or the key twice"));
            }
        }
        Ok(Node::Object(object))
    }
}
