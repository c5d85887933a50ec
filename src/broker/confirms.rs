//! Hands messages to the driver, and brings each one's fate back to whoever published it.
//!
//! The broker sends a message that it cannot route back *before* it confirms it, and the driver hands a returned message
//! to whichever confirm happens to complete next, so `Ack` with nothing attached does not mean that this message was
//! routed. Hence one task per publisher hands over all its messages and holds all open confirms: whenever some have
//! completed it first takes all that have, notes every returned message by its id, and only then gives verdicts. A return
//! always completes no later than its own message's confirm, so it is in that set or was noted before.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::error::words;

/// What became of one published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirm {
    /// The broker has it, on as many disks as its queues ask for.
    Acked,
    /// A queue refused it, because it is full for one: nobody has it for sure.
    Nacked,
    /// No queue is bound for its routing key; the broker's reason. It is gone.
    Returned {
        /// The broker's words, `NO_ROUTE`.
        reason: String,
    },
    /// The connection ended or the confirm did not come: the broker may have it or not.
    Unknown {
        /// What happened.
        reason: String,
    },
}

/// The most messages handed over before the next look at confirms.
const AT_ONCE: usize = 500;

/// A message on its way.
pub(super) struct Sent {
    pub(super) message_id: String,
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
    pub(super) tell: oneshot::Sender<Confirm>,
    /// Its place among the messages in flight.
    pub(super) place: OwnedSemaphorePermit,
}

struct Done {
    message_id: String,
    outcome: lapin::Result<Confirmation>,
    tell: oneshot::Sender<Confirm>,
    _place: OwnedSemaphorePermit,
}

/// Publishes and follows all messages of one publisher until it is dropped and the last of them has its verdict.
pub(super) async fn follow(channel: Arc<Channel>, exchange: ShortString, mut sent: mpsc::UnboundedReceiver<Sent>) {
    let mut messages = Vec::new();
    let mut open = FuturesUnordered::new();
    let mut returned = Returned::default();
    let mut more = true;
    while more || !open.is_empty() {
        tokio::select! {
            taken = sent.recv_many(&mut messages, AT_ONCE), if more => {
                more = taken > 0;
                for message in messages.drain(..) {
                    open.push(message.begin(&channel, &exchange));
                }
            }
            Some(first) = open.next(), if !open.is_empty() => {
                let mut done = vec![first];
                while let Some(Some(next)) = open.next().now_or_never() {
                    done.push(next);
                }
                returned.settle(done);
            }
        }
    }
}

impl Sent {
    /// Hands the message to the driver here and now, behind those before it. What comes of it is there when it is polled.
    fn begin(self, channel: &Arc<Channel>, exchange: &ShortString) -> BoxFuture<'static, Done> {
        let (channel, exchange) = (Arc::clone(channel), exchange.clone());
        let mut done = self.done(channel, exchange).boxed();
        // Nobody has to be woken yet: the set of open confirms polls it again before it waits.
        match done.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => std::future::ready(done).boxed(),
            Poll::Pending => done,
        }
    }

    /// Publishes and waits for the confirm; the first poll hands the frames over.
    async fn done(self, channel: Arc<Channel>, exchange: ShortString) -> Done {
        let Self { message_id, key, properties, body, tell, place } = self;
        let mandatory = BasicPublishOptions { mandatory: true, immediate: false };
        let outcome = match channel.basic_publish(exchange, key, mandatory, &body, properties).await {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        Done { message_id, outcome, tell, _place: place }
    }
}

/// Returned messages whose own confirm has not completed yet: reasons by message id.
#[derive(Default)]
struct Returned(HashMap<String, Vec<String>>);

impl Returned {
    fn settle(&mut self, done: Vec<Done>) {
        for one in &done {
            if let Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) = &one.outcome {
                self.note(message);
            }
        }
        for one in done {
            let verdict = self.verdict(&one.message_id, &one.outcome);
            // Nobody waits for it any more: that is the publisher's choice.
            let _ = one.tell.send(verdict);
        }
    }

    fn note(&mut self, message: &BasicReturnMessage) {
        if let Some(id) = message.delivery.properties.message_id() {
            self.0.entry(id.to_string()).or_default().push(message.reply_text.to_string());
        }
    }

    fn verdict(&mut self, message_id: &str, outcome: &lapin::Result<Confirmation>) -> Confirm {
        match outcome {
            Ok(Confirmation::Ack(_)) => self.take(message_id).map_or(Confirm::Acked, returned),
            Ok(Confirmation::Nack(_)) => self.take(message_id).map_or(Confirm::Nacked, returned),
            Ok(Confirmation::NotRequested) => Confirm::Unknown { reason: "confirm mode is off".to_owned() },
            Err(error) => Confirm::Unknown { reason: words(error) },
        }
    }

    fn take(&mut self, message_id: &str) -> Option<String> {
        let reasons = self.0.get_mut(message_id)?;
        let reason = reasons.pop();
        if reasons.is_empty() {
            self.0.remove(message_id);
        }
        reason
    }
}

fn returned(reason: String) -> Confirm {
    Confirm::Returned { reason }
}
