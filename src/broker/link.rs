//! One broker connection: opened within a limit, watched, and gone when it is dropped.
//!
//! The driver leaves a thread and a socket behind for ever if a peer accepts the connection and then says nothing, or
//! if a blocked connection is dropped. So we dial ourselves and keep a second handle of the socket: dropping a [`Link`],
//! or the attempt to open one, shuts the socket and with it the driver's thread. The driver's own recovery stays off.
//! Nothing else in this room asks for the parsed URL, which prints its password.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures::{AsyncRead, AsyncWrite, Stream, StreamExt};
use lapin::tcp::{AsyncTcpStream, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, ConnectionStatus, Event};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::error::BrokerError;
use super::health::{Health, Role, Up};
use super::options::Options;
use super::screen::Screen;

/// For the closing handshake; afterwards the socket is shut anyway.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// One open connection.
pub(super) struct Link {
    connection: Connection,
    blocked: watch::Sender<bool>,
    watcher: Option<JoinHandle<()>>,
    /// Last: shutting the socket ends what the fields above left behind.
    _socket: Socket,
}

impl Link {
    /// Connects and logs in as `name`.
    pub(super) async fn open(options: &Options, name: &str) -> Result<Self, BrokerError> {
        let socket = Socket::new();
        let connection = connect(options, name, &socket).await?;
        Ok(Self { connection, blocked: watch::Sender::new(false), watcher: None, _socket: socket })
    }

    /// Counts it as up from now on, for as long as it is.
    pub(super) fn watched(mut self, role: Role, health: &Arc<Health>) -> Self {
        let (events, status) = (self.connection.events_listener(), self.connection.status().clone());
        let up = Up::new(Arc::clone(health), role);
        self.watcher = Some(tokio::spawn(watch_events(events, status, self.blocked.clone(), up)));
        self
    }

    /// Opens a channel.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        self.connection.create_channel().await.map_err(|error| BrokerError::of("opening a channel", &error))
    }

    /// Whether the broker blocks this connection's publishes now, and every change of it.
    pub(super) fn blocked(&self) -> watch::Receiver<bool> {
        self.blocked.subscribe()
    }

    /// Closes in order, within a limit.
    pub(super) async fn close(self) {
        // An error or a timeout changes nothing: the drop below shuts the socket.
        let _ = timeout(CLOSE_LIMIT, self.connection.close(200, "OK".into())).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(watcher) = &self.watcher {
            watcher.abort();
        }
    }
}

async fn connect(options: &Options, name: &str, socket: &Socket) -> Result<Connection, BrokerError> {
    let uri = options.uri()?;
    let doing = format!("connecting to {}:{}", uri.authority.host, uri.authority.port);
    let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), Screened(Tokio::current())));
    let (handle, given_up) = (Arc::clone(&socket.handle), socket.given_up());
    let attempt = Connection::connector(
        uri,
        runtime,
        async move |uri, _| {
            let mut given_up = given_up.clone();
            let dialled = async {
                let plain = Tokio::current().tcp_connect(addresses(&uri).await?).await?;
                keep(&handle, plain.get_ref())?;
                Ok(AsyncTcpStream::Plain(Screen::new(secured(AsyncTcpStream::Plain(plain), &uri).await?)))
            };
            // Not a timer: one that is polled while the runtime shuts down panics on the driver's thread.
            tokio::select! {
                done = dialled => done,
                _ = given_up.changed() => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        },
        properties(name),
    );
    match timeout(options.connect_timeout, attempt).await {
        Ok(done) => done.map_err(|error| BrokerError::of(doing, &error)),
        Err(_) => Err(BrokerError::late(doing)),
    }
}

fn properties(name: &str) -> ConnectionProperties {
    ConnectionProperties::default().with_connection_name(name.as_bytes().to_vec().into())
}

async fn addresses(uri: &AMQPUri) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((uri.authority.host.as_str(), uri.authority.port)).await?;
    Ok(found.collect())
}

/// TLS if the URL asks for it, with certificates verified against the system's roots, and never plain text instead.
async fn secured<S>(stream: AsyncTcpStream<S>, uri: &AMQPUri) -> io::Result<AsyncTcpStream<S>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match uri.scheme {
        AMQPScheme::AMQP => Ok(stream),
        AMQPScheme::AMQPS => match stream.into_tls(&uri.authority.host, TLSConfig::default()).await? {
            // What the driver does when it is built without TLS.
            AsyncTcpStream::Plain(_) => Err(io::Error::other("amqps:// without TLS support: refusing plain text")),
            secure => Ok(secure),
        },
    }
}

/// The driver's runtime, except that its connections pass through a [`Screen`].
#[derive(Debug, Clone)]
struct Screened(Tokio);

impl Reactor for Screened {
    type TcpStream = Screen<AsyncTcpStream<<Tokio as Reactor>::TcpStream>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        // The driver dials through `connect` alone.
        Err::<Self::TcpStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async { Ok(Screen::new(AsyncTcpStream::Plain(connecting.await?))) }
    }
}

/// Follows the connection while nobody else looks: is it up, does the broker block it?
async fn watch_events(
    events: impl Stream<Item = Event>,
    status: ConnectionStatus,
    blocked: watch::Sender<bool>,
    up: Up,
) {
    let mut events = pin!(events);
    // The end may have come before anybody listened.
    if !status.connected() {
        return;
    }
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(why) => {
                tracing::warn!(why, "the broker blocks publishers");
                up.set_blocked(true);
                blocked.send_replace(true);
            }
            Event::ConnectionUnblocked => {
                tracing::info!("the broker takes messages again");
                up.set_blocked(false);
                blocked.send_replace(false);
            }
            Event::Error(_) if !status.connected() => break,
            _ => {}
        }
    }
    blocked.send_replace(false);
}

/// The second handle of a connection's socket. Dropping it shuts the socket, and gives up dialling if that still goes on.
struct Socket {
    handle: Arc<Mutex<Handle>>,
    /// Nothing is ever sent: what counts is that it is gone.
    waiting: watch::Sender<()>,
}

enum Handle {
    NotYet,
    Open(TcpStream),
    Shut,
}

impl Socket {
    fn new() -> Self {
        Self { handle: Arc::new(Mutex::new(Handle::NotYet)), waiting: watch::Sender::new(()) }
    }

    fn given_up(&self) -> watch::Receiver<()> {
        self.waiting.subscribe()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Handle::Open(socket) = &*handle {
            // It fails only if the peer was faster.
            let _ = socket.shutdown(Shutdown::Both);
        }
        *handle = Handle::Shut;
    }
}

/// Keeps a second handle of `socket`, unless nobody waits for it any more.
fn keep(handle: &Mutex<Handle>, socket: &impl AsFd) -> io::Result<()> {
    let mut handle = handle.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*handle, Handle::Shut) {
        return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
    }
    *handle = Handle::Open(socket.as_fd().try_clone_to_owned()?.into());
    Ok(())
}
