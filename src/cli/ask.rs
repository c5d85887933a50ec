//! What every verb that asks the database does first: settings, a session, a look at the schema.

use super::{ExitError, Global, block_on};
use crate::app;
use crate::store::migrate::Schema;
use crate::store::{Database, Session, StoreError};

/// Opens a session with the database of the settings and puts `question` to it.
///
/// # Errors
/// Those of `question`; [`ExitError::Unavailable`] if the database cannot be reached, [`ExitError::Config`] if its
/// address or its schema is not what this version needs.
pub(super) fn ask<T>(
    global: &Global,
    question: impl AsyncFnOnce(&mut Session) -> Result<T, ExitError>,
) -> Result<T, ExitError> {
    let settings = global.settings()?;
    let database = app::database(&settings.database)?;
    block_on(async { question(&mut open(&database).await?).await })
}

/// Opens a session for reading.
///
/// # Errors
/// As [`ask`].
pub(super) async fn open(database: &Database) -> Result<Session, ExitError> {
    let mut session = database.connect().await.map_err(|error| match error {
        error @ StoreError::Setup(_) => {
            ExitError::Config(anyhow::anyhow!("{} (has `credits migrate` been run?)", error.in_full()))
        }
        error => error.into(),
    })?;
    match session.schema().await? {
        Schema::Current => Ok(session),
        Schema::Behind => wrong("the database's schema is older than this program: run `credits migrate`"),
        Schema::Ahead => wrong("the database's schema is newer than this program: run the newer program"),
    }
}

fn wrong(what: &'static str) -> Result<Session, ExitError> {
    Err(ExitError::Config(anyhow::anyhow!(what)))
}
