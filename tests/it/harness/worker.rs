//! The worker under test, in the user's verbs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::broker::{Broker, EVENTS_QUEUE};
use super::events::Events;
use super::place::Place;
use super::process::{Exit, WorkerProcess};
use super::setup::Setup;
use super::wait::{LIMIT, until};
use crate::fixtures::BillingMessage;

/// What SIGTERM may take, as the README promises.
const DRAIN: Duration = Duration::from_secs(25);
/// The broker may still be taking something back when the queues are looked at: then once more.
const MOST_CLEARINGS: usize = 3;

/// One or more worker processes over one database and one set of queues.
///
/// Fields are dropped in this order: processes first, then what they stand on.
pub(crate) struct TestWorker {
    processes: Vec<WorkerProcess>,
    started: usize,
    rules: String,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) broker: Arc<Broker>,
    pub(super) events: Mutex<Events>,
    pub(crate) place: Place,
}

impl TestWorker {
    /// One worker with the default settings and the rules of `tests/fixtures`.
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    pub(super) fn new(place: Place, broker: Arc<Broker>, environment: Vec<(String, String)>, rules: String) -> Self {
        Self { processes: Vec::new(), started: 0, environment, rules, broker, events: Mutex::default(), place }
    }

    /// Starts one more process and waits for nothing.
    pub(crate) fn start_process(&mut self) {
        let mut command = self.place.command(&["run", "--rules", &self.rules]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let log = self.place.log(self.started);
        self.started += 1;
        let ports = [&self.place.database_url, &self.place.services.amqp_url].map(|url| port(url));
        self.processes.push(WorkerProcess::spawn(command, log, ports.into()));
    }

    /// Processes that are started from now on go by the rules in another file.
    pub(crate) fn follow_rules(&mut self, file: &str) {
        file.clone_into(&mut self.rules);
    }

    /// Starts a second process beside the first.
    pub(crate) async fn start_second(&mut self) {
        self.start_process();
        self.ready(LIMIT).await;
    }

    /// The process that was started last.
    pub(crate) fn process(&mut self) -> &mut WorkerProcess {
        self.processes.last_mut().expect("a process was started")
    }

    /// The processes, the oldest first.
    pub(crate) fn processes(&mut self) -> &mut [WorkerProcess] {
        &mut self.processes
    }

    /// Waits until every process is ready.
    pub(crate) async fn ready(&mut self, limit: Duration) {
        for process in &mut self.processes {
            process.ready(limit).await;
        }
    }

    /// SIGKILL for every process.
    pub(crate) fn kill(&mut self) {
        for mut process in self.processes.drain(..) {
            process.kill();
        }
    }

    /// SIGTERM for every process: how each ended, and after how long.
    pub(crate) async fn terminate(&mut self) -> Vec<(Exit, Duration)> {
        for process in &self.processes {
            process.ask_to_stop();
        }
        let mut ends = Vec::new();
        for process in &mut self.processes {
            ends.push(process.ended(DRAIN + Duration::from_secs(10)).await);
        }
        self.processes.clear();
        ends
    }

    /// SIGTERM for every process, each of which has to drain in time and exit with 0.
    pub(crate) async fn stop_in_order(&mut self) {
        for (exit, took) in self.terminate().await {
            assert_eq!(exit, Exit::Code(0), "after SIGTERM");
            assert!(took < DRAIN, "draining took {took:?}");
        }
    }

    /// SIGTERM for every process, after which the queues are empty.
    ///
    /// What a process committed and did not live to acknowledge has its outcome and comes again all the same. If it is
    /// in a process's hands at its orderly end it goes back: then another process has to give each of those its
    /// outcome, and hold none of them at its own end.
    pub(crate) async fn stop_with_empty_queues(&mut self) {
        self.stop_in_order().await;
        for _ in 0..MOST_CLEARINGS {
            let left = self.left_in_queues().await;
            if left == 0 {
                return;
            }
            println!("{left} deliveries went back at an orderly end");
            let wanted = self.handled().await.unwrap() + left;
            self.start_process();
            until("what went back is handled", LIMIT, async || match self.handled().await? {
                handled if handled >= wanted => Ok(()),
                handled => Err(format!("{handled} of {wanted} deliveries are handled")),
            })
            .await;
            self.stop_in_order().await;
        }
        assert_eq!(self.left_in_queues().await, 0, "messages are left after {MOST_CLEARINGS} more orderly ends");
    }

    /// Messages in the queues. Since no process holds anything any more, these are all.
    async fn left_in_queues(&self) -> usize {
        let left = until("the queues can be looked at", LIMIT, async || self.broker.backlog().await).await;
        usize::try_from(left).unwrap()
    }

    /// SIGTERM for the process that was started first, which has to drain in time and exit with 0.
    pub(crate) async fn stop_the_oldest(&mut self) {
        let mut oldest = self.processes.remove(0);
        oldest.ask_to_stop();
        let (exit, took) = oldest.ended(DRAIN + Duration::from_secs(10)).await;
        assert_eq!(exit, Exit::Code(0), "after SIGTERM: {}", oldest.log());
        assert!(took < DRAIN, "draining took {took:?}");
    }

    /// Has the queues declared by a worker that ends before anything is published: what comes now is in one batch later.
    pub(crate) async fn declare_queues(&mut self) {
        let environment = std::mem::take(&mut self.environment);
        self.start_process();
        self.ready(LIMIT).await;
        self.stop_in_order().await;
        self.environment = environment;
    }

    /// Publishes one message by its type's routing key.
    pub(crate) async fn publish(&self, message: &BillingMessage) {
        self.broker.publish_all(std::slice::from_ref(message)).await;
    }

    pub(crate) async fn publish_all(&self, messages: &[BillingMessage]) {
        self.broker.publish_all(messages).await;
    }

    /// Publishes the same message two times.
    pub(crate) async fn deliver_twice(&self, message: &BillingMessage) {
        self.publish_all(&[message.clone(), message.clone()]).await;
    }

    /// Waits until all that was published has its outcome, no queue holds a message, and every event is confirmed.
    pub(crate) async fn wait_until_settled(&self) {
        self.settled_within(LIMIT).await;
    }

    pub(crate) async fn settled_within(&self, limit: Duration) {
        self.handled_within(limit).await;
        until("every event is confirmed", limit, async || match self.relay_stands().await? {
            (cursor, head) if cursor == head => Ok(()),
            (cursor, head) => Err(format!("published to {cursor} of {head}")),
        })
        .await;
    }

    /// Waits until all that was published has its outcome and no queue holds a message.
    pub(crate) async fn handled_within(&self, limit: Duration) {
        let published = self.broker.published();
        until("everything published is handled", limit, async || {
            let backlog = self.broker.backlog().await?;
            if backlog > 0 {
                return Err(format!("{backlog} messages are ready in the queues; {}", self.progress().await));
            }
            let handled = self.handled().await?;
            if handled < published.deliveries {
                return Err(format!("{handled} of {} deliveries are handled", published.deliveries));
            }
            match self.lost(&published).await?.first() {
                Some(lost) => Err(format!("{handled} deliveries are handled, but {lost} is nowhere")),
                None => Ok(()),
            }
        })
        .await;
    }

    async fn progress(&self) -> String {
        match self.handled().await {
            Ok(handled) => format!("{handled} deliveries are handled"),
            Err(error) => error,
        }
    }

    /// Binds the harness's queue to all ledger events.
    pub(crate) async fn bind_events(&self) {
        self.broker.bind_events(EVENTS_QUEUE, None).await;
    }
}

impl Drop for TestWorker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in &self.processes {
                process.show_log();
            }
        }
    }
}

fn port(url: &str) -> String {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    authority.rsplit(':').next().unwrap_or_default().to_owned()
}
