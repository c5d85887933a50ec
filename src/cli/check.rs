//! `credits check`: settings and rules, without database or broker.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::output::{self, Format};
use super::{ExitError, Global, read_rules};
use crate::config::settings::environment;
use crate::config::{ConfigError, RulesFile, Settings};

/// Check settings and rules, offline
///
/// Says what is wrong, with file, line, key and the nearest valid word, one mistake a line on stderr. Neither the
/// database nor the broker is asked, so it fits into the checks of the repository that holds your rules.
/// Exit code 0 if all is well, 78 otherwise.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rules file, instead of the one that the settings name
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// Valid settings and rules.
struct Checked {
    settings: Settings,
    rules_file: PathBuf,
    rules: RulesFile,
}

/// Checks, and shows what is there.
///
/// # Errors
/// [`ExitError::Config`] with every mistake.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    let checked = check(global.config.as_deref(), args.rules.as_deref(), &environment());
    if args.format.json {
        let json = checked.as_ref().map_or_else(mistakes_json, |checked| checked.json(global));
        output::show(&output::pretty(&json))?;
    } else if let Ok(checked) = &checked {
        output::show(&checked.text(global))?;
    }
    checked.map(drop).map_err(ExitError::from)
}

/// Reads both; mistakes in the settings do not hide those of a rules file that was named.
fn check(
    config: Option<&Path>,
    rules: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<Checked, ConfigError> {
    match Settings::load(config, environment) {
        Ok(settings) => {
            let file = rules.unwrap_or(&settings.rules.file).to_path_buf();
            let rules = read_rules(&settings, rules)?;
            Ok(Checked { settings, rules_file: file, rules })
        }
        Err(mut error) => {
            let also = rules.and_then(|file| RulesFile::read(file).err());
            error.problems.extend(also.into_iter().flat_map(|also| also.problems));
            Err(error)
        }
    }
}

impl Checked {
    fn text(&self, global: &Global) -> String {
        let rules = &self.rules.rules;
        let types: Vec<String> =
            rules.credit_types.iter().map(|(name, scale)| format!("{name} (scale {})", scale.places())).collect();
        let mut text = format!("ok: settings: {}\n", sources(global).join(", "));
        let _ = writeln!(
            text,
            "ok: rules: {}: {} on purchases, {} on signups, credit types: {}, SHA-256 {}",
            self.rules_file.display(),
            rules.purchase.len(),
            rules.signup.len(),
            types.join(", "),
            rules.hash,
        );
        for variable in self.unset() {
            let _ = writeln!(text, "note: {variable} is not set, `credits run` needs it");
        }
        text
    }

    fn json(&self, global: &Global) -> Value {
        let rules = &self.rules.rules;
        let types: BTreeMap<&str, u32> =
            rules.credit_types.iter().map(|(name, scale)| (name.as_str(), scale.places())).collect();
        json!({
            "ok": true,
            "problems": [],
            "settings": { "sources": sources(global), "unset": self.unset() },
            "rules": {
                "file": self.rules_file.display().to_string(),
                "sha256": rules.hash.to_string(),
                "purchase": rules.purchase.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(),
                "signup": rules.signup.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(),
                "credit_types": types,
            },
        })
    }

    /// The variables of URLs that nobody set.
    fn unset(&self) -> Vec<&'static str> {
        let database = self.settings.database.url.is_none().then_some("DATABASE_URL");
        let broker = self.settings.broker.url.is_none().then_some("AMQP_URL");
        database.into_iter().chain(broker).collect()
    }
}

/// The layers that were read, in order.
fn sources(global: &Global) -> Vec<String> {
    let file = global.config.as_deref().map(|file| file.display().to_string());
    let (first, last) = ("built-in defaults".to_owned(), "environment".to_owned());
    std::iter::once(first).chain(file).chain(std::iter::once(last)).collect()
}

/// Every mistake, as JSON.
pub(super) fn mistakes_json(error: &ConfigError) -> Value {
    let problem = |problem: &crate::config::Problem| {
        json!({
            "file": problem.file,
            "line": problem.line,
            "key": problem.key,
            "message": problem.message,
            "suggestion": problem.suggestion,
        })
    };
    json!({ "ok": false, "problems": error.problems.iter().map(problem).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of the project.
    fn file(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_well_is_summed_up_in_two_lines_and_a_note_for_each_missing_url() {
        let rules = file("config/rules.toml");
        let set = variables(&[("AMQP_URL", "amqp://h")]);
        let text = check(None, Some(&rules), &set).ok().unwrap().text(&Global::default());
        let lines: Vec<&str> = text.lines().collect();
        let [settings, rules, note] = lines[..] else { panic!("{text}") };
        assert_eq!(settings, "ok: settings: built-in defaults, environment");
        assert!(rules.contains(": 2 on purchases, 1 on signups, credit types: credits (scale 0), SHA-256 "), "{rules}");
        assert_eq!(note, "note: DATABASE_URL is not set, `credits run` needs it");
    }

    #[test]
    fn mistakes_of_settings_and_rules_are_told_together() {
        let rules = file("tests/broken-rules/unknown-key.toml");
        let set = variables(&[("CREDITS_WORKER_LANES", "0")]);
        let error = check(None, Some(&rules), &set).err().unwrap();
        let keys: Vec<&str> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["worker.lanes", "rules[0].grant.credit_typ"]);
        assert_eq!(mistakes_json(&error)["problems"][1]["suggestion"], "credit_type");
    }

    #[test]
    fn the_settings_name_the_rules_file_and_the_argument_wins() {
        let broken = file("tests/broken-rules/duplicate-name.toml");
        let set = variables(&[("CREDITS_RULES_FILE", broken.to_str().unwrap())]);
        assert!(check(None, None, &set).is_err());
        assert!(check(None, Some(&file("config/rules.toml")), &set).is_ok());
    }
}
