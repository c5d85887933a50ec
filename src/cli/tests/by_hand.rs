//! Credits by hand: what the verbs show, and what they refuse.

use serde_json::{Value, json};

use super::{check, json, shown};
use crate::store::tests::{TestDatabase, payment};

const GRANT: &str = "grant ada 1000 --type credits --category paid --unit-cost 0.0499 --currency USD --actor ann --yes";

async fn rows(db: &TestDatabase) -> i64 {
    let tables = ["ledger", "inbox", "outcomes", "grants", "message_keys", "names", "dead_letters", "accounts"];
    let counts: Vec<String> = tables.iter().map(|table| format!("(select count(*) from {table})")).collect();
    db.number(&format!("select {}", counts.join(" + "))).await
}

async fn first_grant(db: &TestDatabase) -> String {
    json(db, "grants ada").await[0]["grant_id"].as_str().unwrap().to_owned()
}

async fn balances(db: &TestDatabase) -> Vec<String> {
    let balance = json(db, "balance ada").await;
    let shown = |pool: &Value| ["credit_type", "balance"].map(|key| pool[key].as_str().unwrap()).join(" ");
    balance.as_array().unwrap().iter().map(shown).collect()
}

#[tokio::test]
async fn a_grant_shows_its_cost_its_dates_and_both_balances() {
    let db = TestDatabase::new().await;
    check(
        &db,
        &format!("{GRANT} --expires-after 30d --payment-method transfer --idempotency-key k1"),
        "action grant\ncustomer ada\ncredit type credits\ncredits 1000\ntotal cost 49.90 USD\ngrant <id>\n\
         category paid\npriority 50\nstarts <time>\nends <time>\npayment method transfer\nactor ann\n\
         reason granted by hand\nidempotency key k1\nprevious balance 0\nnew balance 1000\n\nledger entries\n\n\
         position type grant id delta remaining requested shortfall end balance\n1 grant <id> 1000 1000 1000\n",
    )
    .await;
    assert_eq!(balances(&db).await, ["credits 1000"]);
    db.drop().await;
}

#[tokio::test]
async fn a_revoke_shows_what_it_took_at_cost_basis_and_what_was_not_there() {
    let db = TestDatabase::new().await;
    shown(&db, GRANT).await.unwrap();
    let grant = first_grant(&db).await;
    let part = json(&db, &format!("revoke {grant} --amount 400 --reason mistake --actor ann --yes")).await;
    assert_eq!((&part["credits"], &part["cost"][0]["total"]), (&json!("400"), &json!("19.96")), "{part}");
    let rest = json(&db, &format!("revoke {grant} --amount 700 --reason mistake --actor ann --yes")).await;
    let said = ["credits", "shortfall", "balance_before", "balance_after"].map(|key| rest[key].as_str().unwrap());
    assert_eq!(said, ["600", "100", "600", "0"]);
    assert_eq!(rest["cost"][0]["total"], "29.94");
    db.drop().await;
}

#[tokio::test]
async fn a_revoke_of_all_takes_every_open_grant_of_the_type_scheduled_ones_too() {
    let db = TestDatabase::new().await;
    shown(&db, GRANT).await.unwrap();
    shown(&db, "grant ada 5 --type credits --category promotional --effective-at 2999-01-01 --actor ann --yes")
        .await
        .unwrap();
    shown(&db, "grant ada 7.25 --type minutes --category promotional --actor ann --yes").await.unwrap();
    let all = json(&db, "revoke --customer ada --type credits --all --reason gone --actor ann --yes").await;
    assert_eq!((&all["credits"], all["entries"].as_array().unwrap().len()), (&json!("1005"), 2), "{all}");
    assert_eq!(balances(&db).await, ["credits 0", "minutes 7.25"]);
    db.drop().await;
}

#[tokio::test]
async fn a_regrant_closes_one_grant_and_makes_another_of_what_remained() {
    let db = TestDatabase::new().await;
    db.take(&[payment("p1", "ada", "pack", 1)]).await;
    let grant = first_grant(&db).await;
    shown(&db, &format!("revoke {grant} --amount 250 --reason x --actor ann --yes")).await.unwrap();
    let made = json(&db, &format!("regrant {grant} --expires-after never --priority 7 --actor ann --yes")).await;
    let new = &made["grant"];
    assert_eq!((&new["replaces"], &new["amount"], &new["priority"]), (&json!(grant), &json!("750"), &json!(7)));
    assert_eq!((&new["expires_at"], &made["cost"][0]["total"]), (&Value::Null, &json!("7.50")), "{made}");
    assert_eq!((&made["balance_before"], &made["balance_after"]), (&json!("750"), &json!("750")));
    let again = shown(&db, &format!("regrant {grant} --priority 8 --actor ann --yes")).await.unwrap_err();
    let id = new["grant_id"].as_str().unwrap();
    assert!(
        again.contains("nothing remains") && again.contains(id) && again.contains("unix_exit_status(1)"),
        "{again}"
    );
    db.drop().await;
}

#[tokio::test]
async fn a_key_that_was_used_prints_its_first_result_and_refuses_another_content() {
    let db = TestDatabase::new().await;
    let keyed = format!("{GRANT} --expires-after 30d --idempotency-key k1");
    let first = shown(&db, &keyed).await.unwrap();
    let before = rows(&db).await;
    assert_eq!(shown(&db, &keyed).await.unwrap(), first, "with --yes");
    assert_eq!(shown(&db, &keyed.replace(" --yes", "")).await.unwrap(), first, "and nobody is asked");
    let other = shown(&db, &keyed.replace("1000", "1001")).await.unwrap_err();
    for part in
        ["k1", "amount: kept 1000, now 1001", "cost_basis: kept 49.90 USD, now 49.94 USD", "unix_exit_status(1)"]
    {
        assert!(other.contains(part), "{part} is missing in {other}");
    }
    assert_eq!(rows(&db).await, before, "nothing is written, no dead letter either");
    db.drop().await;
}

#[tokio::test]
async fn what_is_refused_says_why_and_writes_nothing() {
    let db = TestDatabase::new().await;
    shown(&db, GRANT).await.unwrap();
    let grant = first_grant(&db).await;
    shown(&db, &format!("revoke {grant} --reason x --actor ann --yes")).await.unwrap();
    let before = rows(&db).await;
    let nobody = "00000000-0000-0000-0000-000000000001";
    for (line, why) in [
        (format!("revoke {nobody} --reason x --actor ann --yes"), "there is no grant"),
        (format!("regrant {nobody} --priority 1 --actor ann --yes"), "there is no grant"),
        (format!("revoke {grant} --reason x --actor ann --yes"), "nothing remains"),
        (format!("revoke {grant} --amount 5 --reason x --actor ann --yes"), "nothing remains"),
        (format!("regrant {grant} --priority 1 --actor ann --yes"), "nothing remains"),
        ("revoke --customer eve --type credits --all --reason x --actor ann --yes".to_owned(), "nothing remains"),
        (GRANT.replace("--type credits", "--type credit"), "did you mean credits?"),
        (GRANT.replace("paid", "promotional"), "--unit-cost is for --category paid"),
        (GRANT.replace("1000", "10.5"), "decimal places"),
        (format!("{GRANT} --expires-at 2020-01-01"), "is not later than effective_at"),
        (GRANT.replace(" --yes", ""), "no terminal"),
    ] {
        let refused = shown(&db, &line).await.unwrap_err();
        assert!(refused.contains(why) && refused.contains("unix_exit_status(1)"), "{line}: {refused}");
    }
    assert_eq!(rows(&db).await, before);
    db.drop().await;
}

#[tokio::test]
async fn arguments_that_do_not_go_together_are_refused_before_anything_is_asked() {
    let db = TestDatabase::new().await;
    let nobody = "00000000-0000-0000-0000-000000000001";
    for (line, part) in [
        (GRANT.replace("--actor ann", "--actor worker:x"), "worker's own"),
        (GRANT.replace(" --currency USD", ""), "--currency"),
        (GRANT.replace("1000", "0"), "above zero"),
        (GRANT.replace("1000", "1e3"), "plain decimal"),
        (format!("{GRANT} --expires-after 1y"), "length of time"),
        (format!("{GRANT} --expires-after 1d --expires-at 2999-01-01"), "cannot be used with"),
        (format!("revoke {nobody} --actor ann"), "--reason"),
        ("revoke --all --type credits --reason x --actor ann".to_owned(), "--customer"),
        (format!("revoke {nobody} --all --customer a --type credits --reason x --actor ann"), "cannot be used with"),
        ("revoke --reason x --actor ann".to_owned(), "required"),
        (format!("regrant {nobody} --actor ann"), "--expires-at"),
    ] {
        let refused = shown(&db, &line).await.unwrap_err();
        assert!(refused.contains(part), "{line}: {refused}");
    }
    db.drop().await;
}

#[test]
fn the_help_of_each_says_that_there_is_no_edit() {
    use clap::CommandFactory;
    for verb in ["grant", "revoke", "regrant"] {
        let mut cli = super::super::Cli::command();
        let help = cli.find_subcommand_mut(verb).unwrap().render_long_help().to_string();
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("edit") && words.contains("anew") && words.contains("regrant"), "{verb}: {words}");
    }
}
