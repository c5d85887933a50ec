//! What became of a message.
//!
//! A message that was kept is found by its key, a refused one among the dead letters. A refund that waited and then
//! became a conflict is both: its key is free again, its row stays, and its dead letter names that row.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{AccountView, Refused, Snapshot};
use crate::domain::ids::{CustomerId, InboxId, MessageId, RulesHash, Source};
use crate::domain::ledger::LedgerEntry;
use crate::domain::message::{Fingerprint, MessageKey, Timestamp};
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::store::error::StoreError;
use crate::store::rows::{id, rules_hash};

/// All that is known of an id. Empty if no message of it ever arrived.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Messages that were kept: one for each sender, and released refunds.
    pub kept: Vec<KeptMessage>,
    /// Messages that were refused; nothing else of them is kept.
    pub refused: Vec<Refused>,
    /// Entries up to this position are published and confirmed.
    pub published_to: i64,
}

/// A message that was kept, and what came of it.
#[derive(Debug, Clone)]
pub struct KeptMessage {
    /// Its row.
    pub inbox_id: InboxId,
    /// Its sender and id.
    pub key: MessageKey,
    /// Its type.
    pub kind: String,
    /// When the event happened, as its sender says.
    pub time: Timestamp,
    /// Whether the body is the whole event.
    pub structured: bool,
    /// The queue that it came by.
    pub queue: String,
    /// Its body, as it came.
    pub body: Vec<u8>,
    /// When it was kept.
    pub received_at: Timestamp,
    /// Under which content its key is taken; absent once the key is free again.
    pub fingerprint: Option<Fingerprint>,
    /// What became of it, in order.
    pub outcomes: Vec<Told>,
    /// The entries that came of it, in order.
    pub entries: Vec<LedgerEntry>,
    /// The accounts of those entries, each with the grants that they touched, as they are now.
    pub accounts: Vec<AccountView>,
}

/// One outcome of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused, if it was.
    pub code: Option<RefusalCode>,
    /// In words: rule, arithmetic, what is missing, both sides of a conflict.
    pub reason: String,
    /// The entries that came of it.
    pub positions: Vec<i64>,
    /// The rules file in force.
    pub rules_hash: RulesHash,
    /// When.
    pub decided_at: Timestamp,
}

impl Trace {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.refused.is_empty()
    }

    /// Whether an entry's event is published and confirmed.
    #[must_use]
    pub fn is_published(&self, entry: &LedgerEntry) -> bool {
        i64::try_from(entry.position).is_ok_and(|position| position <= self.published_to)
    }
}

impl Snapshot<'_> {
    /// What became of the message (or the messages) of an id; of one sender alone if `source` says so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn explain(&mut self, message_id: &MessageId, source: Option<&Source>) -> Result<Trace, StoreError> {
        let source = source.map(Source::as_str);
        let refused = self.refused_under(message_id.as_str(), source).await?;
        let mut inbox = self.inbox_by_key(message_id, source).await?;
        // Released refunds: they have no key any more.
        inbox.extend(refused.iter().filter_map(|letter| letter.inbox_id).map(|id| id.0));
        let mut kept = self.kept(&inbox.into_iter().collect::<Vec<_>>()).await?;
        for message in &mut kept {
            let positions: Vec<i64> = message.outcomes.iter().flat_map(|told| told.positions.clone()).collect();
            message.entries = self.entries_at(&positions).await?;
            message.accounts = self.touched(&message.entries).await?;
        }
        Ok(Trace { kept, refused, published_to: self.published_to().await? })
    }

    /// Entries up to this position are published and confirmed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn published_to(&mut self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!("select position from relay_cursor").fetch_one(&mut *self.tx).await?)
    }

    async fn inbox_by_key(&mut self, id: &MessageId, source: Option<&str>) -> Result<BTreeSet<Uuid>, StoreError> {
        let rows = sqlx::query_scalar!(
            "select inbox_id from message_keys where message_id = $1 and ($2::text is null or source = $2)",
            id.as_str(),
            source,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// Kept messages with their outcomes, in order of arrival.
    pub(super) async fn kept(&mut self, ids: &[Uuid]) -> Result<Vec<KeptMessage>, StoreError> {
        let mut kept = self.kept_alone(ids).await?;
        for message in &mut kept {
            message.outcomes = self.outcomes(message.inbox_id).await?;
        }
        Ok(kept)
    }

    /// Kept messages without their outcomes, in order of arrival.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kept_alone(&mut self, ids: &[Uuid]) -> Result<Vec<KeptMessage>, StoreError> {
        let rows = sqlx::query!(
            r#"select i.inbox_id, i.source, i.message_id, i.type as kind, i.time, i.structured, i.queue, i.body,
                      i.received_at, k.fingerprint as "fingerprint?"
               from inbox i left join message_keys k
                    on k.message_id = i.message_id and k.source = i.source and k.inbox_id = i.inbox_id
               where i.inbox_id = any($1) order by i.inbox_id"#,
            ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let message = |source: &str, message_id: &str| {
            Ok::<_, StoreError>(MessageKey {
                source: id(Source::parse(source))?,
                id: id(MessageId::parse(message_id))?,
            })
        };
        let fingerprint =
            |bytes: Vec<u8>| bytes.try_into().map(Fingerprint).map_err(|_| StoreError::corrupt("fingerprint"));
        rows.into_iter()
            .map(|row| {
                Ok(KeptMessage {
                    inbox_id: InboxId(row.inbox_id),
                    key: message(&row.source, &row.message_id)?,
                    kind: row.kind,
                    time: row.time,
                    structured: row.structured,
                    queue: row.queue,
                    body: row.body,
                    received_at: row.received_at,
                    fingerprint: row.fingerprint.map(fingerprint).transpose()?,
                    outcomes: Vec::new(),
                    entries: Vec::new(),
                    accounts: Vec::new(),
                })
            })
            .collect()
    }

    /// The message that holds a key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keeper(&mut self, key: &MessageKey) -> Result<Option<KeptMessage>, StoreError> {
        let ids: Vec<Uuid> = self.inbox_by_key(&key.id, Some(key.source.as_str())).await?.into_iter().collect();
        Ok(self.kept_alone(&ids).await?.pop())
    }

    async fn outcomes(&mut self, InboxId(inbox_id): InboxId) -> Result<Vec<Told>, StoreError> {
        let rows = sqlx::query!(
            r#"select outcome as "outcome!", code, reason as "reason!", positions as "positions!",
                      rules_hash as "rules_hash!", decided_at as "decided_at!"
               from outcomes where inbox_id = $1 order by outcome_id"#,
            inbox_id,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter()
            .map(|row| {
                let code = |name: &str| RefusalCode::from_name(name).ok_or_else(|| StoreError::corrupt(name));
                Ok(Told {
                    outcome: Outcome::from_name(&row.outcome).ok_or_else(|| StoreError::corrupt(&row.outcome))?,
                    code: row.code.as_deref().map(code).transpose()?,
                    reason: row.reason,
                    positions: row.positions,
                    rules_hash: rules_hash(&row.rules_hash)?,
                    decided_at: row.decided_at,
                })
            })
            .collect()
    }

    /// The accounts of `entries`, each with the grants that they touched and no others.
    pub(super) async fn touched(&mut self, entries: &[LedgerEntry]) -> Result<Vec<AccountView>, StoreError> {
        let mut grants: BTreeMap<&CustomerId, BTreeSet<Uuid>> = BTreeMap::new();
        for LedgerEntry { entry, .. } in entries {
            grants.entry(&entry.customer_id).or_default().extend(entry.grant.map(|grant| grant.grant_id.0));
        }
        let mut views = Vec::new();
        for (customer, touched) in grants {
            let ids: Vec<Uuid> = touched.iter().copied().collect();
            if let Some(mut view) = self.account_with(customer, &ids).await? {
                view.account.grants.retain(|id, _| touched.contains(&id.0));
                views.push(view);
            }
        }
        Ok(views)
    }
}
