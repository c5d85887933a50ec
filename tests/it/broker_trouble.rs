//! A broker that is up but not as expected: said in words, and mended by itself once it is as it should be.

use crate::fixtures::payment_succeeded;
use crate::harness::{LIMIT, Setup, TestWorker, until};

#[tokio::test]
async fn a_queue_that_is_deleted_is_declared_again_and_consumed() {
    let worker = TestWorker::start().await;
    worker.broker.delete_queue("payment-succeeded").await;
    until("the queue is back", LIMIT, async || worker.broker.ready("payment-succeeded").await).await;
    let payment = payment_succeeded();
    worker.publish(&payment).await;
    worker.assert_balance(payment.customer(), "credits", "1000").await;
}

#[tokio::test]
async fn an_exchange_of_another_kind_is_said_and_not_used_until_it_is_mended() {
    let mut worker = Setup::default().without_events_queue().prepare().await;
    worker.broker.declare_exchange("billing", lapin::ExchangeKind::Direct).await;
    worker.start_process();
    until("it says what differs", LIMIT, async || match worker.process().get("/readyz").await? {
        (503, body) if body.contains("billing") && body.contains("direct") && body.contains("topic") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    worker.broker.delete_exchange("billing").await;
    worker.bind_events().await;
    worker.ready(LIMIT).await;
    let payment = payment_succeeded();
    worker.publish(&payment).await;
    worker.assert_balance(payment.customer(), "credits", "1000").await;
}
