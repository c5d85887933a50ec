//! A purchase as the verbs that explain look at it: its rows decoded, its facts united, the rules files in use.
//!
//! `store` has rows, `wire` reads bodies, `config` reads rules files, the core says what they mean; here they meet. It
//! decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;

use super::ExitError;
use crate::config::RulesFile;
use crate::domain::awaited::awaited;
use crate::domain::books::Purchase;
use crate::domain::facts::{Facts, Kept};
use crate::domain::ids::{InboxId, PurchaseId, RulesHash};
use crate::domain::message::{Content, Message};
use crate::domain::outcome::Outcome;
use crate::domain::purchase::{Decision, Undecided, Wanted, decide, wanted};
use crate::domain::rules::Rules;
use crate::store::read::{KeptMessage, PurchaseRows, Refused, Snapshot};
use crate::wire::{self, Stored};

/// One purchase with all that bears on it.
pub(super) struct Case {
    /// As it is written.
    pub(super) rows: PurchaseRows,
    /// As the core sees it.
    pub(super) purchase: Purchase,
    /// What its messages state together.
    pub(super) facts: Facts,
    /// What was refused for contradicting one of its messages.
    pub(super) refused: Vec<Refused>,
    rules: BTreeMap<RulesHash, Rules>,
}

/// The rules files of `hashes`, as far as they are kept and this version can read them.
pub(super) async fn rules_files(
    snapshot: &mut Snapshot<'_>,
    hashes: impl IntoIterator<Item = RulesHash>,
) -> Result<BTreeMap<RulesHash, Rules>, ExitError> {
    let mut files = BTreeMap::new();
    for hash in hashes.into_iter().collect::<BTreeSet<_>>() {
        let Some(text) = snapshot.rules_text(hash).await? else { continue };
        if let Ok(file) = RulesFile::parse("a rules file that is kept", text) {
            files.insert(hash, file.rules);
        }
    }
    Ok(files)
}

/// What a kept message says.
pub(super) fn decoded(message: &KeptMessage) -> Result<Message, ExitError> {
    let stored = Stored {
        structured: message.structured,
        key: &message.key,
        kind: &message.kind,
        time: message.time,
        body: &message.body,
    };
    let read = wire::decode_stored(&stored);
    read.with_context(|| format!("the kept message {} cannot be read", message.key.id)).map_err(ExitError::Failed)
}

impl Case {
    /// Loads a purchase; `None` if there is none of that id.
    pub(super) async fn load(snapshot: &mut Snapshot<'_>, id: PurchaseId) -> Result<Option<Self>, ExitError> {
        let Some(rows) = snapshot.purchase(id).await? else { return Ok(None) };
        let mut kept = Vec::new();
        for message in &rows.messages {
            if let Content::Purchase(statement) = decoded(message)?.content {
                let key = message.key.clone();
                kept.push(Kept { inbox_id: message.inbox_id, key, time: message.time, statement });
            }
        }
        let facts = Facts::unite(&kept).context("the messages of a purchase contradict each other");
        let facts = facts.map_err(ExitError::Failed)?;
        let decided: Vec<Decision> =
            rows.pending.iter().cloned().chain(rows.grants.values().filter_map(Decision::of)).collect();
        let told = rows.messages.iter().flat_map(|message| &message.outcomes).map(|told| told.rules_hash);
        let used = decided.iter().map(|decision| decision.rules_hash);
        let rules = rules_files(snapshot, told.chain(used)).await?;
        let keys: Vec<_> = rows.messages.iter().map(|message| &message.key).collect();
        let refused = snapshot.refused_against(&keys).await?;
        let purchase = Purchase { id, kept, decided, waiting: rows.waiting.clone() };
        Ok(Some(Self { rows, purchase, facts, refused, rules }))
    }

    /// The rules file of a hash.
    pub(super) fn rules(&self, hash: RulesHash) -> Option<&Rules> {
        self.rules.get(&hash)
    }

    /// What must be true of its grants.
    pub(super) fn wanted(&self) -> Vec<Wanted<'_>> {
        wanted(&self.facts, &self.purchase.decided, |gift| self.rows.grants.contains_key(&gift.terms.grant_id))
    }

    /// What each waiting message waits for, by the rules in force when it began to.
    pub(super) fn awaited(&self) -> BTreeMap<InboxId, String> {
        let waiting = self.purchase.kept.iter().filter(|kept| self.purchase.waiting.contains(&kept.inbox_id));
        waiting.map(|kept| (kept.inbox_id, self.awaited_by(kept))).collect()
    }

    fn awaited_by(&self, kept: &Kept) -> String {
        let rules = self.rules_when_it_began_to_wait(kept.inbox_id);
        let undecided: Vec<Undecided> =
            rules.map(|rules| decide(&self.facts, &self.purchase.decided, rules).1).unwrap_or_default();
        awaited(&kept.statement, &self.facts, &self.wanted(), &undecided, rules).join("; ")
    }

    fn rules_when_it_began_to_wait(&self, inbox_id: InboxId) -> Option<&Rules> {
        let message = self.rows.messages.iter().find(|message| message.inbox_id == inbox_id)?;
        let waits = message.outcomes.iter().rev().find(|told| told.outcome == Outcome::Waiting)?;
        self.rules(waits.rules_hash)
    }
}
