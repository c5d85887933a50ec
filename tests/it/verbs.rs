//! The command line on a worker's database: what a person asks after a purchase and its refund.

use serde_json::{Value, json};

use crate::fixtures::sample_names;
use crate::harness::TestWorker;

#[tokio::test]
async fn the_verbs_show_what_came_of_published_files() {
    let worker = TestWorker::start().await;
    for name in ["payment-succeeded.pack.json", "refund.partial.json", "bad/float-amount.json"] {
        let published = json(&worker, &["publish", &format!("tests/fixtures/{name}"), "--json"]).await;
        assert_eq!(published[0]["result"], "confirmed", "{name}: {published}");
        worker.broker.count_a_delivery();
        worker.wait_until_settled().await;
    }

    let balance = json(&worker, &["balance", "cus_ada", "--json"]).await;
    assert_eq!((&balance[0]["credit_type"], &balance[0]["balance"]), (&json!("credits"), &json!("750")), "{balance}");
    let grants = json(&worker, &["grants", "cus_ada", "--json"]).await;
    assert_eq!((&grants[0]["amount"], &grants[0]["remaining"]), (&json!("1000"), &json!("750")), "{grants}");
    let ledger = json(&worker, &["ledger", "list", "cus_ada", "--json"]).await;
    let types: Vec<&Value> = ledger.as_array().unwrap().iter().map(|entry| &entry["type"]).collect();
    assert_eq!(types, ["grant", "revoke"], "{ledger}");
    let letters = json(&worker, &["dead-letters", "list", "--json"]).await;
    assert_eq!(letters[0]["code"], "invalid-amount", "{letters}");

    let explained = text(&worker, &["explain", "evt_1006"]).await;
    for word in ["applied", "revoke", "250"] {
        assert!(explained.contains(word), "{word} is not in the explanation:\n{explained}");
    }
    let explained = text(&worker, &["explain", "evt_1012"]).await;
    assert!(explained.contains("invalid-amount") && explained.contains("49.1"), "{explained}");
}

#[tokio::test]
async fn publish_takes_all_samples_at_once_and_verify_says_how_far_it_got() {
    let worker = TestWorker::start().await;
    let files: Vec<String> = sample_names("").iter().map(|name| format!("tests/fixtures/{name}")).collect();
    let arguments: Vec<&str> = ["publish"].into_iter().chain(files.iter().map(String::as_str)).collect();
    text(&worker, &arguments).await;
    for _ in &files {
        worker.broker.count_a_delivery();
    }
    worker.wait_until_settled().await;
    let (_, head) = worker.relay_stands().await.unwrap();
    let verified = text(&worker, &["ledger", "verify"]).await;
    assert!(verified.contains(&head.to_string()), "the last position is {head}: {verified}");
}

#[tokio::test]
async fn a_message_that_never_came_cannot_be_explained() {
    let worker = TestWorker::start().await;
    let asked = worker.place.credits(&["explain", "evt_nowhere"]).await;
    assert_eq!(asked.status.code(), Some(1), "{}", String::from_utf8_lossy(&asked.stderr));
}

async fn json(worker: &TestWorker, arguments: &[&str]) -> Value {
    let text = text(worker, arguments).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

async fn text(worker: &TestWorker, arguments: &[&str]) -> String {
    let ended = worker.place.credits(arguments).await;
    assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}
