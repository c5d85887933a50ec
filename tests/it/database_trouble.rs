//! A database that is up but in somebody's way: what is not concerned goes on, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};

use crate::fixtures::{BillingMessage, partial_refund_of, payment_succeeded};
use crate::generator::load;
use crate::harness::{LIMIT, Random, Setup, TestWorker, until};

/// Backends that are ended while messages are handled.
const ENDED: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_ended_by_the_dozen_lose_nothing() {
    let mut worker = TestWorker::start().await;
    let load = load(Random::seed_from("CREDITS_TEST_BACKEND_SEED"), 4000, 100);
    let broker = Arc::clone(&worker.broker);
    tokio::join!(broker.publish_all(&load.messages), end_sessions(&worker));
    worker.assert_all_promises(&load.expected).await;
}

/// Ends one of the worker's sessions after the other, whatever it is doing; idle ones too.
async fn end_sessions(worker: &TestWorker) {
    let end_one = "select coalesce(sum(pg_terminate_backend(pid)::int), 0)::bigint from (
                       select pid from pg_stat_activity
                       where datname = current_database() and application_name = 'credits' order by random() limit 1
                   ) as one";
    let mut ended = 0;
    until("enough sessions were ended", LIMIT, async || {
        ended += worker.number(end_one).await?;
        if ended >= i64::try_from(ENDED).unwrap() { Ok(()) } else { Err(format!("{ended} of {ENDED}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_another_session_holds_keeps_nobody_else_waiting() {
    let worker = Setup::default().with("CREDITS_DATABASE_LOCK_TIMEOUT", "100ms").start().await;
    let held = payment_succeeded();
    worker.publish(&held).await;
    worker.wait_until_settled().await;
    let mut other_session = PgConnection::connect(&worker.place.database_url).await.unwrap();
    other_session.execute("begin; select 1 from accounts for update").await.unwrap();

    let refund = partial_refund_of(&held, "24.50");
    let others: Vec<BillingMessage> = (0..300).map(|_| payment_succeeded()).collect();
    worker.publish(&refund).await;
    worker.publish_all(&others).await;
    until("the others are handled", Duration::from_secs(30), async || {
        let done = worker.number("select count(*) from inbox").await?;
        if done == 301 { Ok(()) } else { Err(format!("{} of {} others", done - 1, others.len())) }
    })
    .await;
    assert_eq!(worker.outcomes(refund.id().unwrap()).await, Vec::<String>::new(), "its account is held");

    other_session.execute("rollback").await.unwrap();
    worker.assert_balance(held.customer(), "credits", "500").await;
    assert!(worker.dead_letters().await.is_empty(), "nothing is refused");
}

/// One wait for a lock is 3 s here. Found one by one with such waits, the held ones would take minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_held_accounts_in_one_batch_cost_the_others_one_wait_for_a_lock_and_not_one_each() {
    let setup = Setup::default().with("CREDITS_DATABASE_LOCK_TIMEOUT", "3s").with("CREDITS_WORKER_LANES", "1");
    let mut worker = setup.start().await;
    let held: Vec<BillingMessage> = (0..10).map(|_| payment_succeeded()).collect();
    worker.publish_all(&held).await;
    worker.wait_until_settled().await;
    worker.stop_in_order().await;
    let mut other_session = PgConnection::connect(&worker.place.database_url).await.unwrap();
    other_session.execute("begin; select 1 from accounts for update").await.unwrap();
    for payment in &held {
        let others: Vec<BillingMessage> = (0..20).map(|_| payment_succeeded()).collect();
        worker.publish(&payment_succeeded().by(payment.customer())).await;
        worker.publish_all(&others).await;
    }

    worker.start_process();
    until("the others are handled", Duration::from_secs(30), async || {
        match worker.number("select count(*) from inbox").await? {
            210 => Ok(()),
            kept => Err(format!("{} of 200 others", kept - 10)),
        }
    })
    .await;
    other_session.execute("rollback").await.unwrap();
    for payment in &held {
        worker.assert_balance(payment.customer(), "credits", "2000").await;
    }
}

/// Waits until a session of the worker's database waits for a lock, or until none does.
async fn until_waiting(worker: &TestWorker, wanted: bool) {
    until("sessions wait for a lock, or do not", LIMIT, async || {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        match worker.number(waiting).await? {
            waiting if (waiting > 0) == wanted => Ok(()),
            waiting => Err(format!("{waiting} wait")),
        }
    })
    .await;
}

/// The lane that has it waits for ever; what came with it in one batch is of the customers that all others are of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_delivery_whose_account_is_held_stops_no_customer_that_came_with_it() {
    let setup = Setup::default().with("CREDITS_DATABASE_LOCK_TIMEOUT", "1s").with("CREDITS_BROKER_PREFETCH", "20");
    let mut worker = setup.start().await;
    let held = payment_succeeded();
    worker.publish(&held).await;
    worker.wait_until_settled().await;
    let mut other_session = PgConnection::connect(&worker.place.database_url).await.unwrap();
    other_session.execute("begin; select 1 from accounts for update").await.unwrap();
    worker.publish(&payment_succeeded().by(held.customer())).await;
    for kill in 1..=2 {
        until_waiting(&worker, true).await;
        worker.kill();
        // The session of the killed process waits on for a while, and says nothing about the next one.
        until_waiting(&worker, false).await;
        if kill < 2 {
            worker.start_process();
        }
    }
    let others: Vec<BillingMessage> = (0..5).map(|_| payment_succeeded()).collect();
    for _ in 0..20 {
        let more: Vec<BillingMessage> = others.iter().map(|other| payment_succeeded().by(other.customer())).collect();
        worker.publish_all(&more).await;
    }

    worker.start_process();
    until("the others are handled", Duration::from_secs(30), async || {
        match worker.number("select count(*) from inbox").await? {
            101 => Ok(()),
            kept => Err(format!("{} of 100 others", kept - 1)),
        }
    })
    .await;
    other_session.execute("rollback").await.unwrap();
    worker.assert_balance(held.customer(), "credits", "2000").await;
    assert!(worker.dead_letters().await.is_empty(), "nothing is refused");
}

/// Nobody of the worker does that: an account is locked before its pools.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_somebody_holds_keeps_nobody_else_waiting() {
    let setup = Setup::default().with("CREDITS_DATABASE_LOCK_TIMEOUT", "1s").with("CREDITS_WORKER_LANES", "1");
    let mut worker = setup.start().await;
    let held = payment_succeeded();
    worker.publish(&held).await;
    worker.wait_until_settled().await;
    worker.stop_in_order().await;
    let mut other_session = PgConnection::connect(&worker.place.database_url).await.unwrap();
    other_session.execute("begin; select 1 from pools for update").await.unwrap();
    worker.publish(&payment_succeeded().by(held.customer())).await;
    let others: Vec<BillingMessage> = (0..40).map(|_| payment_succeeded()).collect();
    worker.publish_all(&others).await;

    worker.start_process();
    until("the others are handled", Duration::from_secs(30), async || {
        match worker.number("select count(*) from inbox").await? {
            41 => Ok(()),
            kept => Err(format!("{} of 40 others", kept - 1)),
        }
    })
    .await;
    other_session.execute("rollback").await.unwrap();
    worker.assert_balance(held.customer(), "credits", "2000").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_stored_row_rules_out_is_a_dead_letter_and_its_neighbours_are_applied() {
    let mut worker = Setup::default().with("CREDITS_WORKER_LANES", "1").prepare().await;
    worker.declare_queues().await;
    let ruled_out = payment_succeeded();
    let neighbours: Vec<BillingMessage> = (0..40).map(|_| payment_succeeded()).collect();
    worker.plant_entry(-1, ruled_out.customer()).await;
    worker.publish_all(&neighbours[..20]).await;
    worker.publish(&ruled_out).await;
    worker.publish_all(&neighbours[20..]).await;

    worker.start_process();
    worker.assert_dead_letter(&ruled_out, "fact-conflict").await;
    let letters = worker.dead_letters().await;
    assert_eq!(letters.len(), 1, "neighbours are not refused");
    for word in ["ledger_sequence", ruled_out.customer()] {
        assert!(letters[0].reason.contains(word), "the reason names both sides: {}", letters[0].reason);
    }
    for neighbour in &neighbours {
        worker.assert_balance(neighbour.customer(), "credits", "1000").await;
    }
    for (kind, least) in [("bisection", 1.0), ("conflict", 2.0)] {
        let metric = format!("credits_retries_total{{kind=\"{kind}\"}}");
        let done = worker.process().metric(&metric).await.unwrap();
        assert!(done >= least, "{metric}: {done}");
    }

    worker.remove_planted().await;
    worker.publish(&ruled_out).await;
    worker.assert_balance(ruled_out.customer(), "credits", "1000").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_holds_up_only_the_messages_about_it() {
    let mut worker = Setup::default().with("CREDITS_WORKER_LANES", "1").start().await;
    let spoilt = payment_succeeded();
    worker.publish(&spoilt).await;
    worker.wait_until_settled().await;
    worker.tamper("alter table grants drop constraint grants_category; update grants set category = 'golden'").await;
    let refund = partial_refund_of(&spoilt, "24.50");
    worker.publish(&refund).await;
    worker.publish_all(&(0..40).map(|_| payment_succeeded()).collect::<Vec<_>>()).await;
    until("the others are handled", Duration::from_secs(30), async || {
        match worker.number("select count(*) from inbox").await? {
            41 => Ok(()),
            kept => Err(format!("{} of 40 others", kept - 1)),
        }
    })
    .await;
    worker.assert_set_aside(1.0).await;
    let log = worker.process().log();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("set aside until that row is mended")).collect();
    assert!(matches!(said[..], [line] if line.contains("category is `golden`")), "once, with the row: {said:?}");

    worker.tamper("update grants set category = 'paid'").await;
    worker.assert_balance(spoilt.customer(), "credits", "500").await;
    assert!(worker.dead_letters().await.is_empty(), "nothing is refused");
}

/// A session that ends takes its deliveries along, and the broker delivers them again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_set_aside_is_held_once_however_often_it_comes() {
    let mut worker = Setup::default().with("CREDITS_WORKER_LANES", "1").start().await;
    let (spoilt, sound) = (payment_succeeded(), payment_succeeded());
    worker.publish_all(&[spoilt.clone(), sound.clone()]).await;
    worker.wait_until_settled().await;
    worker.tamper("alter table grants drop constraint grants_category").await;
    let spoil = "update grants set category = 'golden' where customer_id = $1";
    sqlx::query(spoil).bind(spoilt.customer()).execute(&worker.place.pool).await.unwrap();
    worker.publish(&partial_refund_of(&spoilt, "24.50")).await;
    worker.assert_set_aside(1.0).await;

    worker.broker.delete_queue("signup").await;
    until("the next session consumes", LIMIT, async || {
        if worker.process().log().contains("generation=2") { Ok(()) } else { Err("it does not".to_owned()) }
    })
    .await;
    // Behind the other one, which was given back.
    worker.publish(&partial_refund_of(&sound, "24.50")).await;
    until("the other refund is applied", LIMIT, async || {
        match worker.balance(sound.customer(), "credits").await.as_deref() {
            Some("500") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    worker.assert_set_aside(1.0).await;
}

/// Then no message is to blame: none could be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_reaches_beyond_its_head_refuses_no_message_and_is_said() {
    // Without a queue for events the planted row is not published, which would move the cursor over it.
    let mut worker = Setup::default().without_events_queue().start().await;
    worker.plant_entry(1, "cus_nobody").await;
    let payments: Vec<BillingMessage> = (0..10).map(|_| payment_succeeded()).collect();
    worker.publish_all(&payments).await;
    until("it says what is wrong", LIMIT, async || match worker.process().get("/readyz").await? {
        (503, body) if body.contains("ledger_pkey") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    worker.remove_planted().await;
    worker.handled_within(LIMIT).await;
    assert!(worker.dead_letters().await.is_empty(), "nothing is refused");
    assert_eq!(worker.number("select count(*) from inbox").await, Ok(10), "kept messages");
}

impl TestWorker {
    /// The only lane comes to hold so many messages back.
    async fn assert_set_aside(&mut self, messages: f64) {
        until("messages are set aside", LIMIT, async || {
            let aside = self.process().metric("credits_set_aside_messages{lane=\"0\"}").await?;
            if (aside - messages).abs() < 0.001 { Ok(()) } else { Err(format!("{aside} set aside")) }
        })
        .await;
    }

    /// An entry that no worker wrote: the first of a customer's pool, at `position`.
    async fn plant_entry(&self, position: i64, customer: &str) {
        sqlx::query(
            "insert into ledger (position, entry_id, format, customer_id, credit_type, sequence, type, delta,
                                 end_balance, actor, cause_source, cause_id, cause_type, effective_at, recorded_at,
                                 counts_at, hash)
             values ($1, gen_random_uuid(), 1, $2, 'credits', 1, 'consume', 0, 0, 'planted', '/planted', 'planted',
                     'planted', now(), now(), now(), '')",
        )
        .bind(position)
        .bind(customer)
        .execute(&self.place.pool)
        .await
        .unwrap();
    }

    async fn remove_planted(&self) {
        let remove = "alter table ledger disable trigger user;
                      delete from ledger where actor = 'planted';
                      alter table ledger enable trigger user";
        self.place.pool.execute(remove).await.unwrap();
    }
}
