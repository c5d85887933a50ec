//! Why a purchase's grants are as they are: facts, decisions and the arithmetic, in words.
//!
//! Worked out from the facts by the functions that decide (`purchase`, `target`, `rules`), never from results. Pure,
//! and changes nothing; called by the verbs that explain.

use num_bigint::BigInt;

use super::account::Grant;
use super::amounts::{Credits, Currency, Fraction, with_places};
use super::facts::{Facts, Kept, lines, money, refund_lines};
use super::ids::{GrantId, PriceId, RuleName, RulesHash};
use super::message::{Line, RefundStatus, Statement};
use super::purchase::{Decision, GrantingFact, Standing, Verdict, Wanted};
use super::rules::Rules;
use super::target::{Reckoning, due, paid, refunded};

/// One thing that is known of a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What it is: `customer`, `payment pi_1`, `paid`.
    pub what: String,
    /// What is known of it.
    pub says: String,
}

/// What was decided of a line, and how its amount came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineTold {
    /// The line's price.
    pub price_id: PriceId,
    /// Units and money, while the purchase has the line.
    pub sold: Option<String>,
    /// The rule that takes it.
    pub rule: Option<RuleName>,
    /// The rules file that decided.
    pub rules_hash: RulesHash,
    /// The fact that it was decided by.
    pub fact: GrantingFact,
    /// The grant that it gives.
    pub grant_id: Option<GrantId>,
    /// The arithmetic, or why there is nothing.
    pub words: String,
    /// Where no rule takes it: every rule that was looked at, with the condition that is not met.
    pub looked_at: Vec<(RuleName, String)>,
}

/// What refunds (or a merge, or a missing payment) ask back of one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTold {
    /// The grant.
    pub grant_id: GrantId,
    /// The line's price.
    pub price_id: Option<PriceId>,
    /// The formula step by step: name and arithmetic. Empty while nothing is refunded.
    pub steps: Vec<(&'static str, String)>,
    /// The last step: the target and how it came about.
    pub words: String,
    /// What has to be asked back in total.
    pub target: Credits,
    /// What was asked back, and what of that was got, once the grant is made.
    pub made: Option<(Credits, Credits)>,
}

/// The facts of a purchase, in a fixed order.
#[must_use]
pub fn known(facts: &Facts) -> Vec<Known> {
    let mut all = Vec::new();
    let mut add = |what: String, says: String| all.push(Known { what, says });
    if let Some(customer) = facts.customer() {
        add("customer".into(), customer.to_string());
    }
    if let Some(sold) = facts.lines() {
        add("lines".into(), lines(sold));
    }
    if let Some(id) = facts.invoice_name() {
        let total = facts.invoice.as_ref().and_then(|invoice| Some((invoice.total()?, invoice.first()?)));
        let says = total.map(|(total, first)| format!("total {}, stated by {}", money(&total), first.cause.id));
        add(format!("invoice {id}"), says.unwrap_or_else(|| "named, but not seen yet".into()));
    }
    for (id, payment) in &facts.payments {
        let Some((amount, first)) = payment.amount().zip(payment.first()) else { continue };
        add(format!("payment {id}"), format!("{}, stated by {}", money(&amount), first.cause.id));
    }
    for (id, refund) in &facts.refunds {
        let amount = refund.amount().map_or_else(String::new, |amount| money(&amount));
        let by_line = refund.lines().map_or_else(String::new, |back| format!(", of it {}", refund_lines(back)));
        let counts = if refund.status() == RefundStatus::Succeeded { "" } else { ", which does not count" };
        add(format!("refund {id}"), format!("{amount} {}{counts}{by_line}", refund.status().name()));
    }
    let Some(currency) = facts.currency() else { return all };
    let sum = |units: &BigInt| format!("{} {currency}", with_places(units, currency.places()));
    add("paid".into(), sum(&paid(facts)));
    add("due".into(), format!("{} ({})", sum(&due(facts)), what_is_due(facts)));
    add("refunded".into(), sum(&refunded(facts)));
    all
}

fn what_is_due(facts: &Facts) -> &'static str {
    if facts.invoice.is_some() { "the invoice's total" } else { "the sum of the payments" }
}

/// What was decided of each line, by price; `rules` gives the rules file of a hash, if it is known.
#[must_use]
pub fn decisions<'r>(
    facts: &Facts,
    decided: &[Decision],
    rules: impl Fn(RulesHash) -> Option<&'r Rules>,
) -> Vec<LineTold> {
    let mut in_order: Vec<&Decision> = decided.iter().collect();
    in_order.sort_by_key(|decision| (&decision.price_id, &decision.fact));
    in_order.into_iter().map(|decision| line_told(facts, decision, rules(decision.rules_hash))).collect()
}

fn line_told(facts: &Facts, decision: &Decision, rules: Option<&Rules>) -> LineTold {
    let price = &decision.price_id;
    let line = facts.lines().and_then(|lines| lines.0.get(price));
    let (rule, grant_id) = match &decision.verdict {
        Verdict::NoRule => (None, None),
        Verdict::Zero(rule) | Verdict::TooMuch(rule) => (Some(rule), None),
        Verdict::Gift(gift) => (gift.terms.rule.as_ref(), Some(gift.terms.grant_id)),
    };
    let amount = || {
        let grant = &rules?.purchase.iter().find(|known| Some(&known.name) == rule)?.grant;
        Some(format!("{} {}", grant.amount.in_words(line?, grant.scale), grant.credit_type))
    };
    let words = match (&decision.verdict, amount()) {
        (Verdict::NoRule, _) => "no rule takes it".to_owned(),
        (Verdict::Zero(_), amount) => format!("{}: nothing is granted", amount.unwrap_or_else(|| "0".into())),
        (Verdict::TooMuch(_), amount) => format!("{}: nothing is granted", amount.unwrap_or_else(|| "too much".into())),
        (Verdict::Gift(_), Some(amount)) => amount,
        (Verdict::Gift(gift), None) => format!("{} {}", gift.terms.amount, gift.terms.credit_type),
    };
    let looked_at = match (&decision.verdict, rules, line) {
        (Verdict::NoRule, Some(rules), Some(line)) => looks(rules, price, line),
        _ => Vec::new(),
    };
    LineTold {
        price_id: price.clone(),
        sold: line.map(|line| format!("{} for {}", line.quantity, money(&line.amount))),
        rule: rule.cloned(),
        rules_hash: decision.rules_hash,
        fact: decision.fact.clone(),
        grant_id,
        words,
        looked_at,
    }
}

/// The rules on purchases up to the first that takes the line, in file order, each with the condition that is not met.
#[must_use]
pub fn looks(rules: &Rules, price: &PriceId, line: &Line) -> Vec<(RuleName, String)> {
    let misfits = rules.purchase.iter().map_while(|rule| Some((rule, rule.matches.misfit(price, line)?)));
    misfits.map(|(rule, misfit)| (rule.name.clone(), misfit.to_string())).collect()
}

/// What is asked back of each grant of `wanted`; `grant` gives those that are made.
#[must_use]
pub fn targets<'g>(
    facts: &Facts,
    wanted: &[Wanted<'_>],
    grant: impl Fn(GrantId) -> Option<&'g Grant>,
) -> Vec<TargetTold> {
    wanted.iter().map(|want| target_told(facts, want, grant(want.gift.terms.grant_id))).collect()
}

fn target_told(facts: &Facts, want: &Wanted<'_>, grant: Option<&Grant>) -> TargetTold {
    let terms = &want.gift.terms;
    let reckoning = terms.price_id.as_ref().filter(|_| want.standing == Standing::Due);
    let reckoning = reckoning.and_then(|price| Reckoning::of(facts, price, want.gift.origin.on_invoice));
    let steps = reckoning.map_or_else(Vec::new, |reckoning| steps(facts, want, &reckoning));
    let words = match (&want.standing, grant) {
        (Standing::Due, _) => want.words.clone(),
        (Standing::Surplus(_) | Standing::NotPaid | Standing::NotSold, None) => {
            format!("{}: nothing is granted", want.words)
        }
        (Standing::Surplus(_) | Standing::NotPaid | Standing::NotSold, Some(_)) => {
            format!("{}: all {} are asked back", want.words, terms.basis)
        }
    };
    TargetTold {
        grant_id: terms.grant_id,
        price_id: terms.price_id.clone(),
        steps,
        words,
        target: want.target,
        made: grant.map(|grant| (grant.asked, grant.taken)),
    }
}

/// The formula of `target`, each name with its numbers.
fn steps(facts: &Facts, want: &Wanted<'_>, reckoning: &Reckoning) -> Vec<(&'static str, String)> {
    let places = facts.currency().map_or(0, Currency::places);
    let major = |units: &BigInt| with_places(units, places);
    let [due, paid] = [due(facts), paid(facts)].map(|units| major(&units));
    let Reckoning { base, counted, refunded, over, on_lines, on_price, line } = reckoning;
    let [base, counted, refunded, over] = [base, counted, refunded, over].map(major);
    let smaller = format!("min({due} due, {paid} paid)");
    let base_of = if want.gift.origin.on_invoice { format!("{due} due") } else { smaller };
    let mut steps = vec![
        ("over", format!("max(0, {paid} paid - {due} due) = {over}")),
        ("base", format!("{base_of} = {base}")),
        ("counted", format!("min({base}, max(0, {refunded} refunded - {over} over)) = {counted}")),
    ];
    if reckoning.is_by_line() && reckoning.counted > BigInt::ZERO && reckoning.counted < reckoning.base {
        let parts = reckoning.parts();
        let [on_lines, on_price, line, x] = [on_lines, on_price, line, &parts.x].map(major);
        steps.push(("R", format!("{on_lines} in refunds that name lines")));
        steps.push(("X", format!("min({counted}, {on_lines}) = {x}")));
        let quotient = format!("{on_price} × {x} / ({on_lines} × {line})");
        steps.push(("f", part(&quotient, &parts.f, reckoning.on_price == BigInt::ZERO)));
        steps.push(("g", part(&format!("({counted} - {x}) / ({base} - {x})"), &parts.g, false)));
        let (f, g) = (parts.f.in_words(), parts.g.in_words());
        steps.push(("target", format!("{} × ({f} + (1 - {f}) × {g}) = {}", want.gift.terms.basis, want.target)));
    } else {
        steps.push(("target", want.words.clone()));
    }
    steps
}

fn part(quotient: &str, value: &Fraction, is_nothing: bool) -> String {
    if is_nothing {
        "0, nothing of it is on this line".to_owned()
    } else {
        format!("{quotient} = {}", value.in_words())
    }
}

/// Of a duplicate, the messages that said before what the one at `at` says.
#[must_use]
pub fn said_before(kept: &[Kept], at: usize) -> Vec<&Kept> {
    let Some((message, before)) = kept.get(..=at).and_then(<[Kept]>::split_last) else { return Vec::new() };
    let same = |earlier: &&Kept| match (message.statement.as_ref(), earlier.statement.as_ref()) {
        (Statement::Payment(a), Statement::Payment(b)) => a.payment_id == b.payment_id,
        (Statement::Refund(a), Statement::Refund(b)) => a.refund_id == b.refund_id,
        (Statement::Invoice(a), Statement::Invoice(b)) => a.invoice_id == b.invoice_id,
        (Statement::Link(_), _) => !message.statement.names().is_disjoint(&earlier.statement.names()),
        (Statement::Payment(_) | Statement::Refund(_) | Statement::Invoice(_), _) => false,
    };
    before.iter().filter(same).collect()
}
