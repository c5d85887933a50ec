//! Mistakes in a file or a variable, worded so that a person can mend them.

use std::fmt;

/// Every mistake that was found, in the order of the files and the places in them. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// One entry a mistake.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// One mistake: where, what, and what may have been meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named, or `environment variable NAME`.
    pub file: String,
    /// Counted from 1; absent for variables and for what is nowhere in the file.
    pub line: Option<usize>,
    /// The path of the key, such as `rules[1].grant.credit_type`; empty where the text is no TOML.
    pub key: String,
    /// What is wrong, with the value unless it is secret.
    pub message: String,
    /// The nearest valid word.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    /// ``rules.toml:12: rules[1].grant.credit_typ: unknown key, did you mean `credit_type`?``
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.suggestion {
            Some(word) => write!(f, ", did you mean `{word}`?"),
            None => Ok(()),
        }
    }
}

/// The word of `valid` that is most like `word`, if any is like it at all: at most half of its letters differ.
#[must_use]
pub fn nearest<'a>(word: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    valid
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(2) / 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `` `a`, `b`, `c` ``: for a refusal when no valid word is near.
pub(super) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_across_typos_and_capitals_but_not_at_any_price() {
        let words = ["credit_type", "credits", "priority"];
        for (given, expected) in [
            ("credit_typ", Some("credit_type")),
            ("Credits", Some("credits")),
            ("cerdits", Some("credits")),
            ("prio", Some("priority")),
            ("colour", None),
        ] {
            assert_eq!(nearest(given, words), expected, "{given}");
        }
    }
}
