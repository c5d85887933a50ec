//! A database that is up but in somebody's way: what is not concerned goes on, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};

use crate::fixtures::{BillingMessage, partial_refund_of, payment_succeeded};
use crate::generator::load;
use crate::harness::{LIMIT, Random, Setup, TestWorker, until};

/// Backends that are ended while messages are handled.
const ENDED: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_ended_by_the_dozen_lose_nothing() {
    let mut worker = TestWorker::start().await;
    let load = load(Random::seed_from("CREDITS_TEST_BACKEND_SEED"), 4000, 100);
    let broker = Arc::clone(&worker.broker);
    tokio::join!(broker.publish_all(&load.messages), end_sessions(&worker));
    worker.assert_all_promises(&load.expected).await;
}

/// Ends one of the worker's sessions after the other, whatever it is doing; idle ones too.
async fn end_sessions(worker: &TestWorker) {
    let end_one = "select coalesce(sum(pg_terminate_backend(pid)::int), 0)::bigint from (
                       select pid from pg_stat_activity
                       where datname = current_database() and application_name = 'credits' order by random() limit 1
                   ) as one";
    let mut ended = 0;
    until("enough sessions were ended", LIMIT, async || {
        ended += worker.number(end_one).await?;
        if ended >= i64::try_from(ENDED).unwrap() { Ok(()) } else { Err(format!("{ended} of {ENDED}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_another_session_holds_keeps_nobody_else_waiting() {
    let worker = Setup::default().with("CREDITS_DATABASE_LOCK_TIMEOUT", "100ms").start().await;
    let held = payment_succeeded();
    worker.publish(&held).await;
    worker.wait_until_settled().await;
    let mut other_session = PgConnection::connect(&worker.place.database_url).await.unwrap();
    other_session.execute("begin; select 1 from accounts for update").await.unwrap();

    let refund = partial_refund_of(&held, "24.50");
    let others: Vec<BillingMessage> = (0..300).map(|_| payment_succeeded()).collect();
    worker.publish(&refund).await;
    worker.publish_all(&others).await;
    until("the others are handled", Duration::from_secs(30), async || {
        let done = worker.number("select count(*) from inbox").await?;
        if done == 301 { Ok(()) } else { Err(format!("{} of {} others", done - 1, others.len())) }
    })
    .await;
    assert_eq!(worker.outcomes(refund.id().unwrap()).await, Vec::<String>::new(), "its account is held");

    other_session.execute("rollback").await.unwrap();
    worker.assert_balance(held.customer(), "credits", "500").await;
    assert!(worker.dead_letters().await.is_empty(), "nothing is refused");
}
