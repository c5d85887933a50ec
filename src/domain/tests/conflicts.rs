//! Sets that cannot all be true together: nothing panics, the invariants hold, refunds give way, and what is left
//! stands as if the conflicts had never come.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::model;
use super::random::{Random, on_every_core};
use super::sets::set;
use super::shop::rules_of_every_form;
use super::world::World;
use crate::domain::books::{Changes, Record};
use crate::domain::message::{Content, Lines, Message, Statement};
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::rules::Rules;

const SETS: u64 = 6_000;

#[test]
fn what_conflicts_leave_behind_is_what_the_kept_messages_alone_lead_to() {
    let rules = rules_of_every_form();
    let uncertain = AtomicU64::new(0);
    on_every_core(SETS, |seed| holds(rules, seed, &uncertain));
    let uncertain = uncertain.into_inner();
    assert!(uncertain * 10 < SETS, "{uncertain} of {SETS} were not followed to their end");
}

fn holds(rules: &'static Rules, seed: u64, uncertain: &AtomicU64) {
    let mut random = Random::seeded(seed);
    let size = random.from(4..=10);
    let set = set(&mut random, size, 8);
    let mut order: Vec<&Message> = set.messages.iter().chain(&set.messages).collect();
    random.shuffle(&mut order);
    let mut world = World::under(rules).at(set.end);
    let mut kept: Vec<&Message> = Vec::new();
    let mut story = Vec::new();
    let sold: Vec<_> = set.messages.iter().filter_map(lines_of).collect();
    let (mut some_released, lines_differ) = (false, sold.iter().any(|lines| *lines != sold[0]));
    for message in order {
        let (record, changes) = world.heard(message.clone());
        story.push((message, record.outcome));
        let context = || format!("seed {seed}, {:?} after {story:#?}", record.reason);
        if kept.iter().all(|known| known.key != message.key) {
            kept = kept_after(&kept, message, &record, &changes, rules, &context);
        }
        // A grant made of a line that only a released refund lent to its purchase is never edited: if the purchase then
        // states that line otherwise, what was decided governs.
        some_released |= !changes.released.is_empty();
        if some_released && lines_differ {
            uncertain.fetch_add(1, Ordering::Relaxed);
            return;
        }
        world.one_grant_a_line();
        let expected = model::expected(&kept, rules, set.end).unwrap_or_else(|_| panic!("{}", context()));
        assert_eq!(world.open_at(set.end, &expected), expected.open, "{}", context());
        assert_eq!(world.balances_but(&expected), expected.balances, "{}", context());
    }
    let mut alone = World::under(rules).at(set.end);
    alone.take_all(kept.iter().map(|message| (*message).clone()));
    assert_eq!((world.open(), world.balances()), (alone.open(), alone.balances()), "seed {seed}: {story:#?}");
    assert_eq!(world.waits(), alone.waits(), "seed {seed}: {story:#?}");
}

/// The kept messages after a new one, whose fate is checked.
fn kept_after<'m>(
    kept: &[&'m Message],
    new: &'m Message,
    record: &Record,
    changes: &Changes,
    rules: &Rules,
    context: &dyn Fn() -> String,
) -> Vec<&'m Message> {
    let contradict = |messages: &[&Message]| model::expected(messages, rules, new.time).is_err();
    if record.outcome == Outcome::DeadLettered {
        assert_eq!(record.code, Some(RefusalCode::FactConflict));
        let mut against: Vec<&Message> = kept.to_vec();
        if refund_of(new).is_none() {
            against.retain(|known| refund_of(known).is_none());
        }
        against.push(new);
        assert!(contradict(&against), "refused without need, or for a refund's sake: {}", context());
        assert!(changes.entries.is_empty() && changes.released.is_empty(), "{}", context());
        return kept.to_vec();
    }
    let mut all = kept.to_vec();
    all.push(new);
    assert_eq!(contradict(&all), !changes.released.is_empty(), "{}", context());
    let (gone, left): (Vec<_>, Vec<_>) = all.into_iter().partition(|message| changes.released.contains(&message.key));
    let lost: BTreeSet<_> = gone.iter().map(|message| refund_of(message).expect("only refunds give way")).collect();
    assert!(left.iter().all(|m| refund_of(m).is_none_or(|id| !lost.contains(id))), "all its messages: {}", context());
    assert_eq!(gone.len(), changes.released.len(), "{}", context());
    left
}

fn lines_of(message: &Message) -> Option<&Lines> {
    match &message.content {
        Content::Purchase(statement) => statement.lines(),
        Content::Signup(_) | Content::Usage(_) | Content::Adjustment(_) => None,
    }
}

fn refund_of(message: &Message) -> Option<&str> {
    match &message.content {
        Content::Purchase(statement) => match statement.as_ref() {
            Statement::Refund(refund) => Some(refund.refund_id.as_str()),
            _ => None,
        },
        _ => None,
    }
}

impl World {
    /// Keys of the messages that wait.
    fn waits(&self) -> BTreeSet<String> {
        let kept = self
            .books
            .purchases
            .values()
            .flat_map(|purchase| purchase.kept.iter().filter(|kept| purchase.waiting.contains(&kept.inbox_id)));
        kept.map(|kept| kept.key.id.to_string()).collect()
    }
}
