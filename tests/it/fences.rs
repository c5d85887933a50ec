//! The fences between the rooms of `src/`: read from the sources, so that a wall that falls is noticed.
//!
//! Code of unit tests may look over any fence; comments and texts are not code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What `domain` may use besides the standard library.
const CORE_CRATES: [&str; 6] = ["rust_decimal", "uuid", "chrono", "thiserror", "iso_currency", "num_bigint"];

/// A crate, and the only places that may name it.
const OWNED: [(&str, &[&str]); 6] = [
    ("sqlx", &["store"]),
    ("lapin", &["broker"]),
    ("backoff", &["retry.rs"]),
    ("serde_json", &["wire", "cli", "config", "http"]),
    ("anyhow", &["cli", "main.rs"]),
    ("axum", &["http"]),
];

/// A room, and the other rooms that it may import.
const NEIGHBOURS: [(&str, &[&str]); 6] = [
    ("domain", &[]),
    ("broker", &["retry"]),
    ("wire", &["domain"]),
    ("store", &["domain"]),
    ("retry.rs", &[]),
    ("trial", &["domain", "wire", "config"]),
];

/// Clocks and randomness, as they are called.
const IMPURE: [&str; 12] = [
    "Utc::now",
    "Local::now",
    "Instant",
    "SystemTime",
    "now_v1",
    "new_v4",
    "now_v7",
    "new_v7",
    "random",
    "rand",
    "async",
    "await",
];

/// One source file, without its comments, texts and test code.
struct Source {
    path: PathBuf,
    code: String,
}

#[test]
fn each_driver_is_known_in_one_room_only() {
    for (name, rooms) in OWNED {
        let strangers = sources().into_iter().filter(|source| !source.is_in(rooms) && source.crates().contains(name));
        assert_none(strangers, &format!("names {name}, which belongs to {rooms:?}"));
        assert!(
            sources().iter().any(|source| source.is_in(rooms) && source.crates().contains(name)),
            "{name} is found nowhere: is this test blind?"
        );
    }
}

#[test]
fn rooms_import_their_neighbours_only() {
    for (room, neighbours) in NEIGHBOURS {
        let own = room.trim_end_matches(".rs");
        let allowed = |other: &String| other == own || neighbours.contains(&other.as_str());
        let over = sources().into_iter().filter(|source| source.is_in(&[room]) && !source.rooms().iter().all(allowed));
        assert_none(over, &format!("imports more than {neighbours:?}"));
    }
}

#[test]
fn the_core_uses_no_crate_but_its_own_few() {
    let foreign: BTreeSet<String> =
        dependencies().into_iter().filter(|name| !CORE_CRATES.contains(&name.as_str())).collect();
    assert!(foreign.contains("tokio") && foreign.contains("serde"), "dependencies are found: {foreign:?}");
    let over = sources()
        .into_iter()
        .filter(|source| source.is_in(&["domain"]) && source.crates().iter().any(|name| foreign.contains(name)));
    assert_none(over, &format!("uses a crate beyond {CORE_CRATES:?}"));
}

#[test]
fn the_core_has_no_clock_no_randomness_and_waits_for_nothing() {
    for call in IMPURE {
        let impure = sources().into_iter().filter(|source| source.is_in(&["domain"]) && source.has_word(call));
        assert_none(impure, &format!("says {call}"));
    }
}

#[test]
fn the_reader_of_sources_sees_code_and_nothing_else() {
    let code = code_of(
        "use a::b; // c::d\n/* e::f */ let g = \"h::i \\\" j::k\"; let l = r#\"m::n \" o::p\"#; let q: &'static r::S = 't'; \
         let u = '\"'; v::w();\n#[cfg(test)]\nmod tests { x::y }",
    );
    let source = Source { path: PathBuf::new(), code };
    assert_eq!(source.crates(), ["a", "r", "v"].map(str::to_owned).into());
}

impl Source {
    /// Whether it belongs to one of `rooms`: a folder of `src/` with its `.rs` file, or one file.
    fn is_in(&self, rooms: &[&str]) -> bool {
        let first = self.path.components().next().unwrap().as_os_str().to_str().unwrap();
        rooms.iter().any(|room| first == *room || first.trim_end_matches(".rs") == *room)
    }

    /// First words of paths: crates, and modules in scope.
    fn crates(&self) -> BTreeSet<String> {
        self.heads("")
    }

    /// Rooms named by a path from the root.
    fn rooms(&self) -> BTreeSet<String> {
        let mut rooms = self.heads("crate::");
        for group in self.code.split("crate::{").skip(1) {
            let names = group.split('}').next().unwrap_or_default();
            rooms.extend(names.split(',').filter_map(|name| words(name).next()).map(str::to_owned));
        }
        // From `room/file.rs` that is the root as well.
        if self.path.components().count() == 2 && !self.path.ends_with("mod.rs") {
            rooms.extend(self.heads("super::super::"));
        }
        rooms
    }

    /// Words right behind `before` that a path goes on from.
    fn heads(&self, before: &str) -> BTreeSet<String> {
        let mut heads = BTreeSet::new();
        for (at, _) in self.code.match_indices("::") {
            let head = words(&self.code[..at]).next_back().unwrap_or_default();
            let start = at - head.len();
            let is_whole = self.code[..at].ends_with(head) && !head.is_empty();
            let leads = if before.is_empty() {
                !self.code[..start].ends_with("::")
            } else {
                self.code[..start].ends_with(before)
            };
            if is_whole && leads {
                heads.insert(head.to_owned());
            }
        }
        if !before.is_empty() {
            let last =
                self.code.match_indices(before).filter_map(|(at, _)| words(&self.code[at + before.len()..]).next());
            heads.extend(last.map(str::to_owned));
        }
        heads
    }

    fn has_word(&self, call: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        self.code
            .match_indices(call)
            .any(|(at, _)| !self.code[..at].ends_with(is_part) && !self.code[at + call.len()..].starts_with(is_part))
    }
}

fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

fn assert_none(sources: impl Iterator<Item = Source>, what: &str) {
    let found: Vec<_> = sources.map(|source| source.path).collect();
    assert!(found.is_empty(), "{what}: {found:?}");
}

/// Every file below `src/` that is no test.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_test = path.file_stem().is_some_and(|name| name == "tests");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !is_test {
                let code = code_of(&std::fs::read_to_string(&path).unwrap());
                sources.push(Source { path: path.strip_prefix(&root).unwrap().to_owned(), code });
            }
        }
    }
    assert!(sources.len() > 30, "only {} sources are found", sources.len());
    sources
}

/// The code up to the tests at the end of the file, without comments and texts.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if next == '"' {
            text_length(rest)
        } else if next == '\'' {
            char_length(rest)
        } else {
            code.push(next);
            next.len_utf8()
        };
        rest = &rest[skipped..];
    }
    code
}

/// The length of a text literal with its quotes.
fn text_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, next) in rest.char_indices().skip(1) {
        match next {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// The length of a character literal; of the quote alone if it begins a lifetime.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => rest[3..].find('\'').map_or(rest.len(), |end| end + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// The crates that Cargo.toml depends on, as code names them.
fn dependencies() -> Vec<String> {
    let file = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = file.split("[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let names =
        section.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name.trim().replace('-', "_")));
    names.filter(|name| !name.starts_with('#')).collect()
}
