//! What a database error means for the caller: the SQLSTATE picks what happens next, and nothing else does.

use std::error::Error as _;

use sqlx::postgres::PgDatabaseError;

/// Keys that every message draws anew from a counter: if one is taken, the counter is behind its rows, and no message
/// is to blame.
const COUNTED: [&str; 2] = ["ledger_pkey", "dead_letters_pkey"];

/// Keys that a batch claims once it has seen that they are free: if one is taken, another session was faster, and the next
/// try sees its row.
const CLAIMED: [&str; 3] = ["message_keys_pkey", "names_pkey", "accounts_pkey"];

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Deadlock, serialization failure, or another session claimed the same a moment ago: run it again now.
    #[error("the database asks to run it again: {0}")]
    Again(#[source] sqlx::Error),
    /// There is no session to be had: back off, try again.
    #[error("the database at {place} cannot be reached: {source}")]
    Unreachable {
        /// Host, port and database; no user and no password.
        place: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The session is gone or in doubt: drop it, back off, run again on a new one.
    #[error("the database session is lost: {0}")]
    Lost(#[source] sqlx::Error),
    /// Another session holds a lock: the others of the batch may go on.
    #[error("a row is locked by another session: {0}")]
    Locked(#[source] sqlx::Error),
    /// Out of room or time: back off slowly, dead-letter nothing.
    #[error("the database is busy: {0}")]
    Busy(#[source] sqlx::Error),
    /// The message's own fault: the same content fails the same way.
    #[error("the database refuses the content: {0}")]
    Content(#[source] sqlx::Error),
    /// A row is there that rules this one out. Another session may have written it a moment ago: run again a few times;
    /// then it is between this message and what is stored.
    #[error("a constraint of the database is violated: {0}")]
    Violated(#[source] sqlx::Error),
    /// Schema, rights, address or a counter are wrong, for every message: a person has to mend it.
    #[error("the database is set up otherwise than expected: {0}")]
    Setup(#[source] sqlx::Error),
    /// A row does not say what its constraints promise: messages about it wait, the others of the batch may go on.
    #[error("the database holds a row that cannot be: {0}")]
    Corrupt(String),
    /// A setting that cannot work.
    #[error("{0}")]
    Config(String),
}

impl StoreError {
    /// A stored value that its constraints rule out.
    pub(super) fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Corrupt(what.to_string())
    }

    /// The same, with the column's name.
    pub(super) fn corrupt_in(column: &str, value: impl std::fmt::Display) -> Self {
        Self::Corrupt(format!("{column} is `{value}`"))
    }

    /// Says in which row, if it is one that cannot be.
    pub(super) fn in_row(self, kind: &str, key: impl std::fmt::Display) -> Self {
        match self {
            Self::Corrupt(what) => Self::Corrupt(format!("{kind} {key}: {what}")),
            other => other,
        }
    }

    /// Rows were locked that are no longer the ones: run it again now.
    pub(crate) fn moved(what: &str) -> Self {
        Self::Again(sqlx::Error::Protocol(what.to_owned()))
    }

    /// Whether waiting may help: everything but a wrong set-up.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Again(_) | Self::Unreachable { .. } | Self::Lost(_) | Self::Locked(_) | Self::Busy(_))
    }

    /// The word in logs and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Again(_) => "again",
            Self::Unreachable { .. } => "unreachable",
            Self::Lost(_) => "lost",
            Self::Locked(_) => "locked",
            Self::Busy(_) => "busy",
            Self::Content(_) => "content",
            Self::Violated(_) => "violated",
            Self::Setup(_) => "setup",
            Self::Corrupt(_) => "corrupt",
            Self::Config(_) => "config",
        }
    }

    /// What the database says about the rows in question, such as the key that is there already. It may quote values
    /// of a message: for dead letters, not for logs.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        let (Self::Content(error) | Self::Violated(error)) = self else { return None };
        error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?.detail()
    }

    /// The error with its causes, in one line, without secrets.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source().and_then(std::error::Error::source);
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text = format!("{text}: {inner_text}");
            }
            cause = inner.source();
        }
        text
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code =
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned);
        match code.as_deref() {
            None => match error {
                sqlx::Error::Configuration(_) => Self::Setup(error),
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                    Self::Corrupt(error.to_string())
                }
                sqlx::Error::Encode(_) => Self::Content(error),
                sqlx::Error::PoolTimedOut => Self::Busy(error),
                _ => Self::Lost(error),
            },
            Some("40001" | "40P01") => Self::Again(error),
            Some("55P03") => Self::Locked(error),
            Some("57014") => Self::Busy(error),
            Some("22003" | "22021" | "22P02" | "22P05" | "23514" | "54000") => Self::Content(error),
            Some(code) if code.starts_with("23") => {
                match error.as_database_error().and_then(sqlx::error::DatabaseError::constraint) {
                    Some(counted) if COUNTED.contains(&counted) => Self::Setup(error),
                    Some(claimed) if CLAIMED.contains(&claimed) => Self::Again(error),
                    _ => Self::Violated(error),
                }
            }
            Some("0A000" | "25006" | "25P02" | "25P03" | "57P01" | "57P02" | "57P03" | "57P05") => Self::Lost(error),
            Some(code) if code.starts_with("08") => Self::Lost(error),
            Some(code) if code.starts_with("53") || code.starts_with("58") => Self::Busy(error),
            // A role that nobody made yet.
            Some("22023") => Self::Setup(error),
            Some(code) if code.starts_with("42") || code.starts_with("28") || code.starts_with("3D") => {
                Self::Setup(error)
            }
            Some(_) => Self::Lost(error),
        }
    }
}
