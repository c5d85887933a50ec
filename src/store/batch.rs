//! One batch of messages in one transaction: claim, lock, load; `write` puts it down.
//!
//! **The lock order**, each class sorted by key: message keys -> names -> purchases -> identities -> accounts ->
//! ledger head. At READ COMMITTED each class is locked in one statement and read in it or a later one, since a
//! statement that waited still sees its old snapshot of other tables. Every message locks all names that it mentions,
//! known or not: without that a refund and its payment in two lanes would each find the other absent. Whoever finds
//! that more names have to change than were locked rolls back and starts again with the larger set.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::{Acquire, Postgres, Transaction};
use uuid::Uuid;

use super::error::StoreError;
use super::rows::id;
use super::session::Session;
use crate::domain::books::TakenKey;
use crate::domain::ids::{
    AdjustmentId, Alias, CreditType, CustomerId, GrantId, Identity, InboxId, InvoiceId, MessageId, PaymentId,
    PurchaseId, RefundId, RuleName, Source, UsageId,
};
use crate::domain::message::{FINGERPRINT_VERSION, Fingerprint, Message, MessageKey, Name, Timestamp};

/// So many batches of a session look first which keys and names are known, after one in which some were. Where most
/// messages are about something known, one batch in so many is begun in vain.
const WARY: u32 = 50;

/// A transaction on one session. Dropped without a commit it is rolled back.
#[derive(Debug)]
pub struct Batch<'s> {
    pub(super) tx: Transaction<'s, Postgres>,
    /// Names that were inserted now, with the purchase that they were given ahead of time.
    pub(super) guessed: HashMap<Name, PurchaseId>,
    /// Accounts as they were loaded or made.
    pub(super) settled: HashMap<CustomerId, Timestamp>,
    /// What has a row already: the rest is inserted.
    pub(super) stored: Stored,
    /// What was made together with the message keys.
    pub(super) early: Early,
    /// Whether it waits for locks more briefly than the session's setting says.
    pub(super) hurried: bool,
    /// The session's own count: see [`Session`].
    wary: &'s mut u32,
}

/// What [`Batch::claim`] made besides the keys, so that it need not be tried again.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// Names were made; whether all of them were new.
    pub(super) names: Option<bool>,
    /// Accounts were made: for how many customers, whether all of them were new, and the clock.
    pub(super) accounts: Option<(usize, bool, Timestamp)>,
}

/// What was loaded, and so has a row.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) names: HashMap<Name, PurchaseId>,
    pub(super) locked: BTreeSet<Name>,
    pub(super) purchases: HashSet<PurchaseId>,
    pub(super) pools: HashSet<(CustomerId, CreditType)>,
    pub(super) grants: HashSet<GrantId>,
    /// The purchases that grants belong to in their rows.
    pub(super) purchase_of: HashMap<GrantId, PurchaseId>,
    pub(super) decisions: bool,
}

/// What a message locks by: taken from it before it is handled.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The row that it gets if it is kept.
    pub inbox_id: InboxId,
    /// The message.
    pub message: &'a Message,
}

/// A purchase's row.
#[derive(Debug, Clone)]
pub struct PurchaseRow {
    /// Which.
    pub id: PurchaseId,
    /// Its kept messages.
    pub messages: Vec<InboxId>,
    /// Its grants.
    pub grants: Vec<Uuid>,
    /// The messages that wait.
    pub waiting: BTreeSet<InboxId>,
}

/// A kept message's row.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Which.
    pub inbox_id: InboxId,
    /// Its name.
    pub key: MessageKey,
    /// Its type.
    pub kind: String,
    /// When the event happened.
    pub time: Timestamp,
    /// Whether the body is the whole event.
    pub structured: bool,
    /// The body, as it came.
    pub body: Vec<u8>,
}

impl Session {
    /// Opens a transaction.
    ///
    /// # Errors
    /// [`StoreError`], as everything here.
    pub async fn begin(&mut self) -> Result<Batch<'_>, StoreError> {
        self.wary = self.wary.saturating_sub(1);
        let tx = self.connection.begin().await?;
        Ok(Batch {
            tx,
            guessed: HashMap::new(),
            settled: HashMap::new(),
            stored: Stored::default(),
            early: Early::default(),
            hurried: false,
            wary: &mut self.wary,
        })
    }
}

impl Batch<'_> {
    /// Commits.
    ///
    /// # Errors
    /// After [`StoreError::Lost`] the outcome is unknown: run the batch again, keyed.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }

    /// Rolls back.
    ///
    /// # Errors
    /// [`StoreError::Lost`] if the session is gone, and the transaction with it.
    pub async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.tx.rollback().await?)
    }

    /// Claims the keys of `claims`, and gives those that others took before. `None`: it was hoped that all keys and names
    /// were new, and they are not; roll back and start again, for the next one looks first.
    ///
    /// If all keys are new, the same trip makes `names` as [`Batch::lock_names`] does, and if these are all new too,
    /// the accounts of `customers` as [`Batch::lock_accounts`] does: both know what is done already. So the common
    /// case, messages about things that nobody mentioned before, is locked in one trip.
    pub async fn claim(
        &mut self,
        claims: &[Claim<'_>],
        names: &BTreeMap<Name, Option<PurchaseId>>,
        customers: &BTreeSet<CustomerId>,
    ) -> Result<Option<HashMap<MessageKey, TakenKey>>, StoreError> {
        let mut mine: BTreeMap<&MessageKey, &Claim<'_>> = BTreeMap::new();
        for claim in claims {
            mine.entry(&claim.message.key).or_insert(claim);
        }
        let ids: Vec<&str> = mine.keys().map(|key| key.id.as_str()).collect();
        let sources: Vec<&str> = mine.keys().map(|key| key.source.as_str()).collect();
        let inbox: Vec<Uuid> = mine.values().map(|claim| claim.inbox_id.0).collect();
        let prints: Vec<&[u8]> = mine.values().map(|claim| claim.message.fingerprint.0.as_slice()).collect();
        let (kinds, values, guesses) = name_columns(names);
        let customer_ids: Vec<&str> = customers.iter().map(CustomerId::as_str).collect();
        if *self.wary == 0 {
            let made = sqlx::query_file!(
                "src/store/sql/claim_new.sql",
                &sources as _,
                &ids as _,
                &inbox,
                &prints as _,
                FINGERPRINT_VERSION,
                &kinds as _,
                &values as _,
                &guesses as _,
                &customer_ids as _,
            );
            return match made.fetch_one(&mut *self.tx).await.map_err(StoreError::from) {
                Ok(made) => {
                    self.early =
                        Early { names: Some(true), accounts: Some((customers.len(), made.accounts, made.now)) };
                    Ok(Some(HashMap::new()))
                }
                Err(StoreError::Again(_)) => {
                    *self.wary = WARY;
                    Ok(None)
                }
                Err(other) => Err(other),
            };
        }
        let made = sqlx::query_file!(
            "src/store/sql/claim.sql",
            &sources as _,
            &ids as _,
            &inbox,
            &prints as _,
            FINGERPRINT_VERSION,
            &kinds as _,
            &values as _,
            &guesses as _,
            &customer_ids as _,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        if made.keys {
            self.early.names = Some(made.names);
            self.early.accounts = made.names.then_some((customers.len(), made.accounts, made.now));
            return Ok(Some(HashMap::new()));
        }
        let keys: Vec<&MessageKey> = mine.keys().copied().collect();
        let mut taken = self.taken(&keys).await?;
        // What this batch has just claimed bears the ids that it gave.
        taken.retain(|key, taken| mine.get(key).is_none_or(|claim| claim.inbox_id != taken.inbox_id));
        Ok(Some(taken))
    }

    async fn taken(&mut self, keys: &[&MessageKey]) -> Result<HashMap<MessageKey, TakenKey>, StoreError> {
        let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        let sources: Vec<&str> = keys.iter().map(|key| key.source.as_str()).collect();
        let rows = sqlx::query!(
            "select source, message_id, inbox_id, fingerprint
             from message_keys join unnest($1::text[], $2::text[]) as wanted (s, m) on source = s and message_id = m",
            &sources as _,
            &ids as _,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter()
            .map(|row| {
                let key =
                    MessageKey { source: id(Source::parse(&row.source))?, id: id(MessageId::parse(&row.message_id))? };
                let fingerprint =
                    row.fingerprint.try_into().map(Fingerprint).map_err(|_| StoreError::corrupt("fingerprint"))?;
                Ok((key, TakenKey { inbox_id: InboxId(row.inbox_id), fingerprint }))
            })
            .collect()
    }

    /// Locks `names`, making those that nobody mentioned before, and gives the purchase of each that has one.
    ///
    /// A new name gets the purchase that `guess` says it will most likely belong to; `write` mends a wrong guess.
    pub async fn lock_names(
        &mut self,
        names: &BTreeMap<Name, Option<PurchaseId>>,
    ) -> Result<HashMap<Name, PurchaseId>, StoreError> {
        self.stored.locked = names.keys().cloned().collect();
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let (kinds, values, guesses) = name_columns(names);
        let all_new = if let Some(all_new) = self.early.names {
            all_new
        } else {
            let made = sqlx::query!(
                "insert into names (kind, value, purchase_id)
                 select kind, value, purchase_id from unnest($1::text[], $2::text[], $3::uuid[])
                     as new (kind, value, purchase_id)
                 on conflict do nothing",
                &kinds as _,
                &values as _,
                &guesses as _,
            )
            .execute(&mut *self.tx)
            .await?;
            made.rows_affected() == names.len() as u64
        };
        if all_new {
            self.guessed = names.iter().filter_map(|(name, guess)| Some((name.clone(), (*guess)?))).collect();
            return Ok(HashMap::new());
        }
        // A guess is the id of a message of this very batch: what bears it was made here just now, and is held.
        let rows = sqlx::query!(
            "select n.kind, n.value, n.purchase_id
             from names n join unnest($1::text[], $2::text[], $3::uuid[]) as wanted (kind, value, guess)
                  on n.kind = wanted.kind and n.value = wanted.value
             where wanted.guess is null or n.purchase_id is distinct from wanted.guess
             order by n.value, n.kind
             for update of n",
            &kinds as _,
            &values as _,
            &guesses as _,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let mut new: HashMap<Name, PurchaseId> =
            names.iter().filter_map(|(name, guess)| Some((name.clone(), (*guess)?))).collect();
        let mut known = HashMap::new();
        for row in rows {
            let name = name(&row.kind, &row.value)?;
            new.remove(&name);
            if let Some(purchase) = row.purchase_id {
                known.insert(name, PurchaseId(purchase));
            }
        }
        self.guessed = new;
        self.stored.names.clone_from(&known);
        Ok(known)
    }

    /// Locks purchases and gives their rows. Those that have none get one, to be locked by; most of them will have more
    /// than one message from now on, or a grant that is closed.
    pub async fn lock_purchases(&mut self, ids: &BTreeSet<PurchaseId>) -> Result<Vec<PurchaseRow>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let mut rows = self.purchase_rows(&ids).await?;
        if rows.len() < ids.len() {
            sqlx::query!(
                "insert into purchases (purchase_id, messages, grants, waiting)
                 select purchase_id, messages, grants, '{}' from plain_purchases where purchase_id = any($1)
                 order by purchase_id on conflict do nothing",
                &ids,
            )
            .execute(&mut *self.tx)
            .await?;
            // Whoever made them: a regrant comes by the grant and holds none of the names.
            rows = self.purchase_rows(&ids).await?;
        }
        for row in &rows {
            self.stored.purchases.insert(row.id);
            self.stored.purchase_of.extend(row.grants.iter().map(|grant| (GrantId(*grant), row.id)));
        }
        Ok(rows)
    }

    async fn purchase_rows(&mut self, ids: &[Uuid]) -> Result<Vec<PurchaseRow>, StoreError> {
        let rows = sqlx::query!(
            "select purchase_id, messages, grants, waiting from purchases
             where purchase_id = any($1) order by purchase_id for update",
            ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| PurchaseRow {
                id: PurchaseId(row.purchase_id),
                messages: row.messages.into_iter().map(InboxId).collect(),
                grants: row.grants,
                waiting: row.waiting.into_iter().map(InboxId).collect(),
            })
            .collect())
    }

    /// Gives kept messages as they came.
    pub async fn messages(&mut self, ids: &[InboxId]) -> Result<Vec<StoredMessage>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let rows = sqlx::query!(
            "select inbox_id, source, message_id, type as kind, time, structured, body from inbox
             where inbox_id = any($1) order by inbox_id",
            &ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(StoredMessage {
                    inbox_id: InboxId(row.inbox_id),
                    key: MessageKey {
                        source: id(Source::parse(&row.source))?,
                        id: id(MessageId::parse(&row.message_id))?,
                    },
                    kind: row.kind,
                    time: row.time,
                    structured: row.structured,
                    body: row.body,
                })
            })
            .collect()
    }

    /// Locks claims of identities: makes those that nobody made, and gives who holds the others.
    ///
    /// Every fitting signup claims, so what is made here is what the books will hold.
    pub async fn lock_identities(
        &mut self,
        wanted: &BTreeMap<(RuleName, Identity), CustomerId>,
    ) -> Result<HashMap<(RuleName, Identity), CustomerId>, StoreError> {
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let rules: Vec<&str> = wanted.keys().map(|(rule, _)| rule.as_str()).collect();
        let identities: Vec<&str> = wanted.keys().map(|(_, identity)| identity.as_str()).collect();
        let customers: Vec<&str> = wanted.values().map(CustomerId::as_str).collect();
        sqlx::query!(
            "insert into identity_claims (rule, identity, customer_id)
             select * from unnest($1::text[], $2::text[], $3::text[]) on conflict do nothing",
            &rules as _,
            &identities as _,
            &customers as _,
        )
        .execute(&mut *self.tx)
        .await?;
        let rows = sqlx::query!(
            "select c.rule, c.identity, c.customer_id
             from identity_claims c join unnest($1::text[], $2::text[]) as wanted (rule, identity)
                  on c.rule = wanted.rule and c.identity = wanted.identity",
            &rules as _,
            &identities as _,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter()
            .map(|row| {
                let claim = (id(RuleName::parse(&row.rule))?, id(Identity::parse(&row.identity))?);
                Ok((claim, id(CustomerId::parse(&row.customer_id))?))
            })
            .collect()
    }
}

fn name_columns(names: &BTreeMap<Name, Option<PurchaseId>>) -> (Vec<&str>, Vec<&str>, Vec<Option<Uuid>>) {
    let kinds = names.keys().map(Name::kind).collect();
    let values = names.keys().map(Name::value).collect();
    (kinds, values, names.values().map(|guess| guess.map(|id| id.0)).collect())
}

pub(super) fn name(kind: &str, value: &str) -> Result<Name, StoreError> {
    match kind {
        "payment" => Ok(Name::Payment(id(PaymentId::parse(value))?)),
        "invoice" => Ok(Name::Invoice(id(InvoiceId::parse(value))?)),
        "other" => Ok(Name::Other(id(Alias::parse(value))?)),
        "refund" => Ok(Name::Refund(id(RefundId::parse(value))?)),
        "usage" => Ok(Name::Usage(id(UsageId::parse(value))?)),
        "adjustment" => Ok(Name::Adjustment(id(AdjustmentId::parse(value))?)),
        other => Err(StoreError::corrupt(other)),
    }
}
