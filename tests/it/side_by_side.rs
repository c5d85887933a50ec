//! Several lanes and processes on the same purchases and customers: nothing is seen half, nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use crate::fixtures::{BillingMessage, partial_refund_of, payment_succeeded};
use crate::generator::load;
use crate::harness::{LIMIT, Random, TestWorker, until};

const PAIRS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_and_its_payment_at_the_same_moment_never_miss_each_other() {
    let mut random = Random::new(Random::seed_from("CREDITS_TEST_PAIR_SEED"));
    let mut worker = TestWorker::start().await;
    worker.start_second().await;

    // Each pair on its two queues at once, and confirmed before the next: light load, so each is a batch of its own.
    let mut refunds = Vec::with_capacity(PAIRS);
    for _ in 0..PAIRS {
        let payment = payment_succeeded();
        let refund = partial_refund_of(&payment, "24.50");
        let mut pair = [payment, refund.clone()];
        random.shuffle(&mut pair);
        worker.publish_all(&pair).await;
        refunds.push(refund);
    }

    worker.wait_until_settled().await;
    let grants = "select count(*) from grants where amount = 1000 and remaining = 500";
    assert_eq!(worker.number(grants).await, Ok(i64::try_from(PAIRS).unwrap()), "grants with half taken back");
    assert_eq!(worker.number("select count(*) from grants").await, Ok(i64::try_from(PAIRS).unwrap()), "grants");
    let waiting = "select count(*) from purchases where waiting_since is not null";
    assert_eq!(worker.number(waiting).await, Ok(0), "purchases whose refund waits");
    assert!(worker.dead_letters().await.is_empty(), "nothing is refused");
    let mut waited = 0;
    for refund in &refunds {
        let outcomes = worker.outcomes(refund.id().unwrap()).await;
        assert_eq!(outcomes.last().map(String::as_str), Some("applied"), "{:?}: {outcomes:?}", refund.id());
        waited += usize::from(outcomes.len() > 1);
    }
    println!("{waited} of {PAIRS} refunds came before their payment");
    assert!((1..PAIRS).contains(&waited), "both came first at times: the refund {waited} of {PAIRS} times");
    worker.assert_events_are_the_ledger().await;
    worker.assert_the_books_balance().await;
    worker.assert_the_chain_holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_hot_customer_come_to_exact_totals() {
    let mut worker = TestWorker::start().await;
    worker.start_second().await;
    let load = load(Random::seed_from("CREDITS_TEST_HOT_SEED"), 3000, 1);
    worker.publish_all(&load.messages).await;
    worker.assert_all_promises(&load.expected).await;
}

/// The frozen process keeps its locks, its lock on publishing and its deliveries until database and broker give up on
/// it: after 30 s of silence in a transaction, after 15 s without a word of the relay, after two heartbeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_publishing_process_is_frozen_the_other_takes_over_and_the_thawed_one_does_no_harm() {
    let mut worker = TestWorker::start().await;
    worker.start_second().await;
    let load = load(Random::seed_from("CREDITS_TEST_FREEZE_SEED"), 3000, 100);
    let broker = Arc::clone(&worker.broker);
    tokio::join!(broker.publish_all(&load.messages), freeze_the_publisher(&mut worker));
    worker.settled_within(Duration::from_mins(2)).await;
    for process in worker.processes() {
        process.thaw();
    }
    worker.assert_all_promises(&load.expected).await;
}

async fn freeze_the_publisher(worker: &mut TestWorker) {
    until("some messages are handled", LIMIT, async || match worker.handled().await? {
        handled if handled > 500 => Ok(()),
        handled => Err(format!("{handled}")),
    })
    .await;
    for process in worker.processes() {
        if process.metric("credits_relay_published_total").await.unwrap() > 0.0 {
            return process.freeze();
        }
    }
    panic!("neither process publishes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_loses_nothing() {
    let mut worker = TestWorker::start().await;
    let load = load(Random::seed_from("CREDITS_TEST_ROLLING_SEED"), 3000, 100);
    let parts: Vec<&[BillingMessage]> = load.messages.chunks(load.messages.len() / 3).collect();
    for part in parts {
        worker.publish_all(part).await;
        worker.start_second().await;
        worker.stop_the_oldest().await;
    }
    worker.assert_all_promises(&load.expected).await;
}
