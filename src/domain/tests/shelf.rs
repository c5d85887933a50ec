//! A stand-in for the database that loads only what messages need and keeps only what was said to have changed.
//!
//! Batches through it must leave the same world as one set of books that never forgets: so nothing that matters is
//! missing from `needs` and `Changes`, and one batch is as many.

use std::collections::HashMap;

use uuid::Uuid;

use super::random::{Random, on_every_core};
use super::sets::set;
use super::shop::{history, rules_of_every_form};
use super::world::World;
use crate::domain::account::{Account, Grant};
use crate::domain::books::{Books, Needs, Purchase, Record, TakenKey, needs};
use crate::domain::ids::{CustomerId, GrantId, Identity, InboxId, PurchaseId, RuleName};
use crate::domain::ledger::Entry;
use crate::domain::message::{Message, MessageKey, Name, Timestamp};
use crate::domain::purchase::gifts;
use crate::domain::rules::Rules;

#[derive(Default)]
struct Shelf {
    keys: HashMap<MessageKey, TakenKey>,
    names: HashMap<Name, PurchaseId>,
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
            books.keys.extend(self.keys.get_key_value(&message.key).map(|(key, taken)| (key.clone(), *taken)));
        }
        for name in &all.names {
            let Some(id) = self.names.get(name) else { continue };
            books.names.insert(name.clone(), *id);
            books.purchases.insert(*id, self.purchases[id].clone());
        }
        for purchase in books.purchases.values() {
            all.grants.extend(gifts(&purchase.decided).map(|gift| gift.terms.grant_id));
            all.customers.extend(gifts(&purchase.decided).map(|gift| gift.terms.customer_id.clone()));
            all.customers.extend(purchase.kept.iter().filter_map(|kept| kept.statement.customer().cloned()));
        }
        for customer in all.customers {
            let Some(account) = self.accounts.get(&customer) else { continue };
            let mut account = account.clone();
            let is_due = |grant: &Grant| grant.due_at(account.settled_to.unwrap()).is_some_and(|due| due <= clock);
            let mine = self.grants.values().filter(|grant| grant.terms.customer_id == customer);
            let needed = mine.filter(|grant| all.grants.contains(&grant.terms.grant_id) || is_due(grant));
            account.grants = needed.map(|grant| (grant.terms.grant_id, grant.clone())).collect();
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
        assert_eq!(self.purchases, books.purchases, "{context}");
        assert_eq!(self.claims, books.claims, "{context}");
        let grants: HashMap<GrantId, Grant> =
            world.grants().map(|grant| (grant.terms.grant_id, grant.clone())).collect();
        assert_eq!(self.grants, grants, "{context}");
        let mut places = places(&books.purchases);
        places.retain(|id, _| grants.contains_key(id));
        assert_eq!(self.places, places, "{context}");
        let written = books.accounts.values().filter(|account| account.settled_to.is_some());
        for account in written {
            let bare = Account { grants: HashMap::new(), ..account.clone() };
            assert_eq!(self.accounts.get(&account.customer_id), Some(&bare), "{context}");
        }
    }
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
        batches(rules, &messages, end, &mut random, &format!("seed {seed}"));
    });
}

fn batches(rules: &'static Rules, messages: &[Message], end: Timestamp, random: &mut Random, context: &str) {
    let (mut shelf, mut world) = (Shelf::default(), World::under(rules));
    let (mut left, mut next, mut entries) = (messages, 1, Vec::new());
    while !left.is_empty() {
        let (batch, rest) = left.split_at(random.from(1..=left.len().min(5)));
        left = rest;
        let clock = end - chrono::TimeDelta::hours(i64::try_from(random.below(5) + rest.len()).unwrap());
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
