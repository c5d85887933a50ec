//! The core held to its law: worked cases, and every promise over random histories.
//!
//! `fixtures`, `rulebook` and `world` speak the user's verbs; `audit` checks the invariants after every step; `model`
//! works out from the facts alone, with code of its own, what must come out.

mod audit;
mod fixtures;
mod model;
mod random;
mod ratio;
mod rulebook;
mod sets;
mod shop;
mod world;

mod conflicts;
mod due;
mod explained;
mod histories;
mod limits;
mod lives;
mod orders;
mod parts;
mod past;
mod purchases;
mod refunds;
mod released;
mod samples;
mod shelf;
mod signups;
mod time;
mod uses;
