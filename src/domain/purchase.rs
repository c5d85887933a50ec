//! What must be true of a purchase's grants, as a function of all its facts.
//!
//! A line is decided **once**, when the lines and its rule's trigger are first both there; what was decided governs
//! from then on, and later messages only revoke, reinstate or merge. Everything else here is worked out anew from
//! the facts whenever one is added, which is why order and repetition never matter.
//!
//! Pure. Called by `books`, which turns what is wanted into entries.

use std::collections::BTreeMap;
use std::fmt;

use num_bigint::BigInt;

use super::account::Origin;
use super::amounts::{Credits, Scale};
use super::facts::{Facts, First};
use super::ids::{Actor, CreditType, GrantId, InvoiceId, PaymentId, PriceId, Reason, RuleName, RulesHash};
use super::ledger::Terms;
use super::message::{Line, Statement};
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
    pub terms: Terms,
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
    for (price_id, line) in facts.lines().into_iter().flat_map(|lines| &lines.0) {
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
    Some(Gift { terms, scale: template.scale, origin })
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
}

/// What must be true of every grant of a purchase, in the order of its decisions.
#[must_use]
pub fn wanted<'a>(facts: &Facts, decided: &'a [Decision]) -> Vec<Wanted<'a>> {
    let gifts = || {
        decided.iter().filter_map(|decision| match &decision.verdict {
            Verdict::Gift(gift) => Some(gift.as_ref()),
            Verdict::NoRule | Verdict::Zero(_) | Verdict::TooMuch(_) => None,
        })
    };
    let mut survivors: BTreeMap<(Option<&PriceId>, &CreditType), &GrantingFact> = BTreeMap::new();
    for gift in gifts() {
        let slot = (gift.terms.price_id.as_ref(), &gift.terms.credit_type);
        let first = survivors.entry(slot).or_insert(&gift.origin.fact);
        *first = (*first).min(&gift.origin.fact);
    }
    gifts()
        .map(|gift| {
            let survivor = survivors[&(gift.terms.price_id.as_ref(), &gift.terms.credit_type)];
            want(facts, gift, survivor)
        })
        .collect()
}

fn want<'a>(facts: &Facts, gift: &'a Gift, survivor: &GrantingFact) -> Wanted<'a> {
    let whole = gift.terms.amount;
    if *survivor != gift.origin.fact {
        let words = format!("duplicate of purchase {}", survivor.id());
        return Wanted { gift, target: whole, standing: Standing::Surplus(survivor.clone()), words };
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
    let mut words = if reckoning.is_by_line() && reckoning.counted < reckoning.base {
        let fraction = reckoning.fraction();
        format!("{basis} × {} / {} = {target}, by line", fraction.numerator, fraction.denominator)
    } else {
        format!("{basis} × {} / {} = {target}", major(&reckoning.counted, places), major(&reckoning.base, places))
    };
    if reckoning.over > BigInt::ZERO {
        words += &format!(", after {} overpaid", major(&reckoning.over, places));
    }
    if reckoning.beyond() > BigInt::ZERO {
        words += &format!(", {} refunded beyond that counts for nothing", major(&reckoning.beyond(), places));
    }
    words
}

/// A whole number of smallest units as major units, such as `49.00`.
fn major(units: &BigInt, places: u32) -> String {
    let digits = units.to_string();
    let places = places as usize;
    if places == 0 {
        return digits;
    }
    let padded = format!("{digits:0>width$}", width = places.saturating_add(1));
    let (whole, part) = padded.split_at(padded.len().saturating_sub(places));
    format!("{whole}.{part}")
}

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

fn tell_refund(id: &super::ids::RefundId, facts: &Facts, wanted: &[Wanted<'_>]) -> String {
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
