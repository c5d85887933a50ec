//! The question before something is written.

use std::io::{IsTerminal, stdin};

use anyhow::{Context, anyhow};

use super::ExitError;
use super::output::complain;

/// Asks on the terminal whether to go on.
///
/// # Errors
/// [`ExitError::Failed`] unless somebody says yes; without a terminal nobody can.
pub(super) fn confirm(question: &str) -> Result<(), ExitError> {
    if !stdin().is_terminal() {
        return Err(ExitError::Failed(anyhow!("nothing is done: there is no terminal to ask on; say --yes")));
    }
    complain(&format!("{question} [y/N]"));
    let mut line = String::new();
    stdin().read_line(&mut line).context("stdin cannot be read").map_err(ExitError::Failed)?;
    if matches!(line.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(ExitError::Failed(anyhow!("nothing is done"))) }
}
