//! The one path of a message: deliveries in, outcomes committed, then acknowledged.
//!
//! What comes is decoded and given to a lane ([`dispatcher`], [`sharing`]). The keys of a lane's batch are claimed, what
//! its messages name is locked and loaded ([`batch`]), the core takes them one after the other, and everything is written
//! in one transaction. Only after the commit is anything acknowledged. A batch that fails is bisected, so that one bad
//! message costs log2(n) retries and touches no other.
//!
//! Called by `app`, which starts one [`Dispatcher`] and some [`Lane`]s. It decides nothing about credits: that is
//! `domain`'s.

pub mod batch;
pub mod crash;
pub mod direct;
pub mod dispatcher;
pub mod handover;
pub mod intake;
mod lane;
pub mod replay;
pub mod sharing;

pub use dispatcher::Dispatcher;
pub use handover::Handover;
pub use lane::{Lane, Parts};
