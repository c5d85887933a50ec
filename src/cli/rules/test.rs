//! `credits rules test`: the cases of a rules file, without database or broker.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::check::mistakes_json;
use crate::cli::output::{self, Format, printable};
use crate::cli::{ExitError, Global, read_rules};
use crate::config::{Case, CasesFile, ConfigError, RulesFile};
use crate::trial::cases::{Mismatch, run as run_case};

/// Run the cases of a rules file, offline
///
/// A case is messages as they would arrive and the grants that are expected of them. It runs through the same code as
/// in the worker, without database or broker. Cases of `config/rules.toml` are in `config/rules.test.toml`, which also
/// says how they are written. A case fails if a grant is missing, too much or otherwise than it says, or if a message
/// is refused and the case does not say so.
/// Exit code 0 if all cases pass, 1 if one fails, 78 for a mistake in the rules or in the file of cases.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rules file, instead of the one that the settings name
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// The cases, instead of the file beside the rules: of `rules.toml` it is `rules.test.toml`
    #[arg(long, value_name = "FILE")]
    pub cases: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// Cases that were run.
struct Tested {
    rules_file: PathBuf,
    rules: RulesFile,
    cases_file: PathBuf,
    results: Vec<(Case, Vec<Mismatch>)>,
}

/// Runs the cases and shows what came out otherwise.
///
/// # Errors
/// [`ExitError::Config`] with every mistake in the files, [`ExitError::Failed`] if a case fails.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    let tested = test(global, args);
    if args.format.json {
        output::show(&output::pretty(&tested.as_ref().map_or_else(mistakes_json, Tested::json)))?;
    } else if let Ok(tested) = &tested {
        output::show(&tested.text())?;
    }
    let tested = tested?;
    match tested.failed() {
        0 => Ok(()),
        failed => {
            let all = tested.results.len();
            Err(ExitError::Failed(anyhow::anyhow!("{failed} of {all} cases failed: {}", tested.cases_file.display())))
        }
    }
}

fn test(global: &Global, args: &Args) -> Result<Tested, ConfigError> {
    let settings = global.settings()?;
    let rules_file: &Path = args.rules.as_deref().unwrap_or(&settings.rules.file);
    let rules = read_rules(&settings, args.rules.as_deref())?;
    let cases_file = args.cases.clone().unwrap_or_else(|| CasesFile::beside(rules_file));
    let cases = CasesFile::read(&cases_file, &rules.rules)?.cases;
    let results = cases.into_iter().map(|case| {
        let mismatches = run_case(&case, &rules.rules);
        (case, mismatches)
    });
    let results = results.collect();
    Ok(Tested { rules_file: rules_file.to_owned(), rules, cases_file, results })
}

impl Tested {
    fn failed(&self) -> usize {
        self.results.iter().filter(|(_, mismatches)| !mismatches.is_empty()).count()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let file = self.cases_file.display();
        for (case, mismatches) in self.results.iter().filter(|(_, mismatches)| !mismatches.is_empty()) {
            let _ = writeln!(text, "{file}:{}: {:?} failed", case.line, case.name);
            for mismatch in mismatches {
                let _ = writeln!(text, "  {}", printable(&in_words(mismatch)));
            }
        }
        let (all, failed) = (self.results.len(), self.failed());
        let state = if failed == 0 { "ok" } else { "failed" };
        let _ = writeln!(
            text,
            "{state}: {file}: {} of {all} cases passed, rules {}, SHA-256 {}",
            all.saturating_sub(failed),
            self.rules_file.display(),
            self.rules.rules.hash,
        );
        text
    }

    fn json(&self) -> Value {
        let mismatch = |mismatch: &Mismatch| {
            json!({
                "subject": mismatch.subject,
                "line": mismatch.line,
                "field": mismatch.field,
                "expected": mismatch.expected,
                "got": mismatch.got,
            })
        };
        let case = |(case, mismatches): &(Case, Vec<Mismatch>)| {
            json!({
                "name": case.name,
                "line": case.line,
                "ok": mismatches.is_empty(),
                "mismatches": mismatches.iter().map(mismatch).collect::<Vec<_>>(),
            })
        };
        json!({
            "ok": self.failed() == 0,
            "problems": [],
            "rules": { "file": self.rules_file.display().to_string(), "sha256": self.rules.rules.hash.to_string() },
            "cases_file": self.cases_file.display().to_string(),
            "passed": self.results.len().saturating_sub(self.failed()),
            "failed": self.failed(),
            "cases": self.results.iter().map(case).collect::<Vec<_>>(),
        })
    }
}

/// `grant 1 (line 20): amount: expected 1000, got 900`
fn in_words(mismatch: &Mismatch) -> String {
    let line = mismatch.line.map_or_else(String::new, |line| format!(" (line {line})"));
    let field = mismatch.field.map_or_else(String::new, |field| format!(" {field}:"));
    let said = match (&mismatch.expected, &mismatch.got) {
        (Some(expected), Some(got)) => format!("expected {expected}, got {got}"),
        (Some(expected), None) => format!("expected {expected}, got no such grant"),
        (None, got) => got.clone().unwrap_or_default(),
    };
    format!("{}{line}:{field} {said}", mismatch.subject)
}
