//! A grant's life so far: when it was made, could be used, was used, taken back and ended, and what became of it.
//!
//! Pure: counted from the grant's entries. Together with what revokes took, `used`, `expired` and what remains come to
//! the grant's amount.

use super::amounts::Credits;
use super::ledger::{Entry, EntryType};
use super::message::Timestamp;

/// A grant's life. Instants are those from which the entries count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// It was made, to start later.
    pub scheduled_at: Option<Timestamp>,
    /// It could be used from then on.
    pub granted_at: Option<Timestamp>,
    /// The first use that got something.
    pub first_used_at: Option<Timestamp>,
    /// The last one.
    pub last_used_at: Option<Timestamp>,
    /// The last revoke that took something.
    pub revoked_at: Option<Timestamp>,
    /// It ended with something remaining.
    pub expired_at: Option<Timestamp>,
    /// What uses took.
    pub used: Credits,
    /// What was left at its end.
    pub expired: Credits,
}

impl Default for Life {
    /// Nothing happened yet.
    fn default() -> Self {
        Self {
            scheduled_at: None,
            granted_at: None,
            first_used_at: None,
            last_used_at: None,
            revoked_at: None,
            expired_at: None,
            used: Credits::ZERO,
            expired: Credits::ZERO,
        }
    }
}

impl Life {
    /// Takes the grant's next entry.
    pub fn take(&mut self, entry: &Entry) {
        let at = Some(entry.counts_at);
        let moved = entry.demand.map_or(Credits::ZERO, |demand| demand.requested.less(demand.shortfall));
        match entry.kind {
            EntryType::Schedule => self.scheduled_at = self.scheduled_at.or(at),
            EntryType::Grant => self.granted_at = self.granted_at.or(at),
            EntryType::Consume if !moved.is_zero() => {
                self.first_used_at = self.first_used_at.or(at);
                self.last_used_at = at;
                self.used = self.used.plus(moved);
            }
            EntryType::Revoke if !moved.is_zero() => self.revoked_at = at,
            EntryType::Expire => {
                self.expired_at = at;
                self.expired = Credits::stored(-entry.delta.value()).unwrap_or(self.expired);
            }
            EntryType::Consume | EntryType::Revoke | EntryType::Reinstate => {}
        }
    }
}
