//! Messages in the user's words: each starts valid, a call changes one thing.
//!
//! A message's id follows from what it says, so the same fixture taken twice is a redelivery; `sent_as` names it
//! otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, TimeDelta};

use crate::domain::amounts::{Currency, Money, parse_plain};
use crate::domain::ids::{Alias, CustomerId, Identity, InvoiceId, MessageId, PaymentId, PriceId, RefundId, Source};
use crate::domain::message::{
    Content, Fingerprint, Invoice, Line, Lines, Link, Message, MessageKey, Metadata, Payment, Refund, RefundStatus,
    Signup, Statement, Timestamp,
};

/// The first instant of every test: 2026-01-12 09:30 UTC.
pub(super) fn start() -> Timestamp {
    DateTime::from_timestamp(1_768_210_200, 0).unwrap()
}

pub(super) fn hour(hours: i64) -> Timestamp {
    start() + TimeDelta::hours(hours)
}

pub(super) fn day(days: i64) -> Timestamp {
    start() + TimeDelta::days(days)
}

pub(super) fn money(amount: &str, currency: &str) -> Money {
    Money::new(parse_plain(amount).unwrap(), Currency::parse(currency).unwrap()).unwrap()
}

pub(super) fn price(name: &str) -> PriceId {
    PriceId::parse(name).unwrap()
}

/// A message that is not sent yet.
#[derive(Clone, Debug)]
pub(super) struct Fixture<T> {
    pub(super) says: T,
    time: Timestamp,
    id: Option<String>,
}

impl<T> Fixture<T> {
    pub(super) fn saying(says: T) -> Self {
        Self { says, time: start(), id: None }
    }

    pub(super) fn at(mut self, time: Timestamp) -> Self {
        self.time = time;
        self
    }

    pub(super) fn sent_as(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut T)) -> Self {
        change(&mut self.says);
        self
    }
}

pub(super) trait Says: Clone {
    fn content(&self) -> Content;
}

impl<T: Says> From<&Fixture<T>> for Message {
    fn from(fixture: &Fixture<T>) -> Self {
        let content = fixture.says.content();
        let mut hasher = DefaultHasher::new();
        format!("{content:?}").hash(&mut hasher);
        let hash = hasher.finish();
        let mut fingerprint = [0; 32];
        fingerprint[..8].copy_from_slice(&hash.to_be_bytes());
        let id = fixture.id.clone().unwrap_or_else(|| format!("evt_{hash:016x}"));
        let key = MessageKey { source: Source::parse("/tests").unwrap(), id: MessageId::parse(&id).unwrap() };
        Self { key, time: fixture.time, fingerprint: Fingerprint(fingerprint), content }
    }
}

impl<T: Says> From<Fixture<T>> for Message {
    fn from(fixture: Fixture<T>) -> Self {
        Self::from(&fixture)
    }
}

/// Payment `pi_1` of `cus_1`: 49.00 USD for one `pack`.
pub(super) fn payment_succeeded() -> Fixture<Payment> {
    Fixture::saying(Payment {
        payment_id: PaymentId::parse("pi_1").unwrap(),
        customer_id: CustomerId::parse("cus_1").unwrap(),
        amount: money("49.00", "USD"),
        invoice_id: None,
        aliases: BTreeSet::new(),
        lines: Some(lines(&[("pack", 1, "49.00")], "USD")),
        payment_method: None,
        metadata: Metadata::new(),
    })
}

/// Invoice `in_1` of `cus_1`: 49.00 USD for one `pack`.
pub(super) fn invoice_issued() -> Fixture<Invoice> {
    Fixture::saying(Invoice {
        invoice_id: InvoiceId::parse("in_1").unwrap(),
        customer_id: CustomerId::parse("cus_1").unwrap(),
        total: money("49.00", "USD"),
        lines: Some(lines(&[("pack", 1, "49.00")], "USD")),
        number: None,
        payment_ids: BTreeSet::new(),
        aliases: BTreeSet::new(),
        metadata: Metadata::new(),
    })
}

/// Refund `re_1` of 12.25, succeeded, that names only the payment.
pub(super) fn partial_refund_of(payment: &Fixture<Payment>) -> Fixture<Refund> {
    let currency = payment.says.amount.currency().code();
    refund("re_1")
        .of(if currency == "JPY" { "12" } else { "12.25" }, currency)
        .on_payment(payment.says.payment_id.as_str())
}

/// Refund of 12.25 USD, succeeded, that names nothing yet.
pub(super) fn refund(id: &str) -> Fixture<Refund> {
    Fixture::saying(Refund {
        refund_id: RefundId::parse(id).unwrap(),
        amount: money("12.25", "USD"),
        status: RefundStatus::Succeeded,
        payment_id: None,
        invoice_id: None,
        aliases: BTreeSet::new(),
        customer_id: None,
        lines: None,
        reason: None,
    })
}

pub(super) fn purchase_linked() -> Fixture<Link> {
    Fixture::saying(Link { payment_ids: BTreeSet::new(), invoice_id: None, aliases: BTreeSet::new() })
}

/// `cus_1` signs up, without an identity.
pub(super) fn signup() -> Fixture<Signup> {
    Fixture::saying(Signup {
        customer_id: CustomerId::parse("cus_1").unwrap(),
        identity: None,
        campaign: None,
        plan: None,
        metadata: Metadata::new(),
    })
}

pub(super) fn lines(lines: &[(&str, u64, &str)], currency: &str) -> Lines {
    let line = |quantity, amount| Line { quantity, amount: money(amount, currency), metadata: Metadata::new() };
    Lines(
        lines
            .iter()
            .map(|(id, quantity, amount)| (price(id), line(*quantity, amount)))
            .collect::<BTreeMap<_, _>>()
            .into(),
    )
}

fn aliases(names: &[impl AsRef<str>]) -> BTreeSet<Alias> {
    names.iter().map(|name| Alias::parse(name.as_ref()).unwrap()).collect()
}

impl Fixture<Payment> {
    pub(super) fn named(self, id: &str) -> Self {
        self.with(|payment| payment.payment_id = PaymentId::parse(id).unwrap())
    }

    pub(super) fn by(self, customer: &str) -> Self {
        self.with(|payment| payment.customer_id = CustomerId::parse(customer).unwrap())
    }

    pub(super) fn of(self, amount: &str, currency: &str) -> Self {
        self.with(|payment| payment.amount = money(amount, currency))
    }

    pub(super) fn for_lines(self, sold: &[(&str, u64, &str)]) -> Self {
        self.with(|payment| payment.lines = Some(lines(sold, payment.amount.currency().code())))
    }

    pub(super) fn without_lines(self) -> Self {
        self.with(|payment| payment.lines = None)
    }

    pub(super) fn for_invoice(self, id: &str) -> Self {
        self.with(|payment| payment.invoice_id = Some(InvoiceId::parse(id).unwrap()))
    }

    pub(super) fn also_named(self, names: &[impl AsRef<str>]) -> Self {
        self.with(|payment| payment.aliases = aliases(names))
    }

    pub(super) fn paid_by(self, method: &str) -> Self {
        self.with(|payment| payment.payment_method = Some(method.to_owned()))
    }
}

impl Fixture<Invoice> {
    pub(super) fn named(self, id: &str) -> Self {
        self.with(|invoice| invoice.invoice_id = InvoiceId::parse(id).unwrap())
    }

    pub(super) fn by(self, customer: &str) -> Self {
        self.with(|invoice| invoice.customer_id = CustomerId::parse(customer).unwrap())
    }

    pub(super) fn of(self, total: &str, currency: &str) -> Self {
        self.with(|invoice| invoice.total = money(total, currency))
    }

    pub(super) fn for_lines(self, sold: &[(&str, u64, &str)]) -> Self {
        self.with(|invoice| invoice.lines = Some(lines(sold, invoice.total.currency().code())))
    }

    pub(super) fn without_lines(self) -> Self {
        self.with(|invoice| invoice.lines = None)
    }

    pub(super) fn paid_with(self, payments: &[impl AsRef<str>]) -> Self {
        self.with(|invoice| {
            invoice.payment_ids = payments.iter().map(|id| PaymentId::parse(id.as_ref()).unwrap()).collect();
        })
    }

    pub(super) fn also_named(self, names: &[impl AsRef<str>]) -> Self {
        self.with(|invoice| invoice.aliases = aliases(names))
    }

    pub(super) fn numbered(self, number: &str) -> Self {
        self.with(|invoice| invoice.number = Some(number.to_owned()))
    }
}

impl Fixture<Refund> {
    pub(super) fn named(self, id: &str) -> Self {
        self.with(|refund| refund.refund_id = RefundId::parse(id).unwrap())
    }

    pub(super) fn of(self, amount: &str, currency: &str) -> Self {
        self.with(|refund| refund.amount = money(amount, currency))
    }

    pub(super) fn on_payment(self, id: &str) -> Self {
        self.with(|refund| refund.payment_id = Some(PaymentId::parse(id).unwrap()))
    }

    pub(super) fn on_invoice(self, id: &str) -> Self {
        self.with(|refund| refund.invoice_id = Some(InvoiceId::parse(id).unwrap()))
    }

    pub(super) fn on_alias(self, name: &str) -> Self {
        self.with(|refund| refund.aliases = aliases(&[name]))
    }

    pub(super) fn of_customer(self, id: &str) -> Self {
        self.with(|refund| refund.customer_id = Some(CustomerId::parse(id).unwrap()))
    }

    pub(super) fn by_line(self, money_back: &[(&str, &str)]) -> Self {
        self.with(|refund| {
            let currency = refund.amount.currency().code();
            let back: BTreeMap<_, _> = money_back.iter().map(|(id, back)| (price(id), money(back, currency))).collect();
            refund.lines = Some(back);
        })
    }

    pub(super) fn that_is(self, status: RefundStatus) -> Self {
        self.with(|refund| refund.status = status)
    }
}

impl Fixture<Link> {
    pub(super) fn payments(self, ids: &[impl AsRef<str>]) -> Self {
        self.with(|link| link.payment_ids = ids.iter().map(|id| PaymentId::parse(id.as_ref()).unwrap()).collect())
    }

    pub(super) fn invoice(self, id: &str) -> Self {
        self.with(|link| link.invoice_id = Some(InvoiceId::parse(id).unwrap()))
    }

    pub(super) fn aliases(self, names: &[impl AsRef<str>]) -> Self {
        self.with(|link| link.aliases = aliases(names))
    }
}

impl Fixture<Signup> {
    pub(super) fn by(self, customer: &str) -> Self {
        self.with(|signup| signup.customer_id = CustomerId::parse(customer).unwrap())
    }

    pub(super) fn with_identity(self, identity: &str) -> Self {
        self.with(|signup| signup.identity = Some(Identity::parse(identity).unwrap()))
    }

    pub(super) fn for_plan(self, plan: &str) -> Self {
        self.with(|signup| signup.plan = Some(plan.to_owned()))
    }
}

impl Says for Payment {
    fn content(&self) -> Content {
        Content::Purchase(Statement::Payment(self.clone()).into())
    }
}

impl Says for Invoice {
    fn content(&self) -> Content {
        Content::Purchase(Statement::Invoice(self.clone()).into())
    }
}

impl Says for Refund {
    fn content(&self) -> Content {
        Content::Purchase(Statement::Refund(self.clone()).into())
    }
}

impl Says for Link {
    fn content(&self) -> Content {
        Content::Purchase(Statement::Link(self.clone()).into())
    }
}

impl Says for Signup {
    fn content(&self) -> Content {
        Content::Signup(self.clone())
    }
}
