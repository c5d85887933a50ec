//! A stand-in for the database that loads only what messages need and keeps only what was said to have changed.
//!
//! Batches through it must leave the same world as one set of books that never forgets: so nothing that matters is
//! missing from `needs` and `Changes`, and one batch is as many.

use std::collections::HashMap;

use chrono::TimeDelta;
use uuid::Uuid;

use super::lives::life::life;
use super::random::{Random, on_every_core};
use super::sets::set;
use super::shop::{history, rules_of_every_form};
use super::world::World;
use crate::domain::account::{Account, Grant};
use crate::domain::amounts::Credits;
use crate::domain::books::{Books, Purchase, Record, TakenKey};
use crate::domain::ids::{CustomerId, GrantId, Identity, InboxId, PurchaseId, RuleName};
use crate::domain::ledger::Entry;
use crate::domain::message::{Message, MessageKey, Name, Timestamp};
use crate::domain::needs::{Draw, Needs, needs};
use crate::domain::purchase::gifts;
use crate::domain::rules::Rules;

#[derive(Default)]
struct Shelf {
    keys: HashMap<MessageKey, TakenKey>,
    names: HashMap<Name, PurchaseId>,
    /// The messages that stated uses and adjustments.
    stated: HashMap<Name, Message>,
    purchases: HashMap<PurchaseId, Purchase>,
    /// Without their grants.
    accounts: HashMap<CustomerId, Account>,
    grants: HashMap<GrantId, Grant>,
    claims: HashMap<(RuleName, Identity), CustomerId>,
    /// Whose grant it is, of the purchases.
    places: HashMap<GrantId, PurchaseId>,
    entries: Vec<Entry>,
}

impl Shelf {
    fn load(&self, rules: &'static Rules, clock: Timestamp, batch: &[Message]) -> Books<'static> {
        let mut books = Books::new(rules, clock);
        let mut all = Needs::default();
        for message in batch {
            let needs = needs(message, rules);
            all.names.extend(needs.names);
            all.customers.extend(needs.customers);
            all.grants.extend(needs.grants);
            all.identities.extend(needs.identities);
            for (pool, draw) in needs.pools {
                all.pools.entry(pool).and_modify(|before| *before = before.and(draw)).or_insert(draw);
            }
            all.regranted.extend(needs.regranted);
            books.keys.extend(self.keys.get_key_value(&message.key).map(|(key, taken)| (key.clone(), *taken)));
        }
        for name in &all.names {
            let Some(id) = self.names.get(name) else { continue };
            books.names.insert(name.clone(), *id);
            if name.stands_alone() {
                books.stated.extend(self.stated.get_key_value(name).map(|(name, said)| (name.clone(), said.clone())));
            } else {
                books.purchases.insert(*id, self.purchases[id].clone());
            }
        }
        for id in all.regranted.iter().filter_map(|grant| self.places.get(grant)) {
            // Its names stay on the shelf: none of them can change.
            books.purchases.insert(*id, self.purchases[id].clone());
        }
        for purchase in books.purchases.values() {
            all.grants.extend(gifts(&purchase.decided).map(|gift| gift.terms.grant_id));
            all.customers.extend(gifts(&purchase.decided).map(|gift| gift.terms.customer_id.clone()));
            all.customers.extend(purchase.kept.iter().filter_map(|kept| kept.statement.customer().cloned()));
        }
        for customer in all.customers {
            let Some(kept) = self.accounts.get(&customer) else { continue };
            let (settled_to, pools) = (kept.settled_to, kept.pools.clone());
            let mut account = Account { settled_to, pools, ..Account::new(customer.clone()) };
            let is_due = |grant: &Grant| grant.due_at(account.settled_to.unwrap()).is_some_and(|due| due <= clock);
            let mine = || self.grants.values().filter(|grant| grant.terms.customer_id == customer);
            let named = |grant: &Grant| all.grants.contains(&grant.terms.grant_id);
            let mut needed: Vec<&Grant> = mine().filter(|grant| named(grant) || is_due(grant)).collect();
            for ((_, credit_type), draw) in all.pools.iter().filter(|((owner, _), _)| *owner == customer) {
                let of_pool = mine().filter(|grant| grant.terms.credit_type == *credit_type);
                match draw {
                    Draw::All => needed.extend(of_pool.filter(|grant| !grant.remaining.is_zero())),
                    Draw::Amount(amount) => {
                        let settled_to = account.settled_to.unwrap();
                        let sure = of_pool.filter(|grant| grant.is_spendable(settled_to) && !grant.has_expired(clock));
                        needed.extend(first_that_hold(*amount, sure.filter(|grant| !named(grant)).collect()));
                    }
                }
            }
            account.grants = needed.into_iter().map(|grant| (grant.terms.grant_id, grant.clone())).collect();
            books.accounts.insert(customer, account);
        }
        let claims = all.identities.into_iter().filter_map(|claim| self.claims.get_key_value(&claim));
        books.claims = claims.map(|(claim, holder)| (claim.clone(), holder.clone())).collect();
        books
    }

    fn save(&mut self, books: Books<'static>, batch: &[Message]) {
        let changes = books.changes;
        for key in changes.released.iter().chain(batch.iter().map(|message| &message.key)) {
            put(&mut self.keys, key, books.keys.get(key));
        }
        for name in &changes.names {
            put(&mut self.names, name, books.names.get(name));
            put(&mut self.stated, name, books.stated.get(name));
        }
        for id in &changes.purchases {
            put(&mut self.purchases, id, books.purchases.get(id));
        }
        let places = places(&books.purchases);
        for (id, customer) in &changes.grants {
            put(&mut self.grants, id, books.accounts[customer].grants.get(id));
            // A grant that only fell due is of a purchase that is not here.
            self.places.extend(places.get_key_value(id));
        }
        for customer in &changes.accounts {
            let bare = Account { grants: HashMap::new(), ..books.accounts[customer].clone() };
            put(&mut self.accounts, customer, Some(&bare));
        }
        for claim in &changes.claims {
            put(&mut self.claims, claim, books.claims.get(claim));
        }
        self.entries.extend(changes.entries);
    }

    fn check(&self, world: &World, context: &str) {
        let books = &world.books;
        assert_eq!(self.keys, books.keys, "{context}");
        assert_eq!(self.names, books.names, "{context}");
        assert_eq!(self.stated, books.stated, "{context}");
        assert_eq!(self.purchases, books.purchases, "{context}");
        assert_eq!(self.claims, books.claims, "{context}");
        let grants: HashMap<GrantId, Grant> =
            world.grants().map(|grant| (grant.terms.grant_id, grant.clone())).collect();
        assert_eq!(self.grants, grants, "{context}");
        let mut places = places(&books.purchases);
        places.retain(|id, _| grants.contains_key(id));
        let mut kept = self.places.clone();
        kept.retain(|id, _| grants[id].replaced_by.is_none());
        assert_eq!(kept, places, "{context}");
        let written = books.accounts.values().filter(|account| account.settled_to.is_some());
        for account in written {
            let bare = Account { grants: HashMap::new(), ..account.clone() };
            assert_eq!(self.accounts.get(&account.customer_id), Some(&bare), "{context}");
        }
    }
}

/// The first in the order of use that together hold `amount`: no use of that looks behind them.
fn first_that_hold(amount: Credits, mut grants: Vec<&Grant>) -> Vec<&Grant> {
    grants.sort_by(|one, other| one.order_of_use(other));
    let mut held = Credits::ZERO;
    grants.retain(|grant| {
        let wanted = held < amount;
        held = held.plus(grant.remaining);
        wanted
    });
    grants
}

fn places(purchases: &HashMap<PurchaseId, Purchase>) -> HashMap<GrantId, PurchaseId> {
    let of = |purchase: &Purchase| (purchase.id, gifts(&purchase.decided).map(|gift| gift.terms.grant_id).collect());
    let pairs = purchases.values().map(of);
    pairs.flat_map(|(id, grants): (_, Vec<_>)| grants.into_iter().map(move |grant| (grant, id))).collect()
}

fn put<K: Clone + Eq + std::hash::Hash, V: Clone>(map: &mut HashMap<K, V>, key: &K, value: Option<&V>) {
    match value {
        Some(value) => drop(map.insert(key.clone(), value.clone())),
        None => drop(map.remove(key)),
    }
}

#[test]
fn batches_that_load_what_they_need_and_keep_what_changed_are_as_one_message_at_a_time() {
    let rules = rules_of_every_form();
    on_every_core(3_000, |seed| {
        let mut random = Random::seeded(seed);
        let (messages, end) = if random.percent(50) {
            let history = history(&mut random);
            (history.messages, history.end)
        } else {
            let set = set(&mut random, 10, 8);
            (set.messages, set.end)
        };
        let mut messages = [messages.clone(), messages].concat();
        random.shuffle(&mut messages);
        let clock =
            |left: usize, random: &mut Random| end - TimeDelta::hours(i64::try_from(random.below(5) + left).unwrap());
        batches(rules, &messages, clock, &mut random, &format!("seed {seed}"));
    });
}

#[test]
fn lives_in_batches_that_load_only_what_use_can_reach_are_as_one_message_at_a_time() {
    on_every_core(3_000, |seed| {
        let mut random = Random::seeded(seed);
        let (clocks, messages): (Vec<Timestamp>, Vec<Message>) = life(&mut random).into_iter().unzip();
        let clock = |left: usize, _: &mut Random| clocks[clocks.len() - 1 - left];
        batches(rules_of_every_form(), &messages, clock, &mut random, &format!("seed {seed}"));
    });
}

/// `clock` says when a batch is taken behind which so many messages are left.
fn batches(
    rules: &'static Rules,
    messages: &[Message],
    clock: impl Fn(usize, &mut Random) -> Timestamp,
    random: &mut Random,
    context: &str,
) {
    let (mut shelf, mut world) = (Shelf::default(), World::under(rules));
    let (mut left, mut next, mut entries) = (messages, 1, Vec::new());
    while !left.is_empty() {
        let (batch, rest) = left.split_at(random.from(1..=left.len().min(5)));
        left = rest;
        let clock = clock(rest.len(), random);
        let mut books = shelf.load(rules, clock, batch);
        world.books.clock = clock;
        let mut alone: Vec<Record> = Vec::new();
        for message in batch {
            let record = books.take(InboxId(Uuid::from_u128(next)), message.clone());
            next += 1;
            let before = entries.len() - shelf.entries.len();
            let (mut told, changes) = world.heard(message.clone());
            told.entries.iter_mut().for_each(|at| *at += before);
            entries.extend(changes.entries);
            assert_eq!(record, told, "{context}");
            alone.extend(changes.earlier.into_iter().map(|mut told| {
                told.entries.iter_mut().for_each(|at| *at += before);
                told
            }));
        }
        assert_eq!(books.changes.earlier, alone, "{context}");
        shelf.save(books, batch);
        assert_eq!(shelf.entries, entries, "{context}");
        shelf.check(&world, context);
    }
}
