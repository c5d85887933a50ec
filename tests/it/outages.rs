//! Broker and database go away under load and come back: the same process goes on, and nothing is lost.
//!
//! Each test has a broker and a database of its own to stop and to kill.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::generator::load;
use crate::harness::{LIMIT, Random, Services, Setup, TestWorker, until};

const MESSAGES: usize = 6000;
/// How a service goes away, and how it comes back.
type Outage = (&'static str, &'static str);
/// From the return of a service to a worker that is ready again.
const BACK: Duration = Duration::from_secs(20);
/// For what is left after the last outage: far less than at a crawl.
const REST: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stops_and_one_that_dies_under_load_lose_nothing() {
    survive(&[("stop-broker", "start-broker"), ("kill-broker", "start-broker")], "CREDITS_TEST_BROKER_SEED").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stops_and_one_that_dies_under_load_lose_nothing() {
    let outages = [("stop-database", "start-database"), ("kill-database", "start-database")];
    survive(&outages, "CREDITS_TEST_DATABASE_SEED").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_starts_before_its_services_waits_for_them() {
    let services = Arc::new(Services::private().await);
    let mut worker = Setup::default().on(&services).prepare().await;
    services.run("stop-database").await;
    services.run("stop-broker").await;
    worker.start_process();
    until("it says what is missing", LIMIT, async || {
        assert!(worker.process().is_running(), "it ended");
        match worker.process().get("/readyz").await? {
            (503, body) if body.contains("\"database\"") && body.contains("\"consuming\"") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(worker.process().get("/livez").await.unwrap().0, 200, "it lives all the same");

    services.run("start-database").await;
    services.run("start-broker").await;
    worker.ready(BACK).await;
    let load = load(Random::seed_from("CREDITS_TEST_ABSENT_SEED"), 200, 20);
    worker.publish_all(&load.messages).await;
    worker.assert_all_promises(&load.expected).await;
}

async fn survive(outages: &[Outage], seed: &str) {
    let services = Arc::new(Services::private().await);
    let mut worker = Setup::default().on(&services).start().await;
    let process = worker.process().id();
    let load = load(Random::seed_from(seed), MESSAGES, 200);
    let broker = Arc::clone(&worker.broker);
    tokio::join!(broker.publish_all(&load.messages), cause(outages, &services, &mut worker));

    let begun = Instant::now();
    worker.settled_within(REST).await;
    println!("the rest was settled in {:?}", begun.elapsed());
    assert!(worker.process().is_running() && worker.process().id() == process, "the same process all along");
    worker.assert_all_promises(&load.expected).await;
}

/// Causes one outage after the other while messages are handled.
async fn cause(outages: &[Outage], services: &Services, worker: &mut TestWorker) {
    for (number, (end, start)) in outages.iter().enumerate() {
        let moment = (number + 1) * MESSAGES / 5;
        until("some messages are handled", LIMIT, async || match worker.handled().await? {
            handled if handled >= moment => Ok(()),
            handled => Err(format!("{handled} of {moment}")),
        })
        .await;
        services.run(end).await;
        until_unready(worker).await;
        services.run(start).await;
        let returned = Instant::now();
        worker.ready(BACK).await;
        println!("ready {:?} after {start}", returned.elapsed());
    }
}

async fn until_unready(worker: &mut TestWorker) {
    until("the worker says that a service is away", LIMIT, async || match worker.process().get("/readyz").await? {
        (503, _) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
