//! What must be true of a purchase's grants, as a function of all its facts.
//!
//! A line is decided **once**, when the lines and its rule's trigger are first both there; what was decided governs
//! from then on, and later messages only revoke, reinstate or merge. Everything else here is worked out anew from
//! the facts whenever one is added, which is why order and repetition never matter.
//!
//! Pure. Called by `books`, which turns what is wanted into entries.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use num_bigint::BigInt;

use super::account::{Grant, Origin};
use super::amounts::{Credits, Scale, with_places};
use super::facts::{Facts, First};
use super::ids::{Actor, CreditType, GrantId, InvoiceId, PaymentId, PriceId, Reason, RuleName, RulesHash};
use super::ledger::Terms;
use super::message::Line;
use super::rules::{Category, PurchaseRule, Rules, WhenPaid};
use super::target::{Reckoning, due, paid, target};

/// The fact that a purchase's grant was given for. Invoices come before payments, then ids in byte order: of several
/// grants for one line the first survives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantingFact {
    /// An invoice was issued.
    Invoice(InvoiceId),
    /// A payment came in.
    Payment(PaymentId),
}

impl GrantingFact {
    /// The kind's word: `invoice` or `payment`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invoice(_) => "invoice",
            Self::Payment(_) => "payment",
        }
    }

    /// The invoice's or payment's id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Invoice(id) => id.as_str(),
            Self::Payment(id) => id.as_str(),
        }
    }
}

impl fmt::Display for GrantingFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.id())
    }
}

/// What was decided of one line, once and for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The line's price.
    pub price_id: PriceId,
    /// The fact it was decided by.
    pub fact: GrantingFact,
    /// The rules file in force then.
    pub rules_hash: RulesHash,
    /// What came out.
    pub verdict: Verdict,
}

impl Decision {
    /// The decision that a made grant holds; `None` for a grant of no purchase.
    #[must_use]
    pub fn of(grant: &Grant) -> Option<Self> {
        let origin = grant.origin.clone()?;
        Some(Self {
            price_id: grant.terms.price_id.clone()?,
            fact: origin.fact.clone(),
            rules_hash: grant.terms.rules_hash?,
            verdict: Verdict::Gift(Box::new(Gift { terms: Arc::clone(&grant.terms), scale: grant.scale, origin })),
        })
    }
}

/// What a line gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No rule takes the line.
    NoRule,
    /// A rule takes it, and its amount is zero.
    Zero(RuleName),
    /// A rule's amount is 1e15 or more: nothing is granted.
    TooMuch(RuleName),
    /// A grant, as soon as it is due.
    Gift(Box<Gift>),
}

/// A grant that a line gives once it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gift {
    /// The grant.
    pub terms: Arc<Terms>,
    /// Decimal places that fractions of it round to.
    pub scale: Scale,
    /// What decides its targets.
    pub origin: Origin,
}

/// A line without a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    /// The line's price.
    pub price_id: PriceId,
    /// What its rule waits for.
    pub awaits: &'static str,
}

/// Decides the lines of `facts` that `decided` does not hold yet. Applies nothing.
#[must_use]
pub fn decide(facts: &Facts, decided: &[Decision], rules: &Rules) -> (Vec<Decision>, Vec<Undecided>) {
    let mut new = Vec::new();
    let mut undecided = Vec::new();
    for (price_id, line) in facts.lines().into_iter().flat_map(|lines| lines.0.iter()) {
        if decided.iter().any(|decision| decision.price_id == *price_id) {
            continue;
        }
        match decide_line(facts, price_id, line, rules) {
            Ok(decision) => new.extend(decision),
            Err(awaits) => undecided.push(Undecided { price_id: price_id.clone(), awaits }),
        }
    }
    (new, undecided)
}

fn decide_line(
    facts: &Facts,
    price_id: &PriceId,
    line: &Line,
    rules: &Rules,
) -> Result<Option<Decision>, &'static str> {
    let Some(rule) = rules.for_line(price_id, line) else {
        let decision = granting(facts, true, true).map(|(fact, _)| Decision {
            price_id: price_id.clone(),
            fact,
            rules_hash: rules.hash,
            verdict: Verdict::NoRule,
        });
        return Ok(decision);
    };
    let Some((fact, first)) = granting(facts, rule.on_payment, rule.on_invoice) else {
        return Err(if rule.on_payment { "its payment" } else { "its invoice" });
    };
    let verdict = match rule.grant.amount.credits(line, rule.grant.scale) {
        None => Verdict::TooMuch(rule.name.clone()),
        Some(amount) if amount.is_zero() => Verdict::Zero(rule.name.clone()),
        Some(amount) => match gift(facts, price_id, line, rule, rules.hash, &fact, first, amount) {
            Some(gift) => Verdict::Gift(Box::new(gift)),
            None => Verdict::TooMuch(rule.name.clone()),
        },
    };
    Ok(Some(Decision { price_id: price_id.clone(), fact, rules_hash: rules.hash, verdict }))
}

/// Of the known facts that fit a trigger the first: the invoice, then payments in byte order of their ids.
fn granting(facts: &Facts, on_payment: bool, on_invoice: bool) -> Option<(GrantingFact, &First)> {
    let invoice = || {
        let fact = facts.invoice.as_ref()?;
        Some((GrantingFact::Invoice(facts.invoice_name()?.clone()), fact.first()?))
    };
    let payment = || {
        let (id, fact) = facts.payments.first_key_value()?;
        Some((GrantingFact::Payment(id.clone()), fact.first()?))
    };
    on_invoice.then(invoice).flatten().or_else(|| on_payment.then(payment).flatten())
}

#[expect(clippy::too_many_arguments, reason = "the parts of one grant's terms, named where they are used once")]
fn gift(
    facts: &Facts,
    price_id: &PriceId,
    line: &Line,
    rule: &PurchaseRule,
    rules_hash: RulesHash,
    fact: &GrantingFact,
    first: &First,
    amount: Credits,
) -> Option<Gift> {
    let template = &rule.grant;
    let credit_type = template.credit_type.clone();
    let after = |delay: Option<chrono::TimeDelta>| first.time.checked_add_signed(delay.unwrap_or_default());
    let reason = template.reason.clone().unwrap_or_else(|| Reason::cut(&fact.to_string()));
    let terms = Terms {
        grant_id: GrantId::derive(&[fact.kind(), fact.id(), price_id.as_str(), credit_type.as_str()]),
        customer_id: facts.customer()?.clone(),
        credit_type,
        amount,
        category: template.category,
        priority: template.priority,
        cost: (template.category == Category::Paid).then_some(line.amount),
        effective_at: after(template.effective_after)?,
        expires_at: template.expires_after.and_then(|delay| after(Some(delay))),
        price_id: Some(price_id.clone()),
        rule: Some(rule.name.clone()),
        rules_hash: Some(rules_hash),
        replaces: None,
        basis: amount,
        reason: Some(reason),
        actor: Actor::rule(&rule.name),
        cause: first.cause.clone(),
    };
    let origin = Origin { fact: fact.clone(), on_invoice: rule.on_invoice, when_paid: rule.when_paid };
    Some(Gift { terms: terms.into(), scale: template.scale, origin })
}

/// What must be true of one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The grant.
    pub gift: &'a Gift,
    /// What of it is asked back.
    pub target: Credits,
    /// Whether it is one grant too many, or not due, or what refunds ask.
    pub standing: Standing,
    /// The arithmetic of the target in words.
    pub words: String,
}

/// Where a wanted grant stands in its purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The line's one grant.
    Due,
    /// Its payments do not reach the invoice's total, or its invoice is not known.
    NotPaid,
    /// A link showed another fact's grant to be the line's one grant.
    Surplus(GrantingFact),
    /// Only a refund that became a conflict showed that the line was sold in this purchase.
    NotSold,
}

/// The grants that `decided` gives.
pub fn gifts(decided: &[Decision]) -> impl Iterator<Item = &Gift> {
    decided.iter().filter_map(|decision| match &decision.verdict {
        Verdict::Gift(gift) => Some(gift.as_ref()),
        Verdict::NoRule | Verdict::Zero(_) | Verdict::TooMuch(_) => None,
    })
}

/// What must be true of every grant of a purchase, in the order of its decisions.
///
/// The survivor of several for one line is the first of those that were `made`, else the first: one that was decided
/// and never due does not push aside a grant that is there.
#[must_use]
pub fn wanted<'a>(facts: &Facts, decided: &'a [Decision], made: impl Fn(&Gift) -> bool) -> Vec<Wanted<'a>> {
    let mut survivors: BTreeMap<(Option<&PriceId>, &CreditType), (bool, &GrantingFact)> = BTreeMap::new();
    for gift in gifts(decided) {
        let rank = (!made(gift), &gift.origin.fact);
        let first = survivors.entry((gift.terms.price_id.as_ref(), &gift.terms.credit_type)).or_insert(rank);
        *first = (*first).min(rank);
    }
    // By line and fact: the order of the entries must not hang on the order in which decisions were made or loaded.
    let mut in_order: Vec<&Gift> = gifts(decided).collect();
    in_order.sort_by_key(|gift| (&gift.terms.price_id, &gift.terms.credit_type, &gift.origin.fact));
    in_order
        .into_iter()
        .map(|gift| {
            let (_, survivor) = survivors[&(gift.terms.price_id.as_ref(), &gift.terms.credit_type)];
            want(facts, gift, survivor)
        })
        .collect()
}

fn want<'a>(facts: &Facts, gift: &'a Gift, survivor: &GrantingFact) -> Wanted<'a> {
    // After a regrant asked and taken still count what the first grant gave.
    let whole = gift.terms.basis;
    if *survivor != gift.origin.fact {
        let words = format!("duplicate of purchase {}", survivor.id());
        return Wanted { gift, target: whole, standing: Standing::Surplus(survivor.clone()), words };
    }
    let sold = |price| facts.lines().is_some_and(|lines| lines.0.contains_key(price));
    if !gift.terms.price_id.as_ref().is_none_or(sold) {
        return Wanted { gift, target: whole, standing: Standing::NotSold, words: "not sold in this purchase".into() };
    }
    if !is_due(facts, &gift.origin) {
        return Wanted { gift, target: whole, standing: Standing::NotPaid, words: "not paid in full".into() };
    }
    let price_id = gift.terms.price_id.as_ref();
    let Some(reckoning) = price_id.and_then(|price| Reckoning::of(facts, price, gift.origin.on_invoice)) else {
        return Wanted { gift, target: Credits::ZERO, standing: Standing::Due, words: "nothing refunded".into() };
    };
    let target = target(&reckoning, gift.terms.basis, gift.scale);
    Wanted { gift, target, standing: Standing::Due, words: in_words(facts, gift, &reckoning, target) }
}

/// Whether a grant with a trigger on payments is due: its first payment is there, or payments reach the total.
fn is_due(facts: &Facts, origin: &Origin) -> bool {
    let paid_at_all = !facts.payments.is_empty();
    match (origin.on_invoice, origin.when_paid) {
        (true, _) => facts.invoice.is_some() || paid_at_all,
        (false, WhenPaid::FirstPayment) => paid_at_all,
        (false, WhenPaid::InFull) if facts.invoice.is_some() => paid_at_all && paid(facts) >= due(facts),
        (false, WhenPaid::InFull) => paid_at_all && !facts.names_an_invoice(),
    }
}

/// `1000 × 12.25 / 49.00 = 250`, with what goes beyond a plain quotient named behind it.
fn in_words(facts: &Facts, gift: &Gift, reckoning: &Reckoning, target: Credits) -> String {
    let places = facts.payments.values().find_map(super::facts::PaymentFact::amount);
    let places = places.or_else(|| facts.invoice.as_ref().and_then(super::facts::InvoiceFact::total));
    let places = places.map_or(0, |money| money.currency().places());
    let basis = gift.terms.basis;
    let mut words = if reckoning.base == BigInt::ZERO {
        "nothing is due, so no part of the grant goes back".to_owned()
    } else if reckoning.is_by_line() && reckoning.counted < reckoning.base {
        let fraction = reckoning.fraction();
        format!("{basis} × {} / {} = {target}, by line", fraction.numerator, fraction.denominator)
    } else {
        format!(
            "{basis} × {} / {} = {target}",
            with_places(&reckoning.counted, places),
            with_places(&reckoning.base, places)
        )
    };
    if reckoning.over > BigInt::ZERO {
        let _ = write!(words, ", after {} overpaid", with_places(&reckoning.over, places));
    }
    if reckoning.beyond() > BigInt::ZERO {
        let _ = write!(words, ", {} refunded beyond that counts for nothing", with_places(&reckoning.beyond(), places));
    }
    words
}
