//! `credits`: the queue worker for prepaid credits. Billing messages in, an audited ledger out.
//!
//! The walk of a message, room by room:
//!
//! 1. [`broker`] brings bytes: one connection, one channel per queue, reconnected without an end.
//! 2. [`wire`] makes a message of them, or says which field is wrong.
//! 3. [`handler`] shares out what has arrived among its lanes; each claims its messages' keys.
//! 4. [`store`] locks what the messages name, in one order for everybody, and loads what is known of it.
//! 5. [`domain`] decides, and is pure. [`domain::books`] takes one message after the other: [`domain::facts`] unites what
//!    all messages of a purchase state, [`domain::purchase`] says by [`domain::rules`] and [`domain::target`] what must be
//!    true of its grants, [`domain::account`] gives the [`domain::ledger`] entries that bring them there.
//! 6. [`store`] writes keys, bodies, grants, entries and outcomes in one transaction, and commits.
//! 7. [`handler`] acknowledges. A process that dies before this sees the same message again, and its key says so.
//!
//! Then, on its own: [`relay`] reads the ledger, [`wire::event`] makes an event of each entry, [`broker`] publishes it, and
//! its confirm moves the cursor. [`sweeper`] writes activations and expiries that have come due, by the same path.
//!
//! Around it: [`app`] connects, starts and stops all of it; [`config`] reads settings and rules; [`http`] and
//! [`telemetry`] tell how it goes; [`retry`] says how long to wait; [`trial`] says what other rules would give; [`cli`]
//! is the verbs.
//!
//! Fences: only [`broker`] names the broker's driver, only [`store`] names SQL, [`domain`] imports no other room. Why it
//! is built this way, and what grants and refunds mean, is in `ARCHITECTURE.md`.
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
pub mod trial;
pub mod wire;
