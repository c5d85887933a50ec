//! `credits rules test`: the cases of a rules file, without any service.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const CASES: &str = "config/rules.test.toml";

#[test]
fn the_rules_that_are_shipped_pass_their_cases() {
    let tested = test(&["--rules", "config/rules.toml"]);
    assert_eq!(tested.status.code(), Some(0), "{}", text(&tested.stderr));
    let cases = read(CASES).matches("\n[[cases]]\n").count();
    let said = text(&tested.stdout);
    assert!(cases > 5 && said.starts_with(&format!("ok: {CASES}: {cases} of {cases} cases passed, ")), "{said}");
}

#[test]
fn the_cases_lie_beside_the_rules_unless_another_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let rules = write(&folder, "own.toml", &read("config/rules.toml"));
    let alone = test(&["--rules", &rules]);
    assert_eq!(alone.status.code(), Some(78));
    assert!(text(&alone.stderr).contains("own.test.toml"), "{}", text(&alone.stderr));
    assert_eq!(test(&["--rules", &rules, "--cases", CASES]).status.code(), Some(0));
    write(&folder, "own.test.toml", &read(CASES));
    assert_eq!(test(&["--rules", &rules]).status.code(), Some(0));
}

#[test]
fn a_changed_rule_fails_with_both_sides_of_every_field_that_differs() {
    let folder = tempfile::tempdir().unwrap();
    let changed = read("config/rules.toml").replace("credits_per_unit = 1000", "credits_per_unit = 900");
    let rules = write(&folder, "rules.toml", &changed);
    let tested = test(&["--rules", &rules, "--cases", CASES]);
    assert_eq!(tested.status.code(), Some(1), "{}", text(&tested.stderr));
    let said = text(&tested.stdout);
    for words in [
        "\"a pack gives 1000 credits for each unit, at the line's cost, for ever\" failed",
        "amount: expected 3000, got 2700",
        "remaining: expected 750, got 675",
    ] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    assert!(!said.contains("enterprise"), "what passed is not told:\n{said}");

    let tested = test(&["--rules", &rules, "--cases", CASES, "--json"]);
    let told: Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert_eq!((tested.status.code(), &told["ok"]), (Some(1), &Value::from(false)));
    let mismatch = &told["cases"][0]["mismatches"][0];
    assert_eq!([&mismatch["field"], &mismatch["expected"], &mismatch["got"]], ["amount", "3000", "2700"], "{told}");
}

#[test]
fn a_mistake_in_the_cases_is_told_with_file_line_key_and_nearest_word() {
    let folder = tempfile::tempdir().unwrap();
    let broken = "[[cases]]\nname = \"one\"\n[[cases.messages]]\ntype = \"payment-succeeded\"\n[cases.messages.data]\npaymet_id = \"p\"\n";
    let cases = write(&folder, "broken.toml", broken);
    let tested = test(&["--rules", "config/rules.toml", "--cases", &cases]);
    assert_eq!((tested.status.code(), tested.stdout.len()), (Some(78), 0));
    let expected = format!("{cases}:6: cases[0].messages[0].data.paymet_id: unknown key, did you mean `payment_id`?\n");
    assert_eq!(text(&tested.stderr), expected);
    let tested = test(&["--rules", "config/rules.toml", "--cases", &cases, "--json"]);
    let told: Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert_eq!((tested.status.code(), &told["problems"][0]["suggestion"]), (Some(78), &Value::from("payment_id")));
}

#[test]
fn a_mistake_in_the_rules_is_told_as_check_tells_it() {
    let tested = test(&["--rules", "tests/broken-rules/unknown-key.toml", "--cases", CASES]);
    assert_eq!(tested.status.code(), Some(78));
    assert!(text(&tested.stderr).contains("did you mean `credit_type`?"), "{}", text(&tested.stderr));
}

/// Neither URL is set: no service can be asked.
fn test(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_credits"));
    command.args(["rules", "test"]).args(arguments).current_dir(root()).env_clear().output().unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn write(folder: &TempDir, name: &str, content: &str) -> String {
    let path: &Path = &folder.path().join(name);
    std::fs::write(path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
