//! How a test's worker differs from the usual one.

use std::sync::Arc;

use super::broker::{Broker, EVENTS_QUEUE};
use super::place::Place;
use super::services::Services;
use super::wait::LIMIT;
use super::worker::TestWorker;

/// The rules that fit the samples and the fixtures.
const SAMPLE_RULES: &str = "tests/fixtures/rules.toml";

/// What to start: shared services, the settings' defaults and a queue for events, unless a call changes it.
#[derive(Default)]
pub(crate) struct Setup {
    services: Option<Arc<Services>>,
    environment: Vec<(String, String)>,
    no_events_queue: bool,
    rules: Option<String>,
}

impl Setup {
    /// On services of the test's own.
    pub(crate) fn on(mut self, services: &Arc<Services>) -> Self {
        self.services = Some(Arc::clone(services));
        self
    }

    /// With an environment variable, such as `CREDITS_WORKER_LANES`.
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.environment.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// By the rules in another file, from the project's folder.
    pub(crate) fn with_rules(mut self, file: &str) -> Self {
        self.rules = Some(file.to_owned());
        self
    }

    /// Without a queue that takes events.
    pub(crate) fn without_events_queue(mut self) -> Self {
        self.no_events_queue = true;
        self
    }

    /// A migrated database, the names on the broker, and no process yet.
    pub(crate) async fn prepare(self) -> TestWorker {
        let services = self.services.unwrap_or_else(|| Arc::new(Services::shared()));
        let place = Place::new(services).await;
        place.migrate().await;
        let broker = Arc::new(Broker::new(&place.services.amqp_url, &place.prefix));
        if !self.no_events_queue {
            broker.bind_events(EVENTS_QUEUE, None).await;
        }
        TestWorker::new(place, broker, self.environment, self.rules.unwrap_or_else(|| SAMPLE_RULES.to_owned()))
    }

    /// The same, and one worker that is ready.
    pub(crate) async fn start(self) -> TestWorker {
        let mut worker = self.prepare().await;
        worker.start_process();
        worker.ready(LIMIT).await;
        worker
    }
}
