//! Grants as their entries make them: what remains is the amount, less what was revoked, expired or used, and what was
//! reinstated.

use std::collections::HashMap;

use rust_decimal::Decimal;
use uuid::Uuid;

use super::Damage;
use crate::domain::ledger::EntryType;
use crate::store::rows::LedgerRow;

/// Every grant after its entries so far.
#[derive(Default)]
pub(super) struct Grants(HashMap<Uuid, Standing>);

#[derive(Clone, Copy)]
struct Standing {
    amount: Decimal,
    remaining: Decimal,
    /// What revokes took, less what reinstates gave back.
    revoked: Decimal,
    position: i64,
}

/// What an entry should say.
struct Expected {
    after: Standing,
    /// The delta inside the grant's dates.
    delta: Decimal,
    /// Whether outside of them it may be 0.
    or_zero: bool,
}

impl Grants {
    /// Takes the next row, and says what is wrong with it.
    pub(super) fn take(&mut self, row: &LedgerRow<'_>) -> Vec<String> {
        let Some(grant_id) = row.grant_id else {
            let found_nothing = row.kind == EntryType::Consume.name() && row.delta.is_zero();
            return if found_nothing { Vec::new() } else { vec!["grant_id: missing".to_owned()] };
        };
        let expected = match (self.0.get(&grant_id), row.amount) {
            (None, Some(amount)) => first(row, amount),
            (Some(standing), None) => next(row, *standing),
            (Some(standing), Some(_)) => {
                Err(format!("terms: grant {grant_id} began at position {}", standing.position))
            }
            (None, None) => Err(format!("terms: missing on the first entry of grant {grant_id}")),
        };
        match expected {
            Ok(expected) => {
                self.0.insert(grant_id, Standing { position: row.position, ..expected.after });
                against(row, &expected)
            }
            Err(complaint) => vec![complaint],
        }
    }

    /// A grant's row against its last entry. Each grant once.
    pub(super) fn against_row(&mut self, grant_id: Uuid, remaining: Decimal, revoked: Decimal) -> Option<Damage> {
        let Some(standing) = self.0.remove(&grant_id) else {
            return Some(Damage { position: None, complaints: vec![format!("grant {grant_id} has no entries")] });
        };
        let mut complaints = Vec::new();
        for (what, row, entries) in
            [("remaining", remaining, standing.remaining), ("revoked", revoked, standing.revoked)]
        {
            if row != entries {
                let (row, entries) = (row.normalize(), entries.normalize());
                complaints.push(format!("grant {grant_id} has {what} {row}, {entries} by its entries"));
            }
        }
        (!complaints.is_empty()).then_some(Damage { position: Some(standing.position), complaints })
    }
}

fn first(row: &LedgerRow<'_>, amount: Decimal) -> Result<Expected, String> {
    let after = Standing { amount, remaining: amount, revoked: Decimal::ZERO, position: row.position };
    match EntryType::from_name(&row.kind) {
        Some(EntryType::Schedule) => Ok(Expected { after, delta: Decimal::ZERO, or_zero: true }),
        Some(EntryType::Grant) => Ok(Expected { after, delta: amount, or_zero: false }),
        _ => Err(format!("type: no grant begins with {}", row.kind)),
    }
}

fn next(row: &LedgerRow<'_>, before: Standing) -> Result<Expected, String> {
    let moved = match (row.requested, row.shortfall) {
        (Some(requested), Some(shortfall)) => Ok(requested - shortfall),
        _ => Err(format!("requested and shortfall: missing on a {}", row.kind)),
    };
    let (remaining, revoked, delta, or_zero) = match EntryType::from_name(&row.kind) {
        Some(EntryType::Grant) => (before.remaining, before.revoked, before.remaining, false),
        Some(EntryType::Expire) => (Decimal::ZERO, before.revoked, -before.remaining, false),
        Some(EntryType::Consume) => (before.remaining - moved.clone()?, before.revoked, -moved?, false),
        Some(EntryType::Revoke) => (before.remaining - moved.clone()?, before.revoked + moved.clone()?, -moved?, true),
        Some(EntryType::Reinstate) => {
            (before.remaining + moved.clone()?, before.revoked - moved.clone()?, moved?, true)
        }
        Some(EntryType::Schedule) | None => return Err(format!("type: {} is for the first entry", row.kind)),
    };
    Ok(Expected { after: Standing { remaining, revoked, ..before }, delta, or_zero })
}

fn against(row: &LedgerRow<'_>, expected: &Expected) -> Vec<String> {
    let after = &expected.after;
    let mut complaints = Vec::new();
    if row.grant_remaining != Some(after.remaining) {
        let given = row.grant_remaining.map_or("nothing".to_owned(), |given| given.normalize().to_string());
        complaints.push(format!("grant_remaining: {given}, {} by its entries", after.remaining.normalize()));
    }
    if after.remaining.is_sign_negative() && !after.remaining.is_zero() || after.remaining > after.amount {
        let (remaining, amount) = (after.remaining.normalize(), after.amount.normalize());
        complaints.push(format!("grant_remaining: {remaining} is not within 0 and the amount {amount}"));
    }
    if row.delta != expected.delta && !(expected.or_zero && row.delta.is_zero()) {
        let (given, wanted) = (row.delta.normalize(), expected.delta.normalize());
        complaints.push(format!("delta: {given}, a {} of this grant changes the balance by {wanted}", row.kind));
    }
    complaints
}
