//! Keys and names that are known, or that somebody claims at the same moment; purchases that have no row.

use std::time::Duration;

use sqlx::{Executor, Row};

use super::{TestDatabase, adjustment, delivery, link, payment, refund};
use crate::domain::outcome::Outcome;
use crate::handler::batch::{Attempt, attempt};
use crate::handler::intake::Work;

/// One payment each, of customers of their own.
fn payments(count: u32) -> Vec<String> {
    (0..count).map(|number| payment(&format!("p{number}"), &format!("cus{number}"), "pack", 1)).collect()
}

#[tokio::test]
async fn a_batch_about_something_known_starts_again_and_the_next_one_looks_first() {
    let test = TestDatabase::new().await;
    let mut session = test.session().await;
    for (what, body, begun) in [
        ("nothing known", payment("p1", "ada", "pack", 1), 1),
        ("still nothing known", payment("p2", "ada", "pack", 1), 1),
        ("a known name", refund("r1", "p1", "2.50"), 2),
        ("another known name", refund("r2", "p2", "2.50"), 1),
        ("a known key", payment("p1", "ada", "pack", 1), 1),
    ] {
        assert_eq!(test.take_on(&mut session, &[body]).await.1, begun, "{what}");
    }
    test.drop().await;
}

/// Two sessions, each of which took `before`, take the same messages at one moment.
async fn check_at_one_moment(before: &[String]) {
    let test = TestDatabase::new().await;
    let (mut one, mut two) = (test.session().await, test.session().await);
    test.take_on(&mut one, before).await;
    test.take_on(&mut two, before).await;
    let bodies = payments(50);
    let ((first, _), (second, _)) = tokio::join!(test.take_on(&mut one, &bodies), test.take_on(&mut two, &bodies));
    let all = |outcome| vec![(outcome, None); 50];
    let mut outcomes = [first, second];
    outcomes.sort_by_key(|outcomes| outcomes[0].0.name());
    assert_eq!(outcomes, [all(Outcome::Applied), all(Outcome::Duplicate)]);
    test.drop().await;
}

#[tokio::test]
async fn of_two_who_claim_the_same_at_one_moment_the_second_finds_what_the_first_wrote() {
    check_at_one_moment(&[]).await;
    check_at_one_moment(&[payment("known", "ada", "pack", 1), refund("r", "known", "1.00")]).await;
}

#[tokio::test]
async fn a_purchase_of_one_payment_has_a_row_once_anything_else_touches_it() {
    let test = TestDatabase::new().await;
    test.take(&payments(3)).await;
    let rows = "select count(*) from purchases";
    assert_eq!(test.number(rows).await, 0);
    test.take(&[refund("r1", "p1", "2.50")]).await;
    assert_eq!(test.number(rows).await, 1);
    let held = "select cardinality(messages) * 100 + cardinality(grants) * 10 + cardinality(waiting) from purchases";
    assert_eq!(test.number(&format!("select ({held})::bigint")).await, 210, "two messages, a grant, and none waits");
    test.take(&[refund("r2", "nobody", "1.00")]).await;
    assert_eq!(test.number(rows).await, 2, "who waits has a row");
    test.drop().await;
}

impl TestDatabase {
    /// Waits until some session of this database waits for a lock.
    async fn until_somebody_waits(&self) {
        let waiting = "select count(*) from pg_locks join pg_stat_activity using (pid)
                       where not granted and datname = current_database()";
        let waits = async { while self.number(waiting).await == 0 {} };
        tokio::time::timeout(Duration::from_secs(30), waits).await.expect("nobody waits for a lock");
    }
}

#[tokio::test]
async fn a_refund_that_waits_for_a_regrant_in_its_purchase_reaches_the_new_grant() {
    let test = TestDatabase::new().await;
    test.take(&[payment("p1", "ada", "pack", 1)]).await;
    let mut session = test.session().await;
    let grant: String = session.connection.fetch_one("select grant_id::text from grants").await.unwrap().get(0);
    let regrant = adjustment("a1", "ada", &format!(r#""action":"regrant","grant_id":"{grant}","priority":7"#));
    let works = [Work::new(delivery(regrant.as_bytes()))];
    let mut batch = session.begin().await.unwrap();
    let attempted = attempt(&mut batch, &works, test.rules(), &std::collections::BTreeSet::new(), None).await.unwrap();
    assert!(matches!(attempted, Attempt::Written(_)), "{attempted:?}");

    let commit = async {
        test.until_somebody_waits().await;
        batch.commit().await.unwrap();
    };
    let refunds = [refund("r1", "p1", "2.50")];
    let (outcomes, ()) = tokio::join!(test.take(&refunds), commit);
    assert_eq!(outcomes, [(Outcome::Applied, None)]);
    let reached = "select count(*) from ledger join grants using (grant_id)
                   where ledger.actor = 'worker:refund' and grants.replaces is not null";
    assert_eq!(test.number(reached).await, 1);
    test.drop().await;
}

/// A payment with another name than its own id.
fn aliased(id: &str) -> String {
    let mut body: serde_json::Value = serde_json::from_str(&payment(id, "ada", "pack", 1)).unwrap();
    body["data"]["aliases"] = serde_json::json!([format!("checkout_{id}")]);
    body.to_string()
}

#[tokio::test]
async fn a_refund_needs_no_lock_on_names_of_its_purchase_that_it_does_not_mention() {
    let test = TestDatabase::new().await;
    let mut session = test.session().await;
    for (what, body, begun) in [
        ("nothing known", aliased("p1"), 1),
        ("a known name", refund("r1", "p1", "2.50"), 2),
        ("one that looks first", refund("r2", "p1", "2.50"), 1),
        ("the other name, by a link", link("p1", "checkout_p1"), 1),
    ] {
        assert_eq!(test.take_on(&mut session, &[body]).await.1, begun, "{what}");
    }
    let purchases = "select count(distinct purchase_id) from names where kind in ('payment', 'other')";
    assert_eq!(test.number(purchases).await, 1);
    test.drop().await;
}

#[tokio::test]
async fn purchases_that_become_one_have_all_their_names_locked_first() {
    let test = TestDatabase::new().await;
    let mut session = test.session().await;
    test.take_on(&mut session, &[aliased("p1"), aliased("p2"), refund("r1", "p1", "2.50")]).await;
    let begun = test.take_on(&mut session, &[link("p1", "checkout_p2")]).await.1;
    assert_eq!(begun, 3, "in hope, then with a look, then with p2 and checkout_p1 as well");
    let purchases = "select count(distinct purchase_id) from names where kind in ('payment', 'other')";
    assert_eq!(test.number(purchases).await, 1);
    test.drop().await;
}
