//! The samples in the order of the demo, and each bad one with the reason that it is refused for.

use std::collections::BTreeMap;

use crate::fixtures::{BillingMessage, good_samples, sample, sample_names};
use crate::harness::{LIMIT, Setup, TestWorker, until};

/// The bad samples and their reason codes.
const REFUSED: [(&str, &str); 10] = [
    ("bad/same-id-other-amount.json", "idempotency-conflict"),
    ("bad/same-payment-other-amount.json", "fact-conflict"),
    ("bad/float-amount.json", "invalid-amount"),
    ("bad/negative-amount.json", "invalid-amount"),
    ("bad/too-many-places.json", "invalid-amount"),
    ("bad/unknown-currency.json", "unknown-currency"),
    ("bad/unknown-type.json", "unsupported-type"),
    ("bad/missing-customer.json", "invalid-field"),
    ("bad/not-json.txt", "malformed"),
    ("bad/nul-escape.json", "malformed"),
];

#[tokio::test]
async fn the_good_samples_twice_and_then_the_bad_ones_have_the_expected_outcomes() {
    let worker = TestWorker::start().await;
    for round in [good_samples(), good_samples(), bad_samples()] {
        publish_one_by_one(&worker, &round).await;
    }
    let counts = worker.outcome_counts().await;
    let expected =
        [("applied", 10), ("dead-lettered", 10), ("duplicate", 10)].map(|(word, count)| (word.into(), count));
    assert_eq!(counts, BTreeMap::from(expected), "the outcomes of 30 deliveries");
    for (name, code) in REFUSED {
        worker.assert_dead_letter(&sample(name), code).await;
    }
    assert_eq!(worker.dead_letters().await.len(), REFUSED.len(), "one dead letter each");
}

/// The two conflicts are conflicts only after the good sample of the same id; before it they are the ones that count.
#[tokio::test]
async fn of_two_messages_that_contradict_the_later_is_the_conflict() {
    let worker = TestWorker::start().await;
    let (other, good) = (sample("bad/same-payment-other-amount.json"), sample("payment-succeeded.pack.json"));
    publish_one_by_one(&worker, &[other.clone(), good.clone()]).await;
    worker.assert_outcomes(&other, &["applied"]).await;
    worker.assert_dead_letter(&good, "fact-conflict").await;
    let reason = worker.dead_letters().await.remove(0).reason;
    assert!(reason.contains("59") && reason.contains("49"), "the reason shows both sides: {reason}");
}

#[tokio::test]
async fn the_demo_counts_every_delivery_and_leaves_no_process() {
    let prepared = Setup::default().without_events_queue().prepare().await;
    let demo = prepared.place.credits(&["demo"]).await;
    let shown = String::from_utf8_lossy(&demo.stdout).into_owned();
    let said = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "credits demo: {}\n{shown}\n{said}", demo.status);
    let last = shown.lines().last().unwrap_or_default();
    let counts = "demo ok: 30 received, 10 applied, 10 duplicate, 0 ignored, 0 waiting, 10 dead-lettered; ";
    let head = prepared.number("select position from ledger_head").await.unwrap();
    assert_eq!(last, format!("{counts}ledger verified to position {head}; {head} events published"), "{shown}");
    for word in ["cus_ada", "cus_kei", "cus_bob", "cus_cyd", "cus_dee", "idempotency-conflict", "malformed"] {
        assert!(shown.contains(word), "{word} is not shown:\n{shown}");
    }
}

fn bad_samples() -> Vec<BillingMessage> {
    let names = sample_names("bad/");
    assert_eq!(names.len(), REFUSED.len(), "every bad sample has its reason code");
    names.iter().map(|name| sample(name)).collect()
}

async fn publish_one_by_one(worker: &TestWorker, messages: &[BillingMessage]) {
    for message in messages {
        worker.publish(message).await;
        let published = worker.broker.published().deliveries;
        until("the message is handled", LIMIT, async || match worker.handled().await? {
            handled if handled == published => Ok(()),
            handled => Err(format!("{handled} of {published} deliveries are handled, {:?} is not", message.id())),
        })
        .await;
    }
}
