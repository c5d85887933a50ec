//! The same messages in any order and with any repetition end in the same grants and balances.

use crate::fixtures::{BillingMessage, good_samples};
use crate::harness::{LIMIT, Random, TestWorker, until};

/// The table of `tests/fixtures/EXPECTED.md`: customer, grants (amount, remaining), balance.
const TABLE: [(&str, (&str, &str), &str); 5] = [
    ("cus_ada", ("1000", "750"), "750"),
    ("cus_kei", ("3000", "3000"), "3000"),
    ("cus_bob", ("2500", "2500"), "2500"),
    ("cus_cyd", ("100", "100"), "100"),
    ("cus_dee", ("1000", "800"), "800"),
];

const ORDERS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_samples_twice_each_in_any_order_lead_to_the_same_grants() {
    let mut random = Random::new(Random::seed_from("CREDITS_TEST_ORDER_SEED"));
    let worker = TestWorker::start().await;
    let orders: Vec<Vec<BillingMessage>> = (0..ORDERS).map(|order| shuffled_twice(&mut random, order)).collect();

    // All orders side by side, one message of each at a time: so each is handled exactly in its order.
    for step in 0..orders[0].len() {
        let next: Vec<BillingMessage> = orders.iter().map(|order| order[step].clone()).collect();
        worker.publish_all(&next).await;
        let published = (step + 1) * ORDERS;
        until("this step is handled", LIMIT, async || match worker.handled().await? {
            handled if handled == published => Ok(()),
            handled => Err(format!("{handled} of {published} deliveries are handled")),
        })
        .await;
    }

    worker.wait_until_settled().await;
    for (number, order) in orders.iter().enumerate() {
        let ids: Vec<_> = order.iter().filter_map(BillingMessage::id).collect();
        for (customer, (amount, remaining), balance) in TABLE {
            let customer = format!("{customer}{}", suffix(number));
            let found = (worker.grants(&customer).await, worker.balance(&customer, "credits").await);
            let wanted = (vec![(amount.to_owned(), remaining.to_owned())], Some(balance.to_owned()));
            assert_eq!(found, wanted, "{customer} after {ids:?}");
        }
    }
    let until_2036 = "select count(*) from grants where expires_at = '2036-01-10T09:30:00Z'";
    assert_eq!(worker.number(until_2036).await, Ok(i64::try_from(ORDERS).unwrap()), "signup grants and their end");
    let grants = "select count(*) from grants";
    assert_eq!(worker.number(grants).await, Ok(i64::try_from(ORDERS * TABLE.len()).unwrap()), "grants in all");
    assert!(worker.dead_letters().await.is_empty(), "nothing is refused");
    worker.assert_events_are_the_ledger().await;
    worker.assert_the_books_balance().await;
    worker.assert_the_chain_holds().await;
}

fn shuffled_twice(random: &mut Random, order: usize) -> Vec<BillingMessage> {
    let own = |message: BillingMessage| message.suffixed(&suffix(order));
    let mut messages: Vec<BillingMessage> = good_samples().into_iter().chain(good_samples()).map(own).collect();
    assert_eq!(messages.len(), 20, "ten good samples");
    random.shuffle(&mut messages);
    messages
}

fn suffix(order: usize) -> String {
    format!("-order-{order}")
}
