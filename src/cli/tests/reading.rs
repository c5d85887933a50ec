//! A past and a coming balance, grants by their status, and the ledger as pages, CSV and NDJSON.

use serde_json::{Value, json};

use super::{check, filled, json as shown_json, shown};
use crate::store::tests::{TestDatabase, payment, refund};

/// What a customer holds, without the grants.
fn sums(pool: &Value) -> [&Value; 4] {
    ["credit_type", "balance", "scheduled", "deferred"].map(|name| &pool[name])
}

#[tokio::test]
async fn a_balance_of_any_instant() {
    let db = TestDatabase::new().await;
    let begun = chrono::Utc::now();
    db.take(&[payment("p1", "ada", "later", 2), payment("p2", "ada", "pack", 1)]).await;
    let eur = |amount: &str| json!([{ "amount": amount, "currency": "EUR" }]);
    let now = shown_json(&db, "balance ada").await;
    assert_eq!(sums(&now[0]), [&json!("credits"), &json!("1000"), &json!("0"), &eur("10.00")]);
    assert_eq!(sums(&now[1]), [&json!("minutes"), &json!("0"), &json!("12.5"), &eur("20.00")]);
    assert_eq!(now[1]["grants"][0]["status"], "scheduled");

    let then = now[0]["as_of"].as_str().unwrap().to_owned();
    db.take(&[refund("r1", "p2", "5.00")]).await;
    assert_eq!(shown_json(&db, "balance ada").await[0]["balance"], "500");
    assert_eq!(shown_json(&db, &format!("balance ada --at {then}")).await, now);
    let before = begun.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    assert_eq!(shown_json(&db, &format!("balance ada --at {before}")).await, json!([]));

    let coming = (begun + chrono::TimeDelta::days(31)).format("%Y-%m-%d").to_string();
    let coming = shown_json(&db, &format!("balance ada --at {coming}")).await;
    assert_eq!(sums(&coming[1]), [&json!("minutes"), &json!("12.5"), &json!("0"), &eur("20.00")]);
    let end = shown_json(&db, "balance ada --at 2999-01-01").await;
    assert_eq!(sums(&end[0]), [&json!("credits"), &json!("0"), &json!("0"), &json!([])]);
    assert!(shown(&db, "balance ada --at soon").await.unwrap_err().contains("RFC 3339"));
    db.drop().await;
}

#[tokio::test]
async fn a_cut_list_of_grants_says_so_and_sums_stay_whole() {
    let db = TestDatabase::new().await;
    let packs: Vec<String> = (0..25).map(|number| payment(&format!("p{number}"), "ada", "pack", 1)).collect();
    db.take(&packs).await;
    let lines = shown(&db, "balance ada").await.unwrap().lines().count();
    assert_eq!(lines, 2 + 4 + 20, "a table shows the first 20");
    let all = shown_json(&db, "balance ada").await;
    assert_eq!((all[0]["grants"].as_array().unwrap().len(), &all[0]["grants_left_out"]), (25, &Value::Null));
    let cut = shown_json(&db, "balance ada --limit 3").await;
    assert_eq!((cut[0]["grants"].as_array().unwrap().len(), &cut[0]["grants_left_out"]), (3, &json!("22")));
    assert_eq!((&cut[0]["balance"], &cut[0]["deferred"][0]["amount"]), (&json!("25000"), &json!("250.00")));
    db.drop().await;
}

#[tokio::test]
async fn grants_by_credit_type_and_status_with_what_became_of_them() {
    let db = TestDatabase::new().await;
    let bodies = [payment("p1", "ada", "pack", 1), payment("p2", "ada", "later", 1), payment("p3", "ada", "pack", 1)];
    db.take(&bodies).await;
    db.take(&[refund("r1", "p1", "10.00"), refund("r2", "p3", "2.50")]).await;
    let soon = "(select settled_to + interval '1 microsecond' from accounts)";
    db.damage(&format!("update grants set expires_at = {soon}, due_at = {soon} where cause_id = 'evt_p3'")).await;
    let of = async |filter: &str| {
        let grants = shown_json(&db, &format!("grants ada {filter}")).await;
        grants.as_array().unwrap().iter().map(|grant| grant["cause"]["id"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of("--credit-type minutes").await, ["\"evt_p2\""]);
    assert_eq!(of("--status revoked").await, ["\"evt_p1\""]);
    assert_eq!(of("--status scheduled").await, ["\"evt_p2\""]);
    assert_eq!(of("--status active --credit-type credits").await, Vec::<String>::new());
    // Its end is not written: what it came to is told all the same.
    let ended = &shown_json(&db, "grants ada --status expired").await[0];
    let parts = ["amount", "remaining", "used", "revoked", "expired"].map(|name| ended[name].as_str().unwrap());
    assert_eq!(parts, ["1000", "0", "0", "250", "750"]);
    assert_eq!(ended["expired_at"], ended["expires_at"]);
    assert!(ended["granted_at"].is_string() && ended["revoked_at"].is_string(), "{ended}");
    assert!(shown(&db, "grants ada --status gone").await.unwrap_err().contains("depleted"));
    db.drop().await;
}

fn positions(entries: &Value) -> Vec<&str> {
    entries.as_array().unwrap().iter().map(|entry| entry["position"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_ledger_of_all_customers_by_actor_time_and_page() {
    let db = filled().await;
    db.take(&[payment("p2", "bob", "pack", 1)]).await;
    let of = async |filter: &str| shown_json(&db, &format!("ledger list {filter}")).await;
    let all = of("").await;
    assert_eq!(positions(&all), ["1", "2", "3", "4"]);
    assert_eq!(positions(&of("--actor worker:refund").await), ["2"]);
    assert_eq!(positions(&of("--type grant --limit 2").await), ["3", "4"]);
    assert_eq!(positions(&of("--after 1 --limit 2").await), ["2", "3"]);
    assert_eq!(positions(&of("--credit-type minutes").await), Vec::<&str>::new());
    // The second and the third entry were written by one commit, at one instant.
    let (second, last) = (all[1]["recorded_at"].as_str().unwrap(), all[3]["recorded_at"].as_str().unwrap());
    assert_eq!(positions(&of(&format!("--from {second} --to {last}")).await), ["2", "3"]);
    assert_eq!(positions(&of(&format!("ada --from {second}")).await), ["2", "3"]);
    assert_eq!(positions(&of(&format!("--to {second}")).await), ["1"]);
    assert_eq!(positions(&of("--from 2999-01-01").await), Vec::<&str>::new());
    check(
        &db,
        "ledger list --limit 1",
        "position customer id recorded at type credit type delta end balance grant id remaining status requested \
         shortfall actor cause reason\n\
         4 bob <time> grant credits 1000 1000 <id> 1000 active rule:packs evt_p2 payment p2\n",
    )
    .await;
    db.drop().await;
}

#[tokio::test]
async fn csv_and_ndjson_have_every_column_of_every_entry() {
    let db = filled().await;
    // A text with all that CSV has to quote.
    let welcome = "Welcome, \"dear\"\ncustomer";
    db.damage(&format!("update ledger set reason = '{welcome}' where position = 3")).await;
    let text = shown(&db, "ledger list --format csv").await.unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let count = "select count(*) from information_schema.columns where table_name = 'ledger'";
    assert_eq!(i64::try_from(columns.len()).unwrap(), db.number(count).await);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| &rows[row][columns.iter().position(|column| column == name).unwrap()];
    assert_eq!(rows.len(), 3);
    assert_eq!(
        ["type", "amount", "cost_amount", "cost_currency", "rule"].map(|name| cell(0, name)),
        ["grant", "1000", "10", "EUR", "packs"]
    );
    assert_eq!(["delta", "requested", "amount"].map(|name| cell(1, name)), ["-250", "250", ""]);
    assert_eq!(cell(2, "reason"), welcome);
    assert_eq!((cell(0, "hash").len(), cell(0, "rules_hash")), (64, db.rules_hash().as_str()));

    let text = shown(&db, "ledger list ada --format ndjson").await.unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (row, line) in lines.iter().enumerate() {
        let present = columns.iter().filter(|name| !cell(row, name).is_empty());
        let expected: Value =
            present.map(|name| (name.clone(), cell(row, name).into())).collect::<serde_json::Map<_, _>>().into();
        assert_eq!(*line, expected);
    }
    db.drop().await;
}

#[tokio::test]
async fn an_export_has_all_that_matches_and_a_limit_makes_a_page_of_it() {
    let db = TestDatabase::new().await;
    let mut bodies: Vec<String> = (0..120).map(|number| payment(&format!("p{number}"), "ada", "pack", 1)).collect();
    bodies.insert(60, payment("q1", "bob", "pack", 1));
    bodies.push(payment("m1", "ada", "later", 1));
    db.take(&bodies).await;
    let of = async |filter: &str| {
        let text = shown(&db, &format!("ledger list --format ndjson {filter}")).await.unwrap();
        let position = |line: &str| serde_json::from_str::<Value>(line).unwrap()["position"].to_string();
        text.lines().map(|line| position(line).trim_matches('"').parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of("").await, (1..=122).collect::<Vec<_>>());
    assert_eq!(of("ada").await, (1..=122).filter(|position| *position != 61).collect::<Vec<_>>());
    assert_eq!(of("ada --limit 2").await, [121, 122]);
    assert_eq!(of("ada --after 59 --limit 2").await, [60, 62]);
    assert_eq!(of("ada --after 59 --credit-type minutes").await, [122]);
    assert_eq!(of("--after 120").await, [121, 122]);
    assert_eq!(of("eve").await, Vec::<u32>::new());
    assert!(shown(&db, "ledger list --format csv --json").await.unwrap_err().contains("cannot be used with"));
    db.drop().await;
}
