//! Time from publish to published event at a steady pace that leaves the workers mostly idle.
//!
//! Open loop: each message has its instant, whatever became of those before it. Both workers are up all the time and
//! take turns in blocks, so that a drift of the machine meets both. A time runs from just before the publish to the
//! receipt by a consumer of the events, both in this process; the event names its message as its cause.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use lapin::{Connection, Consumer};
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};

use crate::bench::{Bench, STALL_LIMIT};
use crate::broker::{self, Publisher, confirmed};
use crate::message::{self, Message};
use crate::names::MESSAGE_TYPE;
use crate::process::Process;
use crate::report::{Latency, Report};
use crate::settings::Part;
use crate::subject::Subject;

/// Between two messages: 100 a second.
const PACE: Duration = Duration::from_millis(10);
/// Turns of each worker: short ones, since a machine's own pace changes within a minute.
const BLOCKS: u64 = 15;
/// Messages at the head of a block that are not counted.
const WARM_UP: u64 = 100;
/// Each message of a customer of its own.
const CUSTOMERS: u64 = u64::MAX;

/// Runs the blocks and enters the percentiles.
///
/// # Errors
/// A message without its event, or with two.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let wanted = [(Part::LatencyPerMessage, Subject::PerMessage), (Part::LatencyCredits, Subject::Credits)];
    let mut turns = Vec::new();
    for (_, subject) in wanted.into_iter().filter(|(part, _)| bench.settings.wants(*part)) {
        turns.push(Turns::begin(bench, subject).await?);
    }
    bench.rest().await?;
    for block in 1..=BLOCKS {
        for turn in &mut turns {
            let label = turn.subject.label();
            turn.block(bench).await.with_context(|| format!("latency block {block}, {label}"))?;
        }
    }
    for turn in turns {
        let figure = match turn.subject {
            Subject::PerMessage => &mut report.per_message_latency,
            Subject::Ceiling | Subject::Credits => &mut report.credits_latency,
        };
        *figure = Latency::of(turn.end(bench).await?);
    }
    Ok(())
}

/// One worker that runs and is measured now and then.
struct Turns {
    subject: Subject,
    process: Process,
    publisher: Publisher,
    events: Consumer,
    /// Kept for the consumer's sake.
    _receiving: Connection,
    /// The number of the next message.
    next: u64,
    times: Vec<Duration>,
}

impl Turns {
    async fn begin(bench: &Bench, subject: Subject) -> Result<Self> {
        let names = subject.names();
        subject.prepare(bench).await?;
        let mut process = subject.start(bench)?;
        bench.until_consuming(&names, &mut process).await?;

        let publisher = bench.broker.publisher(&names.billing_exchange, MESSAGE_TYPE).await?;
        let receiving = broker::connect(&bench.settings.amqp_url).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let channel = receiving.create_channel().await?;
        let events =
            channel.basic_consume(names.outbound.into(), "bench".into(), options, FieldTable::default()).await?;
        Ok(Self { subject, process, publisher, events, _receiving: receiving, next: 0, times: Vec::new() })
    }

    /// Publishes a block at the pace and takes the time of each message after the warm-up.
    async fn block(&mut self, bench: &Bench) -> Result<()> {
        let counted = bench.settings.latency_messages.div_ceil(BLOCKS);
        let numbers = self.next..self.next + WARM_UP + counted;
        self.next = numbers.end;
        let payments = numbers.clone().map(|number| bench.template.payment(number, CUSTOMERS));
        let messages: Vec<Message> = payments.collect::<Result<_>>()?;

        self.process.check_alive()?;
        let (sent, received) =
            tokio::try_join!(publish(&self.publisher, &messages), receive(&mut self.events, messages.len()))?;
        let times = match_up(numbers, &sent, &received)?.split_off(usize::try_from(WARM_UP)?);
        if let Some(Latency { p50, p99 }) = Latency::of(times.clone()) {
            eprintln!("latency of {}: p50 {p50:.2} ms, p99 {p99:.2} ms", self.subject.label());
        }
        self.times.extend(times);
        Ok(())
    }

    /// Stops the worker, checks its work, gives all times.
    async fn end(self, bench: &Bench) -> Result<Vec<Duration>> {
        self.process.stop().await?;
        self.subject.verify(bench, self.next).await?;
        self.subject.clear(bench).await?;
        Ok(self.times)
    }
}

/// Publishes each message at its instant; gives the instants at which they really went.
async fn publish(publisher: &Publisher, messages: &[Message]) -> Result<Vec<Instant>> {
    let (mut sent, mut confirms) = (Vec::new(), Vec::new());
    let mut due = Instant::now() + PACE;
    for message in messages {
        sleep_until(due).await;
        sent.push(Instant::now());
        confirms.push(publisher.publish(&message.id, &message.body).await?);
        due += PACE;
    }
    for confirm in confirms {
        confirmed(confirm).await?;
    }
    Ok(sent)
}

/// Takes `count` events with the instants of their receipt.
async fn receive(events: &mut Consumer, count: usize) -> Result<Vec<(Instant, Vec<u8>)>> {
    let mut received = Vec::with_capacity(count);
    while received.len() < count {
        let next = timeout(STALL_LIMIT, events.next()).await;
        let next = next.with_context(|| format!("no event for {STALL_LIMIT:?}, {} of {count}", received.len()))?;
        let event = next.context("the consumer of events was cancelled")??;
        received.push((Instant::now(), event.data));
    }
    Ok(received)
}

/// The time of each message, in their order.
fn match_up(
    numbers: impl Iterator<Item = u64>,
    sent: &[Instant],
    received: &[(Instant, Vec<u8>)],
) -> Result<Vec<Duration>> {
    let mut receipts = HashMap::new();
    for (at, event) in received {
        let event: Value = serde_json::from_slice(event)?;
        let cause = event.pointer("/data/cause/id").and_then(Value::as_str).context("an event without a cause")?;
        ensure!(receipts.insert(cause.to_owned(), *at).is_none(), "two events of {cause}");
    }
    let times = numbers.zip(sent).map(|(number, sent)| {
        let id = message::id(number);
        let receipt = receipts.get(&id).with_context(|| format!("no event of {id}"))?;
        Ok(receipt.duration_since(*sent))
    });
    times.collect()
}
