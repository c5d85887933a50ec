//! What the database holds after random messages is what the core says of them in memory.
//!
//! The core's own tests hold it against the law. This one shows that nothing is lost or bent on the way through locks,
//! rows and batches: purchases that merge and come apart, refunds that are released, keys that are taken again.

mod story;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use chrono::Utc;
use credits::config::RulesFile;
use credits::domain::books::{Books, Record};
use credits::domain::ids::InboxId;
use credits::domain::outcome::Outcome;
use credits::domain::rules::Rules;
use credits::wire::{Raw, decode};
use sqlx::Row;
use uuid::Uuid;

use self::story::{Temper, story};
use crate::fixtures::BillingMessage;
use crate::harness::{LIMIT, Random, Setup, TestWorker, until};

const WORLDS: usize = 150;
const STEPS: usize = 25;
const RULES: &str = "tests/it/worlds/rules.toml";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_purchases_come_to_the_same_in_the_database_and_in_the_core() {
    let mut random = Random::new(Random::seed_from("CREDITS_TEST_WORLD_SEED"));
    let rules = RulesFile::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES)).unwrap().rules;
    let mut worker = Setup::default().with_rules(RULES).start().await;
    let tempers = [Temper::Quarrelsome, Temper::Agreeable].into_iter().cycle();
    let stories: Vec<Vec<BillingMessage>> =
        tempers.take(WORLDS).enumerate().map(|(world, temper)| story(&mut random, temper, world, STEPS)).collect();

    // All worlds side by side, one message of each at a time: so each is told in its order.
    for step in 0..STEPS {
        let next: Vec<BillingMessage> = stories.iter().map(|story| story[step].clone()).collect();
        worker.publish_all(&next).await;
        let published = (step + 1) * WORLDS;
        until("this step is handled", LIMIT, async || match worker.handled().await? {
            handled if handled == published => Ok(()),
            handled => Err(format!("{handled} of {published} deliveries are handled")),
        })
        .await;
    }
    worker.wait_until_settled().await;

    let mut wanted = World::default();
    for story in &stories {
        wanted.add(story, &rules);
    }
    let found = worker.world().await;
    compare("outcomes", &found.outcomes, &wanted.outcomes, &stories);
    compare("refused", &found.refused, &wanted.refused, &stories);
    compare("entries", &found.entries, &wanted.entries, &stories);
    compare("grants", &found.grants, &wanted.grants, &stories);
    compare("pools", &found.pools, &wanted.pools, &stories);
    let count = |outcome: &str| wanted.outcomes.values().flatten().filter(|told| *told == outcome).count();
    println!(
        "{} grants, {} entries, {} duplicates, {} waited, {} refused, {} released",
        wanted.grants.len(),
        wanted.entries.len(),
        count("duplicate"),
        count("waiting"),
        wanted.refused.len(),
        count("dead-lettered"),
    );
    assert!(count("dead-lettered") > 0 && count("waiting") > 0, "the stories are too tame");
    worker.assert_events_are_the_ledger().await;
    worker.assert_the_chain_holds().await;
    worker.stop_in_order().await;
}

/// In worlds without contradictions neither order nor batches nor lanes nor processes make a difference: all messages
/// at once on all queues end in the open grants and balances of the core, which takes them one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_purchases_all_at_once_end_in_the_same_open_grants_and_balances() {
    let mut random = Random::new(Random::seed_from("CREDITS_TEST_CROWD_SEED"));
    let rules = RulesFile::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES)).unwrap().rules;
    let mut worker = Setup::default().with_rules(RULES).start().await;
    worker.start_second().await;
    let stories: Vec<Vec<BillingMessage>> =
        (0..WORLDS).map(|world| story(&mut random, Temper::Agreeable, world, STEPS)).collect();
    let mut crowd: Vec<BillingMessage> = stories.iter().flatten().cloned().collect();
    random.shuffle(&mut crowd);
    worker.publish_all(&crowd).await;
    worker.wait_until_settled().await;

    let mut wanted = World::default();
    for story in &stories {
        wanted.add(story, &rules);
    }
    let found = worker.world().await;
    assert!(wanted.refused.is_empty(), "agreeable worlds: {:?}", wanted.refused);
    compare("refused", &found.refused, &wanted.refused, &stories);
    compare("open grants", &found.open_grants(), &wanted.open_grants(), &stories);
    compare("balances", &found.balances(), &wanted.balances(), &stories);
    worker.assert_events_are_the_ledger().await;
    worker.assert_the_books_balance().await;
    worker.assert_the_chain_holds().await;
    worker.stop_in_order().await;
}

/// Everything that can be seen, as text, under keys that begin with what names the world.
#[derive(Default)]
struct World {
    /// By message id: its outcomes, in order.
    outcomes: BTreeMap<String, Vec<String>>,
    /// By message id: the codes of its dead letters.
    refused: BTreeMap<String, Vec<String>>,
    /// By message id and body: the code of the last refusal, which is the dead letter's.
    letters: BTreeMap<(String, Vec<u8>), String>,
    /// By pool and sequence.
    entries: BTreeMap<String, Vec<String>>,
    /// By grant id.
    grants: BTreeMap<String, Vec<String>>,
    /// By customer and credit type.
    pools: BTreeMap<String, Vec<String>>,
}

impl World {
    /// By customer: what is open, whichever fact it was granted for.
    fn open_grants(&self) -> BTreeMap<String, Vec<String>> {
        let mut open: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for said in self.grants.values() {
            let [amount, remaining, _, _, _, customer, rule, _] = said.as_slice() else { panic!("{said:?}") };
            if remaining != "0" {
                open.entry(customer.clone()).or_default().push(format!("{rule}: {remaining} of {amount}"));
            }
        }
        for grants in open.values_mut() {
            grants.sort();
        }
        open
    }

    /// By pool, where there is any.
    fn balances(&self) -> BTreeMap<String, Vec<String>> {
        let balance = |(pool, said): (&String, &Vec<String>)| (pool.clone(), said[..1].to_vec());
        self.pools.iter().map(balance).filter(|(_, said)| said[0] != "0").collect()
    }

    /// What the core makes of a story in memory.
    fn add(&mut self, story: &[BillingMessage], rules: &Rules) {
        let mut books = Books::new(rules, Utc::now());
        let mut senders: HashMap<InboxId, (String, &[u8])> = HashMap::new();
        for message in story {
            let raw = Raw {
                body: message.body(),
                content_type: Some("application/cloudevents+json"),
                message_id: None,
                kind: None,
                app_id: None,
                timestamp: None,
                header: &|_| None,
            };
            let decoded = decode(&raw).unwrap().message;
            let inbox_id = InboxId(Uuid::now_v7());
            senders.insert(inbox_id, (message.id().unwrap().to_owned(), message.body()));
            let told_before = books.changes.earlier.len();
            let record = books.take(inbox_id, decoded);
            let earlier = books.changes.earlier[told_before..].to_vec();
            let id = message.id().unwrap();
            if record.outcome == Outcome::DeadLettered {
                self.refuse(id, message.body(), &record);
            } else {
                self.tell(&senders[&record.inbox_id].0, &record);
            }
            for record in &earlier {
                let (id, body) = &senders[&record.inbox_id];
                self.tell(id, record);
                if record.outcome == Outcome::DeadLettered {
                    self.refuse(id, body, record);
                }
            }
        }
        self.close(&books);
    }

    fn tell(&mut self, id: &str, record: &Record) {
        self.outcomes.entry(id.to_owned()).or_default().push(record.outcome.name().to_owned());
    }

    fn refuse(&mut self, id: &str, body: &[u8], record: &Record) {
        self.letters.insert((id.to_owned(), body.to_owned()), record.code.unwrap().name().to_owned());
        let of_it = self.letters.iter().filter(|((letter, _), _)| letter == id);
        let mut codes: Vec<String> = of_it.map(|(_, code)| code.clone()).collect();
        codes.sort();
        codes.dedup();
        self.refused.insert(id.to_owned(), codes);
    }

    fn close(&mut self, books: &Books<'_>) {
        for entry in &books.changes.entries {
            let pool = format!("{} {} {:04}", entry.customer_id, entry.credit_type, entry.sequence);
            let asked = entry.demand.map(|demand| format!("{}/{}", demand.requested, demand.shortfall));
            let grant =
                entry.grant.map(|grant| format!("{} {} {}", grant.grant_id, grant.remaining, grant.status.name()));
            let said = vec![
                entry.kind.name().to_owned(),
                entry.delta.to_string(),
                entry.end_balance.to_string(),
                asked.unwrap_or_default(),
                grant.unwrap_or_default(),
                entry.actor.as_str().to_owned(),
                entry.reason.as_ref().map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
                entry.cause.id.to_string(),
            ];
            self.entries.insert(pool, said);
        }
        for account in books.accounts.values() {
            for grant in account.grants.values() {
                let numbers = [grant.terms.amount, grant.remaining, grant.asked, grant.taken];
                let mut said: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                said.push(grant.revoked.to_string());
                said.push(grant.terms.customer_id.to_string());
                said.push(grant.terms.rule.as_ref().map(ToString::to_string).unwrap_or_default());
                said.push(grant.surplus.to_string());
                self.grants.insert(grant.terms.grant_id.to_string(), said);
            }
            for (credit_type, pool) in &account.pools {
                let said = vec![pool.balance.to_string(), pool.sequence.to_string()];
                self.pools.insert(format!("{} {credit_type}", account.customer_id), said);
            }
        }
    }
}

impl TestWorker {
    /// The same, from the database.
    async fn world(&self) -> World {
        let outcomes = "select message_id, outcome from outcomes join inbox using (inbox_id) order by outcome_id";
        let refused = "select distinct message_id, code from dead_letters order by 1, 2";
        let entries = "
            select customer_id || ' ' || credit_type || ' ' || to_char(sequence, 'FM0000'), type,
                   trim_scale(delta)::text, trim_scale(end_balance)::text,
                   coalesce(trim_scale(requested) || '/' || trim_scale(shortfall), ''),
                   coalesce(grant_id || ' ' || trim_scale(grant_remaining) || ' ' || grant_status, ''), actor,
                   coalesce(reason, ''), cause_id
            from ledger";
        let grants = "
            select grant_id::text, trim_scale(amount)::text, trim_scale(remaining)::text, trim_scale(asked)::text,
                   trim_scale(taken)::text, trim_scale(revoked)::text, customer_id, coalesce(rule, ''),
                   surplus::text
            from grants";
        let pools = "select customer_id || ' ' || credit_type, trim_scale(balance)::text, sequence::text from pools";
        World {
            outcomes: self.grouped(outcomes).await,
            refused: self.grouped(refused).await,
            entries: self.grouped(entries).await,
            grants: self.grouped(grants).await,
            pools: self.grouped(pools).await,
            ..World::default()
        }
    }

    /// Rows by their first column; the others are appended.
    async fn grouped(&self, query: &'static str) -> BTreeMap<String, Vec<String>> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in self.rows(query).await {
            groups.entry(row.get(0)).or_default().extend((1..row.len()).map(|at| row.get::<String, _>(at)));
        }
        groups
    }
}

/// Fails with the first difference, and the story in which it is.
fn compare(
    what: &str,
    found: &BTreeMap<String, Vec<String>>,
    wanted: &BTreeMap<String, Vec<String>>,
    stories: &[Vec<BillingMessage>],
) {
    let keys = found.keys().chain(wanted.keys());
    let Some(key) = keys.into_iter().find(|key| found.get(*key) != wanted.get(*key)) else { return };
    let told = |story: &&Vec<BillingMessage>| {
        let name = key.split(' ').next().unwrap_or_default().rsplit("_world_").next().unwrap_or_default();
        story[0].id().is_some_and(|id| id.ends_with(&format!("_world_{name}")))
    };
    let story: Vec<String> = stories
        .iter()
        .filter(told)
        .flatten()
        .map(|message| String::from_utf8_lossy(message.body()).into_owned())
        .collect();
    panic!("{what} of {key}:\nfound  {:?}\nwanted {:?}\n{}", found.get(key), wanted.get(key), story.join("\n"));
}
