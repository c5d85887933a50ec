//! What an adjustment does, or did: credits, cost, dates, and the balance before and after.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::message::Stated;
use crate::cli::ExitError;
use crate::cli::case::decoded;
use crate::cli::output::{Format, Listing, pretty};
use crate::cli::show::{compact, fields, section, time};
use crate::domain::adjustment::{Action, Adjustment};
use crate::domain::amounts::{Credits, Currency, Money};
use crate::domain::ids::GrantId;
use crate::domain::ledger::{LedgerEntry, Terms};
use crate::domain::message::{Content, MessageKey};
use crate::handler::direct::Taken;
use crate::store::Session;

/// What came of an adjustment, or would come of it.
pub(super) struct Effect {
    key: MessageKey,
    adjustment: Adjustment,
    entries: Vec<LedgerEntry>,
    terms: HashMap<GrantId, Arc<Terms>>,
    standing: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Written,
    TriedOut,
}

impl Effect {
    /// What would come of a message.
    pub(super) async fn tried_out(session: &mut Session, stated: &Stated, tried: Taken) -> Result<Self, ExitError> {
        let own: Vec<usize> = tried.records.iter().flat_map(|record| record.entries.iter().copied()).collect();
        let entries = tried.entries.into_iter().enumerate().filter(|(at, _)| own.contains(at));
        let entries: Vec<LedgerEntry> = entries.map(|(_, entry)| entry).collect();
        let mut terms = terms_of(session, &entries).await?;
        terms.extend(entries.iter().filter_map(|line| line.entry.terms.as_ref()).map(|t| (t.grant_id, Arc::clone(t))));
        let (key, adjustment) = (stated.key.clone(), stated.adjustment.clone());
        Ok(Self { key, adjustment, entries, terms, standing: Standing::TriedOut })
    }

    /// What came of the message that holds a key, as the ledger has it; `None` if none holds it.
    pub(super) async fn written(session: &mut Session, key: &MessageKey) -> Result<Option<Self>, ExitError> {
        let trace = session.snapshot().await?.explain(&key.id, Some(&key.source)).await?;
        let Some(kept) = trace.kept.into_iter().find(|kept| kept.fingerprint.is_some()) else { return Ok(None) };
        let Content::Adjustment(adjustment) = decoded(&kept)?.content else { return Ok(None) };
        let terms = terms_of(session, &kept.entries).await?;
        Ok(Some(Self { key: kept.key, adjustment, entries: kept.entries, terms, standing: Standing::Written }))
    }

    /// As text that ends with a line break.
    pub(super) fn render(&self, format: Format) -> String {
        if format.json { pretty(&self.json()) } else { self.text() }
    }

    fn text(&self) -> String {
        let made = self.made();
        let (before, after) = self.balances();
        let short = self.shortfall();
        let head = fields(&[
            ("action", Some(self.action().to_owned())),
            ("customer", Some(self.adjustment.customer_id.to_string())),
            ("credit type", Some(self.adjustment.credit_type.to_string())),
            ("credits", Some(self.moved().to_string())),
            ("not there any more", (!short.is_zero()).then(|| short.to_string())),
            ("total cost", Some(self.cost_words())),
            ("grant", made.map(|terms| terms.grant_id.to_string())),
            ("closes grant", made.and_then(|terms| terms.replaces).map(|grant| grant.to_string())),
            ("category", made.map(|terms| terms.category.name().to_owned())),
            ("priority", made.map(|terms| terms.priority.value().to_string())),
            ("starts", made.map(|terms| time(terms.effective_at))),
            ("ends", made.map(|terms| terms.expires_at.map_or_else(|| "never".to_owned(), time))),
            ("payment method", self.adjustment.payment_method.clone()),
            ("actor", Some(self.adjustment.actor.to_string())),
            ("reason", Some(self.adjustment.reason.as_str().to_owned())),
            ("idempotency key", (self.standing == Standing::Written).then(|| self.key.id.to_string())),
            ("previous balance", before),
            ("new balance", after),
        ]);
        head + &section("ledger entries", &self.listing().render(Format::default()))
    }

    fn json(&self) -> Value {
        let (before, after) = self.balances();
        let costs = self.costs();
        compact(json!({
            "action": self.action(),
            "customer_id": self.adjustment.customer_id.as_str(),
            "credit_type": self.adjustment.credit_type.as_str(),
            "credits": self.moved().to_string(),
            "shortfall": self.shortfall().to_string(),
            "cost": costs.iter().map(|cost| json!({ "total": cost.to_string(), "currency": cost.currency().code() }))
                .collect::<Vec<_>>(),
            "grant": self.made().map(grant_json),
            "payment_method": self.adjustment.payment_method,
            "actor": self.adjustment.actor.as_str(),
            "reason": self.adjustment.reason.as_str(),
            "idempotency_key": self.key.id.as_str(),
            "balance_before": before,
            "balance_after": after,
            "entries": self.listing().json(),
        }))
    }

    fn action(&self) -> &'static str {
        match self.adjustment.action {
            Action::Grant(_) => "grant",
            Action::Revoke { .. } | Action::RevokeAll => "revoke",
            Action::Regrant { .. } => "regrant",
        }
    }

    /// The terms of the grant that it makes.
    fn made(&self) -> Option<&Terms> {
        self.terms.get(&self.adjustment.made()).map(Arc::as_ref)
    }

    /// What is granted, or else what is taken back.
    fn moved(&self) -> Credits {
        let taken = |line: &LedgerEntry| line.entry.demand.map(|demand| demand.requested.less(demand.shortfall));
        let all = || self.entries.iter().filter_map(taken).fold(Credits::ZERO, Credits::plus);
        self.made().map_or_else(all, |terms| terms.amount)
    }

    fn shortfall(&self) -> Credits {
        let short = self.entries.iter().filter_map(|line| line.entry.demand).map(|demand| demand.shortfall);
        short.fold(Credits::ZERO, Credits::plus)
    }

    /// What the credits cost: those of a new grant in total, else what is taken back at cost basis, by currency.
    fn costs(&self) -> Vec<Money> {
        if let Some(made) = self.made() {
            return made.cost.into_iter().collect();
        }
        let mut sums: BTreeMap<Currency, Decimal> = BTreeMap::new();
        for part in self.entries.iter().filter_map(|line| self.worth(line)) {
            let sum = sums.entry(part.currency()).or_default();
            *sum = sum.saturating_add(part.amount());
        }
        sums.into_iter().filter_map(|(currency, sum)| Money::new(sum, currency).ok()).collect()
    }

    /// What a revoke takes back, at cost basis: the difference of what remains is worth before and after it.
    fn worth(&self, line: &LedgerEntry) -> Option<Money> {
        let (after, demand) = (line.entry.grant?, line.entry.demand?);
        let terms = self.terms.get(&after.grant_id)?;
        let before = after.remaining.plus(demand.requested.less(demand.shortfall));
        let worth = |credits: Credits| terms.cost.map(|cost| cost.share(credits, terms.amount));
        let (was, is) = (worth(before)?, worth(after.remaining)?);
        Money::new(was.amount().checked_sub(is.amount())?, was.currency()).ok()
    }

    fn cost_words(&self) -> String {
        let words: Vec<String> = self.costs().iter().map(|cost| format!("{cost} {}", cost.currency())).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }

    /// The pool's balance before the first entry and after the last.
    fn balances(&self) -> (Option<String>, Option<String>) {
        let before = |line: &LedgerEntry| {
            // Within the limits of a balance, so nothing is rounded.
            line.entry.end_balance.value().saturating_sub(line.entry.delta.value()).normalize().to_string()
        };
        (self.entries.first().map(before), self.entries.last().map(|line| line.entry.end_balance.to_string()))
    }

    fn listing(&self) -> Listing {
        const COLUMNS: &[&str] =
            &["position", "type", "grant_id", "delta", "remaining", "requested", "shortfall", "end_balance"];
        let columns = if self.standing == Standing::Written { COLUMNS } else { COLUMNS.get(1..).unwrap_or(COLUMNS) };
        let mut listing = Listing::new(columns);
        for line in &self.entries {
            let entry = &line.entry;
            let position = (self.standing == Standing::Written).then(|| Some(line.position.to_string()));
            let cells = [
                Some(entry.kind.name().to_owned()),
                entry.grant.map(|grant| grant.grant_id.to_string()),
                Some(entry.delta.to_string()),
                entry.grant.map(|grant| grant.remaining.to_string()),
                entry.demand.map(|demand| demand.requested.to_string()),
                entry.demand.map(|demand| demand.shortfall.to_string()),
                Some(entry.end_balance.to_string()),
            ];
            listing.add(position.into_iter().chain(cells));
        }
        listing
    }
}

fn grant_json(terms: &Terms) -> Value {
    compact(json!({
        "grant_id": terms.grant_id.to_string(),
        "replaces": terms.replaces.map(|grant| grant.to_string()),
        "amount": terms.amount.to_string(),
        "category": terms.category.name(),
        "priority": terms.priority.value(),
        "effective_at": time(terms.effective_at),
        "expires_at": terms.expires_at.map(time),
    }))
}

/// The terms of the grants that entries touched, as far as they are written.
async fn terms_of(session: &mut Session, entries: &[LedgerEntry]) -> Result<HashMap<GrantId, Arc<Terms>>, ExitError> {
    let ids: Vec<Uuid> = entries.iter().filter_map(|line| line.entry.grant).map(|grant| grant.grant_id.0).collect();
    let grants = session.snapshot().await?.grants_of(&ids).await?;
    Ok(grants.into_iter().map(|(id, grant)| (id, grant.terms)).collect())
}
