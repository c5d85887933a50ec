//! `credits ledger`: the history, and the proof that nobody changed it.

mod export;

use std::io::{BufWriter, IsTerminal, Write, stderr, stdout};

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};

use super::ask::ask;
use super::output::{self, Format};
use super::show::Besides;
use super::when::instant;
use super::{ExitError, Global, show};
use crate::domain::ids::{CreditType, CustomerId};
use crate::domain::ledger::EntryType;
use crate::domain::message::Timestamp;
use crate::store::Session;
use crate::store::read::LedgerQuery;
use crate::store::verify::{Damage, Finding};

/// Entries of a page, unless more or fewer are asked for.
const PAGE: u32 = 100;

/// Show or verify the ledger
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do with it.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show entries, the newest last: of one customer, or of all
    ///
    /// The last ones, or with --after the first ones behind a position: so a program pages through all of them. With
    /// --format csv or ndjson every entry that matches is written, unless --limit is given: all columns of the ledger,
    /// the terms of a grant on its first entry and the hash included, decimals as text, one snapshot for all, row by
    /// row. --from and --to are about `recorded_at`, when an entry was written, which never falls from one position to
    /// the next. Exits with 69 if the database cannot be reached.
    List(ListArgs),
    /// Verify the whole ledger: chain, order, gaps, balances and grants
    ///
    /// Prints the last position if all is well. Otherwise names the first position that is not as it was written, and
    /// exits with 1. Exits with 69 if the database cannot be reached.
    Verify(VerifyArgs),
}

/// Arguments of `ledger list`.
#[derive(Debug, Default, clap::Args)]
pub struct ListArgs {
    /// The customer, as the billing system names it; otherwise all
    #[arg(value_name = "CUSTOMER", value_parser = CustomerId::parse)]
    pub customer: Option<CustomerId>,
    /// Only entries of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = entry_types())]
    pub kind: Option<EntryType>,
    /// Only entries of this credit type
    #[arg(long, value_name = "NAME", value_parser = CreditType::parse)]
    pub credit_type: Option<CreditType>,
    /// Only entries by this actor, such as `worker:refund`, `rule:packs` or an operator's name
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Only entries written at this time or later, such as `2026-01-31` or `2026-01-31T12:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<Timestamp>,
    /// Only entries written before this time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: Option<Timestamp>,
    /// Only entries behind this position, from there on
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    pub after: Option<i64>,
    /// At most so many; otherwise 100 in a table or JSON, and all in CSV or NDJSON
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "table", conflicts_with = "json")]
    pub format: ListFormat,
    /// The same as --format json
    #[arg(long)]
    pub json: bool,
}

/// How `ledger list` shows entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ListFormat {
    /// Columns for people
    #[default]
    Table,
    /// One JSON list; decimals and 64-bit numbers are strings
    Json,
    /// A heading, then a line an entry: every column of the ledger
    Csv,
    /// A JSON object a line, with the names and texts of the CSV, without what is absent
    Ndjson,
}

/// Arguments of `ledger verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

fn entry_types() -> impl TypedValueParser<Value = EntryType> {
    let names = PossibleValuesParser::new(EntryType::ALL.map(EntryType::name));
    names.try_map(|name| EntryType::from_name(&name).ok_or("is no entry type"))
}

/// Shows or verifies the ledger.
///
/// # Errors
/// [`ExitError`], as its numbers say; [`ExitError::Failed`] if the ledger is not as it was written.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    match &args.verb {
        Verb::List(args) => {
            let mut out = BufWriter::new(stdout());
            ask(global, async |session| list(session, args, &mut out).await)?;
            output::written(out.flush())
        }
        Verb::Verify(args) => {
            let finding = ask(global, async |session| verify(session).await)?;
            output::show(&verdict(&finding, args.format))?;
            match finding {
                Finding::Sound { .. } => Ok(()),
                Finding::Damaged(_) => Err(ExitError::Failed(anyhow::anyhow!("the ledger is not as it was written"))),
            }
        }
    }
}

/// Writes entries to `out`.
///
/// # Errors
/// [`ExitError`], as its numbers say. A reader that has closed its end is none.
pub async fn list(session: &mut Session, args: &ListArgs, out: &mut (impl Write + Send)) -> Result<(), ExitError> {
    let query = LedgerQuery {
        customer: args.customer.as_ref(),
        credit_type: args.credit_type.as_ref(),
        kind: args.kind,
        actor: args.actor.as_deref(),
        from: args.from,
        to: args.to,
        after: args.after,
    };
    let mut snapshot = session.snapshot().await?;
    let limit = args.limit.unwrap_or(PAGE);
    let (last, more) = match if args.json { ListFormat::Json } else { args.format } {
        ListFormat::Csv => {
            let rows = export::csv(out);
            export::write(&mut snapshot, &query, args.limit, rows?).await?
        }
        ListFormat::Ndjson => export::write(&mut snapshot, &query, args.limit, export::ndjson(out)).await?,
        format => {
            let page = snapshot.ledger(&query, limit).await?;
            let text = if format == ListFormat::Json {
                output::pretty(&page.entries.iter().map(show::entry_json).collect())
            } else {
                let besides = if args.customer.is_some() { Besides::Nothing } else { Besides::Customers };
                show::entries(&page.entries, &besides).render(Format { json: false })
            };
            output::written(out.write_all(text.as_bytes()))?;
            (page.entries.last().map(|entry| entry.position), page.more)
        }
    };
    if more {
        output::complain(&match (args.after, last) {
            (Some(_), Some(last)) => format!("note: there are more, newer ones: --after {last}"),
            _ => format!("note: there are older ones: --limit {} or --after 0", u64::from(limit) * 10),
        });
    }
    Ok(())
}

/// Verifies the ledger; on a terminal it shows how far it is.
///
/// # Errors
/// [`ExitError`], as its numbers say. Damage is none.
pub async fn verify(session: &mut Session) -> Result<Finding, ExitError> {
    let on_terminal = stderr().is_terminal();
    let mut watch = |done: i64, all: i64| {
        if on_terminal {
            // Nobody can be told if this fails.
            let _ = write!(stderr(), "\r{done} of {all} entries");
        }
    };
    let finding = session.snapshot().await?.verify(&mut watch).await;
    if on_terminal {
        let _ = write!(stderr(), "\r\x1b[K");
    }
    Ok(finding?)
}

/// What was found, as text.
#[must_use]
pub fn verdict(finding: &Finding, format: Format) -> String {
    match (finding, format.json) {
        (Finding::Sound { position }, false) => format!("ledger verified to position {position}\n"),
        (Finding::Sound { position }, true) => {
            output::pretty(&json!({ "sound": true, "position": position.to_string() }))
        }
        (Finding::Damaged(damage), false) => damage_text(damage),
        (Finding::Damaged(damage), true) => output::pretty(&damage_json(damage)),
    }
}

fn damage_text(damage: &Damage) -> String {
    let first = match damage.position {
        Some(position) => format!("first bad position: {position}\n"),
        None => "all positions are good, but:\n".to_owned(),
    };
    let complaint = |complaint: &String| format!("  {}\n", output::printable(complaint));
    first + &damage.complaints.iter().map(complaint).collect::<String>()
}

fn damage_json(damage: &Damage) -> Value {
    show::compact(json!({
        "sound": false,
        "position": damage.position.map(|position| position.to_string()),
        "complaints": damage.complaints,
    }))
}
