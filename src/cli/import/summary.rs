//! What a file of grants comes to.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use num_bigint::BigInt;

use crate::cli::output::{Format, Listing};
use crate::cli::show::{fields, section};
use crate::domain::adjustment::{Action, Adjustment};
use crate::domain::amounts::{Credits, Currency, MAX_SCALE, plain, to_units, with_places};
use crate::domain::ids::{CreditType, CustomerId};
use crate::domain::ledger::{Entry, EntryType};

/// Sums over the lines of a file. Integers, since no decimal is wide enough for any file.
#[derive(Default)]
pub(super) struct Summary {
    /// Lines that are grants.
    pub(super) grants: u64,
    /// Those that were imported before.
    pub(super) there: u64,
    /// The lines whose external id was imported with another content.
    pub(super) differing: BTreeSet<u64>,
    customers: HashSet<CustomerId>,
    types: BTreeMap<CreditType, Sums>,
    costs: BTreeMap<Currency, BigInt>,
}

#[derive(Default)]
struct Sums {
    grants: u64,
    original: BigInt,
    used: BigInt,
    expired: BigInt,
    remaining: BigInt,
}

impl Summary {
    /// Adds a grant, and the entries that come of it.
    pub(super) fn add(&mut self, adjustment: &Adjustment, entries: &[Entry]) {
        let Action::Grant(terms) = &adjustment.action else { return };
        self.grants = self.grants.saturating_add(1);
        self.customers.insert(adjustment.customer_id.clone());
        if let Some(cost) = terms.cost {
            *self.costs.entry(cost.currency()).or_default() += cost.minor();
        }
        let sums = self.types.entry(adjustment.credit_type.clone()).or_default();
        sums.grants = sums.grants.saturating_add(1);
        sums.original += units(terms.amount);
        sums.used += units(terms.used);
        let expired = entries.iter().any(|entry| entry.kind == EntryType::Expire);
        let left = if expired { &mut sums.expired } else { &mut sums.remaining };
        *left += units(terms.amount.less(terms.used));
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let head = fields(&[
            ("grants", Some(self.grants.to_string())),
            ("customers", Some(self.customers.len().to_string())),
            ("there already", Some(self.there.to_string())),
            ("there with another content", (!self.differing.is_empty()).then(|| self.differing.len().to_string())),
        ]);
        let mut types = Listing::new(&["credit_type", "grants", "original", "used", "expired", "remaining"]);
        for (credit_type, sums) in &self.types {
            let amounts = [&sums.original, &sums.used, &sums.expired, &sums.remaining].map(|sum| plain(sum, places()));
            let cells = [credit_type.to_string(), sums.grants.to_string()].into_iter().chain(amounts);
            types.add(cells.map(Some));
        }
        let mut costs = Listing::new(&["currency", "cost"]);
        for (currency, sum) in &self.costs {
            costs.add([currency.to_string(), with_places(sum, currency.places())].map(Some));
        }
        let costs =
            if self.costs.is_empty() { String::new() } else { section("cost", &costs.render(Format::default())) };
        head + &section("credits", &types.render(Format::default())) + &costs
    }
}

fn places() -> u32 {
    u32::from(MAX_SCALE)
}

fn units(credits: Credits) -> BigInt {
    to_units(credits.value(), places())
}
