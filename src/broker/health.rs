//! What the health endpoint and the metrics may know of the broker: plain numbers and words, no secrets.
//!
//! Written by consumers and publishers as it happens, also while nobody asks them for work; read by `http`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The broker's state as one process sees it.
#[derive(Debug, Default)]
pub struct Health {
    consumers: AtomicUsize,
    consuming: AtomicUsize,
    publishing: AtomicUsize,
    blocked: AtomicBool,
    sessions: AtomicU64,
    stale: AtomicU64,
    trouble: Mutex<BTreeMap<String, String>>,
}

/// One look at [`Health`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthView {
    /// All consumers have their connection; true while there are none.
    pub consuming: bool,
    /// There is a publishing connection.
    pub publishing: bool,
    /// The broker has blocked publishers (a memory or disk alarm): nothing is lost, publishing waits.
    pub blocked: bool,
    /// Consuming sessions begun since the start, the first one included.
    pub sessions: u64,
    /// Settlements of sessions that were gone: their messages come again.
    pub stale_settlements: u64,
    /// What is wrong now, by whom; absent when nothing is.
    pub last_error: Option<String>,
}

impl Health {
    /// One look.
    #[must_use]
    pub fn view(&self) -> HealthView {
        let trouble: Vec<_> = self.trouble().iter().map(|(who, what)| format!("{who}: {what}")).collect();
        HealthView {
            consuming: self.consuming.load(Relaxed) >= self.consumers.load(Relaxed),
            publishing: self.publishing.load(Relaxed) > 0,
            blocked: self.blocked.load(Relaxed),
            sessions: self.sessions.load(Relaxed),
            stale_settlements: self.stale.load(Relaxed),
            last_error: (!trouble.is_empty()).then(|| trouble.join("; ")),
        }
    }

    /// Records what is wrong with `who`, and says whether that is news.
    pub(super) fn failed(&self, who: &str, what: &str) -> bool {
        self.trouble().insert(who.to_owned(), what.to_owned()).as_deref() != Some(what)
    }

    /// Nothing is wrong with `who` any more.
    pub(super) fn recovered(&self, who: &str) {
        self.trouble().remove(who);
    }

    pub(super) fn consumers_added(&self) {
        self.consumers.fetch_add(1, Relaxed);
    }

    pub(super) fn consumers_removed(&self) {
        self.consumers.fetch_sub(1, Relaxed);
    }

    pub(super) fn session_begun(&self) {
        self.sessions.fetch_add(1, Relaxed);
    }

    pub(super) fn stale(&self, settlements: u64) {
        self.stale.fetch_add(settlements, Relaxed);
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Relaxed);
    }

    fn trouble(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(&self, role: Role) -> &AtomicUsize {
        match role {
            Role::Consuming => &self.consuming,
            Role::Publishing => &self.publishing,
        }
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Consuming,
    Publishing,
}

/// Counts a connection as up for as long as it lives.
#[derive(Debug)]
pub(super) struct Up {
    health: Arc<Health>,
    role: Role,
}

impl Up {
    pub(super) fn new(health: Arc<Health>, role: Role) -> Self {
        health.connected(role).fetch_add(1, Relaxed);
        Self { health, role }
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        if self.role == Role::Publishing {
            self.health.set_blocked(blocked);
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.set_blocked(false);
        self.health.connected(self.role).fetch_sub(1, Relaxed);
    }
}
