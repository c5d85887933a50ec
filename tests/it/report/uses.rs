//! Use, revocation by hand and regrant as the law has them, on an account in memory.

use credits::domain::account::{Account, Grant, Why};
use credits::domain::amounts::Credits;
use credits::domain::ids::{CreditType, GrantId};
use credits::domain::ledger::{Delta, Demand, Entry, EntryType, GrantAfter, Terms};

use super::year::Instant;

pub(crate) trait Uses {
    fn consume(&mut self, of: &CreditType, amount: Credits, why: &Why, dates: (Instant, Instant), out: &mut Vec<Entry>);
    fn revoke(&mut self, id: GrantId, amount: Option<Credits>, why: Why, now: Instant, out: &mut Vec<Entry>);
    fn regrant(&mut self, id: GrantId, terms: Terms, why: Why, now: Instant, out: &mut Vec<Entry>);
}

impl Uses for Account {
    fn consume(
        &mut self,
        of: &CreditType,
        amount: Credits,
        why: &Why,
        dates: (Instant, Instant),
        out: &mut Vec<Entry>,
    ) {
        let spendable = |grant: &&Grant| grant.terms.credit_type == *of && grant.is_spendable(dates.1);
        let mut grants: Vec<&Grant> = self.grants.values().filter(spendable).collect();
        grants.sort_by(|a, b| a.order_of_use(b));
        let ids: Vec<GrantId> = grants.iter().map(|grant| grant.terms.grant_id).collect();
        let mut left = amount;
        for (at, id) in ids.iter().enumerate() {
            let part = left.min(self.grants[id].remaining);
            let is_last = at + 1 == ids.len() || part == left;
            let requested = if is_last { left } else { part };
            take(self, (EntryType::Consume, *id), (requested, part), why.clone(), dates, out);
            left = left.less(part);
            if is_last {
                break;
            }
        }
    }

    fn revoke(&mut self, id: GrantId, amount: Option<Credits>, why: Why, now: Instant, out: &mut Vec<Entry>) {
        let remaining = self.grants[&id].remaining;
        let requested = amount.unwrap_or(remaining);
        if !requested.is_zero() {
            take(self, (EntryType::Revoke, id), (requested, requested.min(remaining)), why, (now, now), out);
        }
    }

    fn regrant(&mut self, id: GrantId, terms: Terms, why: Why, now: Instant, out: &mut Vec<Entry>) {
        let old = self.grants.get_mut(&id).unwrap();
        old.replaced_by = Some(terms.grant_id);
        let (scale, origin, asked, taken) = (old.scale, old.origin.clone(), old.asked, old.taken);
        self.revoke(id, None, why, now, out);
        self.grant(Grant { asked, taken, ..Grant::new(terms, scale, origin, now) }, now, out);
    }
}

fn take(
    account: &mut Account,
    (kind, id): (EntryType, GrantId),
    (requested, moved): (Credits, Credits),
    why: Why,
    (effective_at, now): (Instant, Instant),
    out: &mut Vec<Entry>,
) {
    let grant = account.grants.get_mut(&id).unwrap();
    grant.remaining = grant.remaining.less(moved);
    if kind == EntryType::Revoke {
        grant.revoked = grant.revoked.plus(moved);
    }
    let inside = grant.is_inside(now);
    let credit_type = grant.terms.credit_type.clone();
    let after = GrantAfter { grant_id: id, remaining: grant.remaining, status: grant.status(now) };
    let pool = account.pools.get_mut(&credit_type).unwrap();
    pool.sequence += 1;
    pool.balance = if inside { pool.balance.less(moved) } else { pool.balance };
    out.push(Entry {
        customer_id: account.customer_id.clone(),
        credit_type,
        sequence: pool.sequence,
        kind,
        delta: if inside { Delta::minus(moved) } else { Delta::ZERO },
        end_balance: pool.balance,
        grant: Some(after),
        terms: None,
        demand: Some(Demand { requested, shortfall: requested.less(moved) }),
        actor: why.actor,
        reason: why.reason,
        cause: why.cause,
        effective_at,
        counts_at: now,
    });
}
