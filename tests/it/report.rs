//! `credits report` over a year of grants, refunds and dates: its months join, its sums are the ledger's, and what it
//! prints is kept in `tests/fixtures/report`. `make golden` renews that.

mod reckoned;
mod year;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;

use self::reckoned::{Reckoning, Sums};
use self::year::Year;
use crate::harness::assert_same;

/// The months that are asked for: those of the year, and the one behind it.
fn months() -> Vec<String> {
    (1..=12).map(|month| format!("2025-{month:02}")).chain(["2026-01".to_owned()]).collect()
}

/// What `credits report` says of a month, without what is zero.
async fn reported(year: &Year, month: &str) -> Sums {
    let report: Value = serde_json::from_str(&year.shown(&format!("report --month {month} --json")).await).unwrap();
    assert_eq!((&report["month"], &report["is_over"]), (&month.into(), &true.into()));
    let mut sums = Sums::new();
    for of_type in report["credit_types"].as_array().unwrap() {
        let money = of_type["money"].as_object().unwrap().iter().map(|(currency, lines)| (currency.as_str(), lines));
        for (unit, lines) in money.chain([("", &of_type["credits"])]) {
            for (name, sum) in lines.as_object().unwrap() {
                let sum: Decimal = sum.as_str().unwrap().parse().unwrap();
                let key = (of_type["credit_type"].as_str().unwrap().to_owned(), unit.to_owned(), name.clone());
                sums.insert(key, sum.normalize());
            }
        }
    }
    sums.retain(|_, sum| !sum.is_zero());
    sums
}

/// One line of every credit type and unit.
fn line(sums: &Sums, name: &str) -> BTreeMap<(String, String), Decimal> {
    let named = sums.iter().filter(|((_, _, line), _)| line == name);
    named.map(|((kind, unit, _), sum)| ((kind.clone(), unit.clone()), *sum)).collect()
}

#[tokio::test]
async fn a_months_closing_is_the_next_ones_opening() {
    let year = Year::lived().await;
    let mut closing = None;
    for month in months() {
        let sums = reported(&year, &month).await;
        let opening = line(&sums, "opening");
        assert!(opening.len() > 6, "{month} begins with little: {opening:?}");
        assert_eq!(closing.unwrap_or_else(|| opening.clone()), opening, "{month}");
        closing = Some(line(&sums, "closing"));
    }
}

#[tokio::test]
async fn every_sum_of_a_year_is_what_the_ledgers_rows_come_to() {
    let year = Year::lived().await;
    let mut reports = Vec::new();
    for month in months() {
        reports.push(reported(&year, &month).await);
    }
    // What was due and not written then is in the ledger only after this.
    year.sweep().await;
    let ledger = Reckoning::of(&year.place).await;
    for (month, report) in months().iter().zip(&reports) {
        assert_eq!(*report, ledger.month(month), "{month}");
    }
    for name in reckoned::NAMES {
        assert!(reports.iter().any(|report| !line(report, name).is_empty()), "the year has no {name}");
    }
}

#[tokio::test]
async fn a_years_closing_and_changes_are_the_sums_that_plain_sql_finds_in_the_ledger() {
    let year = Year::lived().await;
    let mut changes: BTreeMap<(String, &str), Decimal> = BTreeMap::new();
    let mut closing = BTreeMap::new();
    for month in &months()[..12] {
        let sums = reported(&year, month).await;
        for ((kind, unit, name), sum) in &sums {
            if let ("", Some(entry_type)) = (unit.as_str(), reckoned::entry_type(name)) {
                *changes.entry((kind.clone(), entry_type)).or_default() += sum;
            }
        }
        closing = line(&sums, "closing");
    }
    changes.retain(|_, sum| !sum.is_zero());
    year.sweep().await;
    let written = year
        .sums(
            "select credit_type, type, sum(delta) from ledger
             where counts_at >= '2025-01-01' and counts_at < '2026-01-01' and delta <> 0 group by 1, 2",
        )
        .await;
    let reported: Vec<_> =
        changes.into_iter().map(|((kind, name), sum)| (kind, name.to_owned(), sum.normalize())).collect();
    assert_eq!(reported, written);
    let balances =
        year.sums("select credit_type, '', sum(delta) from ledger where counts_at < '2026-01-01' group by 1").await;
    assert_eq!(
        closing
            .into_iter()
            .filter(|((_, unit), _)| unit.is_empty())
            .map(|((kind, unit), sum)| (kind, unit, sum))
            .collect::<Vec<_>>(),
        balances
    );
}

#[tokio::test]
async fn it_makes_no_difference_to_a_month_when_the_sweeper_ran() {
    let year = Year::lived().await;
    let mut before = Vec::new();
    for month in months() {
        before.push(year.shown(&format!("report --month {month}")).await);
    }
    let due = "select 'due', '', count(*)::numeric from grants where due_at < '2026-01-01'";
    assert!(year.sums(due).await[0].2 > Decimal::ONE, "nothing is left for the sweeper");
    year.sweep().await;
    assert!(year.sums(due).await[0].2.is_zero());
    for (month, before) in months().iter().zip(before) {
        assert_eq!(year.shown(&format!("report --month {month}")).await, before, "{month}");
    }
    let verified = year.shown("ledger verify").await;
    assert!(verified.starts_with("ledger verified"), "{verified}");
}

#[tokio::test]
async fn what_a_year_prints_is_the_golden_file() {
    let year = Year::lived().await;
    let lines =
        ["report --month 2025-03", "report --month 2025-03 --credit-type minutes --json", "report --month 2024-11"];
    let lines = lines.into_iter().map(str::to_owned);
    let tables = months().into_iter().map(|month| format!("report --month {month} --format csv"));
    let mut shown = Vec::new();
    for line in lines.chain(tables) {
        shown.push(format!("$ credits {line}\n{}", year.shown(&line).await));
    }
    assert_same("report/year", &shown.join("\n"));
}
