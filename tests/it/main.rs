//! What `credits` promises, shown on real RabbitMQ and Postgres: one file a promise.
//!
//! Run it with `make test`, which brings the services along. Each test has a database, exchanges and queues of its own
//! and runs the real program as child processes; the harness speaks the user's verbs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// The core's own histories name it so (see `histories`), and the store's own tests both (see `due`).
use credits::{domain, store};

#[path = "../../src/store/tests/backlog.rs"]
mod backlog;

mod fixtures;
mod generator;
mod harness;

mod any_order;
mod broker_trouble;
mod by_hand;
mod check_verb;
mod conflicts;
mod crashes;
mod database_trouble;
mod docker_files;
mod due;
mod envelopes;
mod explanations;
mod fences;
mod histories;
mod hostile_bodies;
mod idempotency;
mod import;
mod kills;
mod lifecycle;
mod nacks;
mod outages;
mod readme;
mod replay;
mod report;
mod rules_diff;
mod rules_test;
mod samples;
mod side_by_side;
mod tampering;
mod uses;
mod verbs;
mod worlds;
