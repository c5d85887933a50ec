//! Entries on their way from the lanes of this process to its relay, so that it need not read them back.
//!
//! Only a shortcut: what is not here is read from the ledger, and what is here is the same as there, since it is handed
//! over after its commit. While no relay takes anything, nothing is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::domain::ledger::{LedgerEntry, ShownTerms};

/// So many entries are kept at most, some tens of megabytes; beyond it they are left to be read.
const MOST: usize = 20_000;

/// An entry with what its event shows of its grant's terms.
pub type Handed = (LedgerEntry, Option<ShownTerms>);

/// What the lanes of a process hand to its relay.
#[derive(Debug, Default)]
pub struct Handover {
    entries: Mutex<BTreeMap<i64, Handed>>,
    wanted: AtomicBool,
    others: AtomicBool,
    bell: Notify,
}

impl Handover {
    /// Hands over the entries of one commit, and wakes the relay.
    pub fn give(&self, entries: Vec<Handed>) {
        if self.wanted.load(Ordering::Relaxed) {
            let mut held = self.held();
            if held.len() + entries.len() > MOST {
                held.clear();
                self.others.store(true, Ordering::Relaxed);
            } else {
                held.extend(entries.into_iter().map(|entry| (entry.0.position.cast_signed(), entry)));
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
        let mut held = self.held();
        while held.first_key_value().is_some_and(|(first, _)| *first <= position) {
            held.pop_first();
        }
        let mut taken = Vec::new();
        let mut next = position + 1;
        while taken.len() < most {
            let Some(entry) = held.remove(&next) else { break };
            taken.push(entry);
            next += 1;
        }
        taken
    }

    /// Whether entries have to be read: another process wrote some, or those that are held lie behind a gap.
    pub fn is_behind(&self) -> bool {
        self.others.swap(false, Ordering::Relaxed) || !self.held().is_empty()
    }

    /// Says whether this process publishes.
    pub fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
        if !wanted {
            self.held().clear();
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<i64, Handed>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
