//! What is due is found by index and settled in parts, and every part is as sound as the whole.

use chrono::{TimeDelta, Utc};
use sqlx::{AssertSqlSafe, Executor, Row};

use super::backlog::{Owed, owe};
use super::{TestDatabase, customer, payment};
use crate::domain::account::Account;
use crate::domain::ledger::Entry;
use crate::domain::message::Timestamp;
use crate::store::verify::Finding;
use crate::sweeper::settle;

/// Enough for all that is due.
const ALL: usize = 10_000;

fn days_ago(days: i64) -> Timestamp {
    // Postgres keeps microseconds.
    chrono::DateTime::from_timestamp_micros((Utc::now() - TimeDelta::days(days)).timestamp_micros()).unwrap()
}

fn owed(customer: &str, number: u128, from: Timestamp, to: Option<Timestamp>) -> Owed {
    Owed { customer: customer.to_owned(), number, from, to }
}

impl TestDatabase {
    async fn owes(&self, as_of: Timestamp, owed: &[Owed]) {
        owe(&mut self.session().await, self.rules(), as_of, owed).await.unwrap();
    }

    /// Writes one part of at most `batch` grants, if it can. Gives its number of entries.
    async fn sweep(&self, batch: usize) -> usize {
        let mut session = self.database().connect_to_sweep().await.unwrap();
        let due = session.due(i64::try_from(batch).unwrap(), &[]).await.unwrap();
        settle(&mut session, &due.customers, batch, self.rules(), None).await.unwrap().len()
    }

    /// Writes part after part until nothing is due, and verifies the ledger after each.
    async fn sweep_all(&self, batch: usize) -> Vec<usize> {
        let mut parts = Vec::new();
        loop {
            let entries = self.sweep(batch).await;
            self.assert_sound().await;
            if entries == 0 {
                return parts;
            }
            parts.push(entries);
        }
    }

    async fn assert_sound(&self) {
        let mut session = self.session().await;
        let found = session.snapshot().await.unwrap().verify(&mut |_, _| {}).await.unwrap();
        assert!(matches!(found, Finding::Sound { .. }), "{found:?}");
    }

    /// A customer's entries behind the first `skip`, each in words: type, grant, delta, balance, instants.
    async fn entries(&self, id: &str, skip: usize) -> Vec<String> {
        let query = format!(
            "select type || ' ' || grant_id || ' ' || trim_scale(delta) || ' to ' || trim_scale(end_balance) || ' at '
                    || extract(epoch from effective_at) || ' from ' || extract(epoch from counts_at)
             from ledger where customer_id = '{id}' order by position offset {skip}"
        );
        let mut session = self.session().await;
        let rows = session.connection.fetch_all(AssertSqlSafe(query)).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// What settling `owed` at once writes, in the words of [`TestDatabase::entries`].
fn at_once(owed: &[Owed], as_of: Timestamp) -> Vec<String> {
    let mut account = Account::new(customer(&owed[0].customer));
    let (mut made, mut due) = (Vec::new(), Vec::new());
    account.settle(as_of, &mut made);
    for one in owed {
        account.grant(one.grant(as_of), as_of, &mut made);
    }
    account.settle(Utc::now(), &mut due);
    due.iter().map(in_words).collect()
}

fn in_words(entry: &Entry) -> String {
    let epoch = |at: Timestamp| format!("{}.{:06}", at.timestamp(), at.timestamp_subsec_micros());
    let (kind, grant) = (entry.kind.name(), entry.grant.unwrap().grant_id.0);
    let (delta, end) = (entry.delta, entry.end_balance);
    format!("{kind} {grant} {delta} to {end} at {} from {}", epoch(entry.effective_at), epoch(entry.counts_at))
}

/// Twelve grants that start and end in the last week, four of them together, and one that ends tomorrow.
fn week(id: &str, first: u128) -> Vec<Owed> {
    let noon = days_ago(4);
    let mut all: Vec<Owed> = (0..6_u8)
        .map(|at| owed(id, first + u128::from(at), days_ago(7 - i64::from(at)), Some(days_ago(5 - i64::from(at)))))
        .collect();
    all.extend((6..8).map(|at| owed(id, first + at, days_ago(9), Some(noon))));
    all.extend((8..10).map(|at| owed(id, first + at, noon, None)));
    all.push(owed(id, first + 10, days_ago(9), Some(days_ago(-1))));
    all.push(owed(id, first + 11, days_ago(-1), None));
    all
}

#[tokio::test]
async fn a_sweeper_that_was_off_for_a_week_catches_up_in_the_order_of_the_instants() {
    let db = TestDatabase::new().await;
    let (as_of, ada, bob) = (days_ago(8), week("ada", 100), week("bob", 200));
    db.owes(as_of, &[ada.clone(), bob.clone()].concat()).await;
    let parts = db.sweep_all(5).await;
    assert!(parts.len() > 3, "{parts:?}");
    for (id, owed) in [("ada", &ada), ("bob", &bob)] {
        let expected = at_once(owed, as_of);
        assert!(expected.len() > 10, "{expected:#?}");
        assert_eq!(db.entries(id, owed.len()).await, expected, "of {id}");
    }
    let late = "select count(*) from grants where due_at <= now() or (due_at is null and remaining > 0 and expires_at > now())";
    assert_eq!(db.number(late).await, 0, "grants that are not as they should be");
    db.drop().await;
}

#[tokio::test]
async fn an_account_with_more_due_than_a_batch_is_settled_in_parts_and_a_payment_in_between_settles_the_rest() {
    let db = TestDatabase::new().await;
    let (as_of, end) = (days_ago(8), days_ago(2));
    let of = |id: &str, first: u128| -> Vec<Owed> {
        let one = |number| owed(id, first + number, days_ago(9), Some(if number < 25 { end } else { days_ago(1) }));
        (0..30).map(one).collect()
    };
    let (ada, bob) = (of("ada", 1), of("bob", 101));
    db.owes(as_of, &ada).await;
    assert_eq!(db.sweep(10).await, 10);
    assert_eq!(db.sweep(10).await, 10);
    db.assert_sound().await;
    let just_before = "select count(*) from accounts a where settled_to + interval '1 microsecond' =
                       (select min(due_at) from grants g where g.customer_id = a.customer_id)";
    assert_eq!(db.number(just_before).await, 1, "accounts that are settled to just before what comes next");
    db.take(&[payment("p1", "ada", "pack", 1)]).await;
    db.assert_sound().await;
    assert_eq!(db.sweep(10).await, 0, "nothing is left");

    let entries = db.entries("ada", ada.len()).await;
    let (paid, due) = entries.split_last().unwrap();
    assert_eq!(due, at_once(&ada, as_of));
    assert!(paid.starts_with("grant ") && paid.contains(" 1000 to 1000 "), "{paid}");

    db.owes(as_of, &bob).await;
    db.sweep_all(10).await;
    assert_eq!(db.entries("bob", bob.len()).await, at_once(&bob, as_of), "without a payment");
    db.drop().await;
}

#[tokio::test]
async fn activations_and_expiries_of_one_instant_keep_their_order_across_parts() {
    let db = TestDatabase::new().await;
    let (as_of, noon) = (days_ago(8), days_ago(2));
    // Ids that alternate: the index gives starts and ends mixed.
    let ada: Vec<Owed> = (1..=20)
        .map(|number| {
            let starts = number % 2 == 0;
            let (from, to) = if starts { (noon, Some(days_ago(1))) } else { (days_ago(9), Some(noon)) };
            owed("ada", number, from, to)
        })
        .collect();
    db.owes(as_of, &ada).await;
    let parts = db.sweep_all(4).await;
    // Ten expiries, and then the ten activations of the same instant, which stay together: 16 may be loaded for these, so
    // nothing is left, and their own expiries follow at once.
    assert_eq!(parts, [4, 4, 2, 20]);
    assert_eq!(db.entries("ada", ada.len()).await, at_once(&ada, as_of));
    db.drop().await;
}

#[tokio::test]
async fn two_sweepers_at_once_write_everything_once() {
    let db = TestDatabase::new().await;
    let as_of = days_ago(8);
    let all: Vec<Owed> = (0..600)
        .map(|number| owed(&format!("cus_{}", number % 40), number + 1, days_ago(9), Some(days_ago(2))))
        .collect();
    db.owes(as_of, &all).await;
    let until_done = async || {
        let mut written = 0;
        while db.number("select count(*) from grants where due_at <= now()").await > 0 {
            written += db.sweep(25).await;
        }
        written
    };
    let (one, other) = tokio::join!(until_done(), until_done());
    assert_eq!(one + other, 600);
    assert_eq!(db.number("select count(distinct grant_id) from ledger where type = 'expire'").await, 600);
    assert_eq!(db.number("select count(*) from ledger where type = 'expire'").await, 600);
    db.assert_sound().await;
    db.drop().await;
}

#[tokio::test]
async fn an_account_that_somebody_else_holds_is_passed_over() {
    let db = TestDatabase::new().await;
    let of = |id: &str, number| owed(id, number, days_ago(9), Some(days_ago(2)));
    db.owes(days_ago(8), &[of("ada", 1), of("bob", 2)]).await;
    let mut holder = db.session().await;
    let mut held = holder.begin().await.unwrap();
    held.tx.execute("select from accounts where customer_id = 'ada' for update").await.unwrap();
    assert_eq!(db.sweep(ALL).await, 1, "bob's");
    assert_eq!(db.number("select count(*) from grants where customer_id = 'ada' and due_at is not null").await, 1);
    held.rollback().await.unwrap();
    assert_eq!(db.sweep(ALL).await, 1, "ada's");
    db.drop().await;
}

#[tokio::test]
async fn a_customer_whose_id_cannot_be_is_told_apart_from_the_others() {
    let db = TestDatabase::new().await;
    let of = |id: &str, number| owed(id, number, days_ago(9), Some(days_ago(2)));
    db.owes(days_ago(8), &[of("ada", 1), of("bob", 2), of("eve", 3)]).await;
    let mut session = db.database().connect_to_sweep().await.unwrap();
    db.damage("update grants set customer_id = '' where customer_id = 'ada'").await;
    let due = session.due(100, &["eve"]).await.unwrap();
    assert_eq!((due.customers, due.unreadable), (vec![customer("bob")], vec![String::new()]));
    db.drop().await;
}

#[tokio::test]
async fn what_is_due_is_found_by_index_however_much_is_not_due_yet() {
    let db = TestDatabase::new().await;
    let mut session = db.database().connect_to_sweep().await.unwrap();
    let plan = async |session: &mut crate::store::Session, sql: &str| {
        let rows = session.connection.fetch_all(AssertSqlSafe(format!("explain {sql}"))).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
    };
    let statement = include_str!("../sql/due.sql").replace("$1", "1000").replace("$2", "'{eve}'");
    let statement = statement.replace("\"customers: Vec<String>\"", "c");
    let due = plan(&mut session, &statement).await;
    for condition in ["(due_at <= now())", "((customer_id = grants.customer_id) AND (due_at <= now()))"] {
        assert!(due.contains(&format!("Index Cond: {condition}")), "{due}");
    }
    assert!(!due.contains("Sort Key: grants.due_at"), "{due}");
    let statement = include_str!("../sql/load_due.sql").replace("$1", "'{ada}'").replace("$2", "now()");
    let load = plan(&mut session, &statement.replace("$3", "1001").replace("\"due_at!\"", "due")).await;
    assert!(load.contains("Index Scan using grants_by_customer"), "{load}");
    assert!(!load.contains("Sort Key: grants."), "{load}");
    db.drop().await;
}
