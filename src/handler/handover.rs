//! Entries on their way from the lanes of this process to its relay, so that it need not read them back.
//!
//! Only a shortcut: what is not here is read from the ledger, and what is here is the same as there, since it is handed
//! over after its commit. While no relay takes anything, nothing is kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::domain::ledger::{LedgerEntry, ShownTerms};

/// So many entries are kept at most, some tens of megabytes; beyond it they are left to be read.
const MOST: usize = 20_000;

/// An entry with what its event shows of its grant's terms.
pub type Handed = (LedgerEntry, Option<ShownTerms>);

/// Entries in the order of their positions, those of one commit together: no place is missing within one.
#[derive(Debug, Default)]
struct Held {
    /// By the position of each commit's first entry; none is empty.
    commits: BTreeMap<u64, VecDeque<Handed>>,
    entries: usize,
}

/// What the lanes of a process hand to its relay.
#[derive(Debug, Default)]
pub struct Handover {
    held: Mutex<Held>,
    wanted: AtomicBool,
    others: AtomicBool,
    bell: Notify,
}

impl Handover {
    /// Hands over the entries of one commit, and wakes the relay.
    pub fn give(&self, entries: Vec<Handed>) {
        if self.wanted.load(Ordering::Relaxed) {
            let mut held = self.held();
            if held.entries + entries.len() > MOST {
                *held = Held::default();
                self.others.store(true, Ordering::Relaxed);
            } else if let Some((first, _)) = entries.first() {
                held.entries += entries.len();
                held.commits.insert(first.position, entries.into());
            }
        }
        self.bell.notify_one();
    }

    /// In whose name a commit has to call the relays of other processes: nobody's while the relay is this one's. Should
    /// it move to another process meanwhile, that one begins by reading the ledger.
    pub fn author(&self, process_start: Uuid) -> Option<Uuid> {
        (!self.wanted.load(Ordering::Relaxed)).then_some(process_start)
    }

    /// Wakes the relay: another process has written entries, which have to be read.
    pub fn ring_for_others(&self) {
        self.others.store(true, Ordering::Relaxed);
        self.bell.notify_one();
    }

    /// Waits until somebody rings.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// The entries right behind `position`, without a gap, `most` of them. Drops what lies at or before it.
    pub fn take_after(&self, position: i64, most: usize) -> Vec<Handed> {
        let Held { commits, entries } = &mut *self.held();
        let mut taken: Vec<Handed> = Vec::new();
        let mut next = position.cast_unsigned() + 1;
        while let Some(mut first) = commits.first_entry().filter(|first| *first.key() <= next) {
            let commit = first.get_mut();
            let before = commit.len();
            let old = commit.iter().take_while(|(entry, _)| entry.position < next).count();
            commit.drain(..old);
            let is_next = commit.front().is_some_and(|(entry, _)| entry.position == next);
            let part = if is_next { commit.len().min(most - taken.len()) } else { 0 };
            taken.extend(commit.drain(..part));
            next += part as u64;
            *entries -= before - commit.len();
            if !commit.is_empty() {
                break;
            }
            first.remove();
        }
        taken
    }

    /// Whether entries have to be read: another process wrote some, or those that are held lie behind a gap.
    pub fn is_behind(&self) -> bool {
        self.others.swap(false, Ordering::Relaxed) || !self.held().commits.is_empty()
    }

    /// Says whether this process publishes.
    pub fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
        if !wanted {
            *self.held() = Held::default();
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::amounts::Credits;
    use crate::domain::ids::{Actor, CreditType, CustomerId, MessageId, Source};
    use crate::domain::ledger::{Cause, Delta, Entry, EntryType};
    use crate::domain::message::Timestamp;

    fn entry(position: u64) -> Handed {
        let entry = Entry {
            customer_id: CustomerId::parse("cus_1").unwrap(),
            credit_type: CreditType::parse("credits").unwrap(),
            sequence: position,
            kind: EntryType::Consume,
            delta: Delta::ZERO,
            end_balance: Credits::ZERO,
            grant: None,
            terms: None,
            demand: None,
            actor: Actor::usage(),
            reason: None,
            cause: Cause {
                source: Source::parse("/s").unwrap(),
                id: MessageId::parse("evt_1").unwrap(),
                kind: "usage-recorded".into(),
            },
            effective_at: Timestamp::default(),
            counts_at: Timestamp::default(),
        };
        (LedgerEntry { position, entry_id: Uuid::nil(), recorded_at: Timestamp::default(), entry }, None)
    }

    /// What is taken of commits that hold these positions, one call after the other.
    fn check(commits: &[std::ops::RangeInclusive<u64>], calls: &[(i64, usize, &[u64])], behind: bool) {
        let handover = Handover::default();
        handover.want(true);
        for commit in commits {
            handover.give(commit.clone().map(entry).collect());
        }
        for (position, most, expected) in calls {
            let taken = handover.take_after(*position, *most);
            let taken: Vec<u64> = taken.iter().map(|(entry, _)| entry.position).collect();
            assert_eq!(taken, *expected, "after {position}, {most} at most");
        }
        assert_eq!(handover.is_behind(), behind, "whether any is left");
    }

    #[test]
    fn entries_are_taken_in_order_across_commits_however_these_came() {
        check(&[4..=5, 1..=3], &[(0, 10, &[1, 2, 3, 4, 5]), (5, 10, &[])], false);
        check(&[1..=3, 4..=5], &[(0, 2, &[1, 2]), (2, 2, &[3, 4]), (4, 2, &[5])], false);
    }

    #[test]
    fn entries_at_or_before_the_position_are_dropped() {
        check(&[1..=3, 4..=6], &[(4, 10, &[5, 6])], false);
        check(&[1..=3], &[(7, 10, &[])], false);
    }

    #[test]
    fn nothing_is_taken_behind_a_gap() {
        check(&[1..=2, 4..=5], &[(0, 10, &[1, 2]), (2, 10, &[]), (3, 10, &[4, 5])], false);
        check(&[3..=4], &[(1, 10, &[])], true);
    }

    #[test]
    fn who_goes_back_behind_what_was_taken_finds_a_gap() {
        check(&[1..=4], &[(0, 2, &[1, 2]), (0, 2, &[]), (1, 2, &[])], true);
        check(&[1..=4], &[(0, 2, &[1, 2]), (0, 2, &[]), (2, 2, &[3, 4])], false);
    }

    #[test]
    fn too_many_are_left_to_be_read() {
        check(&[1..=20_000, 20_001..=20_001], &[(0, 10, &[])], true);
    }
}
