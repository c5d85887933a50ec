//! What people ask gets the right answer, however late the sweeper is.

use super::{TestDatabase, customer, payment, refund, signup};
use crate::domain::ids::{MessageId, Source};
use crate::domain::ledger::{EntryType, GrantStatus};
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::store::read::{AccountView, Gauges, LedgerQuery, RefusedQuery, Trace};

async fn account(db: &TestDatabase, id: &str) -> AccountView {
    let mut session = db.session().await;
    let mut snapshot = session.snapshot().await.unwrap();
    let balances = snapshot.balances(&customer(id)).await.unwrap().unwrap();
    let all = snapshot.account(&customer(id)).await.unwrap().unwrap();
    assert_eq!(balances.account.pools, all.account.pools);
    all
}

/// Credit type and balance of every pool.
fn pools(view: &AccountView) -> Vec<(String, String)> {
    view.account.pools.iter().map(|(kind, pool)| (kind.to_string(), pool.balance.to_string())).collect()
}

/// Cause, status and rest of every grant, in order of use.
fn grants(view: &AccountView) -> Vec<(String, GrantStatus, String)> {
    let grant = |grant: &&crate::domain::account::Grant| {
        (grant.terms.cause.id.to_string(), grant.status(view.now), grant.remaining.to_string())
    };
    view.grants().iter().map(grant).collect()
}

async fn ledger(db: &TestDatabase, query: &LedgerQuery<'_>, limit: u32) -> (Vec<u64>, bool) {
    let mut session = db.session().await;
    let page = session.snapshot().await.unwrap().ledger(query, limit).await.unwrap();
    (page.entries.iter().map(|entry| entry.position).collect(), page.more)
}

async fn explain(db: &TestDatabase, id: &str, source: Option<&str>) -> Trace {
    let (id, source) = (MessageId::parse(id).unwrap(), source.map(|source| Source::parse(source).unwrap()));
    let mut session = db.session().await;
    session.snapshot().await.unwrap().explain(&id, source.as_ref()).await.unwrap()
}

fn outcomes(trace: &Trace) -> Vec<(Outcome, Vec<i64>)> {
    let told = trace.kept.iter().flat_map(|kept| &kept.outcomes);
    told.map(|told| (told.outcome, told.positions.clone())).collect()
}

fn pair(kind: &str, balance: &str) -> (String, String) {
    (kind.to_owned(), balance.to_owned())
}

#[tokio::test]
async fn grants_come_in_the_order_of_use_and_a_stranger_has_no_account() {
    let db = TestDatabase::new().await;
    db.take(&[payment("p1", "ada", "pack", 1), payment("p2", "ada", "later", 1), signup("ada")]).await;
    let view = account(&db, "ada").await;
    assert_eq!(pools(&view), [pair("credits", "1100"), pair("minutes", "0")]);
    assert_eq!(
        grants(&view),
        [
            ("evt_ada".to_owned(), GrantStatus::Active, "100".to_owned()),
            ("evt_p1".to_owned(), GrantStatus::Active, "1000".to_owned()),
            ("evt_p2".to_owned(), GrantStatus::Scheduled, "12.5".to_owned()),
        ]
    );
    let mut session = db.session().await;
    assert!(session.snapshot().await.unwrap().balances(&customer("eve")).await.unwrap().is_none());
    db.drop().await;
}

#[tokio::test]
async fn a_read_settles_in_memory_and_writes_nothing() {
    let db = TestDatabase::new().await;
    db.take(&[payment("p1", "ada", "pack", 1), payment("p2", "ada", "later", 1), signup("ada")]).await;
    let soon = "(select settled_to + interval '1 microsecond' from accounts)";
    db.damage(&format!("update grants set expires_at = {soon}, due_at = {soon} where cause_id = 'evt_p1'")).await;
    db.damage(&format!("update grants set effective_at = {soon}, due_at = {soon} where cause_id = 'evt_p2'")).await;
    let view = account(&db, "ada").await;
    assert_eq!(pools(&view), [pair("credits", "100"), pair("minutes", "12.5")]);
    let stands: Vec<_> = grants(&view).into_iter().map(|(_, status, left)| (status, left)).collect();
    let expected = [(GrantStatus::Active, "100"), (GrantStatus::Expired, "0"), (GrantStatus::Active, "12.5")];
    assert_eq!(stands, expected.map(|(status, left)| (status, left.to_owned())));
    assert_eq!(db.number("select count(*) from ledger").await, 3);
    assert_eq!(db.number("select sum(remaining)::bigint from grants where cause_id = 'evt_p1'").await, 1000);
    db.drop().await;
}

#[tokio::test]
async fn an_account_whose_now_is_ahead_of_the_clock_is_read_as_of_then() {
    let db = TestDatabase::new().await;
    db.take(&[payment("p1", "ada", "later", 1)]).await;
    db.damage("update accounts set settled_to = settled_to + interval '1 day'").await;
    let view = account(&db, "ada").await;
    assert_eq!(Some(view.now), view.account.settled_to);
    assert!(view.now > chrono::Utc::now() + chrono::TimeDelta::hours(23));
    db.drop().await;
}

#[tokio::test]
async fn the_ledger_comes_page_by_page_with_the_newest_last() {
    let db = TestDatabase::new().await;
    let mut bodies: Vec<String> = (1..=5).map(|number| payment(&format!("p{number}"), "ada", "pack", 1)).collect();
    bodies.insert(2, payment("q1", "bob", "pack", 1));
    bodies.push(payment("m1", "ada", "later", 1));
    bodies.push(refund("r1", "p5", "10.00"));
    db.take(&bodies).await;
    let ada = customer("ada");
    let all = LedgerQuery { customer: Some(&ada), ..LedgerQuery::default() };
    assert_eq!(ledger(&db, &all, 100).await, (vec![1, 2, 4, 5, 6, 7, 8], false));
    assert_eq!(ledger(&db, &all, 3).await, (vec![6, 7, 8], true));
    assert_eq!(ledger(&db, &all, 7).await, (vec![1, 2, 4, 5, 6, 7, 8], false));
    assert_eq!(ledger(&db, &LedgerQuery { after: Some(0), ..all }, 2).await, (vec![1, 2], true));
    assert_eq!(ledger(&db, &LedgerQuery { after: Some(2), ..all }, 2).await, (vec![4, 5], true));
    assert_eq!(ledger(&db, &LedgerQuery { after: Some(5), ..all }, 3).await, (vec![6, 7, 8], false));
    assert_eq!(ledger(&db, &LedgerQuery { after: Some(8), ..all }, 9).await, (vec![], false));
    assert_eq!(ledger(&db, &LedgerQuery { kind: Some(EntryType::Revoke), ..all }, 9).await, (vec![8], false));
    assert_eq!(ledger(&db, &LedgerQuery { actor: Some("worker:refund"), ..all }, 9).await, (vec![8], false));
    let minutes = crate::domain::ids::CreditType::parse("minutes").unwrap();
    assert_eq!(ledger(&db, &LedgerQuery { credit_type: Some(&minutes), ..all }, 9).await, (vec![7], false));
    db.drop().await;
}

#[tokio::test]
async fn explain_tells_every_outcome_with_its_entries_and_the_grants_as_they_are_now() {
    let db = TestDatabase::new().await;
    let (pay, back) = (payment("p1", "ada", "pack", 1), refund("r1", "p1", "2.50"));
    db.take(&[&back]).await;
    assert_eq!(outcomes(&explain(&db, "evt_r1", None).await), [(Outcome::Waiting, vec![])]);
    db.take(&[&pay]).await;
    db.take(&[&pay, &back]).await;
    db.damage("update relay_cursor set position = 1").await;

    let trace = explain(&db, "evt_p1", Some("/billing")).await;
    assert_eq!(outcomes(&trace), [(Outcome::Applied, vec![1]), (Outcome::Duplicate, vec![])]);
    let [kept] = &trace.kept[..] else { panic!("{trace:?}") };
    assert_eq!((kept.kind.as_str(), kept.structured), ("payment-succeeded", true));
    assert_eq!(grants(&kept.accounts[0]), [("evt_p1".to_owned(), GrantStatus::Active, "750".to_owned())]);
    assert!(trace.is_published(&kept.entries[0]));

    let trace = explain(&db, "evt_r1", None).await;
    let expected = [(Outcome::Waiting, vec![]), (Outcome::Applied, vec![2]), (Outcome::Duplicate, vec![])];
    assert_eq!(outcomes(&trace), expected);
    assert!(!trace.is_published(&trace.kept[0].entries[0]));
    assert!(explain(&db, "evt_p1", Some("/other")).await.is_empty());
    assert!(explain(&db, "evt_p2", None).await.is_empty());
    db.drop().await;
}

#[tokio::test]
async fn explain_finds_refused_messages_and_refunds_that_became_conflicts() {
    let db = TestDatabase::new().await;
    let pay = payment("p1", "ada", "pack", 1);
    db.take(&[&pay, &pay.replace("10.00", "11.00")]).await;
    let trace = explain(&db, "evt_p1", None).await;
    assert_eq!(outcomes(&trace), [(Outcome::Applied, vec![1])]);
    assert_eq!(trace.refused[0].code, RefusalCode::IdempotencyConflict.name());

    // A refund in another currency than the payment that comes later.
    db.take(&[refund("r1", "p2", "2.50").replace("EUR", "USD")]).await;
    db.take(&[payment("p2", "ada", "pack", 1)]).await;
    let trace = explain(&db, "evt_r1", None).await;
    assert_eq!(outcomes(&trace), [(Outcome::Waiting, vec![]), (Outcome::DeadLettered, vec![])]);
    assert_eq!(trace.refused[0].code, RefusalCode::FactConflict.name());

    db.take(&[b"no json"]).await;
    let trace = explain(&db, "amqp-7", None).await;
    assert!(trace.kept.is_empty());
    assert_eq!(trace.refused.len(), 1);
    db.drop().await;
}

#[tokio::test]
async fn dead_letters_come_newest_first_with_their_original_bytes() {
    let db = TestDatabase::new().await;
    let large = vec![b' '; 300_000];
    let bodies: [&[u8]; 4] = [b"no json", b"\xff\xfe", b"no json", &large];
    db.take(&bodies).await;
    let mut session = db.session().await;
    let mut snapshot = session.snapshot().await.unwrap();
    let all = snapshot.dead_letters(RefusedQuery { code: None, closed: false, limit: 10 }).await.unwrap();
    let told: Vec<(&str, i64)> = all.iter().map(|letter| (letter.code.as_str(), letter.seen)).collect();
    assert_eq!(told, [("too-large", 1), ("malformed", 1), ("malformed", 2)]);
    assert_eq!(
        snapshot
            .dead_letters(RefusedQuery { code: Some(RefusalCode::TooLarge), closed: true, limit: 10 })
            .await
            .unwrap(),
        all[..1]
    );
    assert_eq!(snapshot.dead_letters(RefusedQuery { code: None, closed: false, limit: 2 }).await.unwrap(), all[..2]);
    let (letter, said) = snapshot.dead_letter(all[1].number).await.unwrap().unwrap();
    assert_eq!((letter, said.body.as_slice()), (all[1].clone(), bodies[1]));
    assert!(said.properties.contains("application/cloudevents+json"));
    assert!(snapshot.dead_letter(99).await.unwrap().is_none());
    drop(snapshot);
    drop(session);
    db.drop().await;
}

#[tokio::test]
async fn gauges_count_what_waits() {
    let db = TestDatabase::new().await;
    let mut session = db.session().await;
    let nothing = Gauges { waiting: 0, oldest_waiting_seconds: 0.0, attempts: 0 };
    assert_eq!(session.gauges().await.unwrap(), nothing);
    db.take(&[refund("r1", "p1", "1.00"), refund("r2", "p1", "1.00"), refund("r3", "p2", "1.00")]).await;
    db.damage("update purchases set waiting_since = waiting_since - interval '1 hour'").await;
    session.note_attempt("credits.signup", b"hash", uuid::Uuid::now_v7()).await.unwrap();
    let gauges = session.gauges().await.unwrap();
    assert_eq!((gauges.waiting, gauges.attempts), (3, 1));
    assert!((3600.0..3660.0).contains(&gauges.oldest_waiting_seconds));
    db.take(&[payment("p1", "ada", "pack", 1)]).await;
    assert_eq!(session.gauges().await.unwrap().waiting, 1);
    db.drop().await;
}
