//! `credits`: the queue worker for prepaid credits.
#![forbid(unsafe_code)]

pub mod config;
pub mod domain;
pub mod http;
pub mod telemetry;
