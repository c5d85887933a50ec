//! The command line: one file a verb, data on stdout, logs and mistakes on stderr.
//!
//! A verb reads its arguments, loads settings, calls the room that does the work and shows what came of it; it decides
//! nothing itself. How it ended is the exit code, which scripts and supervisors rely on: see [`ExitError`]. Called by
//! `main` alone.

pub mod adjust;
mod ask;
pub mod balance;
mod case;
pub mod check;
mod confirm;
mod conflict;
pub mod dead_letters;
pub mod demo;
mod exit;
pub mod explain;
pub mod grant;
pub mod grants;
pub mod import;
pub mod ledger;
pub mod migrate;
pub mod output;
mod progress;
pub mod publish;
pub mod regrant;
pub mod report;
pub mod revoke;
pub mod rules;
pub mod run;
mod show;
pub mod waiting;
mod when;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

pub use self::exit::ExitError;
use crate::config::settings::environment;
use crate::config::{ConfigError, RulesFile, Settings};

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  failed, or found what it looked for to be wrong
   2  wrong arguments
  69  the database or the broker cannot be reached
  78  a mistake in settings, rules or the state of the schema

Settings: built-in defaults, then --config FILE, then the environment (CREDITS_<SECTION>_<KEY>, DATABASE_URL, AMQP_URL).";

/// The queue worker for prepaid credits: billing messages in, an audited ledger out.
#[derive(Debug, Parser)]
#[command(name = "credits", version, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Arguments of every verb.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Global {
    /// Settings that differ from the defaults (TOML; `config/default.toml` is the reference)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Global {
    /// The settings of file and environment.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        Settings::load(self.config.as_deref(), &environment())
    }
}

/// The rules file that `--rules` names, or else the settings.
///
/// # Errors
/// [`ConfigError`] with every mistake.
pub fn read_rules(settings: &Settings, wanted: Option<&Path>) -> Result<RulesFile, ConfigError> {
    RulesFile::read(wanted.unwrap_or(&settings.rules.file))
}

/// What `credits` can do.
#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Migrate(migrate::Args),
    Check(check::Args),
    Demo(demo::Args),
    Publish(publish::Args),
    Balance(balance::Args),
    Grants(grants::Args),
    Grant(grant::Args),
    Revoke(revoke::Args),
    Regrant(regrant::Args),
    Import(import::Args),
    Ledger(ledger::Args),
    Report(report::Args),
    DeadLetters(dead_letters::Args),
    Waiting(waiting::Args),
    Explain(explain::Args),
    Rules(rules::Args),
}

/// Runs the verb that the arguments name, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { global, verb } = Cli::parse();
    let ended = match verb {
        Verb::Run(args) => run::run(&global, &args),
        Verb::Migrate(args) => migrate::run(&global, &args),
        Verb::Check(args) => check::run(&global, &args),
        Verb::Demo(args) => demo::run(&global, &args),
        Verb::Publish(args) => publish::run(&global, &args),
        Verb::Balance(args) => balance::run(&global, &args),
        Verb::Grants(args) => grants::run(&global, &args),
        Verb::Grant(args) => grant::run(&global, &args),
        Verb::Revoke(args) => revoke::run(&global, &args),
        Verb::Regrant(args) => regrant::run(&global, &args),
        Verb::Import(args) => import::run(&global, &args),
        Verb::Ledger(args) => ledger::run(&global, &args),
        Verb::Report(args) => report::run(&global, &args),
        Verb::DeadLetters(args) => dead_letters::run(&global, &args),
        Verb::Waiting(args) => waiting::run(&global, &args),
        Verb::Explain(args) => explain::run(&global, &args),
        Verb::Rules(args) => rules::run(&global, &args),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error.to_string());
            error.code()
        }
    }
}

/// Runs `work` on the threads of a runtime: for the verbs that talk to database or broker.
///
/// # Errors
/// Those of `work`, and [`ExitError::Failed`] if the threads cannot be had.
pub fn block_on<T>(work: impl Future<Output = Result<T, ExitError>>) -> Result<T, ExitError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("threads cannot be started").map_err(ExitError::Failed)?.block_on(work)
}

#[cfg(test)]
mod tests;
