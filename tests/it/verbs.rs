//! The command line on a worker's database: what a person asks after a purchase and its refund.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::fixtures::{partial_refund_of, payment_succeeded, sample_names};
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
async fn a_balance_before_a_refund_is_shown_after_it() {
    let worker = TestWorker::start().await;
    let payment = payment_succeeded();
    worker.publish(&payment).await;
    worker.assert_balance(payment.customer(), "credits", "1000").await;
    let before = json(&worker, &["balance", payment.customer(), "--json"]).await;
    worker.publish(&partial_refund_of(&payment, "12.25")).await;
    worker.assert_balance(payment.customer(), "credits", "750").await;
    let then = before[0]["as_of"].as_str().unwrap();
    assert_eq!(json(&worker, &["balance", payment.customer(), "--at", then, "--json"]).await, before);
    let unreadable = worker.place.credits(&["balance", payment.customer(), "--at", "then"]).await;
    assert_eq!(unreadable.status.code(), Some(2), "{}", String::from_utf8_lossy(&unreadable.stderr));
}

#[tokio::test]
async fn a_reader_that_has_enough_of_an_export_ends_it_quietly() {
    let worker = TestWorker::start().await;
    // More than a pipe holds.
    let payments: Vec<_> = (0..400).map(|_| payment_succeeded()).collect();
    worker.publish_all(&payments).await;
    worker.wait_until_settled().await;
    for format in ["csv", "ndjson"] {
        let whole = text(&worker, &["ledger", "list", "--format", format]).await;
        assert!(whole.len() > 1 << 17, "{} bytes", whole.len());
        let mut command = worker.place.command(&["ledger", "list", "--format", format]);
        let ended = tokio::task::spawn_blocking(move || {
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            (line, child.wait_with_output().unwrap())
        });
        let (line, ended) = ended.await.unwrap();
        assert!(whole.starts_with(&line) && !line.is_empty(), "{line}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{format}");
        assert!(ended.status.success(), "{format}: {:?}", ended.status);
    }
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
