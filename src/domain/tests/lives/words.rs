//! Uses and adjustments in the user's words.

use super::super::fixtures::{Fixture, Says, start};
use super::super::rulebook::{Gives, Takes, rule, rules, signup_rule};
use crate::domain::adjustment::{Action, Adjustment, Expiry, NewTerms};
use crate::domain::amounts::{Credits, parse_plain};
use crate::domain::ids::{Actor, AdjustmentId, CreditType, CustomerId, Reason, UsageId};
use crate::domain::message::{Content, Metadata};
use crate::domain::rules::{Category, Priority, Rules};
use crate::domain::usage::Usage;

/// One credit a unit for every price, but for `brief` from day 2 to day 4; 100 welcome credits for 30 days; credit types
/// of 0, 3 and 9 places.
pub(in crate::domain::tests) fn counter() -> &'static Rules {
    let purchase = vec![
        rule("brief").takes("brief").per_unit("1").between_days(2, 4),
        rule("minutes").takes("minutes").per_unit("1").of_type("gpu-minutes", 3),
        rule("fine").takes("fine").per_unit("1").of_type("fine", 9),
        rule("each").per_unit("1"),
    ];
    rules(purchase, vec![signup_rule("welcome").with_priority(0).for_days(30)])
}

pub(in crate::domain::tests) fn credits(amount: &str) -> Credits {
    Credits::stored(parse_plain(amount).unwrap()).unwrap()
}

/// `cus_1` uses so many `credits`.
pub(in crate::domain::tests) fn usage(id: &str, amount: &str) -> Fixture<Usage> {
    Fixture::saying(Usage {
        usage_id: UsageId::parse(id).unwrap(),
        customer_id: CustomerId::parse("cus_1").unwrap(),
        credit_type: CreditType::parse("credits").unwrap(),
        amount: credits(amount),
        occurred_at: start(),
        metadata: Metadata::new(),
    })
}

/// Ada changes the `credits` of `cus_1`.
pub(in crate::domain::tests) fn adjustment(id: &str, action: Action) -> Fixture<Adjustment> {
    Fixture::saying(Adjustment {
        adjustment_id: AdjustmentId::parse(id).unwrap(),
        customer_id: CustomerId::parse("cus_1").unwrap(),
        credit_type: CreditType::parse("credits").unwrap(),
        action,
        payment_method: None,
        actor: Actor::parse("ada").unwrap(),
        reason: Reason::parse("by hand").unwrap(),
    })
}

/// Promotional, of the default priority, from the message's time on, without end.
pub(in crate::domain::tests) fn new_terms(amount: &str) -> NewTerms {
    NewTerms {
        amount: credits(amount),
        used: Credits::ZERO,
        category: Category::Promotional,
        priority: Priority::DEFAULT,
        cost: None,
        effective_at: None,
        expiry: Expiry::Never,
    }
}

impl Fixture<Usage> {
    pub(in crate::domain::tests) fn by(self, customer: &str) -> Self {
        self.with(|usage| usage.customer_id = CustomerId::parse(customer).unwrap())
    }

    pub(in crate::domain::tests) fn of_type(self, credit_type: &str) -> Self {
        self.with(|usage| usage.credit_type = CreditType::parse(credit_type).unwrap())
    }
}

impl Fixture<Adjustment> {
    pub(in crate::domain::tests) fn by(self, customer: &str) -> Self {
        self.with(|adjustment| adjustment.customer_id = CustomerId::parse(customer).unwrap())
    }

    pub(in crate::domain::tests) fn of_type(self, credit_type: &str) -> Self {
        self.with(|adjustment| adjustment.credit_type = CreditType::parse(credit_type).unwrap())
    }
}

impl Says for Usage {
    fn content(&self) -> Content {
        Content::Usage(self.clone())
    }
}

impl Says for Adjustment {
    fn content(&self) -> Content {
        Content::Adjustment(self.clone())
    }
}
