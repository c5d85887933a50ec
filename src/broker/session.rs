//! One life of a process's consumers: a connection, a channel with a prefetch per queue, and what has arrived on them.
//!
//! Whatever ends one channel ends the session: `consumer` drops it and begins another under the next generation.
//! Deliveries wait in the driver's buffers, which the prefetch bounds, until [`Session::gather`] takes them: in turn,
//! one from each queue that has any, so no queue starves another. Dropping a session sends nothing; the broker requeues.

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, future};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::convert;
use super::error::BrokerError;
use super::health::{Health, Role};
use super::link::Link;
use super::options::{Options, short};
use super::topology::{self, SETUP_LIMIT};
use super::types::{ChannelId, Delivery, How, Settled};
use super::window::{Plan, Window};

/// For writing acknowledgements: a healthy broker takes them in microseconds, a stuck one costs the session.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
/// For cancelling consumers and giving back what they had.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// A connection with one consuming channel per queue.
pub(super) struct Session {
    generation: u64,
    feeds: Vec<Feed>,
    /// The queue whose turn it is.
    turn: usize,
    begun: Instant,
    /// After the feeds: their channels say goodbye before the socket is shut.
    link: Link,
}

/// One queue's channel, its buffered deliveries and its open tags.
struct Feed {
    id: ChannelId,
    queue: Box<str>,
    dead_letters: bool,
    channel: Channel,
    stream: Consumer,
    /// Taken from the stream, but too big for the batch before.
    held: Option<Delivery>,
    window: Window,
    /// The most acknowledgements that wait behind a hole: half the prefetch, so that deliveries go on coming.
    most_waiting: usize,
    /// Since when acknowledgements wait for one and the same hole to be filled.
    waiting_since: Option<Instant>,
}

/// What a batch may still take.
struct Room {
    messages: usize,
    bytes: usize,
    batch: Vec<Delivery>,
}

impl Session {
    /// Connects, declares the topology and starts a consumer on each of `queues`.
    pub(super) async fn begin(
        options: &Options,
        name: &str,
        queues: &[String],
        generation: u64,
        health: &Arc<Health>,
    ) -> Result<Self, BrokerError> {
        let link = Link::open(options, name).await?;
        let set_up = async {
            topology::declare_on(&link.channel().await?, options).await?;
            let open = |(consumer, queue)| Feed::open(&link, options, queue, ChannelId { generation, consumer });
            future::try_join_all(queues.iter().map(String::as_str).enumerate().map(open)).await
        };
        let feeds = timeout(SETUP_LIMIT, set_up).await.map_err(|_| BrokerError::late("starting consumers"))??;
        Ok(Self { generation, feeds, turn: 0, begun: Instant::now(), link: link.watched(Role::Consuming, health) })
    }

    /// How long it has lived.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits for a delivery, then takes what has arrived already, up to the limits; a first delivery beyond
    /// `max_bytes` is taken alone. Cancel-safe.
    pub(super) async fn gather(&mut self, max_messages: usize, max_bytes: usize) -> Result<Vec<Delivery>, BrokerError> {
        poll_fn(|cx| {
            let mut room = Room { messages: max_messages.max(1), bytes: max_bytes, batch: Vec::new() };
            match self.take_in_turn(cx, &mut room) {
                Err(error) => Poll::Ready(Err(error)),
                Ok(()) if room.batch.is_empty() => Poll::Pending,
                Ok(()) => Poll::Ready(Ok(mem::take(&mut room.batch))),
            }
        })
        .await
    }

    fn take_in_turn(&mut self, cx: &mut Context<'_>, room: &mut Room) -> Result<(), BrokerError> {
        let mut idle = 0;
        while idle < self.feeds.len() && room.batch.len() < room.messages {
            let feed = &mut self.feeds[self.turn];
            match feed.poll_next(cx)? {
                Poll::Ready(next) => {
                    idle = 0;
                    feed.held = room.take(next);
                    if feed.held.is_some() {
                        return Ok(());
                    }
                }
                Poll::Pending => idle += 1,
            }
            self.turn = (self.turn + 1) % self.feeds.len();
        }
        Ok(())
    }

    /// Sends what settles `settled`, save acknowledgements behind a hole while these are few; returns how many belong to
    /// another generation and were left out.
    pub(super) async fn settle(&mut self, settled: &[Settled]) -> Result<u64, BrokerError> {
        let mut tags: Vec<(Vec<u64>, Vec<u64>)> = vec![(Vec::new(), Vec::new()); self.feeds.len()];
        let mut stale = 0;
        for one in settled {
            match tags.get_mut(one.channel.consumer).filter(|_| one.channel.generation == self.generation) {
                Some((acks, _)) if one.how == How::Ack => acks.push(one.tag),
                Some((_, requeues)) => requeues.push(one.tag),
                None => stale += 1,
            }
        }
        let sending = self.feeds.iter_mut().zip(tags).map(|(feed, (acks, requeues))| feed.settle(acks, requeues));
        in_time(sending).await.map(|()| stale)
    }

    /// Since when acknowledgements wait for one and the same hole to be filled, the longest.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.feeds.iter().filter_map(|feed| feed.waiting_since).min()
    }

    /// Sends the acknowledgements that have waited so long.
    pub(super) async fn wait_no_longer(&mut self, patience: Duration) -> Result<(), BrokerError> {
        let overdue = |feed: &&mut Feed| feed.waiting_since.is_some_and(|since| since.elapsed() >= patience);
        in_time(self.feeds.iter_mut().filter(overdue).map(Feed::wait_no_longer)).await
    }

    /// Stops the consumers, gives back all that is not settled, closes.
    pub(super) async fn drain(mut self) {
        let drained = future::join_all(self.feeds.iter_mut().map(Feed::give_back));
        if timeout(DRAIN_LIMIT, drained).await.is_err() {
            tracing::warn!("giving deliveries back took too long; the broker requeues them itself");
        }
        self.link.close().await;
    }
}

impl Room {
    /// Takes `next` into the batch, or gives it back if it does not fit.
    fn take(&mut self, next: Delivery) -> Option<Delivery> {
        if next.body.len() > self.bytes && !self.batch.is_empty() {
            return Some(next);
        }
        self.bytes = self.bytes.saturating_sub(next.body.len());
        self.batch.push(next);
        None
    }
}

impl Feed {
    async fn open(link: &Link, options: &Options, queue: &str, id: ChannelId) -> Result<Self, BrokerError> {
        let channel = link.channel().await?;
        let failed = |error: lapin::Error| BrokerError::of(format!("consuming queue `{queue}`"), &error);
        // Before the consumer starts, else the whole queue would pour into memory.
        channel.basic_qos(options.prefetch, BasicQosOptions { global: false }).await.map_err(failed)?;
        let consume =
            channel.basic_consume(short(queue)?, short("")?, BasicConsumeOptions::default(), FieldTable::default());
        let stream = consume.await.map_err(failed)?;
        let dead_letters = queue == options.dead_letter_queue;
        let most_waiting = usize::from(options.prefetch / 2);
        Ok(Self {
            id,
            queue: queue.into(),
            dead_letters,
            channel,
            stream,
            held: None,
            window: Window::default(),
            most_waiting,
            waiting_since: None,
        })
    }

    /// Sends what settles these tags, save acknowledgements that wait for a hole to be filled.
    async fn settle(&mut self, acks: Vec<u64>, requeues: Vec<u64>) -> lapin::Result<()> {
        let before = self.window.floor();
        send(&self.channel, self.window.settle(&acks, &requeues)).await?;
        if self.window.waiting() > self.most_waiting {
            return self.wait_no_longer().await;
        }
        let same_hole = self.window.floor() == before;
        let since = self.waiting_since.filter(|_| same_hole);
        self.waiting_since = (self.window.waiting() > 0).then(|| since.unwrap_or_else(Instant::now));
        Ok(())
    }

    async fn wait_no_longer(&mut self) -> lapin::Result<()> {
        self.waiting_since = None;
        send(&self.channel, self.window.no_longer()).await
    }

    /// The next delivery. An error, and an end as well: nobody but us may cancel a consumer.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Result<Poll<Delivery>, BrokerError> {
        if let Some(held) = self.held.take() {
            return Ok(Poll::Ready(held));
        }
        match self.stream.poll_next_unpin(cx) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Some(Ok(came))) => {
                self.window.deliver(came.delivery_tag);
                Ok(Poll::Ready(convert::delivery(came, &self.queue, self.dead_letters, self.id)))
            }
            Poll::Ready(Some(Err(error))) => Err(BrokerError::of(format!("consuming queue `{}`", self.queue), &error)),
            Poll::Ready(None) => Err(BrokerError::Unavailable {
                doing: format!("consuming queue `{}`", self.queue),
                said: "the broker ended it: the queue was deleted, or its node is gone".to_owned(),
            }),
        }
    }

    /// Cancels the consumer and requeues every delivery that is not settled, handed out or not.
    async fn give_back(&mut self) {
        if self.channel.basic_cancel(self.stream.tag(), BasicCancelOptions::default()).await.is_err() {
            return;
        }
        while let Some(Ok(came)) = self.stream.next().now_or_never().flatten() {
            self.window.deliver(came.delivery_tag);
        }
        if self.wait_no_longer().await.is_err() {
            return;
        }
        if let Some(last) = self.window.unsettled() {
            let all = BasicNackOptions { multiple: true, requeue: true };
            // If it fails the channel is gone, and the broker has requeued them.
            let _ = self.channel.basic_nack(last, all).await;
        }
    }
}

/// Sends acknowledgements within their limit.
async fn in_time(
    sending: impl IntoIterator<Item = impl Future<Output = lapin::Result<()>>>,
) -> Result<(), BrokerError> {
    match timeout(SETTLE_LIMIT, future::try_join_all(sending)).await {
        Ok(sent) => sent.map(drop).map_err(|error| BrokerError::of("acknowledging", &error)),
        Err(_) => Err(BrokerError::late("acknowledging")),
    }
}

/// Requeues first: a multiple-acknowledge that reaches over a requeued tag must find it settled.
async fn send(channel: &Channel, plan: Plan) -> lapin::Result<()> {
    let requeue = BasicNackOptions { multiple: false, requeue: true };
    future::try_join_all(plan.requeues.iter().map(|tag| channel.basic_nack(*tag, requeue))).await?;
    let ack = |(tag, multiple)| channel.basic_ack(tag, BasicAckOptions { multiple });
    future::try_join_all(plan.acks.into_iter().map(ack)).await.map(drop)
}
