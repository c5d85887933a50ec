//! Credits by hand: with one key a verb has one effect, whoever runs it at the same time, and every run prints it.

use std::process::Output;

use serde_json::Value;

use crate::harness::{Setup, TestWorker};

const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_one_key_one_has_the_effect_and_both_print_it() {
    let worker = Setup::default().prepare().await;
    let mut entries = 0;
    for round in 0..ROUNDS {
        let customer = format!("cus_{round}");
        let (key, when) = (format!("{round}-grant"), "--expires-after");
        let paid = ["--category", "paid", "--unit-cost", "0.049", "--currency", "USD", when, "365d"];
        let grant = [["grant", &customer, "1000", "--type", "credits"].as_slice(), &paid].concat();
        let granted = twice_at_once(&worker, &grant, &key).await;
        entries += 1;
        assert_eq!(worker.entries().await, entries, "grant, round {round}");
        let id = granted["grant"]["grant_id"].as_str().unwrap().to_owned();

        let regranted = twice_at_once(&worker, &["regrant", &id, when, "730d"], &format!("{round}-regrant")).await;
        entries += 2;
        assert_eq!(worker.entries().await, entries, "regrant, round {round}");
        let id = regranted["grant"]["grant_id"].as_str().unwrap().to_owned();

        let revoke = ["revoke", &id, "--amount", "300", "--reason", "mistake"];
        let revoked = twice_at_once(&worker, &revoke, &format!("{round}-revoke")).await;
        entries += 1;
        assert_eq!(worker.entries().await, entries, "revoke, round {round}");
        let balances = [&granted, &regranted, &revoked].map(|one| one["balance_after"].as_str().unwrap());
        assert_eq!(balances, ["1000", "1000", "700"]);
        assert_eq!(worker.balance(&customer, "credits").await.as_deref(), Some("700"));
    }
    assert_eq!(worker.number("select count(*) from dead_letters").await, Ok(0));
    worker.assert_the_books_balance().await;
    worker.assert_the_chain_holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_that_dies_has_done_all_or_nothing_and_to_run_it_again_does_no_harm() {
    for (point, entries) in [("in-transaction", 0), ("committed", 1)] {
        let worker = Setup::default().prepare().await;
        let line = ["grant", "ada", "5", "--type", "credits", "--category", "promotional"];
        let line = [line.as_slice(), &["--actor", "ann", "--idempotency-key", "k", "--yes"]].concat();
        let mut command = worker.place.command(&line);
        command.env("CREDITS_TEST_CRASH_AT", point);
        let died = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(died.status.code(), None, "at {point}: {}", words(&died.stderr));
        assert_eq!(worker.entries().await, entries, "after {point}");
        let again = worker.place.credits(&line).await;
        assert!(again.status.success(), "after {point}: {}", words(&again.stderr));
        assert_eq!(worker.entries().await, 1, "after {point} and again");
        worker.assert_the_chain_holds().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_verb_writes_is_published_by_the_running_worker() {
    let worker = TestWorker::start().await;
    let line = ["grant", "ada", "5", "--type", "credits", "--category", "promotional", "--actor", "ann", "--yes"];
    let mut command = worker.place.command(&line);
    command.env("AMQP_URL", "amqp://127.0.0.1:1");
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(done.status.success(), "{}", words(&done.stderr));
    worker.assert_published(&["grant"]).await;
    worker.assert_events_are_the_ledger().await;
}

/// Runs a verb twice with one key. While the ledger's head is held the one has come as far as that, and the other as
/// far as the first one's key. Both succeed and print the same, which it gives.
async fn twice_at_once(worker: &TestWorker, line: &[&str], key: &str) -> Value {
    let line = [line, &["--actor", "ann", "--idempotency-key", key, "--yes", "--json"]].concat();
    let mut held = worker.place.pool.begin().await.unwrap();
    sqlx::query("select from ledger_head for update").execute(&mut *held).await.unwrap();
    let release = async {
        worker.wait_for_waiting(2).await;
        held.rollback().await.unwrap();
    };
    let (a, b, ()) = tokio::join!(worker.place.credits(&line), worker.place.credits(&line), release);
    for done in [&a, &b] {
        assert!(done.status.success(), "{line:?}: {}", words(&done.stderr));
    }
    assert_eq!(words(&a.stdout), words(&b.stdout), "{line:?}");
    let told = |done: &Output| words(&done.stderr).contains("nothing is written");
    assert_ne!(told(&a), told(&b), "one of them is told: {} {}", words(&a.stderr), words(&b.stderr));
    serde_json::from_slice(&a.stdout).unwrap()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl TestWorker {
    async fn entries(&self) -> i64 {
        self.number("select count(*) from ledger").await.unwrap()
    }
}
