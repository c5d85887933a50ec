//! The message that the per-message worker reads and the event that it writes, in the shape of those of `credits`.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Days, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::store::{Entry, Pool};
use crate::names::{CREDITS_PER_UNIT, MESSAGE_TYPE, PRICE};

/// The life of a grant.
const LIFE: Days = Days::new(3650);

/// The message.
#[derive(Deserialize)]
pub(super) struct Payment {
    pub(super) id: String,
    pub(super) source: String,
    #[serde(rename = "type")]
    kind: String,
    time: String,
    pub(super) data: PaymentData,
}

#[derive(Deserialize)]
pub(super) struct PaymentData {
    pub(super) payment_id: String,
    pub(super) customer_id: String,
    pub(super) currency: String,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    price_id: String,
    quantity: u32,
    amount: String,
}

/// The grant that a payment buys.
pub(super) struct Grant {
    pub(super) id: Uuid,
    pub(super) credit_type: &'static str,
    pub(super) category: &'static str,
    pub(super) priority: i32,
    /// Credits.
    pub(super) amount: Decimal,
    /// Money, in the currency of the payment.
    pub(super) cost: Decimal,
    pub(super) effective_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) actor: &'static str,
    pub(super) reason: String,
    pub(super) payment: Payment,
}

/// The event, ready to be stored and published.
pub(super) struct Change {
    pub(super) entry_id: Uuid,
    pub(super) event_id: String,
    pub(super) event: Vec<u8>,
}

impl Payment {
    /// Reads a message.
    pub(super) fn decode(body: &[u8]) -> Result<Self> {
        let payment: Self = serde_json::from_slice(body)?;
        ensure!(payment.kind == MESSAGE_TYPE, "`{}` is not handled here", payment.kind);
        Ok(payment)
    }

    /// The grant, by the only rule that there is.
    pub(super) fn grant(self) -> Result<Grant> {
        let line = self.data.lines.iter().find(|line| line.price_id == PRICE).context("no line buys credits")?;
        let effective_at = DateTime::parse_from_rfc3339(&self.time)?.to_utc();
        Ok(Grant {
            id: Uuid::now_v7(),
            credit_type: "credits",
            category: "paid",
            priority: 50,
            amount: Decimal::from(line.quantity) * Decimal::from(CREDITS_PER_UNIT),
            cost: line.amount.parse()?,
            effective_at,
            expires_at: effective_at.checked_add_days(LIFE).context("expiry out of range")?,
            actor: "rule:credit-packs",
            reason: format!("payment {}", self.data.payment_id),
            payment: self,
        })
    }
}

impl Change {
    /// The event of one ledger entry.
    pub(super) fn of(grant: &Grant, pool: &Pool, entry: &Entry) -> Result<Self> {
        let event_id = entry.id.to_string();
        let recorded_at = rfc3339(entry.recorded_at);
        let event = Event {
            specversion: "1.0",
            id: &event_id,
            source: "/credits",
            kind: "ledger-changed",
            subject: &grant.payment.data.customer_id,
            time: &recorded_at,
            datacontenttype: "application/json",
            data: EventData::of(grant, pool, entry, &recorded_at),
        };
        Ok(Self { entry_id: entry.id, event: serde_json::to_vec(&event)?, event_id })
    }
}

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: &'a str,
    time: &'a str,
    datacontenttype: &'static str,
    data: EventData<'a>,
}

#[derive(Serialize)]
struct EventData<'a> {
    position: String,
    customer_id: &'a str,
    credit_type: &'a str,
    sequence: String,
    #[serde(rename = "type")]
    kind: &'static str,
    delta: String,
    end_balance: String,
    grant: GrantTerms<'a>,
    actor: &'a str,
    reason: &'a str,
    cause: Cause<'a>,
    effective_at: String,
    recorded_at: &'a str,
}

#[derive(Serialize)]
struct GrantTerms<'a> {
    grant_id: String,
    category: &'a str,
    priority: i32,
    amount: String,
    remaining: String,
    cost_basis: CostBasis<'a>,
    effective_at: String,
    expires_at: String,
    status: &'static str,
}

#[derive(Serialize)]
struct CostBasis<'a> {
    total: String,
    currency: &'a str,
    per_credit: String,
}

#[derive(Serialize)]
struct Cause<'a> {
    source: &'a str,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl<'a> EventData<'a> {
    fn of(grant: &'a Grant, pool: &Pool, entry: &Entry, recorded_at: &'a str) -> Self {
        let payment = &grant.payment;
        Self {
            position: entry.position.to_string(),
            customer_id: &payment.data.customer_id,
            credit_type: grant.credit_type,
            sequence: pool.sequence.to_string(),
            kind: "grant",
            delta: grant.amount.to_string(),
            end_balance: pool.balance.to_string(),
            grant: GrantTerms::of(grant),
            actor: grant.actor,
            reason: &grant.reason,
            cause: Cause { source: &payment.source, id: &payment.id, kind: &payment.kind },
            effective_at: rfc3339(grant.effective_at),
            recorded_at,
        }
    }
}

impl<'a> GrantTerms<'a> {
    fn of(grant: &'a Grant) -> Self {
        Self {
            grant_id: grant.id.to_string(),
            category: grant.category,
            priority: grant.priority,
            amount: grant.amount.to_string(),
            remaining: grant.amount.to_string(),
            cost_basis: CostBasis {
                total: grant.cost.to_string(),
                currency: &grant.payment.data.currency,
                per_credit: (grant.cost / grant.amount).to_string(),
            },
            effective_at: rfc3339(grant.effective_at),
            expires_at: rfc3339(grant.expires_at),
            status: "active",
        }
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
