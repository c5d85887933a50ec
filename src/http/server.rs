//! The listener: bounded connections, a deadline for each, an orderly end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Readiness, routes};
use crate::config::settings::HttpSettings;
use crate::telemetry::Metrics;

/// Connections served side by side; more wait in the listener's queue, where they cost no memory of ours.
pub(super) const CONNECTIONS: usize = 64;

/// How long a client may take for its request's head. Short: slow clients fill [`CONNECTIONS`].
const HEAD: Duration = Duration::from_secs(2);

/// How long a connection may live. One request each: a scraper that comes every few seconds gains nothing by keeping it.
const CONNECTION: Duration = Duration::from_secs(5);

/// The largest request head. Ours are below 1 KiB.
const HEAD_BYTES: usize = 16 * 1024;

/// How long open connections may take to end after a request to stop.
const STOP: Duration = Duration::from_secs(1);

/// Pause after a refused accept: without file descriptors the next one fails too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound listener that does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes the port, so that a port in use is known before anything else starts.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be had.
    pub async fn bind(settings: &HttpSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that port 0 became.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done, then lets open connections end.
    pub async fn serve(self, readiness: Readiness, metrics: Metrics, stop: impl Future<Output = ()>) {
        let routes = routes(readiness, metrics);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut open = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = open.join_next() => {}
                accepted = accept(&self.listener, &places) => {
                    if let Some((stream, place)) = accepted {
                        let routes = routes.clone();
                        open.spawn(async move {
                            converse(stream, routes).await;
                            drop(place);
                        });
                    }
                }
            }
        }
        drop(self.listener);
        // Those that do not end in time are aborted when `open` is dropped.
        let _ = timeout(STOP, async { while open.join_next().await.is_some() {} }).await;
    }
}

/// Waits for a free place first, then for a client.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection for health or metrics could not be accepted");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Answers one request. A client that breaks off or is too slow is nobody's error.
async fn converse(stream: TcpStream, routes: Router) {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES).keep_alive(false);
    let connection = protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let _ = timeout(CONNECTION, connection).await;
}
