//! `credits waiting`: the messages whose partner is missing.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::{Value, json};

use super::ask::ask;
use super::case::Case;
use super::output::{self, Format, Listing};
use super::show::{self, time};
use super::{ExitError, Global};
use crate::domain::ids::PurchaseId;
use crate::domain::message::Name;
use crate::store::Session;
use crate::store::read::{KeptMessage, Waiting};

/// Show messages that wait for their partner
///
/// A refund that came before its payment, a payment whose invoice has the lines. They take effect by themselves when
/// the partner comes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to show of the waiting messages.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List them, the oldest first: message, type, purchase, since when, and what each waits for
    List(ListArgs),
}

/// Arguments of `waiting list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// Shows waiting messages.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    let Verb::List(args) = &args.verb;
    output::show(&ask(global, async |session| list(session, args).await)?)
}

/// Waiting messages, as text.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub async fn list(session: &mut Session, args: &ListArgs) -> Result<String, ExitError> {
    let mut snapshot = session.snapshot().await?;
    let waiting = snapshot.waiting(args.limit).await?;
    let mut cases: BTreeMap<PurchaseId, Case> = BTreeMap::new();
    for one in &waiting {
        if !cases.contains_key(&one.purchase)
            && let Some(case) = Case::load(&mut snapshot, one.purchase).await?
        {
            cases.insert(one.purchase, case);
        }
    }
    let rows = waiting.iter().filter_map(|one| Row::of(one, cases.get(&one.purchase)?));
    Ok(if args.format.json {
        output::pretty(&rows.map(|row| row.json()).collect::<Vec<_>>().into())
    } else {
        table(rows).render(args.format)
    })
}

/// One waiting message in its purchase.
struct Row<'a> {
    waiting: &'a Waiting,
    message: &'a KeptMessage,
    case: &'a Case,
    waits_for: String,
}

impl<'a> Row<'a> {
    fn of(waiting: &'a Waiting, case: &'a Case) -> Option<Self> {
        let message = case.rows.messages.iter().find(|message| message.inbox_id == waiting.inbox_id)?;
        Some(Self { waiting, message, case, waits_for: case.awaited().remove(&waiting.inbox_id)? })
    }

    fn json(&self) -> Value {
        let name = |name: &Name| json!({ "kind": name.kind(), "id": name.value() });
        json!({
            "message_id": self.message.key.id.as_str(),
            "source": self.message.key.source.as_str(),
            "type": self.message.kind,
            "purchase": self.case.facts.names.iter().map(name).collect::<Vec<_>>(),
            "waiting_since": time(self.waiting.since),
            "waiting_seconds": self.waiting.seconds.to_string(),
            "waits_for": self.waits_for,
        })
    }
}

fn table<'a>(rows: impl Iterator<Item = Row<'a>>) -> Listing {
    let mut listing = Listing::new(&["message_id", "source", "type", "purchase", "waiting_since", "age", "waits_for"]);
    for row in rows {
        listing.add([
            Some(row.message.key.id.to_string()),
            Some(row.message.key.source.to_string()),
            Some(row.message.kind.clone()),
            Some(show::names(&row.case.facts.names)),
            Some(time(row.waiting.since)),
            Some(age(row.waiting.seconds)),
            Some(row.waits_for.clone()),
        ]);
    }
    listing
}

/// The two largest units: `3 d 4 h`, `12 min 5 s`, `7 s`.
fn age(seconds: i64) -> String {
    let units = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(units.len() - 1);
    let shown = units.iter().skip(first).take(2).filter(|(count, _)| *count > 0 || first == units.len() - 1);
    shown.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_has_its_two_largest_units() {
        for (seconds, words) in
            [(0, "0 s"), (7, "7 s"), (60, "1 min"), (725, "12 min 5 s"), (3_600, "1 h"), (273_600, "3 d 4 h")]
        {
            assert_eq!(age(seconds), words);
        }
    }
}
