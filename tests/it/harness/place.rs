//! What one test has for itself: a database, names on the broker, a folder. Gone when the test ends, however it ends.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use super::broker::{EVENTS_QUEUE, MESSAGE_TYPES, connect};
use super::services::Services;

/// For tidying up: what hangs must not hang the test run.
const TIDY_LIMIT: Duration = Duration::from_secs(20);

/// A database, a prefix for every name on the broker, and a folder with a settings file.
pub(crate) struct Place {
    pub(crate) services: Arc<Services>,
    pub(crate) prefix: String,
    pub(crate) database_url: String,
    pub(crate) pool: PgPool,
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) async fn new(services: Arc<Services>) -> Self {
        let prefix = format!("it-{}", Uuid::now_v7().simple());
        let database = prefix.replace('-', "_");
        execute(&services.database_url, format!("create database {database}")).await.unwrap();
        let database_url = with_database(&services.database_url, &database);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("credits.toml"), settings(&prefix)).unwrap();
        let options = PgPoolOptions::new().max_connections(3).acquire_timeout(Duration::from_secs(10));
        let pool = options.connect_lazy(&database_url).unwrap();
        Self { services, prefix, database_url, pool, folder }
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// The program with `arguments`, in this place's folder and with nothing of this process's environment but PATH.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_credits"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.folder.path().join("credits.toml"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RUST_BACKTRACE", "1")
            .env("DATABASE_URL", &self.database_url)
            .env("AMQP_URL", &self.services.amqp_url);
        command
    }

    /// Runs a verb to its end.
    pub(crate) async fn credits(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    pub(crate) async fn migrate(&self) {
        let migrated = self.credits(&["migrate"]).await;
        assert!(migrated.status.success(), "credits migrate: {}", String::from_utf8_lossy(&migrated.stderr));
    }

    pub(crate) fn log(&self, process: usize) -> PathBuf {
        self.folder.path().join(format!("worker-{process}.log"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.services.are_private() {
            return;
        }
        let (services, prefix) = (Arc::clone(&self.services), self.prefix.clone());
        // On a thread and a runtime of its own: the test's may be in the middle of a panic.
        let tidied = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { tokio::time::timeout(TIDY_LIMIT, tidy(&services, &prefix)).await })
        });
        if !matches!(tidied.join(), Ok(Ok(()))) {
            eprintln!("the database and the queues of {} could not be removed", self.prefix);
        }
    }
}

async fn tidy(services: &Services, prefix: &str) {
    let drop_database = format!("drop database if exists {} with (force)", prefix.replace('-', "_"));
    if let Err(error) = execute(&services.database_url, drop_database).await {
        eprintln!("dropping the database of {prefix}: {error}");
    }
    let Ok((_connection, channel)) = connect(&services.amqp_url).await else { return };
    for queue in MESSAGE_TYPES.into_iter().chain(["dead-letters", EVENTS_QUEUE, "full"]) {
        let _ = channel.queue_delete(format!("{prefix}.{queue}").into(), QueueDeleteOptions::default()).await;
    }
    for exchange in ["billing", "credits", "dead-letters"] {
        let _ = channel.exchange_delete(format!("{prefix}.{exchange}").into(), ExchangeDeleteOptions::default()).await;
    }
}

async fn execute(url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    connection.close().await
}

fn with_database(url: &str, database: &str) -> String {
    let (place, query) =
        url.split_once('?').map_or((url, String::new()), |(place, query)| (place, format!("?{query}")));
    let (server, _) = place.rsplit_once('/').expect("a database URL names a database");
    format!("{server}/{database}{query}")
}

fn settings(prefix: &str) -> String {
    format!(
        "[broker]\n\
         billing_exchange = \"{prefix}.billing\"\n\
         events_exchange = \"{prefix}.credits\"\n\
         queue_prefix = \"{prefix}\"\n\
         [http]\n\
         listen = \"127.0.0.1:0\"\n\
         [rules]\n\
         file = \"tests/fixtures/rules.toml\"\n"
    )
}
