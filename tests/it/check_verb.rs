//! `credits check`: every mistake with its file, line, key and the nearest valid word, and without any service.

use std::path::Path;
use std::process::{Command, Output};

/// A broken rules file, and what has to be said of it.
const BROKEN: [(&str, &[&str]); 6] = [
    ("unknown-key", &[":9: ", "rules[0].grant.credit_typ", "did you mean `credit_type`?"]),
    ("unknown-credit-type", &[":9: ", "rules[0].grant.credit_type", "did you mean `credits`?"]),
    ("unreachable-rule", &[":14: ", "rules[1].match", "\"all-packs\""]),
    ("paid-on-signup", &[":8: ", "rules[0].grant.category", "did you mean `promotional`?"]),
    ("duplicate-name", &[":12: ", "rules[1].name", "\"credit-packs\""]),
    ("two-triggers", &[":13: ", "rules[1].on", "\"credit-packs\"", "\"payment-succeeded\""]),
];

#[test]
fn each_broken_rules_file_is_refused_with_file_key_and_nearest_word() {
    for (name, words) in BROKEN {
        let file = format!("tests/broken-rules/{name}.toml");
        let checked = check(&["--rules", &file], &[]);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(78), "{file}: {said}");
        let named = said.lines().any(|line| line.starts_with(&file) && words.iter().all(|word| line.contains(word)));
        assert!(named, "{file}: no line has all of {words:?}:\n{said}");
        assert_eq!(said.lines().count(), 1, "one mistake, one line:\n{said}");
        assert!(checked.stdout.is_empty(), "mistakes are no data");
    }
}

#[test]
fn every_broken_rules_file_is_checked_here() {
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken-rules")).unwrap();
    let mut found: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let mut known: Vec<String> = BROKEN.iter().map(|(name, _)| format!("{name}.toml")).collect();
    known.sort();
    assert_eq!(found, known);
}

#[test]
fn the_rules_that_are_shipped_and_those_of_the_samples_are_valid() {
    for file in ["config/rules.toml", "tests/fixtures/rules.toml"] {
        let checked = check(&["--rules", file], &[]);
        assert!(checked.status.success(), "{file}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn a_wrong_variable_is_named_with_the_nearest_setting() {
    let checked = check(&["--rules", "config/rules.toml"], &[("CREDITS_BROKER_PREFECH", "10")]);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(78), "{said}");
    assert!(said.contains("CREDITS_BROKER_PREFECH") && said.contains("`CREDITS_BROKER_PREFETCH`"), "{said}");
}

/// Neither URL is set: no service can be asked.
fn check(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_credits"))
        .arg("check")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}
