//! Puts down what a batch changed: everything that is new in one trip, then the ledger under the lock of its head.

use std::collections::{BTreeSet, HashMap};

use rust_decimal::Decimal;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use super::amend::write_accounts;
use super::batch::{Batch, Claim, Stored};
use super::chain::hash;
use super::composite::{InboxRow, NewEntry, NewGrant, NewPurchase};
use super::error::StoreError;
use super::rows::LedgerRow;
use crate::domain::account::{Account, Grant};
use crate::domain::books::{Books, Purchase, Record, TakenKey};
use crate::domain::ids::{GrantId, PurchaseId};
use crate::domain::ledger::Entry;
use crate::domain::message::{Content, FINGERPRINT_VERSION, MessageKey, Name, Timestamp};
use crate::domain::outcome::Outcome;
use crate::domain::purchase::gifts;

/// A message of the batch, what became of it, and how it came.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// The message.
    pub claim: Claim<'a>,
    /// What became of it.
    pub record: &'a Record,
    /// Whether the body is the whole event.
    pub structured: bool,
    /// The queue that it came by.
    pub queue: &'a str,
    /// Its properties as JSON.
    pub properties: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

impl Taken<'_> {
    /// Whether it is kept: neither refused nor a repetition under the same key.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.record.outcome != Outcome::DeadLettered && self.record.inbox_id == self.claim.inbox_id
    }

    /// Customer and row of a signup that is kept and gave nothing.
    fn signup_without_grant(&self) -> Option<(&str, Uuid)> {
        match &self.claim.message.content {
            Content::Signup(signup) if self.is_kept() && self.record.entries.is_empty() => {
                Some((signup.customer_id.as_str(), self.claim.inbox_id.0))
            }
            _ => None,
        }
    }
}

/// Where the entries of a batch stand in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The position before the first of them.
    pub before: i64,
    /// When they were written.
    pub recorded_at: Timestamp,
    /// Their ids, in order.
    pub entry_ids: Vec<Uuid>,
}

impl Batch<'_> {
    /// The names that `books` changed but the batch did not lock: lock them too and start again.
    #[must_use]
    pub fn unlocked<'b>(&self, books: &'b Books<'_>) -> Vec<&'b Name> {
        let locked = |name: &&Name| self.guessed.contains_key(*name) || self.stored.locked.contains(*name);
        books.changes.names.iter().filter(|name| !locked(name)).collect()
    }

    /// Writes what `books` changed and what became of the messages. The commit calls every relay, and tells it that
    /// the entries are `author`'s; without an author it calls nobody.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is then of no more use.
    pub async fn write(
        &mut self,
        books: &Books<'_>,
        taken: &[Taken<'_>],
        author: Option<Uuid>,
    ) -> Result<Written, StoreError> {
        self.take_time().await?;
        self.write_keys(books, taken).await?;
        self.write_grants(books).await?;
        self.write_names(books).await?;
        self.write_purchases(books).await?;
        self.write_decisions(books).await?;
        let head = self.write_new(books).await?;
        self.write_ledger(books, taken, head, author).await
    }

    /// Lets go the keys of refused messages and of released refunds. A key may have been taken by a later message of
    /// this batch since: then it is that one's.
    async fn write_keys(&mut self, books: &Books<'_>, taken: &[Taken<'_>]) -> Result<(), StoreError> {
        let refused = taken.iter().filter(|taken| taken.record.outcome == Outcome::DeadLettered);
        let ours = |key: &TakenKey| taken.iter().any(|taken| taken.claim.inbox_id == key.inbox_id);
        let is_kept = |key: &TakenKey, taken: &Taken<'_>| key.inbox_id < taken.claim.inbox_id || !ours(key);
        let mine =
            |taken: &&Taken<'_>| !books.keys.get(&taken.claim.message.key).is_some_and(|key| is_kept(key, taken));
        let mut gone: BTreeSet<&MessageKey> = refused.filter(mine).map(|taken| &taken.claim.message.key).collect();
        gone.extend(&books.changes.released);
        if gone.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = gone.iter().map(|key| key.id.as_str()).collect();
        let sources: Vec<&str> = gone.iter().map(|key| key.source.as_str()).collect();
        sqlx::query!(
            "delete from message_keys using unnest($1::text[], $2::text[]) as gone (s, m) where source = s and message_id = m",
            &sources as _,
            &ids as _,
        )
        .execute(&mut *self.tx)
        .await?;
        for key in gone {
            if let Some(again) = books.keys.get(key) {
                sqlx::query!(
                    "insert into message_keys (source, message_id, inbox_id, fingerprint, fingerprint_version)
                     values ($1, $2, $3, $4, $5)",
                    key.source.as_str(),
                    key.id.as_str(),
                    again.inbox_id.0,
                    again.fingerprint.0.as_slice(),
                    FINGERPRINT_VERSION,
                )
                .execute(&mut *self.tx)
                .await?;
            }
        }
        Ok(())
    }

    /// Writes what is new, and locks the ledger's head if there are entries for it. The accounts that moved are written on
    /// the way: while their trip goes on, the large one is put together.
    async fn write_new(&mut self, books: &Books<'_>) -> Result<Option<Head>, StoreError> {
        let stored = &self.stored;
        let put_together = async {
            let new = |id: &&PurchaseId| !stored.purchases.contains(*id);
            let purchases = books.changes.purchases.iter().filter(new).filter_map(|id| books.purchases.get(id));
            let purchases = purchases.filter(|purchase| !purchase.is_plain());
            let purchases: Vec<NewPurchase> = purchases.map(|purchase| new_purchase(purchase, books)).collect();
            let (old_pools, new_pools): (Vec<_>, Vec<_>) = last_of_pools(&books.changes.entries)
                .into_iter()
                .partition(|(_, _, _, _, key)| stored.pools.contains(key));
            let grants: Vec<Made<'_>> = stored.made_grants(books);
            let grants: Vec<NewGrant<'_>> = grants.iter().map(NewGrant).collect();
            let is_nothing = purchases.is_empty() && grants.is_empty() && old_pools.is_empty() && new_pools.is_empty();
            (!is_nothing).then(|| {
                sqlx::query_file!(
                    "src/store/sql/write_new.sql",
                    &purchases as _,
                    &new_pools.iter().map(|pool| pool.0).collect::<Vec<_>>() as _,
                    &new_pools.iter().map(|pool| pool.1).collect::<Vec<_>>() as _,
                    &new_pools.iter().map(|pool| pool.2).collect::<Vec<_>>(),
                    &new_pools.iter().map(|pool| pool.3).collect::<Vec<_>>(),
                    &old_pools.iter().map(|pool| pool.0).collect::<Vec<_>>() as _,
                    &old_pools.iter().map(|pool| pool.1).collect::<Vec<_>>() as _,
                    &old_pools.iter().map(|pool| pool.2).collect::<Vec<_>>(),
                    &old_pools.iter().map(|pool| pool.3).collect::<Vec<_>>(),
                    &grants as _,
                    !books.changes.entries.is_empty(),
                )
            })
        };
        let (accounts, new) = tokio::join!(write_accounts(&mut self.tx, &self.settled, books), put_together);
        accounts?;
        let Some(new) = new else { return Ok(None) };
        let head = new.fetch_optional(&mut *self.tx).await.map_err(all_wait)?;
        Ok(head.map(|row| Head::new(row.position, row.hash, row.recorded_at, row.now)))
    }

    async fn write_ledger(
        &mut self,
        books: &Books<'_>,
        taken: &[Taken<'_>],
        head: Option<Head>,
        author: Option<Uuid>,
    ) -> Result<Written, StoreError> {
        let entries = &books.changes.entries;
        // Every entry moves a pool, so with entries there was something to write, and the head is locked.
        let head = match head {
            Some(head) => head,
            None if entries.is_empty() => Head::default(),
            None => return Err(StoreError::corrupt("entries that move no pool")),
        };
        let rows = chained(entries, &head);
        let last = rows.last();
        let kept = taken.iter().filter(|taken| taken.is_kept());
        let kept: Vec<InboxRow<'_>> =
            kept.map(|taken| InboxRow(taken, positions(taken.record, head.position).collect())).collect();
        let told = told(books, taken, head.position);
        let (customers, signups): (Vec<&str>, Vec<Uuid>) = taken.iter().filter_map(Taken::signup_without_grant).unzip();
        let new: Vec<NewEntry<'_>> = rows.iter().map(|(row, hash)| NewEntry(row, hash)).collect();
        sqlx::query_file!(
            "src/store/sql/write_ledger.sql",
            last.is_some(),
            last.map_or(0, |(row, _)| row.position),
            last.map_or(&[][..], |(_, hash)| hash.as_slice()),
            last.map_or(head.recorded_at, |(row, _)| row.recorded_at),
            &new as _,
            books.rules.hash.0.as_slice(),
            &kept as _,
            &told.inbox,
            &told.outcomes as _,
            &told.codes as _,
            &told.reasons as _,
            &told.positions,
            author.map(|author| author.to_string()),
            &customers as _,
            &signups,
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        let entry_ids = rows.iter().map(|(row, _)| row.entry_id).collect();
        Ok(Written { before: head.position, recorded_at: head.recorded_at, entry_ids })
    }
}

impl Stored {
    /// The changed grants that have no row yet.
    fn made_grants<'b>(&self, books: &'b Books<'_>) -> Vec<Made<'b>> {
        let is_new = |made: &Made<'_>| !self.grants.contains(&made.grant.terms.grant_id);
        changed_grants(books).into_iter().filter(is_new).collect()
    }
}

/// Everybody waits for the head: that says nothing about this batch's messages. A pool is held by no session of the
/// worker without its account; somebody else who holds one holds up just the messages that move it.
fn all_wait(error: sqlx::Error) -> StoreError {
    let place = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()?.r#where());
    let is_pool = place.is_some_and(|place| place.contains("\"pools\""));
    match StoreError::from(error) {
        StoreError::Locked(error) if !is_pool => StoreError::Busy(error),
        other => other,
    }
}

/// The head before the batch, and the instant at which the batch is written.
#[derive(Debug, Default)]
struct Head {
    position: i64,
    hash: Vec<u8>,
    recorded_at: Timestamp,
}

impl Head {
    fn new(position: i64, hash: Vec<u8>, recorded_at: Timestamp, now: Timestamp) -> Self {
        Self { position, hash, recorded_at: recorded_at.max(now) }
    }
}

/// A changed grant, its purchase, when settling has to look at it next, and whether use may take from it.
pub(super) struct Made<'b> {
    pub(super) grant: &'b Grant,
    pub(super) purchase: Option<PurchaseId>,
    pub(super) due_at: Option<Timestamp>,
    pub(super) spendable: bool,
}

pub(super) fn changed_grants<'b>(books: &'b Books<'_>) -> Vec<Made<'b>> {
    let mut purchase_of: HashMap<GrantId, PurchaseId> = HashMap::new();
    for purchase in books.changes.purchases.iter().filter_map(|id| books.purchases.get(id)) {
        purchase_of.extend(gifts(&purchase.decided).map(|gift| (gift.terms.grant_id, purchase.id)));
    }
    let of = |(grant_id, customer): (&GrantId, &crate::domain::ids::CustomerId)| {
        let account: &'b Account = books.accounts.get(customer)?;
        let grant = account.grants.get(grant_id)?;
        let settled_to = account.settled_to.unwrap_or(books.clock);
        Some(Made {
            grant,
            purchase: purchase_of.get(grant_id).copied(),
            due_at: grant.due_at(settled_to),
            spendable: grant.is_spendable(settled_to),
        })
    };
    books.changes.grants.iter().filter_map(of).collect()
}

/// A Postgres array as text.
fn array<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("{{{}}}", items.join(","))
}

fn new_purchase(purchase: &Purchase, books: &Books<'_>) -> NewPurchase {
    NewPurchase {
        id: purchase.id.0,
        messages: purchase.kept.iter().map(|kept| kept.inbox_id.0).collect(),
        grants: grants_of(purchase, books).collect(),
        waiting: purchase.waiting.iter().map(|waiting| waiting.0).collect(),
    }
}

pub(super) fn messages_text(purchase: &Purchase) -> String {
    array(purchase.kept.iter().map(|kept| kept.inbox_id.0))
}

pub(super) fn waiting_text(purchase: &Purchase) -> String {
    array(purchase.waiting.iter().map(|waiting| waiting.0))
}

pub(super) fn grants_text(purchase: &Purchase, books: &Books<'_>) -> String {
    array(grants_of(purchase, books))
}

/// The grants of a purchase that were made: those that an account holds.
fn grants_of(purchase: &Purchase, books: &Books<'_>) -> impl Iterator<Item = Uuid> {
    let made = gifts(&purchase.decided).filter(|gift| books.is_made(gift));
    made.map(|gift| gift.terms.grant_id.0)
}

type PoolRow<'b> = (&'b str, &'b str, Decimal, i64, (crate::domain::ids::CustomerId, crate::domain::ids::CreditType));

/// Balance and sequence of every pool after its last entry.
fn last_of_pools(entries: &[Entry]) -> Vec<PoolRow<'_>> {
    let mut last: HashMap<(&str, &str), &Entry> = HashMap::new();
    for entry in entries {
        last.insert((entry.customer_id.as_str(), entry.credit_type.as_str()), entry);
    }
    last.into_iter()
        .map(|((customer, kind), entry)| {
            let key = (entry.customer_id.clone(), entry.credit_type.clone());
            (customer, kind, entry.end_balance.value(), entry.sequence.cast_signed(), key)
        })
        .collect()
}

fn chained<'e>(entries: &'e [Entry], head: &Head) -> Vec<(LedgerRow<'e>, [u8; 32])> {
    let mut previous = head.hash.clone();
    let mut position = head.position;
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        position += 1;
        let row = LedgerRow::new(entry, position, Uuid::now_v7(), head.recorded_at);
        let hash = hash(&previous, &row);
        previous = hash.to_vec();
        rows.push((row, hash));
    }
    rows
}

/// Columns of `later_outcomes`.
#[derive(Default)]
struct Told<'b> {
    inbox: Vec<Uuid>,
    outcomes: Vec<&'b str>,
    codes: Vec<Option<&'b str>>,
    reasons: Vec<&'b str>,
    positions: Vec<String>,
}

/// What became of every message that has a row before this outcome: of repetitions in the batch, and of earlier messages
/// that it settled.
fn told<'b>(books: &'b Books<'_>, taken: &[Taken<'b>], before: i64) -> Told<'b> {
    let has_row = |taken: &&Taken<'_>| !taken.is_kept() && taken.record.outcome != Outcome::DeadLettered;
    let records = taken.iter().filter(has_row).map(|taken| taken.record).chain(&books.changes.earlier);
    let mut told = Told::default();
    for record in records {
        told.inbox.push(record.inbox_id.0);
        told.outcomes.push(record.outcome.name());
        told.codes.push(record.code.map(crate::domain::outcome::RefusalCode::name));
        told.reasons.push(&record.reason);
        told.positions.push(array(positions(record, before)));
    }
    told
}

/// The places in the ledger of the entries that came of a message.
fn positions(record: &Record, before: i64) -> impl Iterator<Item = i64> {
    record.entries.iter().map(move |entry| before + i64::try_from(*entry).unwrap_or(i64::MAX - before) + 1)
}
