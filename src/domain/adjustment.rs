//! Adjustments by hand: grant, revoke, and regrant, which is both in one. There is no edit.
//!
//! What a person takes back is outside `asked` and `taken`: these are for refunds. A regrant closes a grant for good and
//! gives what remained again under other dates or another priority; the new grant has its place in the purchase, so that
//! a later refund reaches it.

use chrono::TimeDelta;

use super::account::{Account, Change, Grant, Why};
use super::amounts::{Credits, Money};
use super::books::{Books, Record, note_grants, record, refused};
use super::ids::{Actor, AdjustmentId, CreditType, CustomerId, GrantId, InboxId, Reason};
use super::ledger::{Cause, Delta, Demand, Entry, EntryType, Terms};
use super::message::{MessageKey, MessageType, Timestamp};
use super::outcome::{Outcome, RefusalCode};
use super::purchase::{Decision, gifts};
use super::rules::{Category, Priority};

/// A change by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// Names the adjustment.
    pub adjustment_id: AdjustmentId,
    /// Whose credits.
    pub customer_id: CustomerId,
    /// Which credits.
    pub credit_type: CreditType,
    /// What is to be done.
    pub action: Action,
    /// How a granted amount was paid, for people: the first one stays.
    pub payment_method: Option<String>,
    /// Who wants it.
    pub actor: Actor,
    /// Why.
    pub reason: Reason,
}

/// What an adjustment does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Gives a new grant.
    Grant(NewTerms),
    /// Takes back from one grant: so much, or all that remains.
    Revoke {
        /// Which grant.
        grant_id: GrantId,
        /// How much, above zero; absent: all that remains.
        amount: Option<Credits>,
    },
    /// Takes back all that remains of every grant of the pool, active or scheduled.
    RevokeAll,
    /// Closes a grant and gives what remained again, on other terms.
    Regrant {
        /// Which grant.
        grant_id: GrantId,
        /// The new priority; absent: as it was.
        priority: Option<Priority>,
        /// The new start; absent: the message's time, or as it was if that is still to come.
        effective_at: Option<Timestamp>,
        /// The new end; absent: as it was.
        expiry: Option<Expiry>,
    },
}

/// The terms of a grant by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTerms {
    /// How many credits, above zero.
    pub amount: Credits,
    /// How many of them were used before, elsewhere: for grants that are brought along with their history.
    pub used: Credits,
    /// Whether somebody paid for them.
    pub category: Category,
    /// When they are used.
    pub priority: Priority,
    /// What they cost in total; promotional ones nothing.
    pub cost: Option<Money>,
    /// The start; absent: the message's time.
    pub effective_at: Option<Timestamp>,
    /// The end.
    pub expiry: Expiry,
}

/// When a grant by hand ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// It does not.
    Never,
    /// At an instant.
    At(Timestamp),
    /// So long after its start.
    After(TimeDelta),
}

impl Expiry {
    /// The end of a grant that starts at `start`. Beyond what an instant can hold there is none.
    #[must_use]
    pub fn of(self, start: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::At(end) => Some(end),
            Self::After(length) => start.checked_add_signed(length),
        }
    }
}

impl Adjustment {
    /// The grant that a `grant` or `regrant` of this id makes.
    #[must_use]
    pub fn made(&self) -> GrantId {
        GrantId::derive(&["adjustment", self.adjustment_id.as_str()])
    }

    /// Its amounts by their fields.
    pub(super) fn amounts(&self) -> [(&'static str, Option<Credits>); 2] {
        match &self.action {
            Action::Grant(terms) => [("amount", Some(terms.amount)), ("used", Some(terms.used))],
            Action::Revoke { amount, .. } => [("amount", *amount), ("used", None)],
            Action::RevokeAll | Action::Regrant { .. } => [("amount", None), ("used", None)],
        }
    }

    /// What rules its own dates out, if anything; `time` is the message's.
    pub(super) fn unfit(&self, time: Timestamp) -> Option<(RefusalCode, String)> {
        let Action::Grant(terms) = &self.action else { return None };
        let start = terms.effective_at.unwrap_or(time);
        ends_too_early(terms.expiry.of(start), start).map(|words| (RefusalCode::InvalidField, words))
    }
}

fn ends_too_early(end: Option<Timestamp>, start: Timestamp) -> Option<String> {
    let end = end.filter(|end| *end <= start)?;
    let shown = |at: Timestamp| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    Some(format!("data.expires_at {:?} is not later than effective_at, {}", shown(end), shown(start)))
}

impl Account {
    /// Takes back by hand: `amount` of a grant, or all that remains; nothing and no entry if nothing was asked for.
    pub fn revoke(
        &mut self,
        grant_id: GrantId,
        amount: Option<Credits>,
        why: Why,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) {
        let Some(grant) = self.grants.get_mut(&grant_id) else { return };
        let requested = amount.unwrap_or(grant.remaining);
        if requested.is_zero() {
            return;
        }
        let moved = requested.min(grant.remaining);
        let delta = if grant.is_inside(now) { Delta::minus(moved) } else { Delta::ZERO };
        grant.remaining = grant.remaining.less(moved);
        grant.revoked = grant.revoked.more(moved);
        let demand = Some(Demand { requested, shortfall: requested.less(moved) });
        let (kind, grant_id) = (EntryType::Revoke, Some(grant_id));
        self.write(Change { kind, delta, grant_id, demand, effective_at: now, counts_at: now }, why, now, out);
    }

    /// Closes a grant of which something remains, and makes `terms` of what did, with all that refunds asked of it.
    pub fn regrant(&mut self, grant_id: GrantId, terms: Terms, why: Why, now: Timestamp, out: &mut Vec<Entry>) {
        let Some(grant) = self.grants.get_mut(&grant_id) else { return };
        grant.replaced_by = Some(terms.grant_id);
        let (scale, origin, surplus) = (grant.scale, grant.origin.clone(), grant.surplus);
        let (asked, taken) = (grant.asked, grant.taken);
        self.revoke(grant_id, None, why, now, out);
        let made = Grant { surplus, asked, taken, ..Grant::new(terms, scale, origin, now) };
        self.grant(made, now, out);
    }
}

/// What became of an adjustment, in words; or why it cannot be.
type Adjusted = Result<String, (RefusalCode, String)>;

impl Books<'_> {
    pub(super) fn take_adjustment(
        &mut self,
        inbox_id: InboxId,
        key: &MessageKey,
        time: Timestamp,
        adjustment: &Adjustment,
    ) -> Record {
        let kind = MessageType::CreditAdjustment.name().into();
        let cause = Cause { source: key.source.clone(), id: key.id.clone(), kind };
        let why = Why { actor: adjustment.actor.clone(), reason: Some(adjustment.reason.clone()), cause };
        let first = self.settled(&adjustment.customer_id).1.len();
        let adjusted = match &adjustment.action {
            Action::Grant(terms) => self.give(adjustment, terms, &why, time),
            Action::Revoke { grant_id, amount } => self.take_back(adjustment, *grant_id, *amount, why),
            Action::RevokeAll => Ok(self.take_all_back(adjustment, &why)),
            Action::Regrant { grant_id, .. } => self.give_anew(adjustment, *grant_id, why, time),
        };
        note_grants(&mut self.changes, &adjustment.customer_id, first);
        let entries = (first..self.changes.entries.len()).collect();
        match adjusted {
            Ok(words) => record(inbox_id, Outcome::Applied, words, entries),
            Err((code, words)) => refused(inbox_id, code, words),
        }
    }

    fn give(&mut self, adjustment: &Adjustment, new: &NewTerms, why: &Why, time: Timestamp) -> Adjusted {
        let scale = self.rules.credit_types.get(&adjustment.credit_type).copied();
        let scale = scale.ok_or_else(|| conflict("the credit type is none of the rules file's".to_owned()))?;
        let effective_at = new.effective_at.unwrap_or(time);
        let terms = Terms {
            grant_id: adjustment.made(),
            customer_id: adjustment.customer_id.clone(),
            credit_type: adjustment.credit_type.clone(),
            amount: new.amount,
            category: new.category,
            priority: new.priority,
            cost: new.cost,
            effective_at,
            expires_at: new.expiry.of(effective_at),
            price_id: None,
            rule: None,
            rules_hash: None,
            replaces: None,
            basis: new.amount,
            reason: why.reason.clone(),
            actor: why.actor.clone(),
            cause: why.cause.clone(),
        };
        let (account, entries, now) = self.settled(&adjustment.customer_id);
        if !new.used.is_zero() && effective_at > now {
            let words = format!("data.used \"{}\" of a grant that starts later, nothing of it can be used", new.used);
            return Err((RefusalCode::InvalidField, words));
        }
        account.grant_used(Grant::new(terms, scale, None, now), new.used, now, entries);
        let used = if new.used.is_zero() { String::new() } else { format!(", {} used before", new.used) };
        Ok(format!("{} {} by {}{used}", new.amount, adjustment.credit_type, adjustment.actor))
    }

    fn take_back(&mut self, adjustment: &Adjustment, grant_id: GrantId, amount: Option<Credits>, why: Why) -> Adjusted {
        let (account, entries, now) = self.settled(&adjustment.customer_id);
        let before = held(account, adjustment, grant_id)?.remaining;
        account.revoke(grant_id, amount, why, now, entries);
        let moved = amount.unwrap_or(before).min(before);
        let short = amount.unwrap_or(before).less(moved);
        let more = if short.is_zero() { String::new() } else { format!(", {short} more asked for than was there") };
        Ok(format!("{moved} {} of grant {grant_id} taken back{more}", adjustment.credit_type))
    }

    fn take_all_back(&mut self, adjustment: &Adjustment, why: &Why) -> String {
        let (account, entries, now) = self.settled(&adjustment.customer_id);
        let open = |grant: &&Grant| grant.terms.credit_type == adjustment.credit_type && !grant.remaining.is_zero();
        let mut open: Vec<&Grant> = account.grants.values().filter(open).collect();
        open.sort_by_key(|grant| grant.place());
        let open: Vec<(GrantId, Credits)> = open.iter().map(|grant| (grant.terms.grant_id, grant.remaining)).collect();
        let mut sum = Credits::ZERO;
        for (grant_id, remaining) in &open {
            sum = sum.plus(*remaining);
            account.revoke(*grant_id, None, why.clone(), now, entries);
        }
        format!("{sum} {} of {} grants taken back", adjustment.credit_type, open.len())
    }

    fn give_anew(&mut self, adjustment: &Adjustment, grant_id: GrantId, why: Why, time: Timestamp) -> Adjusted {
        let (account, entries, now) = self.settled(&adjustment.customer_id);
        let grant = held(account, adjustment, grant_id)?;
        if grant.remaining.is_zero() {
            let closed = grant.replaced_by.map(|next| format!(", grant {next} replaced it")).unwrap_or_default();
            return Err(conflict(format!("grant_id: nothing remains of grant {grant_id}{closed}")));
        }
        let terms = renewed(adjustment, grant, &why, (time, now))?;
        let (made, amount) = (terms.grant_id, terms.amount);
        let closing = Why { reason: Some(Reason::cut("regranted")), ..why };
        account.regrant(grant_id, terms, closing, now, entries);
        let successor = account.grants.get(&made).and_then(Decision::of);
        self.put_in_place(grant_id, successor);
        Ok(format!("{amount} {} of grant {grant_id} regranted as {made}", adjustment.credit_type))
    }

    /// Gives the successor of a grant its place in the purchase.
    fn put_in_place(&mut self, grant_id: GrantId, successor: Option<Decision>) {
        let Some(successor) = successor else { return };
        let is_its =
            |decision: &Decision| gifts(std::slice::from_ref(decision)).any(|gift| gift.terms.grant_id == grant_id);
        for purchase in self.purchases.values_mut() {
            for decision in purchase.decided.iter_mut().filter(|decision| is_its(decision)) {
                decision.clone_from(&successor);
                self.changes.purchases.insert(purchase.id);
            }
        }
    }
}

fn conflict(words: String) -> (RefusalCode, String) {
    (RefusalCode::FactConflict, words)
}

/// The grant that an adjustment names, if it is one of this pool.
fn held<'a>(
    account: &'a Account,
    adjustment: &Adjustment,
    grant_id: GrantId,
) -> Result<&'a Grant, (RefusalCode, String)> {
    let grant = account.grants.get(&grant_id);
    grant.filter(|grant| grant.terms.credit_type == adjustment.credit_type).ok_or_else(|| {
        let Adjustment { customer_id, credit_type, .. } = adjustment;
        conflict(format!("grant_id: customer {customer_id} has no grant {grant_id} of {credit_type}"))
    })
}

/// The terms of what remains of `grant`: new dates and priority, its share of the cost, its place in the purchase.
fn renewed(
    adjustment: &Adjustment,
    grant: &Grant,
    why: &Why,
    (time, now): (Timestamp, Timestamp),
) -> Result<Terms, (RefusalCode, String)> {
    let Action::Regrant { priority, effective_at, expiry, .. } = &adjustment.action else {
        return Err(conflict("no regrant".to_owned()));
    };
    let old = &grant.terms;
    let as_it_was = Some(old.effective_at).filter(|start| *start > now);
    let effective_at = effective_at.or(as_it_was).unwrap_or(time);
    let expires_at = expiry.map_or(old.expires_at, |expiry| expiry.of(effective_at));
    if let Some(words) = ends_too_early(expires_at, effective_at) {
        return Err((RefusalCode::InvalidField, words));
    }
    Ok(Terms {
        grant_id: adjustment.made(),
        amount: grant.remaining,
        priority: priority.unwrap_or(old.priority),
        cost: old.cost.map(|cost| cost.share(grant.remaining, old.amount)),
        effective_at,
        expires_at,
        replaces: Some(old.grant_id),
        reason: why.reason.clone(),
        actor: why.actor.clone(),
        cause: why.cause.clone(),
        ..Terms::clone(old)
    })
}
