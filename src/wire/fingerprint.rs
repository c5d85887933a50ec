//! The fingerprint: tells another content under the same id from a repetition.
//!
//! SHA-256 over the version, the type and the known fields of the *typed* message, so white space, order of fields,
//! unknown fields, `time` and the spelling of amounts (`49`, `"49.00"`) make no difference; lines are already summed
//! per price, names are sorted. The form: each present field is its name and its value in the order of this file; an
//! absent or empty one is nothing at all, so a field that becomes known later changes no older message. Every text is
//! preceded by its length and every list by its count (four bytes, big endian), so no two contents share a form.
//! A change here needs a new [`FINGERPRINT_VERSION`]: stored fingerprints are then computed anew from kept bodies.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::domain::adjustment::{Action, Adjustment, Expiry, NewTerms};
use crate::domain::amounts::{Credits, Money};
use crate::domain::ids::{Alias, CustomerId, Identity, InvoiceId, PaymentId, PriceId, Reason};
use crate::domain::message::{
    Content, FINGERPRINT_VERSION, Fingerprint, Invoice, Lines, Link, Metadata, Payment, Refund, Signup, Statement,
    Timestamp,
};
use crate::domain::usage::Usage;

/// The fingerprint of `content`.
pub(super) fn of(content: &Content) -> Fingerprint {
    let mut form = Form(Vec::with_capacity(512));
    form.0.extend_from_slice(&FINGERPRINT_VERSION.to_be_bytes());
    form.text(content.message_type().name());
    match content {
        Content::Purchase(statement) => match statement.as_ref() {
            Statement::Payment(payment) => form.payment(payment),
            Statement::Invoice(invoice) => form.invoice(invoice),
            Statement::Refund(refund) => form.refund(refund),
            Statement::Link(link) => form.link(link),
        },
        Content::Signup(signup) => form.signup(signup),
        Content::Usage(usage) => form.usage(usage),
        Content::Adjustment(adjustment) => form.adjustment(adjustment),
    }
    Fingerprint(Sha256::digest(&form.0).into())
}

/// The bytes that are hashed.
struct Form(Vec<u8>);

impl Form {
    fn payment(&mut self, payment: &Payment) {
        self.field("payment_id", payment.payment_id.as_str());
        self.field("customer_id", payment.customer_id.as_str());
        self.money("amount", payment.amount);
        self.optional("invoice_id", payment.invoice_id.as_ref().map(InvoiceId::as_str));
        self.list("aliases", payment.aliases.iter().map(Alias::as_str));
        self.lines(payment.lines.as_ref());
        self.optional("payment_method", payment.payment_method.as_deref());
        self.metadata(&payment.metadata);
    }

    fn invoice(&mut self, invoice: &Invoice) {
        self.field("invoice_id", invoice.invoice_id.as_str());
        self.field("customer_id", invoice.customer_id.as_str());
        self.money("total", invoice.total);
        self.lines(invoice.lines.as_ref());
        self.optional("number", invoice.number.as_deref());
        self.list("payment_ids", invoice.payment_ids.iter().map(PaymentId::as_str));
        self.list("aliases", invoice.aliases.iter().map(Alias::as_str));
        self.metadata(&invoice.metadata);
    }

    fn refund(&mut self, refund: &Refund) {
        self.field("refund_id", refund.refund_id.as_str());
        self.money("amount", refund.amount);
        self.field("status", refund.status.name());
        self.optional("payment_id", refund.payment_id.as_ref().map(PaymentId::as_str));
        self.optional("invoice_id", refund.invoice_id.as_ref().map(InvoiceId::as_str));
        self.list("aliases", refund.aliases.iter().map(Alias::as_str));
        self.optional("customer_id", refund.customer_id.as_ref().map(CustomerId::as_str));
        self.refund_lines(refund.lines.as_ref());
        self.optional("reason", refund.reason.as_ref().map(Reason::as_str));
    }

    fn link(&mut self, link: &Link) {
        self.list("payment_ids", link.payment_ids.iter().map(PaymentId::as_str));
        self.optional("invoice_id", link.invoice_id.as_ref().map(InvoiceId::as_str));
        self.list("aliases", link.aliases.iter().map(Alias::as_str));
    }

    fn signup(&mut self, signup: &Signup) {
        self.field("customer_id", signup.customer_id.as_str());
        self.optional("identity", signup.identity.as_ref().map(Identity::as_str));
        self.optional("campaign", signup.campaign.as_deref());
        self.optional("plan", signup.plan.as_deref());
        self.metadata(&signup.metadata);
    }

    fn usage(&mut self, usage: &Usage) {
        self.field("usage_id", usage.usage_id.as_str());
        self.field("customer_id", usage.customer_id.as_str());
        self.field("credit_type", usage.credit_type.as_str());
        self.credits("amount", Some(usage.amount));
        self.instant("occurred_at", Some(usage.occurred_at));
        self.metadata(&usage.metadata);
    }

    fn adjustment(&mut self, adjustment: &Adjustment) {
        self.field("adjustment_id", adjustment.adjustment_id.as_str());
        self.field("customer_id", adjustment.customer_id.as_str());
        self.field("credit_type", adjustment.credit_type.as_str());
        match &adjustment.action {
            Action::Grant(terms) => self.terms(terms),
            Action::Revoke { grant_id, amount } => {
                self.field("revoke", &grant_id.to_string());
                self.credits("amount", *amount);
            }
            Action::RevokeAll => self.text("revoke all"),
            Action::Regrant { grant_id, priority, effective_at, expiry } => {
                self.field("regrant", &grant_id.to_string());
                self.optional("priority", priority.map(|priority| priority.value().to_string()).as_deref());
                self.instant("effective_at", *effective_at);
                self.expiry(*expiry);
            }
        }
        self.optional("payment_method", adjustment.payment_method.as_deref());
        self.field("actor", adjustment.actor.as_str());
        self.field("reason", adjustment.reason.as_str());
    }

    fn terms(&mut self, terms: &NewTerms) {
        self.text("grant");
        self.credits("amount", Some(terms.amount));
        self.credits("used", Some(terms.used));
        self.field("category", terms.category.name());
        self.field("priority", &terms.priority.value().to_string());
        if let Some(cost) = terms.cost {
            self.money("cost_basis", cost);
        }
        self.instant("effective_at", terms.effective_at);
        self.expiry(Some(terms.expiry));
    }

    fn expiry(&mut self, expiry: Option<Expiry>) {
        match expiry {
            None => {}
            Some(Expiry::Never) => self.text("never"),
            Some(Expiry::At(end)) => self.instant("expires_at", Some(end)),
            Some(Expiry::After(length)) => self.field("expires_after", &length.num_milliseconds().to_string()),
        }
    }

    fn credits(&mut self, name: &str, credits: Option<Credits>) {
        self.optional(name, credits.map(|credits| credits.to_string()).as_deref());
    }

    fn instant(&mut self, name: &str, at: Option<Timestamp>) {
        self.optional(name, at.map(|at| at.timestamp_micros().to_string()).as_deref());
    }

    fn lines(&mut self, lines: Option<&Lines>) {
        let Some(Lines(lines)) = lines else { return };
        self.text("lines");
        self.count(lines.len());
        for (price_id, line) in lines.iter() {
            self.text(price_id.as_str());
            self.text(&line.quantity.to_string());
            self.money("amount", line.amount);
            self.pairs(&line.metadata);
        }
    }

    fn refund_lines(&mut self, lines: Option<&BTreeMap<PriceId, Money>>) {
        let Some(lines) = lines else { return };
        self.text("lines");
        self.count(lines.len());
        for (price_id, amount) in lines {
            self.money(price_id.as_str(), *amount);
        }
    }

    fn metadata(&mut self, metadata: &Metadata) {
        if !metadata.is_empty() {
            self.text("metadata");
            self.pairs(metadata);
        }
    }

    fn pairs(&mut self, metadata: &Metadata) {
        self.count(metadata.len());
        for (key, value) in metadata {
            self.field(key, value);
        }
    }

    fn money(&mut self, name: &str, money: Money) {
        self.field(name, &money.amount().normalize().to_string());
        self.text(money.currency().code());
    }

    fn list<'a>(&mut self, name: &str, values: impl ExactSizeIterator<Item = &'a str>) {
        if values.len() > 0 {
            self.text(name);
            self.count(values.len());
            values.for_each(|value| self.text(value));
        }
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        self.text(name);
        self.text(value);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn count(&mut self, count: usize) {
        // Bodies are below 256 KiB, so nothing here comes near four bytes.
        self.0.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
    }
}
