//! What became of a kept message, in words: rule and amount, the arithmetic of a refund, what is missing.
//!
//! Pure, and decides nothing: `purchase` has decided. Called by `books`.

use super::facts::Facts;
use super::ids::{PriceId, RefundId, RuleName};
use super::message::Statement;
use super::purchase::{Decision, Gift, Standing, Undecided, Verdict, Wanted};

/// What became of one kept message, as far as the purchase's facts tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The grants are as it demands.
    Applied(String),
    /// No rule takes any of its lines.
    Ignored(String),
    /// Its partner is missing.
    Waiting(String),
}

/// Says what became of `statement` in its purchase.
#[must_use]
pub fn tell(
    statement: &Statement,
    facts: &Facts,
    decided: &[Decision],
    wanted: &[Wanted<'_>],
    undecided: &[Undecided],
) -> Told {
    let anything = !facts.payments.is_empty() || facts.invoice.is_some();
    match statement {
        Statement::Refund(_) | Statement::Link(_) if !anything => {
            Told::Waiting("neither a payment nor an invoice of this purchase is known yet".into())
        }
        Statement::Refund(refund) => Told::Applied(tell_refund(&refund.refund_id, facts, wanted)),
        Statement::Link(_) => Told::Applied("the names are one purchase".into()),
        Statement::Payment(_) | Statement::Invoice(_) => tell_sale(facts, decided, wanted, undecided),
    }
}

fn tell_refund(id: &RefundId, facts: &Facts, wanted: &[Wanted<'_>]) -> String {
    let status = facts.refunds.get(id).map_or("pending", |refund| refund.status().name());
    let parts: Vec<String> = wanted.iter().map(|wanted| format!("{}: {}", slot(wanted.gift), wanted.words)).collect();
    match (status, parts.is_empty()) {
        (_, true) => format!("refund {id} {status}: the purchase has no grant"),
        ("succeeded", false) => format!("refund {id} succeeded: {}", parts.join("; ")),
        (_, false) => format!("refund {id} {status}, only a succeeded one counts: {}", parts.join("; ")),
    }
}

fn slot(gift: &Gift) -> &str {
    gift.terms.price_id.as_ref().map_or(gift.terms.credit_type.as_str(), PriceId::as_str)
}

fn tell_sale(facts: &Facts, decided: &[Decision], wanted: &[Wanted<'_>], undecided: &[Undecided]) -> Told {
    if facts.lines().is_none() {
        return Told::Waiting("no message of this purchase has lines yet".into());
    }
    let mut words = Vec::new();
    let mut granted = false;
    for want in wanted.iter().filter(|want| want.standing == Standing::Due) {
        granted = true;
        words.push(tell_gift(facts, want.gift));
    }
    let zero = decided.iter().filter_map(|decision| match &decision.verdict {
        Verdict::Zero(rule) => Some(format!("{}: rule {rule} gives nothing, its amount is zero", decision.price_id)),
        Verdict::TooMuch(rule) => Some(format!("{}: rule {rule} gives 1e15 or more, refused", decision.price_id)),
        Verdict::NoRule | Verdict::Gift(_) => None,
    });
    let zero: Vec<String> = zero.collect();
    let late = undecided.iter().map(|line| format!("{} waits for {}", line.price_id, line.awaits));
    let unpaid = wanted
        .iter()
        .filter(|want| want.standing == Standing::NotPaid)
        .map(|want| format!("{} waits to be paid in full", slot(want.gift)));
    let waiting: Vec<String> = late.chain(unpaid).collect();
    let none = decided.iter().filter(|decision| decision.verdict == Verdict::NoRule);
    let none: Vec<String> = none.map(|decision| format!("no rule takes {}", decision.price_id)).collect();
    let (waits, nothing) = (!waiting.is_empty(), zero.is_empty());
    words.extend(waiting);
    words.extend(zero);
    words.extend(none);
    let words = words.join("; ");
    match (granted, waits, nothing) {
        (true, ..) | (false, false, false) => Told::Applied(words),
        (false, true, _) => Told::Waiting(words),
        (false, false, true) => Told::Ignored(words),
    }
}

fn tell_gift(facts: &Facts, gift: &Gift) -> String {
    let terms = &gift.terms;
    let rule = terms.rule.as_ref().map_or("", RuleName::as_str);
    let units = facts.lines().and_then(|lines| lines.0.get(terms.price_id.as_ref()?)).map_or(0, |line| line.quantity);
    format!("{} × {units}: {} {} by rule {rule} for {}", slot(gift), terms.amount, terms.credit_type, gift.origin.fact)
}
