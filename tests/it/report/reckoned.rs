//! A month's sums, worked out from the ledger's rows alone with code and rules of its own: balances at an instant from
//! what grants hold then, changes entry by entry.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Months, Utc};
use rust_decimal::Decimal;
use sqlx::Row as _;
use uuid::Uuid;

use crate::harness::Place;

/// Credit type, currency (or nothing for credits) and name, to the sum; never zero.
pub(crate) type Sums = BTreeMap<(String, String, String), Decimal>;

/// Every sum of which the year has to have some.
pub(crate) const NAMES: [&str; 15] = [
    "opening",
    "granted_paid",
    "granted_promotional",
    "consumed",
    "expired",
    "revoked",
    "reinstated",
    "regranted_out",
    "regranted_in",
    "closing",
    "regranted_net",
    "scheduled",
    "refund_shortfall",
    "shortfall_withdrawn",
    "refunded_beyond_revocable",
];

/// The type of the entries behind a sum.
pub(crate) fn entry_type(name: &str) -> Option<&'static str> {
    Some(match name {
        "granted_paid" | "granted_promotional" | "regranted_in" => "grant",
        "consumed" => "consume",
        "expired" => "expire",
        "revoked" | "regranted_out" => "revoke",
        "reinstated" => "reinstate",
        _ => return None,
    })
}

struct Entry {
    grant_id: Uuid,
    kind: String,
    delta: Decimal,
    remaining: Decimal,
    shortfall: Decimal,
    by_refund: bool,
    cause: String,
    counts_at: DateTime<Utc>,
}

struct Terms {
    credit_type: String,
    amount: Decimal,
    category: String,
    cost: Option<(Decimal, String)>,
    starts_at: DateTime<Utc>,
    replaces: Option<Uuid>,
    cause: String,
}

/// The ledger, as it was read.
pub(crate) struct Reckoning {
    entries: Vec<Entry>,
    terms: HashMap<Uuid, Terms>,
}

impl Reckoning {
    pub(crate) async fn of(place: &Place) -> Self {
        let rows = sqlx::query("select * from ledger where grant_id is not null order by position");
        let mut reckoning = Self { entries: Vec::new(), terms: HashMap::new() };
        for row in rows.fetch_all(&place.pool).await.unwrap() {
            let (grant_id, cause): (Uuid, String) = (row.get("grant_id"), row.get("cause_id"));
            if let Some(amount) = row.get("amount") {
                let cost: Option<Decimal> = row.get("cost_amount");
                let terms = Terms {
                    credit_type: row.get("credit_type"),
                    amount,
                    category: row.get("category"),
                    cost: cost.map(|cost| (cost, row.get("cost_currency"))),
                    starts_at: row.get("starts_at"),
                    replaces: row.get("replaces"),
                    cause: cause.clone(),
                };
                reckoning.terms.insert(grant_id, terms);
            }
            reckoning.entries.push(Entry {
                grant_id,
                kind: row.get("type"),
                delta: row.get("delta"),
                remaining: row.get("grant_remaining"),
                shortfall: row.get::<Option<Decimal>, _>("shortfall").unwrap_or_default(),
                by_refund: row.get::<String, _>("actor") == "worker:refund",
                cause,
                counts_at: row.get("counts_at"),
            });
        }
        reckoning
    }

    /// All sums of a month such as `2025-03`.
    pub(crate) fn month(&self, month: &str) -> Sums {
        let start: DateTime<Utc> = format!("{month}-01T00:00:00Z").parse().unwrap();
        let end = start + Months::new(1);
        let mut sums = Sums::new();
        self.holdings(start, "opening", None, &mut sums);
        self.holdings(end, "closing", Some("scheduled"), &mut sums);
        let mut spendable: HashMap<Uuid, Decimal> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| entry.counts_at < end) {
            let terms = &self.terms[&entry.grant_id];
            let held = spendable.entry(entry.grant_id).or_default();
            let before = *held;
            *held += entry.delta;
            if entry.counts_at < start {
                continue;
            }
            let name = self.name(entry, terms);
            let mut add = |name: &str, credits: Decimal, money: Option<Decimal>| {
                *sums.entry(key(terms, "", name)).or_default() += credits;
                if let (Some((_, currency)), Some(money)) = (&terms.cost, money) {
                    *sums.entry(key(terms, currency, name)).or_default() += money;
                }
            };
            let money = value(terms, *held).zip(value(terms, before)).map(|(after, before)| after - before);
            add(name, entry.delta, money);
            if name.starts_with("regranted") {
                add("regranted_net", entry.delta, money);
            }
            if entry.by_refund {
                let (name, sign) = if entry.kind == "revoke" {
                    ("refund_shortfall", Decimal::ONE)
                } else {
                    ("shortfall_withdrawn", Decimal::NEGATIVE_ONE)
                };
                let money = value(terms, entry.shortfall).map(|money| money * sign);
                add(name, entry.shortfall * sign, money);
                add("refunded_beyond_revocable", entry.shortfall * sign, money);
            }
        }
        sums.retain(|_, sum| !sum.is_zero());
        sums.into_iter().map(|(key, sum)| (key, sum.normalize())).collect()
    }

    /// What grants hold at an instant: those that have started under one name, the others under another.
    fn holdings(&self, at: DateTime<Utc>, started: &str, scheduled: Option<&str>, sums: &mut Sums) {
        let mut last: HashMap<Uuid, Decimal> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| entry.counts_at < at) {
            last.insert(entry.grant_id, entry.remaining);
        }
        for (grant_id, remaining) in last {
            let terms = &self.terms[&grant_id];
            let Some(name) = (if terms.starts_at < at { Some(started) } else { scheduled }) else { continue };
            *sums.entry(key(terms, "", name)).or_default() += remaining;
            if let (Some((_, currency)), Some(money)) = (&terms.cost, value(terms, remaining)) {
                *sums.entry(key(terms, currency, name)).or_default() += money;
            }
        }
    }

    fn name(&self, entry: &Entry, terms: &Terms) -> &'static str {
        let replaces = |other: &Terms| other.replaces == Some(entry.grant_id) && other.cause == entry.cause;
        match (entry.kind.as_str(), terms.category.as_str()) {
            ("schedule", _) => "scheduling",
            ("grant", _) if terms.replaces.is_some() => "regranted_in",
            ("grant", "paid") => "granted_paid",
            ("grant", _) => "granted_promotional",
            ("consume", _) => "consumed",
            ("expire", _) => "expired",
            ("revoke", _) if self.terms.values().any(replaces) => "regranted_out",
            ("revoke", _) => "revoked",
            _ => "reinstated",
        }
    }
}

fn key(terms: &Terms, unit: &str, name: &str) -> (String, String, String) {
    (terms.credit_type.clone(), unit.to_owned(), name.to_owned())
}

/// The share of a grant's cost that `credits` have, toward zero to the currency's places.
fn value(terms: &Terms, credits: Decimal) -> Option<Decimal> {
    let (cost, currency) = terms.cost.as_ref()?;
    let places = match currency.as_str() {
        "JPY" => 0,
        "KWD" => 3,
        _ => 2,
    };
    let units = |value: Decimal, places: u32| {
        let mut value = value;
        value.rescale(places);
        value.mantissa()
    };
    Some(Decimal::from_i128_with_scale(units(*cost, places) * units(credits, 9) / units(terms.amount, 9), places))
}
