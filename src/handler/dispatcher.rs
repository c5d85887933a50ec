//! Between the broker and the lanes: takes what has come once a lane is free, decodes it, shares it out by customer
//! ([`Sharing`]), and acknowledges what lanes say is done.
//!
//! While all lanes are busy nothing is taken: it waits in the driver's buffers, which the prefetch bounds, and so the
//! next batch is as large as the load makes it. A lane says that something is done after the commit that holds the
//! outcome. A delivery that came too often before is handed on undecoded.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::intake::{Work, is_suspect};
use super::sharing::{Share, Shared, Sharing};
use crate::broker::{Consumers, Delivery, Settled};

/// So long the acknowledgement of a few messages waits, for their events to go first: the broker writes both to disk, one
/// after the other, and only for an event somebody waits.
const HEAD_START: Duration = Duration::from_millis(5);
/// The most acknowledgements that wait for that.
const HELD_BACK: usize = 20;

/// So long an acknowledgement waits for those of messages that came earlier, in another lane's hands: while all lanes are
/// busy, and while one is free and may lack messages for it.
const BEHIND_A_HOLE: Duration = Duration::from_millis(200);
const WITH_TIME_TO_SPARE: Duration = Duration::from_millis(20);

/// What a lane says.
#[derive(Debug)]
pub enum Said {
    /// These have their outcome.
    Done(Vec<Settled>),
    /// This lane has nothing in hand.
    Free(usize),
    /// This lane is not free any more, though it was given nothing.
    Busy(usize),
    /// What this lane has in hand may take long: nothing need wait for it.
    Slow(usize),
}

/// The dispatcher of a process.
pub struct Dispatcher {
    consumers: Consumers,
    lanes: Vec<mpsc::UnboundedSender<Vec<Work>>>,
    said: mpsc::UnboundedReceiver<Said>,
    stop: watch::Receiver<bool>,
    /// The most bytes that are taken at once.
    most_bytes: usize,
    sharing: Sharing,
    hasher: RandomState,
    /// What came and no lane could have yet, and the session it came by.
    waiting: VecDeque<Work>,
    generation: u64,
    /// What is done and not acknowledged yet, and when it is to be.
    unsettled: Vec<Settled>,
    settle_at: Instant,
}

impl Dispatcher {
    /// Gives what `consumers` bring to `lanes`, so many messages and bytes at once at most, and hears what they `said`.
    ///
    /// No lane gets more at once than half of its part of the prefetch: the next batch of each is on its way or here by
    /// then. One that took all would leave crumbs to the others.
    #[must_use]
    pub fn new(
        consumers: Consumers,
        lanes: Vec<mpsc::UnboundedSender<Vec<Work>>>,
        said: mpsc::UnboundedReceiver<Said>,
        limits: (usize, usize),
        stop: watch::Receiver<bool>,
    ) -> Self {
        let part = consumers.prefetch() / (2 * lanes.len().max(1));
        let (messages, most_bytes) = limits;
        Self {
            sharing: Sharing::new(lanes.len(), (messages.min(part).max(1), most_bytes)),
            consumers,
            lanes,
            said,
            stop,
            most_bytes,
            hasher: RandomState::new(),
            waiting: VecDeque::new(),
            generation: 0,
            unsettled: Vec::new(),
            settle_at: Instant::now(),
        }
    }

    /// Works until all lanes have ended, and takes nothing new once the process is asked to stop.
    pub async fn run(mut self) {
        let mut stop = self.stop.clone();
        let mut stopping = false;
        loop {
            let room = if stopping { 0 } else { self.sharing.room(self.waiting.len()) };
            let takes = room > 0;
            let patience = if takes { WITH_TIME_TO_SPARE } else { BEHIND_A_HOLE };
            let waiting_since = self.consumers.waiting_since();
            let patient_until = waiting_since.unwrap_or(self.settle_at) + patience;
            tokio::select! {
                biased;
                said = self.said.recv() => match said {
                    Some(Said::Done(settled)) => self.note(settled).await,
                    Some(Said::Free(lane)) => {
                        self.sharing.is_free(lane);
                        self.share_out_waiting();
                    }
                    Some(Said::Busy(lane)) => self.sharing.is_busy(lane),
                    Some(Said::Slow(lane)) => {
                        self.sharing.lets_go(lane);
                        self.share_out_waiting();
                        // If the process dies of it, what was done before has not come in vain.
                        self.settle().await;
                        self.consumers.wait_no_longer(Duration::ZERO).await;
                    }
                    None => break,
                },
                () = async { drop(stop.wait_for(|stop| *stop).await) }, if !stopping => stopping = true,
                () = tokio::time::sleep_until(self.settle_at.into()), if !self.unsettled.is_empty() => self.settle().await,
                () = tokio::time::sleep_until(patient_until.into()), if waiting_since.is_some() => {
                    self.consumers.wait_no_longer(patience).await;
                }
                came = self.consumers.next_batch(room, self.most_bytes), if takes => match came {
                    Some(came) => self.take(came),
                    None => break,
                },
            }
        }
        self.settle().await;
        self.consumers.stop().await;
    }

    /// Decodes what came, and gives lanes what they can have.
    fn take(&mut self, came: Vec<Delivery>) {
        self.forget_stale();
        let mut new = VecDeque::with_capacity(came.len());
        for delivery in came {
            let mut work = if is_suspect(&delivery) { Work::unread(delivery) } else { Work::new(delivery) };
            let customer = work.decoded.as_ref().ok().and_then(|decoded| decoded.message.content.customer());
            work.share = customer.map(|customer| self.hasher.hash_one(customer.as_str()));
            new.push_back(work);
        }
        // What waits already is held by a lane that is busy.
        self.share_out(&mut new);
        self.waiting.append(&mut new);
    }

    fn share_out_waiting(&mut self) {
        self.forget_stale();
        let mut waiting = std::mem::take(&mut self.waiting);
        self.share_out(&mut waiting);
        self.waiting = waiting;
    }

    /// What waits and came by a session that is gone comes again.
    fn forget_stale(&mut self) {
        if self.generation != self.consumers.generation() {
            self.generation = self.consumers.generation();
            self.waiting.clear();
        }
    }

    fn share_out(&mut self, works: &mut VecDeque<Work>) {
        for (lane, batch) in self.sharing.share_out(works) {
            // A lane that has ended leaves its messages: they come again.
            let _ = self.lanes[lane].send(batch);
        }
    }

    /// Acknowledges what is done, a few messages a little later.
    async fn note(&mut self, settled: Vec<Settled>) {
        if self.unsettled.is_empty() {
            self.settle_at = Instant::now() + HEAD_START;
        }
        self.unsettled.extend(settled);
        // Never so many that they keep the next messages from coming.
        if self.unsettled.len() > HELD_BACK.min(self.consumers.prefetch() / 4) {
            self.settle().await;
        }
    }

    async fn settle(&mut self) {
        if !self.unsettled.is_empty() {
            self.consumers.settle(&self.unsettled).await;
            self.unsettled.clear();
        }
    }
}

impl Shared for Work {
    fn share(&self) -> Option<Share> {
        self.share
    }

    fn bytes(&self) -> usize {
        self.delivery.body.len()
    }
}
