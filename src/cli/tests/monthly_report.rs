//! `credits report` of a month that runs, of one to come, and of nothing. What a whole year gives is in `tests/it/report`.

use super::*;

async fn this_month(db: &TestDatabase) -> String {
    let month = db.number("select to_char(now() at time zone 'utc', 'YYYYMM')::bigint").await;
    format!("{}-{:02}", month / 100, month % 100)
}

/// The sums of the only credit type, in credits and in euros.
async fn sums(db: &TestDatabase, line: &str) -> (Value, Value) {
    let report = json(db, line).await;
    assert_eq!(report["credit_types"].as_array().unwrap().len(), 1, "{report}");
    (report["credit_types"][0]["credits"].clone(), report["credit_types"][0]["money"]["EUR"].clone())
}

fn named(sums: &Value, names: [&str; 4]) -> [String; 4] {
    names.map(|name| sums[name].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_month_that_is_not_over_shows_what_is_past_and_says_so() {
    let db = filled().await;
    let month = this_month(&db).await;
    let report = json(&db, &format!("report --month {month}")).await;
    assert_eq!(report["is_over"], false);
    let (credits, money) = sums(&db, &format!("report --month {month}")).await;
    let names = ["granted_paid", "granted_promotional", "revoked", "closing"];
    assert_eq!(named(&credits, names), ["1000", "100", "-250", "850"]);
    assert_eq!(named(&money, names), ["10.00", "0.00", "-2.50", "7.50"]);
    let text = steady(&shown(&db, &format!("report --month {month}")).await.unwrap());
    assert!(
        text.starts_with(&format!("{month}, not over: <time> to <time>\n\ncredits\n\ncredits EUR\nopening 0 0.00\n"))
    );
    db.drop().await;
}

#[tokio::test]
async fn what_is_due_but_not_written_counts_up_to_now_and_no_further() {
    let db = TestDatabase::new().await;
    db.take(&[payment("p1", "ada", "later", 1), payment("p2", "ada", "later", 1), payment("p3", "ada", "later", 1)])
        .await;
    let starts = async |cause: &str, at: &str| {
        db.damage(&format!("update grants set effective_at = {at}, due_at = {at} where cause_id = '{cause}'")).await;
    };
    starts("evt_p1", "(select settled_to + interval '1 microsecond' from accounts)").await;
    starts("evt_p2", "now() + interval '1 second' * 100").await;
    let line = format!("report --month {}", this_month(&db).await);
    let (credits, money) = sums(&db, &line).await;
    let names = ["granted_paid", "expired", "closing", "scheduled"];
    assert_eq!(named(&credits, names), ["12.5", "0", "12.5", "25"]);
    assert_eq!(named(&money, names), ["10.00", "0.00", "10.00", "20.00"]);
    let over = "expires_at = effective_at + interval '1 microsecond'";
    db.damage(&format!("update grants set {over} where cause_id = 'evt_p1'")).await;
    let (credits, _) = sums(&db, &line).await;
    assert_eq!(named(&credits, names), ["12.5", "-12.5", "0", "25"]);
    assert_eq!(db.number("select count(*) from ledger where delta <> 0").await, 0);
    db.drop().await;
}

#[tokio::test]
async fn a_month_that_has_not_begun_is_refused() {
    let db = TestDatabase::new().await;
    let refused = shown(&db, "report --month 9999-12").await.unwrap_err();
    assert!(refused.starts_with("error: 9999-12 has not begun") && refused.contains("status(1)"), "{refused}");
    db.drop().await;
}

#[tokio::test]
async fn a_month_before_the_first_entry_and_a_type_that_nobody_has_are_empty() {
    let db = filled().await;
    let month = this_month(&db).await;
    check(&db, "report --month 1999-12", "1999-12: <time> to <time>\n\nnothing was granted until then\n").await;
    for line in ["report --month 1999-12", &format!("report --month {month} --credit-type minutes")] {
        assert_eq!(json(&db, line).await["credit_types"], serde_json::json!([]), "{line}");
    }
    let csv = shown(&db, "report --month 1999-12 --format csv").await.unwrap();
    assert!(csv.starts_with("month,to,credit_type,currency,opening,") && csv.lines().count() == 1, "{csv}");
    db.drop().await;
}

#[tokio::test]
async fn a_credit_type_with_a_comma_is_one_field_of_the_csv() {
    let db = filled().await;
    let rename = "credit_type = 'a,\"b\"'";
    db.damage(&format!("update ledger set {rename}; update grants set {rename}; update pools set {rename}")).await;
    let csv = shown(&db, &format!("report --month {} --format csv", this_month(&db).await)).await.unwrap();
    assert!(csv.contains(",\"a,\"\"b\"\"\",EUR,0.00,10.00,"), "{csv}");
    db.drop().await;
}

#[test]
fn what_is_no_month_and_two_formats_at_once_are_wrong_arguments() {
    for words in
        [&["--month", "2026-13"][..], &["--month", "11"], &[], &["--month", "2026-10", "--json", "--format", "csv"]]
    {
        let line = ["credits", "report"].iter().chain(words);
        assert!(Cli::try_parse_from(line).is_err(), "{words:?}");
    }
}
