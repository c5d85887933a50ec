//! SIGKILL at random moments: one effect for each message, whatever was under way.

use std::sync::Arc;
use std::time::Duration;

use crate::generator::load;
use crate::harness::{LIMIT, Random, TestWorker, until};

const MESSAGES: usize = 20_000;
const CUSTOMERS: usize = 500;
const KILLS: usize = 12;
/// Outcomes between two kills at least, so that each process gets to work.
const LEAST_PROGRESS: usize = 300;
const SETTLED: Duration = Duration::from_mins(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_sigkills_under_20000_messages_change_nothing() {
    let seed = Random::seed_from("CREDITS_TEST_KILL_SEED");
    let load = load(seed, MESSAGES, CUSTOMERS);
    let mut worker = TestWorker::start().await;
    let (broker, moments) = (Arc::clone(&worker.broker), moments(seed));
    tokio::join!(broker.publish_all(&load.messages), kill_at(&mut worker, &moments));
    worker.settled_within(SETTLED).await;
    worker.assert_all_promises(&load.expected).await;
}

/// Kills the process when so many outcomes were written, and starts another one, again and again.
async fn kill_at(worker: &mut TestWorker, moments: &[usize]) {
    for (kill, moment) in moments.iter().enumerate() {
        until("the next kill's moment", LIMIT, async || {
            let outcomes = worker.number("select last_value from outcome_ids").await?;
            let reached = usize::try_from(outcomes).unwrap() >= *moment;
            if reached { Ok(()) } else { Err(format!("{outcomes} outcomes, kill {kill} is due at {moment}")) }
        })
        .await;
        worker.kill();
        worker.start_process();
    }
}

/// Numbers of outcomes at which the process is killed.
fn moments(seed: u64) -> Vec<usize> {
    let mut random = Random::new(seed ^ 1);
    let room = MESSAGES * 9 / 10 - KILLS * LEAST_PROGRESS;
    let mut moments: Vec<usize> = (0..KILLS).map(|_| random.below(room)).collect();
    moments.sort_unstable();
    moments.iter().enumerate().map(|(kill, moment)| moment + (kill + 1) * LEAST_PROGRESS).collect()
}
