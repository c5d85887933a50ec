//! `credits migrate`: the database's schema and the worker's role.

/// Bring the database's schema up to date
///
/// Also makes the role that workers take on (`database.role`). Does nothing where all is there; several at once wait
/// for each other. Without the right to create roles it prints the SQL for an administrator and exits with 78. Exits
/// with 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {}
