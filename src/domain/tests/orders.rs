//! The promise over all orders of small sets, exhaustively.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;

use super::model::{self, Expected};
use super::random::{Random, on_every_core};
use super::sets::{Set, set};
use super::shop::rules_of_every_form;
use super::world::World;
use crate::domain::message::Message;
use crate::domain::outcome::Outcome;

const SETS: u64 = 2_600;
const EXPLORED_AT_LEAST: u64 = 2_000;

#[test]
fn all_orders_of_up_to_five_messages_end_alike() {
    let rules = rules_of_every_form();
    let left_out = AtomicU64::new(0);
    on_every_core(SETS, |seed| {
        let mut random = Random::seeded(seed);
        let size = [2, 3, 3, 4, 4, 4, 5, 5, 5, 5][random.below(10)];
        let set = set(&mut random, size, 2);
        let all: Vec<&Message> = set.messages.iter().collect();
        if let Ok(expected) = model::expected(&all, rules, set.end) {
            let mut left = set.messages.clone();
            explore(&World::under(rules), &mut left, &set, &expected, &|| format!("seed {seed}"));
        } else {
            left_out.fetch_add(1, Ordering::Relaxed);
            assert!(something_is_refused(World::under(rules), &set), "seed {seed}: {:#?}", set.messages);
        }
    });
    let left_out = left_out.into_inner();
    println!("{left_out} of {SETS} sets contradict themselves and were left out");
    assert!(left_out * 100 < SETS * 40 && SETS - left_out >= EXPLORED_AT_LEAST, "{left_out} of {SETS} left out");
}

/// Every order of `left` after what `world` has taken.
fn explore(world: &World, left: &mut Vec<Message>, set: &Set, expected: &Expected, context: &dyn Fn() -> String) {
    if left.is_empty() {
        let mut world = world.clone();
        world.settle_at(set.end);
        assert_eq!(world.open_at(set.end, expected), expected.open, "{}: {:#?}", context(), set.messages);
        assert_eq!(world.balances_but(expected), expected.balances, "{}: {:#?}", context(), set.messages);
        assert_eq!(world.starts_of(expected), expected.starts, "{}: {:#?}", context(), set.messages);
        return;
    }
    for at in 0..left.len() {
        let message = left.remove(at);
        let mut world = world.clone();
        world.books.clock = set.end - TimeDelta::hours(16 * i64::try_from(left.len()).unwrap());
        let id = message.key.id.clone();
        let record = world.take(message.clone());
        let context = || format!("{}, {id}", context());
        assert_ne!(record.outcome, Outcome::DeadLettered, "{}: {:#?}", context(), set.messages);
        explore(&world, left, set, expected, &context);
        left.insert(at, message);
    }
}

fn something_is_refused(mut world: World, set: &Set) -> bool {
    set.messages.iter().any(|message| {
        let (record, changes) = world.heard(message.clone());
        record.outcome == Outcome::DeadLettered || !changes.released.is_empty()
    })
}
