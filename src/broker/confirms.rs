//! Brings each published message's fate back to whoever published it.
//!
//! The broker sends a message that it cannot route back *before* it confirms it, and the driver hands a returned message
//! to whichever confirm happens to complete next, so `Ack` with nothing attached does not mean that this message was
//! routed. Hence one task per publisher holds all open confirms: whenever some have completed it first takes all that
//! have, notes every returned message by its id, and only then gives verdicts. A return always completes no later than
//! its own message's confirm, so it is in that set or was noted before.

use std::collections::HashMap;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use lapin::Confirmation;
use lapin::message::BasicReturnMessage;
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

/// A message on its way.
pub(super) struct Sent {
    pub(super) message_id: String,
    pub(super) outcome: BoxFuture<'static, lapin::Result<Confirmation>>,
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

/// Follows all messages of one publisher until it is dropped and the last of them has its verdict.
pub(super) async fn follow(mut sent: mpsc::UnboundedReceiver<Sent>) {
    let mut open = FuturesUnordered::new();
    let mut returned = Returned::default();
    let mut more = true;
    while more || !open.is_empty() {
        tokio::select! {
            next = sent.recv(), if more => match next {
                Some(message) => open.push(message.done()),
                None => more = false,
            },
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
    async fn done(self) -> Done {
        let outcome = self.outcome.await;
        Done { message_id: self.message_id, outcome, tell: self.tell, _place: self.place }
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
