//! Decides what a command does to one customer's credits.
//!
//! Pure: clock, ids and state come in as arguments, [`Entry`]s go out, and the account in memory is as after them.
//! An account is **settled** to `now` before anything else touches it: every due activation and expiry is written
//! first, in the order of its instant. What happened up to `settled_to` is therefore written, and a grant's phase
//! needs no flag: it follows from its dates and that instant.
//!
//! Called by `books`; `store` loads the grants that are named or due, never all of an account.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::TimeDelta;

use super::amounts::{Credits, Scale};
use super::ids::{Actor, CreditType, CustomerId, GrantId, Reason};
use super::ledger::{Cause, Delta, Demand, Entry, EntryType, GrantAfter, GrantStatus, Terms};
use super::message::Timestamp;
use super::order::InOrder;
use super::purchase::GrantingFact;
use super::rules::WhenPaid;

/// One customer's credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whose.
    pub customer_id: CustomerId,
    /// Every activation and expiry due up to this instant is written. `None`: nothing was ever written.
    pub settled_to: Option<Timestamp>,
    /// Balance and last sequence per credit type.
    pub pools: BTreeMap<CreditType, Pool>,
    /// The grants that were loaded.
    pub grants: HashMap<GrantId, Grant>,
    /// Those of them that may be used, in order.
    pub(super) in_order: InOrder,
}

/// The credits of one credit type in one account, as of the account's `settled_to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Spendable: the sum of what remains of active grants.
    pub balance: Credits,
    /// The last entry's sequence; 0 before the first.
    pub sequence: u64,
}

/// One block of credits given for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it is; never edited.
    pub terms: Arc<Terms>,
    /// Decimal places of its credit type when it was decided: refund fractions round to it.
    pub scale: Scale,
    /// The fact and the rule's ways behind a purchase's grant; absent for others.
    pub origin: Option<Origin>,
    /// Whether a link showed it to be one grant too many of its purchase.
    pub surplus: bool,
    /// What is left.
    pub remaining: Credits,
    /// What refunds have asked back so far: the last target.
    pub asked: Credits,
    /// What they got.
    pub taken: Credits,
    /// What revokes of any kind took, less what reinstates gave back. After a regrant it may fall below zero: what the
    /// grant before it lost can be given back to this one.
    pub revoked: Delta,
    /// `counts_at` of its first entry.
    pub first_counts_at: Timestamp,
    /// A regrant closed it for good: the grant that has its place now.
    pub replaced_by: Option<GrantId>,
}

/// What behind a purchase's grant decides its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The fact that granted.
    pub fact: GrantingFact,
    /// Whether the rule's trigger names `invoice-issued`: then refunds count against the invoice.
    pub on_invoice: bool,
    /// When it is due.
    pub when_paid: WhenPaid,
}

/// Who changes something, why and by which message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// Who.
    pub actor: Actor,
    /// In words.
    pub reason: Option<Reason>,
    /// By which message.
    pub cause: Cause,
}

/// Where loading stopped, of what is due in the order in which settling writes it: the first that was not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// When it is due.
    pub due_at: Timestamp,
    /// `Grant` for an activation, or `Expire`.
    pub kind: EntryType,
    /// Of which grant.
    pub grant_id: GrantId,
}

impl Grant {
    /// A grant as its command makes it, before its first entry.
    #[must_use]
    pub fn new(terms: impl Into<Arc<Terms>>, scale: Scale, origin: Option<Origin>, now: Timestamp) -> Self {
        let terms = terms.into();
        Self {
            scale,
            origin,
            surplus: false,
            remaining: terms.amount,
            asked: Credits::ZERO,
            taken: Credits::ZERO,
            revoked: Delta::ZERO,
            first_counts_at: now,
            replaced_by: None,
            terms,
        }
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> GrantStatus {
        if self.has_expired(now) {
            GrantStatus::Expired
        } else if self.remaining.is_zero() {
            if self.revoked > Delta::ZERO { GrantStatus::Revoked } else { GrantStatus::Depleted }
        } else if self.terms.effective_at > now {
            GrantStatus::Scheduled
        } else {
            GrantStatus::Active
        }
    }

    /// Whether its time is over at `now`.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.terms.expires_at.is_some_and(|end| end <= now)
    }

    /// Whether it may be used at `now`: the half-open `[effective_at, expires_at)`.
    #[must_use]
    pub fn is_inside(&self, now: Timestamp) -> bool {
        self.terms.effective_at <= now && !self.has_expired(now)
    }

    /// Whether use may take from it in an account that is settled to `settled_to`.
    #[must_use]
    pub fn is_spendable(&self, settled_to: Timestamp) -> bool {
        !self.remaining.is_zero() && self.is_inside(settled_to)
    }

    /// The next instant after `settled_to` at which settling has to write something; absent if nothing remains.
    #[must_use]
    pub fn due_at(&self, settled_to: Timestamp) -> Option<Timestamp> {
        if self.remaining.is_zero() {
            None
        } else if self.terms.effective_at > settled_to {
            Some(self.terms.effective_at)
        } else {
            self.terms.expires_at.filter(|end| *end > settled_to)
        }
    }

    /// What refunds asked for and did not get.
    #[must_use]
    pub fn open_shortfall(&self) -> Credits {
        self.asked.less(self.taken)
    }

    fn after(&self, now: Timestamp) -> GrantAfter {
        GrantAfter { grant_id: self.terms.grant_id, remaining: self.remaining, status: self.status(now) }
    }
}

/// What one entry does, before the pool gives it sequence and balance.
#[derive(Clone, Copy)]
pub(super) struct Change {
    pub(super) kind: EntryType,
    pub(super) delta: Delta,
    pub(super) grant_id: Option<GrantId>,
    pub(super) demand: Option<Demand>,
    pub(super) effective_at: Timestamp,
    pub(super) counts_at: Timestamp,
}

impl Account {
    /// An account that nothing was ever written for.
    #[must_use]
    pub fn new(customer_id: CustomerId) -> Self {
        Self {
            customer_id,
            settled_to: None,
            pools: BTreeMap::new(),
            grants: HashMap::new(),
            in_order: InOrder::default(),
        }
    }

    /// The account's `now`: the clock, but never before the instant to which it was settled.
    #[must_use]
    pub fn now(&self, clock: Timestamp) -> Timestamp {
        self.settled_to.map_or(clock, |settled| settled.max(clock))
    }

    /// Writes every activation and expiry due up to `now`: by instant, at one instant expiries first, then by id.
    pub fn settle(&mut self, now: Timestamp, out: &mut Vec<Entry>) {
        let since = self.settled_to;
        if since == Some(now) {
            return;
        }
        if since.is_none_or(|since| since < now) {
            self.settled_to = Some(now);
        }
        let due = self.grants.values().flat_map(|grant| due_between(grant, since, now)).collect();
        self.write_due(due, out);
    }

    /// As [`Account::settle`] where only what comes before `cut` was loaded: the first entries of those that settling at
    /// once would write, in the same order. Perhaps none; then more has to be loaded.
    ///
    /// The account is settled to just before the cut's instant, the last one of which all is loaded. Of the instant
    /// itself expiries are written too: a grant in which nothing remains is in no balance, whatever the instant. The
    /// activations of one instant stay together, since a balance as of before it holds none of them.
    pub fn settle_before(&mut self, cut: Cut, out: &mut Vec<Entry>) {
        let since = self.settled_to;
        let complete = cut.due_at.checked_sub_signed(TimeDelta::microseconds(1)).unwrap_or(cut.due_at);
        if since.is_none_or(|since| since < complete) {
            self.settled_to = Some(complete);
        }
        let end = order_due(&(cut.due_at, cut.kind, cut.grant_id));
        let is_complete = |due: &(Timestamp, EntryType, GrantId)| {
            order_due(due) < end && (due.0 < cut.due_at || due.1 == EntryType::Expire)
        };
        let due = self.grants.values().flat_map(|grant| due_between(grant, since, cut.due_at)).filter(is_complete);
        let due = due.collect();
        self.write_due(due, out);
    }

    fn write_due(&mut self, mut due: Vec<(Timestamp, EntryType, GrantId)>, out: &mut Vec<Entry>) {
        due.sort_by_key(order_due);
        for (at, kind, grant_id) in due {
            self.come_due(at, kind, grant_id, out);
        }
    }

    fn come_due(&mut self, at: Timestamp, kind: EntryType, grant_id: GrantId, out: &mut Vec<Entry>) {
        let Some(grant) = self.grants.get_mut(&grant_id) else { return };
        if grant.remaining.is_zero() {
            return;
        }
        let delta = if kind == EntryType::Expire {
            let lost = std::mem::replace(&mut grant.remaining, Credits::ZERO);
            Delta::minus(lost)
        } else {
            Delta::plus(grant.remaining)
        };
        let counts_at = at.max(grant.first_counts_at);
        let why = Why { actor: Actor::schedule(), reason: None, cause: grant.terms.cause.clone() };
        let grant_id = Some(grant_id);
        self.write(Change { kind, delta, grant_id, demand: None, effective_at: at, counts_at }, why, at, out);
    }

    /// Makes a grant at `now`: scheduled if it starts later, and expired at once if its time is already over.
    pub fn grant(&mut self, grant: Grant, now: Timestamp, out: &mut Vec<Entry>) {
        self.grant_used(grant, Credits::ZERO, now, out);
    }

    /// Makes a grant of which `used` was used elsewhere before: nothing of one that starts later.
    pub fn grant_used(&mut self, grant: Grant, used: Credits, now: Timestamp, out: &mut Vec<Entry>) {
        let terms = Arc::clone(&grant.terms);
        let grant_id = terms.grant_id;
        let (kind, delta) = if terms.effective_at > now {
            (EntryType::Schedule, Delta::ZERO)
        } else {
            (EntryType::Grant, Delta::plus(terms.amount))
        };
        let why = Why { actor: terms.actor.clone(), reason: terms.reason.clone(), cause: terms.cause.clone() };
        let ended = terms.expires_at.filter(|end| *end <= now);
        let (demand, counts_at) = (None, now);
        let begins =
            Change { kind, delta, grant_id: Some(grant_id), demand, effective_at: terms.effective_at, counts_at };
        let status_at = ended.map_or(now, |_| terms.effective_at);
        self.grants.insert(grant_id, grant);
        // Its own first entry shows the grant as it began, even where the next one ends it.
        self.write(begins, why.clone(), status_at, out);
        if let Some(first) = out.last_mut() {
            first.terms = Some(terms);
        }
        if kind == EntryType::Grant && !used.is_zero() {
            let demand = Demand { requested: used, shortfall: Credits::ZERO };
            self.take(grant_id, demand, why, (now, now, status_at), out);
        }
        if let Some(end) = ended {
            self.come_due(end, EntryType::Expire, grant_id, out);
        }
    }

    /// Takes what `demand` asks for, less its shortfall, from one grant by use: dated `at`, counted from `now` on, with
    /// the status of `status_at`.
    pub fn take(
        &mut self,
        grant_id: GrantId,
        demand: Demand,
        why: Why,
        (at, now, status_at): (Timestamp, Timestamp, Timestamp),
        out: &mut Vec<Entry>,
    ) {
        let Some(grant) = self.grants.get_mut(&grant_id) else { return };
        let moved = demand.requested.less(demand.shortfall);
        grant.remaining = grant.remaining.less(moved);
        let (kind, delta, grant_id, demand) = (EntryType::Consume, Delta::minus(moved), Some(grant_id), Some(demand));
        self.write(Change { kind, delta, grant_id, demand, effective_at: at, counts_at: now }, why, status_at, out);
    }

    /// Brings what refunds asked of a grant to `target`: a `revoke` if that is more than before, a `reinstate` if less.
    ///
    /// Spent credits stay spent: what is not there is `shortfall` on the entry, and finance decides. A revoke never
    /// reaches another grant's credits.
    pub fn bring_to(&mut self, grant_id: GrantId, target: Credits, why: Why, now: Timestamp, out: &mut Vec<Entry>) {
        let Some(grant) = self.grants.get_mut(&grant_id) else { return };
        let inside = grant.is_inside(now);
        let (kind, requested, moved) = match target.cmp(&grant.asked) {
            Ordering::Equal => return,
            Ordering::Greater => grant.take_back(target),
            Ordering::Less => grant.give_back(target, now),
        };
        grant.asked = target;
        let delta = match (inside, kind) {
            (false, _) => Delta::ZERO,
            (true, EntryType::Revoke) => Delta::minus(moved),
            (true, _) => Delta::plus(moved),
        };
        let too_late = kind == EntryType::Reinstate && grant.has_expired(now);
        let why = if too_late { Why { reason: Some(Reason::cut("expired")), ..why } } else { why };
        let demand = Some(Demand { requested, shortfall: requested.less(moved) });
        let grant_id = Some(grant_id);
        self.write(Change { kind, delta, grant_id, demand, effective_at: now, counts_at: now }, why, now, out);
    }

    /// Writes a change of a grant.
    pub(super) fn write(&mut self, change: Change, why: Why, status_at: Timestamp, out: &mut Vec<Entry>) {
        let Some(grant) = change.grant_id.and_then(|id| self.grants.get(&id)) else { return };
        self.in_order.note(grant, self.settled_to.unwrap_or(status_at));
        let (credit_type, after) = (grant.terms.credit_type.clone(), grant.after(status_at));
        self.write_to(credit_type, Some(after), change, why, out);
    }

    /// Writes an entry of a pool.
    pub(super) fn write_to(
        &mut self,
        credit_type: CreditType,
        grant: Option<GrantAfter>,
        change: Change,
        why: Why,
        out: &mut Vec<Entry>,
    ) {
        let pool = self.pools.entry(credit_type.clone()).or_insert(Pool { balance: Credits::ZERO, sequence: 0 });
        pool.sequence = pool.sequence.saturating_add(1);
        pool.balance = if change.delta.value().is_sign_negative() {
            Credits::stored(-change.delta.value()).map_or(pool.balance, |out| pool.balance.less(out))
        } else {
            Credits::stored(change.delta.value()).map_or(pool.balance, |added| pool.balance.plus(added))
        };
        out.push(Entry {
            customer_id: self.customer_id.clone(),
            credit_type,
            sequence: pool.sequence,
            kind: change.kind,
            delta: change.delta,
            end_balance: pool.balance,
            grant,
            terms: None,
            demand: change.demand,
            actor: why.actor,
            reason: why.reason,
            cause: why.cause,
            effective_at: change.effective_at,
            counts_at: change.counts_at,
        });
    }
}

impl Grant {
    fn take_back(&mut self, target: Credits) -> (EntryType, Credits, Credits) {
        let requested = target.less(self.asked);
        let moved = requested.min(self.remaining);
        self.remaining = self.remaining.less(moved);
        self.taken = self.taken.plus(moved);
        self.revoked = self.revoked.more(moved);
        (EntryType::Revoke, requested, moved)
    }

    fn give_back(&mut self, target: Credits, now: Timestamp) -> (EntryType, Credits, Credits) {
        let requested = self.asked.less(target);
        let room = self.terms.amount.less(self.remaining);
        let moved = if self.has_expired(now) { Credits::ZERO } else { self.taken.less(target).min(room) };
        self.remaining = self.remaining.plus(moved);
        self.taken = self.taken.less(moved);
        self.revoked = self.revoked.fewer(moved);
        (EntryType::Reinstate, requested, moved)
    }
}

/// By instant, at one instant expiries first, then by id.
fn order_due((at, kind, id): &(Timestamp, EntryType, GrantId)) -> (Timestamp, bool, GrantId) {
    // `Expire` has to come before `Grant`, and is declared after it.
    (*at, *kind != EntryType::Expire, *id)
}

fn due_between(
    grant: &Grant,
    since: Option<Timestamp>,
    now: Timestamp,
) -> impl Iterator<Item = (Timestamp, EntryType, GrantId)> {
    let fresh = move |at: &Timestamp| since.is_some_and(|since| since < *at) && *at <= now;
    let id = grant.terms.grant_id;
    let starts = Some(grant.terms.effective_at).filter(fresh).map(|at| (at, EntryType::Grant, id));
    let ends = grant.terms.expires_at.filter(fresh).map(|at| (at, EntryType::Expire, id));
    starts.into_iter().chain(ends).filter(|_| !grant.remaining.is_zero())
}
