//! `credits ledger`: the history, and the proof that nobody changed it.

use std::io::{IsTerminal, Write, stderr};

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};

use super::ask::ask;
use super::output::{self, Format};
use super::{ExitError, Global, show};
use crate::domain::ids::{CreditType, CustomerId};
use crate::domain::ledger::EntryType;
use crate::store::Session;
use crate::store::read::LedgerQuery;
use crate::store::verify::{Damage, Finding};

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
    /// Show a customer's entries, the newest last
    ///
    /// The last ones, or with --after the first ones behind a position: so a program pages through all of them. Exits
    /// with 69 if the database cannot be reached.
    List(ListArgs),
    /// Verify the whole ledger: chain, order, gaps, balances and grants
    ///
    /// Prints the last position if all is well. Otherwise names the first position that is not as it was written, and
    /// exits with 1. Exits with 69 if the database cannot be reached.
    Verify(VerifyArgs),
}

/// Arguments of `ledger list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// The customer, as the billing system names it
    #[arg(value_name = "CUSTOMER", value_parser = CustomerId::parse)]
    pub customer: CustomerId,
    /// Only entries of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = entry_types())]
    pub kind: Option<EntryType>,
    /// Only entries of this credit type
    #[arg(long, value_name = "NAME", value_parser = CreditType::parse)]
    pub credit_type: Option<CreditType>,
    /// Only entries behind this position, from there on
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    pub after: Option<i64>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
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
        Verb::List(args) => output::show(&ask(global, async |session| list(session, args).await)?),
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

/// A customer's entries, as text.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub async fn list(session: &mut Session, args: &ListArgs) -> Result<String, ExitError> {
    let query = LedgerQuery {
        customer: &args.customer,
        credit_type: args.credit_type.as_ref(),
        kind: args.kind,
        after: args.after,
        limit: args.limit,
    };
    let page = session.snapshot().await?.ledger(&query).await?;
    if page.more {
        let note = match (args.after, page.entries.last()) {
            (Some(_), Some(last)) => format!("note: there are more, newer ones: --after {}", last.position),
            _ => format!("note: there are older ones: --limit {} or --after 0", u64::from(args.limit) * 10),
        };
        output::complain(&note);
    }
    Ok(if args.format.json {
        output::pretty(&page.entries.iter().map(show::entry_json).collect())
    } else {
        show::entries(&page.entries, None).render(args.format)
    })
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
