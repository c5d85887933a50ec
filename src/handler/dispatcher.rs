//! Between the broker and the lanes: takes what has come once a lane is free, decodes it, shares it out by customer
//! ([`Sharing`]), and acknowledges what lanes say is done.
//!
//! While all lanes are busy nothing is taken: it waits in the driver's buffers, which the prefetch bounds, and so the
//! next batch is as large as the load makes it. A lane says that something is done after the commit that holds the
//! outcome. A delivery that came too often before is handed on undecoded.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use futures::FutureExt;
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
                        if !stopping {
                            self.top_up();
                        }
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

    /// Takes what has come meanwhile if older messages wait: a lane that is free now gets both at once, and not the older
    /// ones alone.
    fn top_up(&mut self) {
        let room = self.sharing.room(self.waiting.len());
        if self.waiting.is_empty() || room == 0 {
            return;
        }
        if let Some(Some(came)) = self.consumers.next_batch(room, self.most_bytes).now_or_never() {
            let mut new = self.decode(came);
            self.waiting.append(&mut new);
        }
    }

    /// Decodes what came, and gives lanes what they can have.
    fn take(&mut self, came: Vec<Delivery>) {
        let mut new = self.decode(came);
        // What waits already is held by a lane that is busy.
        self.share_out(&mut new);
        self.waiting.append(&mut new);
    }

    /// Decodes what came, and forgets what waits if it came by an earlier session.
    fn decode(&mut self, came: Vec<Delivery>) -> VecDeque<Work> {
        self.forget_stale();
        let mut new = VecDeque::with_capacity(came.len());
        for delivery in came {
            let mut work = if is_suspect(&delivery) { Work::unread(delivery) } else { Work::new(delivery) };
            let customer = work.decoded.as_ref().ok().and_then(|decoded| decoded.message.content.customer());
            work.share = customer.map(|customer| self.hasher.hash_one(customer.as_str()));
            new.push_back(work);
        }
        new
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::timeout;

    use super::*;
    use crate::broker::tests::Place;
    use crate::broker::{Options, Outgoing, publish_all};

    const LIMIT: Duration = Duration::from_secs(30);

    /// A dispatcher on queue `a` of its own place, with two lanes that are played by the test. Each may have up to four
    /// messages.
    struct Played {
        place: Place,
        lanes: Vec<mpsc::UnboundedReceiver<Vec<Work>>>,
        said: mpsc::UnboundedSender<Said>,
        stop: watch::Sender<bool>,
        published: usize,
    }

    impl Played {
        async fn new() -> Self {
            let place = Place::new().await;
            let options = Arc::new(Options { prefetch: 16, ..Options::clone(&place.options) });
            let (ways, lanes) = (0..2).map(|_| mpsc::unbounded_channel()).unzip();
            let (said, hears) = mpsc::unbounded_channel();
            let (stop, stopped) = watch::channel(false);
            let consumers = Consumers::start(options, "played", vec![place.name("a")], Arc::default());
            tokio::spawn(Dispatcher::new(consumers, ways, hears, (4, 1 << 20), stopped).run());
            Self { place, lanes, said, stop, published: 0 }
        }

        /// Publishes a message of `customer`, and waits until the broker has sent it on.
        async fn publish(&mut self, customer: &str) -> String {
            self.published += 1;
            let id = format!("{customer}-{}", self.published);
            let body = serde_json::json!({
                "specversion": "1.0", "id": id, "source": "/test", "type": "signup", "time": "2026-01-12T09:30:00Z",
                "data": { "customer_id": customer }
            });
            let message = Outgoing {
                routing_key: "a".to_owned(),
                message_id: id.clone(),
                kind: "signup",
                content_type: "application/cloudevents+json",
                body: serde_json::to_vec(&body).unwrap(),
            };
            let options = &self.place.options;
            publish_all(options, &options.billing_exchange, vec![message]).await.unwrap();
            self.place.until_ready("a", 0).await;
            id
        }

        fn is_free(&self, lane: usize) {
            self.said.send(Said::Free(lane)).unwrap();
        }

        /// The ids of what a lane is given next.
        async fn given(&mut self, lane: usize) -> Vec<String> {
            let works = timeout(LIMIT, self.lanes[lane].recv()).await.expect("the lane is given something").unwrap();
            works.iter().map(|work| work.decoded.as_ref().unwrap().message.key.id.as_str().to_owned()).collect()
        }

        async fn remove(self) {
            self.stop.send(true).unwrap();
            drop(self.said);
            self.place.remove().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lane_that_is_free_gets_what_came_meanwhile_along_with_what_waits() {
        let mut played = Played::new().await;
        played.is_free(0);
        played.publish("ada").await;
        played.given(0).await;
        // Lane 0 has Ada in hand. What the broker has sent may not be here yet: then it waits in the next round.
        let rounds = async {
            let mut waits = Vec::new();
            loop {
                played.is_free(1);
                waits.push(played.publish("ada").await);
                // Once lane 1 has this, what came before waits; and nothing is taken while both are busy.
                played.publish("bob").await;
                played.given(1).await;
                let came = played.publish("ada").await;
                played.is_free(0);
                let given = played.given(0).await;
                assert_eq!(given[..waits.len()], waits, "in order");
                if given.contains(&came) {
                    return;
                }
                waits = vec![came];
            }
        };
        timeout(LIMIT, rounds).await.expect("one batch of both");
        played.remove().await;
    }
}
