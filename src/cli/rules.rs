//! `credits rules`: what rules give, before they are in force and afterwards.

pub mod diff;
pub mod show;
pub mod test;

use clap::Subcommand;

use super::{ExitError, Global};

/// Test rules, compare them with what was granted, or show those that were in force
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each is described where its arguments are")]
pub enum Verb {
    Test(test::Args),
    Diff(diff::Args),
    Show(show::Args),
}

/// Tests, compares or shows rules.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    match &args.verb {
        Verb::Test(args) => test::run(global, args),
        Verb::Diff(args) => diff::run(global, args),
        Verb::Show(args) => show::run(global, args),
    }
}
