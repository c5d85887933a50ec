//! Events that the broker refuses or cannot route: the relay goes back, waits, and keeps the order.

use std::time::Duration;

use crate::fixtures::{BillingMessage, payment_succeeded};
use crate::generator::load;
use crate::harness::{LIMIT, Random, Setup, TestWorker, until};

/// A queue that takes so many events and refuses the rest.
const ROOM: i32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_a_full_queue_refuses_are_published_again_in_order() {
    // The broker gives no verdict at all on some events of a queue that is deleted at last.
    let worker = Setup::default().with("CREDITS_RELAY_CONFIRM_TIMEOUT", "5s").with("CREDITS_RELAY_IN_FLIGHT", "200");
    let mut worker = worker.start().await;
    worker.broker.bind_events("full", Some(ROOM)).await;
    let load = load(Random::seed_from("CREDITS_TEST_NACK_SEED"), 2000, 100);
    worker.publish_all(&load.messages).await;
    worker.handled_within(LIMIT).await;

    // Room for a part each time, so that every stretch ends in the middle of what is in flight. What the relay had in
    // flight behind the refusal may take the room first: then there has to be more.
    for _ in 0..5 {
        let (before, head) = worker.relay_stands().await.unwrap();
        assert!(before < head, "the full queue held nothing up: {before} of {head}");
        until("the relay moves on where there is room", LIMIT, async || match worker.relay_stands().await? {
            (cursor, _) if cursor > before => Ok(()),
            stands => {
                let ready = worker.broker.ready("full").await?;
                if i64::from(ready) >= i64::from(ROOM) {
                    worker.broker.purge("full").await?;
                }
                Err(format!("{stands:?}, {ready} events in the full queue"))
            }
        })
        .await;
    }
    let refused = worker.process().metric("credits_retries_total{kind=\"publish\"}").await.unwrap();
    assert!(refused >= 1.0, "refused stretches are counted: {refused}");
    worker.broker.delete_queue("full").await;
    worker.wait_until_settled().await;
    let published = worker.process().metric("credits_relay_published_total").await.unwrap();
    let (_, head) = worker.relay_stands().await.unwrap();
    assert_eq!(published.to_string(), head.to_string(), "each event counts once, those before a refused one too");
    worker.assert_all_promises(&load.expected).await;
}

#[tokio::test]
async fn events_without_a_queue_wait_while_consuming_goes_on_and_leave_once_one_is_bound() {
    let mut worker = Setup::default().without_events_queue().start().await;
    let payments: Vec<BillingMessage> = (0..10).map(|_| payment_succeeded()).collect();
    worker.publish_all(&payments[..5]).await;
    until_unroutable(&mut worker, 1.0).await;
    worker.publish_all(&payments[5..]).await;
    worker.handled_within(LIMIT).await;
    assert_eq!(worker.relay_stands().await, Ok((0, 10)), "nothing is marked as published");
    let (status, body) = worker.process().get("/readyz").await.unwrap();
    assert_eq!(status, 200, "the worker itself lacks nothing: {body}");
    until("the age of the oldest event grows", LIMIT, async || {
        let age = worker.process().metric("credits_relay_lag_seconds").await?;
        if age > 0.0 { Ok(()) } else { Err(format!("{age} s")) }
    })
    .await;

    worker.bind_events().await;
    worker.wait_until_settled().await;
    until_unroutable(&mut worker, 0.0).await;
    worker.assert_events_are_the_ledger().await;
    worker.assert_published(&["grant"; 10]).await;
}

#[tokio::test]
async fn with_unroutable_count_events_that_nobody_wants_count_as_published() {
    let worker = Setup::default().without_events_queue().with("CREDITS_RELAY_UNROUTABLE", "count").start().await;
    worker.publish(&payment_succeeded()).await;
    worker.wait_until_settled().await;
}

async fn until_unroutable(worker: &mut TestWorker, wanted: f64) {
    let limit = Duration::from_secs(20);
    until("the gauge says whether events are unroutable", limit, async || {
        let gauge = worker.process().metric("credits_relay_unroutable").await?;
        if (gauge - wanted).abs() < 0.5 { Ok(()) } else { Err(format!("it says {gauge}, not {wanted}")) }
    })
    .await;
}
