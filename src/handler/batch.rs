//! One attempt at a batch: claim, lock, load, take, write. Leaves the commit to its caller.
//!
//! The lock order is the store's (see `store::batch`). If taking the messages shows that more names have to change
//! than were locked (purchases that merge or come apart), the attempt gives up and says which.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::crash;
use super::handover::Handed;
use super::intake::Work;
use crate::domain::books::{Books, Changes, Purchase, Record, TakenKey};
use crate::domain::facts::Kept;
use crate::domain::ids::{CustomerId, GrantId, Identity, InboxId, PurchaseId, RuleName};
use crate::domain::ledger::{LedgerEntry, Terms};
use crate::domain::message::{Content, Message, MessageKey, Name, Timestamp};
use crate::domain::needs::needs;
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::purchase::Decision;
use crate::domain::rules::Rules;
use crate::store::StoreError;
use crate::store::batch::{Batch, Claim, PurchaseRow, StoredMessage};
use crate::store::dead_letters::DeadLetter;
use crate::store::in_order::Pools;
use crate::store::write::{Taken, Written};
use crate::wire::{self, Stored};

/// What an attempt came to.
#[derive(Debug)]
pub enum Attempt {
    /// Everything is written: commit it.
    Written(Report),
    /// These names have to be locked too, if any: start again.
    More(BTreeSet<Name>),
}

/// What became of the messages of a batch.
#[derive(Debug, Default)]
pub struct Report {
    /// One for each delivery, in order.
    pub outcomes: Vec<(Outcome, Option<RefusalCode>)>,
    /// Outcomes of messages that came earlier.
    pub earlier: Vec<(Outcome, Option<RefusalCode>)>,
    /// The ledger's new entries, for the relay.
    pub entries: Vec<Handed>,
    /// What the core says of each message; none of what could not be decoded.
    pub records: Vec<Option<Record>>,
}

/// Tries a batch inside `batch`'s transaction; `extra` names are locked along.
///
/// # Errors
/// [`StoreError`]: what it means for the batch is in its variant.
pub async fn attempt(
    batch: &mut Batch<'_>,
    works: &[Work],
    rules: &Rules,
    extra: &BTreeSet<Name>,
    author: Option<Uuid>,
) -> Result<Attempt, StoreError> {
    let claims: Vec<Claim<'_>> = works.iter().filter_map(claim).collect();
    let mut wanted = Wanted::of(&claims, &HashMap::new(), rules, extra);
    let Some(keys) = wanted.claim(batch, &claims).await? else { return Ok(Attempt::More(BTreeSet::new())) };
    if !keys.is_empty() {
        wanted = Wanted::of(&claims, &keys, rules, extra);
    }
    let mut books = load(batch, wanted, keys, rules).await?;
    let records: Vec<Option<Record>> = works.iter().map(|work| take(&mut books, work)).collect();
    let more: BTreeSet<Name> = batch.unlocked(&books).into_iter().cloned().collect();
    if !more.is_empty() {
        return Ok(Attempt::More(more));
    }
    let taken: Vec<Taken<'_>> =
        works.iter().zip(&records).filter_map(|(work, record)| taken(work, record.as_ref())).collect();
    let written = batch.write(&books, &taken, author).await?;
    bury(batch, works, &records, &books).await?;
    crash::point("in-transaction");
    let (outcomes, earlier) = outcomes(works, &records, &books.changes);
    Ok(Attempt::Written(Report { outcomes, earlier, entries: handed(books, &written), records }))
}

fn claim(work: &Work) -> Option<Claim<'_>> {
    let decoded = work.decoded.as_ref().ok()?;
    Some(Claim { inbox_id: work.inbox_id, message: &decoded.message })
}

fn take(books: &mut Books<'_>, work: &Work) -> Option<Record> {
    let decoded = work.decoded.as_ref().ok()?;
    Some(books.take(work.inbox_id, decoded.message.clone()))
}

fn taken<'a>(work: &'a Work, record: Option<&'a Record>) -> Option<Taken<'a>> {
    let decoded = work.decoded.as_ref().ok()?;
    Some(Taken {
        claim: Claim { inbox_id: work.inbox_id, message: &decoded.message },
        record: record?,
        structured: decoded.structured,
        queue: &work.delivery.queue,
        properties: &work.properties,
        body: &work.delivery.body,
    })
}

/// What the messages of a batch need.
struct Wanted {
    /// Names, each with the purchase that it belongs to if it is new.
    names: BTreeMap<Name, Option<PurchaseId>>,
    identities: BTreeMap<(RuleName, Identity), CustomerId>,
    customers: BTreeSet<CustomerId>,
    grants: BTreeSet<GrantId>,
    pools: Pools,
    regranted: BTreeSet<GrantId>,
}

impl Wanted {
    /// What those of `claims` need whose key is not `taken`.
    fn of(claims: &[Claim<'_>], taken: &HashMap<MessageKey, TakenKey>, rules: &Rules, extra: &BTreeSet<Name>) -> Self {
        let mut wanted = Self {
            names: extra.iter().map(|name| (name.clone(), None)).collect(),
            identities: BTreeMap::new(),
            customers: BTreeSet::new(),
            grants: BTreeSet::new(),
            pools: Pools::new(),
            regranted: BTreeSet::new(),
        };
        for claim in claims.iter().filter(|claim| !taken.contains_key(&claim.message.key)) {
            let needs = needs(claim.message, rules);
            for name in needs.names {
                wanted.names.entry(name).or_insert(Some(PurchaseId(claim.inbox_id.0)));
            }
            for identity in needs.identities {
                if let Content::Signup(signup) = &claim.message.content {
                    wanted.identities.entry(identity).or_insert_with(|| signup.customer_id.clone());
                }
            }
            wanted.customers.extend(needs.customers);
            wanted.grants.extend(needs.grants);
            for (pool, draw) in needs.pools {
                wanted.pools.entry(pool).and_modify(|before| *before = before.and(draw)).or_insert(draw);
            }
            wanted.regranted.extend(needs.regranted);
        }
        wanted
    }

    /// Claims the keys, and in the same trip what the lock order lets follow.
    async fn claim(
        &self,
        batch: &mut Batch<'_>,
        claims: &[Claim<'_>],
    ) -> Result<Option<HashMap<MessageKey, TakenKey>>, StoreError> {
        if claims.is_empty() {
            return Ok(Some(HashMap::new()));
        }
        // Identities come before accounts.
        let none = BTreeSet::new();
        let customers = if self.identities.is_empty() { &self.customers } else { &none };
        batch.claim(claims, &self.names, customers).await
    }
}

/// Locks and loads what the messages need.
async fn load<'r>(
    batch: &mut Batch<'_>,
    wanted: Wanted,
    keys: HashMap<MessageKey, TakenKey>,
    rules: &'r Rules,
) -> Result<Books<'r>, StoreError> {
    let Wanted { names, identities, mut customers, grants, pools, regranted } = wanted;
    let known = batch.lock_names(&names).await?;
    let (alone, known): (HashMap<_, _>, HashMap<_, _>) = known.into_iter().partition(|(name, _)| name.stands_alone());
    let closing = batch.purchases_of(&regranted).await?;
    let rows = batch.lock_purchases(&known.values().chain(closing.values()).copied().collect()).await?;
    if batch.purchases_of(&regranted).await? != closing {
        return Err(StoreError::moved("a grant belongs to another purchase than a moment ago"));
    }
    let (mut kept, stated) = kept(batch, &rows, &alone).await?;
    let ids: Vec<PurchaseId> = rows.iter().map(|row| row.id).collect();
    let decisions = batch.decisions(&ids).await?;
    customers.extend(kept.values().filter_map(|kept| kept.statement.customer().cloned()));
    let claimed = batch.lock_identities(&identities).await?;
    let granted = rows.iter().flat_map(|row| row.grants.iter().copied());
    let grants: Vec<Uuid> = granted.chain(grants.iter().map(|grant| grant.0)).collect();
    let (clock, accounts) = accounts(batch, &customers, &grants, &pools).await?;
    let mut books = Books::new(rules, clock);
    books.keys = keys;
    books.accounts = accounts;
    books.claims = claimed;
    let mut granted: HashMap<Uuid, Decision> =
        books.accounts.values().flat_map(|account| account.grants.values()).filter_map(decision).collect();
    for row in rows {
        let purchase = purchase(row, &mut kept, &decisions, &mut granted);
        books.purchases.insert(purchase.id, purchase);
    }
    // Names that its messages mention belong to a purchase as well, whoever holds them: its row is locked, and who would
    // join it to another one needs that. So a message that adds itself to a purchase changes none of these.
    for purchase in books.purchases.values() {
        let names = purchase.kept.iter().flat_map(|kept| kept.statement.names());
        books.names.extend(names.map(|name| (name, purchase.id)));
    }
    books.names.extend(known.into_iter().filter(|(_, id)| books.purchases.contains_key(id)).chain(alone));
    books.stated = stated;
    Ok(books)
}

async fn accounts(
    batch: &mut Batch<'_>,
    customers: &BTreeSet<CustomerId>,
    named: &[Uuid],
    pools: &Pools,
) -> Result<(Timestamp, HashMap<CustomerId, crate::domain::account::Account>), StoreError> {
    if customers.is_empty() {
        // No account, so nothing here has a `now`.
        return Ok((Timestamp::default(), HashMap::new()));
    }
    batch.lock_accounts(customers, named, pools).await
}

/// The kept messages of `rows`, and those that stated facts that stand `alone`, decoded again from their bodies.
async fn kept(
    batch: &mut Batch<'_>,
    rows: &[PurchaseRow],
    alone: &HashMap<Name, PurchaseId>,
) -> Result<(HashMap<InboxId, Kept>, HashMap<Name, Message>), StoreError> {
    let of_purchases = rows.iter().flat_map(|row| row.messages.iter().copied());
    let ids: Vec<InboxId> = of_purchases.chain(alone.values().map(|row| InboxId(row.0))).collect();
    let stored = batch.messages(&ids).await?;
    let mut kept = HashMap::with_capacity(stored.len());
    let mut stated = HashMap::new();
    for message in stored {
        let inbox_id = message.inbox_id;
        let decoded = decoded(&message)?;
        match decoded.content {
            Content::Purchase(statement) => {
                kept.insert(inbox_id, Kept { inbox_id, key: decoded.key, time: decoded.time, statement });
            }
            Content::Usage(_) | Content::Adjustment(_) => {
                stated.extend(decoded.content.names().pop_first().map(|name| (name, decoded)));
            }
            Content::Signup(_) => {}
        }
    }
    Ok((kept, stated))
}

fn decoded(message: &StoredMessage) -> Result<Message, StoreError> {
    wire::decode_stored(&Stored {
        structured: message.structured,
        key: &message.key,
        kind: &message.kind,
        time: message.time,
        body: &message.body,
    })
    .map_err(|error| StoreError::Corrupt(format!("kept message {} cannot be read: {error}", message.key.id)))
}

fn purchase(
    row: PurchaseRow,
    kept: &mut HashMap<InboxId, Kept>,
    decisions: &[(PurchaseId, Decision)],
    granted: &mut HashMap<Uuid, Decision>,
) -> Purchase {
    let mut messages: Vec<Kept> = row.messages.iter().filter_map(|id| kept.remove(id)).collect();
    messages.sort_by_key(|kept| kept.inbox_id);
    let pending = decisions.iter().filter(|(id, _)| *id == row.id).map(|(_, decision)| decision.clone());
    let granted = row.grants.iter().filter_map(|grant| granted.remove(grant));
    Purchase { id: row.id, kept: messages, decided: pending.chain(granted).collect(), waiting: row.waiting }
}

/// The decision that a grant's own row holds, by the grant's id.
fn decision(grant: &crate::domain::account::Grant) -> Option<(Uuid, Decision)> {
    Some((grant.terms.grant_id.0, Decision::of(grant)?))
}

/// Keeps what was refused, with its original bytes.
async fn bury(
    batch: &mut Batch<'_>,
    works: &[Work],
    records: &[Option<Record>],
    books: &Books<'_>,
) -> Result<(), StoreError> {
    for (work, record) in works.iter().zip(records) {
        match (&work.decoded, record) {
            (Err(error), _) => batch.bury(&letter(work, error.code, &error.detail)).await?,
            (Ok(_), Some(record)) => {
                if let Some(code) = record.code {
                    let letter = letter(work, code, &record.reason);
                    batch.bury(&DeadLetter { conflict: record.conflict.as_deref(), ..letter }).await?;
                }
            }
            (Ok(_), None) => {}
        }
    }
    batch.bury_released(books).await
}

/// Code and reason for a single message whose rows the database does not take.
#[must_use]
pub fn why_refused(error: &StoreError) -> (RefusalCode, String) {
    let (code, what) = match error {
        StoreError::Violated(_) => {
            (RefusalCode::FactConflict, "a row that the database holds rules out what this message leads to")
        }
        _ => (RefusalCode::InvalidAmount, "the database refuses what this message leads to"),
    };
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    (code, format!("{what}: {}{detail}", error.in_full()))
}

/// The dead letter of a delivery.
#[must_use]
pub fn letter<'a>(work: &'a Work, code: RefusalCode, reason: &'a str) -> DeadLetter<'a> {
    let (key, kind) = match &work.decoded {
        Ok(decoded) => (Some(&decoded.message.key), Some(decoded.message.content.message_type().name())),
        Err(error) => (error.key.as_ref(), work.delivery.properties.kind.as_deref()),
    };
    DeadLetter {
        number: work.letter,
        queue: &work.delivery.queue,
        key,
        message_id: work.delivery.properties.message_id.as_deref(),
        kind,
        code,
        reason,
        properties: &work.properties,
        body: &work.delivery.body,
        conflict: None,
    }
}

type Outcomes = Vec<(Outcome, Option<RefusalCode>)>;

fn outcomes(works: &[Work], records: &[Option<Record>], changes: &Changes) -> (Outcomes, Outcomes) {
    let told = |record: &Record| (record.outcome, record.code);
    let outcomes = works.iter().zip(records).map(|(work, record)| match (&work.decoded, record) {
        (_, Some(record)) => told(record),
        (Err(error), None) => (Outcome::DeadLettered, Some(error.code)),
        (Ok(_), None) => (Outcome::Ignored, None),
    });
    (outcomes.collect(), changes.earlier.iter().map(told).collect())
}

/// The entries in their places, each with what events show of its grant's terms.
pub(crate) fn handed(books: Books<'_>, written: &Written) -> Vec<Handed> {
    let Books { accounts, changes, .. } = books;
    let places = (written.before + 1..).zip(&written.entry_ids);
    let entries = changes.entries.into_iter().zip(places).map(|(entry, (position, entry_id))| {
        let terms = entry.terms.as_deref().or_else(|| {
            let grants = &accounts.get(&entry.customer_id)?.grants;
            Some(&grants.get(&entry.grant?.grant_id)?.terms)
        });
        let terms = terms.map(Terms::shown);
        let position = position.cast_unsigned();
        (LedgerEntry { position, entry_id: *entry_id, recorded_at: written.recorded_at, entry }, terms)
    });
    entries.collect()
}
