//! `credits dead-letters replay`: take refused messages again.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::codes;
use crate::app;
use crate::cli::ask::open;
use crate::cli::confirm::confirm;
use crate::cli::output::{self, Format, Listing};
use crate::cli::{ExitError, Global, block_on, read_rules, show};
use crate::domain::ids::Actor;
use crate::domain::ledger::LedgerEntry;
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::handler::replay::{ReplayError, Replayed, Replays};
use crate::store::Session;

/// Arguments of `dead-letters replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The numbers that `dead-letters list` gives them
    #[arg(value_name = "NUMBER", required_unless_present = "reason", conflicts_with = "reason")]
    pub numbers: Vec<i64>,
    /// All open ones that were refused for this reason, such as `crashed-worker`
    #[arg(long, value_name = "CODE", value_parser = codes())]
    pub reason: Option<RefusalCode>,
    /// Who takes them again; it is noted with each
    #[arg(long, value_name = "NAME", env = "USER", value_parser = Actor::parse, required_unless_present = "dry_run")]
    pub actor: Option<Actor>,
    /// Only show what would come of each if it alone were taken now; nothing is written
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// The rules file, instead of the one that the settings name; it has to be that of the worker
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

impl Args {
    /// The numbers of the dead letters that are meant, each once.
    ///
    /// # Errors
    /// [`ExitError::Unavailable`] if the database cannot say.
    pub async fn wanted(&self, session: &mut Session) -> Result<Vec<i64>, ExitError> {
        let mut numbers = match self.reason {
            Some(code) => session.open_letters(code).await?,
            None => self.numbers.clone(),
        };
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

/// What came of dead letters, or would come of them.
#[derive(Debug)]
pub struct Shown {
    /// For people or programs.
    pub text: String,
    /// How many were taken, or would be.
    pub taken: usize,
}

/// Takes refused messages again.
///
/// # Errors
/// [`ExitError::Failed`] if one of them is not taken, or nobody says yes.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    let settings = global.settings()?;
    let rules = read_rules(&settings, args.rules.as_deref())?;
    let database = app::database(&settings.database)?;
    if !(args.dry_run || args.yes || stdin().is_terminal()) {
        return failed("nothing is done: there is no terminal to ask on; say --yes, or --dry-run to see the effect");
    }
    block_on(async {
        let mut session = open(&database).await?;
        let numbers = args.wanted(&mut session).await?;
        let mut replays = Replays::new(&database, &rules.rules);
        if !args.yes {
            let effect = answer(&mut replays, &numbers, args, true).await?;
            output::show(&effect.text)?;
            if args.dry_run || numbers.is_empty() {
                return Ok(());
            }
            confirm(&format!("take {} dead letters again, as shown?", numbers.len()))?;
        }
        session.keep_rules(&rules.rules.hash.0, &rules.text).await?;
        let done = answer(&mut replays, &numbers, args, false).await?;
        output::show(&done.text)?;
        let left = numbers.len() - done.taken;
        if left == 0 { Ok(()) } else { failed(&format!("{left} of {} dead letters were not taken", numbers.len())) }
    })
}

fn failed(what: &str) -> Result<(), ExitError> {
    Err(ExitError::Failed(anyhow::anyhow!(what.to_owned())))
}

/// Takes each of `numbers` again, or only finds out what would come of it, and says what did.
///
/// # Errors
/// [`ExitError::Unavailable`] and the like from the database; what was done before is shown first.
pub async fn answer(
    replays: &mut Replays<'_>,
    numbers: &[i64],
    args: &Args,
    dry_run: bool,
) -> Result<Shown, ExitError> {
    let mut results: Vec<(i64, Result<Replayed, ReplayError>)> = Vec::with_capacity(numbers.len());
    for number in numbers {
        let result = match args.actor.as_ref().filter(|_| !dry_run) {
            Some(actor) => replays.replay(*number, actor).await,
            None => replays.try_out(*number).await,
        };
        if let Err(ReplayError::Store(error)) = result {
            output::show(&text(&results, args, dry_run))?;
            return Err(error.into());
        }
        results.push((*number, result));
    }
    let is_taken = |result: &Result<Replayed, ReplayError>| {
        result.as_ref().is_ok_and(|replayed| replayed.outcome != Outcome::DeadLettered)
    };
    let taken = results.iter().filter(|(_, result)| is_taken(result)).count();
    Ok(Shown { text: text(&results, args, dry_run), taken })
}

fn text(results: &[(i64, Result<Replayed, ReplayError>)], args: &Args, dry_run: bool) -> String {
    if args.format.json {
        return output::pretty(&results.iter().map(|(number, result)| one_json(*number, result, dry_run)).collect());
    }
    if results.is_empty() {
        return "no open dead letter is meant\n".to_owned();
    }
    let parts: Vec<String> = results.iter().map(|(number, result)| one_text(*number, result, dry_run)).collect();
    parts.join("\n")
}

fn one_text(number: i64, result: &Result<Replayed, ReplayError>, dry_run: bool) -> String {
    let replayed = match result {
        Ok(replayed) => replayed,
        Err(error) => return format!("not taken: {}\n", output::printable(&error.to_string())),
    };
    let what = match (replayed.code, dry_run) {
        (Some(code), false) => format!("is refused again ({}) and stays open", code.name()),
        (Some(code), true) => format!("would be refused again ({})", code.name()),
        (None, false) => format!("is taken: {}", replayed.outcome.name()),
        (None, true) => format!("would be taken: {}", replayed.outcome.name()),
    };
    let said = format!("dead letter {number} {what}\n{}\n", output::printable(&replayed.reason));
    if replayed.entries.is_empty() {
        return said;
    }
    let entries_told = entries(&replayed.entries, dry_run).render(Format::default());
    let balances_told = balances(&replayed.entries).render(Format::default());
    format!("{said}\n{entries_told}\n{balances_told}")
}

fn one_json(number: i64, result: &Result<Replayed, ReplayError>, dry_run: bool) -> Value {
    let number = number.to_string();
    match result {
        Err(error) => json!({ "number": number, "taken": false, "error": error.to_string() }),
        Ok(replayed) => show::compact(json!({
            "number": number,
            "dry_run": dry_run,
            "taken": replayed.outcome != Outcome::DeadLettered,
            "outcome": replayed.outcome.name(),
            "code": replayed.code.map(RefusalCode::name),
            "reason": replayed.reason,
            "entries": entries(&replayed.entries, dry_run).json(),
            "balances": balances(&replayed.entries).json(),
        })),
    }
}

/// The entries; where nothing is written they have no place.
fn entries(entries: &[LedgerEntry], dry_run: bool) -> Listing {
    let mut listing = Listing::new(&[
        "position",
        "customer_id",
        "type",
        "credit_type",
        "delta",
        "end_balance",
        "grant_id",
        "remaining",
        "requested",
        "shortfall",
        "cause",
        "reason",
    ]);
    for line in entries {
        let entry = &line.entry;
        listing.add([
            (!dry_run).then(|| line.position.to_string()),
            Some(entry.customer_id.to_string()),
            Some(entry.kind.name().to_owned()),
            Some(entry.credit_type.to_string()),
            Some(entry.delta.to_string()),
            Some(entry.end_balance.to_string()),
            entry.grant.map(|grant| grant.grant_id.to_string()),
            entry.grant.map(|grant| grant.remaining.to_string()),
            entry.demand.map(|demand| demand.requested.to_string()),
            entry.demand.map(|demand| demand.shortfall.to_string()),
            Some(entry.cause.id.to_string()),
            entry.reason.as_ref().map(|reason| reason.as_str().to_owned()),
        ]);
    }
    listing
}

/// Each pool's balance before the first of its entries and after the last.
fn balances(entries: &[LedgerEntry]) -> Listing {
    let mut pools: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    for LedgerEntry { entry, .. } in entries {
        let after = entry.end_balance.value();
        // Within the limits of a balance, so nothing is rounded.
        let before = after.saturating_sub(entry.delta.value()).normalize().to_string();
        let pool = (entry.customer_id.to_string(), entry.credit_type.to_string());
        pools.entry(pool).or_insert((before, String::new())).1 = entry.end_balance.to_string();
    }
    let mut listing = Listing::new(&["customer_id", "credit_type", "balance_before", "balance_after"]);
    for ((customer, credit_type), (before, after)) in pools {
        listing.add([customer, credit_type, before, after].map(Some));
    }
    listing
}
