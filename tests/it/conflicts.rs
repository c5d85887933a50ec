//! Messages that cannot all be true together, and purchases that a link joins and a conflict takes apart again.

use serde_json::json;

use crate::fixtures::{BillingMessage, partial_refund_of, payment_succeeded};
use crate::harness::TestWorker;

/// A dozen of them: which row is changed first hangs on derived ids.
const PAIRS: usize = 12;

#[tokio::test]
async fn purchases_that_only_a_refund_joined_come_apart_when_it_becomes_the_conflict() {
    let worker = TestWorker::start().await;
    let mut pairs: Vec<Pair> = (0..PAIRS).map(pair).collect();
    publish_in_steps(&worker, pairs.iter().map(|pair| vec![&pair.payments[0], &pair.payments[1], &pair.refund])).await;
    for pair in &pairs {
        // One purchase: one grant for its line, the other is surplus.
        worker.assert_grants(pair.refund.customer(), &[("1000", "950")]).await;
    }

    // Two invoices in one purchase cannot be; without the refund they are in two.
    for pair in &mut pairs {
        let mut number = 0;
        pair.payments = pair.payments.clone().map(|payment| {
            number += 1;
            let id = format!("{}-billed", payment.id().unwrap());
            let invoice = format!("in_{number}_{}", payment.customer());
            payment.with("invoice_id", invoice).under_id(&id)
        });
    }
    publish_in_steps(&worker, pairs.iter().map(|pair| vec![&pair.payments[0], &pair.payments[1]])).await;
    for Pair { refund, .. } in &pairs {
        worker.assert_dead_letter(refund, "fact-conflict").await;
        worker.assert_outcomes(refund, &["applied", "dead-lettered"]).await;
        worker.assert_grants(refund.customer(), &[("1000", "1000"), ("1000", "1000")]).await;
        worker.assert_balance(refund.customer(), "credits", "2000").await;
    }
    worker.assert_the_chain_holds().await;
}

/// Two payments in the order of their arrival, and a refund that names both.
struct Pair {
    payments: [BillingMessage; 2],
    refund: BillingMessage,
}

fn pair(number: usize) -> Pair {
    let first = payment_succeeded();
    let checkout = format!("cs_{number}");
    let second = payment_succeeded().by(first.customer()).with("aliases", json!([checkout]));
    let refund = partial_refund_of(&first, "4.90").by(first.customer()).with("aliases", json!([checkout]));
    let payments = if number.is_multiple_of(2) { [first, second] } else { [second, first] };
    Pair { payments, refund }
}

/// The first message of all, when that is settled the second of all, and so on.
async fn publish_in_steps<'m>(worker: &TestWorker, all: impl Iterator<Item = Vec<&'m BillingMessage>>) {
    let all: Vec<Vec<&BillingMessage>> = all.collect();
    for step in 0..all[0].len() {
        let messages: Vec<BillingMessage> = all.iter().map(|messages| messages[step].clone()).collect();
        worker.publish_all(&messages).await;
        worker.wait_until_settled().await;
    }
}

#[tokio::test]
async fn a_payment_under_its_own_id_with_another_amount_is_a_conflict_that_shows_both() {
    let worker = TestWorker::start().await;
    let payment = payment_succeeded();
    let other = payment.clone().with("amount", "59.00").under_id("other");
    worker.publish(&payment).await;
    worker.wait_until_settled().await;
    worker.publish(&other).await;
    worker.assert_dead_letter(&other, "fact-conflict").await;
    let reason = worker.dead_letters().await.remove(0).reason;
    assert!(reason.contains("49") && reason.contains("59"), "both sides: {reason}");
    worker.assert_balance(payment.customer(), "credits", "1000").await;
}
