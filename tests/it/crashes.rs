//! Processes that die at a chosen place, and messages that kill them.

use std::time::Duration;

use crate::fixtures::{BillingMessage, payment_succeeded};
use crate::generator::load;
use crate::harness::{Exit, LIMIT, Random, Setup, until};

const SIGABRT: i32 = 6;
/// Starts after which a message that kills every process has to be out of the way: twice in a batch, three times alone.
const MOST_STARTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_kills_every_process_is_dead_lettered_and_its_neighbours_are_not() {
    let killer = payment_succeeded();
    let id = killer.id().unwrap().to_owned();
    let neighbours: Vec<BillingMessage> = (0..40).map(|_| payment_succeeded()).collect();
    let mut worker = Setup::default().with("CREDITS_TEST_CRASH_ON", &id).prepare().await;
    worker.declare_queues().await;
    worker.publish_all(&neighbours[..20]).await;
    worker.publish(&killer).await;
    worker.publish_all(&neighbours[20..]).await;

    let mut deaths = 0;
    loop {
        worker.start_process();
        let done = until("it dies or the message is out of the way", LIMIT, async || {
            if !worker.dead_letters().await.is_empty() {
                return Ok(true);
            }
            if worker.process().is_running() { Err("neither".to_owned()) } else { Ok(false) }
        })
        .await;
        if done {
            break;
        }
        deaths += 1;
        assert_eq!(worker.process().ended(LIMIT).await.0, Exit::Signal(SIGABRT), "{}", worker.process().log());
        worker.kill();
        assert!(deaths < MOST_STARTS, "{deaths} processes died on it, and it is no dead letter");
    }
    println!("{deaths} processes died");
    assert!(deaths >= 3, "a dead letter after {deaths} deaths: three have to die on it alone");

    worker.assert_dead_letter(&killer, "crashed-worker").await;
    assert_eq!(worker.dead_letters().await.len(), 1, "neighbours are not refused");
    for neighbour in &neighbours {
        worker.assert_balance(neighbour.customer(), "credits", "1000").await;
    }
    // A neighbour that was committed and not acknowledged comes again, and may be noted at this moment.
    worker.stop_with_empty_queues().await;
    assert_eq!(worker.number("select count(*) from attempts").await, Ok(0), "attempts that are left");

    // What killed processes is no more: the original bytes are decoded now.
    let replay = ["dead-letters", "replay", "--reason", "crashed-worker", "--actor", "ada", "--yes"];
    let replayed = worker.place.credits(&replay).await;
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    assert_eq!(worker.grants(killer.customer()).await, [("1000".to_owned(), "1000".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_crashes_in_a_row_with_full_hands_refuse_no_good_message() {
    let load = load(Random::seed_from("CREDITS_TEST_ROW_SEED"), 600, 50);
    let mut worker = Setup::default().with("CREDITS_TEST_CRASH_AT", "received").prepare().await;
    worker.declare_queues().await;
    worker.publish_all(&load.messages).await;
    for crash in 1..=20 {
        worker.start_process();
        let (exit, _) = worker.process().ended(LIMIT).await;
        assert_eq!(exit, Exit::Signal(SIGABRT), "crash {crash}: {}", worker.process().log());
        worker.kill();
    }
    worker.environment.clear();
    worker.start_process();
    worker.assert_all_promises(&load.expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_step_has_one_effect() {
    for point in ["received", "in-transaction", "committed", "published", "confirmed"] {
        die_at(point).await;
    }
}

/// The first process dies at that point, on the way in or on the way out; another one finishes.
async fn die_at(point: &str) {
    let load = load(Random::seed_from("CREDITS_TEST_POINT_SEED"), 200, 20);
    let mut worker = Setup::default().with("CREDITS_TEST_CRASH_AT", point).prepare().await;
    worker.declare_queues().await;
    worker.publish_all(&load.messages).await;
    worker.start_process();
    let (exit, _) = worker.process().ended(Duration::from_secs(30)).await;
    assert_eq!(exit, Exit::Signal(SIGABRT), "at {point}: {}", worker.process().log());
    worker.kill();
    worker.environment.clear();
    worker.start_process();
    worker.assert_all_promises(&load.expected).await;
}
