//! Why a rule does not take a line or a signup: the first of its conditions that is not met.
//!
//! Borrowed from rule and message, so that asking costs nothing. Called by `rules`, which decides by it; its words are
//! for `explain`.

use std::fmt;

use super::amounts::Currency;
use super::ids::PriceId;

/// A condition of a rule that is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit<'a> {
    /// The line's price is another one.
    Price {
        /// The line's.
        given: &'a PriceId,
        /// One of these would fit.
        wanted: &'a [PriceId],
    },
    /// The line's money is of another currency.
    Currency {
        /// The line's.
        given: Currency,
        /// One of these would fit.
        wanted: &'a [Currency],
    },
    /// A field of the signup says something else, or nothing.
    Text {
        /// The field: `plan` or `campaign`.
        key: &'static str,
        /// What it says.
        given: Option<&'a str>,
        /// One of these would fit.
        wanted: &'a [String],
    },
    /// A key of the metadata says something else, or is absent.
    Metadata {
        /// The key.
        key: &'a str,
        /// Its value.
        given: Option<&'a str>,
        /// One of these would fit.
        wanted: &'a [String],
    },
}

impl fmt::Display for Misfit<'_> {
    /// `price_id is "seats", not "pack" or "packs"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Price { given, wanted } => tell(f, "price_id", Some(given.as_str()), wanted),
            Self::Currency { given, wanted } => tell(f, "currency", Some(given.code()), wanted),
            Self::Text { key, given, wanted } => tell(f, key, *given, wanted),
            Self::Metadata { key, given, wanted } => tell(f, &format!("metadata.{key}"), *given, wanted),
        }
    }
}

fn tell<T: fmt::Display>(f: &mut fmt::Formatter<'_>, key: &str, given: Option<&str>, wanted: &[T]) -> fmt::Result {
    match given {
        Some(given) => write!(f, "{key} is \"{given}\", not ")?,
        None => write!(f, "{key} is absent, not ")?,
    }
    for (at, one) in wanted.iter().enumerate() {
        let before = if at == 0 { "" } else { " or " };
        write!(f, "{before}\"{one}\"")?;
    }
    Ok(())
}
