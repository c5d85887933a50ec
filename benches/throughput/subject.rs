//! The three workers: how each is set up, started and checked.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use credits::store::{Database, Options, Session};

use crate::WORKER_ARGUMENT;
use crate::bench::Bench;
use crate::database;
use crate::names::{
    CREDITS_CURSOR_SQL, CREDITS_ENTRIES_SQL, CREDITS_HEAD_SQL, EVENT_BINDING, MESSAGE_TYPE, Names, credits_config,
    credits_rules,
};
use crate::process::Process;
use crate::workers::per_message;

/// The release build of this project.
const CREDITS: &str = env!("CARGO_BIN_EXE_credits");
/// For `credits migrate`.
const MIGRATE_LIMIT: Duration = Duration::from_mins(1);

/// A worker under measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    Ceiling,
    PerMessage,
    Credits,
}

impl Subject {
    /// What it is called in arguments, names and progress lines.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::PerMessage => "per-message",
            Self::Credits => "credits",
        }
    }

    /// The worker called `label`.
    pub(crate) fn of(label: &str) -> Option<Self> {
        [Self::Ceiling, Self::PerMessage, Self::Credits].into_iter().find(|subject| subject.label() == label)
    }

    pub(crate) fn names(self) -> Names {
        Names::of(self.label())
    }

    /// Makes queues, exchanges and the database anew, with nothing in them.
    ///
    /// # Errors
    /// Broker or database refuse, or `credits migrate` or a first start of `credits` fails.
    pub(crate) async fn prepare(self, bench: &Bench) -> Result<()> {
        let names = self.names();
        self.clear(bench).await?;
        bench.broker.declare_ends(&names, EVENT_BINDING).await?;
        match self {
            Self::Ceiling => declare_inbound(bench, &names).await,
            Self::PerMessage => {
                declare_inbound(bench, &names).await?;
                recreate_database(bench, &names).await?;
                let mut connection = database::connect(&bench.settings.database_url, Some(&names.database)).await?;
                per_message::create_schema(&mut connection).await
            }
            Self::Credits => {
                recreate_database(bench, &names).await?;
                self.verb(bench, &["migrate"], MIGRATE_LIMIT).await?;
                self.let_it_declare(bench).await
            }
        }
    }

    /// Removes what [`Self::prepare`] made.
    ///
    /// # Errors
    /// Broker or database refuse.
    pub(crate) async fn clear(self, bench: &Bench) -> Result<()> {
        let names = self.names();
        bench.broker.clear(&names).await?;
        let mut server = database::connect(&bench.settings.database_url, None).await?;
        database::drop_database(&mut server, &names.database).await
    }

    /// Starts the worker and does not wait for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(self, bench: &Bench) -> Result<Process> {
        self.start_with(bench, &[])
    }

    /// The same, with settings of its own in the environment.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start_with(self, bench: &Bench, settings: &[(&str, &str)]) -> Result<Process> {
        let mut command = match self {
            Self::Ceiling | Self::PerMessage => Command::new(std::env::current_exe()?),
            Self::Credits => Command::new(CREDITS),
        };
        match self {
            Self::Ceiling | Self::PerMessage => command.args([WORKER_ARGUMENT, self.label()]),
            Self::Credits => {
                let (config, rules) = write_settings(&self.names())?;
                command.arg("run").arg("--config").arg(config).arg("--rules").arg(rules)
            }
        };
        self.with_urls(bench, &mut command)?;
        command.envs(settings.iter().copied());
        Process::start(self.label(), command)
    }

    /// Whether the worker itself knows that the last of `messages` is out.
    ///
    /// # Errors
    /// Its database is out of reach.
    pub(crate) async fn knows_it_is_done(self, bench: &Bench, messages: u64) -> Result<bool> {
        match self {
            // They publish, await the confirm and keep nothing about it.
            Self::Ceiling | Self::PerMessage => Ok(true),
            Self::Credits => {
                let mut connection =
                    database::connect(&bench.settings.database_url, Some(&self.names().database)).await?;
                Ok(database::number(&mut connection, CREDITS_CURSOR_SQL).await? >= messages)
            }
        }
    }

    /// Checks, once the worker has gone, that each of `messages` was handled exactly once.
    ///
    /// # Errors
    /// A count that is another one.
    pub(crate) async fn verify(self, bench: &Bench, messages: u64) -> Result<()> {
        let names = self.names();
        let left = bench.left_behind(&names).await?.ready;
        ensure!(left == 0, "{} left {left} messages unacknowledged", self.label());
        let counts: &[&'static str] = match self {
            Self::Ceiling => return Ok(()),
            Self::PerMessage => &per_message::COUNTS,
            Self::Credits => &[CREDITS_CURSOR_SQL, CREDITS_HEAD_SQL, CREDITS_ENTRIES_SQL],
        };
        let mut connection = database::connect(&bench.settings.database_url, Some(&names.database)).await?;
        for sql in counts {
            let count = database::number(&mut connection, sql).await?;
            ensure!(count == messages, "{}: `{sql}` gives {count} after {messages} messages", self.label());
        }
        Ok(())
    }

    /// Runs a verb of `credits` to its end.
    ///
    /// # Errors
    /// It fails, or takes longer than `limit`.
    pub(crate) async fn verb(self, bench: &Bench, arguments: &[&str], limit: Duration) -> Result<()> {
        let mut command = Command::new(CREDITS);
        command.args(arguments);
        self.with_urls(bench, &mut command)?;
        Process::start(&arguments.join("-"), command)?.ended(limit).await
    }

    /// A session of the worker's own role, for what is made before a measurement.
    ///
    /// # Errors
    /// The database is out of reach.
    pub(crate) async fn session(self, bench: &Bench) -> Result<Session> {
        let limit = Duration::from_mins(1);
        let database = Database::new(Options {
            url: database::url_of(&bench.settings.database_url, &self.names().database)?.into(),
            role: "credits_worker".into(),
            statement_timeout: limit,
            lock_timeout: limit,
            idle_in_transaction_timeout: limit,
            connect_timeout: limit,
        });
        Ok(database.connect().await?)
    }

    /// Starts `credits` once, for it to declare its queues in its own way, so that they can be filled.
    async fn let_it_declare(self, bench: &Bench) -> Result<()> {
        let names = self.names();
        let mut process = self.start(bench)?;
        bench.until_consuming(&names, &mut process).await?;
        process.stop().await?;
        bench.left_behind(&names).await.map(drop)
    }

    fn with_urls(self, bench: &Bench, command: &mut Command) -> Result<()> {
        let database_url = database::url_of(&bench.settings.database_url, &self.names().database)?;
        command.env("DATABASE_URL", database_url).env("AMQP_URL", &bench.settings.amqp_url);
        Ok(())
    }
}

async fn declare_inbound(bench: &Bench, names: &Names) -> Result<()> {
    bench.broker.declare_queue(&names.inbound, &names.billing_exchange, MESSAGE_TYPE).await
}

async fn recreate_database(bench: &Bench, names: &Names) -> Result<()> {
    let mut server = database::connect(&bench.settings.database_url, None).await?;
    database::recreate(&mut server, &names.database).await
}

/// Writes configuration and rules of `credits`; gives their paths.
fn write_settings(names: &Names) -> Result<(PathBuf, PathBuf)> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (config, rules) = (folder.join("bench-credits.toml"), folder.join("bench-rules.toml"));
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    fs::write(&config, credits_config(names, free))?;
    fs::write(&rules, credits_rules())?;
    Ok((config, rules))
}
