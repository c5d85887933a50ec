//! `credits import`: grants of another system, with their history.
//!
//! Every line is a `credit-adjustment` message that grants, with the external id as its key, and is taken as a delivery
//! is. So a line that is there already has no further effect, and what was cut off is run again.

mod check;
mod line;
mod summary;
mod write;

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use anyhow::anyhow;

use self::write::Done;
use super::ask::open;
use super::confirm::confirm;
use super::output::{self, complain, printable};
use super::{ExitError, Global, block_on, read_rules};
use crate::app;
use crate::config::RulesFile;
use crate::domain::ids::Actor;
use crate::store::{Database, Session};

/// Lines that are written in one transaction: enough to make round trips cheap, few enough to hold locks but briefly.
const BATCH: usize = 500;
/// So many complaints of a kind are shown; all are counted.
const MOST_SHOWN: usize = 20;

/// Import grants of another system, with what was used of them
///
/// FILE has one JSON object a line: `external_id`, `customer_id`, `credit_type`, `amount` (as it was granted once),
/// `used` (so far; none if absent), `category` (`paid` or `promotional`), `priority`, `cost_basis` (`total` and
/// `currency`, of a paid grant), `effective_at` (the first run if absent), `expires_at` (never if absent), `reason`. Only
/// `external_id`, `customer_id`, `credit_type`, `amount` and `category` are needed. The ledger gets the grant, the use
/// and, if it is over, the expiry of each.
///
/// The whole file is read and checked first: with a mistake in it nothing is written. Then it shows what it comes to
/// and asks; --dry-run ends there, --yes does not ask. An external id is imported once: run it again after it was cut
/// off, with the same --actor, and it goes on where it was. A line whose external id is there with another content is
/// listed and left out.
///
/// Exits with 1 if there is a mistake in the file, a line was left out, or nobody says yes. With 69 if the database
/// cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file, one grant a line
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Who imports; the ledger keeps it
    #[arg(long, value_name = "NAME", env = "USER", value_parser = Actor::operator)]
    pub actor: Actor,
    /// Only check the file and show what it comes to; nothing is written
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// The rules file, instead of the one that the settings name; it has to be that of the worker
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
}

/// What is wrong with lines: the first ones are shown, all are counted.
#[derive(Default)]
struct Complaints {
    shown: Vec<String>,
    count: usize,
}

impl Complaints {
    fn add(&mut self, what: &str) {
        if !self.is_full() {
            self.shown.push(printable(what));
        }
        self.count += 1;
    }

    fn is_full(&self) -> bool {
        self.shown.len() == MOST_SHOWN
    }

    fn tell(&self) {
        self.shown.iter().for_each(|what| complain(what));
        if self.count > self.shown.len() {
            complain(&format!("and {} more of these", self.count - self.shown.len()));
        }
    }
}

/// Imports a file.
///
/// # Errors
/// [`ExitError`], as its numbers say; [`ExitError::Failed`] for mistakes in the file and lines that were left out.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    let settings = global.settings()?;
    let rules = read_rules(&settings, args.rules.as_deref())?;
    let database = app::database(&settings.database)?;
    if !(args.dry_run || args.yes || stdin().is_terminal()) {
        return failed(
            "nothing is done: there is no terminal to ask on; say --yes, or --dry-run to see what it comes to",
        );
    }
    block_on(async {
        let mut session = open(&database).await?;
        import(&database, &mut session, &rules, args).await
    })
}

async fn import(database: &Database, session: &mut Session, rules: &RulesFile, args: &Args) -> Result<(), ExitError> {
    let mut mistakes = Complaints::default();
    let summary = check::check(session, &rules.rules, args, &mut mistakes).await?;
    if mistakes.count > 0 {
        return failed(&format!("nothing is done: {} lines have a mistake", mistakes.count));
    }
    output::show(&summary.text())?;
    let differing = summary.differing.len();
    if args.dry_run {
        return if differing == 0 { Ok(()) } else { failed(&format!("{differing} lines would be left out")) };
    }
    if !args.yes {
        confirm("import these grants?")?;
    }
    session.keep_rules(&rules.rules.hash.0, &rules.text).await?;
    let Done { written, there, left_out, took } = write::write(database, session, &rules.rules, args, &summary).await?;
    let seconds = took.as_secs_f64();
    complain(&format!("took {seconds:.1} s"));
    output::show(&format!("\nimported {written} grants, {there} were there already, {left_out} were left out\n"))?;
    if left_out == 0 { Ok(()) } else { failed(&format!("{left_out} lines were left out")) }
}

fn failed(what: &str) -> Result<(), ExitError> {
    Err(ExitError::Failed(anyhow!(printable(what))))
}
