//! For tests alone: a database of one's own on the real server, filled as the worker fills it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Executor, Row};
use uuid::Uuid;

use super::batch::Claim;
use super::dead_letters::DeadLetter;
use super::migrate::migrate;
use super::write::Taken;
use super::{Database, Options, Session};
use crate::config::RulesFile;
use crate::domain::books::{Books, Record};
use crate::domain::ids::{CustomerId, InboxId};
use crate::domain::message::Name;
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::rules::Rules;
use crate::wire::{Decoded, Raw, decode};

/// Rules for the messages below.
const RULES: &str = r#"
[credit_types.credits]
scale = 0
[credit_types.minutes]
scale = 2

[[rules]]
name = "packs"
on = "payment-succeeded"
match = { price_id = "pack" }
grant = { credit_type = "credits", credits_per_unit = 1000, category = "paid", expires_after = "365d" }

[[rules]]
name = "later"
on = "payment-succeeded"
match = { price_id = "later" }
grant = { credit_type = "minutes", credits = "12.5", category = "paid", priority = 10, effective_after = "30d" }

[[rules]]
name = "welcome"
on = "signup"
grant = { credit_type = "credits", credits = 100, category = "promotional", priority = 0, expires_after = "30d", reason = "Welcome credits" }
"#;

/// A database of one test.
pub(crate) struct TestDatabase {
    name: String,
    /// The address, with the rights of the server's administrator.
    pub(crate) url: SecretString,
    admin: SecretString,
    rules: Rules,
}

impl TestDatabase {
    /// An empty one, migrated.
    pub(crate) async fn new() -> Self {
        let admin =
            std::env::var("DATABASE_URL").expect("DATABASE_URL names a Postgres server for tests: see `make up`");
        let name = format!("test_{}", Uuid::now_v7().simple());
        let server = admin.rsplit_once('/').expect("DATABASE_URL names a database").0;
        let url = format!("{server}/{name}");
        let rules = RulesFile::parse("rules.toml", RULES.to_owned()).ok().expect("valid rules").rules;
        let mut test = Self { name, url: url.into(), admin: admin.into(), rules };
        run_on(&test.admin, &format!("create database {}", test.name)).await.unwrap();
        migrate(&test.database()).await.unwrap();
        test.rules.hash.0[0] = 0xab;
        test
    }

    /// Ends it. A test that fails leaves it, for a look inside.
    pub(crate) async fn drop(self) {
        run_on(&self.admin, &format!("drop database {} with (force)", self.name)).await.unwrap();
    }

    pub(crate) fn database(&self) -> Database {
        Database::new(options(self.url.clone()))
    }

    /// A session of the worker.
    pub(crate) async fn session(&self) -> Session {
        self.database().connect().await.unwrap()
    }

    /// Runs statements as the administrator, past every trigger.
    pub(crate) async fn damage(&self, sql: &str) {
        run_on(&self.url, &format!("set session_replication_role = replica; {sql}")).await.unwrap();
    }

    /// Runs statements as the owner of the tables. Gives the error's words.
    pub(crate) async fn try_as_owner(&self, sql: &str) -> Result<(), String> {
        run_on(&self.url, sql).await
    }

    /// Runs a statement with the rights of the worker. Gives the error's words.
    pub(crate) async fn try_as_worker(&self, sql: &str) -> Result<(), String> {
        let mut session = self.session().await;
        session.connection.execute(AssertSqlSafe(sql.to_owned())).await.map(drop).map_err(|error| error.to_string())
    }

    /// The one value that a query gives.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut session = self.session().await;
        let row = session.connection.fetch_one(AssertSqlSafe(sql.to_owned())).await.unwrap();
        row.try_get(0).unwrap()
    }

    /// Takes messages in one batch, as the worker does, from books that know nothing: their customers and purchases
    /// have to be new. Gives what became of each.
    pub(crate) async fn take(&self, bodies: &[String]) -> Vec<Record> {
        let decoded: Vec<Decoded> = bodies.iter().map(|body| decode(&raw(body)).unwrap()).collect();
        let ids: Vec<InboxId> = decoded.iter().map(|_| InboxId(Uuid::now_v7())).collect();
        let claims: Vec<Claim<'_>> =
            decoded.iter().zip(&ids).map(|(one, id)| Claim { inbox_id: *id, message: &one.message }).collect();
        let (names, customers) = mentioned(&decoded, &self.rules);

        let mut session = self.session().await;
        let mut batch = session.begin().await.unwrap();
        batch.claim(&claims).await.unwrap();
        batch.lock_names(&names).await.unwrap();
        let (clock, accounts) = batch.lock_accounts(&customers, &[]).await.unwrap();
        let mut books = Books { accounts, ..Books::new(&self.rules, clock) };
        let records: Vec<Record> = claims.iter().map(|one| books.take(one.inbox_id, one.message.clone())).collect();
        let taken: Vec<Taken<'_>> = claims
            .iter()
            .zip(&records)
            .zip(bodies)
            .map(|((claim, record), body)| taken(*claim, record, body))
            .collect();
        for one in taken.iter().filter(|one| one.record.outcome == Outcome::DeadLettered) {
            let code = one.record.code.unwrap();
            batch.bury(&letter(one, code)).await.unwrap();
        }
        batch.write(&books, &taken).await.unwrap();
        batch.commit().await.unwrap();
        records
    }

    /// Keeps bytes that are no message.
    pub(crate) async fn bury(&self, body: &[u8], code: RefusalCode, reason: &str) {
        let letter = DeadLetter {
            queue: "credits.signup",
            key: None,
            message_id: Some("amqp-7"),
            kind: None,
            code,
            reason,
            properties: r#"{"message_id":"amqp-7"}"#,
            body,
        };
        let mut session = self.session().await;
        let mut batch = session.begin().await.unwrap();
        batch.bury(&letter).await.unwrap();
        batch.commit().await.unwrap();
    }
}

/// A customer's id.
pub(crate) fn customer(id: &str) -> CustomerId {
    CustomerId::parse(id).unwrap()
}

/// `payment-succeeded` with the id `evt_<payment>`, of `units` of `price` for 10.00 each.
pub(crate) fn payment(id: &str, customer: &str, price: &str, units: u32) -> String {
    let amount = format!("{}.00", units * 10);
    let line = format!(r#"{{"price_id":"{price}","quantity":{units},"amount":"{amount}"}}"#);
    let data = format!(
        r#""payment_id":"{id}","customer_id":"{customer}","amount":"{amount}","currency":"EUR","lines":[{line}]"#
    );
    event("payment-succeeded", id, &data)
}

/// `refund` with the id `evt_<refund>`, succeeded.
pub(crate) fn refund(id: &str, payment: &str, amount: &str) -> String {
    let data = format!(
        r#""refund_id":"{id}","payment_id":"{payment}","amount":"{amount}","currency":"EUR","status":"succeeded""#
    );
    event("refund", id, &data)
}

/// `signup` with the id `evt_<customer>`.
pub(crate) fn signup(customer: &str) -> String {
    event("signup", customer, &format!(r#""customer_id":"{customer}""#))
}

/// Of today, so that what a rule gives for a year is there tomorrow.
fn event(kind: &str, id: &str, data: &str) -> String {
    let time = chrono::Utc::now().to_rfc3339();
    format!(
        r#"{{"specversion":"1.0","id":"evt_{id}","source":"/billing","type":"{kind}","time":"{time}","data":{{{data}}}}}"#
    )
}

fn options(url: SecretString) -> Options {
    let limit = Duration::from_secs(30);
    Options {
        url,
        role: "credits_worker".into(),
        statement_timeout: limit,
        lock_timeout: limit,
        idle_in_transaction_timeout: limit,
        connect_timeout: limit,
    }
}

async fn run_on(url: &SecretString, sql: &str) -> Result<(), String> {
    let mut session = Database::new(options(url.expose_secret().into())).connect_as_owner().await.unwrap();
    session.connection.execute(AssertSqlSafe(sql.to_owned())).await.map(drop).map_err(|error| error.to_string())
}

fn raw(body: &str) -> Raw<'_> {
    let content_type = Some("application/cloudevents+json");
    Raw {
        body: body.as_bytes(),
        content_type,
        message_id: None,
        kind: None,
        app_id: None,
        timestamp: None,
        header: &|_| None,
    }
}

fn mentioned(
    decoded: &[Decoded],
    rules: &Rules,
) -> (BTreeMap<Name, Option<crate::domain::ids::PurchaseId>>, BTreeSet<CustomerId>) {
    let needs: Vec<_> = decoded.iter().map(|one| crate::domain::books::needs(&one.message, rules)).collect();
    let names = needs.iter().flat_map(|needs| needs.names.iter().cloned().map(|name| (name, None))).collect();
    let customers = needs.iter().flat_map(|needs| needs.customers.iter().cloned()).collect();
    (names, customers)
}

fn taken<'a>(claim: Claim<'a>, record: &'a Record, body: &'a str) -> Taken<'a> {
    let properties = r#"{"content_type":"application/cloudevents+json"}"#;
    Taken { claim, record, structured: true, queue: "credits.payment-succeeded", properties, body: body.as_bytes() }
}

fn letter<'a>(taken: &Taken<'a>, code: RefusalCode) -> DeadLetter<'a> {
    DeadLetter {
        queue: taken.queue,
        key: Some(&taken.claim.message.key),
        message_id: None,
        kind: Some(taken.claim.message.content.message_type().name()),
        code,
        reason: &taken.record.reason,
        properties: taken.properties,
        body: taken.body,
    }
}
