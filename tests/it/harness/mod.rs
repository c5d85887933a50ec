//! The harness: real services, real processes, the user's verbs.
//!
//! Nothing here sleeps to give something time: every wait is for a condition, has a limit, and fails with what was seen.

mod asserts;
mod broker;
mod events;
mod golden;
mod http;
mod oracle;
mod place;
mod process;
mod random;
mod services;
mod setup;
mod wait;
mod worker;

pub(crate) use golden::assert_same;
pub(crate) use oracle::Expected;
pub(crate) use place::Place;
pub(crate) use process::Exit;
pub(crate) use random::Random;
pub(crate) use services::Services;
pub(crate) use setup::Setup;
pub(crate) use wait::{LIMIT, until};
pub(crate) use worker::TestWorker;
