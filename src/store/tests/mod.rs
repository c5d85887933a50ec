//! A database of one's own on the real server, filled as the worker fills it; and the tests of this room on it.

mod backlog;
mod claims;
mod in_order;
mod past;
mod read;
mod sweep;
mod uses;
mod verify;

use std::collections::BTreeSet;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Executor, Row};
use uuid::Uuid;

use super::migrate::migrate;
use super::{Database, Options, Session, StoreError};
use crate::broker::{ChannelId, Delivery, Properties};
use crate::config::RulesFile;
use crate::domain::ids::CustomerId;
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::rules::Rules;
use crate::handler::batch::{Attempt, attempt, letter};
use crate::handler::intake::Work;

/// Rules for the messages below.
pub(crate) const RULES: &str = r#"
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
        let rules = RulesFile::parse("rules.toml", RULES.to_owned()).expect("valid rules").rules;
        let test = Self { name, url: url.into(), admin: admin.into(), rules };
        run_on(&test.admin, &format!("create database {}", test.name)).await.unwrap();
        migrate(&test.database()).await.unwrap();
        test.session().await.keep_rules(&test.rules.hash.0, RULES).await.unwrap();
        test
    }

    /// Ends it. A test that fails leaves it, for a look inside.
    pub(crate) async fn drop(self) {
        run_on(&self.admin, &format!("drop database {} with (force)", self.name)).await.unwrap();
    }

    pub(crate) fn database(&self) -> Database {
        Database::new(options(self.url.clone()))
    }

    /// The rules in force.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The SHA-256 of the rules in force.
    pub(crate) fn rules_hash(&self) -> String {
        self.rules.hash.to_string()
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

    /// Keeps bodies as three processes leave them that died on them: undecoded.
    pub(crate) async fn crash_on(&self, bodies: &[impl AsRef<[u8]>]) {
        let mut session = self.session().await;
        let mut batch = session.begin().await.unwrap();
        for body in bodies {
            let work = Work::unread(delivery(body.as_ref()));
            batch.bury(&letter(&work, RefusalCode::CrashedWorker, "three processes died")).await.unwrap();
        }
        batch.commit().await.unwrap();
    }

    /// Takes bodies of messages in one batch, as the worker does, and gives what became of each.
    pub(crate) async fn take(&self, bodies: &[impl AsRef<[u8]>]) -> Vec<(Outcome, Option<RefusalCode>)> {
        self.take_on(&mut self.session().await, bodies).await.0
    }

    /// The same on one session; also how often the batch was begun.
    pub(crate) async fn take_on(
        &self,
        session: &mut Session,
        bodies: &[impl AsRef<[u8]>],
    ) -> (Vec<(Outcome, Option<RefusalCode>)>, usize) {
        let works: Vec<Work> = bodies.iter().map(|body| Work::new(delivery(body.as_ref()))).collect();
        let mut extra = BTreeSet::new();
        let mut begun = 0;
        loop {
            begun += 1;
            let mut batch = session.begin().await.unwrap();
            match attempt(&mut batch, &works, &self.rules, &extra, None).await {
                Ok(Attempt::Written(report)) => {
                    batch.commit().await.unwrap();
                    return (report.outcomes, begun);
                }
                Ok(Attempt::More(more)) => extra.extend(more),
                Err(StoreError::Again(_)) => {}
                Err(other) => panic!("{other}"),
            }
            batch.rollback().await.unwrap();
        }
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

/// `purchase-linked` of a payment and another name.
pub(crate) fn link(payment: &str, alias: &str) -> String {
    event(
        "purchase-linked",
        &format!("{payment}_{alias}"),
        &format!(r#""payment_ids":["{payment}"],"aliases":["{alias}"]"#),
    )
}

/// `signup` with the id `evt_<customer>`.
pub(crate) fn signup(customer: &str) -> String {
    event("signup", customer, &format!(r#""customer_id":"{customer}""#))
}

/// `usage-recorded` with the id `evt_<usage>`.
pub(crate) fn usage(id: &str, customer: &str, amount: &str) -> String {
    let at = chrono::Utc::now().to_rfc3339();
    let data = format!(
        r#""usage_id":"{id}","customer_id":"{customer}","credit_type":"credits","amount":"{amount}","occurred_at":"{at}""#
    );
    event("usage-recorded", id, &data)
}

/// `credit-adjustment` with the id `evt_<adjustment>`; `more` are further fields.
pub(crate) fn adjustment(id: &str, customer: &str, more: &str) -> String {
    let data = format!(
        r#""adjustment_id":"{id}","customer_id":"{customer}","credit_type":"credits","actor":"ann","reason":"test",{more}"#
    );
    event("credit-adjustment", id, &data)
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

fn delivery(body: &[u8]) -> Delivery {
    let content_type = Some("application/cloudevents+json".to_owned());
    Delivery {
        queue: "credits.payment-succeeded".into(),
        channel: ChannelId { generation: 1, consumer: 0 },
        tag: 1,
        delivered_before: 0,
        properties: Properties { content_type, message_id: Some("amqp-7".to_owned()), ..Properties::default() },
        body: body.to_vec(),
    }
}
