//! The promise on the whole: random histories, shuffled and repeated, end in what their facts demand.
//!
//! The histories are those of the core's own tests, and what must come of them says the model that those tests hold the
//! core against: written apart from it, from the facts alone, without any notion of order.

// The sources of the core's tests, of which only a part is used here. They speak to each other as `super::…`.
macro_rules! of_the_core {
    ($($name:ident $file:literal)*) => {
        $(#[allow(dead_code, reason = "the core's tests use the rest")]
        #[path = $file]
        mod $name;)*
    };
}
of_the_core! {
    audit "../../../src/domain/tests/audit.rs"
    fixtures "../../../src/domain/tests/fixtures.rs"
    model "../../../src/domain/tests/model.rs"
    random "../../../src/domain/tests/random.rs"
    ratio "../../../src/domain/tests/ratio.rs"
    rulebook "../../../src/domain/tests/rulebook.rs"
    shop "../../../src/domain/tests/shop.rs"
    world "../../../src/domain/tests/world.rs"
}
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use credits::config::RulesFile;
use credits::domain::message::Message;
use credits::domain::rules::Category;
use sqlx::Row;

use self::model::Expected;
use self::random::Random;
use self::shop::{history, rules_of_every_form};
use self::told::told;
use self::world::{Balances, Open};
use crate::fixtures::BillingMessage;
use crate::harness::{Setup, TestWorker};

const HISTORIES: usize = 300;
const RULES: &str = "tests/it/histories/rules.toml";
const SETTLED: Duration = Duration::from_mins(3);

#[test]
fn the_rules_of_the_histories_are_those_of_the_core() {
    let file = RulesFile::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES)).unwrap().rules;
    assert_eq!(file.purchase, rules_of_every_form().purchase);
    assert_eq!(file.signup, rules_of_every_form().signup);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_in_any_order_and_with_any_repetition_end_as_their_facts_demand() {
    let mut random = Random::seeded(crate::harness::Random::seed_from("CREDITS_TEST_HISTORY_SEED"));
    let histories: Vec<Vec<Message>> = (0..HISTORIES).map(|_| history(&mut random).messages).collect();
    let mut worker = Setup::default().with_rules(RULES).with("CREDITS_WORKER_LANES", "3").start().await;
    worker.start_second().await;

    let mut crowd: Vec<BillingMessage> = Vec::new();
    for (number, messages) in histories.iter().enumerate() {
        for message in messages {
            let message = told(message, &suffix(number));
            crowd.extend(std::iter::repeat_n(message, random.from(1..=3)));
        }
    }
    random.shuffle(&mut crowd);
    worker.publish_all(&crowd).await;
    worker.settled_within(SETTLED).await;

    assert!(worker.dead_letters().await.is_empty(), "nothing contradicts");
    let now = Utc::now();
    let mut found = worker.found().await;
    for (number, messages) in histories.iter().enumerate() {
        let all: Vec<&Message> = messages.iter().collect();
        let expected = model::expected(&all, rules_of_every_form(), now).expect("no contradiction");
        let found = found.remove(&suffix(number)).unwrap_or_default();
        let context = || format!("history {number}: {messages:#?}");
        assert_eq!(found.open(&expected), expected.open, "{}", context());
        assert_eq!(found.balances(&expected), expected.balances, "{}", context());
        assert_eq!(found.starts(&expected), expected.starts, "{}", context());
    }
    assert!(found.is_empty(), "customers of no history: {:?}", found.keys());
    println!("{HISTORIES} histories, {} deliveries", crowd.len());
    worker.assert_everything_happened().await;
    worker.assert_events_are_the_ledger().await;
    for process in worker.processes() {
        let batches = process.metric("credits_batch_size_count").await.unwrap();
        assert!(batches > 0.0, "both processes work");
    }
    worker.stop_in_order().await;
    worker.assert_the_books_balance().await;
    worker.assert_the_chain_holds().await;
}

fn suffix(history: usize) -> String {
    format!("-of-{history}")
}

/// What the database holds of the customers of one history.
#[derive(Debug, Default)]
struct Found {
    open: Vec<Open>,
    balances: Balances,
    starts: BTreeMap<(String, String), BTreeSet<DateTime<Utc>>>,
}

impl Found {
    /// Without the grants that order may decide.
    fn open(&self, expected: &Expected) -> Vec<Open> {
        let sure = |open: &&Open| !expected.contested.contains(&(open.customer.clone(), open.credit_type.clone()));
        let mut open: Vec<Open> = self.open.iter().filter(sure).cloned().collect();
        open.sort();
        open
    }

    fn balances(&self, expected: &Expected) -> Balances {
        let mut balances = self.balances.clone();
        balances.retain(|pool, _| !expected.contested.contains(pool));
        balances
    }

    /// Of the grants that one message alone could have caused.
    fn starts(&self, expected: &Expected) -> BTreeMap<(String, String), BTreeSet<DateTime<Utc>>> {
        let mut starts = self.starts.clone();
        starts.retain(|of, _| expected.starts.contains_key(of));
        starts
    }
}

impl TestWorker {
    /// By the history's suffix, under the customers' names without it.
    async fn found(&self) -> BTreeMap<String, Found> {
        let mut all: BTreeMap<String, Found> = BTreeMap::new();
        let grants = "
            select customer_id, credit_type, price_id, rule, amount, remaining, category, priority,
                   extract(epoch from expires_at - effective_at)::bigint, effective_at, surplus,
                   expires_at <= now() is not true as unexpired
            from grants";
        for row in self.rows(grants).await {
            let (found, customer) = of(&mut all, row.get(0));
            let (price, rule): (Option<String>, String) = (row.get(2), row.get(3));
            if !row.get::<bool, _>(10) {
                let key = (customer.clone(), price.clone().unwrap_or_else(|| rule.clone()));
                found.starts.entry(key).or_default().insert(row.get(9));
            }
            let open = Open {
                customer,
                credit_type: row.get(1),
                price,
                rule,
                amount: row.get::<rust_decimal::Decimal, _>(4).normalize(),
                remaining: row.get::<rust_decimal::Decimal, _>(5).normalize(),
                category: if row.get::<&str, _>(6) == "paid" { Category::Paid } else { Category::Promotional },
                priority: u8::try_from(row.get::<i16, _>(7)).unwrap(),
                seconds: row.get(8),
            };
            if !open.remaining.is_zero() && row.get(11) {
                found.open.push(open);
            }
        }
        for row in self.rows("select customer_id, credit_type, balance from pools where balance <> 0").await {
            let (found, customer) = of(&mut all, row.get(0));
            found.balances.insert((customer, row.get(1)), row.get::<rust_decimal::Decimal, _>(2).normalize());
        }
        all
    }

    /// The histories would be too tame without any of these.
    async fn assert_everything_happened(&self) {
        let happened = [
            ("messages that waited", "select count(*) from outcomes where outcome = 'waiting'"),
            ("repetitions", "select count(*) from outcomes where outcome = 'duplicate'"),
            ("grants that a link showed to be surplus", "select count(*) from grants where surplus"),
            ("grants taken back in part", "select count(*) from grants where taken > 0 and taken < amount"),
            ("grants given again", "select count(*) from ledger where type = 'reinstate'"),
            ("grants of invoices", "select count(*) from grants where fact_kind = 'invoice'"),
            ("signups", "select count(*) from grants where purchase_id is null"),
        ];
        for (what, query) in happened {
            let count = self.number(query).await.unwrap();
            println!("{count} {what}");
            assert!(count > 0, "no {what}");
        }
    }
}

fn of<'f>(all: &'f mut BTreeMap<String, Found>, customer: &str) -> (&'f mut Found, String) {
    let (name, _) = customer.rsplit_once("-of-").unwrap_or_else(|| panic!("{customer} is of no history"));
    (all.entry(customer[name.len()..].to_owned()).or_default(), name.to_owned())
}
