//! `credits`: the queue worker for prepaid credits.
#![forbid(unsafe_code)]

pub mod app;
pub mod broker;
pub mod cli;
pub mod config;
pub mod domain;
pub mod handler;
pub mod http;
pub mod relay;
pub mod retry;
pub mod store;
pub mod sweeper;
pub mod telemetry;
pub mod wire;
