//! What a user can see: balances, grants, outcomes, dead letters, events.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::broker::Published;
use super::worker::TestWorker;
use crate::fixtures::BillingMessage;

/// A refused message.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetter {
    pub(crate) queue: String,
    pub(crate) message_id: Option<String>,
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) body: Vec<u8>,
    pub(crate) seen: i64,
}

/// Handled deliveries: every kept message once and its repeats, and every refusal. A refund that became a conflict
/// later has both an outcome that says so and a dead letter.
const HANDLED: &str = "
    select (select count(*) filter (where nth = 1 or outcome = 'duplicate')
                 - count(*) filter (where outcome = 'dead-lettered')
            from (select outcome, row_number() over (partition by inbox_id order by outcome_id) as nth
                  from outcomes) as told)
         + (select coalesce(sum(seen), 0)::bigint from dead_letters)";

impl TestWorker {
    /// One row of the database.
    pub(crate) async fn row(&self, query: &'static str) -> Result<PgRow, String> {
        sqlx::query(query).fetch_one(&self.place.pool).await.map_err(|error| error.to_string())
    }

    /// All rows of a query.
    pub(crate) async fn rows(&self, query: &'static str) -> Vec<PgRow> {
        sqlx::query(query).fetch_all(&self.place.pool).await.unwrap()
    }

    /// One number of the database.
    pub(crate) async fn number(&self, query: &'static str) -> Result<i64, String> {
        self.row(query).await?.try_get(0).map_err(|error| error.to_string())
    }

    /// Does to the database what no worker does, as its superuser.
    pub(crate) async fn tamper(&self, statements: &'static str) {
        sqlx::raw_sql(statements).execute(&self.place.pool).await.unwrap();
    }

    /// Texts of one column.
    pub(crate) async fn texts(&self, query: &'static str) -> Vec<String> {
        self.rows(query).await.iter().map(|row| row.get(0)).collect()
    }

    /// How many deliveries have an outcome.
    pub(crate) async fn handled(&self) -> Result<usize, String> {
        Ok(usize::try_from(self.number(HANDLED).await?).unwrap())
    }

    /// The relay's cursor and the ledger's head.
    pub(crate) async fn relay_stands(&self) -> Result<(i64, i64), String> {
        let row = self.row("select c.position, h.position from relay_cursor c, ledger_head h").await?;
        Ok((row.get(0), row.get(1)))
    }

    /// The ids of messages that are neither kept nor refused. A refused one may have no id that anybody could read:
    /// then its bytes are looked for.
    pub(super) async fn lost(&self, published: &Published) -> Result<Vec<String>, String> {
        let (ids, bodies): (Vec<&str>, Vec<&[u8]>) =
            published.bodies.iter().map(|(id, body)| (id.as_str(), body.as_slice())).unzip();
        let query = "select id from unnest($1::text[], $2::bytea[]) as published (id, body)
                     where id not in (select message_id from inbox)
                       and not exists (select from dead_letters where message_id = id or dead_letters.body = published.body)";
        let lost = sqlx::query_scalar(query).bind(&ids).bind(&bodies).fetch_all(&self.place.pool).await;
        lost.map_err(|error| error.to_string())
    }

    /// A pool's balance as it is written, without trailing zeros.
    pub(crate) async fn balance(&self, customer: &str, credit_type: &str) -> Option<String> {
        let query = "select trim_scale(balance)::text from pools where customer_id = $1 and credit_type = $2";
        sqlx::query_scalar(query).bind(customer).bind(credit_type).fetch_optional(&self.place.pool).await.unwrap()
    }

    /// Amount and remaining of a customer's grants that are not surplus, the smallest first.
    pub(crate) async fn grants(&self, customer: &str) -> Vec<(String, String)> {
        let query = "select trim_scale(amount)::text, trim_scale(remaining)::text from grants
                     where customer_id = $1 and not surplus order by amount, remaining";
        sqlx::query_as(query).bind(customer).fetch_all(&self.place.pool).await.unwrap()
    }

    pub(crate) async fn assert_balance(&self, customer: &str, credit_type: &str, balance: &str) {
        self.wait_until_settled().await;
        let found = self.balance(customer, credit_type).await;
        assert_eq!(found.as_deref(), Some(balance), "the balance of {customer}");
    }

    /// Amount and remaining of all of a customer's grants, the smallest first.
    pub(crate) async fn assert_grants(&self, customer: &str, expected: &[(&str, &str)]) {
        self.wait_until_settled().await;
        let found = self.grants(customer).await;
        let found: Vec<(&str, &str)> = found.iter().map(|(amount, left)| (amount.as_str(), left.as_str())).collect();
        assert_eq!(found, expected, "the grants of {customer}: (amount, remaining)");
    }

    /// Everything published so far, each entry once, in the order of the ledger: the entry types.
    pub(crate) async fn assert_published(&self, expected: &[&str]) {
        let events = self.collect_events().await;
        let types: Vec<&str> = events.distinct().values().map(|event| event.data("type")).collect();
        assert_eq!(types, expected, "the published events");
    }

    /// The message's outcomes over time.
    pub(crate) async fn outcomes(&self, message_id: &str) -> Vec<String> {
        let query =
            "select outcome from outcomes join inbox using (inbox_id) where message_id = $1 order by outcome_id";
        sqlx::query_scalar(query).bind(message_id).fetch_all(&self.place.pool).await.unwrap()
    }

    pub(crate) async fn assert_outcomes(&self, message: &BillingMessage, expected: &[&str]) {
        self.wait_until_settled().await;
        let id = message.id().expect("the message has an id");
        assert_eq!(self.outcomes(id).await, expected, "the outcomes of {id}");
    }

    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetter> {
        let rows = self
            .rows("select queue, message_id, code, reason, body, seen from dead_letters order by dead_letter_id")
            .await;
        let letter = |row: &PgRow| DeadLetter {
            queue: row.get(0),
            message_id: row.get(1),
            code: row.get(2),
            reason: row.get(3),
            body: row.get(4),
            seen: row.get(5),
        };
        rows.iter().map(letter).collect()
    }

    /// Exactly one dead letter with the message's bytes, and with that reason code.
    pub(crate) async fn assert_dead_letter(&self, message: &BillingMessage, code: &str) {
        self.wait_until_settled().await;
        let all = self.dead_letters().await;
        let same: Vec<_> = all.iter().filter(|letter| letter.body == message.body()).collect();
        let codes: Vec<&str> = same.iter().map(|letter| letter.code.as_str()).collect();
        assert_eq!(codes, [code], "the dead letter of {:?}; its reason: {same:?}", message.id());
    }

    /// How many deliveries ended in which outcome; each counts by its last one.
    pub(crate) async fn outcome_counts(&self) -> BTreeMap<String, i64> {
        let rows = self
            .rows(
                "with told as (
                     select inbox_id, outcome, row_number() over (partition by inbox_id order by outcome_id) as nth
                     from outcomes),
                 repeats as (select outcome from told where nth > 1 and outcome = 'duplicate'),
                 last as (
                     select distinct on (inbox_id) outcome from told where nth = 1 or outcome <> 'duplicate'
                     order by inbox_id, nth desc)
                 select outcome, sum(count)::bigint from (
                     select outcome, count(*) from repeats group by 1
                     union all select outcome, count(*) from last where outcome <> 'dead-lettered' group by 1
                     union all select 'dead-lettered', sum(seen) from dead_letters having sum(seen) > 0) as counted
                 group by 1",
            )
            .await;
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}
