//! Exact quotients for the model, apart from the core's own.

use num_bigint::BigInt;

/// A quotient of whole numbers, the lower above zero.
#[derive(Debug, Clone)]
pub(super) struct Ratio {
    upper: BigInt,
    lower: BigInt,
}

impl Ratio {
    pub(super) fn new(upper: BigInt, lower: BigInt) -> Self {
        assert!(lower > BigInt::ZERO);
        Self { upper, lower }
    }

    pub(super) fn of(whole: &BigInt) -> Self {
        Self::new(whole.clone(), BigInt::from(1))
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        Self::new(&self.upper * &other.upper, &self.lower * &other.lower)
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let upper = &self.upper * &other.lower + &other.upper * &self.lower;
        Self::new(upper, &self.lower * &other.lower)
    }

    /// What is missing to one.
    pub(super) fn rest(&self) -> Self {
        Self::new(&self.lower - &self.upper, self.lower.clone())
    }

    pub(super) fn at_most_one(self) -> Self {
        if self.upper > self.lower { Self::of(&BigInt::from(1)) } else { self }
    }

    /// Toward zero; only for what is not negative.
    pub(super) fn floor(&self) -> BigInt {
        assert!(self.upper >= BigInt::ZERO);
        &self.upper / &self.lower
    }
}
