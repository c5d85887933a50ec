//! `credits explain`: what became of a message, and why.

use serde_json::{Value, json};

use super::ask::ask;
use super::output::{self, Format, Listing};
use super::show::{self, time};
use super::{ExitError, Global};
use crate::domain::ids::{MessageId, Source};
use crate::domain::outcome::RefusalCode;
use crate::store::Session;
use crate::store::read::{KeptMessage, Told, Trace};

/// Explain what became of a message
///
/// Its outcomes in order, each with its reason, the rule and the arithmetic, and the ledger entries that came of it.
/// Exits with 1 if no message of that id has arrived, with 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The message's id, as its sender gave it
    #[arg(value_name = "MESSAGE-ID", value_parser = MessageId::parse)]
    pub message_id: MessageId,
    /// The message's sender, where several use the same id
    #[arg(long, value_name = "SOURCE", value_parser = Source::parse)]
    pub source: Option<Source>,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// Explains what became of a message.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    output::show(&ask(global, async |session| answer(session, args).await)?)
}

/// What became of a message, as text.
///
/// # Errors
/// [`ExitError::Failed`] if no message of that id has arrived.
pub async fn answer(session: &mut Session, args: &Args) -> Result<String, ExitError> {
    let trace = session.snapshot().await?.explain(&args.message_id, args.source.as_ref()).await?;
    if trace.is_empty() {
        let sender = args.source.as_ref().map(|source| format!(" from {source}")).unwrap_or_default();
        return Err(ExitError::Failed(anyhow::anyhow!("no message {}{sender} has arrived", args.message_id)));
    }
    Ok(if args.format.json { output::pretty(&json(&trace)) } else { words(&trace, &args.message_id) })
}

fn words(trace: &Trace, id: &MessageId) -> String {
    let mut parts: Vec<String> = trace.kept.iter().map(|message| kept_words(message, trace)).collect();
    if !trace.refused.is_empty() {
        let what = match (trace.kept.is_empty(), trace.refused.len()) {
            (true, _) => "was refused; nothing of it is kept but the dead letter",
            (false, 1) => "also came with a content that was refused; nothing of that is kept but the dead letter",
            (false, _) => "also came with contents that were refused; nothing of those is kept but the dead letters",
        };
        parts.push(format!("{id} {what}\n\n{}", show::refused(&trace.refused).render(Format::default())));
    }
    parts.join("\n")
}

fn kept_words(message: &KeptMessage, trace: &Trace) -> String {
    let mode = if message.structured { "the whole event" } else { "data alone, the envelope in the properties" };
    let mut words = show::fields(&[
        ("message", Some(message.key.id.to_string())),
        ("source", Some(message.key.source.to_string())),
        ("type", Some(message.kind.clone())),
        ("time", Some(time(message.time))),
        ("queue", Some(message.queue.clone())),
        ("received at", Some(time(message.received_at))),
        ("body", Some(mode.to_owned())),
    ]);
    words += "\noutcomes\n\n";
    words += &outcomes(&message.outcomes).render(Format::default());
    if message.entries.is_empty() {
        words += "\nno ledger entry came of it\n";
        return words;
    }
    words += "\nledger entries\n\n";
    let published = |entry: &_| trace.is_published(entry);
    words += &show::entries(&message.entries, Some(&published)).render(Format::default());
    words += "\ngrants, as they are now\n\n";
    words + &show::grants(&message.accounts).render(Format::default())
}

fn outcomes(told: &[Told]) -> Listing {
    let mut listing = Listing::new(&["decided_at", "outcome", "code", "entries", "rules", "reason"]);
    for one in told {
        let positions: Vec<String> = one.positions.iter().map(ToString::to_string).collect();
        listing.add([
            Some(time(one.decided_at)),
            Some(one.outcome.name().to_owned()),
            one.code.map(|code| code.name().to_owned()),
            (!positions.is_empty()).then(|| positions.join(", ")),
            one.rules_hash.to_string().get(..12).map(str::to_owned),
            Some(one.reason.clone()),
        ]);
    }
    listing
}

fn json(trace: &Trace) -> Value {
    json!({
        "kept": trace.kept.iter().map(|message| kept_json(message, trace)).collect::<Vec<_>>(),
        "refused": show::refused(&trace.refused).json(),
    })
}

fn kept_json(message: &KeptMessage, trace: &Trace) -> Value {
    let entry = |entry: &_| {
        let mut json = show::entry_json(entry);
        json["published"] = trace.is_published(entry).into();
        json
    };
    json!({
        "id": message.key.id.as_str(),
        "source": message.key.source.as_str(),
        "type": message.kind,
        "time": time(message.time),
        "structured": message.structured,
        "queue": message.queue,
        "received_at": time(message.received_at),
        "outcomes": message.outcomes.iter().map(told_json).collect::<Vec<_>>(),
        "entries": message.entries.iter().map(entry).collect::<Vec<_>>(),
        "grants": show::grants_json(&message.accounts),
    })
}

fn told_json(told: &Told) -> Value {
    let positions: Vec<String> = told.positions.iter().map(ToString::to_string).collect();
    show::compact(json!({
        "decided_at": time(told.decided_at),
        "outcome": told.outcome.name(),
        "code": told.code.map(RefusalCode::name),
        "reason": told.reason,
        "positions": positions,
        "rules_sha256": told.rules_hash.to_string(),
    }))
}
