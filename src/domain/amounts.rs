//! Quantities: credits and money, exact decimals with checked arithmetic and never a float.
//!
//! Parsing is strict: digits, at most one point, nothing else. [`LIMIT`] keeps every amount below 1e15, so sums stay
//! within a [`Decimal`]; products and quotients belong to [`Fraction`], which is as wide as it needs to be.

use std::fmt;

use iso_currency::Currency as Iso;
use num_bigint::BigInt;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// Amounts are below this: 1e15.
pub const LIMIT: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0);

/// The most decimal places that a credit type may have.
pub const MAX_SCALE: u8 = 9;

/// Why a text or number is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not plain digits with at most one point: a sign, an exponent, a space, another script's digits.
    #[error("is not a plain decimal such as \"49.00\"")]
    NotPlain,
    /// 1e15 or more.
    #[error("is not below 1000000000000000")]
    TooLarge,
    /// More decimal places than the unit has.
    #[error("has {given} decimal places, at most {allowed} are allowed")]
    TooManyPlaces {
        /// Places that were written, trailing zeros not counted.
        given: u32,
        /// Places that the currency or credit type has.
        allowed: u32,
    },
    /// Below zero.
    #[error("is negative")]
    Negative,
    /// Zero, where something is needed.
    #[error("is zero, a positive amount is needed")]
    Zero,
}

/// Parses a plain decimal: ASCII digits with at most one point and digits on both sides of it.
///
/// # Errors
/// [`InvalidAmount::Negative`] for a plain decimal behind a minus sign, [`InvalidAmount::TooLarge`] from 1e15 on,
/// [`InvalidAmount::NotPlain`] for anything else that is no plain decimal.
pub fn parse_plain(text: &str) -> Result<Decimal, InvalidAmount> {
    if let Some(rest) = text.strip_prefix('-') {
        return Err(if is_plain(rest) { InvalidAmount::Negative } else { InvalidAmount::NotPlain });
    }
    if !is_plain(text) {
        return Err(InvalidAmount::NotPlain);
    }
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    if whole.trim_start_matches('0').len() > 15 {
        return Err(InvalidAmount::TooLarge);
    }
    let places = places.trim_end_matches('0');
    if places.len() > usize::from(MAX_SCALE) + 4 {
        let given = u32::try_from(places.len()).unwrap_or(u32::MAX);
        return Err(InvalidAmount::TooManyPlaces { given, allowed: u32::from(MAX_SCALE) });
    }
    // At most 28 digits, which is below 2^96.
    let digits = whole.bytes().chain(places.bytes()).map(|digit| i128::from(digit & 0x0f));
    let units = digits.fold(0_i128, |units, digit| units.saturating_mul(10).saturating_add(digit));
    let scale = u32::try_from(places.len()).map_err(|_| InvalidAmount::NotPlain)?;
    Decimal::try_from_i128_with_scale(units, scale).map_err(|_| InvalidAmount::NotPlain)
}

fn is_plain(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, places)) => digits(whole) && digits(places),
        None => digits(text),
    }
}

fn within(value: Decimal, places: u32) -> Result<Decimal, InvalidAmount> {
    let exact = value.normalize();
    if exact.is_sign_negative() && !exact.is_zero() {
        Err(InvalidAmount::Negative)
    } else if exact >= LIMIT {
        Err(InvalidAmount::TooLarge)
    } else if exact.scale() > places {
        Err(InvalidAmount::TooManyPlaces { given: exact.scale(), allowed: places })
    } else {
        Ok(exact)
    }
}

/// How many decimal places a credit type has: 0 to [`MAX_SCALE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scale(u8);

impl Scale {
    /// Takes 0 to [`MAX_SCALE`] places.
    #[must_use]
    pub fn new(places: u8) -> Option<Self> {
        (places <= MAX_SCALE).then_some(Self(places))
    }

    /// The number of places.
    #[must_use]
    pub fn places(self) -> u32 {
        u32::from(self.0)
    }
}

/// A quantity of credits, below 1e15. Never negative: direction belongs to the ledger entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(Decimal);

impl Credits {
    /// No credits.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Takes a decimal of at most `scale` places, zero included.
    ///
    /// # Errors
    /// [`InvalidAmount`] for a negative amount, 1e15 and more, or too many places.
    pub fn new(value: Decimal, scale: Scale) -> Result<Self, InvalidAmount> {
        within(value, scale.places()).map(Self)
    }

    /// Takes what the database holds, a balance of many grants included; `None` below zero.
    #[must_use]
    pub fn stored(value: Decimal) -> Option<Self> {
        let exact = value.normalize();
        (exact.is_zero() || exact.is_sign_positive()).then_some(Self(exact))
    }

    /// The quantity, without trailing zeros.
    #[must_use]
    pub fn value(self) -> Decimal {
        self.0
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The sum; `None` only beyond the width of a [`Decimal`] (a single amount stays below 1e15, a sum need not).
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let sum = self.0.checked_add(other.0)?;
        (sum.scale() >= self.0.scale().max(other.0.scale())).then(|| Self(sum.normalize()))
    }

    /// The sum, held at `self` where [`Credits::checked_add`] has none.
    ///
    /// For balances: they stay below 1e19, which the database holds them to, far inside a decimal of nine places.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.checked_add(other).unwrap_or(self)
    }

    /// What is left after `other` is taken, nothing if `other` is more.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        match self.0.checked_sub(other.0) {
            Some(left) if !left.is_sign_negative() => Self(left.normalize()),
            _ => Self::ZERO,
        }
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.0, f)
    }
}

/// Writes a number as [`Decimal`] does, whole ones at less cost.
pub(super) fn shown(value: Decimal, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let whole = i64::try_from(value.mantissa()).ok().filter(|_| value.scale() == 0 && f.precision().is_none());
    match whole {
        Some(whole) if whole != 0 || value.is_sign_positive() => fmt::Display::fmt(&whole, f),
        _ => fmt::Display::fmt(&value, f),
    }
}

/// A current ISO 4217 currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(Iso);

/// The text is no current ISO 4217 code in capitals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no current ISO 4217 currency code")]
pub struct InvalidCurrency;

impl Currency {
    /// Parses an ISO 4217 alphabetic code such as `EUR`.
    ///
    /// # Errors
    /// [`InvalidCurrency`] unless `text` is a current ISO 4217 code in capitals.
    pub fn parse(text: &str) -> Result<Self, InvalidCurrency> {
        let capitals = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if !capitals {
            return Err(InvalidCurrency);
        }
        Iso::from_code(text).map(Self).ok_or(InvalidCurrency)
    }

    /// Every current one, by code: for who has to tell somebody else how many places each has.
    pub fn all() -> impl Iterator<Item = Self> {
        let letters = || 'A'..='Z';
        let codes = letters().flat_map(move |a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
        codes.filter_map(|code| Self::parse(&String::from_iter(code)).ok())
    }

    /// The alphabetic code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Decimal places of the currency (ISO 4217 exponent): 0 for JPY, 2 for USD, 3 for KWD.
    ///
    /// A currency without an exponent (such as XAU) has none.
    #[must_use]
    pub fn places(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount of money in major units, zero or more and below 1e15, exact to the currency's places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

impl Money {
    /// Takes an amount in major units (`49.00` is 49 euros), zero included.
    ///
    /// # Errors
    /// [`InvalidAmount`] for a negative amount, 1e15 and more, or more places than the currency has.
    pub fn new(amount: Decimal, currency: Currency) -> Result<Self, InvalidAmount> {
        within(amount, currency.places()).map(|amount| Self { amount, currency })
    }

    /// Like [`Money::new`], but zero is refused.
    ///
    /// # Errors
    /// As [`Money::new`], and [`InvalidAmount::Zero`].
    pub fn positive(amount: Decimal, currency: Currency) -> Result<Self, InvalidAmount> {
        match Self::new(amount, currency)? {
            money if money.amount.is_zero() => Err(InvalidAmount::Zero),
            money => Ok(money),
        }
    }

    /// The amount in major units, without trailing zeros.
    #[must_use]
    pub fn amount(self) -> Decimal {
        self.amount
    }

    /// The currency.
    #[must_use]
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The amount in the currency's smallest unit: 4900 for 49.00 EUR. Exact, below 1e20.
    #[must_use]
    pub fn minor(self) -> BigInt {
        to_units(self.amount, self.currency.places())
    }
}

impl Money {
    /// What `credits` cost at `unit` for each, toward zero to the currency's places; `None` from 1e15 on or below zero.
    #[must_use]
    pub fn priced(unit: Decimal, credits: Credits, currency: Currency) -> Option<Self> {
        let (unit_places, credit_places) = (unit.scale(), credits.value().scale());
        let exact = to_units(unit, unit_places) * to_units(credits.value(), credit_places);
        let dropped = unit_places.saturating_add(credit_places);
        let units = exact * power_of_ten(currency.places()) / power_of_ten(dropped);
        from_units(&units, currency.places()).map(|amount| Self { amount, currency })
    }

    /// The share that `part` of `whole` credits has in it, toward zero to the currency's places; nothing of nothing.
    ///
    /// What remains of a grant is worth this share of its cost, and an entry moves the difference of two such shares: so
    /// opening, changes and closing always add up, however often it was rounded.
    #[must_use]
    pub fn share(self, part: Credits, whole: Credits) -> Self {
        let places = u32::from(MAX_SCALE);
        let whole = to_units(whole.value(), places);
        if whole == BigInt::ZERO {
            return Self { amount: Decimal::ZERO, ..self };
        }
        let units = self.minor() * to_units(part.value(), places) / whole;
        // At most the whole: `part` is no more than `whole`.
        let amount = from_units(&units, self.currency.places()).unwrap_or(self.amount);
        Self { amount, ..self }
    }
}

impl fmt::Display for Money {
    /// The amount with the currency's places, such as `49.00`; the code is not part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.amount;
        shown.rescale(self.currency.places());
        shown.fmt(f)
    }
}

/// `value` as a whole number of units of `10^-places`; digits beyond them are dropped.
#[must_use]
pub fn to_units(value: Decimal, places: u32) -> BigInt {
    let exact = value.normalize();
    let mantissa = BigInt::from(exact.mantissa());
    match places.checked_sub(exact.scale()) {
        Some(up) => mantissa * power_of_ten(up),
        None => mantissa / power_of_ten(exact.scale().saturating_sub(places)),
    }
}

/// The decimal of `units` times `10^-places`; `None` from 1e15 on or below zero.
#[must_use]
pub fn from_units(units: &BigInt, places: u32) -> Option<Decimal> {
    let value = Decimal::try_from_i128_with_scale(units.to_i128()?, places).ok()?.normalize();
    (value < LIMIT && (value.is_zero() || value.is_sign_positive())).then_some(value)
}

/// `units` times `10^-places` as a text with all `places`, such as `49.00`; however many digits there are.
#[must_use]
pub fn with_places(units: &BigInt, places: u32) -> String {
    let digits = units.to_string();
    let places = places as usize;
    if places == 0 {
        return digits;
    }
    let padded = format!("{digits:0>width$}", width = places.saturating_add(1));
    let (whole, part) = padded.split_at(padded.len().saturating_sub(places));
    format!("{whole}.{part}")
}

/// `units` times `10^-places` as a text without trailing zeros.
#[must_use]
pub fn plain(units: &BigInt, places: u32) -> String {
    let text = with_places(units, places);
    if places == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Ten to the `exponent`.
#[must_use]
pub fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

/// An exact quotient of whole numbers; the denominator is above zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fraction {
    /// The dividend.
    pub numerator: BigInt,
    /// The divisor, above zero.
    pub denominator: BigInt,
}

impl Fraction {
    /// Nothing.
    #[must_use]
    pub fn zero() -> Self {
        Self { numerator: BigInt::ZERO, denominator: BigInt::from(1) }
    }

    /// The same in lowest terms as a text: `1/50`, or a whole number.
    #[must_use]
    pub fn in_words(&self) -> String {
        let (mut a, mut b) = (self.numerator.clone(), self.denominator.clone());
        while b != BigInt::ZERO {
            (a, b) = (b.clone(), a % b);
        }
        if self.denominator == a {
            return (&self.numerator / &a).to_string();
        }
        format!("{}/{}", &self.numerator / &a, &self.denominator / &a)
    }

    /// `whole × self`, rounded once, toward zero, to `scale` places; `None` from 1e15 on.
    #[must_use]
    pub fn of(&self, whole: Credits, scale: Scale) -> Option<Credits> {
        let units = to_units(whole.value(), scale.places()) * &self.numerator / &self.denominator;
        from_units(&units, scale.places()).map(Credits)
    }
}
