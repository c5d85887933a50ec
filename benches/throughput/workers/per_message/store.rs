//! The statements of the per-message worker, one a step.

use anyhow::Result;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::postgres::PgConnection;
use sqlx::{Row, raw_sql};
use uuid::Uuid;

use super::payment::{Change, Grant, Payment};
use crate::names::EVENT_KEY;

/// Each gives the number of messages when all were handled once.
pub(crate) const COUNTS: [&str; 5] = [
    "select count(*) from processed_messages",
    "select count(*) from grants",
    "select count(*) from ledger",
    "select count(*) from outbox",
    "select sum(sequence)::bigint from pools",
];

/// Creates the tables.
///
/// # Errors
/// The database refuses.
pub(crate) async fn create_schema(connection: &mut PgConnection) -> Result<()> {
    raw_sql(include_str!("schema.sql")).execute(connection).await?;
    Ok(())
}

/// A pool after a change.
pub(super) struct Pool {
    pub(super) balance: Decimal,
    pub(super) sequence: i64,
}

/// What the ledger gave to an entry.
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) position: i64,
    pub(super) recorded_at: DateTime<Utc>,
}

/// Whether this message is new; it is not for anyone after this.
pub(super) async fn claim(connection: &mut PgConnection, payment: &Payment) -> Result<bool> {
    let sql = "insert into processed_messages (source, message_id) values ($1, $2) on conflict do nothing";
    let claimed = sqlx::query(sql).bind(&payment.source).bind(&payment.id).execute(connection).await?;
    Ok(claimed.rows_affected() == 1)
}

pub(super) async fn insert_grant(connection: &mut PgConnection, grant: &Grant) -> Result<()> {
    let sql = "insert into grants (grant_id, customer_id, credit_type, payment_id, category, priority, amount, \
               remaining, cost_total, cost_currency, effective_at, expires_at, status) \
               values ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11, 'active')";
    let insert = sqlx::query(sql)
        .bind(grant.id)
        .bind(&grant.payment.data.customer_id)
        .bind(grant.credit_type)
        .bind(&grant.payment.data.payment_id)
        .bind(grant.category)
        .bind(grant.priority)
        .bind(grant.amount)
        .bind(grant.cost)
        .bind(&grant.payment.data.currency)
        .bind(grant.effective_at)
        .bind(grant.expires_at);
    insert.execute(connection).await?;
    Ok(())
}

pub(super) async fn add_to_pool(connection: &mut PgConnection, grant: &Grant) -> Result<Pool> {
    let sql = "insert into pools (customer_id, credit_type, balance, sequence) values ($1, $2, $3, 1) \
               on conflict (customer_id, credit_type) \
               do update set balance = pools.balance + excluded.balance, sequence = pools.sequence + 1 \
               returning balance, sequence";
    let upsert = sqlx::query(sql).bind(&grant.payment.data.customer_id).bind(grant.credit_type).bind(grant.amount);
    let row = upsert.fetch_one(connection).await?;
    Ok(Pool { balance: row.try_get(0)?, sequence: row.try_get(1)? })
}

pub(super) async fn insert_entry(connection: &mut PgConnection, grant: &Grant, pool: &Pool) -> Result<Entry> {
    let sql = "insert into ledger (entry_id, customer_id, credit_type, sequence, entry_type, grant_id, delta, \
               end_balance, actor, reason, cause_source, cause_id) \
               values ($1, $2, $3, $4, 'grant', $5, $6, $7, $8, $9, $10, $11) returning position, recorded_at";
    let id = Uuid::now_v7();
    let insert = sqlx::query(sql)
        .bind(id)
        .bind(&grant.payment.data.customer_id)
        .bind(grant.credit_type)
        .bind(pool.sequence)
        .bind(grant.id)
        .bind(grant.amount)
        .bind(pool.balance)
        .bind(grant.actor)
        .bind(&grant.reason)
        .bind(&grant.payment.source)
        .bind(&grant.payment.id);
    let row = insert.fetch_one(connection).await?;
    Ok(Entry { id, position: row.try_get(0)?, recorded_at: row.try_get(1)? })
}

pub(super) async fn insert_outbox(connection: &mut PgConnection, change: &Change) -> Result<()> {
    let sql = "insert into outbox (event_id, routing_key, body) values ($1, $2, $3)";
    let body = std::str::from_utf8(&change.event)?;
    sqlx::query(sql).bind(change.entry_id).bind(EVENT_KEY).bind(body).execute(connection).await?;
    Ok(())
}
