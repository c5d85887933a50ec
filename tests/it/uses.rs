//! Uses and adjustments on two processes at once: what each takes is for order to say, but nothing is taken twice,
//! nothing is forgotten, and what was given is what was used, taken back, or is still there.

use std::collections::BTreeMap;
use std::time::Duration;

use credits::domain::ids::GrantId;
use rust_decimal::Decimal;
use serde_json::json;
use sqlx::Row;

use crate::fixtures::{BillingMessage, message, partial_refund_of, payment_succeeded};
use crate::harness::{Random, TestWorker};

const CUSTOMERS: usize = 40;
const USES: usize = 25;
const SETTLED: Duration = Duration::from_mins(2);

/// What messages ask for, by what the ledger's entries say of them.
#[derive(Default)]
struct Asked {
    /// By the words of the entries: `usage u-1-2`, or a revoke's own reason.
    by_reason: BTreeMap<String, u64>,
    /// Given and used, by customer.
    given: BTreeMap<String, u64>,
    used: BTreeMap<String, u64>,
}

struct Writer {
    random: Random,
    asked: Asked,
    gifts: Vec<BillingMessage>,
    rest: Vec<BillingMessage>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_processes_use_revoke_and_regrant_adds_up_and_is_applied_once() {
    let random = Random::new(Random::seed_from("CREDITS_TEST_USES_SEED"));
    let mut writer = Writer { random, asked: Asked::default(), gifts: Vec::new(), rest: Vec::new() };
    for number in 0..CUSTOMERS {
        writer.customer(number);
    }
    let Writer { mut random, asked, mut gifts, mut rest } = writer;
    let mut worker = TestWorker::start().await;
    worker.start_second().await;
    for wave in [&mut gifts, &mut rest] {
        random.shuffle(wave);
        worker.publish_all(wave).await;
        worker.settled_within(SETTLED).await;
    }
    println!("{} gifts, {} uses, revokes, regrants and refunds", gifts.len(), rest.len());

    let letters = worker.dead_letters().await;
    assert!(letters.is_empty(), "nothing contradicts: {letters:?}");
    worker.assert_asked_once(&asked).await;
    worker.assert_nothing_is_lost(&asked).await;
    worker.assert_events_are_the_ledger().await;
    for process in worker.processes() {
        let batches = process.metric("credits_batch_size_count").await.unwrap();
        assert!(batches > 0.0, "both processes work");
    }
    worker.stop_in_order().await;
    worker.assert_the_books_balance().await;
    worker.assert_the_chain_holds().await;
}

impl Writer {
    /// Gifts and purchases of one customer, and what is used of them. Every second one is poor: uses ask for more than
    /// there is, and nobody takes anything back.
    fn customer(&mut self, number: usize) {
        let (customer, poor) = (format!("cus_{number}"), number % 2 == 1);
        for gift in 0..4 {
            let amount = 100 + self.random.below(300) as u64;
            self.give(&customer, &format!("gift-{number}-{gift}"), amount, [0, 50, 50, 90][gift]);
        }
        let payment = payment_succeeded().by(&customer);
        self.gifts.push(payment.clone());
        *self.asked.given.entry(customer.clone()).or_default() += 1000;
        if !poor {
            let reserve = format!("reserve-{number}");
            self.give(&customer, &reserve, 100_000, 100);
            self.rest.push(partial_refund_of(&payment, "24.50"));
            let grant_id = GrantId::derive(&["adjustment", &reserve]).to_string();
            let regrant = json!({"action": "regrant", "grant_id": grant_id, "priority": 99, "expires_after": "365d"});
            self.adjust(&customer, &format!("anew-{number}"), "closer", &regrant);
            self.take_back(&customer, &format!("back-{number}-0"), &grant_id, 500);
            let gift = GrantId::derive(&["adjustment", &format!("gift-{number}-3")]).to_string();
            self.take_back(&customer, &format!("back-{number}-1"), &gift, 70);
        }
        for at in 0..USES {
            let amount = 1 + self.random.below(if poor { 400 } else { 150 }) as u64;
            self.uses(&customer, &format!("u-{number}-{at}"), amount);
        }
    }

    fn give(&mut self, customer: &str, id: &str, amount: u64, priority: u8) {
        let data =
            json!({"action": "grant", "amount": amount.to_string(), "category": "promotional", "priority": priority});
        let gift = adjustment(customer, id, "gift", &data);
        self.gifts.push(gift);
        *self.asked.given.entry(customer.to_owned()).or_default() += amount;
    }

    fn take_back(&mut self, customer: &str, id: &str, grant_id: &str, amount: u64) {
        let data = json!({"action": "revoke", "grant_id": grant_id, "amount": amount.to_string()});
        self.adjust(customer, id, id, &data);
        self.asked.by_reason.insert(id.to_owned(), amount);
    }

    fn adjust(&mut self, customer: &str, id: &str, reason: &str, data: &serde_json::Value) {
        self.say(&adjustment(customer, id, reason, data));
    }

    fn uses(&mut self, customer: &str, id: &str, amount: u64) {
        let data = json!({
            "usage_id": id, "customer_id": customer, "credit_type": "credits", "amount": amount.to_string(),
            "occurred_at": "2026-01-12T09:30:00Z",
        });
        self.say(&message("usage-recorded", &format!("evt_{id}"), &data));
        self.asked.by_reason.insert(format!("usage {id}"), amount);
        *self.asked.used.entry(customer.to_owned()).or_default() += amount;
    }

    /// Once, twice, or twice and again under another id.
    fn say(&mut self, message: &BillingMessage) {
        for _ in 0..=self.random.below(2) {
            self.rest.push(message.clone());
        }
        if self.random.below(4) == 0 {
            let id = format!("{}-again", message.id().unwrap());
            self.rest.push(message.clone().under_id(&id));
        }
    }
}

fn adjustment(customer: &str, id: &str, reason: &str, data: &serde_json::Value) -> BillingMessage {
    let mut whole = json!({
        "adjustment_id": id, "customer_id": customer, "credit_type": "credits", "actor": "ada", "reason": reason,
    });
    whole.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    message("credit-adjustment", &format!("evt_{id}"), &whole)
}

impl TestWorker {
    /// What each use and revoke asked for stands in the ledger once, whoever said it how often.
    async fn assert_asked_once(&self, asked: &Asked) {
        let rows = self
            .rows(
                "select reason, sum(requested), -sum(delta) - sum(requested - shortfall) from ledger
                 where type = 'consume' or (type = 'revoke' and actor = 'ada' and reason <> 'regranted')
                 group by reason",
            )
            .await;
        let mut found = BTreeMap::new();
        for row in rows {
            let whole: Decimal = row.get(1);
            found.insert(row.get::<String, _>(0), u64::try_from(whole).unwrap());
            assert!(
                row.get::<Decimal, _>(2).is_zero(),
                "what was asked for was taken or short: {:?}",
                row.get::<String, _>(0)
            );
        }
        assert_eq!(found, asked.by_reason);
        let regranted = "select count(*) from ledger where reason = 'regranted'";
        assert_eq!(self.number(regranted).await, Ok(i64::try_from(CUSTOMERS / 2).unwrap()), "each reserve once");
    }

    /// Given = used + taken back + still there; and the poor used all that they had.
    async fn assert_nothing_is_lost(&self, asked: &Asked) {
        let rows = self
            .rows(
                "select customer_id, balance,
                        coalesce(sum(-delta) filter (where type = 'consume'), 0),
                        coalesce(sum(shortfall) filter (where type = 'consume'), 0),
                        coalesce(sum(-delta) filter (where type = 'revoke' and reason <> 'regranted'), 0)
                 from pools join ledger using (customer_id, credit_type) group by 1, 2",
            )
            .await;
        assert_eq!(rows.len(), CUSTOMERS);
        for row in rows {
            let customer: String = row.get(0);
            let whole = |at: usize| u64::try_from(row.get::<Decimal, _>(at)).unwrap();
            let (balance, used, short, back) = (whole(1), whole(2), whole(3), whole(4));
            let (given, wanted) = (asked.given[&customer], asked.used[&customer]);
            assert_eq!(given, used + back + balance, "{customer}");
            assert_eq!(wanted, used + short, "{customer}");
            // Not by what was taken back: uses and a regrant that come first may leave nothing to take.
            let poor = customer.trim_start_matches("cus_").parse::<usize>().unwrap() % 2 == 1;
            if poor {
                assert_eq!(back, 0, "nobody takes anything back from {customer}");
                assert_eq!(used, given.min(wanted), "{customer} used all that was there");
                assert!(short > 0, "{customer} is poor");
            } else {
                assert_eq!(short, 0, "{customer} has a reserve");
            }
        }
    }
}
