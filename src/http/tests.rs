use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::server::CONNECTIONS;
use super::*;
use crate::config::settings::HttpSettings;

/// A running server on a free port.
struct Running {
    address: SocketAddr,
    readiness: Readiness,
    metrics: Metrics,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start() -> Running {
    let settings = HttpSettings { enabled: true, listen: "127.0.0.1:0".parse().unwrap() };
    let server = Server::bind(&settings).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let (address, readiness, metrics) = (server.address(), Readiness::default(), Metrics::default());
    let stopped = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(server.serve(readiness.clone(), metrics.clone(), stopped));
    Running { address, readiness, metrics, stop, task }
}

impl Running {
    /// Sends `request` and reads until the server closes.
    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    /// Status line, headers in lower case, body.
    async fn get(&self, path: &str) -> (String, String, String) {
        let answer = self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let (status, headers) = head.split_once("\r\n").unwrap();
        (status.to_owned(), headers.to_lowercase(), body.to_owned())
    }

    async fn all_hold(&self) {
        for condition in Condition::ALL {
            self.readiness.set(condition, Ok(()));
        }
        self.readiness.ready().await;
    }
}

#[tokio::test]
async fn livez_is_ok_while_nothing_else_is() {
    let server = start().await;
    let (status, _, body) = server.get("/livez").await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "ok\n"));
}

#[tokio::test]
async fn readyz_lists_what_is_missing_until_nothing_is() {
    let server = start().await;
    server.all_hold().await;
    let (status, headers, body) = server.get("/readyz").await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "{\"missing\":{},\"ready\":true}\n"));
    assert!(headers.contains("content-type: application/json"), "{headers}");

    server.readiness.set(Condition::Database, Err("connection refused".to_owned()));
    let (status, _, body) = server.get("/readyz").await;
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(body, "{\"missing\":{\"database\":\"connection refused\"},\"ready\":false}\n");
}

#[tokio::test]
async fn nothing_holds_at_the_start() {
    let missing: Vec<Condition> = Readiness::default().missing().into_iter().map(|(condition, _)| condition).collect();
    assert_eq!(missing, Condition::ALL);
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let server = start().await;
    server.metrics.published(3);
    let (status, headers, body) = server.get("/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(headers.contains("content-type: application/openmetrics-text; version=1.0.0"), "{headers}");
    assert!(body.contains("credits_relay_published_total 3\n") && body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_request_is_refused() {
    let server = start().await;
    let (status, ..) = server.get("/secrets").await;
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert!(server.send("POST /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
    assert!(server.send("no request\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let endless = format!("GET /livez HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert!(server.send(&endless).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn clients_that_never_finish_their_request_lose_their_places() {
    let server = start().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS * 2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /livez HTT").await.unwrap();
        silent.push(stream);
    }
    let started = Instant::now();
    let (status, ..) = server.get("/livez").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn it_stops_when_told_even_with_a_client_that_hangs() {
    let server = start().await;
    let hanging = TcpStream::connect(server.address).await.unwrap();
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    drop(hanging);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_before_anything_starts() {
    let server = start().await;
    let settings = HttpSettings { enabled: true, listen: server.address };
    assert_eq!(Server::bind(&settings).await.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}
