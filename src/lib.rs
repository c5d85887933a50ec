//! `credits`: the queue worker for prepaid credits.
#![forbid(unsafe_code)]

pub mod broker;
pub mod domain;
pub mod retry;
