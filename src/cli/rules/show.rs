//! `credits rules show`: a rules file that was in force.

use serde_json::json;

use crate::cli::ask::ask;
use crate::cli::output::{self, Format};
use crate::cli::show::time;
use crate::cli::{ExitError, Global};
use crate::store::Session;

/// Show a rules file that was in force
///
/// Grants, ledger entries and outcomes name the SHA-256 of the file that they go by; this prints its text, byte for
/// byte. The beginning of the SHA-256 will do. Exits with 1 if no file or more than one begins like that.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The SHA-256 in hexadecimal digits, or how it begins
    #[arg(value_name = "HASH", value_parser = digits)]
    pub hash: String,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

fn digits(text: &str) -> Result<String, &'static str> {
    let hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex { Ok(text.to_ascii_lowercase()) } else { Err("is not hexadecimal") }
}

/// Shows the file.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    output::show(&ask(global, async |session| answer(session, args).await)?)
}

/// The file's text.
///
/// # Errors
/// [`ExitError::Failed`] unless exactly one file has a hash that begins like that.
pub async fn answer(session: &mut Session, args: &Args) -> Result<String, ExitError> {
    let mut found = session.snapshot().await?.rules_files(&args.hash).await?;
    let failed = |what: String| Err(ExitError::Failed(anyhow::anyhow!(what)));
    match (found.pop(), found.len()) {
        (None, _) => failed(format!("no rules file with the SHA-256 {} was ever in force", args.hash)),
        (Some(kept), 0) => Ok(if args.format.json {
            let hash = kept.hash.to_string();
            output::pretty(&json!({ "sha256": hash, "first_used": time(kept.first_used), "text": kept.text }))
        } else {
            kept.text
        }),
        (Some(last), _) => {
            let hashes = found.iter().chain([&last]).map(|kept| kept.hash.to_string()).collect::<Vec<_>>();
            failed(format!("{} files begin like that: {}", hashes.len(), hashes.join(", ")))
        }
    }
}
