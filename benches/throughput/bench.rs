//! What every measurement works with.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};

use crate::broker::{Broker, Depth};
use crate::database;
use crate::message::{Message, Template};
use crate::names::{MIX_TYPES, Names};
use crate::process::Process;
use crate::settings::Settings;

/// Without any progress for so long a run has failed.
pub(crate) const STALL_LIMIT: Duration = Duration::from_mins(1);
/// Time for the broker to come to rest after queues were deleted and filled.
const REST: Duration = Duration::from_secs(3);
/// Messages whose publishes are in flight together while a queue is filled.
const FILL_CHUNK: u64 = 1_000;

/// Settings, the benchmark's own connection to the broker, and the sample message.
pub(crate) struct Bench {
    pub(crate) settings: Settings,
    pub(crate) broker: Broker,
    pub(crate) template: Template,
}

impl Bench {
    /// Connects to the broker, and to the database to see that it is there.
    ///
    /// # Errors
    /// One of them is out of reach.
    pub(crate) async fn open(settings: Settings) -> Result<Self> {
        database::connect(&settings.database_url, None).await?;
        let broker = Broker::connect(&settings.amqp_url).await?;
        Ok(Self { settings, broker, template: Template::load()? })
    }

    /// Publishes payments with these `numbers`, of `customers`, into a worker's empty inbound queue.
    ///
    /// # Errors
    /// The broker refused one, or holds another number of them afterwards.
    pub(crate) async fn fill(&self, names: &Names, numbers: Range<u64>, customers: u64) -> Result<()> {
        let publisher = self.broker.publisher(&names.billing_exchange, crate::names::MESSAGE_TYPE).await?;
        let messages = numbers.end - numbers.start;
        for first in numbers.clone().step_by(usize::try_from(FILL_CHUNK)?) {
            let some = first..numbers.end.min(first + FILL_CHUNK);
            let chunk: Vec<_> = some.map(|number| self.template.payment(number, customers)).collect::<Result<_>>()?;
            publisher.publish_all(&chunk).await?;
        }
        let ready = self.broker.depth(&names.inbound).await?.ready;
        ensure!(ready == messages, "{} holds {ready} messages after {messages} were published", names.inbound);
        Ok(())
    }

    /// Publishes `messages` of the mix into a worker's inbound queues.
    ///
    /// # Errors
    /// The broker refused one, or holds another number of them afterwards.
    pub(crate) async fn fill_mixed(&self, names: &Names, messages: u64) -> Result<()> {
        for first in (0..messages).step_by(usize::try_from(FILL_CHUNK)?) {
            let mut chunks: BTreeMap<&str, Vec<Message>> = BTreeMap::new();
            for number in first..messages.min(first + FILL_CHUNK) {
                let (kind, message) = self.template.mixed(number)?;
                chunks.entry(kind).or_default().push(message);
            }
            for (kind, chunk) in chunks {
                self.broker.publisher(&names.billing_exchange, kind).await?.publish_all(&chunk).await?;
            }
        }
        let ready = self.ready(names, &MIX_TYPES).await?;
        ensure!(ready == messages, "the queues hold {ready} messages after {messages} were published");
        Ok(())
    }

    /// Messages that are ready in the queues of these types.
    ///
    /// # Errors
    /// One of the queues is not there.
    pub(crate) async fn ready(&self, names: &Names, kinds: &[&str]) -> Result<u64> {
        let mut ready = 0;
        for kind in kinds {
            ready += self.broker.depth(&names.inbound_of(kind)).await?.ready;
        }
        Ok(ready)
    }

    /// Lets broker and database finish what earlier steps left them to do.
    ///
    /// # Errors
    /// The database refuses to checkpoint.
    pub(crate) async fn rest(&self) -> Result<()> {
        sleep(REST).await;
        let mut server = database::connect(&self.settings.database_url, None).await?;
        database::checkpoint(&mut server).await
    }

    /// Waits until the worker consumes from its inbound queue.
    ///
    /// # Errors
    /// It ended, or does not begin.
    pub(crate) async fn until_consuming(&self, names: &Names, process: &mut Process) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < STALL_LIMIT {
            process.check_alive()?;
            if self.broker.depth_if_declared(&names.inbound).await?.is_some_and(|depth| depth.consumers > 0) {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("nobody consumes from {} after {STALL_LIMIT:?}\n{}", names.inbound, process.log_tail());
    }

    /// The inbound queue once its worker has gone and what it held is back.
    ///
    /// # Errors
    /// The broker still counts a consumer.
    pub(crate) async fn left_behind(&self, names: &Names) -> Result<Depth> {
        let begun = Instant::now();
        while begun.elapsed() < STALL_LIMIT {
            let depth = self.broker.depth(&names.inbound).await?;
            if depth.consumers == 0 {
                return Ok(depth);
            }
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("{} still has consumers after its worker ended", names.inbound);
    }
}
