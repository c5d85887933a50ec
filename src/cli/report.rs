//! `credits report`: a month for the books, in credits and in money.

use std::collections::BTreeMap;

use anyhow::anyhow;
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::ask::ask;
use super::output::{self, Format, printable};
use super::show::{section, time};
use super::{ExitError, Global};
use crate::domain::ids::CreditType;
use crate::domain::report::{Month, Report, Sums, Unit};
use crate::store::Session;

/// Sum up a month: opening, what was granted, used, expired and taken back, closing
///
/// Of all customers, by credit type: in credits, and for each currency in money at cost basis, which is the share of a
/// grant's cost that the credits have in its amount, toward zero to the currency's smallest unit. Signs are those of the
/// change, so opening and changes add up to the closing, exactly; and the closing is the next month's opening.
///
/// It is about credits that can be used: a grant that starts later counts from its start. Below the closing are sums that
/// are no part of it: what regrants come to, what is scheduled at the close, and what refunds asked back that was not
/// there any more.
///
/// A month begins and ends in UTC. Of one that is not over it shows what is past, and says so; one that has not begun is
/// refused with exit code 1. It reads the whole ledger. Exits with 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The month, such as 2026-11
    #[arg(long, value_name = "MONTH", value_parser = Month::parse)]
    pub month: Month,
    /// Only this credit type
    #[arg(long, value_name = "NAME", value_parser = CreditType::parse)]
    pub credit_type: Option<CreditType>,
    /// Print another format than tables
    #[arg(long = "format", value_name = "FORMAT", conflicts_with = "json")]
    pub other: Option<Other>,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// Formats besides tables and JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Other {
    /// One line for the credits of a credit type and one for each currency, all sums beside each other
    Csv,
}

/// Shows a month.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    output::show(&ask(global, async |session| answer(session, args).await)?)
}

/// A month, as text.
///
/// # Errors
/// [`ExitError`], as its numbers say; [`ExitError::Failed`] if the month has not begun.
pub async fn answer(session: &mut Session, args: &Args) -> Result<String, ExitError> {
    let mut snapshot = session.snapshot().await?;
    let now = snapshot.clock().await?;
    let Some(period) = args.month.so_far(now) else {
        return Err(ExitError::Failed(anyhow!(
            "{} has not begun: the database's clock says {}",
            args.month,
            time(now)
        )));
    };
    let report = snapshot.report(period, args.credit_type.as_ref()).await?;
    if let Some(at) = period.as_of {
        output::complain(&format!("note: {} is not over: this is how it stands at {}", args.month, time(at)));
    }
    Ok(match (args.format.json, args.other) {
        (true, _) => output::pretty(&json(&report)),
        (false, Some(Other::Csv)) => csv(&report),
        (false, None) => text(&report),
    })
}

/// The end of what is summed up, as it is shown.
fn to(report: &Report) -> String {
    time(report.period.as_of.unwrap_or(report.period.month.end()))
}

fn text(report: &Report) -> String {
    let month = report.period.month;
    let is_over = if report.period.as_of.is_some() { ", not over" } else { "" };
    let head = format!("{month}{is_over}: {} to {}\n", time(month.start()), to(report));
    if report.sums.is_empty() {
        return head + "\nnothing was granted until then\n";
    }
    let tables =
        report.sums.iter().map(|(credit_type, units)| section(&printable(credit_type.as_str()), &table(units)));
    head + &tables.collect::<String>()
}

/// The sums under each other, one column a unit, all to the right; a rule above and below the closing.
fn table(units: &BTreeMap<Unit, Sums>) -> String {
    let names = Sums::default().named().into_iter().map(|(name, _)| words(name));
    let mut columns: Vec<Vec<String>> = vec![std::iter::once(String::new()).chain(names).collect()];
    for (unit, sums) in units {
        let shown = sums.named().into_iter().map(|(_, sum)| unit.show(&sum));
        columns.push(std::iter::once(head(*unit)).chain(shown).collect());
    }
    let width = |column: &Vec<String>| column.iter().map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  ");
    let rows = columns.first().map_or(0, Vec::len);
    let lines = (0..rows).flat_map(|row| {
        let cells: Vec<&str> = columns.iter().filter_map(|column| Some(column.get(row)?.as_str())).collect();
        let line = cells.iter().zip(&widths).enumerate().map(cell).collect::<Vec<_>>().join("  ");
        if cells.first() == Some(&"closing") { vec![rule.clone(), line, rule.clone()] } else { vec![line] }
    });
    lines.map(|line| line + "\n").collect()
}

fn cell((at, (cell, width)): (usize, (&&str, &usize))) -> String {
    if at == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
}

fn head(unit: Unit) -> String {
    match unit {
        Unit::Credits => "credits".to_owned(),
        Unit::Money(currency) => currency.to_string(),
    }
}

/// A sum's name for people.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn json(report: &Report) -> Value {
    let month = report.period.month;
    let types = report.sums.iter().map(|(credit_type, units)| {
        let mut money = Map::new();
        let mut credits = Value::Null;
        for (unit, sums) in units {
            let shown = sums.named().into_iter().map(|(name, sum)| (name.to_owned(), unit.show(&sum).into()));
            let shown = Value::Object(shown.collect());
            match unit {
                Unit::Credits => credits = shown,
                Unit::Money(currency) => drop(money.insert(currency.code().to_owned(), shown)),
            }
        }
        json!({ "credit_type": credit_type.as_str(), "credits": credits, "money": money })
    });
    json!({
        "month": month.to_string(),
        "from": time(month.start()),
        "to": to(report),
        "is_over": report.period.as_of.is_none(),
        "credit_types": types.collect::<Vec<_>>(),
    })
}

fn csv(report: &Report) -> String {
    let names = Sums::default().named().into_iter().map(|(name, _)| name);
    let head: Vec<&str> = ["month", "to", "credit_type", "currency"].into_iter().chain(names).collect();
    let mut text = head.join(",") + "\n";
    for (credit_type, units) in &report.sums {
        for (unit, sums) in units {
            let currency = match unit {
                Unit::Credits => "",
                Unit::Money(currency) => currency.code(),
            };
            let first =
                [report.period.month.to_string(), to(report), quoted(credit_type.as_str()), currency.to_owned()];
            let sums = sums.named().into_iter().map(|(_, sum)| unit.show(&sum));
            text.push_str(&(first.into_iter().chain(sums).collect::<Vec<_>>().join(",") + "\n"));
        }
    }
    text
}

/// A field as RFC 4180 has it: in quotes if it needs them.
fn quoted(field: &str) -> String {
    if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}
