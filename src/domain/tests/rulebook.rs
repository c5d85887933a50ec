//! Rules in the user's words.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::fixtures::price;
use crate::domain::amounts::{Scale, parse_plain};
use crate::domain::ids::{CreditType, RuleName, RulesHash};
use crate::domain::rules::{
    AmountRule, Category, GrantTemplate, LineMatch, OncePer, Priority, PurchaseRule, Rules, SignupMatch, SignupRule,
    WhenPaid,
};

/// Purchase and signup rules of one file. It lives as long as the test process: books borrow it.
pub(super) fn rules(purchase: Vec<PurchaseRule>, signup: Vec<SignupRule>) -> &'static Rules {
    let templates = purchase.iter().map(|rule| &rule.grant).chain(signup.iter().map(|rule| &rule.grant));
    let credit_types: BTreeMap<_, _> = templates.map(|grant| (grant.credit_type.clone(), grant.scale)).collect();
    Box::leak(Box::new(Rules { hash: RulesHash([7; 32]), credit_types, purchase, signup }))
}

/// One rule on payments: 1000 paid credits for each `pack`.
pub(super) fn packs() -> &'static Rules {
    rules(vec![rule("packs").takes("pack")], vec![])
}

/// A rule on payments that takes every line and gives 1000 paid credits a unit.
pub(super) fn rule(name: &str) -> PurchaseRule {
    PurchaseRule {
        name: RuleName::parse(name).unwrap(),
        on_payment: true,
        on_invoice: false,
        when_paid: WhenPaid::FirstPayment,
        matches: LineMatch::default(),
        grant: GrantTemplate { category: Category::Paid, ..template(AmountRule::PerUnit(1000.into())) },
    }
}

/// A rule on signups that takes every signup and gives 100 promotional credits once per customer.
pub(super) fn signup_rule(name: &str) -> SignupRule {
    SignupRule {
        name: RuleName::parse(name).unwrap(),
        once_per: OncePer::Customer,
        matches: SignupMatch::default(),
        grant: template(AmountRule::Fixed(100.into())),
    }
}

fn template(amount: AmountRule) -> GrantTemplate {
    GrantTemplate {
        credit_type: CreditType::parse("credits").unwrap(),
        scale: Scale::new(0).unwrap(),
        amount,
        category: Category::Promotional,
        priority: Priority::DEFAULT,
        effective_after: None,
        expires_after: None,
        reason: None,
    }
}

/// What both kinds of rules give.
pub(super) trait Gives: Sized {
    fn grant(&mut self) -> &mut GrantTemplate;

    fn giving(mut self, change: impl FnOnce(&mut GrantTemplate)) -> Self {
        change(self.grant());
        self
    }

    fn fixed(self, credits: &str) -> Self {
        self.giving(|grant| grant.amount = AmountRule::Fixed(parse_plain(credits).unwrap()))
    }

    fn of_type(self, credit_type: &str, places: u8) -> Self {
        self.giving(|grant| {
            grant.credit_type = CreditType::parse(credit_type).unwrap();
            grant.scale = Scale::new(places).unwrap();
        })
    }

    fn with_priority(self, priority: u8) -> Self {
        self.giving(|grant| grant.priority = Priority::new(priority).unwrap())
    }

    fn between_days(self, from: i64, to: i64) -> Self {
        self.giving(|grant| {
            grant.effective_after = Some(TimeDelta::days(from));
            grant.expires_after = Some(TimeDelta::days(to));
        })
    }

    fn for_days(self, days: i64) -> Self {
        self.giving(|grant| grant.expires_after = Some(TimeDelta::days(days)))
    }
}

impl Gives for PurchaseRule {
    fn grant(&mut self) -> &mut GrantTemplate {
        &mut self.grant
    }
}

impl Gives for SignupRule {
    fn grant(&mut self) -> &mut GrantTemplate {
        &mut self.grant
    }
}

pub(super) trait Takes: Sized {
    fn takes(self, prices: &str) -> Self;
    fn on_invoices_and_payments(self) -> Self;
    fn on_invoices(self) -> Self;
    fn in_full(self) -> Self;
    fn per_unit(self, credits: &str) -> Self;
    fn per_currency_unit(self, credits: &str) -> Self;
    fn promotional(self) -> Self;
}

impl Takes for PurchaseRule {
    /// Lines of these prices, written with spaces between them.
    fn takes(mut self, prices: &str) -> Self {
        self.matches.price_id = Some(prices.split(' ').map(price).collect());
        self
    }

    fn on_invoices_and_payments(mut self) -> Self {
        self.on_invoice = true;
        self
    }

    fn on_invoices(mut self) -> Self {
        (self.on_payment, self.on_invoice) = (false, true);
        self
    }

    fn in_full(mut self) -> Self {
        self.when_paid = WhenPaid::InFull;
        self
    }

    fn per_unit(self, credits: &str) -> Self {
        self.giving(|grant| grant.amount = AmountRule::PerUnit(parse_plain(credits).unwrap()))
    }

    fn per_currency_unit(self, credits: &str) -> Self {
        self.giving(|grant| grant.amount = AmountRule::PerCurrencyUnit(parse_plain(credits).unwrap()))
    }

    fn promotional(self) -> Self {
        self.giving(|grant| grant.category = Category::Promotional)
    }
}

pub(super) trait TakesSignups: Sized {
    fn once_per_identity(self) -> Self;
    fn of_plan(self, plan: &str) -> Self;
}

impl TakesSignups for SignupRule {
    fn once_per_identity(mut self) -> Self {
        self.once_per = OncePer::Identity;
        self
    }

    fn of_plan(mut self, plan: &str) -> Self {
        self.matches.plan = Some(vec![plan.to_owned()]);
        self
    }
}
