//! What credits, grants, refunds and the ledger mean.
//!
//! Pure: no I/O, no clock, no randomness, no async, no serialisation, no SQL. Clock, ids and state come in as
//! arguments. Called by `handler` and `sweeper`; `wire` builds its values from messages, `store` from rows.

pub mod account;
pub mod adjustment;
pub mod amounts;
pub mod awaited;
pub mod books;
pub mod explain;
pub mod facts;
pub mod groups;
pub mod held;
pub mod ids;
pub mod ledger;
pub mod life;
pub mod message;
pub mod misfit;
pub mod needs;
mod order;
pub mod outcome;
pub mod past;
pub mod purchase;
mod release;
pub mod report;
pub mod rules;
pub mod sides;
pub mod signup;
pub mod span;
mod stated;
pub mod target;
pub mod told;
pub mod usage;

#[cfg(test)]
mod tests;
