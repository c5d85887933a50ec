//! What a rule's `match` takes, as sets of values, and how two of them lie to each other.
//!
//! A condition is a key with the values that fit; all of a rule's conditions have to hold. A key without a condition
//! takes every value and its absence, of which there is always one more than any list names.

use std::collections::{BTreeMap, BTreeSet};

/// The most pieces that a match is cut into before the search for what earlier rules leave of it gives up, and the
/// rule passes. Far above what files that people write come to.
const MAX_PIECES: usize = 10_000;

/// Keys (`price_id`, `metadata.tier`) with the values that fit. Empty: fits everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conditions(pub(super) BTreeMap<String, BTreeSet<String>>);

impl Conditions {
    /// Whether something can fit both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().all(|(key, values)| other.0.get(key).is_none_or(|others| !values.is_disjoint(others)))
    }

    /// Whether all that fits `other` fits this one too.
    pub(super) fn takes_all_of(&self, other: &Self) -> bool {
        self.0.iter().all(|(key, values)| other.0.get(key).is_some_and(|others| others.is_subset(values)))
    }

    /// Which of `earlier` leave nothing of this one: a single one if one is enough, none if something is left.
    pub(super) fn taken_by<'c>(&self, earlier: impl Iterator<Item = &'c Self>) -> Vec<usize> {
        // One that asks for a key that we do not ask for always leaves something: the values that it does not list.
        let of_our_keys = |other: &Self| other.0.keys().all(|key| self.0.contains_key(key));
        let takers: Vec<(usize, &Self)> =
            earlier.enumerate().filter(|(_, other)| of_our_keys(other) && other.overlaps(self)).collect();
        if let Some((at, _)) = takers.iter().find(|(_, other)| other.takes_all_of(self)) {
            return vec![*at];
        }
        let mut left = vec![self.clone()];
        for (_, taker) in &takers {
            left = left.iter().flat_map(|piece| piece.without(taker)).collect();
            if left.len() > MAX_PIECES {
                return Vec::new();
            }
        }
        if left.is_empty() { takers.into_iter().map(|(at, _)| at).collect() } else { Vec::new() }
    }

    /// What is left of this one, in pieces that do not overlap, when `taker` is served first.
    fn without(&self, taker: &Self) -> Vec<Self> {
        if !self.overlaps(taker) {
            return vec![self.clone()];
        }
        let mut pieces = Vec::new();
        let mut rest = self.clone();
        for (key, taken) in &taker.0 {
            let ours = rest.0.get(key).cloned().unwrap_or_default();
            let outside: BTreeSet<String> = ours.difference(taken).cloned().collect();
            if !outside.is_empty() {
                let mut piece = rest.clone();
                piece.0.insert(key.clone(), outside);
                pieces.push(piece);
            }
            rest.0.insert(key.clone(), ours.intersection(taken).cloned().collect());
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: [&str; 3] = ["price_id", "currency", "metadata.tier"];
    const VALUES: [&str; 3] = ["a", "b", "c"];
    /// Absent, the listed values, and one that no list names: enough to tell all matches over [`VALUES`] apart.
    const WORLD: [Option<&str>; 5] = [None, Some("a"), Some("b"), Some("c"), Some("other")];

    fn conditions() -> impl Strategy<Value = Conditions> {
        let values = prop::sample::subsequence(VALUES.to_vec(), 1..=3);
        prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), values, 0..=3).prop_map(|map| {
            let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
            Conditions(map.into_iter().map(|(key, values)| (key.to_owned(), owned(values))).collect())
        })
    }

    fn fits(conditions: &Conditions, line: &[Option<&str>]) -> bool {
        let value = |key: &str| KEYS.iter().zip(line).find(|(name, _)| **name == key).and_then(|(_, value)| *value);
        conditions.0.iter().all(|(key, values)| value(key).is_some_and(|value| values.contains(value)))
    }

    fn lines() -> Vec<[Option<&'static str>; 3]> {
        let pairs = WORLD.iter().flat_map(|a| WORLD.iter().map(move |b| (*a, *b)));
        pairs.flat_map(|(a, b)| WORLD.iter().map(move |c| [a, b, *c])).collect()
    }

    proptest! {
        #[test]
        fn overlap_is_what_trying_every_line_finds(a in conditions(), b in conditions()) {
            let found = lines().iter().any(|line| fits(&a, line) && fits(&b, line));
            prop_assert_eq!(a.overlaps(&b), found);
            prop_assert_eq!(b.overlaps(&a), found);
        }

        #[test]
        fn taking_all_is_what_trying_every_line_finds(a in conditions(), b in conditions()) {
            let found = lines().iter().filter(|line| fits(&b, &line[..])).all(|line| fits(&a, line));
            prop_assert_eq!(a.takes_all_of(&b), found);
        }

        #[test]
        fn a_rule_is_unreachable_exactly_if_no_line_reaches_it(
            earlier in prop::collection::vec(conditions(), 0..6),
            rule in conditions(),
        ) {
            let reached = |line: &&[Option<&str>; 3]| !earlier.iter().any(|other| fits(other, &line[..]));
            let reachable = lines().iter().filter(|line| fits(&rule, &line[..])).any(|line| reached(&line));
            prop_assert_eq!(rule.taken_by(earlier.iter()).is_empty(), reachable);
        }
    }
}
