//! The facts of one purchase: the union of everything that its messages state.
//!
//! Lists of names are united; any other field with two present, different values contradicts, except
//! `payment_method`, `number` and `reason`, where the first kept stays. A message's `time` and its own metadata are
//! no part of a fact. Built anew from the kept messages whenever one is added: there is no second copy to go stale.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use super::amounts::{Currency, Money};
use super::ids::{Alias, CustomerId, InboxId, InvoiceId, PaymentId, PriceId, RefundId};
use super::ledger::Cause;
use super::message::{Invoice, Lines, Link, MessageKey, Name, Payment, Refund, RefundStatus, Statement, Timestamp};

/// One message that is kept, with what it states about a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its row in the inbox: later messages have greater ones.
    pub inbox_id: InboxId,
    /// Its name.
    pub key: MessageKey,
    /// When the event happened.
    pub time: Timestamp,
    /// What it states.
    pub statement: Arc<Statement>,
}

impl Kept {
    /// The message as the cause of an entry.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let kind = self.statement.message_type().name();
        Cause { source: self.key.source.clone(), id: self.key.id.clone(), kind: kind.into() }
    }

    /// The refund it states, if it states one.
    #[must_use]
    pub fn refund_id(&self) -> Option<&RefundId> {
        match self.statement.as_ref() {
            Statement::Refund(refund) => Some(&refund.refund_id),
            Statement::Payment(_) | Statement::Invoice(_) | Statement::Link(_) => None,
        }
    }
}

/// Two messages that cannot both be true of one purchase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {kept}{} contradicts {given}", by(kept_by.as_ref()))]
pub struct Contradiction {
    /// What is stated twice, such as `payment pi_1: amount`.
    pub field: Box<str>,
    /// What is kept.
    pub kept: Box<str>,
    /// What the other message says.
    pub given: Box<str>,
    /// The message that stated what is kept, where one alone did.
    pub kept_by: Option<MessageKey>,
    /// The message that says what is given: the refused one, or one that the refused one would join to the purchase.
    pub given_by: Option<MessageKey>,
}

impl Contradiction {
    /// The same with what `refused` messages state on the side of what is given, whichever came first.
    #[must_use]
    pub fn against(self, refused: &[Kept]) -> Self {
        let theirs = |key: &Option<MessageKey>| refused.iter().any(|kept| Some(&kept.key) == key.as_ref());
        if !theirs(&self.kept_by) || theirs(&self.given_by) {
            return self;
        }
        Self { field: self.field, kept: self.given, given: self.kept, kept_by: self.given_by, given_by: self.kept_by }
    }
}

fn by(key: Option<&MessageKey>) -> String {
    key.map_or_else(String::new, |key| format!(" (message {} of {})", key.id, key.source))
}

/// A value and the message that stated it first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stated<T> {
    value: T,
    /// Its place in [`Facts::keys`].
    by: usize,
}

/// A contradiction that does not know the message's name yet.
struct Clash {
    field: String,
    kept: String,
    given: String,
    kept_by: usize,
}

/// States `value` in `slot`: whether that is new, or the contradiction to what stands there.
fn state<T: PartialEq + Clone>(
    slot: &mut Option<Stated<T>>,
    value: &T,
    by: usize,
    field: impl Fn() -> String,
    show: impl Fn(&T) -> String,
) -> Result<bool, Clash> {
    match slot {
        None => {
            *slot = Some(Stated { value: value.clone(), by });
            Ok(true)
        }
        Some(kept) if kept.value == *value => Ok(false),
        Some(kept) => Err(Clash { field: field(), kept: show(&kept.value), given: show(value), kept_by: kept.by }),
    }
}

fn shown<T: Display>(value: &T) -> String {
    value.to_string()
}

pub(super) fn money(value: &Money) -> String {
    format!("{value} {}", value.currency())
}

pub(super) fn lines(value: &Lines) -> String {
    let line = |(price, line): (&PriceId, &super::message::Line)| {
        let metadata: Vec<String> = line.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let metadata = if metadata.is_empty() { String::new() } else { format!(" ({})", metadata.join(", ")) };
        format!("{price} × {} for {}{metadata}", line.quantity, money(&line.amount))
    };
    value.0.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// A payment, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PaymentFact {
    amount: Option<Stated<Money>>,
    invoice_id: Option<InvoiceId>,
    aliases: BTreeSet<Alias>,
    has_lines: bool,
    has_method: bool,
    first: Option<First>,
}

/// An invoice, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InvoiceFact {
    total: Option<Stated<Money>>,
    payment_ids: BTreeSet<PaymentId>,
    aliases: BTreeSet<Alias>,
    has_lines: bool,
    has_number: bool,
    first: Option<First>,
}

/// A refund, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefundFact {
    amount: Option<Stated<Money>>,
    payment_id: Option<Stated<PaymentId>>,
    invoice_id: Option<Stated<InvoiceId>>,
    customer_id: Option<Stated<CustomerId>>,
    lines: Option<Stated<BTreeMap<PriceId, Money>>>,
    aliases: BTreeSet<Alias>,
    statuses: Vec<RefundStatus>,
    has_reason: bool,
}

/// The first kept message that states a fact: its `time` dates a grant, and it is the grant's cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// When the event happened.
    pub time: Timestamp,
    /// The message.
    pub cause: Cause,
}

impl PaymentFact {
    /// What was paid.
    #[must_use]
    pub fn amount(&self) -> Option<Money> {
        self.amount.as_ref().map(|stated| stated.value)
    }

    /// The first message that states it.
    #[must_use]
    pub fn first(&self) -> Option<&First> {
        self.first.as_ref()
    }
}

impl InvoiceFact {
    /// What is owed.
    #[must_use]
    pub fn total(&self) -> Option<Money> {
        self.total.as_ref().map(|stated| stated.value)
    }

    /// The first message that states it.
    #[must_use]
    pub fn first(&self) -> Option<&First> {
        self.first.as_ref()
    }
}

impl RefundFact {
    /// What goes back.
    #[must_use]
    pub fn amount(&self) -> Option<Money> {
        self.amount.as_ref().map(|stated| stated.value)
    }

    /// Money per price, where the refund names lines.
    #[must_use]
    pub fn lines(&self) -> Option<&BTreeMap<PriceId, Money>> {
        self.lines.as_ref().map(|stated| &stated.value)
    }

    /// The status that counts: of those seen, the highest in rank.
    #[must_use]
    pub fn status(&self) -> RefundStatus {
        self.statuses.iter().copied().max_by_key(|status| status.rank()).unwrap_or(RefundStatus::Pending)
    }
}

/// Everything known of one purchase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The messages that were added, in order.
    keys: Vec<MessageKey>,
    customer: Option<Stated<CustomerId>>,
    currency: Option<Stated<Currency>>,
    invoice_name: Option<Stated<InvoiceId>>,
    lines: Option<Stated<Lines>>,
    /// Known payments.
    pub payments: BTreeMap<PaymentId, PaymentFact>,
    /// The invoice, once a message states it (its name alone may be known before).
    pub invoice: Option<InvoiceFact>,
    /// Known refunds.
    pub refunds: BTreeMap<RefundId, RefundFact>,
    /// Every name that its messages mention.
    pub names: BTreeSet<Name>,
    /// Whether a payment or a link (not only a refund) names an invoice.
    invoice_is_linked: bool,
}

impl Facts {
    /// Unites what `kept` messages of one purchase state.
    ///
    /// # Errors
    /// [`Contradiction`], naming both sides, if they cannot all be true.
    pub fn unite<'a>(kept: impl IntoIterator<Item = &'a Kept>) -> Result<Self, Contradiction> {
        let mut facts = Self::default();
        for message in kept {
            facts.add(message)?;
        }
        Ok(facts)
    }

    /// Whose purchase it is, once a message says so.
    #[must_use]
    pub fn customer(&self) -> Option<&CustomerId> {
        self.customer.as_ref().map(|stated| &stated.value)
    }

    /// The currency of all its money, once a message says so.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        self.currency.as_ref().map(|stated| stated.value)
    }

    /// What was sold, once a payment or the invoice says so.
    #[must_use]
    pub fn lines(&self) -> Option<&Lines> {
        self.lines.as_ref().map(|stated| &stated.value)
    }

    /// The one invoice's name, seen or not.
    #[must_use]
    pub fn invoice_name(&self) -> Option<&InvoiceId> {
        self.invoice_name.as_ref().map(|stated| &stated.value)
    }

    /// Whether payments or links name an invoice: an `in-full` purchase waits for it.
    #[must_use]
    pub fn names_an_invoice(&self) -> bool {
        self.invoice_is_linked
    }

    /// Adds what one more message states: whether any value, name or refund status of it is new.
    ///
    /// # Errors
    /// [`Contradiction`]; the facts are then half-way and of no more use.
    pub fn add(&mut self, kept: &Kept) -> Result<bool, Contradiction> {
        self.keys.push(kept.key.clone());
        self.state(kept).map_err(|clash| Contradiction {
            field: clash.field.into(),
            kept: clash.kept.into(),
            given: clash.given.into(),
            kept_by: self.keys.get(clash.kept_by).cloned(),
            given_by: Some(kept.key.clone()),
        })
    }

    fn state(&mut self, kept: &Kept) -> Result<bool, Clash> {
        let by = self.keys.len().saturating_sub(1);
        if let Some(customer) = kept.statement.customer() {
            state(&mut self.customer, customer, by, || "customer".into(), shown)?;
        }
        if let Some(currency) = kept.statement.currency() {
            state(&mut self.currency, &currency, by, || "currency".into(), shown)?;
        }
        let mut linked = false;
        for name in kept.statement.names() {
            if let Name::Invoice(invoice) = &name {
                state(&mut self.invoice_name, invoice, by, || "invoice of the purchase".into(), shown)?;
                // A link that repeats what only a refund said adds this: an `in-full` purchase now waits for the invoice.
                linked |= turned_on(&mut self.invoice_is_linked, !matches!(*kept.statement, Statement::Refund(_)));
            }
            linked |= self.names.insert(name);
        }
        if let Some(sold) = kept.statement.lines() {
            state(&mut self.lines, sold, by, || "lines".into(), lines)?;
        }
        Ok(match kept.statement.as_ref() {
            Statement::Payment(payment) => self.add_payment(payment, kept, by)?,
            Statement::Invoice(invoice) => self.add_invoice(invoice, kept, by)?,
            Statement::Refund(refund) => self.add_refund(refund, by)?,
            Statement::Link(Link { .. }) => linked,
        })
    }

    fn add_payment(&mut self, payment: &Payment, kept: &Kept, by: usize) -> Result<bool, Clash> {
        let id = &payment.payment_id;
        let fact = self.payments.entry(id.clone()).or_default();
        fact.first.get_or_insert_with(|| First { time: kept.time, cause: kept.cause() });
        let mut new = state(&mut fact.amount, &payment.amount, by, || format!("payment {id}: amount"), money)?;
        // The purchase has one invoice name, so a second value here has contradicted above.
        new |= payment.invoice_id.is_some() && fact.invoice_id.is_none();
        fact.invoice_id = fact.invoice_id.take().or_else(|| payment.invoice_id.clone());
        for alias in &payment.aliases {
            new |= fact.aliases.insert(alias.clone());
        }
        new |= turned_on(&mut fact.has_lines, payment.lines.is_some());
        new |= turned_on(&mut fact.has_method, payment.payment_method.is_some());
        Ok(new)
    }

    fn add_invoice(&mut self, invoice: &Invoice, kept: &Kept, by: usize) -> Result<bool, Clash> {
        let id = &invoice.invoice_id;
        let fact = self.invoice.get_or_insert_default();
        fact.first.get_or_insert_with(|| First { time: kept.time, cause: kept.cause() });
        let mut new = state(&mut fact.total, &invoice.total, by, || format!("invoice {id}: total"), money)?;
        for payment in &invoice.payment_ids {
            new |= fact.payment_ids.insert(payment.clone());
        }
        for alias in &invoice.aliases {
            new |= fact.aliases.insert(alias.clone());
        }
        new |= turned_on(&mut fact.has_lines, invoice.lines.is_some());
        new |= turned_on(&mut fact.has_number, invoice.number.is_some());
        Ok(new)
    }

    fn add_refund(&mut self, refund: &Refund, by: usize) -> Result<bool, Clash> {
        let id = &refund.refund_id;
        let fact = self.refunds.entry(id.clone()).or_default();
        let of = |field: &str| format!("refund {id}: {field}");
        let mut new = state(&mut fact.amount, &refund.amount, by, || of("amount"), money)?;
        if let Some(payment) = &refund.payment_id {
            new |= state(&mut fact.payment_id, payment, by, || of("payment_id"), shown)?;
        }
        if let Some(invoice) = &refund.invoice_id {
            new |= state(&mut fact.invoice_id, invoice, by, || of("invoice_id"), shown)?;
        }
        if let Some(customer) = &refund.customer_id {
            new |= state(&mut fact.customer_id, customer, by, || of("customer_id"), shown)?;
        }
        if let Some(lines) = &refund.lines {
            new |= state(&mut fact.lines, lines, by, || of("lines"), refund_lines)?;
        }
        for alias in &refund.aliases {
            new |= fact.aliases.insert(alias.clone());
        }
        if !fact.statuses.contains(&refund.status) {
            fact.statuses.push(refund.status);
            new = true;
        }
        new |= turned_on(&mut fact.has_reason, refund.reason.is_some());
        Ok(new)
    }
}

fn turned_on(flag: &mut bool, given: bool) -> bool {
    let new = given && !*flag;
    *flag |= given;
    new
}

pub(super) fn refund_lines(lines: &BTreeMap<PriceId, Money>) -> String {
    lines.iter().map(|(price, amount)| format!("{price} for {}", money(amount))).collect::<Vec<_>>().join(", ")
}
