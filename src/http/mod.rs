//! Health and metrics over HTTP, on a loopback port unless configured otherwise.
//!
//! `/livez` says that the process runs and asks nothing else, so that an outage of broker or database never gets it
//! restarted. `/readyz` says what is missing, by name. `/metrics` is `OpenMetrics` text. All three answer from memory.
//! There is no authentication: whoever reaches the port reads all of it, hence loopback, and hence no payload and no
//! secret in any answer.
//!
//! Promise: no number of clients, fast or slow, costs the worker more than a fixed number of small tasks. Started and
//! stopped by `app`; conditions and numbers are set by the rooms that know them.

mod readiness;
mod server;

pub use self::readiness::{Condition, Readiness};
pub use self::server::Server;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::telemetry::Metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn routes(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(numbers).with_state(metrics))
}

/// 200 or 503, and `{"ready": false, "missing": {"database": "connection refused"}}`.
async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let missing = readiness.missing();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let missing: serde_json::Map<_, _> =
        missing.into_iter().map(|(condition, why)| (condition.name().to_owned(), why.into())).collect();
    let body = serde_json::json!({ "ready": missing.is_empty(), "missing": missing });
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

async fn numbers(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS)], metrics.encode())
}

#[cfg(test)]
mod tests;
