//! How much of a grant refunds ask back: one exact fraction, rounded once.
//!
//! > due = the invoice's total if the invoice is known, otherwise the sum of the payments.
//! > over = max(0, payments - due); base = due, but min(due, payments) for a rule without `invoice-issued`.
//! > counted = min(base, max(0, refunded - over)): money back comes out of an overpayment first.
//! > R = the amounts of the refunds that have a line on a price of the purchase. X = min(counted, R).
//! > f = min(1, (those refunds' line money on p × X) / (R × the line's money on p)); 0 if R = 0 or the line is free.
//! > g = (counted - X) / (base - X), 1 if base = X.
//! > **target = basis × (f + (1 - f) × g)**, toward zero. Nothing if counted = 0; basis if counted >= base > 0.
//!
//! All sums, products and quotients are whole numbers of the currency's smallest unit, as wide as they need to be.

use num_bigint::BigInt;

use super::amounts::{Credits, Fraction, Money, Scale, to_units};
use super::facts::Facts;
use super::ids::PriceId;
use super::message::RefundStatus;

/// The money of a purchase, in the currency's smallest unit, as far as it bears on one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reckoning {
    /// What refund fractions are taken of.
    pub base: BigInt,
    /// What of the refunds counts.
    pub counted: BigInt,
    /// Everything refunded.
    pub refunded: BigInt,
    /// What was paid beyond what was due.
    pub over: BigInt,
    /// R: the amounts of the refunds that name a line of the purchase.
    pub on_lines: BigInt,
    /// What those refunds give back of this grant's line.
    pub on_price: BigInt,
    /// This grant's line.
    pub line: BigInt,
}

/// The inner terms of the formula.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// X: what of the refunds by line counts.
    pub x: BigInt,
    /// f: the part of the grant that refunds by line ask back.
    pub f: Fraction,
    /// g: the part of what is left that the others ask back.
    pub g: Fraction,
}

fn sum(amounts: impl Iterator<Item = Option<Money>>) -> BigInt {
    amounts.flatten().map(Money::minor).sum()
}

/// The sum of the refunds that succeeded.
#[must_use]
pub fn refunded(facts: &Facts) -> BigInt {
    sum(succeeded(facts).map(super::facts::RefundFact::amount))
}

fn succeeded(facts: &Facts) -> impl Iterator<Item = &super::facts::RefundFact> {
    facts.refunds.values().filter(|refund| refund.status() == RefundStatus::Succeeded)
}

/// The sum of the payments, before refunds.
#[must_use]
pub fn paid(facts: &Facts) -> BigInt {
    sum(facts.payments.values().map(super::facts::PaymentFact::amount))
}

/// The invoice's total if the invoice is known, otherwise the sum of the payments.
#[must_use]
pub fn due(facts: &Facts) -> BigInt {
    facts.invoice.as_ref().and_then(super::facts::InvoiceFact::total).map_or_else(|| paid(facts), Money::minor)
}

impl Reckoning {
    /// Adds up what bears on the grant for `price_id`; `None` while no refund has succeeded.
    ///
    /// `on_invoice`: the rule's trigger names `invoice-issued`.
    #[must_use]
    pub fn of(facts: &Facts, price_id: &PriceId, on_invoice: bool) -> Option<Self> {
        let sold = &facts.lines()?.0;
        let succeeded: Vec<_> = succeeded(facts).collect();
        if succeeded.is_empty() {
            return None;
        }
        let zero = BigInt::ZERO;
        let (due, paid) = (due(facts), paid(facts));
        let over = (&paid - &due).max(zero.clone());
        let base = if on_invoice { due } else { due.min(paid) };
        let refunded = sum(succeeded.iter().map(|refund| refund.amount()));
        let counted = (&refunded - &over).max(zero).min(base.clone());
        let by_line = || {
            succeeded
                .iter()
                .filter(|refund| refund.lines().is_some_and(|lines| lines.keys().any(|p| sold.contains_key(p))))
        };
        let on_lines = sum(by_line().map(|refund| refund.amount()));
        let on_price = sum(by_line().map(|refund| refund.lines()?.get(price_id).copied()));
        let line = sold.get(price_id).map_or(BigInt::ZERO, |line| line.amount.minor());
        Some(Self { base, counted, refunded, over, on_lines, on_price, line })
    }

    /// What part of the grant refunds ask back, from 0 to 1.
    #[must_use]
    pub fn fraction(&self) -> Fraction {
        if self.counted <= BigInt::ZERO {
            return Fraction::zero();
        }
        if self.counted >= self.base {
            let one = BigInt::from(1);
            return Fraction { numerator: one.clone(), denominator: one };
        }
        let Parts { f, g, .. } = self.parts();
        let above = &f.numerator * &g.denominator + (&f.denominator - &f.numerator) * &g.numerator;
        Fraction { numerator: above, denominator: f.denominator * g.denominator }
    }

    /// What refunds by line ask back of the grant, and what those without ask of the rest. Only while `counted` is
    /// below `base`.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let x = self.counted.clone().min(self.on_lines.clone());
        let f = if self.on_lines == BigInt::ZERO || self.line == BigInt::ZERO {
            Fraction::zero()
        } else {
            let of = &self.on_lines * &self.line;
            Fraction { numerator: (&self.on_price * &x).min(of.clone()), denominator: of }
        };
        // counted < base, so base - X is above zero.
        let g = Fraction { numerator: &self.counted - &x, denominator: &self.base - &x };
        Parts { x, f, g }
    }

    /// Whether refunds name lines of the purchase, so that a plain quotient does not tell the whole.
    #[must_use]
    pub fn is_by_line(&self) -> bool {
        self.on_lines > BigInt::ZERO
    }

    /// What was refunded beyond all that could count.
    #[must_use]
    pub fn beyond(&self) -> BigInt {
        (&self.refunded - &self.over - &self.base).max(BigInt::ZERO)
    }
}

/// `basis × (f + (1 - f) × g)`, rounded once, toward zero, to `scale`.
#[must_use]
pub fn target(reckoning: &Reckoning, basis: Credits, scale: Scale) -> Credits {
    debug_assert!(to_units(basis.value(), scale.places()) >= BigInt::ZERO, "a basis is never negative");
    // A fraction of at most 1 of an amount below the limit is below the limit.
    reckoning.fraction().of(basis, scale).unwrap_or(basis)
}
