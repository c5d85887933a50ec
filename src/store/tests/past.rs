//! A balance in the past is what was read then.

use chrono::{DateTime, TimeDelta, Utc};

use super::{TestDatabase, adjustment, customer, payment, refund, signup, usage};
use crate::domain::held::{Held, Holdings};

/// The message as of another time.
fn sent_at(body: &str, time: DateTime<Utc>) -> String {
    let mut event: serde_json::Value = serde_json::from_str(body).unwrap();
    event["time"] = time.to_rfc3339().into();
    event.to_string()
}

/// Up to `below`, without it; the same sequence in every run.
fn pick(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// A message about ada, or about bob: a grant that starts or ends within the next 60 ms, or did so before, or does so
/// much later; or a refund of one of those.
fn message(state: &mut u64, number: usize) -> String {
    let name = format!("p{number}");
    let soon = TimeDelta::milliseconds(i64::try_from(pick(state, 80)).unwrap() - 20);
    let (units, now) = (1 + u32::try_from(pick(state, 5)).unwrap(), Utc::now());
    match pick(state, 12) {
        0 | 1 => sent_at(&payment(&name, "ada", "later", units), now - TimeDelta::days(30) + soon),
        2 | 3 => sent_at(&payment(&name, "ada", "pack", units), now - TimeDelta::days(365) + soon),
        4 => payment(&name, "ada", if units > 2 { "pack" } else { "later" }, units),
        5 => payment(&name, "bob", "pack", units),
        6 | 7 => usage(&format!("u{number}"), "ada", &(100 * units).to_string()),
        8 => usage(&format!("u{number}"), "ada", "1").replace("\"credits\"", "\"minutes\""),
        9 => adjustment(&format!("a{number}"), "ada", &format!(r#""action":"revoke","amount":"{units}""#)),
        _ => refund(&format!("r{number}"), &format!("p{}", pick(state, number as u64 + 1)), "3.33"),
    }
}

/// A regrant of the grant that comes first in the order of use.
fn regrant_of_the_first(said: &[(Holdings, bool)], number: usize) -> Vec<String> {
    let grants = said.iter().last().and_then(|(last, _)| last.pools.values().next()).map(|pool| &pool.grants);
    let regrant = |held: &Held| {
        let more = format!(r#""action":"regrant","grant_id":"{}","expires_after":"never""#, held.grant_id);
        adjustment(&format!("g{number}"), "ada", &more)
    };
    grants.and_then(|grants| grants.first()).map(regrant).into_iter().collect()
}

/// What is held now, and whether an activation or expiry that counts was not written yet.
async fn read(db: &TestDatabase) -> Option<(Holdings, bool)> {
    let mut session = db.session().await;
    let mut snapshot = session.snapshot().await.unwrap();
    let late = !snapshot.account(&customer("ada")).await.unwrap()?.unwritten.is_empty();
    let held = snapshot.held(&customer("ada"), None).await.unwrap().unwrap();
    assert_eq!(held.holdings.at, held.now);
    Some((held.holdings, late))
}

#[tokio::test]
async fn the_balance_at_a_past_instant_is_what_was_read_then() {
    let db = TestDatabase::new().await;
    db.take(&[signup("ada")]).await;
    let (mut state, mut said) = (7, Vec::new());
    for number in 0..60 {
        db.take(&[message(&mut state, number)]).await;
        if number % 8 == 7 {
            db.take(&regrant_of_the_first(&said, number)).await;
        }
        for _ in 0..=pick(&mut state, 2) {
            said.push(read(&db).await.unwrap());
        }
    }
    assert!(said.iter().any(|(_, late)| *late), "no read was ahead of what was written: nothing is shown here");
    let mut session = db.session().await;
    let mut snapshot = session.snapshot().await.unwrap();
    for (said, _) in &said {
        let held = snapshot.held(&customer("ada"), Some(said.at)).await.unwrap().unwrap();
        assert_eq!(held.holdings, *said);
    }
    let kinds = db.number("select count(distinct type) from ledger where customer_id = 'ada'").await;
    assert_eq!(kinds, 5, "all but a reinstate happened");
    let before = said[0].0.at - TimeDelta::days(1);
    assert!(snapshot.held(&customer("ada"), Some(before)).await.unwrap().unwrap().holdings.pools.is_empty());
    drop(snapshot);
    drop(session);
    db.drop().await;
}
