//! Every kind of damage is found, at its first position.

use sqlx::{Connection, Executor};

use super::{TestDatabase, payment, refund, signup};
use crate::store::read::Snapshot;
use crate::store::verify::Finding;

/// Nine entries of three customers in two commits.
async fn ledger() -> TestDatabase {
    let db = TestDatabase::new().await;
    db.take(&[
        payment("p1", "ada", "pack", 1),
        refund("r1", "p1", "2.50"),
        signup("ada"),
        payment("p2", "bob", "later", 1),
    ])
    .await;
    db.take(&[
        payment("p3", "cyd", "pack", 2),
        payment("p4", "cyd", "pack", 3),
        refund("r2", "p4", "15.00"),
        refund("r3", "p3", "20.00"),
        signup("cyd"),
    ])
    .await;
    db
}

async fn verify(db: &TestDatabase) -> Finding {
    let mut session = db.session().await;
    session.snapshot().await.unwrap().verify(&mut |_, _| {}).await.unwrap()
}

/// What is found after `sql` ran past all triggers. It is rolled back in the end.
async fn after(db: &TestDatabase, sql: &str) -> Finding {
    let mut session = db.database().connect_as_owner().await.unwrap();
    let mut tx = session.connection.begin().await.unwrap();
    let damage = format!("set local session_replication_role = replica; {sql}");
    tx.execute(sqlx::AssertSqlSafe(damage)).await.unwrap();
    Snapshot { tx }.verify(&mut |_, _| {}).await.unwrap()
}

/// Expects each damage to be found at its position, in its words.
async fn check(cases: &[(&str, i64, &str)]) {
    let db = ledger().await;
    for (sql, position, words) in cases {
        let Finding::Damaged(damage) = after(&db, sql).await else { panic!("not found: {sql}") };
        assert_eq!(damage.position, Some(*position), "{sql}: {damage}");
        assert!(damage.to_string().contains(words), "{sql}: {damage}");
    }
    assert_eq!(verify(&db).await, Finding::Sound { position: 9 });
    db.drop().await;
}

#[tokio::test]
async fn a_ledger_that_nobody_touched_is_sound() {
    let db = TestDatabase::new().await;
    assert_eq!(verify(&db).await, Finding::Sound { position: 0 });
    db.drop().await;
    let db = ledger().await;
    assert_eq!(verify(&db).await, Finding::Sound { position: 9 });
    db.drop().await;
}

#[tokio::test]
async fn a_changed_byte_is_found_in_every_column() {
    let db = ledger().await;
    for (column, value) in [
        ("entry_id", "'00000000-0000-0000-0000-000000000000'"),
        ("format", "format + 1"),
        ("customer_id", "'cye'"),
        ("credit_type", "'credit'"),
        ("sequence", "sequence + 100"),
        ("type", "'reinstate'"),
        ("delta", "delta - 1"),
        ("delta", "'NaN'"),
        ("delta", "'-Infinity'"),
        ("delta", "delta + 1e-30"),
        ("delta", "delta + 1e-5000"),
        ("delta", "delta + 0.0"),
        ("end_balance", "end_balance + 1"),
        ("grant_id", "'00000000-0000-0000-0000-000000000000'"),
        ("grant_id", "null"),
        ("grant_remaining", "grant_remaining + 1"),
        ("grant_remaining", "null"),
        ("grant_status", "'revoked'"),
        ("requested", "requested + 1"),
        ("requested", "null"),
        ("shortfall", "1"),
        ("actor", "'worker:refunds'"),
        ("reason", "reason || ' '"),
        ("reason", "null"),
        ("cause_source", "'/billing/'"),
        ("cause_id", "'evt'"),
        ("cause_type", "'refunds'"),
        ("effective_at", "effective_at + '1 microsecond'"),
        ("effective_at", "'infinity'"),
        ("recorded_at", "recorded_at + '1 microsecond'"),
        ("recorded_at", "'-infinity'"),
        ("counts_at", "counts_at - interval '1 day'"),
        ("counts_at", "'294000-01-01'"),
        ("amount", "1"),
        ("basis", "1"),
        ("category", "'paid'"),
        ("priority", "50"),
        ("cost_amount", "1"),
        ("cost_currency", "'EUR'"),
        ("starts_at", "now()"),
        ("expires_at", "now()"),
        ("price_id", "'pack'"),
        ("rule", "'packs'"),
        ("rules_hash", "'\\xab'"),
        ("replaces", "'00000000-0000-0000-0000-000000000000'"),
        ("hash", "set_byte(hash, 31, 255 - get_byte(hash, 31))"),
    ] {
        let sql = format!("update ledger set {column} = {value} where position = 7");
        let Finding::Damaged(damage) = after(&db, &sql).await else { panic!("not found: {sql}") };
        assert_eq!(damage.position, Some(7), "{sql}: {damage}");
    }
    db.drop().await;
}

#[tokio::test]
async fn a_row_that_was_cut_out_is_missing_at_its_position() {
    check(&[
        ("delete from ledger where position = 5", 5, "missing: position 6 follows on 4"),
        ("delete from ledger where position = 1", 1, "missing"),
        ("delete from ledger where position = 9", 9, "missing: the head says that the ledger ends at position 9"),
        ("delete from ledger", 1, "missing"),
        ("update ledger set position = 12 where position = 5", 5, "missing"),
        ("update ledger set position = 0 where position = 5", 0, "positions start with 1"),
    ])
    .await;
}

#[tokio::test]
async fn two_swapped_rows_are_found_at_the_first() {
    let swap = "update ledger set position = -position where position in (3, 7);
                update ledger set position = 10 + position where position in (-3, -7)";
    check(&[(swap, 3, "hash")]).await;
}

#[tokio::test]
async fn a_row_that_was_added_is_found() {
    let add = "create temp table added as select * from ledger where position = 9;
               update added set position = 10, sequence = sequence + 1; insert into ledger select * from added";
    check(&[(add, 10, "hash")]).await;
}

#[tokio::test]
async fn the_head_has_to_agree() {
    check(&[
        ("update ledger_head set position = 8", 9, "the head says"),
        ("update ledger_head set position = 10", 10, "missing"),
        ("update ledger_head set hash = '\\xab'", 9, "hash: not that of the head"),
        ("update ledger_head set recorded_at = now() + '1 day'", 9, "of the head"),
    ])
    .await;
}

#[tokio::test]
async fn pools_have_to_agree() {
    check(&[
        ("update pools set balance = balance + 1 where customer_id = 'cyd'", 9, "pool cyd credits has balance"),
        ("update pools set sequence = 99 where customer_id = 'cyd'", 9, "is at sequence 99"),
        ("delete from pools where customer_id = 'cyd'", 9, "pool cyd credits has no row"),
        ("delete from accounts where customer_id = 'cyd'", 9, "pool cyd credits has no account"),
        // Bob's grant starts in 30 days: were the account settled to later than that, it would have to count.
        ("update accounts set settled_to = now() + '60 days' where customer_id = 'bob'", 4, "active grants hold 12.5"),
    ])
    .await;
}

#[tokio::test]
async fn grants_have_to_agree() {
    let shifted = "alter table grants drop constraint grants_remaining;
                   update grants set remaining = remaining - 1 where cause_id = 'evt_p4';
                   update grants set remaining = remaining + 1 where cause_id = 'evt_cyd'";
    check(&[
        ("update grants set amount = 9999 where cause_id = 'evt_p3'", 5, "has another amount"),
        (
            "update grants set expires_at = null, reason = 'x' where cause_id = 'evt_p3'",
            5,
            "another expires_at, reason",
        ),
        ("update grants set customer_id = 'bob' where cause_id = 'evt_p3'", 5, "has another customer_id"),
        ("delete from grants where cause_id = 'evt_p3'", 5, "has no row"),
        ("update grants set revoked = 1 where cause_id = 'evt_p3'", 8, "has revoked 1, 2000 by its entries"),
        (shifted, 7, "has remaining 1499, 1500"),
    ])
    .await;
}

#[tokio::test]
async fn rows_that_the_ledger_does_not_know_are_named_without_a_position() {
    let grant = "create temp table more as select * from grants where cause_id = 'evt_p2';
                 update more set grant_id = '00000000-0000-0000-0000-000000000000', purchase_id = null;
                 insert into grants select * from more";
    let db = ledger().await;
    for (sql, words) in [
        ("insert into pools values ('eve', 'credits', 5, 1)", "pool eve credits has no entries"),
        (grant, "grant 00000000-0000-0000-0000-000000000000 has no entries"),
    ] {
        let Finding::Damaged(damage) = after(&db, sql).await else { panic!("not found: {sql}") };
        assert_eq!((damage.position, damage.to_string().as_str()), (None, words));
    }
    db.drop().await;
}

#[tokio::test]
async fn the_worker_may_not_change_the_ledger() {
    let db = ledger().await;
    for table in ["ledger", "inbox", "later_outcomes", "rules_files", "dead_letter_history"] {
        let column = if table == "rules_files" { "text" } else { "reason" };
        let column = if table == "inbox" { "queue" } else { column };
        for sql in [
            format!("update {table} set {column} = 'x'"),
            format!("delete from {table}"),
            format!("truncate {table}"),
            format!("alter table {table} disable trigger all"),
        ] {
            let refused = db.try_as_worker(&sql).await.unwrap_err();
            assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{sql}: {refused}");
        }
    }
    db.drop().await;
}

#[tokio::test]
async fn the_worker_may_not_change_what_a_dead_letter_said() {
    let db = TestDatabase::new().await;
    db.take(&["no json"]).await;
    for sql in
        ["update dead_letters set body = 'x'", "update dead_letters set properties = '{}'", "delete from dead_letters"]
    {
        let refused = db.try_as_worker(sql).await.unwrap_err();
        assert!(refused.contains("permission denied"), "{sql}: {refused}");
    }
    db.drop().await;
}

#[tokio::test]
async fn the_owner_is_stopped_by_triggers() {
    let db = ledger().await;
    db.take(&["no json".to_owned(), payment("p1", "ada", "pack", 1)]).await;
    let sql = "insert into dead_letter_history (dead_letter_id, act, actor, reason, positions)
               values (1, 'discard', 'ada', 'noise', '{}')";
    db.try_as_worker(sql).await.unwrap();
    let columns = ["reason", "queue", "reason", "actor"];
    for (table, column) in ["ledger", "inbox", "later_outcomes", "dead_letter_history"].into_iter().zip(columns) {
        for (verb, sql) in [
            ("UPDATE", format!("update {table} set {column} = 'x'")),
            ("DELETE", format!("delete from {table}")),
            ("TRUNCATE", format!("truncate {table}")),
        ] {
            let refused = db.try_as_owner(&sql).await.unwrap_err();
            assert!(refused.contains(&format!("{table} is append-only: {verb} is refused")), "{sql}: {refused}");
        }
    }
    assert_eq!(verify(&db).await, Finding::Sound { position: 9 });
    db.drop().await;
}
