//! `credits rules diff`: exactly the grants that changed rules would change, and nothing is written. And what it stands
//! on: every grant names its rule and its rules file, and the file's text is kept.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use serde_json::Value;
use sqlx::Row;

use crate::fixtures::{BillingMessage, invoice_issued, partial_refund_of, payment_of, payment_succeeded, signup};
use crate::generator::load;
use crate::harness::{LIMIT, Random, TestWorker};

const STORED: i64 = 10_000;
/// Enough for [`STORED`]: some are sent twice and some are refused.
const MESSAGES: usize = 13_000;
const CUSTOMERS: usize = 500;
const RULES: &str = "tests/fixtures/rules.toml";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_10000_stored_messages_the_diff_is_exactly_the_grants_of_the_changed_rule() {
    let load = load(Random::seed_from("CREDITS_TEST_DIFF_SEED"), MESSAGES, CUSTOMERS);
    let mut worker = TestWorker::start().await;
    worker.start_second().await;
    worker.publish_all(&load.messages).await;
    worker.settled_within(LIMIT * 4).await;
    let stored = worker.number("select count(*) from inbox").await.unwrap();
    assert!(stored >= STORED, "only {stored} messages are stored");
    let before = everything(&worker).await;

    let (same, _) = diff(&worker, RULES, &["--limit", "10"]).await;
    assert_eq!(same["differing"], "0", "by the rules that were in force: {:#}", same["grants"]);

    let changed = changed_rules(&worker, &[("credits_per_unit = 1000", "credits_per_unit = 1250")]);
    let begun = Instant::now();
    let (told, progress) = diff(&worker, &changed, &["--limit", "100000"]).await;
    println!("{stored} messages stored; {}; the verb took {:.1?}", last_line(&progress), begun.elapsed());
    assert!(last_line(&progress).starts_with(&format!("{stored} messages: ")), "{progress}");
    let expected = "select concat_ws(' ', customer_id, trim_scale(amount), trim_scale(asked),
                           trim_scale(amount * 1.25), trim_scale(asked * 1.25))
                    from grants where rule = 'credit-packs'";
    let mut expected = worker.texts(expected).await;
    expected.sort();
    assert_eq!(sorted(&told, one_line), expected);
    let packs = told["grants"].as_array().unwrap().len().to_string();
    let [rule] = told["rules"].as_array().unwrap().as_slice() else { panic!("one rule was changed: {told:#}") };
    assert_eq!([&rule["rule"], &rule["other"], &rule["more"], &rule["fewer"]], ["credit-packs", &packs, "0", "0"]);
    let net = "select trim_scale(sum((amount - asked) * 0.25))::text from grants where rule = 'credit-packs'";
    assert_eq!(worker.texts(net).await, [told["totals"][0]["difference"].as_str().unwrap()]);
    assert_eq!(everything(&worker).await, before, "nothing is written");
    worker.stop_in_order().await;
}

#[tokio::test]
async fn rules_that_come_go_and_give_on_other_terms_are_told_apart() {
    let worker = TestWorker::start().await;
    let pack = payment_succeeded();
    let enterprise = invoice_issued();
    let paid = payment_of(&enterprise);
    let stickers = payment_succeeded().with("lines", lines("price_stickers"));
    let person = signup();
    worker.publish_all(&[pack.clone(), enterprise.clone(), paid, stickers.clone(), person.clone()]).await;
    worker.wait_until_settled().await;

    let rules = changed_rules(
        &worker,
        &[
            ("price_id = \"price_credits_1000\"", "price_id = \"price_stickers\""),
            ("credits_per_unit = 1000", "credits_per_unit = 7"),
            ("expires_after = \"3650d\"", "expires_after = \"365d\""),
        ],
    );
    let (told, _) = diff(&worker, &rules, &[]).await;
    let mut expected = [
        format!("fewer credit-packs {}", pack.customer()),
        format!("more credit-packs {}", stickers.customer()),
        format!("other welcome {} expires_at", person.customer()),
    ];
    expected.sort();
    assert_eq!(sorted(&told, in_words), expected);
    let shown = worker.place.credits(&["rules", "diff", "--rules", &rules]).await;
    let table = String::from_utf8(shown.stdout).unwrap();
    for customer in [&pack, &stickers, &person].map(BillingMessage::customer) {
        assert!(table.contains(customer), "{customer} is not in\n{table}");
    }
    assert!(!table.contains(enterprise.customer()), "nothing of this customer would be another:\n{table}");
}

#[tokio::test]
async fn a_purchase_is_in_the_range_in_which_it_began_and_is_taken_whole() {
    let worker = TestWorker::start().await;
    let (old, new) = (payment_succeeded(), payment_succeeded());
    worker.publish(&old).await;
    worker.wait_until_settled().await;
    let between = after_this_millisecond();
    worker.publish_all(&[partial_refund_of(&old, "24.50"), new.clone()]).await;
    worker.wait_until_settled().await;

    let rules = changed_rules(&worker, &[("credits_per_unit = 1000", "credits_per_unit = 1250")]);
    let range = async |bound: &str| sorted(&diff(&worker, &rules, &[bound, &between]).await.0, one_line);
    assert_eq!(range("--from").await, [format!("{} 1000 0 1250 0", new.customer())]);
    assert_eq!(
        range("--to").await,
        [format!("{} 1000 500 1250 625", old.customer())],
        "with the refund that came later"
    );
}

#[tokio::test]
async fn every_grant_names_its_rule_and_a_rules_file_whose_text_is_kept() {
    let mut worker = TestWorker::start().await;
    let first = payment_succeeded();
    worker.publish_all(&[first.clone(), signup(), invoice_issued()]).await;
    worker.wait_until_settled().await;
    worker.stop_in_order().await;
    let changed = changed_rules(&worker, &[("credits_per_unit = 1000", "credits_per_unit = 1250")]);
    worker.follow_rules(&changed);
    worker.start_process();
    worker.ready(LIMIT).await;
    worker.publish_all(&[payment_succeeded(), partial_refund_of(&first, "1.00")]).await;
    worker.wait_until_settled().await;

    assert_eq!(worker.number("select count(*) from grants").await, Ok(4));
    let nameless = "select count(*) from grants where rule is null or rules_hash is null";
    assert_eq!(worker.number(nameless).await, Ok(0));
    let used = "select distinct encode(rules_hash, 'hex') from (
                    select rules_hash from grants union all select rules_hash from decisions
                    union all select rules_hash from outcomes
                    union all select rules_hash from ledger where amount is not null) as used order by 1";
    let kept = "select encode(sha256(convert_to(text, 'UTF8')), 'hex') from rules_files order by 1";
    assert_eq!(worker.texts(used).await, worker.texts(kept).await);

    let by_first = "select distinct encode(rules_hash, 'hex') from grants
                    where rules_hash <> (select rules_hash from grants where amount = 1250)";
    let hash = worker.texts(by_first).await.remove(0);
    let shown = worker.place.credits(&["rules", "show", &hash[..12]]).await;
    let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES)).unwrap();
    assert_eq!((shown.status.code(), shown.stdout), (Some(0), text));
    let unknown = worker.place.credits(&["rules", "show", "ffff"]).await;
    assert_eq!(unknown.status.code(), Some(1));
}

/// The fixtures' rules with texts replaced, as a file of this test.
fn changed_rules(worker: &TestWorker, changes: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES)).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in the rules");
        text = text.replace(from, to);
    }
    let path = worker.place.folder.path().join("changed-rules.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What `rules diff --json` says, and its progress.
async fn diff(worker: &TestWorker, rules: &str, more: &[&str]) -> (Value, String) {
    let arguments: Vec<&str> =
        ["rules", "diff", "--json", "--rules", rules].into_iter().chain(more.iter().copied()).collect();
    let ended = worker.place.credits(&arguments).await;
    let progress = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{arguments:?}: {progress}");
    (serde_json::from_slice(&ended.stdout).unwrap(), progress)
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

fn sorted(told: &Value, line: impl Fn(&Value) -> String) -> Vec<String> {
    let mut lines: Vec<String> = told["grants"].as_array().unwrap().iter().map(line).collect();
    lines.sort();
    lines
}

/// Customer, then amount and what refunds ask back, as it is and as it would be. Of a grant that differs in nothing else.
fn one_line(grant: &Value) -> String {
    assert_eq!(grant["change"], "other", "{grant}");
    let fields: Vec<&Value> = grant["fields"].as_array().unwrap().iter().map(|field| &field["field"]).collect();
    assert!(fields == ["amount"] || fields == ["amount", "asked"], "{grant}");
    let (granted, would_be) = (&grant["granted"], &grant["would_be"]);
    let words = [&granted["amount"], &granted["asked"], &would_be["amount"], &would_be["asked"]];
    let words = words.map(|word| word.as_str().unwrap());
    format!("{} {}", grant["customer_id"].as_str().unwrap(), words.join(" "))
}

/// `other welcome cus_1 expires_at`
fn in_words(grant: &Value) -> String {
    let side = if grant["would_be"].is_null() { &grant["granted"] } else { &grant["would_be"] };
    let words = [&grant["change"], &side["rule"], &grant["customer_id"]].map(|word| word.as_str().unwrap());
    let fields =
        grant["fields"].as_array().unwrap().iter().map(|field| format!(" {}", field["field"].as_str().unwrap()));
    format!("{}{}", words.join(" "), fields.collect::<String>())
}

fn lines(price: &str) -> Value {
    serde_json::json!([{ "price_id": price, "quantity": 1, "amount": "49.00" }])
}

/// A time that is later than every message so far, and not later than any that follows.
fn after_this_millisecond() -> String {
    let now = Utc::now() + Duration::from_millis(1);
    while Utc::now() < now {
        std::hint::spin_loop();
    }
    now.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// How many rows every table has, and where the ledger and the relay stand.
async fn everything(worker: &TestWorker) -> Vec<String> {
    let tables = "select tablename::text from pg_tables where schemaname = 'public' order by 1";
    let mut seen = Vec::new();
    for table in worker.texts(tables).await {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&worker.place.pool).await.unwrap();
        seen.push(format!("{table}: {count}"));
    }
    let row = worker.row("select position, encode(hash, 'hex') from ledger_head").await.unwrap();
    seen.push(format!("head: {} {}", row.get::<i64, _>(0), row.get::<String, _>(1)));
    let grants = "select md5(string_agg(grants::text, ';' order by grant_id)) from grants";
    seen.extend(worker.texts(grants).await);
    seen
}
