//! Bodies that are no messages: one dead letter each with the original bytes, and a worker that stays small.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fixtures::{BillingMessage, payment_succeeded, raw};
use crate::harness::{Random, TestWorker};

const RANDOM_BODIES: usize = 1000;
const HUGE: usize = 20 << 20;
const DEEP: usize = 10_000;
/// How far above its idle memory a worker may ever get, in KiB.
const MEMORY: u64 = 150 << 10;
const SETTLED: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn huge_deep_and_random_bodies_become_dead_letters_with_their_bytes() {
    let mut random = Random::new(Random::seed_from("CREDITS_TEST_BODY_SEED"));
    let mut worker = TestWorker::start().await;
    let idle = worker.process().memory("VmRSS");
    let mut bodies: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
    bodies.insert(vec![b'x'; HUGE], "too-large");
    bodies.insert([vec![b'['; DEEP], vec![b']'; DEEP]].concat(), "malformed");
    bodies.insert("{\"data\":".repeat(DEEP).into_bytes(), "malformed");
    while bodies.len() < RANDOM_BODIES + 3 {
        let length = random.below(2000) + 8;
        bodies.insert(random.bytes(length), "malformed");
    }

    let messages: Vec<BillingMessage> = bodies.keys().cloned().map(raw).collect();
    worker.publish_all(&messages).await;
    worker.settled_within(SETTLED).await;

    let letters = worker.dead_letters().await;
    assert_eq!(letters.len(), bodies.len(), "one dead letter each");
    for letter in &letters {
        let code = bodies.get(&letter.body).copied();
        assert_eq!(Some(letter.code.as_str()), code, "of {} bytes: {}", letter.body.len(), letter.reason);
        assert_eq!(letter.queue, worker.place.name("payment-succeeded"), "the queue it came by");
    }
    let peak = worker.process().memory("VmHWM");
    println!("idle {} MiB, peak {} MiB", idle >> 10, peak >> 10);
    assert!(peak <= idle + MEMORY, "memory went from {idle} KiB when idle to {peak} KiB");

    let payment = payment_succeeded();
    worker.publish(&payment).await;
    worker.assert_balance(payment.customer(), "credits", "1000").await;
}

/// A message's worth of strange bodies that are JSON, in the envelope or below it.
#[tokio::test]
async fn strange_values_are_refused_and_never_rounded() {
    let worker = TestWorker::start().await;
    let amount = |text: &str| with_amount(text);
    let cases: Vec<(BillingMessage, &str)> = vec![
        (raw(Vec::new()), "malformed"),
        (raw(b"null".to_vec()), "malformed"),
        (raw(b"\xef\xbb\xbf{}".to_vec()), "malformed"),
        (raw(b"{\"id\":\"\xff\xfe\"}".to_vec()), "malformed"),
        (raw(doubled_key()), "malformed"),
        (amount("1e400"), "invalid-amount"),
        (amount("-0.01"), "invalid-amount"),
        (amount("0"), "invalid-amount"),
        (amount("\"1_000\""), "invalid-amount"),
        (amount("\"+1\""), "invalid-amount"),
        (amount("\" 1\""), "invalid-amount"),
        (amount("\"NaN\""), "invalid-amount"),
        (amount("\"１２\""), "invalid-amount"),
        (amount("\"0.001\""), "invalid-amount"),
        (amount("\"1000000000000000\""), "invalid-amount"),
        (amount("\"1234567890123456789012345678901234567890\""), "invalid-amount"),
        (payment_succeeded().with("customer_id", "c".repeat(256)), "invalid-field"),
        (payment_succeeded().with("currency", "usd"), "unknown-currency"),
        (payment_succeeded().under_id(&"i".repeat(256)), "invalid-field"),
    ];
    let messages: Vec<BillingMessage> = cases.iter().map(|(message, _)| message.clone()).collect();
    worker.publish_all(&messages).await;
    for (message, code) in &cases {
        worker.assert_dead_letter(message, code).await;
    }
    assert_eq!(worker.number("select count(*) from inbox").await, Ok(0), "nothing is kept");
}

/// A payment whose amount is written so, as JSON.
fn with_amount(json: &str) -> BillingMessage {
    let text = String::from_utf8(payment_succeeded().body().to_vec()).unwrap();
    let changed = text.replacen("\"amount\":\"49.00\",\"currency\"", &format!("\"amount\":{json},\"currency\""), 1);
    assert_ne!(changed, text, "the amount was found");
    raw(changed.into_bytes())
}

fn doubled_key() -> Vec<u8> {
    let text = String::from_utf8(payment_succeeded().body().to_vec()).unwrap();
    text.replacen("{\"data\":{", "{\"data\":{\"currency\":\"EUR\",", 1).into_bytes()
}
