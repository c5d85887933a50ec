//! `credits dead-letters discard`: nothing is to come of it.

use clap::builder::NonEmptyStringValueParser;

use super::missing;
use crate::cli::ExitError;
use crate::domain::ids::Actor;
use crate::store::Session;

/// Arguments of `dead-letters discard`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The number that `dead-letters list` gives it
    #[arg(value_name = "NUMBER")]
    pub number: i64,
    /// Why nothing is to come of it
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    /// Who decides so
    #[arg(long, value_name = "NAME", env = "USER", value_parser = Actor::parse)]
    pub actor: Actor,
}

/// Discards one, and says so.
///
/// # Errors
/// [`ExitError::Failed`] if there is no open one of that number.
pub async fn answer(session: &mut Session, args: &Args) -> Result<String, ExitError> {
    let number = args.number;
    if session.discard(number, &args.actor, &args.reason).await? {
        return Ok(format!("dead letter {number} is discarded\n"));
    }
    let (letter, _) = session.snapshot().await?.dead_letter(number).await?.ok_or_else(|| missing(number))?;
    let state = letter.state;
    let already = format!("dead letter {number} is {state} already: `credits dead-letters show {number}` says by whom");
    Err(ExitError::Failed(anyhow::anyhow!(already)))
}
