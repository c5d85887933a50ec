//! Takes messages, one after the other, and says what each changes.
//!
//! [`Books`] holds the part of the world that a batch of messages touches: message keys, names, purchases, accounts
//! and claims of identities. `store` loads that part under its locks and writes [`Changes`] back; a test may start
//! from empty books and never load anything, since the rules are the same.
//!
//! Taking messages in one batch gives the same as taking them one at a time. Pure: the clock is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::account::{Account, Cut, Grant, Why};
use super::facts::{Contradiction, Facts, Kept};
use super::groups::regroup;
use super::ids::{Actor, CustomerId, GrantId, Identity, InboxId, PurchaseId, Reason, RuleName};
use super::ledger::Entry;
use super::message::{Content, Fingerprint, Message, MessageKey, Name, Statement, Timestamp};
use super::outcome::{Outcome, RefusalCode};
use super::purchase::{Decision, Gift, Standing, Wanted, decide, gifts, wanted};
use super::rules::Rules;
use super::stated::unfit;
use super::told::{Told, tell};

/// A message key that is taken, and by which content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenKey {
    /// The message that holds it.
    pub inbox_id: InboxId,
    /// Its content.
    pub fingerprint: Fingerprint,
}

/// One purchase: its messages, what was decided, and which messages still wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// Which one.
    pub id: PurchaseId,
    /// Its kept messages, in order of arrival.
    pub kept: Vec<Kept>,
    /// What was decided of its lines.
    pub decided: Vec<Decision>,
    /// The messages whose last outcome is `waiting`.
    pub waiting: BTreeSet<InboxId>,
}

impl Purchase {
    /// Whether one payment or invoice makes it alone, bears its id and waits for nothing: then its message and its grants
    /// say all there is to say of it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let is_sale = |kept: &Kept| matches!(*kept.statement, Statement::Payment(_) | Statement::Invoice(_));
        let [kept] = self.kept.as_slice() else { return false };
        self.waiting.is_empty() && kept.inbox_id.0 == self.id.0 && is_sale(kept)
    }
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which message.
    pub inbox_id: InboxId,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused, if it was.
    pub code: Option<RefusalCode>,
    /// In words: rule, arithmetic, what is missing, both sides of a conflict.
    pub reason: String,
    /// The entries that came of it: places in [`Changes::entries`].
    pub entries: Vec<usize>,
    /// Both sides, if it contradicts what is kept.
    pub conflict: Option<Box<Contradiction>>,
}

/// What a batch changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// New lines of the ledger, in order.
    pub entries: Vec<Entry>,
    /// What became of messages that came earlier: waiting ones that took effect, those that wait again, refunds that
    /// became conflicts.
    pub earlier: Vec<Record>,
    /// Names that are new or belong to another purchase than before.
    pub names: BTreeSet<Name>,
    /// Purchases that are new, changed, or gone (joined to another one).
    pub purchases: BTreeSet<PurchaseId>,
    /// Grants that are new or changed, and whose they are.
    pub grants: BTreeMap<GrantId, CustomerId>,
    /// Accounts that were settled or changed.
    pub accounts: BTreeSet<CustomerId>,
    /// Identities that were claimed.
    pub claims: BTreeSet<(RuleName, Identity)>,
    /// Keys of refunds that became conflicts.
    pub released: BTreeSet<MessageKey>,
}

/// The part of the world that a batch touches.
#[derive(Debug, Clone)]
pub struct Books<'r> {
    /// The rules in force.
    pub rules: &'r Rules,
    /// The database's clock, read after the accounts were locked.
    pub clock: Timestamp,
    /// Keys that are taken.
    pub keys: HashMap<MessageKey, TakenKey>,
    /// Which purchase a name belongs to; of a fact that stands alone the row of its message.
    pub names: HashMap<Name, PurchaseId>,
    /// Facts that stand alone, and the messages that stated them.
    pub stated: HashMap<Name, Message>,
    /// The purchases that the names belong to.
    pub purchases: HashMap<PurchaseId, Purchase>,
    /// The accounts of every customer that a message or a purchase names.
    pub accounts: HashMap<CustomerId, Account>,
    /// Who claimed an identity, per rule.
    pub claims: HashMap<(RuleName, Identity), CustomerId>,
    /// What was changed since they were loaded.
    pub changes: Changes,
}

impl<'r> Books<'r> {
    /// Empty books.
    #[must_use]
    pub fn new(rules: &'r Rules, clock: Timestamp) -> Self {
        Self {
            rules,
            clock,
            keys: HashMap::new(),
            names: HashMap::new(),
            stated: HashMap::new(),
            purchases: HashMap::new(),
            accounts: HashMap::new(),
            claims: HashMap::new(),
            changes: Changes::default(),
        }
    }

    /// Takes one message; `inbox_id` is its row if it is kept, greater than that of every earlier message.
    ///
    /// A refused message leaves no trace here. Of a repeated one the record names the first.
    pub fn take(&mut self, inbox_id: InboxId, message: Message) -> Record {
        let key = message.key.clone();
        let taken = self.keys.get(&key).copied();
        // What was taken stays so, also under rules that would no longer take it.
        if let Some(taken) = taken.filter(|taken| taken.fingerprint == message.fingerprint) {
            return repeated(taken, inbox_id, message.fingerprint);
        }
        if let Some((code, words)) = unfit(&message, self.rules) {
            return refused(inbox_id, code, words);
        }
        if let Some(taken) = taken {
            return repeated(taken, inbox_id, message.fingerprint);
        }
        let fingerprint = message.fingerprint;
        let record = match message.content {
            Content::Signup(signup) => self.take_signup(inbox_id, &message.key, message.time, &signup),
            Content::Purchase(statement) => {
                let kept = Kept { inbox_id, key: message.key, time: message.time, statement };
                self.take_statement(&kept)
            }
            Content::Usage(_) | Content::Adjustment(_) => self.take_alone(inbox_id, message),
        };
        if record.outcome != Outcome::DeadLettered {
            self.keys.insert(key, TakenKey { inbox_id, fingerprint });
        }
        record
    }

    /// Takes a fact that stands alone.
    fn take_alone(&mut self, inbox_id: InboxId, message: Message) -> Record {
        let Some(name) = message.content.names().pop_first() else {
            return record(inbox_id, Outcome::Ignored, String::new(), Vec::new());
        };
        if let Some(record) = self.stated_before(&name, inbox_id, &message) {
            return record;
        }
        let record = match &message.content {
            Content::Usage(usage) => self.take_usage(inbox_id, &message.key, usage),
            Content::Adjustment(adjustment) => self.take_adjustment(inbox_id, &message.key, message.time, adjustment),
            Content::Purchase(_) | Content::Signup(_) => record(inbox_id, Outcome::Ignored, String::new(), Vec::new()),
        };
        self.state(name, &record, message);
        record
    }

    /// A customer's account, settled to its `now`, and where its entries go.
    pub(super) fn settled(&mut self, customer: &CustomerId) -> (&mut Account, &mut Vec<Entry>, Timestamp) {
        let first = self.changes.entries.len();
        let account = self.accounts.entry(customer.clone()).or_insert_with_key(|id| Account::new(id.clone()));
        let now = account.now(self.clock);
        account.settle(now, &mut self.changes.entries);
        self.changes.accounts.insert(customer.clone());
        note_grants(&mut self.changes, customer, first);
        (account, &mut self.changes.entries, now)
    }

    /// Settles one account to the clock: for the sweeper.
    pub fn settle(&mut self, customer: &CustomerId) {
        let clock = self.clock;
        self.settle_by(customer, |account, entries| account.settle(account.now(clock), entries));
    }

    /// Settles one account of which what is due was loaded up to `cut`: for the sweeper.
    pub fn settle_before(&mut self, customer: &CustomerId, cut: Cut) {
        self.settle_by(customer, |account, entries| account.settle_before(cut, entries));
    }

    fn settle_by(&mut self, customer: &CustomerId, settle: impl FnOnce(&mut Account, &mut Vec<Entry>)) {
        let Some(account) = self.accounts.get_mut(customer) else { return };
        let first = self.changes.entries.len();
        settle(account, &mut self.changes.entries);
        note_grants(&mut self.changes, customer, first);
        self.changes.accounts.insert(customer.clone());
    }

    fn take_statement(&mut self, kept: &Kept) -> Record {
        let ids: BTreeSet<PurchaseId> =
            kept.statement.names().iter().filter_map(|name| self.names.get(name).copied()).collect();
        let before: Vec<&Purchase> = ids.iter().filter_map(|id| self.purchases.get(id)).collect();
        let mut messages: Vec<Kept> = before.iter().flat_map(|purchase| purchase.kept.iter().cloned()).collect();
        messages.sort_by_key(|kept| kept.inbox_id);
        let united = Facts::unite(&messages).and_then(|mut facts| facts.add(kept).map(|new| (facts, new)));
        match united {
            Ok((facts, new)) => {
                messages.push(kept.clone());
                let id = ids.first().copied().unwrap_or(PurchaseId(kept.inbox_id.0));
                let purchase = self.join(id, &ids, messages, &facts);
                if new || ids.len() > 1 { self.evaluate(purchase, &facts, kept) } else { self.repeat(purchase, kept) }
            }
            // Without it there was no contradiction: what a refund's message contradicts is its own conflict.
            Err(why) if kept.refund_id().is_some() => contradicts(kept.inbox_id, why),
            Err(_) => match regroup(&messages, kept) {
                Ok(regrouped) => self.rearrange(&ids, regrouped, kept),
                Err(why) => contradicts(kept.inbox_id, why),
            },
        }
    }

    /// Makes one purchase of those in `ids` and the new message.
    fn join(&mut self, id: PurchaseId, ids: &BTreeSet<PurchaseId>, kept: Vec<Kept>, facts: &Facts) -> Purchase {
        let mut joined = Purchase { id, kept, decided: Vec::new(), waiting: BTreeSet::new() };
        for old in ids {
            if let Some(purchase) = self.purchases.remove(old) {
                joined.decided.extend(purchase.decided);
                joined.waiting.extend(purchase.waiting);
            }
        }
        if ids.len() > 1 {
            self.moved(&joined.decided);
        }
        self.changes.purchases.extend(ids.iter().copied().chain([id]));
        self.name(id, &facts.names);
        joined
    }

    /// Notes that grants belong to another purchase than before.
    pub(super) fn moved(&mut self, decided: &[Decision]) {
        for gift in gifts(decided) {
            if self.is_made(gift) {
                self.changes.grants.insert(gift.terms.grant_id, gift.terms.customer_id.clone());
            }
        }
    }

    /// Whether a decided grant was ever due.
    #[must_use]
    pub fn is_made(&self, gift: &Gift) -> bool {
        let account = self.accounts.get(&gift.terms.customer_id);
        account.is_some_and(|account| account.grants.contains_key(&gift.terms.grant_id))
    }

    pub(super) fn name(&mut self, id: PurchaseId, names: &BTreeSet<Name>) {
        for name in names {
            if self.names.get(name) != Some(&id) {
                self.names.insert(name.clone(), id);
                self.changes.names.insert(name.clone());
            }
        }
    }

    fn repeat(&mut self, purchase: Purchase, kept: &Kept) -> Record {
        self.purchases.insert(purchase.id, purchase);
        let what = kept.statement.message_type().name();
        record(kept.inbox_id, Outcome::Duplicate, format!("this {what} adds nothing to what is known"), Vec::new())
    }

    /// Brings the grants of a purchase to what its facts demand, and says what became of `new` and of those waiting.
    ///
    /// A refund that waited takes effect as if it came now, one after the other, each the cause of its own entries.
    pub(super) fn evaluate(&mut self, mut purchase: Purchase, facts: &Facts, new: &Kept) -> Record {
        let late: Vec<Kept> = purchase
            .kept
            .iter()
            .filter(|kept| purchase.waiting.contains(&kept.inbox_id) && kept.refund_id().is_some())
            .cloned()
            .collect();
        let mut caused: HashMap<InboxId, Vec<usize>> = HashMap::new();
        for step in 0..=late.len() {
            let (because, effective) = match step.checked_sub(1).and_then(|at| late.get(at)) {
                None => (new, late.as_slice()),
                Some(refund) => (refund, late.get(step..).unwrap_or_default()),
            };
            let first = self.changes.entries.len();
            let known = without(&purchase.kept, effective, facts);
            self.bring(&mut purchase.decided, &known, because);
            caused.entry(because.inbox_id).or_default().extend(first..self.changes.entries.len());
        }
        self.tell_all(purchase, facts, new, &mut caused)
    }

    fn bring(&mut self, decided: &mut Vec<Decision>, facts: &Facts, because: &Kept) {
        let (new, _) = decide(facts, decided, self.rules);
        decided.extend(new);
        for want in wanted(facts, decided, |gift| self.is_made(gift)) {
            self.bring_grant(&want, because);
        }
    }

    fn bring_grant(&mut self, want: &Wanted<'_>, because: &Kept) {
        let Gift { terms, scale, origin } = want.gift;
        let surplus = matches!(want.standing, Standing::Surplus(_));
        let account = self.accounts.entry(terms.customer_id.clone()).or_insert_with_key(|id| Account::new(id.clone()));
        let now = account.now(self.clock);
        match account.grants.get(&terms.grant_id) {
            None if want.standing != Standing::Due => return,
            Some(grant) if grant.asked == want.target && grant.surplus == surplus => return,
            None | Some(_) => {}
        }
        let entries = &mut self.changes.entries;
        let first = entries.len();
        account.settle(now, entries);
        self.changes.accounts.insert(terms.customer_id.clone());
        let was_surplus = account.grants.get(&terms.grant_id).is_some_and(|grant| grant.surplus);
        if !account.grants.contains_key(&terms.grant_id) {
            account.grant(Grant::new(Arc::clone(terms), *scale, Some(origin.clone()), now), now, entries);
        }
        let why = why(want, because, surplus || was_surplus);
        account.bring_to(terms.grant_id, want.target, why, now, entries);
        if let Some(grant) = account.grants.get_mut(&terms.grant_id) {
            grant.surplus = surplus;
        }
        note_grants(&mut self.changes, &terms.customer_id, first);
        self.changes.grants.insert(terms.grant_id, terms.customer_id.clone());
    }

    /// Says what became of `new`, of messages that waited and wait no more, and of those that wait again since a link
    /// showed that something is missing, or took away what was there.
    fn tell_all(
        &mut self,
        mut purchase: Purchase,
        facts: &Facts,
        new: &Kept,
        caused: &mut HashMap<InboxId, Vec<usize>>,
    ) -> Record {
        let (_, undecided) = decide(facts, &purchase.decided, self.rules);
        let wanted = wanted(facts, &purchase.decided, |gift| self.is_made(gift));
        let mut result = None;
        for (at, kept) in purchase.kept.iter().enumerate() {
            let told = tell(&kept.statement, facts, &purchase.decided, &wanted, &undecided);
            let waits = matches!(told, Told::Waiting(_));
            let before = purchase.waiting.contains(&kept.inbox_id);
            let is_new = kept.inbox_id == new.inbox_id;
            if !is_new && (before == waits || (waits && !says_something(&purchase.kept, at))) {
                continue;
            }
            let record = told_record(kept.inbox_id, told, caused.remove(&kept.inbox_id).unwrap_or_default());
            if waits {
                purchase.waiting.insert(kept.inbox_id);
            } else {
                purchase.waiting.remove(&kept.inbox_id);
            }
            if is_new {
                result = Some(record);
            } else {
                self.changes.earlier.push(record);
            }
        }
        self.purchases.insert(purchase.id, purchase);
        // The new message may stand in another purchase (see `release`): what it caused here is told there.
        let caused = caused.remove(&new.inbox_id).unwrap_or_default();
        result.unwrap_or_else(|| record(new.inbox_id, Outcome::Applied, String::new(), caused))
    }
}

/// Notes every grant that settling or a command changed: those that the entries from `first` on name.
pub(super) fn note_grants(changes: &mut Changes, customer_id: &CustomerId, first: usize) {
    for entry in changes.entries.iter().skip(first) {
        if let Some(grant) = entry.grant {
            changes.grants.insert(grant.grant_id, customer_id.clone());
        }
    }
}

/// Whether the message at `at` adds anything to those before it: a duplicate waits for nothing.
fn says_something(kept: &[Kept], at: usize) -> bool {
    let (before, from) = kept.split_at(at);
    let adds = |mut facts: Facts| from.first().map_or(Ok(false), |message| facts.add(message));
    Facts::unite(before).and_then(adds).unwrap_or_default()
}

/// The facts without `late` messages; the facts as they are if there are none.
fn without<'a>(kept: &[Kept], late: &[Kept], facts: &'a Facts) -> std::borrow::Cow<'a, Facts> {
    use std::borrow::Cow;
    if late.is_empty() {
        return Cow::Borrowed(facts);
    }
    let is_late = |message: &Kept| late.iter().any(|late| late.inbox_id == message.inbox_id);
    // A part of a set without contradictions has none.
    Facts::unite(kept.iter().filter(|message| !is_late(message))).map_or(Cow::Borrowed(facts), Cow::Owned)
}

fn why(want: &Wanted<'_>, because: &Kept, merge: bool) -> Why {
    let words = match because.statement.as_ref() {
        Statement::Refund(refund) if !merge => format!("refund {}: {}", refund.refund_id, want.words),
        _ => want.words.clone(),
    };
    let actor = if merge { Actor::merge() } else { Actor::refund() };
    Why { actor, reason: Some(Reason::cut(&words)), cause: because.cause() }
}

fn repeated(taken: TakenKey, inbox_id: InboxId, fingerprint: Fingerprint) -> Record {
    if taken.fingerprint == fingerprint {
        return record(taken.inbox_id, Outcome::Duplicate, "this message was taken before".into(), Vec::new());
    }
    let kept = taken.fingerprint;
    let reason = format!("this id was taken with another content: fingerprint {kept} is kept, {fingerprint} came");
    refused(inbox_id, RefusalCode::IdempotencyConflict, reason)
}

pub(super) fn record(inbox_id: InboxId, outcome: Outcome, reason: String, entries: Vec<usize>) -> Record {
    Record { inbox_id, outcome, code: None, reason, entries, conflict: None }
}

pub(super) fn refused(inbox_id: InboxId, code: RefusalCode, reason: String) -> Record {
    Record { code: Some(code), ..record(inbox_id, Outcome::DeadLettered, reason, Vec::new()) }
}

pub(super) fn contradicts(inbox_id: InboxId, why: Contradiction) -> Record {
    let conflict = refused(inbox_id, RefusalCode::FactConflict, why.to_string());
    Record { conflict: Some(Box::new(why)), ..conflict }
}

fn told_record(inbox_id: InboxId, told: Told, entries: Vec<usize>) -> Record {
    match told {
        Told::Applied(words) => record(inbox_id, Outcome::Applied, words, entries),
        Told::Ignored(words) => record(inbox_id, Outcome::Ignored, words, entries),
        Told::Waiting(words) => record(inbox_id, Outcome::Waiting, words, entries),
    }
}
