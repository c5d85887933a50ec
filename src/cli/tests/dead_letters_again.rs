//! What people do about dead letters, and what must come of it.

use serde_json::{Value, json};

use super::{check, json, shown, steady};
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::store::tests::{TestDatabase, payment, refund};

const REPLAY: &str = "dead-letters replay --actor bob --yes";

/// Number and state of every dead letter, the oldest first.
async fn states(db: &TestDatabase) -> Vec<(String, String)> {
    let listed = json(db, "dead-letters list --all").await;
    let text = |letter: &Value, key: &str| letter[key].as_str().unwrap().to_owned();
    let mut states: Vec<_> =
        listed.as_array().unwrap().iter().map(|letter| (text(letter, "number"), text(letter, "state"))).collect();
    states.reverse();
    states
}

/// Everything that a replay could write.
async fn rows(db: &TestDatabase) -> i64 {
    let tables = ["ledger", "inbox", "outcomes", "grants", "message_keys", "names", "dead_letter_history"];
    let counts: Vec<String> = tables.iter().map(|table| format!("(select count(*) from {table})")).collect();
    db.number(&format!("select {}", counts.join(" + "))).await
}

#[tokio::test]
async fn a_dry_run_shows_entries_and_balances_and_writes_nothing() {
    let db = TestDatabase::new().await;
    db.take(&[payment("p0", "ada", "pack", 1)]).await;
    db.crash_on(&[payment("p1", "ada", "pack", 2)]).await;
    let before = rows(&db).await;
    let expected = "dead letter 1 would be taken: applied\n\
         pack × 2: 2000 credits by rule packs for payment p1\n\n\
         position customer id type credit type delta end balance grant id remaining requested shortfall cause reason\n\
         ada grant credits 2000 3000 <id> 2000 evt_p1 payment p1\n\n\
         customer id credit type balance before balance after\n\
         ada credits 1000 3000\n";
    check(&db, "dead-letters replay 1 --dry-run", expected).await;
    assert_eq!(rows(&db).await, before, "rows");
    assert_eq!(states(&db).await, [("1".to_owned(), "open".to_owned())]);
    db.drop().await;
}

#[tokio::test]
async fn a_replay_has_its_effect_once_and_says_who_did_it() {
    let db = TestDatabase::new().await;
    let pay = payment("p1", "ada", "pack", 1);
    db.crash_on(&[&pay]).await;
    let done = json(&db, &format!("{REPLAY} 1")).await;
    assert_eq!((&done[0]["outcome"], &done[0]["taken"]), (&json!("applied"), &json!(true)), "{done}");
    assert_eq!(done[0]["balances"][0]["balance_after"], "1000");
    assert_eq!(done[0]["entries"][0]["position"], "1");
    check(
        &db,
        "balance ada --limit 0",
        "credit type balance scheduled deferred as of\ncredits 1000 0 10.00 EUR <time>\n",
    )
    .await;

    let letter = json(&db, "dead-letters show 1").await;
    assert_eq!(letter["state"], "replayed");
    let act = &letter["history"][0];
    let said = ["act", "actor", "outcome", "reason"].map(|key| act[key].as_str().unwrap());
    assert_eq!(said, ["replay", "bob", "applied", "pack × 1: 1000 credits by rule packs for payment p1"]);
    assert_eq!(act["positions"], json!(["1"]));
    let text = steady(&shown(&db, "dead-letters show 1").await.unwrap());
    assert!(text.contains("<time> replay bob applied 1 pack × 1"), "{text}");

    let again = shown(&db, &format!("{REPLAY} 1")).await.unwrap();
    assert_eq!(again, "not taken: dead letter 1 is replayed already: `credits dead-letters show 1` says by whom\n");
    let discarded = shown(&db, "dead-letters discard 1 --actor eve --reason late").await.unwrap_err();
    assert!(discarded.contains("is replayed already"), "{discarded}");
    assert_eq!(db.number("select count(*) from ledger").await, 1);
    // The same bytes by the broker: the key is taken.
    assert_eq!(db.take(&[&pay]).await, [(Outcome::Duplicate, None)]);
    assert_eq!(json(&db, "dead-letters show 1").await["seen"], "1");
    db.drop().await;
}

#[tokio::test]
async fn the_list_shows_what_is_open_and_with_all_the_rest() {
    let db = TestDatabase::new().await;
    db.crash_on(&[payment("p1", "ada", "pack", 1), payment("p2", "ada", "pack", 1)]).await;
    db.take(&["no json"]).await;
    shown(&db, &format!("{REPLAY} 1")).await.unwrap();
    shown(&db, "dead-letters discard 3 --actor eve --reason noise").await.unwrap();
    let numbers = async |line: &str| -> Vec<String> {
        let listed = json(&db, line).await;
        listed.as_array().unwrap().iter().map(|letter| letter["number"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(numbers("dead-letters list").await, ["2"]);
    assert_eq!(numbers("dead-letters list --all").await, ["3", "2", "1"]);
    let discarded = json(&db, "dead-letters show 3").await;
    let said = ["act", "actor", "reason"].map(|key| discarded["history"][0][key].as_str().unwrap());
    assert_eq!((discarded["state"].as_str(), said), (Some("discarded"), ["discard", "eve", "noise"]));
    db.drop().await;
}

#[tokio::test]
async fn what_is_refused_again_stays_open_with_the_new_reason_and_is_counted() {
    let db = TestDatabase::new().await;
    let half = payment("p1", "ada", "pack", 1).replace("EUR", "XXQ");
    db.crash_on(&["no json".to_owned(), half]).await;
    db.take(&["bad json"]).await;
    for (number, code) in [(1, "malformed"), (2, "unknown-currency"), (3, "malformed")] {
        let before = json(&db, &format!("dead-letters show {number}")).await;
        let tried = shown(&db, &format!("dead-letters replay {number} --dry-run")).await.unwrap();
        assert!(tried.starts_with(&format!("dead letter {number} would be refused again ({code})\n")), "{tried}");
        for times in 1..=2 {
            let done = json(&db, &format!("{REPLAY} {number}")).await;
            assert_eq!((&done[0]["taken"], &done[0]["code"]), (&json!(false), &json!(code)), "{done}");
            let after = json(&db, &format!("dead-letters show {number}")).await;
            assert_eq!((&after["state"], &after["code"]), (&json!("open"), &json!(code)));
            assert_eq!(after["reason"], done[0]["reason"], "the newest reason");
            assert_eq!(after["history"].as_array().unwrap().len(), times, "each try is noted");
            for kept in ["seen", "first_seen_at", "last_seen_at", "body", "properties", "queue", "message_id"] {
                assert_eq!(after[kept], before[kept], "{kept}");
            }
        }
    }
    assert_eq!(json(&db, "dead-letters show 2").await["source"], "/billing", "what could be read now is added");
    assert_eq!(db.number("select count(*) from dead_letters").await, 3);
    db.drop().await;
}

#[tokio::test]
async fn a_message_that_the_database_refuses_stays_open_too() {
    let db = TestDatabase::new().await;
    db.crash_on(&[payment("p1", "ada", "pack", 1)]).await;
    db.damage("alter table grants add constraint grants_small check (amount < 1000)").await;
    let done = json(&db, &format!("{REPLAY} 1")).await;
    assert_eq!((&done[0]["taken"], &done[0]["code"]), (&json!(false), &json!("invalid-amount")), "{done}");
    let letter = json(&db, "dead-letters show 1").await;
    assert_eq!((&letter["state"], &letter["history"][0]["code"]), (&json!("open"), &json!("invalid-amount")));
    db.damage("alter table grants drop constraint grants_small").await;
    assert_eq!(json(&db, &format!("{REPLAY} 1")).await[0]["outcome"], "applied");
    db.drop().await;
}

#[tokio::test]
async fn one_that_a_stored_row_rules_out_stays_open_and_stops_no_other() {
    let db = TestDatabase::new().await;
    db.crash_on(&[payment("p1", "ada", "pack", 1), payment("p2", "bob", "pack", 1)]).await;
    db.damage("insert into pools (customer_id, credit_type, balance, sequence) values ('ada', 'credits', 0, 0)").await;
    let done = json(&db, &format!("{REPLAY} 1 2")).await;
    assert_eq!((&done[0]["taken"], &done[0]["code"]), (&json!(false), &json!("fact-conflict")), "{done}");
    assert_eq!(done[1]["outcome"], "applied", "{done}");
    let reason = json(&db, "dead-letters show 1").await["reason"].to_string();
    assert!(reason.contains("pools_pkey") && reason.contains("ada"), "names constraint and key: {reason}");
    db.drop().await;
}

#[tokio::test]
async fn a_message_that_was_taken_meanwhile_is_a_duplicate_and_closed() {
    let db = TestDatabase::new().await;
    let pay = payment("p1", "ada", "pack", 1);
    db.crash_on(&[&pay]).await;
    db.take(&[&pay]).await;
    let done = json(&db, &format!("{REPLAY} 1")).await;
    assert_eq!((&done[0]["outcome"], &done[0]["entries"]), (&json!("duplicate"), &json!([])), "{done}");
    assert_eq!(states(&db).await, [("1".to_owned(), "replayed".to_owned())]);
    assert_eq!(db.number("select count(*) from ledger").await, 1);
    db.drop().await;
}

#[tokio::test]
async fn a_discarded_one_that_comes_again_is_counted_and_opens_only_under_another_code() {
    let db = TestDatabase::new().await;
    let bad = payment("p1", "ada", "pack", 1).replace("10.00", "10.001");
    db.crash_on(&[&bad]).await;
    db.take(&["no json"]).await;
    for number in [1, 2] {
        shown(&db, &format!("dead-letters discard {number} --actor eve --reason noise")).await.unwrap();
    }
    db.take(&["no json".as_bytes()]).await;
    let same = json(&db, "dead-letters show 2").await;
    assert_eq!((&same["state"], &same["seen"]), (&json!("discarded"), &json!("2")));
    // Undecoded it has the name of its properties; what they name comes again under another code.
    db.damage("update dead_letters set message_id = 'evt_p1' where dead_letter_id = 1").await;
    db.take(&[&bad]).await;
    let other = json(&db, "dead-letters show 1").await;
    let said = ["state", "code", "seen"].map(|key| other[key].as_str().unwrap());
    assert_eq!(said, ["open", "invalid-amount", "2"]);
    db.drop().await;
}

#[tokio::test]
async fn a_replayed_refund_that_becomes_a_conflict_is_open_again() {
    let db = TestDatabase::new().await;
    let back = refund("r1", "p1", "2.50").replace("EUR", "USD");
    db.crash_on(&[&back]).await;
    // As if its id had been in the properties.
    db.damage("update dead_letters set message_id = 'evt_r1'").await;
    assert_eq!(json(&db, &format!("{REPLAY} 1")).await[0]["outcome"], "waiting");
    // The payment is in EUR: the refund stands back.
    assert_eq!(db.take(&[payment("p1", "ada", "pack", 1)]).await, [(Outcome::Applied, None)]);
    let letter = json(&db, "dead-letters show 1").await;
    let said = ["state", "code", "seen"].map(|key| letter[key].as_str().unwrap());
    assert_eq!(said, ["open", RefusalCode::FactConflict.name(), "2"]);
    assert_eq!(letter["history"].as_array().unwrap().len(), 1, "what was done stays on record");
    db.drop().await;
}

#[tokio::test]
async fn a_replayed_payment_lets_what_waited_for_it_take_effect() {
    let db = TestDatabase::new().await;
    db.take(&[refund("r1", "p1", "2.50")]).await;
    db.crash_on(&[payment("p1", "ada", "pack", 1)]).await;
    let done = json(&db, &format!("{REPLAY} 1")).await;
    let types: Vec<&str> =
        done[0]["entries"].as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["grant", "revoke"]);
    assert_eq!(
        (&done[0]["balances"][0]["balance_before"], &done[0]["balances"][0]["balance_after"]),
        (&json!("0"), &json!("750"))
    );
    db.drop().await;
}

#[tokio::test]
async fn all_of_a_code_are_taken_and_one_that_is_missing_stops_no_other() {
    let db = TestDatabase::new().await;
    db.crash_on(&[payment("p1", "ada", "pack", 1), payment("p2", "bob", "pack", 1)]).await;
    db.take(&["no json"]).await;
    db.crash_on(&[payment("p3", "cyd", "pack", 1)]).await;
    let done = json(&db, "dead-letters replay 99 4 --actor bob --yes").await;
    assert_eq!(done[0]["outcome"], "applied");
    assert_eq!(done[1]["error"], "there is no dead letter with the number 99");
    let done = json(&db, &format!("{REPLAY} --reason crashed-worker")).await;
    let numbers: Vec<&Value> = done.as_array().unwrap().iter().map(|done| &done["number"]).collect();
    assert_eq!(numbers, ["1", "2"]);
    assert_eq!(
        shown(&db, &format!("{REPLAY} --reason crashed-worker")).await.unwrap(),
        "no open dead letter is meant\n"
    );
    assert!(shown(&db, "dead-letters replay --actor bob").await.is_err(), "none is named");
    assert!(shown(&db, "dead-letters replay 3 --reason malformed --actor bob").await.is_err(), "named twice");
    db.drop().await;
}
