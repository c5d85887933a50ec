//! Use: credits are taken in the order of use, and what is not there is shortfall.
//!
//! One use may touch many grants, an entry each, all with the same cause. In one use every entry but the last asks for
//! what it takes; the last asks for the rest and bears the shortfall. A balance never falls below zero.

use super::account::{Account, Change, Why};
use super::amounts::Credits;
use super::books::{Books, Record, note_grants, record};
use super::ids::{Actor, CreditType, CustomerId, GrantId, InboxId, Reason, UsageId};
use super::ledger::{Cause, Delta, Demand, Entry, EntryType};
use super::message::{MessageKey, MessageType, Metadata, Timestamp};
use super::outcome::Outcome;

/// Credits were used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Names the use.
    pub usage_id: UsageId,
    /// Who used them.
    pub customer_id: CustomerId,
    /// Which credits.
    pub credit_type: CreditType,
    /// How many, above zero.
    pub amount: Credits,
    /// When, as the sender says. Only recorded: the grants that are active when the message is handled count.
    pub occurred_at: Timestamp,
    /// The message's own metadata: no part of the fact.
    pub metadata: Metadata,
}

impl Account {
    /// Takes `amount` of a pool in the order of use, in an account that is settled to `now`; the entries are dated `at`.
    pub fn consume(
        &mut self,
        credit_type: &CreditType,
        amount: Credits,
        why: &Why,
        (at, now): (Timestamp, Timestamp),
        out: &mut Vec<Entry>,
    ) {
        let mut left = amount;
        let mut parts: Vec<(GrantId, Credits)> = Vec::new();
        for grant_id in self.in_order.of(credit_type, &self.grants, now) {
            if left.is_zero() {
                break;
            }
            let Some(grant) = self.grants.get(&grant_id) else { continue };
            let part = left.min(grant.remaining);
            left = left.less(part);
            parts.push((grant_id, part));
        }
        let Some((last, part)) = parts.pop() else {
            let demand = Some(Demand { requested: amount, shortfall: amount });
            let (kind, delta) = (EntryType::Consume, Delta::ZERO);
            let change = Change { kind, delta, grant_id: None, demand, effective_at: at, counts_at: now };
            return self.write_to(credit_type.clone(), None, change, why.clone(), out);
        };
        for (grant_id, part) in parts {
            let demand = Demand { requested: part, shortfall: Credits::ZERO };
            self.take(grant_id, demand, why.clone(), (at, now, now), out);
        }
        let demand = Demand { requested: part.plus(left), shortfall: left };
        self.take(last, demand, why.clone(), (at, now, now), out);
    }
}

impl Books<'_> {
    pub(super) fn take_usage(&mut self, inbox_id: InboxId, key: &MessageKey, usage: &Usage) -> Record {
        let reason = Reason::cut(&format!("usage {}", usage.usage_id));
        let kind = MessageType::UsageRecorded.name().into();
        let cause = Cause { source: key.source.clone(), id: key.id.clone(), kind };
        let why = Why { actor: Actor::usage(), reason: Some(reason), cause };
        let (account, entries, now) = self.settled(&usage.customer_id);
        let first = entries.len();
        account.consume(&usage.credit_type, usage.amount, &why, (usage.occurred_at, now), entries);
        let words = in_words(usage, entries.get(first..).unwrap_or_default());
        note_grants(&mut self.changes, &usage.customer_id, first);
        let entries = (first..self.changes.entries.len()).collect();
        record(inbox_id, Outcome::Applied, words, entries)
    }
}

fn in_words(usage: &Usage, entries: &[Entry]) -> String {
    let of = entries.iter().filter(|entry| entry.grant.is_some()).count();
    let short = entries.last().and_then(|entry| entry.demand).map_or(Credits::ZERO, |demand| demand.shortfall);
    let Usage { amount, credit_type, .. } = usage;
    let taken = amount.less(short);
    let grants = if of == 1 { "grant" } else { "grants" };
    match (of, short.is_zero()) {
        (0, _) => format!("{amount} {credit_type} asked for, nothing was there"),
        (_, true) => format!("{taken} {credit_type} of {of} {grants}"),
        (_, false) => format!("{taken} {credit_type} of {of} {grants}, {short} more asked for than was there"),
    }
}
