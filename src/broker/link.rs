//! One broker connection: opened within a limit, watched, and gone when it is dropped.
//!
//! The driver leaves a thread and a socket behind for ever if a peer accepts the connection and then says nothing, or
//! if a blocked connection is dropped. So we dial ourselves and keep a second handle of the socket: dropping a [`Link`],
//! or the attempt to open one, shuts the socket and with it the driver's thread. The driver's own recovery stays off.
//! Nothing else in this room unwraps the URL.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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

/// For the closing handshake; afterwards the socket is shut anyway.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// One open connection.
pub(super) struct Link {
    connection: Connection,
    blocked: watch::Receiver<bool>,
    watcher: JoinHandle<()>,
    /// Last: shutting the socket ends what the fields above left behind.
    _socket: Socket,
}

impl Link {
    /// Connects and logs in as `name`.
    pub(super) async fn open(
        options: &Options,
        name: &str,
        role: Role,
        health: &Arc<Health>,
    ) -> Result<Self, BrokerError> {
        let socket = Socket::default();
        let connection = connect(options, name, &socket).await?;
        let (tell, blocked) = watch::channel(false);
        let up = Up::new(Arc::clone(health), role);
        let watched = watch_events(connection.events_listener(), connection.status().clone(), tell, up);
        Ok(Self { connection, blocked, watcher: tokio::spawn(watched), _socket: socket })
    }

    /// Opens a channel.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        self.connection.create_channel().await.map_err(|error| BrokerError::of("opening a channel", &error))
    }

    /// Whether the broker blocks this connection's publishes now, and every change of it.
    pub(super) fn blocked(&self) -> watch::Receiver<bool> {
        self.blocked.clone()
    }

    /// Closes in order, within a limit.
    pub(super) async fn close(self) {
        // An error or a timeout changes nothing: the drop below shuts the socket.
        let _ = timeout(CLOSE_LIMIT, self.connection.close(200, "OK".into())).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

async fn connect(options: &Options, name: &str, socket: &Socket) -> Result<Connection, BrokerError> {
    let uri = options.uri()?;
    let doing = format!("connecting to {}:{}", uri.authority.host, uri.authority.port);
    let runtime = lapin::runtime::default_runtime().map_err(|error| BrokerError::of("starting", &error))?;
    let (handle, limit) = (Arc::clone(&socket.0), options.connect_timeout);
    let attempt = Connection::connector(
        uri,
        runtime,
        async move |uri, runtime| {
            let dialled = async {
                let stream = AsyncTcpStream::connect(&runtime, addresses(&uri).await?).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    keep(&handle, plain.get_ref())?;
                }
                secured(stream, &uri).await
            };
            Ok(timeout(limit, dialled).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??)
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

/// Follows the connection while nobody else looks: is it up, does the broker block it?
async fn watch_events(
    events: impl Stream<Item = Event>,
    status: ConnectionStatus,
    blocked: watch::Sender<bool>,
    up: Up,
) {
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(_) | Event::ConnectionUnblocked => {
                let now = matches!(event, Event::ConnectionBlocked(_));
                up.set_blocked(now);
                blocked.send_replace(now);
            }
            Event::Error(_) if !status.connected() => break,
            _ => {}
        }
    }
    blocked.send_replace(false);
}

/// The second handle of a connection's socket. Dropping it shuts the socket, also one that is dialled later.
#[derive(Default)]
struct Socket(Arc<Mutex<Handle>>);

#[derive(Default)]
enum Handle {
    #[default]
    NotYet,
    Open(TcpStream),
    Shut,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut handle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
