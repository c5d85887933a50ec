//! Uses and adjustments on the real database: what is loaded suffices, whatever else a batch holds.

use super::{TestDatabase, adjustment, customer, payment, refund, signup, usage};
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::store::verify::Finding;

impl TestDatabase {
    async fn balance(&self, id: &str) -> String {
        let mut session = self.session().await;
        let view = session.snapshot().await.unwrap().balances(&customer(id)).await.unwrap();
        let pools = view.map(|view| view.account.pools).unwrap_or_default();
        pools.iter().map(|(kind, pool)| format!("{} {kind}", pool.balance)).collect::<Vec<_>>().join(", ")
    }

    async fn is_sound(&self) {
        let mut session = self.session().await;
        let finding = session.snapshot().await.unwrap().verify(&mut |_, _| {}).await.unwrap();
        assert!(matches!(finding, Finding::Sound { .. }), "{finding:?}");
    }

    async fn take_one(&self, body: String) -> (Outcome, Option<RefusalCode>) {
        self.take(&[body]).await[0]
    }
}

#[tokio::test]
async fn a_use_takes_from_many_grants_and_what_is_not_there_is_shortfall() {
    let test = TestDatabase::new().await;
    let give =
        |n: u32| adjustment(&format!("a{n}"), "cus", r#""action":"grant","amount":"3","category":"promotional""#);
    test.take(&(0..100).map(give).collect::<Vec<_>>()).await;
    assert_eq!(test.balance("cus").await, "300 credits");
    assert_eq!(test.take_one(usage("u1", "cus", "250")).await, (Outcome::Applied, None));
    assert_eq!(test.balance("cus").await, "50 credits");
    assert_eq!(test.take_one(usage("u2", "cus", "60")).await, (Outcome::Applied, None));
    assert_eq!(test.balance("cus").await, "0 credits");
    assert_eq!(test.number("select sum(shortfall)::bigint from ledger").await, 10);
    assert_eq!(test.number("select count(*) from ledger where type = 'consume'").await, 84 + 17);
    assert_eq!(test.take_one(usage("u3", "new", "1")).await, (Outcome::Applied, None));
    test.is_sound().await;
    test.drop().await;
}

#[tokio::test]
async fn a_refund_in_the_same_batch_leaves_enough_loaded_for_a_use_behind_it() {
    let test = TestDatabase::new().await;
    let mut bodies = Vec::new();
    for n in 0..40 {
        bodies.push(payment(&format!("p{n}"), "cus", "pack", 1));
    }
    test.take(&bodies).await;
    let mut batch: Vec<String> = (0..30).map(|n| refund(&format!("r{n}"), &format!("p{n}"), "10.00")).collect();
    batch.push(usage("u1", "cus", "9500"));
    let outcomes = test.take(&batch).await;
    assert!(outcomes.iter().all(|outcome| *outcome == (Outcome::Applied, None)), "{outcomes:?}");
    assert_eq!(test.balance("cus").await, "500 credits");
    assert_eq!(test.number("select coalesce(sum(shortfall), 0)::bigint from ledger").await, 0);
    test.is_sound().await;
    test.drop().await;
}

#[tokio::test]
async fn the_same_use_under_another_id_is_a_duplicate_and_with_another_amount_a_conflict() {
    let test = TestDatabase::new().await;
    test.take_one(signup("cus")).await;
    let first = usage("u1", "cus", "5");
    assert_eq!(test.take_one(first.clone()).await.0, Outcome::Applied);
    assert_eq!(test.take_one(first.clone()).await.0, Outcome::Duplicate);
    assert_eq!(test.take_one(first.replace("evt_u1", "evt_again")).await.0, Outcome::Duplicate);
    let other = first.replace("evt_u1", "evt_other").replace("\"5\"", "\"6\"");
    assert_eq!(test.take_one(other).await, (Outcome::DeadLettered, Some(RefusalCode::FactConflict)));
    let unknown = usage("u2", "cus", "1").replace("\"credits\"", "\"minuts\"");
    assert_eq!(test.take_one(unknown).await, (Outcome::DeadLettered, Some(RefusalCode::InvalidField)));
    let fine = usage("u3", "cus", "1.5");
    assert_eq!(test.take_one(fine).await, (Outcome::DeadLettered, Some(RefusalCode::InvalidAmount)));
    assert_eq!(test.balance("cus").await, "95 credits");
    test.is_sound().await;
    test.drop().await;
}

#[tokio::test]
async fn a_refund_reaches_the_grant_that_a_regrant_made_in_its_purchase() {
    let test = TestDatabase::new().await;
    test.take_one(payment("p1", "cus", "pack", 1)).await;
    test.take_one(usage("u1", "cus", "200")).await;
    let mut session = test.session().await;
    let view = session.snapshot().await.unwrap().account(&customer("cus")).await.unwrap().unwrap();
    let grant = view.grants()[0].terms.grant_id;
    let regrant = format!(r#""action":"regrant","grant_id":"{grant}","expires_after":"never""#);
    assert_eq!(test.take_one(adjustment("a1", "cus", &regrant)).await, (Outcome::Applied, None));
    assert_eq!(test.balance("cus").await, "800 credits");
    test.is_sound().await;
    assert_eq!(test.take_one(refund("r1", "p1", "5.00")).await, (Outcome::Applied, None));
    assert_eq!(test.balance("cus").await, "300 credits");
    let again = adjustment("a2", "cus", &regrant);
    assert_eq!(test.take_one(again).await, (Outcome::DeadLettered, Some(RefusalCode::FactConflict)));
    let revoke = adjustment("a3", "cus", r#""action":"revoke""#);
    assert_eq!(test.take_one(revoke).await, (Outcome::Applied, None));
    assert_eq!(test.balance("cus").await, "0 credits");
    test.is_sound().await;
    test.drop().await;
}
