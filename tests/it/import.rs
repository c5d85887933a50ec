//! An import ends exact, however often it is killed and run again.
//!
//! `CREDITS_TEST_IMPORT` says how many grants, instead of [`GRANTS`].

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{LIMIT, Setup, TestWorker, until};

/// Lines of a file: a dozen transactions.
const GRANTS: usize = 6_000;
const CUSTOMERS: usize = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_killed_half_way_and_run_again_ends_exact() {
    let count = std::env::var("CREDITS_TEST_IMPORT").map_or(GRANTS, |count| count.parse().unwrap());
    let worker = Setup::default().prepare().await;
    let (file, expected) = written(&worker, count);

    let tried = import(&worker, &file, "--dry-run").await;
    assert_eq!(tried.status.code(), Some(0), "{}", words(&tried.stderr));
    assert!(words(&tried.stdout).contains(&expected.summary()), "{} in {}", expected.summary(), words(&tried.stdout));
    assert_eq!(worker.grants_in_all().await, 0, "a dry run writes nothing");

    let begun = Instant::now();
    let mut command = worker.place.command(&line(&file, "--yes"));
    let mut killed = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let half = i64::try_from(count / 2).unwrap();
    let limit = LIMIT + Duration::from_millis(u64::try_from(count).unwrap() * 5);
    until("half of it is there", limit, async || match worker.grants_in_all().await {
        some if some >= half => Ok(()),
        few => Err(format!("{few} grants")),
    })
    .await;
    killed.kill().unwrap();
    assert_eq!(killed.wait().unwrap().code(), None, "killed before its end");
    let there = worker.grants_in_all().await;
    assert!(there >= half && there < i64::try_from(count).unwrap(), "{there} of {count} when it was killed");

    let again = import(&worker, &file, "--yes").await;
    let took = begun.elapsed();
    assert_eq!(again.status.code(), Some(0), "{}", words(&again.stderr));
    let told = words(&again.stdout);
    let rest = i64::try_from(count).unwrap() - there;
    assert!(told.contains(&format!("imported {rest} grants, {there} were there already, 0 were left out")), "{told}");
    let progress = words(&again.stderr);
    assert!(progress.contains(&format!("100 %  {count} of {count} grants")), "progress: {progress}");
    println!("{count} grants, killed at {there}: {took:.1?} in all; the second run said:\n{progress}");
    worker.assert_imported(&expected).await;

    let third = import(&worker, &file, "--yes").await;
    let told = words(&third.stdout);
    assert!(told.contains(&format!("imported 0 grants, {count} were there already, 0 were left out")), "{told}");
    worker.assert_imported(&expected).await;
    worker.assert_the_chain_holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_imports_of_one_file_at_once_write_each_grant_once() {
    let worker = Setup::default().prepare().await;
    let (file, expected) = written(&worker, 1_200);
    let (one, other) = tokio::join!(import(&worker, &file, "--yes"), import(&worker, &file, "--yes"));
    for done in [&one, &other] {
        assert_eq!(done.status.code(), Some(0), "{} {}", words(&done.stdout), words(&done.stderr));
    }
    worker.assert_imported(&expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_is_named_with_its_line_and_nothing_is_written() {
    let worker = Setup::default().prepare().await;
    let good =
        r#"{"external_id":"a","customer_id":"c","credit_type":"credits","amount":"10","category":"promotional"}"#;
    // Each line its own external id, so that nothing but the mistake is wrong with it.
    let mut count = 0;
    let mut changed = |from: &str, to: &str| {
        count += 1;
        good.replace(r#""a""#, r#""b""#).replace(from, to).replace(r#""b""#, &format!(r#""b{count}""#))
    };
    let lines = [
        (good.to_owned(), None),
        (String::new(), None),
        (good.to_owned(), Some(r#"external_id "a" stands on line 1 already"#)),
        (changed(r#""10""#, r#""1e3""#), Some(r#"amount "1e3" is not a plain decimal"#)),
        (changed(r#""10""#, "1.5"), Some("amount 1.5")),
        (changed(r#""10""#, r#""10.5""#), Some(r#"amount "10.5" has 1 decimal places, at most 0"#)),
        (changed(r#""credits""#, r#""credit""#), Some(r#"credit_type "credit" is none of the rules file's"#)),
        (changed(r#""promotional""#, r#""free""#), Some(r#"category "free""#)),
        (changed(r#""10","#, r#""10","used":"11","#), Some(r#"used "11" is more than amount"#)),
        (changed(r#""10","#, r#""10","amonut":"11","#), Some("unknown field `amonut`")),
        (changed(r#""10","#, r#""10","amount":"11","#), Some("duplicate field `amount`")),
        (changed(r#""10","#, r#""10","expires_at":"2020-01-01T00:00:00Z","#), Some("not later than effective_at")),
        (changed(r#""b""#, r#""""#), Some("external_id is empty")),
        (changed(r#""b""#, &format!(r#""{}""#, "x".repeat(249))), Some("external_id has 249 bytes, at most 248")),
        ("no json".to_owned(), Some("expected")),
    ];
    let file = worker.place.folder.path().join("bad.ndjson");
    std::fs::write(&file, lines.iter().map(|(line, _)| line.as_str()).collect::<Vec<_>>().join("\n")).unwrap();
    let done = import(&worker, &file, "--yes").await;
    let told = words(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{told}");
    for (at, (_, what)) in lines.iter().enumerate() {
        let place = format!("bad.ndjson:{}:", at + 1);
        let found = told.lines().find(|line| line.contains(&place));
        assert_eq!(found.is_some(), what.is_some(), "{place} {found:?}");
        let (found, what) = (found.unwrap_or_default(), what.unwrap_or_default());
        assert!(found.contains(what), "{what} is missing in {found}");
    }
    let mistakes = lines.iter().filter(|(_, what)| what.is_some()).count();
    assert!(told.contains(&format!("nothing is done: {mistakes} lines have a mistake")), "{told}");
    assert_eq!(worker.grants_in_all().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_with_another_content_is_listed_and_left_out_and_the_rest_is_imported() {
    let worker = Setup::default().prepare().await;
    let line = |id: &str, amount: u32| {
        format!(
            r#"{{"external_id":"{id}","customer_id":"c","credit_type":"credits","amount":"{amount}","category":"promotional"}}"#
        ) + "\n"
    };
    let file = worker.place.folder.path().join("grants.ndjson");
    std::fs::write(&file, line("a", 10)).unwrap();
    let done = import(&worker, &file, "--yes").await;
    assert_eq!(done.status.code(), Some(0), "{}", words(&done.stderr));
    std::fs::write(&file, line("a", 11) + &line("b", 5)).unwrap();
    let done = import(&worker, &file, "--yes").await;
    let told = words(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{told}");
    let named = r#"grants.ndjson:1: external_id "a" was imported with another content: amount: kept 10, now 11"#;
    assert_eq!(told.matches(named).count(), 1, "{told}");
    assert!(words(&done.stdout).contains("imported 1 grants, 0 were there already, 1 were left out"));
    assert_eq!(worker.balance("c", "credits").await.as_deref(), Some("15"));
    assert_eq!(worker.number("select count(*) from dead_letters").await, Ok(0));
}

/// Sums of a file.
#[derive(Default)]
struct Expected {
    grants: i64,
    original: i64,
    used: i64,
    expired: i64,
    consumes: i64,
    expiries: i64,
}

impl Expected {
    fn remaining(&self) -> i64 {
        self.original - self.used - self.expired
    }

    /// The line of the table that the verb shows.
    fn summary(&self) -> String {
        let Self { grants, original, used, expired, .. } = self;
        [*grants, *original, *used, *expired, self.remaining()].map(|sum| sum.to_string()).join(" ")
    }
}

/// A file of `count` grants: some used, some used up, some over.
fn written(worker: &TestWorker, count: usize) -> (PathBuf, Expected) {
    let (mut text, mut expected) = (String::new(), Expected::default());
    for at in 0..count {
        let amount = i64::try_from(at % 997 + 1).unwrap();
        let used = [0, amount / 3, amount, 0][at % 4];
        let is_over = at % 10 == 9;
        let dates = match at % 10 {
            9 => r#","effective_at":"2024-01-01T00:00:00Z","expires_at":"2025-01-01T00:00:00Z""#,
            5 => r#","effective_at":"2024-06-01T00:00:00Z""#,
            _ => r#","expires_at":"2999-01-01T00:00:00Z""#,
        };
        let category =
            if at % 2 == 0 { r#""paid","cost_basis":{"total":"12.50","currency":"EUR"}"# } else { r#""promotional""# };
        let customer = at % CUSTOMERS;
        writeln!(
            text,
            r#"{{"external_id":"g{at}","customer_id":"cus_{customer}","credit_type":"credits","amount":"{amount}","used":"{used}","category":{category}{dates}}}"#
        )
        .unwrap();
        expected.grants += 1;
        expected.original += amount;
        expected.used += used;
        expected.consumes += i64::from(used > 0);
        if is_over {
            expected.expired += amount - used;
            expected.expiries += i64::from(amount > used);
        }
    }
    let file = worker.place.folder.path().join("grants.ndjson");
    std::fs::write(&file, text).unwrap();
    (file, expected)
}

fn line<'a>(file: &'a Path, how: &'a str) -> [&'a str; 5] {
    ["import", file.to_str().unwrap(), "--actor", "ann", how]
}

/// Runs it to its end, and gives its words with single spaces.
async fn import(worker: &TestWorker, file: &Path, how: &str) -> Output {
    let mut done = worker.place.credits(&line(file, how)).await;
    let lines = words(&done.stdout);
    let steady = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n");
    done.stdout = steady.collect::<String>().into_bytes();
    done
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl TestWorker {
    async fn grants_in_all(&self) -> i64 {
        self.number("select count(*) from grants").await.unwrap()
    }

    async fn assert_imported(&self, expected: &Expected) {
        for (what, query, number) in [
            ("grants", "select count(*) from grants", expected.grants),
            ("original", "select sum(amount)::bigint from grants", expected.original),
            ("remaining", "select sum(remaining)::bigint from grants", expected.remaining()),
            ("balances", "select sum(balance)::bigint from pools", expected.remaining()),
            ("grant entries", "select count(*) from ledger where type = 'grant'", expected.grants),
            ("consume entries", "select count(*) from ledger where type = 'consume'", expected.consumes),
            ("used", "select -sum(delta)::bigint from ledger where type = 'consume'", expected.used),
            ("expire entries", "select count(*) from ledger where type = 'expire'", expected.expiries),
            ("expired", "select -sum(delta)::bigint from ledger where type = 'expire'", expected.expired),
            ("messages", "select count(*) from inbox", expected.grants),
            ("outcomes", "select count(*) from outcomes", expected.grants),
            ("dead letters", "select count(*) from dead_letters", 0),
        ] {
            assert_eq!(self.number(query).await, Ok(number), "{what}");
        }
        self.assert_the_books_balance().await;
    }
}
