//! The pass over the ledger: each entry against the one before it, in the chain and in its pool.

use std::cmp::Ordering;
use std::collections::HashMap;

use chrono::DateTime;
use rust_decimal::Decimal;

use super::grants::Grants;
use super::{Damage, Head};
use crate::domain::message::Timestamp;
use crate::store::chain::{FORMAT, hash};
use crate::store::rows::LedgerRow;

/// A row of the ledger with what the database says of it.
pub(super) struct Row {
    pub(super) entry: LedgerRow<'static>,
    pub(super) hash: Vec<u8>,
    /// Whether a number is not written as the worker writes it.
    pub(super) inexact: bool,
    /// What the grant that it touches says otherwise.
    pub(super) unlike_grant: Vec<String>,
    /// What the grant says otherwise about its terms.
    pub(super) unlike_terms: Vec<String>,
}

/// What a pool's row says: its balance, and what its active grants hold.
pub(super) struct Balances {
    pub(super) stored: Decimal,
    pub(super) held: Decimal,
    /// The sum of what remains of grants that use would find.
    pub(super) spendable: Decimal,
    pub(super) settled: bool,
}

type PoolKey = (String, String);

/// A pool after its entries so far. Its balance is the sum of their deltas, since each was held against that.
struct Pool {
    sequence: i64,
    balance: Decimal,
    counts_at: Timestamp,
    position: i64,
}

/// The ledger up to `position`.
pub(super) struct Walk {
    pub(super) position: i64,
    hash: Vec<u8>,
    recorded_at: Timestamp,
    pools: HashMap<PoolKey, Pool>,
    pub(super) grants: Grants,
}

impl Default for Walk {
    /// Before the first entry: what the head row says of an empty ledger.
    fn default() -> Self {
        Self {
            position: 0,
            hash: Vec::new(),
            recorded_at: DateTime::UNIX_EPOCH,
            pools: HashMap::new(),
            grants: Grants::default(),
        }
    }
}

impl Walk {
    /// Takes the next row, and says what is wrong with it.
    pub(super) fn take(&mut self, row: &Row) -> Option<Damage> {
        if let Some(damage) = self.out_of_place(&row.entry) {
            return Some(damage);
        }
        let mut complaints = self.alone(row);
        complaints.extend(self.in_pool(&row.entry));
        complaints.extend(self.grants.take(&row.entry));
        self.position = row.entry.position;
        self.hash.clone_from(&row.hash);
        self.recorded_at = row.entry.recorded_at;
        (!complaints.is_empty()).then_some(Damage { position: Some(self.position), complaints })
    }

    fn out_of_place(&self, row: &LedgerRow<'_>) -> Option<Damage> {
        let expected = self.position + 1;
        match row.position.cmp(&expected) {
            Ordering::Equal => None,
            Ordering::Less => Some(Damage::at(row.position, "positions start with 1")),
            Ordering::Greater => {
                let what = format!("missing: position {} follows on {}", row.position, self.position);
                Some(Damage::at(expected, what))
            }
        }
    }

    /// What can be said of a row and the row before it.
    fn alone(&self, row: &Row) -> Vec<String> {
        let entry = &row.entry;
        let mut complaints = Vec::new();
        if hash(&self.hash, entry).as_slice() != row.hash {
            complaints.push("hash: not that of this entry behind the one before it".to_owned());
        }
        if entry.format != FORMAT {
            complaints.push(format!("format: {} is none that this version knows", entry.format));
        }
        if row.inexact {
            complaints.push("a number is not written as the worker writes it".to_owned());
        }
        if entry.recorded_at < self.recorded_at {
            complaints.push(format!("recorded_at: {} is before the entry before it", entry.recorded_at));
        }
        let grant = entry.grant_id.unwrap_or_default();
        match row.unlike_grant.as_slice() {
            [] => {}
            [column] if column == "grant_id" => complaints.push(format!("grant {grant} has no row")),
            columns => complaints.push(format!("grant {grant} has another {}", columns.join(", "))),
        }
        if !row.unlike_terms.is_empty() {
            complaints.push(format!("terms: the row of grant {grant} has another {}", row.unlike_terms.join(", ")));
        }
        complaints
    }

    /// What can be said of a row and the entry before it in its pool.
    fn in_pool(&mut self, row: &LedgerRow<'_>) -> Vec<String> {
        let start = || Pool { sequence: 0, balance: Decimal::ZERO, counts_at: row.counts_at, position: row.position };
        let pool = self.pools.entry((row.customer_id.to_string(), row.credit_type.to_string())).or_insert_with(start);
        let mut complaints = Vec::new();
        let of = format!("of {} {}", row.customer_id, row.credit_type);
        if row.sequence != pool.sequence + 1 {
            complaints.push(format!("sequence: {} {of} follows on {}", row.sequence, pool.sequence));
        }
        if row.end_balance != pool.balance + row.delta {
            let before = pool.balance.normalize();
            let (delta, end) = (row.delta.normalize(), row.end_balance.normalize());
            complaints.push(format!("end_balance: {end} {of} after {before} and delta {delta}"));
        }
        if row.counts_at < pool.counts_at {
            complaints.push(format!("counts_at: {} is before the entry before it {of}", row.counts_at));
        }
        *pool =
            Pool { sequence: row.sequence, balance: row.end_balance, counts_at: row.counts_at, position: row.position };
        complaints
    }

    /// The last entry against the head.
    pub(super) fn against_head(&self, head: &Head) -> Option<Damage> {
        if self.position < head.position {
            let what = format!("missing: the head says that the ledger ends at position {}", head.position);
            return Some(Damage::at(self.position + 1, what));
        }
        if self.position > head.position {
            let what = format!("the head says that the ledger ends at position {}", head.position);
            return Some(Damage::at(head.position + 1, what));
        }
        let mut complaints = Vec::new();
        if self.hash != head.hash {
            complaints.push("hash: not that of the head".to_owned());
        }
        if self.recorded_at != head.recorded_at {
            complaints.push(format!("recorded_at: not the {} of the head", head.recorded_at));
        }
        (!complaints.is_empty()).then_some(Damage { position: Some(self.position), complaints })
    }

    /// A pool's row against its last entry and its grants.
    pub(super) fn against_pool(&mut self, key: PoolKey, sequence: i64, balances: &Balances) -> Option<Damage> {
        let Some(pool) = self.pools.remove(&key) else {
            let (customer, kind) = key;
            return Some(Damage { position: None, complaints: vec![format!("pool {customer} {kind} has no entries")] });
        };
        let of = format!("pool {} {}", key.0, key.1);
        let mut complaints = Vec::new();
        if sequence != pool.sequence {
            complaints.push(format!("{of} is at sequence {sequence}, its last entry has {}", pool.sequence));
        }
        let (stored, held, last) = (balances.stored.normalize(), balances.held.normalize(), pool.balance.normalize());
        if stored != last {
            complaints.push(format!("{of} has balance {stored}, its last entry {last}"));
        }
        if !balances.settled {
            complaints.push(format!("{of} has no account"));
        } else if held != last {
            complaints.push(format!("{of} has balance {last}, its active grants hold {held}"));
        } else if balances.spendable != balances.held {
            let spendable = balances.spendable.normalize();
            complaints.push(format!("{of} has active grants of {held}, those marked spendable hold {spendable}"));
        }
        (!complaints.is_empty()).then_some(Damage { position: Some(pool.position), complaints })
    }

    /// The first of the pools that have entries and no row.
    pub(super) fn pool_without_row(&self) -> Option<Damage> {
        let ((customer, kind), pool) = self.pools.iter().min_by_key(|(_, pool)| pool.position)?;
        Some(Damage::at(pool.position, format!("pool {customer} {kind} has no row")))
    }
}
