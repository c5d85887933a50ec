//! `credits dead-letters`: the messages that were refused.

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};

use super::ask::ask;
use super::conflict::Conflict;
use super::output::{self, Format};
use super::show::{self, time};
use super::{ExitError, Global};
use crate::domain::outcome::RefusalCode;
use crate::store::Session;
use crate::store::read::{Refused, RefusedBody};

/// Show refused messages
///
/// A refused message claims nothing: mended and published again under the same id it is taken.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to show of the dead letters.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List them, newest first: number, code, queue, message id, how often, when, why
    List(ListArgs),
    /// Show one: why it was refused, its properties and its body as it came
    ///
    /// Of a conflict both sides stand side by side: the field, what the kept message says, what the refused one says. A
    /// body that is no text is shown in hexadecimal. Exits with 1 if there is none of that number.
    Show(ShowArgs),
}

/// Arguments of `dead-letters list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only those refused for this reason, such as `fact-conflict`
    #[arg(long, value_name = "CODE", value_parser = codes())]
    pub code: Option<RefusalCode>,
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
    output::show(&match &args.verb {
        Verb::List(args) => ask(global, async |session| list(session, args).await)?,
        Verb::Show(args) => ask(global, async |session| show_one(session, args).await)?,
    })
}

/// Refused messages, as text.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub async fn list(session: &mut Session, args: &ListArgs) -> Result<String, ExitError> {
    let letters = session.snapshot().await?.dead_letters(args.code, args.limit).await?;
    Ok(show::refused(&letters).render(args.format))
}

/// One refused message, as text.
///
/// # Errors
/// [`ExitError::Failed`] if there is none of that number.
pub async fn show_one(session: &mut Session, args: &ShowArgs) -> Result<String, ExitError> {
    let mut snapshot = session.snapshot().await?;
    let found = snapshot.dead_letter(args.number).await?;
    let missing = || ExitError::Failed(anyhow::anyhow!("there is no dead letter with the number {}", args.number));
    let (letter, said) = found.ok_or_else(missing)?;
    let conflict = Conflict::load(&mut snapshot, &letter, &said).await?;
    let conflict = conflict.as_ref();
    Ok(if args.format.json {
        output::pretty(&one_json(&letter, &said, conflict))
    } else {
        one_text(&letter, &said, conflict)
    })
}

fn one_text(letter: &Refused, said: &RefusedBody, conflict: Option<&Conflict>) -> String {
    let fields = show::fields(&[
        ("number", Some(letter.number.to_string())),
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
    let conflict = conflict.map_or_else(String::new, Conflict::words);
    format!("{fields}{conflict}\nbody ({} bytes{how}):\n{body}", said.body.len())
}

fn one_json(letter: &Refused, said: &RefusedBody, conflict: Option<&Conflict>) -> Value {
    let properties: Value = serde_json::from_str(&said.properties).unwrap_or_else(|_| said.properties.clone().into());
    let body = str::from_utf8(&said.body);
    show::compact(json!({
        "number": letter.number.to_string(),
        "code": letter.code,
        "reason": letter.reason,
        "queue": letter.queue,
        "type": letter.kind,
        "source": letter.source,
        "message_id": letter.message_id,
        "seen": letter.seen.to_string(),
        "first_seen_at": time(letter.first_seen_at),
        "last_seen_at": time(letter.last_seen_at),
        "conflict": conflict.map(Conflict::json),
        "properties": properties,
        "body": body.ok(),
        "body_hex": body.err().map(|_| hex::encode(&said.body)),
    }))
}

/// 32 bytes a line.
fn hex_lines(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|chunk| hex::encode(chunk) + "\n").collect()
}
