//! How a worker starts, says how it is, and ends.

use std::time::Duration;

use crate::fixtures::payment_succeeded;
use crate::generator::load;
use crate::harness::{Exit, LIMIT, Place, Random, Services, Setup, TestWorker, until};

/// A start that is refused is refused at once: no service is waited for.
const AT_ONCE: Duration = Duration::from_secs(5);
const NOBODY_THERE: (&str, &str) = ("postgres://nobody@127.0.0.1:1/nothing", "amqp://guest:guest@127.0.0.1:1/%2f");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_drains_and_the_next_process_finishes() {
    let mut worker = TestWorker::start().await;
    let load = load(Random::seed_from("CREDITS_TEST_TERM_SEED"), 3000, 100);
    worker.publish_all(&load.messages).await;
    worker.stop_in_order().await;
    let handled = worker.handled().await.unwrap();
    println!("{handled} of {} were handled before the end", load.messages.len());
    worker.start_process();
    worker.assert_all_promises(&load.expected).await;
}

#[tokio::test]
async fn health_and_metrics_say_how_the_worker_is() {
    let mut worker = TestWorker::start().await;
    worker.publish(&payment_succeeded()).await;
    worker.wait_until_settled().await;
    let process = worker.process();
    assert_eq!(process.get("/livez").await.unwrap(), (200, "ok\n".to_owned()));
    let (status, body) = process.get("/readyz").await.unwrap();
    assert_eq!(status, 200, "{body}");
    for (metric, value) in [
        ("credits_deliveries_total{type=\"payment-succeeded\",outcome=\"applied\",code=\"none\"}", 1.0),
        ("credits_ledger_head_position", 1.0),
        ("credits_relay_position", 1.0),
        ("credits_relay_lag_entries", 0.0),
        ("credits_relay_published_total", 1.0),
        ("credits_batch_size_count", 1.0),
        ("credits_database_connected", 1.0),
        ("credits_broker_connected{side=\"consuming\"}", 1.0),
        ("credits_broker_connected{side=\"publishing\"}", 1.0),
        ("credits_waiting_messages", 0.0),
        ("credits_attempts", 0.0),
    ] {
        until(metric, LIMIT, async || {
            let found = worker.process().metric(metric).await?;
            if (found - value).abs() < 0.001 { Ok(()) } else { Err(format!("{found}, not {value}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn without_services_it_is_alive_and_unready_and_does_not_end() {
    let mut worker = absent().prepare().await;
    worker.start_process();
    until("it says what is missing", LIMIT, async || {
        assert!(worker.process().is_running(), "it ended:\n{}", worker.process().log());
        match worker.process().get("/readyz").await? {
            (503, body) if body.contains("\"database\"") && body.contains("\"consuming\"") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(worker.process().get("/livez").await.unwrap().0, 200, "it lives all the same");
    worker.stop_in_order().await;
}

#[tokio::test]
async fn wrong_settings_end_it_with_78_before_any_service_is_asked() {
    for (variable, value, named) in [
        ("CREDITS_WORKER_LANES", "0", "CREDITS_WORKER_LANES"),
        ("CREDITS_WORKER_LANE", "2", "CREDITS_WORKER_LANES"),
        ("CREDITS_RELAY_UNROUTABLE", "wiat", "wait"),
        ("CREDITS_DATABASE_STATEMENT_TIMEOUT", "30", "statement_timeout"),
    ] {
        let mut worker = absent().with(variable, value).prepare().await;
        worker.start_process();
        let (exit, took) = worker.process().ended(LIMIT).await;
        let log = worker.process().log();
        assert_eq!(exit, Exit::Code(78), "{variable}={value}: {log}");
        assert!(took < AT_ONCE, "{variable}={value}: after {took:?}");
        assert!(log.contains(named), "{variable}={value}: {named} is not named: {log}");
    }
}

#[tokio::test]
async fn broken_rules_end_it_with_78_before_any_service_is_asked() {
    let place = Place::new(Services::shared().into()).await;
    let mut command = place.command(&["run", "--rules", "tests/broken-rules/unknown-key.toml"]);
    command.env("DATABASE_URL", NOBODY_THERE.0).env("AMQP_URL", NOBODY_THERE.1);
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(said.contains("unknown-key.toml:9") && said.contains("`credit_type`"), "{said}");
}

#[tokio::test]
async fn a_schema_that_is_behind_ends_it_with_78_and_the_way_out() {
    let place = Place::new(Services::shared().into()).await;
    let ended = place.credits(&["run", "--rules", "tests/fixtures/rules.toml"]).await;
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(said.contains("credits migrate"), "{said}");
    place.migrate().await;
    place.migrate().await;
}

#[tokio::test]
async fn one_shot_verbs_end_with_69_and_say_where_nobody_is() {
    const CANARY: &str = "canary-7f3a";
    const NO_DATABASE: &str = "the database at 127.0.0.1:1/nothing cannot be reached: ";
    const NO_BROKER: &str = "the broker cannot be reached: ";
    let place = Place::new(Services::shared().into()).await;
    for (arguments, said) in [
        ("migrate", NO_DATABASE),
        ("balance cus_1", NO_DATABASE),
        ("grants cus_1", NO_DATABASE),
        ("ledger list cus_1", NO_DATABASE),
        ("ledger verify", NO_DATABASE),
        ("dead-letters list", NO_DATABASE),
        ("dead-letters show 1", NO_DATABASE),
        ("explain evt_1", NO_DATABASE),
        ("demo", NO_DATABASE),
        ("publish tests/fixtures/signup.json", NO_BROKER),
    ] {
        let mut command = place.command(&arguments.split(' ').collect::<Vec<_>>());
        command.env("DATABASE_URL", format!("postgres://nobody:{CANARY}@127.0.0.1:1/nothing"));
        command.env("AMQP_URL", format!("amqp://guest:{CANARY}@127.0.0.1:1/%2f"));
        let ended = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(69), "{arguments}: {complaint}");
        assert!(complaint.starts_with(&format!("error: {said}")), "{arguments} says what is away: {complaint}");
        assert!(complaint.contains("refused") && complaint.contains("127.0.0.1:1"), "{arguments}: {complaint}");
        assert!(!complaint.contains(CANARY), "{arguments} shows a password: {complaint}");
    }
}

#[tokio::test]
async fn passwords_are_never_shown() {
    const CANARY: &str = "canary-7f3a";
    let database = format!("postgres://nobody:{CANARY}@127.0.0.1:1/nothing");
    let broker = format!("amqp://guest:{CANARY}@127.0.0.1:1/%2f");
    for (variable, url, missing) in [("DATABASE_URL", &database, "database"), ("AMQP_URL", &broker, "consuming")] {
        let setup = Setup::default().without_events_queue().with(variable, url).with("CREDITS_LOG_LEVEL", "trace");
        let mut worker = setup.prepare().await;
        worker.start_process();
        let body =
            until("it says why it is not ready", LIMIT, async || match worker.process().get("/readyz").await? {
                (503, body) if body.contains(missing) && body.contains("refused") => Ok(body),
                other => Err(format!("{other:?}")),
            })
            .await;
        let (_, metrics) = worker.process().get("/metrics").await.unwrap();
        let log = worker.process().log();
        let shown = [&body, &metrics, &log].iter().any(|text| text.contains(CANARY));
        assert!(!shown, "the password of {variable} is shown:\n{body}\n{metrics}\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_broker_is_away_never_says_that_it_is_ready() {
    for _ in 0..5 {
        let mut worker = Setup::default().without_events_queue().with("AMQP_URL", NOBODY_THERE.1).prepare().await;
        worker.start_process();
        until("it says why it is not ready", LIMIT, async || match worker.process().get("/readyz").await? {
            (503, body) if body.contains("refused") => Ok(()),
            (503, body) => Err(body),
            other => panic!("without a broker: {other:?}"),
        })
        .await;
    }
}

/// With no service to be had.
fn absent() -> Setup {
    Setup::default().without_events_queue().with("DATABASE_URL", NOBODY_THERE.0).with("AMQP_URL", NOBODY_THERE.1)
}
