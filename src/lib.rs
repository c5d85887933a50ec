//! `credits`: the queue worker for prepaid credits.
#![forbid(unsafe_code)]

pub mod domain;
pub mod store;
pub mod wire;
