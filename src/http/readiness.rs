//! What has to hold before the worker counts as ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// One thing that has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The database has the schema that this program expects.
    Schema,
    /// The database answers.
    Database,
    /// Messages come in: the consuming connection is up, with all its consumers.
    Consuming,
    /// The publishing connection is up and not blocked.
    Publishing,
    /// The relay publishes, or stands by while another process does. Without a relay: always.
    Relay,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 5] = [Self::Schema, Self::Database, Self::Consuming, Self::Publishing, Self::Relay];

    /// The word in `/readyz`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Database => "database",
            Self::Consuming => "consuming",
            Self::Publishing => "publishing",
            Self::Relay => "relay",
        }
    }
}

/// The conditions that do not hold, with the reasons. Clones share one state.
#[derive(Debug, Clone)]
pub struct Readiness {
    missing: Arc<watch::Sender<BTreeMap<Condition, String>>>,
}

impl Default for Readiness {
    /// Nothing holds yet.
    fn default() -> Self {
        let missing = Condition::ALL.into_iter().map(|condition| (condition, "starting".to_owned())).collect();
        Self { missing: Arc::new(watch::Sender::new(missing)) }
    }
}

impl Readiness {
    /// Says whether `condition` holds, or why not. The reason is shown to whoever asks: no secrets in it.
    ///
    /// Never blocks, and costs next to nothing where nothing changes.
    pub fn set(&self, condition: Condition, state: Result<(), String>) {
        self.missing.send_if_modified(|missing| match state {
            Ok(()) => missing.remove(&condition).is_some(),
            Err(why) if missing.get(&condition) == Some(&why) => false,
            Err(why) => {
                missing.insert(condition, why);
                true
            }
        });
    }

    /// What does not hold, and why. Empty: ready.
    #[must_use]
    pub fn missing(&self) -> Vec<(Condition, String)> {
        self.missing.borrow().iter().map(|(condition, why)| (*condition, why.clone())).collect()
    }

    /// Waits until everything holds.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so this ends only when the condition is met.
        let _ = self.missing.subscribe().wait_for(BTreeMap::is_empty).await;
    }
}
