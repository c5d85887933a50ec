//! The only room that knows SQL.
//!
//! Statements are few per batch, constant in text and checked at compile time; arrays go in, rows come out. Named
//! constraints become typed answers here. What an error means for the caller is in [`StoreError`] alone.

#![allow(clippy::missing_errors_doc, reason = "every method here gives a StoreError, which says what it means")]

/// Builds a [`rows::GrantRow`] from a checked query's record of all its columns.
macro_rules! grant_row {
    ($row:expr) => {{
        let row = $row;
        crate::store::rows::GrantRow {
            terms: crate::store::rows::TermsRow {
                grant_id: row.grant_id,
                customer_id: row.customer_id,
                credit_type: row.credit_type,
                amount: row.amount,
                basis: row.basis,
                category: row.category,
                priority: row.priority,
                cost_amount: row.cost_amount,
                cost_currency: row.cost_currency,
                effective_at: row.effective_at,
                expires_at: row.expires_at,
                price_id: row.price_id,
                rule: row.rule,
                rules_hash: row.rules_hash,
                replaces: row.replaces,
                reason: row.reason,
                actor: row.actor,
                cause_source: row.cause_source,
                cause_id: row.cause_id,
                cause_type: row.cause_type,
            },
            scale: row.scale,
            remaining: row.remaining,
            asked: row.asked,
            taken: row.taken,
            revoked: row.revoked,
            fact_kind: row.fact_kind,
            fact_id: row.fact_id,
            on_invoice: row.on_invoice,
            in_full: row.in_full,
            surplus: row.surplus,
            first_counts_at: row.first_counts_at,
            replaced_by: row.replaced_by,
        }
    }};
}

/// Builds a [`rows::LedgerRow`] from a checked query's record of all its columns.
macro_rules! ledger_row {
    ($row:expr) => {{
        let row = $row;
        crate::store::rows::LedgerRow {
            position: row.position,
            entry_id: row.entry_id,
            format: row.format,
            customer_id: row.customer_id.into(),
            credit_type: row.credit_type.into(),
            sequence: row.sequence,
            kind: row.kind.into(),
            delta: row.delta,
            end_balance: row.end_balance,
            grant_id: row.grant_id,
            grant_remaining: row.grant_remaining,
            grant_status: row.grant_status.map(Into::into),
            requested: row.requested,
            shortfall: row.shortfall,
            actor: row.actor.into(),
            reason: row.reason.map(Into::into),
            cause_source: row.cause_source.into(),
            cause_id: row.cause_id.into(),
            cause_type: row.cause_type.into(),
            effective_at: row.effective_at,
            recorded_at: row.recorded_at,
            counts_at: row.counts_at,
            amount: row.amount,
            basis: row.basis,
            category: row.category.map(Into::into),
            priority: row.priority,
            cost_amount: row.cost_amount,
            cost_currency: row.cost_currency.map(Into::into),
            starts_at: row.starts_at,
            expires_at: row.expires_at,
            price_id: row.price_id.map(Into::into),
            rule: row.rule.map(Into::into),
            rules_hash: row.rules_hash.map(Into::into),
            replaces: row.replaces,
        }
    }};
}

pub mod accounts;
mod amend;
pub mod batch;
pub mod chain;
mod composite;
pub mod dead_letters;
pub mod error;
pub mod in_order;
pub mod migrate;
mod patience;
pub mod read;
pub mod relay;
pub mod replay;
pub mod rows;
pub mod session;
pub mod sweep;
#[cfg(test)]
pub(crate) mod tests;
pub mod verify;
pub mod write;

pub use error::StoreError;
pub use session::{Database, Options, Session};
