//! A refund became the conflict: its keys are released, and purchases that it alone held together come apart.
//!
//! Each part keeps what was decided by its own facts, and every grant is brought to what the part demands; messages
//! that took effect only by the refund's links wait again, visibly. Called by `books`.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::books::{Books, Purchase, Record, contradicts, record};
use super::facts::{Contradiction, Facts, Kept};
use super::groups::Regrouped;
use super::ids::{InboxId, PurchaseId};
use super::message::Name;
use super::outcome::Outcome;
use super::purchase::{Decision, GrantingFact, Verdict};

impl Books<'_> {
    /// Puts the purchases of `regrouped` in the place of those in `ids`, and says what became of `new`.
    pub(super) fn rearrange(&mut self, ids: &BTreeSet<PurchaseId>, regrouped: Regrouped, new: &Kept) -> Record {
        let old: Vec<Purchase> = ids.iter().filter_map(|id| self.purchases.remove(id)).collect();
        self.changes.purchases.extend(ids.iter().copied());
        for (kept, why) in regrouped.released {
            self.release(&kept, &why);
        }
        let mut free = ids.clone();
        let mut told = record(new.inbox_id, Outcome::Applied, String::new(), Vec::new());
        let mut entries = Vec::new();
        for messages in regrouped.purchases {
            let Ok(facts) = Facts::unite(&messages) else { continue };
            let purchase = self.part_of(&old, messages, &facts, &mut free, new);
            let (id, holds_new) = (purchase.id, purchase.kept.iter().any(|kept| kept.inbox_id == new.inbox_id));
            self.changes.purchases.insert(id);
            self.name(id, &facts.names);
            self.moved(&purchase.decided);
            let record = self.evaluate(purchase, &facts, new);
            entries.extend(record.entries.iter().copied());
            if holds_new {
                told = record;
            }
        }
        entries.sort_unstable();
        Record { entries, ..told }
    }

    fn release(&mut self, kept: &Kept, why: &Contradiction) {
        self.keys.remove(&kept.key);
        self.changes.released.insert(kept.key.clone());
        self.changes.earlier.push(contradicts(kept.inbox_id, why.clone()));
        for name in kept.statement.names() {
            self.names.remove(&name);
            self.changes.names.insert(name);
        }
    }

    /// The purchase that `messages` make, with what the old ones had decided of its lines by its facts.
    fn part_of(
        &self,
        old: &[Purchase],
        messages: Vec<Kept>,
        facts: &Facts,
        free: &mut BTreeSet<PurchaseId>,
        new: &Kept,
    ) -> Purchase {
        let first = messages.first().map_or(InboxId(Uuid::nil()), |kept| kept.inbox_id);
        let home = old.iter().find(|purchase| purchase.kept.iter().any(|kept| kept.inbox_id == first));
        // Named after both messages: no other parting gives this id again.
        let fresh = || PurchaseId(Uuid::new_v5(&new.inbox_id.0, first.0.as_bytes()));
        let id = home.map(|purchase| purchase.id).filter(|id| free.remove(id)).unwrap_or_else(fresh);
        let waiting = old.iter().flat_map(|purchase| &purchase.waiting);
        let waiting = waiting.filter(|waiting| messages.iter().any(|kept| kept.inbox_id == **waiting)).copied();
        let waiting = waiting.collect();
        let decided = old.iter().flat_map(|purchase| self.still_decided(purchase, facts)).collect();
        Purchase { id, decided, waiting, kept: messages }
    }

    /// What `old` had decided by facts of this part. A line that the part has not, or has otherwise, is open again
    /// unless its grant was made: a grant is never edited, and its id is taken.
    fn still_decided(&self, old: &Purchase, facts: &Facts) -> Vec<Decision> {
        let before = Facts::unite(&old.kept).unwrap_or_default();
        let stands = |decision: &&Decision| {
            let name = match &decision.fact {
                GrantingFact::Invoice(id) => Name::Invoice(id.clone()),
                GrantingFact::Payment(id) => Name::Payment(id.clone()),
            };
            let line = |facts: &Facts| facts.lines().and_then(|lines| lines.0.get(&decision.price_id)).cloned();
            let made = matches!(&decision.verdict, Verdict::Gift(gift) if self.is_made(gift));
            facts.names.contains(&name) && (made || line(&before) == line(facts))
        };
        old.decided.iter().filter(stands).cloned().collect()
    }
}
