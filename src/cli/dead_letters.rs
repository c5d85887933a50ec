//! `credits dead-letters`: the messages that were refused, and what people do about them.

pub mod discard;
pub mod replay;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};

use super::ask::ask;
use super::conflict::Conflict;
use super::output::{self, Format, Listing};
use super::show::{self, time};
use super::{ExitError, Global};
use crate::domain::outcome::RefusalCode;
use crate::store::Session;
use crate::store::read::{Refused, RefusedBody, RefusedQuery};
use crate::store::replay::Act;

/// Refused messages: list them, look at one, take it again or discard it
///
/// A refused message claims nothing: mended and published again under the same id it is taken. Where the message was
/// right and something else was wrong, such as a worker that died on it, replay takes it from here.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do about dead letters.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the open ones, newest first: number, code, queue, message id, how often, when, why
    List(ListArgs),
    /// Show one: why it was refused, its properties and its body as it came, and what was done about it
    ///
    /// Of a conflict both sides stand side by side: the field, what the kept message says, what the refused one says. A
    /// body that is no text is shown in hexadecimal. Exits with 1 if there is none of that number.
    Show(ShowArgs),
    /// Take refused messages again, from their original bytes
    ///
    /// Each goes the way of a delivery, by the same keys, in one transaction that also closes the dead letter: it takes
    /// effect once, however often and by however many this is tried, and the broker need not be there. Events go out by the
    /// relay of a running worker. One that is refused again stays open with the new reason.
    ///
    /// Without --yes the effect is shown first, then you are asked. Exits with 1 if one of them is not taken.
    Replay(replay::Args),
    /// Close one without any effect: nothing is to come of it
    ///
    /// It is kept, with who discarded it and why, and is no longer listed among the open ones. Its message claims nothing,
    /// so it may still be mended and published. The same bytes refused again for the same code stay discarded; under
    /// another code the dead letter is open again. Exits with 1 if there is no open one of that number.
    Discard(discard::Args),
}

/// Arguments of `dead-letters list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only those refused for this reason, such as `fact-conflict`
    #[arg(long, value_name = "CODE", value_parser = codes())]
    pub code: Option<RefusalCode>,
    /// Replayed and discarded ones too
    #[arg(long)]
    pub all: bool,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// Arguments of `dead-letters show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The number that `dead-letters list` gives it
    #[arg(value_name = "NUMBER")]
    pub number: i64,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

fn codes() -> impl TypedValueParser<Value = RefusalCode> {
    let names = PossibleValuesParser::new(RefusalCode::ALL.map(RefusalCode::name));
    names.try_map(|name| RefusalCode::from_name(&name).ok_or("is no code"))
}

/// Shows refused messages.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    match &args.verb {
        Verb::List(args) => output::show(&ask(global, async |session| list(session, args).await)?),
        Verb::Show(args) => output::show(&ask(global, async |session| show_one(session, args).await)?),
        Verb::Replay(args) => replay::run(global, args),
        Verb::Discard(args) => output::show(&ask(global, async |session| discard::answer(session, args).await)?),
    }
}

/// Refused messages, as text.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub async fn list(session: &mut Session, args: &ListArgs) -> Result<String, ExitError> {
    let query = RefusedQuery { code: args.code, closed: args.all, limit: args.limit };
    let letters = session.snapshot().await?.dead_letters(query).await?;
    Ok(show::refused(&letters).render(args.format))
}

/// One refused message, as text.
///
/// # Errors
/// [`ExitError::Failed`] if there is none of that number.
pub async fn show_one(session: &mut Session, args: &ShowArgs) -> Result<String, ExitError> {
    let mut snapshot = session.snapshot().await?;
    let (letter, said) = snapshot.dead_letter(args.number).await?.ok_or_else(|| missing(args.number))?;
    let conflict = Conflict::load(&mut snapshot, &letter, &said).await?;
    let history = snapshot.dead_letter_history(args.number).await?;
    let shown = Shown { letter, said, conflict, history };
    Ok(if args.format.json { output::pretty(&one_json(&shown)) } else { one_text(&shown) })
}

fn missing(number: i64) -> ExitError {
    ExitError::Failed(anyhow::anyhow!("there is no dead letter with the number {number}"))
}

/// All that is shown of one.
struct Shown {
    letter: Refused,
    said: RefusedBody,
    conflict: Option<Conflict>,
    history: Vec<Act>,
}

fn one_text(shown: &Shown) -> String {
    let Shown { letter, said, conflict, history } = shown;
    let fields = show::fields(&[
        ("number", Some(letter.number.to_string())),
        ("state", Some(letter.state.clone())),
        ("code", Some(letter.code.clone())),
        ("reason", Some(letter.reason.clone())),
        ("queue", Some(letter.queue.clone())),
        ("type", letter.kind.clone()),
        ("source", letter.source.clone()),
        ("message id", letter.message_id.clone()),
        ("seen", Some(letter.seen.to_string())),
        ("first seen", Some(time(letter.first_seen_at))),
        ("last seen", Some(time(letter.last_seen_at))),
        ("properties", Some(said.properties.clone())),
    ]);
    let (how, body) = match str::from_utf8(&said.body) {
        Ok(body) => ("", body.lines().map(|line| output::printable(line) + "\n").collect()),
        Err(_) => (", hexadecimal", hex_lines(&said.body)),
    };
    let done = if history.is_empty() { String::new() } else { format!("\nhistory\n\n{}", acts(history)) };
    let conflict = conflict.as_ref().map_or_else(String::new, Conflict::words);
    format!("{fields}{conflict}{done}\nbody ({} bytes{how}):\n{body}", said.body.len())
}

fn acts(history: &[Act]) -> String {
    let mut listing = Listing::new(&["at", "act", "actor", "outcome", "code", "entries", "reason"]);
    for act in history {
        let entries: Vec<String> = act.positions.iter().map(ToString::to_string).collect();
        listing.add([
            Some(time(act.acted_at)),
            Some(act.act.clone()),
            Some(act.actor.clone()),
            act.outcome.clone(),
            act.code.clone(),
            Some(entries.join(" ")),
            Some(act.reason.clone()),
        ]);
    }
    listing.render(Format::default())
}

fn act_json(act: &Act) -> Value {
    show::compact(json!({
        "at": time(act.acted_at),
        "act": act.act,
        "actor": act.actor,
        "outcome": act.outcome,
        "code": act.code,
        "reason": act.reason,
        "positions": act.positions.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

fn one_json(shown: &Shown) -> Value {
    let Shown { letter, said, conflict, history } = shown;
    let properties: Value = serde_json::from_str(&said.properties).unwrap_or_else(|_| said.properties.clone().into());
    let body = str::from_utf8(&said.body);
    show::compact(json!({
        "number": letter.number.to_string(),
        "state": letter.state,
        "code": letter.code,
        "reason": letter.reason,
        "queue": letter.queue,
        "type": letter.kind,
        "source": letter.source,
        "message_id": letter.message_id,
        "seen": letter.seen.to_string(),
        "first_seen_at": time(letter.first_seen_at),
        "last_seen_at": time(letter.last_seen_at),
        "conflict": conflict.as_ref().map(Conflict::json),
        "properties": properties,
        "history": history.iter().map(act_json).collect::<Vec<_>>(),
        "body": body.ok(),
        "body_hex": body.err().map(|_| hex::encode(&said.body)),
    }))
}

/// 32 bytes a line.
fn hex_lines(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|chunk| hex::encode(chunk) + "\n").collect()
}
