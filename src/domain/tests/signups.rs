//! What signups give: once per customer and rule, and where a rule says so once per identity.

use super::fixtures::*;
use super::rulebook::*;
use super::world::World;
use crate::domain::outcome::Outcome::{Applied, Duplicate, Ignored};
use crate::domain::rules::Rules;

fn welcome() -> &'static Rules {
    rules(vec![], vec![signup_rule("welcome").once_per_identity().for_days(60)])
}

#[test]
fn a_signup_grants_once_per_customer_and_rule() {
    let mut world = World::under(rules(vec![], vec![signup_rule("hello")]));
    assert_eq!(world.outcome(signup()), Applied);
    assert_eq!(world.outcome(signup().for_plan("pro")), Duplicate);
    assert_eq!(world.balance("cus_1", "credits"), "100");
}

#[test]
fn every_rule_that_fits_a_signup_grants() {
    let mut world =
        World::under(rules(vec![], vec![signup_rule("hello"), signup_rule("pro").of_plan("pro").fixed("7")]));
    world.take(signup().for_plan("free"));
    assert_eq!(world.balance("cus_1", "credits"), "100");
    assert_eq!(world.outcome(signup().for_plan("pro")), Applied);
    assert_eq!(world.balance("cus_1", "credits"), "107");
}

#[test]
fn a_signup_that_no_rule_fits_is_ignored() {
    let mut world = World::under(rules(vec![], vec![signup_rule("pro").of_plan("pro")]));
    assert_eq!(world.outcome(signup()), Ignored);
}

#[test]
fn one_identity_gets_a_once_only_grant_once() {
    let mut world = World::under(welcome());
    assert_eq!(world.outcome(signup().with_identity("i1")), Applied);
    let record = world.take(signup().by("cus_2").with_identity("i1"));
    assert_eq!(record.outcome, Ignored);
    assert!(record.reason.contains("customer cus_1 claimed it"), "{}", record.reason);
    assert_eq!((world.balance("cus_1", "credits"), world.balance("cus_2", "credits")), ("100".into(), "0".into()));
}

#[test]
fn every_signup_of_a_customer_claims_its_identity() {
    let mut world = World::under(welcome());
    world.take_all([signup().with_identity("i1"), signup().with_identity("i2")]);
    assert_eq!(world.outcome(signup().by("cus_2").with_identity("i2")), Ignored);
    assert_eq!(world.balance("cus_1", "credits"), "100");
}

#[test]
fn a_signup_without_an_identity_is_ignored_where_one_is_needed_and_says_so() {
    let mut world = World::under(welcome());
    let record = world.take(signup());
    assert_eq!(record.outcome, Ignored);
    assert!(record.reason.contains("the signup has none"), "{}", record.reason);
    assert_eq!(world.outcome(signup().with_identity("i1")), Applied);
}

#[test]
fn a_customer_whose_identity_is_taken_may_come_with_another() {
    let mut world = World::under(welcome());
    world.take(signup().by("cus_2").with_identity("i1"));
    assert_eq!(world.outcome(signup().with_identity("i1")), Ignored);
    assert_eq!(world.outcome(signup().with_identity("i2")), Applied);
}

#[test]
fn a_signups_grant_is_promotional_and_dated_by_the_signup() {
    let mut world = World::under(welcome()).at(day(2));
    let (_, changes) = world.heard(signup().with_identity("i1").at(day(1)));
    let terms = changes.entries[0].terms.as_ref().unwrap();
    assert_eq!((terms.effective_at, terms.expires_at, terms.cost), (day(1), Some(day(61)), None));
}
