//! Facts that one message states alone: a use, an adjustment. Taken once, whoever says it again.

use super::amounts::InvalidAmount;
use super::books::{Books, Record, contradicts, record};
use super::facts::Contradiction;
use super::ids::{CreditType, InboxId};
use super::message::{Content, Message, Name};
use super::outcome::{Outcome, RefusalCode};
use super::rules::Rules;
use super::sides::side_by_side;

/// Fields that are words for people, or the message's own: no part of the fact.
const NOT_STATED: [&str; 4] = ["type", "metadata", "reason", "payment_method"];

/// What makes a message impossible under the rules in force, if anything: its credit type, places or dates.
pub(super) fn unfit(message: &Message, rules: &Rules) -> Option<(RefusalCode, String)> {
    match &message.content {
        Content::Purchase(_) | Content::Signup(_) => None,
        Content::Usage(usage) => unfit_amounts(&usage.credit_type, [("amount", Some(usage.amount))], rules),
        Content::Adjustment(adjustment) => unfit_amounts(&adjustment.credit_type, adjustment.amounts(), rules)
            .or_else(|| adjustment.unfit(message.time)),
    }
}

fn unfit_amounts<const N: usize>(
    credit_type: &CreditType,
    amounts: [(&str, Option<super::amounts::Credits>); N],
    rules: &Rules,
) -> Option<(RefusalCode, String)> {
    let Some(scale) = rules.credit_types.get(credit_type) else {
        let known: Vec<&str> = rules.credit_types.keys().map(CreditType::as_str).collect();
        let known = known.join(", ");
        let words = format!("data.credit_type {:?} is none of the rules file's: {known}", credit_type.as_str());
        return Some((RefusalCode::InvalidField, words));
    };
    amounts.into_iter().find_map(|(field, amount)| {
        let amount = amount?.value();
        (amount.scale() > scale.places()).then(|| {
            let error = InvalidAmount::TooManyPlaces { given: amount.scale(), allowed: scale.places() };
            (RefusalCode::InvalidAmount, format!("data.{field} {:?} {error}", amount.to_string()))
        })
    })
}

impl Books<'_> {
    /// What becomes of a message whose fact is kept already: a repetition, or a contradiction. `None` of a new one.
    pub(super) fn stated_before(&self, name: &Name, inbox_id: InboxId, message: &Message) -> Option<Record> {
        let kept = self.stated.get(name)?;
        let differs = |field: &super::sides::Field| field.differs() && !NOT_STATED.contains(&field.name);
        let first = side_by_side(&kept.content, &message.content).into_iter().find(differs);
        let (kind, value) = (name.kind(), name.value());
        let Some(field) = first else {
            let words = format!("this {kind} adds nothing to what is known");
            return Some(record(inbox_id, Outcome::Duplicate, words, Vec::new()));
        };
        let said = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned()).into();
        Some(contradicts(
            inbox_id,
            Contradiction {
                field: format!("{kind} {value}: {}", field.name).into(),
                kept: said(field.kept),
                given: said(field.refused),
                kept_by: Some(kept.key.clone()),
                given_by: Some(message.key.clone()),
            },
        ))
    }

    /// Notes that a message states the fact of that name, if it is kept.
    pub(super) fn state(&mut self, name: Name, record: &Record, message: Message) {
        if record.outcome == Outcome::DeadLettered || self.stated.contains_key(&name) {
            return;
        }
        // The row that a purchase's name has there is the purchase; a fact that stands alone is its message.
        self.names.insert(name.clone(), super::ids::PurchaseId(record.inbox_id.0));
        self.changes.names.insert(name.clone());
        self.stated.insert(name, message);
    }
}
