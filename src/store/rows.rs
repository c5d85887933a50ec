//! Rows as the database has them, and their way to and from the core's values.

use std::borrow::Cow;

use rust_decimal::Decimal;
use uuid::Uuid;

use super::chain::FORMAT;
use super::error::StoreError;
use crate::domain::account::{Grant, Origin};
use crate::domain::amounts::{Credits, Currency, Money, Scale};
use crate::domain::ids::{
    Actor, CreditType, CustomerId, GrantId, InvoiceId, MessageId, PaymentId, PriceId, Reason, RuleName, RulesHash,
    Source,
};
use crate::domain::ledger::{Cause, Delta, Demand, Entry, EntryType, GrantAfter, GrantStatus, LedgerEntry, Terms};
use crate::domain::message::Timestamp;
use crate::domain::purchase::GrantingFact;
use crate::domain::rules::{Category, Priority, WhenPaid};

/// A row of `ledger`, every column but the hash.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "one field a column: the migration says what each is")]
pub struct LedgerRow<'a> {
    pub position: i64,
    pub entry_id: Uuid,
    pub format: i16,
    pub customer_id: Cow<'a, str>,
    pub credit_type: Cow<'a, str>,
    pub sequence: i64,
    pub kind: Cow<'a, str>,
    pub delta: Decimal,
    pub end_balance: Decimal,
    pub grant_id: Option<Uuid>,
    pub grant_remaining: Option<Decimal>,
    pub grant_status: Option<Cow<'a, str>>,
    pub requested: Option<Decimal>,
    pub shortfall: Option<Decimal>,
    pub actor: Cow<'a, str>,
    pub reason: Option<Cow<'a, str>>,
    pub cause_source: Cow<'a, str>,
    pub cause_id: Cow<'a, str>,
    pub cause_type: Cow<'a, str>,
    pub effective_at: Timestamp,
    pub recorded_at: Timestamp,
    pub counts_at: Timestamp,
    pub amount: Option<Decimal>,
    pub basis: Option<Decimal>,
    pub category: Option<Cow<'a, str>>,
    pub priority: Option<i16>,
    pub cost_amount: Option<Decimal>,
    pub cost_currency: Option<Cow<'a, str>>,
    pub starts_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub price_id: Option<Cow<'a, str>>,
    pub rule: Option<Cow<'a, str>>,
    pub rules_hash: Option<Cow<'a, [u8]>>,
    pub replaces: Option<Uuid>,
}

impl<'a> LedgerRow<'a> {
    /// The row of `entry` in its place.
    pub(super) fn new(entry: &'a Entry, position: i64, entry_id: Uuid, recorded_at: Timestamp) -> Self {
        let terms = entry.terms.as_deref();
        Self {
            position,
            entry_id,
            format: FORMAT,
            customer_id: entry.customer_id.as_str().into(),
            credit_type: entry.credit_type.as_str().into(),
            sequence: entry.sequence.cast_signed(),
            kind: entry.kind.name().into(),
            delta: entry.delta.value(),
            end_balance: entry.end_balance.value(),
            grant_id: entry.grant.map(|grant| grant.grant_id.0),
            grant_remaining: entry.grant.map(|grant| grant.remaining.value()),
            grant_status: entry.grant.map(|grant| grant.status.name().into()),
            requested: entry.demand.map(|demand| demand.requested.value()),
            shortfall: entry.demand.map(|demand| demand.shortfall.value()),
            actor: entry.actor.as_str().into(),
            reason: entry.reason.as_ref().map(|reason| reason.as_str().into()),
            cause_source: entry.cause.source.as_str().into(),
            cause_id: entry.cause.id.as_str().into(),
            cause_type: entry.cause.kind.as_ref().into(),
            effective_at: entry.effective_at,
            recorded_at,
            counts_at: entry.counts_at,
            amount: terms.map(|terms| terms.amount.value()),
            basis: terms.map(|terms| terms.basis.value()),
            category: terms.map(|terms| terms.category.name().into()),
            priority: terms.map(|terms| i16::from(terms.priority.value())),
            cost_amount: terms.and_then(|terms| terms.cost).map(Money::amount),
            cost_currency: terms.and_then(|terms| terms.cost).map(|cost| cost.currency().code().into()),
            starts_at: terms.map(|terms| terms.effective_at),
            expires_at: terms.and_then(|terms| terms.expires_at),
            price_id: terms.and_then(|terms| terms.price_id.as_ref()).map(|price| price.as_str().into()),
            rule: terms.and_then(|terms| terms.rule.as_ref()).map(|rule| rule.as_str().into()),
            rules_hash: terms.and_then(|terms| terms.rules_hash.as_ref()).map(|hash| hash.0.as_slice().into()),
            replaces: terms.and_then(|terms| terms.replaces).map(|grant| grant.0),
        }
    }

    /// The entry that the row holds. Its terms are not taken from it: see [`super::relay`].
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a column holds what its constraints rule out.
    pub(super) fn entry(&self) -> Result<LedgerEntry, StoreError> {
        self.read().map_err(|error| error.in_row("the entry at position", self.position))
    }

    fn read(&self) -> Result<LedgerEntry, StoreError> {
        let kind = EntryType::from_name(&self.kind).ok_or_else(|| StoreError::corrupt_in("type", &self.kind))?;
        let entry = Entry {
            customer_id: id(CustomerId::parse(&self.customer_id))?,
            credit_type: id(CreditType::parse(&self.credit_type))?,
            sequence: self.sequence.cast_unsigned(),
            kind,
            delta: Delta::stored(self.delta),
            end_balance: credits(self.end_balance)?,
            grant: grant_after(self.grant_id, self.grant_remaining, self.grant_status.as_deref())?,
            terms: None,
            demand: demand(self.requested, self.shortfall)?,
            actor: Actor::stored(&self.actor),
            reason: self.reason.as_deref().map(Reason::cut),
            cause: cause(&self.cause_source, &self.cause_id, &self.cause_type)?,
            effective_at: self.effective_at,
            counts_at: self.counts_at,
        };
        let position = self.position.cast_unsigned();
        Ok(LedgerEntry { position, entry_id: self.entry_id, recorded_at: self.recorded_at, entry })
    }
}

/// The columns of `grants` (and of `decisions`) that are a grant's terms.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "one field a column: the migration says what each is")]
pub struct TermsRow {
    pub grant_id: Uuid,
    pub customer_id: String,
    pub credit_type: String,
    pub amount: Decimal,
    pub basis: Decimal,
    pub category: String,
    pub priority: i16,
    pub cost_amount: Option<Decimal>,
    pub cost_currency: Option<String>,
    pub effective_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub price_id: Option<String>,
    pub rule: Option<String>,
    pub rules_hash: Option<Vec<u8>>,
    pub replaces: Option<Uuid>,
    pub reason: Option<String>,
    pub actor: String,
    pub cause_source: String,
    pub cause_id: String,
    pub cause_type: String,
}

impl TermsRow {
    pub(super) fn terms(&self) -> Result<Terms, StoreError> {
        Ok(Terms {
            grant_id: GrantId(self.grant_id),
            customer_id: id(CustomerId::parse(&self.customer_id))?,
            credit_type: id(CreditType::parse(&self.credit_type))?,
            amount: credits(self.amount)?,
            category: category(&self.category)?,
            priority: priority(self.priority)?,
            cost: cost(self.cost_amount, self.cost_currency.as_deref())?,
            effective_at: self.effective_at,
            expires_at: self.expires_at,
            price_id: self.price_id.as_deref().map(PriceId::parse).transpose().map_err(StoreError::corrupt)?,
            rule: self.rule.as_deref().map(RuleName::parse).transpose().map_err(StoreError::corrupt)?,
            rules_hash: self.rules_hash.as_deref().map(rules_hash).transpose()?,
            replaces: self.replaces.map(GrantId),
            basis: credits(self.basis)?,
            reason: self.reason.as_deref().map(Reason::cut),
            actor: Actor::stored(&self.actor),
            cause: cause(&self.cause_source, &self.cause_id, &self.cause_type)?,
        })
    }
}

/// A row of `grants`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "one field a column: the migration says what each is")]
pub struct GrantRow {
    pub terms: TermsRow,
    pub scale: i16,
    pub remaining: Decimal,
    pub asked: Decimal,
    pub taken: Decimal,
    pub revoked: Decimal,
    pub fact_kind: Option<String>,
    pub fact_id: Option<String>,
    pub on_invoice: Option<bool>,
    pub in_full: Option<bool>,
    pub surplus: bool,
    pub first_counts_at: Timestamp,
    pub replaced_by: Option<Uuid>,
}

impl GrantRow {
    pub(super) fn grant(&self) -> Result<Grant, StoreError> {
        self.read().map_err(|error| error.in_row("grant", self.terms.grant_id))
    }

    fn read(&self) -> Result<Grant, StoreError> {
        let origin = match (self.fact_kind.as_deref(), self.fact_id.as_deref(), self.on_invoice, self.in_full) {
            (Some(kind), Some(id), Some(on_invoice), Some(in_full)) => Some(origin(kind, id, on_invoice, in_full)?),
            _ => None,
        };
        Ok(Grant {
            terms: self.terms.terms()?.into(),
            scale: scale(self.scale)?,
            origin,
            surplus: self.surplus,
            remaining: credits(self.remaining)?,
            asked: credits(self.asked)?,
            taken: credits(self.taken)?,
            revoked: Delta::stored(self.revoked),
            first_counts_at: self.first_counts_at,
            replaced_by: self.replaced_by.map(GrantId),
        })
    }
}

pub(super) fn origin(kind: &str, fact_id: &str, on_invoice: bool, in_full: bool) -> Result<Origin, StoreError> {
    let when_paid = if in_full { WhenPaid::InFull } else { WhenPaid::FirstPayment };
    Ok(Origin { fact: fact(kind, fact_id)?, on_invoice, when_paid })
}

pub(super) fn fact(kind: &str, fact_id: &str) -> Result<GrantingFact, StoreError> {
    match kind {
        "invoice" => Ok(GrantingFact::Invoice(id(InvoiceId::parse(fact_id))?)),
        "payment" => Ok(GrantingFact::Payment(id(PaymentId::parse(fact_id))?)),
        other => Err(StoreError::corrupt_in("fact_kind", other)),
    }
}

pub(super) fn id<T, E: std::fmt::Display>(parsed: Result<T, E>) -> Result<T, StoreError> {
    parsed.map_err(StoreError::corrupt)
}

pub(super) fn credits(value: Decimal) -> Result<Credits, StoreError> {
    Credits::stored(value).ok_or_else(|| StoreError::corrupt_in("credits", value))
}

pub(super) fn scale(value: i16) -> Result<Scale, StoreError> {
    u8::try_from(value).ok().and_then(Scale::new).ok_or_else(|| StoreError::corrupt_in("scale", value))
}

pub(super) fn money(amount: Decimal, code: &str) -> Result<Money, StoreError> {
    let currency = Currency::parse(code).map_err(StoreError::corrupt)?;
    Money::new(amount, currency).map_err(StoreError::corrupt)
}

pub(super) fn rules_hash(bytes: &[u8]) -> Result<RulesHash, StoreError> {
    bytes.try_into().map(RulesHash).map_err(|_| StoreError::corrupt("rules_hash"))
}

pub(super) fn cause(source: &str, message_id: &str, kind: &str) -> Result<Cause, StoreError> {
    Ok(Cause { source: id(Source::parse(source))?, id: id(MessageId::parse(message_id))?, kind: kind.into() })
}

pub(super) fn category(name: &str) -> Result<Category, StoreError> {
    Category::from_name(name).ok_or_else(|| StoreError::corrupt_in("category", name))
}

pub(super) fn priority(value: i16) -> Result<Priority, StoreError> {
    u8::try_from(value).ok().and_then(Priority::new).ok_or_else(|| StoreError::corrupt_in("priority", value))
}

pub(super) fn cost(amount: Option<Decimal>, code: Option<&str>) -> Result<Option<Money>, StoreError> {
    match (amount, code) {
        (Some(amount), Some(code)) => money(amount, code).map(Some),
        _ => Ok(None),
    }
}

pub(super) fn demand(requested: Option<Decimal>, shortfall: Option<Decimal>) -> Result<Option<Demand>, StoreError> {
    match (requested, shortfall) {
        (Some(requested), Some(shortfall)) => {
            Ok(Some(Demand { requested: credits(requested)?, shortfall: credits(shortfall)? }))
        }
        _ => Ok(None),
    }
}

pub(super) fn grant_after(
    grant_id: Option<Uuid>,
    remaining: Option<Decimal>,
    status: Option<&str>,
) -> Result<Option<GrantAfter>, StoreError> {
    let (Some(grant_id), Some(remaining), Some(status)) = (grant_id, remaining, status) else { return Ok(None) };
    let status = GrantStatus::from_name(status).ok_or_else(|| StoreError::corrupt_in("grant_status", status))?;
    Ok(Some(GrantAfter { grant_id: GrantId(grant_id), remaining: credits(remaining)?, status }))
}
