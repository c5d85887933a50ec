//! Sessions with the database, each owned by one task.
//!
//! Limits live in the server (statement, lock and idle-in-transaction timeouts), never around a future: a dropped
//! future would leave a session inside a transaction. A session that is in doubt is dropped, never used again.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor};

use super::error::StoreError;

/// Where the database is and what its sessions may take.
#[derive(Debug, Clone)]
pub struct Options {
    /// `postgres://…`; never shown.
    pub url: SecretString,
    /// The role that sessions take: it has no right to change history.
    pub role: String,
    /// The longest statement.
    pub statement_timeout: Duration,
    /// The longest wait for a lock.
    pub lock_timeout: Duration,
    /// The longest pause inside a transaction: a frozen process loses its locks by it.
    pub idle_in_transaction_timeout: Duration,
    /// The longest attempt to connect.
    pub connect_timeout: Duration,
}

/// Opens sessions.
#[derive(Debug, Clone)]
pub struct Database {
    options: Options,
}

/// One session, with the worker's role taken.
#[derive(Debug)]
pub struct Session {
    pub(super) connection: PgConnection,
    /// For so many batches it looks first which keys and names are known: see [`super::batch`].
    pub(super) wary: u32,
}

impl Database {
    /// Takes the options; connects to nothing.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// The role that sessions take.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.options.role
    }

    /// The longest wait of its sessions for a lock.
    #[must_use]
    pub fn lock_timeout(&self) -> Duration {
        self.options.lock_timeout
    }

    fn connect_options(&self) -> Result<PgConnectOptions, StoreError> {
        let url = self.options.url.expose_secret();
        // The parser's error may quote the URL, which holds a password.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Config("DATABASE_URL is no valid postgres:// address".into()))?;
        let millis = |limit: Duration| limit.as_millis().to_string();
        Ok(options
            .application_name("credits")
            .statement_cache_capacity(200)
            .options([
                ("statement_timeout", millis(self.options.statement_timeout)),
                ("lock_timeout", millis(self.options.lock_timeout)),
                ("idle_in_transaction_session_timeout", millis(self.options.idle_in_transaction_timeout)),
                ("tcp_user_timeout", millis(self.options.statement_timeout)),
                ("timezone", "UTC".to_owned()),
                // Every statement here has its index. A plan that was cached while a table was small would scan it
                // for ever.
                ("enable_seqscan", "off".to_owned()),
                // Small statements by the thousand: compiling one costs more than it ever saves.
                ("jit", "off".to_owned()),
                // Statements have constant text and take arrays: planning each anew for its arrays' lengths gives the
                // same plan and costs more than running it for one message.
                ("plan_cache_mode", "force_generic_plan".to_owned()),
            ])
            .disable_statement_logging())
    }

    /// A pool of one session, for what needs a pool.
    pub(super) fn small_pool(&self) -> Result<PgPool, StoreError> {
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(self.options.connect_timeout);
        Ok(pool.connect_lazy_with(self.connect_options()?))
    }

    /// Opens a session with the rights of the address' own user: for `migrate` alone.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] if the database cannot be reached in time, [`StoreError::Setup`] if it refuses.
    pub async fn connect_as_owner(&self) -> Result<Session, StoreError> {
        let options = self.connect_options()?;
        let connecting = PgConnection::connect_with(&options);
        let connected = tokio::time::timeout(self.options.connect_timeout, connecting).await;
        let late = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
        match connected.unwrap_or_else(late).map_err(StoreError::from) {
            Ok(connection) => Ok(Session { connection, wary: 0 }),
            Err(StoreError::Lost(source)) => Err(StoreError::Unreachable { place: place(&options), source }),
            Err(other) => Err(other),
        }
    }

    /// Opens a session and takes the worker's role.
    ///
    /// # Errors
    /// As [`Database::connect_as_owner`]; [`StoreError::Config`] behind a proxy that pools transactions or with
    /// `synchronous_commit = off`, where the worker's promises do not hold.
    pub async fn connect(&self) -> Result<Session, StoreError> {
        let mut session = self.connect_as_owner().await?;
        let role = self.options.role.replace('"', "\"\"");
        session.connection.execute(sqlx::AssertSqlSafe(format!("set role \"{role}\""))).await?;
        session.refuse_unsafe().await?;
        Ok(session)
    }
}

/// Host, port and database of an address, without user and password.
fn place(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or(options.get_host().into(), |socket| socket.to_string_lossy());
    let database = options.get_database().unwrap_or(options.get_username());
    format!("{host}:{}/{database}", options.get_port())
}

impl Session {
    async fn refuse_unsafe(&mut self) -> Result<(), StoreError> {
        let row: (String, String) =
            sqlx::query_as("select current_setting('synchronous_commit'), current_setting('lock_timeout')")
                .fetch_one(&mut self.connection)
                .await?;
        if row.0 == "off" {
            let why = "the database has synchronous_commit = off: an acknowledged message could be lost; set it to on";
            return Err(StoreError::Config(why.into()));
        }
        if row.1 == "0" {
            let why = "session settings do not stick: connect to Postgres itself or to a proxy that pools sessions, \
                       not transactions";
            return Err(StoreError::Config(why.into()));
        }
        Ok(())
    }

    /// Whether the session still answers.
    ///
    /// # Errors
    /// [`StoreError::Lost`] if it does not.
    pub async fn ping(&mut self) -> Result<(), StoreError> {
        Ok(self.connection.ping().await?)
    }
}
