//! The ledger cannot be changed, and where a superuser does it, `credits ledger verify` names the place.

use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::fixtures::{partial_refund_of, payment_succeeded};
use crate::harness::TestWorker;

/// Something done to rows of the ledger, its reversal, and the first position that is bad then.
const TAMPERINGS: [(&str, &str, &str, i64); 7] = [
    (
        "one byte of a text",
        "update ledger set actor = overlay(actor placing 'R' from 1 for 1) where position = 7",
        "update ledger set actor = overlay(actor placing 'r' from 1 for 1) where position = 7",
        7,
    ),
    (
        "one digit of an amount",
        "update ledger set delta = delta + 1 where position = 12",
        "update ledger set delta = delta - 1 where position = 12",
        12,
    ),
    (
        "one byte of a hash",
        "update ledger set hash = set_byte(hash, 31, get_byte(hash, 31) # 1) where position = 9",
        "update ledger set hash = set_byte(hash, 31, get_byte(hash, 31) # 1) where position = 9",
        9,
    ),
    (
        "a row is gone",
        "create table aside as select * from ledger where position = 5; delete from ledger where position = 5",
        "insert into ledger select * from aside; drop table aside",
        5,
    ),
    (
        "the last row is gone",
        "create table aside as select * from ledger where position = 20; delete from ledger where position = 20",
        "insert into ledger select * from aside; drop table aside",
        20,
    ),
    (
        "two rows change places",
        "update ledger set position = -3 where position = 3; update ledger set position = 3 where position = 15;
         update ledger set position = 15 where position = -3",
        "update ledger set position = -3 where position = 3; update ledger set position = 3 where position = 15;
         update ledger set position = 15 where position = -3",
        3,
    ),
    (
        "a balance that the entries do not come to",
        "update pools set balance = balance + 1
         where customer_id = (select customer_id from ledger where position = 1)",
        "update pools set balance = balance - 1
         where customer_id = (select customer_id from ledger where position = 1)",
        0,
    ),
];

#[tokio::test]
async fn verify_names_the_first_position_that_was_tampered_with() {
    let mut worker = TestWorker::start().await;
    write_twenty_entries(&worker).await;
    worker.stop_in_order().await;
    worker.assert_the_chain_holds().await;
    for (what, change, reversal, position) in TAMPERINGS {
        as_superuser(&worker, change).await;
        let verified = worker.place.credits(&["ledger", "verify"]).await;
        let said =
            format!("{}{}", String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
        assert_eq!(verified.status.code(), Some(1), "{what}: {said}");
        if position > 0 {
            let named = said.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty());
            assert_eq!(named, Some(position.to_string().as_str()), "{what}: the first number of: {said}");
        }
        as_superuser(&worker, reversal).await;
        worker.assert_the_chain_holds().await;
    }
}

/// What Postgres says to a role without the right, and what the trigger says to everybody else.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const RESTRICT_VIOLATION: &str = "23001";

#[tokio::test]
async fn the_database_refuses_to_change_the_ledger_whoever_asks() {
    let worker = TestWorker::start().await;
    write_twenty_entries(&worker).await;
    let repeated = payment_succeeded();
    worker.deliver_twice(&repeated).await;
    worker.assert_outcomes(&repeated, &["applied", "duplicate"]).await;
    for (role, refusal) in [("set role credits_worker", INSUFFICIENT_PRIVILEGE), ("reset role", RESTRICT_VIOLATION)] {
        for table in ["ledger", "inbox", "later_outcomes"] {
            let column = if table == "ledger" { "actor = actor" } else { "inbox_id = inbox_id" };
            for statement in
                [format!("update {table} set {column}"), format!("delete from {table}"), format!("truncate {table}")]
            {
                let mut connection = PgConnection::connect(&worker.place.database_url).await.unwrap();
                connection.execute(role).await.unwrap();
                let error = connection.execute(AssertSqlSafe(statement.clone())).await.expect_err(&statement);
                let code = error.as_database_error().and_then(DatabaseError::code).unwrap_or_default().into_owned();
                assert_eq!(code, refusal, "{statement} after {role}: {error}");
            }
        }
    }
    worker.assert_the_chain_holds().await;
}

/// Ten purchases with a refund each, one after the other: twenty entries.
async fn write_twenty_entries(worker: &TestWorker) {
    for _ in 0..10 {
        let payment = payment_succeeded();
        worker.publish(&payment).await;
        worker.wait_until_settled().await;
        worker.publish(&partial_refund_of(&payment, "4.90")).await;
        worker.wait_until_settled().await;
    }
    assert_eq!(worker.relay_stands().await, Ok((20, 20)), "entries");
}

/// Runs statements with triggers off, as only a superuser can.
async fn as_superuser(worker: &TestWorker, statements: &'static str) {
    let mut connection = PgConnection::connect(&worker.place.database_url).await.unwrap();
    connection.execute("set session_replication_role = replica").await.unwrap();
    connection.execute(statements).await.unwrap();
    connection.close().await.unwrap();
}
