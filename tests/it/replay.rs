//! A dead letter that is taken again has one effect, whoever dies, whoever tries at the same time.

use std::process::Output;

use serde_json::Value;

use crate::fixtures::{BillingMessage, partial_refund_of, payment_succeeded};
use crate::harness::{LIMIT, Setup, TestWorker, until};

const LETTERS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_needs_no_broker_and_the_running_worker_publishes_what_came_of_it() {
    let worker = TestWorker::start().await;
    let payment = payment_succeeded();
    worker.crashed_on(&[&payment]).await;
    let mut command = worker.place.command(&["dead-letters", "replay", "1", "--actor", "ada", "--yes", "--json"]);
    command.env("AMQP_URL", "amqp://127.0.0.1:1");
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    worker.assert_balance(payment.customer(), "credits", "1000").await;
    worker.assert_published(&["grant"]).await;
    // The same message by the broker is known.
    worker.broker.count_a_delivery();
    worker.publish(&payment).await;
    worker.assert_outcomes(&payment, &["applied", "duplicate"]).await;
    worker.assert_events_are_the_ledger().await;
    worker.assert_the_chain_holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_consoles_at_once_one_has_the_effect_and_the_other_is_told() {
    let worker = Setup::default().prepare().await;
    let payment = payment_succeeded();
    worker.crashed_on(&[&payment]).await;
    let numbers = ["1".to_owned()];
    // The ledger's head is held: one console has come as far as that, the other as far as the first one's key.
    let mut held = worker.place.pool.begin().await.unwrap();
    sqlx::query("select from ledger_head for update").execute(&mut *held).await.unwrap();
    let release = async {
        worker.wait_for_waiting(2).await;
        held.rollback().await.unwrap();
    };
    let (ada, bob, ()) = tokio::join!(worker.replay("ada", &numbers), worker.replay("bob", &numbers), release);
    assert_eq!(taken(&ada) + taken(&bob), 1, "taken by one of them");
    let loser = if ada.status.success() { &bob } else { &ada };
    assert_eq!(loser.status.code(), Some(1));
    let told = String::from_utf8_lossy(&loser.stdout);
    assert!(told.contains("is replayed already"), "{told}");
    for (table, count) in [("dead_letter_history", 1), ("ledger", 1), ("outcomes", 1), ("inbox", 1)] {
        assert_eq!(worker.rows_of(table).await, count, "rows of {table}");
    }
    worker.assert_the_books_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_overtaken_by_a_discard_has_no_effect() {
    let worker = Setup::default().prepare().await;
    worker.crashed_on(&[&payment_succeeded()]).await;
    let mut held = worker.place.pool.begin().await.unwrap();
    sqlx::query("select from ledger_head for update").execute(&mut *held).await.unwrap();
    let overtake = async {
        worker.wait_for_waiting(1).await;
        let discard = ["dead-letters", "discard", "1", "--actor", "bob", "--reason", "known"];
        let discarded = worker.place.credits(&discard).await;
        assert!(discarded.status.success(), "{}", String::from_utf8_lossy(&discarded.stderr));
        held.rollback().await.unwrap();
    };
    let numbers = ["1".to_owned()];
    let (replayed, ()) = tokio::join!(worker.replay("ada", &numbers), overtake);
    assert_eq!((taken(&replayed), replayed.status.code()), (0, Some(1)));
    let told = String::from_utf8_lossy(&replayed.stdout);
    assert!(told.contains("is discarded already"), "{told}");
    for (table, count) in [("dead_letter_history", 1), ("ledger", 0), ("inbox", 0), ("message_keys", 0), ("names", 0)] {
        assert_eq!(worker.rows_of(table).await, count, "rows of {table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_that_dies_has_done_all_or_nothing_and_to_try_again_does_no_harm() {
    for (point, entries) in [("in-transaction", 0), ("committed", 1)] {
        let worker = Setup::default().prepare().await;
        let payment = payment_succeeded();
        worker.crashed_on(&[&payment]).await;
        let mut command = worker.place.command(&["dead-letters", "replay", "1", "--actor", "ada", "--yes"]);
        command.env("CREDITS_TEST_CRASH_AT", point);
        let died = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(died.status.code(), None, "at {point}: {}", String::from_utf8_lossy(&died.stderr));
        assert_eq!(worker.number("select count(*) from ledger").await, Ok(entries), "after {point}");
        assert_eq!(worker.number("select count(*) from dead_letter_history").await, Ok(entries), "after {point}");
        let closed = "select count(*) from dead_letters where state <> 'open'";
        assert_eq!(worker.number(closed).await, Ok(entries), "after {point}");

        let again = worker.replay("ada", &["1".to_owned()]).await;
        assert_eq!(again.status.success(), entries == 0, "after {point}: {}", String::from_utf8_lossy(&again.stderr));
        assert_eq!(worker.number("select count(*) from ledger").await, Ok(1), "after {point} and again");
        worker.assert_the_chain_holds().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_beside_the_same_message_and_its_refund_by_the_broker_has_one_effect() {
    let worker = TestWorker::start().await;
    let payments: Vec<BillingMessage> = (0..LETTERS).map(|_| payment_succeeded()).collect();
    worker.crashed_on(&payments.iter().collect::<Vec<_>>()).await;
    let refunds = payments.iter().map(|payment| partial_refund_of(payment, "24.50"));
    let deliveries: Vec<BillingMessage> = refunds.chain(payments.iter().cloned()).collect();
    let numbers: Vec<String> = (1..=LETTERS).map(|number| number.to_string()).collect();
    let (done, ()) = tokio::join!(worker.replay("ada", &numbers), worker.publish_all(&deliveries));
    assert_eq!(taken(&done), LETTERS, "taken, or known by then");
    worker.wait_until_settled().await;
    let half = vec![("1000".to_owned(), "500".to_owned())];
    for payment in &payments {
        assert_eq!(worker.grants(payment.customer()).await, half);
        worker.assert_balance(payment.customer(), "credits", "500").await;
    }
    worker.assert_events_are_the_ledger().await;
    worker.assert_the_books_balance().await;
    worker.assert_the_chain_holds().await;
}

#[tokio::test]
async fn without_a_terminal_nothing_is_done_unless_one_says_yes() {
    let worker = Setup::default().prepare().await;
    worker.crashed_on(&[&payment_succeeded()]).await;
    let asked = worker.place.credits(&["dead-letters", "replay", "1", "--actor", "ada"]).await;
    assert_eq!(asked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(said.contains("--yes") && said.contains("--dry-run"), "{said}");
    let tried = worker.place.credits(&["dead-letters", "replay", "1", "--dry-run"]).await;
    assert!(tried.status.success(), "{}", String::from_utf8_lossy(&tried.stderr));
    let nameless = worker.place.credits(&["dead-letters", "replay", "1", "--yes"]).await;
    assert_eq!(nameless.status.code(), Some(2), "nobody is named");
    assert_eq!(worker.number("select count(*) from ledger").await, Ok(0));
}

fn taken(done: &Output) -> usize {
    let text = String::from_utf8_lossy(&done.stdout);
    let all: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text} {}", String::from_utf8_lossy(&done.stderr));
    });
    all.as_array().unwrap().iter().filter(|one| one["taken"] == true).count()
}

impl TestWorker {
    /// Dead letters as they are left of messages that killed three processes.
    async fn crashed_on(&self, messages: &[&BillingMessage]) {
        let query = "insert into dead_letters (queue, content_hash, code, reason, properties, body)
                     select $1, sha256(body || convert_to(properties, 'UTF8')), 'crashed-worker', 'three died',
                            properties, body
                     from unnest($2::bytea[]) with ordinality as came (body, nth),
                          (values ('{\"content_type\":\"application/cloudevents+json\"}')) as as_published (properties)
                     order by nth";
        let bodies: Vec<&[u8]> = messages.iter().map(|message| message.body()).collect();
        let queue = self.place.name("payment-succeeded");
        sqlx::query(query).bind(queue).bind(&bodies).execute(&self.place.pool).await.unwrap();
        for _ in messages {
            self.broker.count_a_delivery();
        }
    }

    /// Waits until so many sessions of this database wait for a lock.
    pub(crate) async fn wait_for_waiting(&self, count: i64) {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        until("the consoles wait for a lock", LIMIT, async || match self.number(waiting).await? {
            found if found == count => Ok(()),
            found => Err(format!("{found} wait")),
        })
        .await;
    }

    async fn rows_of(&self, table: &str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(count).fetch_one(&self.place.pool).await.unwrap()
    }

    async fn replay(&self, actor: &str, numbers: &[String]) -> Output {
        let mut words = vec!["dead-letters", "replay", "--actor", actor, "--yes", "--json"];
        words.extend(numbers.iter().map(String::as_str));
        self.place.credits(&words).await
    }
}
