//! `credits migrate`: the database's schema and the worker's role.

use super::{ExitError, Global, block_on, output};
use crate::app;
use crate::config::Settings;
use crate::store::migrate::MigrationError;

/// Bring the database's schema up to date
///
/// Also makes the role that workers take on (`database.role`). Does nothing where all is there; several at once wait
/// for each other. Without the right to create roles it prints the SQL for an administrator and exits with 78. Exits
/// with 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Brings the schema up to date.
///
/// # Errors
/// [`ExitError::Unavailable`] if the database cannot be reached, [`ExitError::Config`] if it will not have it.
pub fn run(global: &Global, _args: &Args) -> Result<(), ExitError> {
    let settings = global.settings()?;
    block_on(migrate(&settings))?;
    output::show("the schema is up to date\n")
}

/// Brings the schema of the database in `settings` up to date.
///
/// # Errors
/// As [`run`].
pub async fn migrate(settings: &Settings) -> Result<(), ExitError> {
    let database = app::database(&settings.database)?;
    crate::store::migrate::migrate(&database).await.map_err(|error| match error {
        MigrationError::Store(error) => error.into(),
        error @ (MigrationError::NoRole(_) | MigrationError::Mismatch(_)) => ExitError::Config(error.into()),
    })
}
