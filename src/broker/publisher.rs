//! Messages out, pipelined, each with its own verdict.
//!
//! Persistent, mandatory, under publisher confirms. [`Publisher::publish`] queues the message and returns; one task hands
//! all of them to the driver in the order of the calls, and what became of each is awaited apart. A publisher lives as
//! long as its channel: after an error every open confirm is [`Confirm::Unknown`], and the caller connects again and
//! publishes again under the same ids. While the broker blocks publishers nothing fails: publishing waits once the
//! messages in flight are at their limit, and the time does not count against a confirm.
//!
//! Called by `relay`, and through [`publish_all`] by `cli`. It never retries and never skips a message by itself.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{BasicProperties, Channel};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

pub use super::confirms::Confirm;
use super::confirms::{self, Sent};
use super::error::BrokerError;
use super::health::{Health, Role};
use super::link::Link;
use super::options::{Options, short};
use super::topology::{self, SETUP_LIMIT};
use super::types::Outgoing;

/// Under this name the health view shows what is wrong with publishing.
const RELAY: &str = "relay";
/// The delivery mode that survives a broker's restart.
const PERSISTENT: u8 = 2;

/// Why a message was not published at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// It can never be sent: an id or a routing key is longer than AMQP allows.
    #[error("the message cannot be sent: {0}")]
    Unfit(BrokerError),
    /// The channel is gone: connect again.
    #[error("the publishing channel is gone")]
    Closed,
}

/// One channel in confirm mode, on a connection that only publishes.
pub struct Publisher {
    channel: Arc<Channel>,
    places: Arc<Semaphore>,
    sent: mpsc::UnboundedSender<Sent>,
    confirm_timeout: Duration,
    link: Link,
}

impl Publisher {
    /// Connects to publish ledger events, and declares their exchange.
    ///
    /// # Errors
    /// [`BrokerError`] if the broker cannot be used, or has the exchange with other settings; told in `health` too.
    pub async fn connect(options: &Options, health: &Arc<Health>) -> Result<Self, BrokerError> {
        let connected = Self::connect_declared(options, health).await;
        match &connected {
            Ok(_) => health.recovered(RELAY),
            Err(error) => drop(health.failed(RELAY, &error.to_string())),
        }
        connected
    }

    async fn connect_declared(options: &Options, health: &Arc<Health>) -> Result<Self, BrokerError> {
        let link = Link::open(options, "credits relay").await?;
        let set_up = async {
            let channel = link.channel().await?;
            topology::declare_output(&channel, options).await?;
            confirming(&channel).await.map(|()| channel)
        };
        let channel = timeout(SETUP_LIMIT, set_up).await.map_err(|_| BrokerError::late("starting to publish"))??;
        Self::on(link.watched(Role::Publishing, health), channel, options, &options.credits_exchange)
    }

    /// Connects to publish to `exchange`, which must exist.
    async fn connect_to(options: &Options, exchange: &str) -> Result<Self, BrokerError> {
        let link = Link::open(options, "credits publish").await?;
        let channel = link.channel().await?;
        confirming(&channel).await?;
        Self::on(link.watched(Role::Publishing, &Arc::default()), channel, options, exchange)
    }

    fn on(link: Link, channel: Channel, options: &Options, exchange: &str) -> Result<Self, BrokerError> {
        let (sent, messages) = mpsc::unbounded_channel();
        let channel = Arc::new(channel);
        tokio::spawn(confirms::follow(Arc::clone(&channel), short(exchange)?, messages));
        Ok(Self {
            channel,
            places: Arc::new(Semaphore::new(options.channel_max_in_flight)),
            sent,
            confirm_timeout: options.confirm_timeout,
            link,
        })
    }

    /// Publishes one message behind those before it; waits only while too many are in flight. Cancel-safe.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was sent.
    pub async fn publish(&mut self, message: Outgoing) -> Result<PendingConfirm, PublishError> {
        let properties = properties(&message).map_err(PublishError::Unfit)?;
        let key = short(&message.routing_key).map_err(PublishError::Unfit)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| PublishError::Closed)?;
        if !self.channel.status().connected() {
            return Err(PublishError::Closed);
        }
        let (tell, told) = oneshot::channel();
        let Outgoing { message_id, body, .. } = message;
        let sent = Sent { message_id, key, properties, body, tell, place };
        self.sent.send(sent).map_err(|_| PublishError::Closed)?;
        Ok(PendingConfirm { told, blocked: self.link.blocked(), limit: self.confirm_timeout, until: None })
    }

    /// Whether the broker blocks publishers now, and every change of it.
    #[must_use]
    pub fn blocked(&self) -> watch::Receiver<bool> {
        self.link.blocked()
    }

    /// Closes in order. Open confirms become [`Confirm::Unknown`].
    pub async fn close(self) {
        self.link.close().await;
    }
}

/// The verdict on one message, once it is there.
#[derive(Debug)]
pub struct PendingConfirm {
    told: oneshot::Receiver<Confirm>,
    blocked: watch::Receiver<bool>,
    limit: Duration,
    /// Until when it is waited for, once somebody waits.
    until: Option<Instant>,
}

impl PendingConfirm {
    /// Waits for the verdict, [`Confirm::Unknown`] after the confirm timeout. Time in which the broker blocks
    /// publishers does not count. Cancel-safe; to be asked no more once it has told.
    pub async fn confirmed(&mut self) -> Confirm {
        loop {
            let blocked = *self.blocked.borrow_and_update();
            let until = *self.until.get_or_insert_with(|| Instant::now() + self.limit);
            tokio::select! {
                biased;
                told = &mut self.told => return told.unwrap_or_else(|_| unknown("the publisher is gone")),
                Ok(()) = self.blocked.changed() => self.until = None,
                () = sleep_until(until), if !blocked => return unknown("no confirm in time"),
            }
        }
    }

    /// The verdict if it is there already.
    pub fn now(&mut self) -> Option<Confirm> {
        match self.told.try_recv() {
            Ok(told) => Some(told),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(unknown("the publisher is gone")),
        }
    }
}

/// Publishes all to `exchange` over one connection, and returns what became of each, in order.
///
/// # Errors
/// [`BrokerError`] if the broker cannot be used, or a message can never be sent; then nothing was published.
pub async fn publish_all(
    options: &Options,
    exchange: &str,
    messages: Vec<Outgoing>,
) -> Result<Vec<Confirm>, BrokerError> {
    for message in &messages {
        properties(message)?;
        short(&message.routing_key)?;
    }
    let mut publisher = Publisher::connect_to(options, exchange).await?;
    let mut pending = Vec::with_capacity(messages.len());
    for message in messages {
        pending.push(publisher.publish(message).await);
    }
    let mut confirms = Vec::with_capacity(pending.len());
    for one in pending {
        confirms.push(match one {
            Ok(mut pending) => pending.confirmed().await,
            Err(error) => unknown(&error.to_string()),
        });
    }
    publisher.close().await;
    Ok(confirms)
}

async fn confirming(channel: &Channel) -> Result<(), BrokerError> {
    let selected = channel.confirm_select(ConfirmSelectOptions::default()).await;
    selected.map_err(|error| BrokerError::of("asking for publisher confirms", &error))
}

fn properties(message: &Outgoing) -> Result<BasicProperties, BrokerError> {
    Ok(BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short(&message.message_id)?)
        .with_type(short(message.kind)?)
        .with_content_type(short(message.content_type)?))
}

fn unknown(reason: &str) -> Confirm {
    Confirm::Unknown { reason: reason.to_owned() }
}
