//! Activations and expiries: written when they are due, by the sweeper.

use chrono::{SecondsFormat, Utc};

use crate::fixtures::payment_succeeded;
use crate::harness::{LIMIT, Setup, until};

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
