//! What has to hold after every run, whatever happened to broker, database and worker meanwhile.
//!
//! It knows what was published and what it comes to, and reckons nothing the way the worker does: sums are made in SQL,
//! totals come from the generator, and the chain is verified by the verb.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::Row;

use super::events::Events;
use super::wait::until;
use super::worker::TestWorker;

/// What everything published so far comes to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// Per customer, in `credits`: amount and remaining of each grant.
    pub(crate) grants: BTreeMap<String, Vec<(u64, u64)>>,
    /// Refused messages: bytes and reason code.
    pub(crate) poison: BTreeMap<Vec<u8>, &'static str>,
}

/// An entry as an event tells it.
const ENTRIES: &str = "
    select concat_ws(' ', position, entry_id, customer_id, credit_type, sequence, type, trim_scale(delta),
                     trim_scale(end_balance), coalesce(grant_id::text, ''), cause_source, cause_id, actor)
    from ledger order by position";

const BROKEN: [(&str, &str); 7] = [
    (
        "a pool's balance is the sum of its deltas",
        "select customer_id from pools join (
             select customer_id, credit_type, sum(delta) as sum, max(sequence) as last from ledger group by 1, 2
         ) as entries using (customer_id, credit_type)
         where balance <> sum or sequence <> last",
    ),
    (
        "a pool's balance is what remains of its active grants",
        "select customer_id from pools left join (
             select customer_id, credit_type, sum(remaining) as left_over from grants join accounts using (customer_id)
             where effective_at <= settled_to and (expires_at is null or expires_at > settled_to) group by 1, 2
         ) as held using (customer_id, credit_type)
         where balance <> coalesce(left_over, 0)",
    ),
    ("no balance is negative", "select customer_id from ledger where end_balance < 0"),
    (
        "a grant has one first entry",
        "select grant_id::text from ledger where amount is not null group by grant_id having count(*) <> 1
         union all select grant_id::text from grants where grant_id not in (select grant_id from ledger)",
    ),
    (
        "positions have no gaps and end at the head",
        "select count(*)::text from ledger
         having count(*) <> (select position from ledger_head) or coalesce(max(position), 0) <> count(*)",
    ),
    (
        "sequences have no gaps",
        "select customer_id from ledger group by customer_id, credit_type having max(sequence) <> count(*)",
    ),
    ("a message is kept once", "select message_id from inbox group by source, message_id having count(*) > 1"),
];

impl TestWorker {
    /// Holds everything that the worker promises against `expected`. Ends the processes in order, as one of the checks.
    pub(crate) async fn assert_all_promises(&mut self, expected: &Expected) {
        self.wait_until_settled().await;
        self.assert_events_are_the_ledger().await;
        self.stop_with_empty_queues().await;
        self.assert_no_message_is_lost(expected).await;
        self.assert_totals(expected).await;
        self.assert_the_books_balance().await;
        self.assert_the_chain_holds().await;
        self.assert_no_session_is_left_in_a_transaction().await;
    }

    /// De-duplicated by id the events are the ledger's rows; in sequence they are every change once and in order.
    pub(crate) async fn assert_events_are_the_ledger(&self) {
        let events = self.collect_events().await;
        let rows = self.texts(ENTRIES).await;
        let distinct = events.distinct();
        let told: Vec<String> = distinct.values().map(|event| told(event)).collect();
        let differs = rows.iter().zip(&told).find(|(row, told)| row != told);
        assert!(differs.is_none(), "an event is not its entry (left: the row): {differs:#?}");
        assert_eq!(told.len(), rows.len(), "events and entries");
        for event in distinct.values() {
            assert_eq!(event.routing_key, format!("ledger-changed.{}", event.data("type")));
        }
        self.assert_each_change_once(&events).await;
    }

    async fn assert_each_change_once(&self, events: &Events) {
        let rows = self.rows("select customer_id, credit_type, entry_id::text from ledger order by position").await;
        let mut changes: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for row in rows {
            changes.entry((row.get(0), row.get(1))).or_default().push(row.get(2));
        }
        let taken = events.taken_in_sequence();
        let differs = changes.iter().find(|(pool, entries)| taken.get(*pool) != Some(entries));
        assert!(differs.is_none(), "a consumer that takes sequence = last + 1 lacks some of {differs:?}");
    }

    async fn assert_no_message_is_lost(&self, expected: &Expected) {
        let letters = self.dead_letters().await;
        assert_eq!(letters.len(), expected.poison.len(), "dead letters and poison");
        for letter in &letters {
            let code = expected.poison.get(&letter.body).copied();
            assert_eq!(
                Some(letter.code.as_str()),
                code,
                "a good message was refused, or for a wrong reason: {letter:?}"
            );
        }
        let refused: BTreeSet<&String> = letters.iter().filter_map(|letter| letter.message_id.as_ref()).collect();
        let kept: BTreeSet<String> = self.texts("select message_id from inbox").await.into_iter().collect();
        let published = self.broker.published().bodies;
        let good: BTreeSet<String> = published.into_keys().filter(|id| !refused.contains(id)).collect();
        let lost: Vec<_> = good.difference(&kept).collect();
        let strange: Vec<_> = kept.difference(&good).collect();
        assert!(lost.is_empty() && strange.is_empty(), "lost: {lost:?}; kept but never published: {strange:?}");
        let waiting = self.number("select count(*) from purchases where waiting_since is not null").await.unwrap();
        assert_eq!(waiting, 0, "purchases with a message that waits");
    }

    async fn assert_totals(&self, expected: &Expected) {
        let rows = self
            .rows(
                "select customer_id, trim_scale(amount)::text, trim_scale(remaining)::text from grants
                 where not surplus order by 1, amount, remaining",
            )
            .await;
        let mut found: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        for row in rows {
            let whole = |at: usize| row.get::<String, _>(at).parse::<u64>().unwrap();
            found.entry(row.get(0)).or_default().push((whole(1), whole(2)));
        }
        let mut wanted = expected.grants.clone();
        wanted.retain(|_, grants| !grants.is_empty());
        for grants in wanted.values_mut() {
            grants.sort_unstable();
        }
        let customers: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
        let differs = customers.into_iter().find(|customer| found.get(*customer) != wanted.get(*customer));
        if let Some(customer) = differs {
            let (found, wanted) = (found.get(customer), wanted.get(customer));
            panic!("the grants of {customer} (amount, remaining):\nfound  {found:?}\nwanted {wanted:?}");
        }
        for (customer, grants) in &wanted {
            let total: u64 = grants.iter().map(|(_, remaining)| remaining).sum();
            let balance = self.balance(customer, "credits").await;
            assert_eq!(balance, Some(total.to_string()), "the balance of {customer}");
        }
    }

    /// The invariants between tables, each found by a query that ought to find nothing.
    pub(crate) async fn assert_the_books_balance(&self) {
        for (claim, query) in BROKEN {
            let broken = self.texts(query).await;
            assert!(broken.is_empty(), "{claim}, but not so: {broken:?}");
        }
    }

    /// `credits ledger verify` passes.
    pub(crate) async fn assert_the_chain_holds(&self) {
        let verified = self.place.credits(&["ledger", "verify"]).await;
        let said = String::from_utf8_lossy(&verified.stdout) + String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success(), "credits ledger verify: {}: {said}", verified.status);
    }

    /// No session is idle inside a transaction: none of a killed process either.
    pub(crate) async fn assert_no_session_is_left_in_a_transaction(&self) {
        until("no session is idle in a transaction", Duration::from_secs(40), async || {
            let query = "select count(*) from pg_stat_activity
                         where datname = current_database() and state like 'idle in transaction%'";
            match self.number(query).await? {
                0 => Ok(()),
                sessions => Err(format!("{sessions} sessions are")),
            }
        })
        .await;
    }
}

fn told(event: &super::events::Event) -> String {
    let grant = event.json["data"]["grant"]["grant_id"].as_str().unwrap_or_default();
    let cause = &event.json["data"]["cause"];
    let fields = ["position", "", "customer_id", "credit_type", "sequence", "type", "delta", "end_balance"];
    let mut words: Vec<&str> = fields
        .iter()
        .map(|field| if field.is_empty() { event.message_id.as_str() } else { event.data(field) })
        .collect();
    words.extend([grant, cause["source"].as_str().unwrap(), cause["id"].as_str().unwrap(), event.data("actor")]);
    words.join(" ")
}
