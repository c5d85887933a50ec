//! Whole rows as one parameter: an array of a table's own row type.
//!
//! `unnest` of an array of rows is one scan; of one array a column it is a scan and a copy for every column, which was
//! the largest cost of the write path. The fields of each `encode` are the table's columns, in the order of the
//! migration: Postgres refuses a row whose count or types differ.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::PgRecordEncoder;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};
use uuid::Uuid;

use super::rows::LedgerRow;
use super::write::{Made, Taken};
use crate::domain::ids::{CustomerId, PurchaseId};
use crate::domain::message::Timestamp;
use crate::domain::purchase::{Decision, Gift, Verdict};
use crate::domain::rules::WhenPaid;

macro_rules! row_type {
    ($row:ty, $table:literal) => {
        impl Type<Postgres> for $row {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_name($table)
            }
        }

        impl PgHasArrayType for $row {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::array_of($table)
            }
        }

        impl<'q> Encode<'q, Postgres> for $row {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let mut record = PgRecordEncoder::new(buffer);
                self.fields(&mut record)?;
                record.finish();
                Ok(IsNull::No)
            }
        }
    };
}

type Encoded = Result<(), BoxDynError>;

/// A row of `inbox`, with the positions of what came of it; the database says when it was received and counts its outcome.
pub(super) struct InboxRow<'a>(pub(super) &'a Taken<'a>, pub(super) Vec<i64>);
row_type!(InboxRow<'_>, "inbox");

impl InboxRow<'_> {
    fn fields(&self, record: &mut PgRecordEncoder<'_>) -> Encoded {
        let message = self.0.claim.message;
        record.encode(self.0.claim.inbox_id.0)?;
        record.encode(message.key.source.as_str())?;
        record.encode(message.key.id.as_str())?;
        record.encode(message.content.message_type().name())?;
        record.encode(message.time)?;
        record.encode(self.0.structured)?;
        record.encode(self.0.queue)?;
        record.encode(self.0.properties)?;
        record.encode(self.0.body)?;
        record.encode(None::<Timestamp>)?;
        record.encode(None::<i64>)?;
        record.encode(self.0.record.outcome.name())?;
        record.encode(self.0.record.reason.as_str())?;
        record.encode(self.1.as_slice())?;
        record.encode(None::<&[u8]>)?;
        Ok(())
    }
}

/// A row of `purchases`; the database says since when it waits.
pub(super) struct NewPurchase {
    pub(super) id: Uuid,
    pub(super) messages: Vec<Uuid>,
    pub(super) grants: Vec<Uuid>,
    pub(super) waiting: Vec<Uuid>,
}
row_type!(NewPurchase, "purchases");

impl NewPurchase {
    fn fields(&self, record: &mut PgRecordEncoder<'_>) -> Encoded {
        record.encode(self.id)?;
        record.encode(self.messages.as_slice())?;
        record.encode(self.grants.as_slice())?;
        record.encode(self.waiting.as_slice())?;
        record.encode(None::<Timestamp>)?;
        Ok(())
    }
}

/// A row of `grants`.
pub(super) struct NewGrant<'a>(pub(super) &'a Made<'a>);
row_type!(NewGrant<'_>, "grants");

impl NewGrant<'_> {
    fn fields(&self, record: &mut PgRecordEncoder<'_>) -> Encoded {
        let Made { grant, purchase, due_at, spendable } = self.0;
        let (terms, origin) = (&grant.terms, grant.origin.as_ref());
        record.encode(terms.grant_id.0)?;
        record.encode(terms.customer_id.as_str())?;
        record.encode(terms.credit_type.as_str())?;
        record.encode(i16::try_from(grant.scale.places()).unwrap_or(i16::MAX))?;
        record.encode(terms.amount.value())?;
        record.encode(grant.remaining.value())?;
        record.encode(grant.asked.value())?;
        record.encode(grant.taken.value())?;
        record.encode(grant.revoked.value())?;
        record.encode(terms.basis.value())?;
        record.encode(terms.category.name())?;
        record.encode(i16::from(terms.priority.value()))?;
        record.encode(terms.cost.map(crate::domain::amounts::Money::amount))?;
        record.encode(terms.cost.map(|cost| cost.currency().code()))?;
        record.encode(terms.effective_at)?;
        record.encode(terms.expires_at)?;
        record.encode(terms.price_id.as_ref().map(crate::domain::ids::PriceId::as_str))?;
        record.encode(terms.rule.as_ref().map(crate::domain::ids::RuleName::as_str))?;
        record.encode(terms.rules_hash.as_ref().map(|hash| hash.0.as_slice()))?;
        record.encode(terms.replaces.map(|grant| grant.0))?;
        record.encode(terms.reason.as_ref().map(crate::domain::ids::Reason::as_str))?;
        record.encode(terms.actor.as_str())?;
        record.encode(terms.cause.source.as_str())?;
        record.encode(terms.cause.id.as_str())?;
        record.encode(terms.cause.kind.as_ref())?;
        record.encode(purchase.map(|id| id.0))?;
        record.encode(origin.map(|origin| origin.fact.kind()))?;
        record.encode(origin.map(|origin| origin.fact.id()))?;
        record.encode(origin.map(|origin| origin.on_invoice))?;
        record.encode(origin.map(|origin| origin.when_paid == WhenPaid::InFull))?;
        record.encode(grant.surplus)?;
        record.encode(grant.first_counts_at)?;
        record.encode(*due_at)?;
        record.encode(*spendable)?;
        record.encode(grant.replaced_by.map(|grant| grant.0))?;
        Ok(())
    }
}

/// A row of `decisions`: what was decided of a customer's purchase, and the grant that is not due yet.
pub(super) struct NewDecision<'a> {
    pub(super) purchase: PurchaseId,
    pub(super) customer: &'a CustomerId,
    pub(super) decision: &'a Decision,
    pub(super) gift: Option<&'a Gift>,
}
row_type!(NewDecision<'_>, "decisions");

impl NewDecision<'_> {
    fn fields(&self, record: &mut PgRecordEncoder<'_>) -> Encoded {
        let (verdict, rule) = match &self.decision.verdict {
            Verdict::NoRule => ("no-rule", None),
            Verdict::Zero(rule) => ("zero", Some(rule)),
            Verdict::TooMuch(rule) => ("too-much", Some(rule)),
            Verdict::Gift(gift) => ("gift", gift.terms.rule.as_ref()),
        };
        let terms = self.gift.map(|gift| &gift.terms);
        let cost = terms.and_then(|terms| terms.cost);
        record.encode(self.purchase.0)?;
        record.encode(self.decision.price_id.as_str())?;
        record.encode(self.decision.fact.kind())?;
        record.encode(self.decision.fact.id())?;
        record.encode(self.decision.rules_hash.0.as_slice())?;
        record.encode(verdict)?;
        record.encode(rule.map(crate::domain::ids::RuleName::as_str))?;
        record.encode(terms.map(|terms| terms.grant_id.0))?;
        record.encode(self.customer.as_str())?;
        record.encode(terms.map(|terms| terms.credit_type.as_str()))?;
        record.encode(self.gift.map(|gift| i16::try_from(gift.scale.places()).unwrap_or(i16::MAX)))?;
        record.encode(terms.map(|terms| terms.amount.value()))?;
        record.encode(terms.map(|terms| terms.category.name()))?;
        record.encode(terms.map(|terms| i16::from(terms.priority.value())))?;
        record.encode(cost.map(crate::domain::amounts::Money::amount))?;
        record.encode(cost.map(|cost| cost.currency().code()))?;
        record.encode(terms.map(|terms| terms.effective_at))?;
        record.encode(terms.and_then(|terms| terms.expires_at))?;
        record.encode(terms.and_then(|terms| terms.reason.as_ref()).map(crate::domain::ids::Reason::as_str))?;
        record.encode(terms.map(|terms| terms.actor.as_str()))?;
        record.encode(terms.map(|terms| terms.cause.source.as_str()))?;
        record.encode(terms.map(|terms| terms.cause.id.as_str()))?;
        record.encode(terms.map(|terms| terms.cause.kind.as_ref()))?;
        record.encode(self.gift.map(|gift| gift.origin.on_invoice))?;
        record.encode(self.gift.map(|gift| gift.origin.when_paid == WhenPaid::InFull))?;
        Ok(())
    }
}

/// A row of `ledger`, with its hash.
pub(super) struct NewEntry<'a>(pub(super) &'a LedgerRow<'a>, pub(super) &'a [u8; 32]);
row_type!(NewEntry<'_>, "ledger");

impl NewEntry<'_> {
    fn fields(&self, record: &mut PgRecordEncoder<'_>) -> Encoded {
        let row = self.0;
        record.encode(row.position)?;
        record.encode(row.entry_id)?;
        record.encode(row.format)?;
        record.encode(row.customer_id.as_ref())?;
        record.encode(row.credit_type.as_ref())?;
        record.encode(row.sequence)?;
        record.encode(row.kind.as_ref())?;
        record.encode(row.delta)?;
        record.encode(row.end_balance)?;
        record.encode(row.grant_id)?;
        record.encode(row.grant_remaining)?;
        record.encode(row.grant_status.as_deref())?;
        record.encode(row.requested)?;
        record.encode(row.shortfall)?;
        record.encode(row.actor.as_ref())?;
        record.encode(row.reason.as_deref())?;
        record.encode(row.cause_source.as_ref())?;
        record.encode(row.cause_id.as_ref())?;
        record.encode(row.cause_type.as_ref())?;
        record.encode(row.effective_at)?;
        record.encode(row.recorded_at)?;
        record.encode(row.counts_at)?;
        record.encode(row.amount)?;
        record.encode(row.basis)?;
        record.encode(row.category.as_deref())?;
        record.encode(row.priority)?;
        record.encode(row.cost_amount)?;
        record.encode(row.cost_currency.as_deref())?;
        record.encode(row.starts_at)?;
        record.encode(row.expires_at)?;
        record.encode(row.price_id.as_deref())?;
        record.encode(row.rule.as_deref())?;
        record.encode(row.rules_hash.as_deref())?;
        record.encode(row.replaces)?;
        record.encode(self.1.as_slice())?;
        Ok(())
    }
}
