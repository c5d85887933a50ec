//! The same message, the same fact, the same grant: each counts once, for ever.

use crate::fixtures::{partial_refund_of, payment_succeeded, refund_of, signup};
use crate::harness::TestWorker;

#[tokio::test]
async fn a_redelivered_payment_grants_once() {
    let worker = TestWorker::start().await;
    let payment = payment_succeeded();
    worker.deliver_twice(&payment).await;
    worker.assert_balance(payment.customer(), "credits", "1000").await;
    worker.assert_outcomes(&payment, &["applied", "duplicate"]).await;
    worker.assert_published(&["grant"]).await;
}

#[tokio::test]
async fn a_message_under_a_known_id_with_other_content_has_no_effect() {
    let worker = TestWorker::start().await;
    let payment = payment_succeeded();
    let other = payment.clone().with("amount", "490.00");
    worker.publish(&payment).await;
    worker.wait_until_settled().await;
    worker.deliver_twice(&other).await;
    worker.assert_balance(payment.customer(), "credits", "1000").await;
    worker.assert_dead_letter(&other, "idempotency-conflict").await;
    let letter = worker.dead_letters().await.remove(0);
    assert_eq!(letter.seen, 2, "the same dead letter again raises a counter");
    let fingerprints = letter.reason.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() >= 16).count();
    assert_eq!(fingerprints, 2, "both fingerprints are in the reason: {}", letter.reason);
}

#[tokio::test]
async fn white_space_field_order_and_unknown_fields_make_no_other_content() {
    let worker = TestWorker::start().await;
    let payment = payment_succeeded();
    let spread = payment.clone().with("unknown", "field").with("amount", "49");
    worker.publish_all(&[payment.clone(), spread]).await;
    worker.assert_outcomes(&payment, &["applied", "duplicate"]).await;
}

#[tokio::test]
async fn the_same_fact_under_new_message_ids_grants_once() {
    let worker = TestWorker::start().await;
    let payment = payment_succeeded();
    let again: Vec<_> = (0..10).map(|number| payment.clone().under_id(&format!("again-{number}"))).collect();
    worker.publish(&payment).await;
    worker.wait_until_settled().await;
    worker.publish_all(&again).await;
    worker.assert_grants(payment.customer(), &[("1000", "1000")]).await;
    for message in &again {
        worker.assert_outcomes(message, &["duplicate"]).await;
    }
    worker.assert_published(&["grant"]).await;
}

#[tokio::test]
async fn a_refund_that_is_told_twice_takes_once_and_one_above_the_price_takes_all() {
    let worker = TestWorker::start().await;
    let (first, second) = (payment_succeeded(), payment_succeeded());
    let (half, too_much) = (partial_refund_of(&first, "24.50"), partial_refund_of(&second, "490.00"));
    worker.publish_all(&[first.clone(), second.clone()]).await;
    worker.deliver_twice(&half).await;
    worker.publish_all(&[half.clone().under_id("half-again"), too_much]).await;
    worker.assert_grants(first.customer(), &[("1000", "500")]).await;
    worker.assert_grants(second.customer(), &[("1000", "0")]).await;
}

#[tokio::test]
async fn a_refund_waits_for_its_payment_and_then_takes_effect() {
    let worker = TestWorker::start().await;
    let payment = payment_succeeded();
    let refund = partial_refund_of(&payment, "9.80");
    worker.publish(&refund).await;
    worker.assert_outcomes(&refund, &["waiting"]).await;
    worker.publish(&payment).await;
    worker.assert_outcomes(&refund, &["waiting", "applied"]).await;
    worker.assert_balance(payment.customer(), "credits", "800").await;
    worker.assert_published(&["grant", "revoke"]).await;
}

#[tokio::test]
async fn a_refused_message_claims_no_id_so_its_mended_form_is_taken() {
    let worker = TestWorker::start().await;
    let good = signup();
    let bad = good.clone().with("customer_id", "");
    worker.publish(&bad).await;
    worker.assert_dead_letter(&bad, "invalid-field").await;
    worker.publish(&good).await;
    worker.assert_outcomes(&good, &["applied"]).await;
    worker.assert_balance(good.customer(), "credits", "100").await;
}

#[tokio::test]
async fn an_identity_gets_its_welcome_once_whoever_signs_up_with_it() {
    let worker = TestWorker::start().await;
    let (first, second) = (signup(), signup());
    let same = second.clone().with("identity", first.data("identity"));
    worker.publish(&first).await;
    worker.wait_until_settled().await;
    worker.publish(&same).await;
    worker.assert_outcomes(&same, &["ignored"]).await;
    worker.assert_grants(second.customer(), &[]).await;
}

#[tokio::test]
async fn a_purchase_that_is_refunded_and_told_again_stays_refunded() {
    let worker = TestWorker::start().await;
    let payment = payment_succeeded();
    let refund = refund_of(&payment);
    worker.publish_all(&[refund.clone(), payment.clone()]).await;
    worker.publish_all(&[payment.clone().under_id("payment-again"), refund.under_id("refund-again")]).await;
    worker.assert_grants(payment.customer(), &[("1000", "0")]).await;
    worker.assert_balance(payment.customer(), "credits", "0").await;
}
