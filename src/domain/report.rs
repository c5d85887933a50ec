//! A month in sums: what customers could spend when it began, what changed that, and what they could spend at its end.
//!
//! Pure: `store` adds up the ledger's entries and this names the sums, keeps them apart by credit type and currency, and
//! closes them. Sums are whole numbers of the smallest unit, as wide as they need to be, so opening and changes give the
//! closing to the last digit. Called by `cli` for `credits report`.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{Datelike, NaiveDate, TimeDelta};
use num_bigint::{BigInt, Sign};

use super::amounts::{Currency, MAX_SCALE, plain, with_places};
use super::ids::CreditType;
use super::message::Timestamp;

/// A calendar month in UTC: from the first instant of its first day on, and before that of the next month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    first: NaiveDate,
    next: NaiveDate,
}

/// The text is no month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no month such as 2026-11")]
pub struct InvalidMonth;

impl Month {
    /// Parses four digits of a year and two of a month, such as `2026-11`.
    ///
    /// # Errors
    /// [`InvalidMonth`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidMonth> {
        let (year, month) = text.split_once('-').ok_or(InvalidMonth)?;
        let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(InvalidMonth);
        }
        let (year, month) = (year.parse().map_err(|_| InvalidMonth)?, month.parse().map_err(|_| InvalidMonth)?);
        let first = NaiveDate::from_ymd_opt(year, month, 1).filter(|_| year > 0).ok_or(InvalidMonth)?;
        let next = first.checked_add_months(chrono::Months::new(1)).ok_or(InvalidMonth)?;
        Ok(Self { first, next })
    }

    /// Its first instant.
    #[must_use]
    pub fn start(self) -> Timestamp {
        self.first.and_time(chrono::NaiveTime::MIN).and_utc()
    }

    /// The first instant of the next month.
    #[must_use]
    pub fn end(self) -> Timestamp {
        self.next.and_time(chrono::NaiveTime::MIN).and_utc()
    }

    /// What of it is past at `now`; `None` before it begins.
    #[must_use]
    pub fn so_far(self, now: Timestamp) -> Option<Period> {
        if now < self.start() {
            return None;
        }
        let as_of = (now < self.end()).then_some(now);
        // Instants are whole microseconds: what counts at `now` itself is in.
        let until = as_of.map_or(self.end(), |now| now.checked_add_signed(TimeDelta::microseconds(1)).unwrap_or(now));
        Some(Period { month: self, until, as_of })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

/// A month, or the part of it that is past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The month.
    pub month: Month,
    /// What counts before this instant is in.
    pub until: Timestamp,
    /// The instant at which it was looked at, if the month was not over.
    pub as_of: Option<Timestamp>,
}

/// What of a month is told apart. Those up to [`Line::RegrantedIn`] add up to the closing; the others are memos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// Spendable when the month began.
    Opening,
    /// Became spendable, and somebody paid for it.
    GrantedPaid,
    /// Became spendable, and nobody paid for it.
    GrantedPromotional,
    /// Used.
    Consumed,
    /// Ran out of time: breakage.
    Expired,
    /// Taken back.
    Revoked,
    /// Taken back before, and given again.
    Reinstated,
    /// Left grants that others replaced.
    RegrantedOut,
    /// Came with grants that replaced others.
    RegrantedIn,
    /// Memo: made, and starts only after the close.
    Scheduled,
    /// Memo: asked back by refunds, and no longer there.
    RefundShortfall,
    /// Memo, below zero: given up again, since refunds failed later, without anything to give back.
    ShortfallWithdrawn,
}

impl Line {
    /// Those whose sum is the closing, in order.
    pub const SUMMANDS: [Self; 9] = [
        Self::Opening,
        Self::GrantedPaid,
        Self::GrantedPromotional,
        Self::Consumed,
        Self::Expired,
        Self::Revoked,
        Self::Reinstated,
        Self::RegrantedOut,
        Self::RegrantedIn,
    ];

    /// Those that are no part of the closing.
    pub const MEMOS: [Self; 3] = [Self::Scheduled, Self::RefundShortfall, Self::ShortfallWithdrawn];

    /// The name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::GrantedPaid => "granted_paid",
            Self::GrantedPromotional => "granted_promotional",
            Self::Consumed => "consumed",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Reinstated => "reinstated",
            Self::RegrantedOut => "regranted_out",
            Self::RegrantedIn => "regranted_in",
            Self::Scheduled => "scheduled",
            Self::RefundShortfall => "refund_shortfall",
            Self::ShortfallWithdrawn => "shortfall_withdrawn",
        }
    }

    /// The line of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::SUMMANDS.into_iter().chain(Self::MEMOS).find(|line| line.name() == name)
    }
}

/// The sums of one credit type, in its credits or in one currency; whole numbers of the smallest unit, signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums(BTreeMap<Line, BigInt>);

impl Sums {
    /// Adds `units` to a line.
    pub fn add(&mut self, line: Line, units: &BigInt) {
        *self.0.entry(line).or_default() += units;
    }

    /// One line.
    #[must_use]
    pub fn line(&self, line: Line) -> BigInt {
        self.0.get(&line).cloned().unwrap_or_default()
    }

    /// Opening and all changes.
    #[must_use]
    pub fn closing(&self) -> BigInt {
        Line::SUMMANDS.iter().map(|line| self.line(*line)).sum()
    }

    /// Every sum under its name, in order: the summands, `closing`, then the memos with what they come to.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, BigInt)> {
        let named = |line: Line| (line.name(), self.line(line));
        let mut sums: Vec<_> = Line::SUMMANDS.map(named).into();
        sums.push(("closing", self.closing()));
        sums.push(("regranted_net", self.line(Line::RegrantedOut) + self.line(Line::RegrantedIn)));
        sums.extend(Line::MEMOS.map(named));
        let beyond = self.line(Line::RefundShortfall) + self.line(Line::ShortfallWithdrawn);
        sums.push(("refunded_beyond_revocable", beyond));
        sums
    }
}

/// What is summed up: credits, or money at cost basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Credits, in units of the ninth decimal place.
    Credits,
    /// Money, in the currency's smallest unit.
    Money(Currency),
}

impl Unit {
    /// A sum as a plain decimal: credits without trailing zeros, money with the currency's places.
    #[must_use]
    pub fn show(self, units: &BigInt) -> String {
        let digits = BigInt::from(units.magnitude().clone());
        let text = match self {
            Self::Credits => plain(&digits, u32::from(MAX_SCALE)),
            Self::Money(currency) => with_places(&digits, currency.places()),
        };
        if units.sign() == Sign::Minus { format!("-{text}") } else { text }
    }
}

/// A month in sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When.
    pub period: Period,
    /// By credit type: its credits, and the money of each currency in which such credits were paid for.
    pub sums: BTreeMap<CreditType, BTreeMap<Unit, Sums>>,
}

impl Report {
    /// Starts without sums.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self { period, sums: BTreeMap::new() }
    }

    /// Adds to one sum.
    pub fn add(&mut self, credit_type: &CreditType, unit: Unit, line: Line, units: &BigInt) {
        self.sums.entry(credit_type.clone()).or_default().entry(unit).or_default().add(line, units);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_is_half_open_and_in_utc() {
        for (text, start, end) in [
            ("2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("2025-12", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ] {
            let month = Month::parse(text).unwrap();
            assert_eq!((month.start(), month.end()), (instant(start), instant(end)));
            assert_eq!(month.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for text in ["", "2026", "2026-13", "2026-00", "2026-1", "26-11", "2026-11-01", "+026-11", "2026-+1", "0000-01"]
        {
            assert_eq!(Month::parse(text), Err(InvalidMonth), "{text}");
        }
    }

    #[test]
    fn a_month_that_is_over_counts_to_its_end_and_one_that_runs_counts_to_now_and_now_itself() {
        let month = Month::parse("2026-11").unwrap();
        let so_far = |now: &str| month.so_far(instant(now)).map(|period| (period.until, period.as_of));
        assert_eq!(so_far("2026-10-31T23:59:59.999999Z"), None);
        let (start, after) = (instant("2026-11-01T00:00:00Z"), instant("2026-11-01T00:00:00.000001Z"));
        assert_eq!(so_far("2026-11-01T00:00:00Z"), Some((after, Some(start))));
        assert_eq!(so_far("2026-12-01T00:00:00Z"), Some((instant("2026-12-01T00:00:00Z"), None)));
        assert_eq!(so_far("2031-01-01T00:00:00Z"), Some((instant("2026-12-01T00:00:00Z"), None)));
    }

    #[test]
    fn the_closing_is_the_sum_of_the_summands_and_of_no_memo() {
        let mut sums = Sums::default();
        for (exponent, line) in (0..).zip(Line::SUMMANDS.into_iter().chain(Line::MEMOS)) {
            sums.add(line, &BigInt::from(1 << exponent));
        }
        assert_eq!(sums.closing(), BigInt::from(0b1_1111_1111));
        let named: BTreeMap<_, _> = sums.named().into_iter().collect();
        assert_eq!(named["regranted_net"], BigInt::from(0b1_1000_0000));
        assert_eq!(named["refunded_beyond_revocable"], BigInt::from(0b1100_0000_0000));
        assert_eq!(named["scheduled"], BigInt::from(0b10_0000_0000));
    }

    #[test]
    fn every_line_is_found_by_its_name() {
        for line in Line::SUMMANDS.into_iter().chain(Line::MEMOS) {
            assert_eq!(Line::from_name(line.name()), Some(line));
        }
        assert_eq!(Line::from_name("closing"), None);
    }

    #[test]
    fn sums_are_shown_as_plain_decimals_below_zero_too() {
        let eur = Unit::Money(Currency::parse("EUR").unwrap());
        let jpy = Unit::Money(Currency::parse("JPY").unwrap());
        for (unit, units, text) in [
            (Unit::Credits, "12500000000", "12.5"),
            (Unit::Credits, "-1", "-0.000000001"),
            (Unit::Credits, "-1000000000", "-1"),
            (Unit::Credits, "123456789012345678901234567890123000000000", "123456789012345678901234567890123"),
            (Unit::Credits, "0", "0"),
            (eur, "-5", "-0.05"),
            (eur, "4900", "49.00"),
            (eur, "0", "0.00"),
            (jpy, "-120", "-120"),
        ] {
            assert_eq!(unit.show(&units.parse().unwrap()), text);
        }
    }
}
