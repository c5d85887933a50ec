//! Activations and expiries: written when they are due, by the sweeper.

use std::path::Path;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use credits::config::RulesFile;
use credits::store::{Database, Options};

use crate::backlog::{Owed, owe};
use crate::fixtures::payment_succeeded;
use crate::harness::{LIMIT, Setup, TestWorker, until};

#[tokio::test]
async fn a_grant_starts_and_ends_by_itself_when_it_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.toml");
    std::fs::write(
        &rules,
        "[credit_types.credits]\nscale = 0\n[[rules]]\nname = \"short\"\non = \"payment-succeeded\"\n\
         grant = { credit_type = \"credits\", credits = 100, category = \"paid\", effective_after = \"3s\", expires_after = \"6s\" }\n",
    )
    .unwrap();
    let worker =
        Setup::default().with_rules(rules.to_str().unwrap()).with("CREDITS_SWEEPER_INTERVAL", "100ms").start().await;
    let payment = payment_succeeded().at(&Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true));
    worker.publish(&payment).await;
    for (types, balance) in
        [(vec!["schedule"], "0"), (vec!["schedule", "grant"], "100"), (vec!["schedule", "grant", "expire"], "0")]
    {
        until("the next entry is written", LIMIT, async || {
            let found = worker.texts("select type from ledger order by position").await;
            if found == types { Ok(()) } else { Err(format!("{found:?}, not {types:?}")) }
        })
        .await;
        assert_eq!(worker.balance(payment.customer(), "credits").await.as_deref(), Some(balance), "after {types:?}");
    }
    let late = "select count(*) from ledger where recorded_at - effective_at > interval '2 s' and type <> 'schedule'";
    assert_eq!(worker.number(late).await, Ok(0), "entries written long after they were due");
    worker.assert_published(&["schedule", "grant", "expire"]).await;
    worker.assert_the_books_balance().await;
    worker.assert_the_chain_holds().await;
}

/// Customers of the backlog, and the grants of each.
const CUSTOMERS: u64 = 20;
const EACH: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_week_without_a_sweeper_two_write_the_backlog_once_beside_messages() {
    let mut worker =
        Setup::default().with("CREDITS_SWEEPER_BATCH", "100").with("CREDITS_SWEEPER_INTERVAL", "50ms").prepare().await;
    worker.declare_queues().await;
    let (as_of, start, end) = (days_ago(8), days_ago(5), days_ago(2));
    // Half of each customer's grants start five days ago; all of them end at one instant.
    let one = |number: u64| Owed {
        customer: format!("cus_old_{}", number / EACH),
        number: u128::from(number) + 1,
        from: if number.is_multiple_of(2) { as_of } else { start },
        to: Some(end),
    };
    owes(&worker, as_of, &(0..CUSTOMERS * EACH).map(one).collect::<Vec<_>>()).await;
    let payments: Vec<_> =
        (0..300_u64).map(|number| payment_succeeded().by(&format!("cus_old_{}", number % (2 * CUSTOMERS)))).collect();
    worker.publish_all(&payments).await;

    worker.start_process();
    worker.start_process();
    worker.ready(LIMIT).await;
    until("nothing is due", LIMIT, async || {
        match worker.number("select count(*) from grants where due_at <= now()").await? {
            0 => Ok(()),
            due => Err(format!("{due} grants are due")),
        }
    })
    .await;
    worker.wait_until_settled().await;

    let grants = i64::try_from(CUSTOMERS * EACH).unwrap();
    let expired = "select count(distinct grant_id) from ledger where type = 'expire'";
    assert_eq!(worker.number(expired).await, Ok(grants));
    let written = "select count(*) from ledger where actor = 'worker:schedule'";
    assert_eq!(worker.number(written).await, Ok(grants + grants / 2), "activations and expiries, each once");
    let late = "select count(*) from ledger where actor = 'worker:schedule' and counts_at <> effective_at";
    assert_eq!(worker.number(late).await, Ok(0), "entries that count from another instant than their own");
    worker.assert_events_are_the_ledger().await;
    worker.stop_in_order().await;
    worker.assert_the_books_balance().await;
    worker.assert_the_chain_holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_cannot_be_settled_keeps_no_other_one_from_it() {
    let mut worker =
        Setup::default().with("CREDITS_SWEEPER_BATCH", "10").with("CREDITS_SWEEPER_INTERVAL", "50ms").prepare().await;
    worker.declare_queues().await;
    // More of it than a batch, and due before all others.
    let one = |number: u64| {
        let (customer, end) = if number < 20 { ("cus_spoilt", days_ago(3)) } else { ("cus_sound", days_ago(2)) };
        let (customer, number) = (customer.to_owned(), u128::from(number) + 1);
        Owed { customer, number, from: days_ago(8), to: Some(end) }
    };
    owes(&worker, days_ago(8), &(0..25).map(one).collect::<Vec<_>>()).await;
    worker.tamper("alter table grants drop constraint grants_category").await;
    worker.tamper("update grants set category = 'golden' where customer_id = 'cus_spoilt'").await;

    worker.start_process();
    until("what is due of the other one is written", LIMIT, async || {
        match worker.number("select count(*) from grants where due_at <= now() and customer_id = 'cus_sound'").await? {
            0 => Ok(()),
            due => Err(format!("{due} grants are due")),
        }
    })
    .await;
}

async fn owes(worker: &TestWorker, as_of: DateTime<Utc>, owed: &[Owed]) {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules.toml");
    let options = Options {
        url: worker.place.database_url.clone().into(),
        role: "credits_worker".into(),
        statement_timeout: LIMIT,
        lock_timeout: LIMIT,
        idle_in_transaction_timeout: LIMIT,
        connect_timeout: LIMIT,
    };
    let mut session = Database::new(options).connect().await.unwrap();
    owe(&mut session, &RulesFile::read(&rules).unwrap().rules, as_of, owed).await.unwrap();
}

/// In microseconds, as Postgres keeps it.
fn days_ago(days: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros((Utc::now() - TimeDelta::days(days)).timestamp_micros()).unwrap()
}
