//! The ways in which one message may arrive: they all mean the same.

use crate::fixtures::{BillingMessage, payment_succeeded, signup};
use crate::harness::TestWorker;

#[tokio::test]
async fn the_envelope_may_be_in_the_body_in_properties_or_in_headers() {
    let worker = TestWorker::start().await;
    let ways: [fn(BillingMessage) -> BillingMessage; 3] = [
        BillingMessage::in_properties,
        |message| message.in_headers("cloudEvents:"),
        |message| message.in_headers("cloudEvents_"),
    ];
    for way in ways {
        let payment = payment_succeeded();
        worker.publish_all(&[way(payment.clone()), payment.clone()]).await;
        worker.assert_outcomes(&payment, &["applied", "duplicate"]).await;
        worker.assert_balance(payment.customer(), "credits", "1000").await;
    }
}

#[tokio::test]
async fn the_type_decides_what_a_message_is_whatever_queue_it_came_by() {
    let worker = TestWorker::start().await;
    let astray = signup().into_queue("refund");
    worker.publish(&astray).await;
    worker.assert_balance(astray.customer(), "credits", "100").await;
}

#[tokio::test]
async fn what_the_broker_dead_lettered_is_handled_and_not_refused_unseen() {
    let worker = TestWorker::start().await;
    let (good, bad) = (payment_succeeded(), payment_succeeded().with("amount", "-1.00"));
    worker.publish_all(&[good.clone().into_queue("dead-letters"), bad.clone().into_queue("dead-letters")]).await;
    worker.assert_balance(good.customer(), "credits", "1000").await;
    worker.assert_dead_letter(&bad, "invalid-amount").await;
}
