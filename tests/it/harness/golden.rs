//! Golden files: what a verb shows, kept beside the tests.
//!
//! What is never the same (instants of this run, ids of rows, names of the test's own place) becomes a word in pointed
//! brackets. A file that differs fails the test with the difference. `CREDITS_RENEW_GOLDEN=1` writes the files anew,
//! and fails all the same, so that nothing is renewed unseen.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::worker::TestWorker;

const RENEW: &str = "CREDITS_RENEW_GOLDEN";

/// Instants this long before now are of this run.
const RUN: TimeDelta = TimeDelta::hours(1);

impl TestWorker {
    /// What the verbs of `lines` show, each behind its command line, is what the golden file `name` says.
    pub(crate) async fn assert_golden(&self, name: &str, lines: &[&str]) {
        self.wait_until_settled().await;
        let mut shown = Vec::new();
        for line in lines {
            let arguments: Vec<&str> = line.split_whitespace().collect();
            let ended = self.place.credits(&arguments).await;
            let said = String::from_utf8(ended.stdout).unwrap() + &String::from_utf8(ended.stderr).unwrap();
            shown.push(format!("$ credits {line}\n{}", self.steady(&said, line.contains("--json")).await));
        }
        assert_same(&format!("explain/{name}"), &shown.join("\n"));
    }

    /// The text with words for what is never the same.
    async fn steady(&self, text: &str, is_json: bool) -> String {
        let mut text = text.replace(&self.place.prefix, "<prefix>");
        for hash in self.texts("select encode(rules_hash, 'hex') from rules_files").await {
            text = text.replace(&hash, "<rules>").replace(&hash[..12], "<rules>");
        }
        let lines = text.lines().map(|line| {
            let line = words(line);
            if is_json { line } else { in_columns(&line) }
        });
        lines.map(|line| line + "\n").collect()
    }
}

/// Columns are two spaces apart, however wide they are.
fn in_columns(line: &str) -> String {
    let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
    let is_age = |cell: &str| cell.strip_suffix(" s").is_some_and(|count| count.parse::<u64>().is_ok());
    cells.map(|cell| if is_age(cell) { "<age>" } else { cell }).collect::<Vec<_>>().join("  ")
}

fn words(line: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || "-:.".contains(c);
    let mut steady = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        // A stop or a colon behind a word is none of it, unless there is nothing else.
        let end = from[..end].trim_end_matches(['.', ':', '-']).len().max(1);
        let (word, after) = from.split_at(end);
        steady += before;
        steady += steady_word(word);
        rest = after;
    }
    let seconds = "\"waiting_seconds\": \"";
    match steady.split_once(seconds) {
        Some((before, _)) => format!("{before}{seconds}<age>\","),
        None => steady + rest,
    }
}

fn steady_word(word: &str) -> &str {
    let now = Utc::now();
    let of_this_run = |at: DateTime<Utc>| at > now - RUN && at <= now + TimeDelta::minutes(1);
    if word.ends_with('Z') && DateTime::parse_from_rfc3339(word).is_ok_and(|at| of_this_run(at.to_utc())) {
        "<time>"
    } else if word.len() == 36 && Uuid::parse_str(word).is_ok_and(|id| id.get_version_num() == 7) {
        "<id>"
    } else {
        word
    }
}

/// What was shown is what the golden file `name` says.
pub(crate) fn assert_same(name: &str, shown: &str) {
    let path = file(name);
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if golden == shown {
        return;
    }
    let difference = difference(&golden, shown);
    let shown_path = path.display();
    if std::env::var_os(RENEW).is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, shown).unwrap();
        panic!("{shown_path} is renewed, see `git diff`; run again without {RENEW}:\n{difference}");
    }
    panic!("{shown_path} says something else ({RENEW}=1 renews it):\n{difference}");
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.txt"))
}

/// Lines that are gone behind `-`, new ones behind `+`, the others behind a space.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // common[i][j]: how many lines old[i..] and new[j..] have in common, in order.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(format!("  {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("- {}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    lines.join("\n")
}

#[test]
fn a_difference_shows_what_is_gone_and_what_is_new() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), "  a\n- b\n+ x\n  c\n+ d");
}

#[test]
fn what_is_never_the_same_becomes_a_word_and_what_a_message_says_stays() {
    let now = Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let line =
        words(&format!("at {now}: 2026-01-12T09:30:00Z, {} 152cc51a-91d4-5700-8c86-62886579f837", Uuid::now_v7()));
    assert_eq!(line, "at <time>: 2026-01-12T09:30:00Z, <id> 152cc51a-91d4-5700-8c86-62886579f837");
    assert_eq!(in_columns("evt_1   refund    3 s   the payment"), "evt_1  refund  <age>  the payment");
}
