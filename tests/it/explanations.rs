//! What people are told, word by word: golden outputs of `explain`, `waiting list` and `dead-letters show` on a running
//! worker. `make golden` renews them.

use serde_json::{Value, json};

use crate::fixtures::{BillingMessage, ENTERPRISE, PACK, message};
use crate::harness::TestWorker;

/// Publishes one after the other, each settled before the next, so that every order is the same.
async fn told(messages: &[BillingMessage]) -> TestWorker {
    let worker = TestWorker::start().await;
    for message in messages {
        worker.publish(message).await;
        worker.wait_until_settled().await;
    }
    worker
}

fn pack(payment: &str, customer: &str) -> BillingMessage {
    let data = json!({
        "payment_id": payment, "customer_id": customer, "amount": "49.00", "currency": "USD",
        "lines": [{ "price_id": PACK, "quantity": 1, "amount": "49.00" }],
    });
    message("payment-succeeded", &format!("evt_{payment}"), &data)
}

fn refund(refund: &str, payment: &str, amount: &str, status: &str) -> BillingMessage {
    let data = json!({
        "refund_id": refund, "payment_id": payment, "amount": amount, "currency": "USD", "status": status,
    });
    message("refund", &format!("evt_{refund}_{status}"), &data)
}

fn signup(customer: &str, data: &Value) -> BillingMessage {
    message("signup", &format!("evt_signup_{customer}"), data)
}

#[tokio::test]
async fn a_plain_pack_is_explained() {
    let worker = told(&[pack("pi_1", "cus_1")]).await;
    worker.assert_golden("plain-pack", &["explain evt_pi_1", "explain pi_1 --json"]).await;
}

#[tokio::test]
async fn an_invoice_and_its_payment_are_explained() {
    let invoice = json!({
        "invoice_id": "in_1", "customer_id": "cus_1", "total": "119.00", "currency": "EUR", "number": "2026-7",
        "lines": [{ "price_id": ENTERPRISE, "quantity": 1, "amount": "99.99" }],
    });
    let payment = json!({
        "payment_id": "pi_1", "customer_id": "cus_1", "invoice_id": "in_1", "amount": "119.00", "currency": "EUR",
    });
    let worker = told(&[
        message("invoice-issued", "evt_in_1", &invoice),
        message("payment-succeeded", "evt_pi_1", &payment),
        message("payment-succeeded", "evt_pi_1_again", &payment),
    ])
    .await;
    worker.assert_golden("invoice-and-its-payment", &["explain in_1"]).await;
}

#[tokio::test]
async fn a_refund_that_came_first_is_explained() {
    let first = refund("re_1", "pi_1", "12.25", "succeeded");
    let worker = told(&[first, pack("pi_1", "cus_1")]).await;
    let lines = ["explain evt_re_1_succeeded", "explain re_1 --json"];
    worker.assert_golden("refund-that-came-first", &lines).await;
}

#[tokio::test]
async fn a_refund_that_failed_later_is_explained() {
    let worker = told(&[
        pack("pi_1", "cus_1"),
        refund("re_1", "pi_1", "12.25", "succeeded"),
        refund("re_2", "pi_1", "10.00", "succeeded"),
        refund("re_1", "pi_1", "12.25", "failed"),
    ])
    .await;
    worker.assert_golden("refund-that-failed-later", &["explain pi_1"]).await;
}

#[tokio::test]
async fn a_merge_of_two_granted_purchases_is_explained() {
    let link = json!({ "payment_ids": ["pi_1", "pi_2"] });
    let worker = told(&[
        pack("pi_1", "cus_1"),
        pack("pi_2", "cus_1"),
        refund("re_1", "pi_2", "12.25", "succeeded"),
        message("purchase-linked", "evt_link", &link),
    ])
    .await;
    worker.assert_golden("merge-of-two-granted-purchases", &["explain cus_1"]).await;
}

#[tokio::test]
async fn an_ignored_line_is_explained() {
    let payment =
        pack("pi_1", "cus_1").with("lines", json!([{ "price_id": "price_seats", "quantity": 3, "amount": "49.00" }]));
    let worker = told(&[payment]).await;
    worker.assert_golden("ignored-line", &["explain evt_pi_1"]).await;
}

#[tokio::test]
async fn conflicts_are_explained_with_both_sides() {
    let other = pack("pi_1", "cus_1").with("amount", "59.00").under_id("evt_other");
    let reused = pack("pi_9", "cus_1").under_id("evt_pi_1");
    let link = json!({ "payment_ids": ["pi_1", "pi_2"] });
    let worker = told(&[
        refund("re_1", "pi_1", "12.25", "succeeded").with("currency", "EUR"),
        pack("pi_1", "cus_1"),
        other,
        reused,
        pack("pi_2", "cus_2"),
        message("purchase-linked", "evt_link", &link),
    ])
    .await;
    let lines = [
        "explain evt_re_1_succeeded",
        "explain re_1",
        "explain evt_other",
        "explain pi_1",
        "dead-letters show 1",
        "dead-letters show 2",
        "dead-letters show 3",
        "dead-letters show 4",
        "dead-letters show 1 --json",
    ];
    worker.assert_golden("conflict", &lines).await;
}

#[tokio::test]
async fn a_signup_refused_for_its_identity_is_explained() {
    let by = |customer: &str| signup(customer, &json!({ "customer_id": customer, "identity": "person_1" }));
    let worker = told(&[by("cus_1"), by("cus_2"), signup("cus_3", &json!({ "customer_id": "cus_3" }))]).await;
    let lines = [
        "explain evt_signup_cus_2",
        "explain evt_signup_cus_3",
        "explain evt_signup_cus_1 --json",
        "explain cus_1",
        // The grant of cus_1: derived, so it is always this one.
        "explain d202a65c-49c3-5d6c-b36d-cfb2306188a4",
    ];
    worker.assert_golden("signup-refused-for-its-identity", &lines).await;
}

#[tokio::test]
async fn what_gave_a_customer_nothing_is_explained_by_the_customer() {
    let by = |customer: &str| signup(customer, &json!({ "customer_id": customer, "identity": "person_1" }));
    let seats = json!([{ "price_id": "price_seats", "quantity": 3, "amount": "49.00" }]);
    let worker =
        told(&[by("cus_1"), pack("pi_1", "cus_2").with("lines", seats), by("cus_2"), pack("pi_2", "cus_2")]).await;
    worker.assert_golden("what-gave-nothing", &["explain cus_2", "explain cus_2 --json --limit 1"]).await;
}

#[tokio::test]
async fn waiting_messages_are_listed_with_what_each_waits_for() {
    let unseen = pack("pi_2", "cus_2").with("lines", Value::Null).with("invoice_id", "in_2");
    let alias = json!({
        "refund_id": "re_3", "aliases": ["ch_3"], "invoice_id": "in_3", "amount": "1.00", "currency": "USD",
        "status": "pending",
    });
    let worker =
        told(&[refund("re_1", "pi_1", "12.25", "succeeded"), unseen, message("refund", "evt_re_3", &alias)]).await;
    let lines = ["waiting list", "waiting list --json", "waiting list --limit 1", "explain evt_pi_2"];
    worker.assert_golden("waiting", &lines).await;
}

#[tokio::test]
async fn a_word_that_means_several_things_is_shown_as_all_of_them_unless_as_says_which() {
    let worker = told(&[pack("x", "x").under_id("x")]).await;
    let grant = "explain f85766bc-3afc-59a0-ba7c-fcd62ce04189 --as grant";
    let lines = ["explain x", "explain x --as customer", "explain x --as grant", grant, "explain y"];
    worker.assert_golden("several-things", &lines).await;
}
