//! Rules: which purchase and which signup gives what.
//!
//! `config` reads them from the rules file; here they are already valid. For a line the first rule in file order
//! whose match fits decides, and only then its trigger says when; of a signup every rule that fits grants.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use num_bigint::BigInt;
use rust_decimal::Decimal;

use super::amounts::{Credits, Currency, MAX_SCALE, Scale, from_units, plain, power_of_ten, to_units};
use super::ids::{CreditType, PriceId, Reason, RuleName, RulesHash};
use super::message::{Line, Metadata, Signup};
use super::misfit::Misfit;

/// A whole rules file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// SHA-256 of the file's text.
    pub hash: RulesHash,
    /// Decimal places per credit type.
    pub credit_types: BTreeMap<CreditType, Scale>,
    /// Rules on payments and invoices, in file order.
    pub purchase: Vec<PurchaseRule>,
    /// Rules on signups, in file order.
    pub signup: Vec<SignupRule>,
}

/// A rule on payments or invoices: at least one of `on_payment` and `on_invoice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurchaseRule {
    /// Unique in the file.
    pub name: RuleName,
    /// `payment-succeeded` triggers it.
    pub on_payment: bool,
    /// `invoice-issued` triggers it.
    pub on_invoice: bool,
    /// When a payment-triggered grant is due.
    pub when_paid: WhenPaid,
    /// The lines that it takes.
    pub matches: LineMatch,
    /// What it gives.
    pub grant: GrantTemplate,
}

/// When a payment-triggered grant is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenPaid {
    /// As soon as there is a payment.
    FirstPayment,
    /// When the payments reach the invoice's total.
    InFull,
}

impl WhenPaid {
    /// The word in the rules file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstPayment => "first-payment",
            Self::InFull => "in-full",
        }
    }
}

/// A rule on signups. Its grants are promotional and fixed in amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignupRule {
    /// Unique in the file.
    pub name: RuleName,
    /// Whether a person's second account gets it too.
    pub once_per: OncePer,
    /// The signups that it takes.
    pub matches: SignupMatch,
    /// What it gives.
    pub grant: GrantTemplate,
}

/// How often a signup rule grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OncePer {
    /// Once per customer.
    Customer,
    /// Once per customer and once per identity; a signup without an identity gets nothing.
    Identity,
}

impl OncePer {
    /// The word in the rules file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Identity => "identity",
        }
    }
}

/// Conditions on a line; an absent one fits every line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineMatch {
    /// One of these prices.
    pub price_id: Option<Vec<PriceId>>,
    /// One of these currencies.
    pub currency: Option<Vec<Currency>>,
    /// For each key one of these values, in the line's own metadata.
    pub metadata: BTreeMap<String, Vec<String>>,
}

impl LineMatch {
    /// Whether the line of `price_id` fits.
    #[must_use]
    pub fn fits(&self, price_id: &PriceId, line: &Line) -> bool {
        self.misfit(price_id, line).is_none()
    }

    /// The first condition that the line of `price_id` does not meet; `None` if it fits.
    #[must_use]
    pub fn misfit<'a>(&'a self, price_id: &'a PriceId, line: &'a Line) -> Option<Misfit<'a>> {
        let given = line.amount.currency();
        let price = self.price_id.as_deref().filter(|wanted| !wanted.contains(price_id));
        let currency = self.currency.as_deref().filter(|wanted| !wanted.contains(&given));
        price
            .map(|wanted| Misfit::Price { given: price_id, wanted })
            .or_else(|| currency.map(|wanted| Misfit::Currency { given, wanted }))
            .or_else(|| metadata_misfit(&self.metadata, &line.metadata))
    }
}

/// Conditions on a signup; an absent one fits every signup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignupMatch {
    /// One of these plans.
    pub plan: Option<Vec<String>>,
    /// One of these campaigns.
    pub campaign: Option<Vec<String>>,
    /// For each key one of these values, in the signup's metadata.
    pub metadata: BTreeMap<String, Vec<String>>,
}

impl SignupMatch {
    /// Whether `signup` fits.
    #[must_use]
    pub fn fits(&self, signup: &Signup) -> bool {
        self.misfit(signup).is_none()
    }

    /// The first condition that `signup` does not meet; `None` if it fits.
    #[must_use]
    pub fn misfit<'a>(&'a self, signup: &'a Signup) -> Option<Misfit<'a>> {
        let one_of = |key, wanted: &'a Option<Vec<String>>, given: &'a Option<String>| {
            let (wanted, given) = (wanted.as_deref()?, given.as_deref());
            (!given.is_some_and(|given| wanted.iter().any(|one| one == given))).then_some(Misfit::Text {
                key,
                given,
                wanted,
            })
        };
        one_of("plan", &self.plan, &signup.plan)
            .or_else(|| one_of("campaign", &self.campaign, &signup.campaign))
            .or_else(|| metadata_misfit(&self.metadata, &signup.metadata))
    }
}

fn metadata_misfit<'a>(wanted: &'a BTreeMap<String, Vec<String>>, given: &'a Metadata) -> Option<Misfit<'a>> {
    wanted.iter().find_map(|(key, wanted)| {
        let given = given.get(key);
        let fits = given.is_some_and(|value| wanted.contains(value));
        (!fits).then_some(Misfit::Metadata { key, given: given.map(String::as_str), wanted })
    })
}

/// What a rule gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTemplate {
    /// The pool that it goes to.
    pub credit_type: CreditType,
    /// Decimal places of that credit type.
    pub scale: Scale,
    /// How many credits.
    pub amount: AmountRule,
    /// Whether somebody paid for them.
    pub category: Category,
    /// When they are used: lower first.
    pub priority: Priority,
    /// From the fact's time to the grant's start.
    pub effective_after: Option<TimeDelta>,
    /// From the fact's time to the grant's end; longer than `effective_after`.
    pub expires_after: Option<TimeDelta>,
    /// Words for people; absent: the worker names the cause.
    pub reason: Option<Reason>,
}

/// How a line becomes an amount of credits. Numbers are as the file states them, 0 or more, below 1e15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountRule {
    /// `credits`: once per price (or per signup).
    Fixed(Decimal),
    /// `credits_per_unit`: times the line's quantity.
    PerUnit(Decimal),
    /// `credits_per_currency_unit`: times the line's money in major units.
    PerCurrencyUnit(Decimal),
}

impl AmountRule {
    /// The credits for `line`, rounded once, toward zero, to `scale`; `None` from 1e15 on.
    #[must_use]
    pub fn credits(self, line: &Line, scale: Scale) -> Option<Credits> {
        let (exact, places) = self.exact(line);
        rounded(&exact, places, scale)
    }

    /// The credits of a fixed rule: for signups, which have no line.
    #[must_use]
    pub fn fixed(self, scale: Scale) -> Option<Credits> {
        match self {
            Self::Fixed(credits) => rounded(&to_units(credits, RULE_PLACES), RULE_PLACES, scale),
            Self::PerUnit(_) | Self::PerCurrencyUnit(_) => None,
        }
    }

    /// The product before it is rounded, as a whole number of `10^-places`, and those places.
    fn exact(self, line: &Line) -> (BigInt, u32) {
        let (credits, times, times_places) = match self {
            Self::Fixed(credits) => (credits, BigInt::from(1), 0),
            Self::PerUnit(credits) => (credits, BigInt::from(line.quantity), 0),
            Self::PerCurrencyUnit(credits) => (credits, line.amount.minor(), line.amount.currency().places()),
        };
        (to_units(credits, RULE_PLACES) * times, RULE_PLACES.saturating_add(times_places))
    }

    /// The arithmetic in words, its result included: `3 × 1000 = 3000`, `9.99 × 2.5 = 24.975, rounded down to 24`.
    #[must_use]
    pub fn in_words(self, line: &Line, scale: Scale) -> String {
        let (exact, places) = self.exact(line);
        let result = plain(&exact, places);
        let product = match self {
            Self::Fixed(_) => result.clone(),
            Self::PerUnit(credits) => format!("{} × {} = {result}", line.quantity, credits.normalize()),
            Self::PerCurrencyUnit(credits) => format!("{} × {} = {result}", line.amount, credits.normalize()),
        };
        match rounded(&exact, places, scale) {
            None => format!("{product}, which is 1e15 or more"),
            Some(credits) if credits.to_string() == result => product,
            Some(credits) => format!("{product}, rounded down to {credits}"),
        }
    }
}

/// Decimal places that a rule's own number may have.
pub const RULE_PLACES: u32 = 13;

fn rounded(exact: &BigInt, places: u32, scale: Scale) -> Option<Credits> {
    debug_assert!(u32::from(MAX_SCALE) <= RULE_PLACES, "a rule's number is as fine as any credit type");
    let dropped = places.saturating_sub(scale.places());
    let rounded = from_units(&(exact / power_of_ten(dropped)), scale.places())?;
    Credits::new(rounded, scale).ok()
}

/// Whether somebody paid for a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Given away. Used before paid ones of equal priority and expiry.
    Promotional,
    /// Paid for: has a cost basis.
    Paid,
}

impl Category {
    /// The word in rules, ledger and events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Promotional => "promotional",
            Self::Paid => "paid",
        }
    }

    /// The category of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Promotional, Self::Paid].into_iter().find(|category| category.name() == name)
    }
}

/// 0 to 100; lower is used first, 0 is the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// What a rule gives that names none.
    pub const DEFAULT: Self = Self(50);

    /// Takes 0 to 100.
    #[must_use]
    pub fn new(value: u8) -> Option<Self> {
        (value <= 100).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> u8 {
        self.0
    }
}

impl Rules {
    /// The first rule in file order that takes the line.
    #[must_use]
    pub fn for_line(&self, price_id: &PriceId, line: &Line) -> Option<&PurchaseRule> {
        self.purchase.iter().find(|rule| rule.matches.fits(price_id, line))
    }

    /// Every rule that takes the signup, in file order.
    pub fn for_signup<'a>(&'a self, signup: &'a Signup) -> impl Iterator<Item = &'a SignupRule> {
        self.signup.iter().filter(|rule| rule.matches.fits(signup))
    }
}
