//! What a waiting message waits for, in words: which payment, which invoice, how much money.
//!
//! Pure, and decides nothing: `told` has said that the message waits. Called by the verbs that ask.

use num_bigint::BigInt;

use super::amounts::with_places;
use super::facts::Facts;
use super::ids::{PriceId, RuleName};
use super::message::{Name, Statement};
use super::purchase::{Standing, Undecided, Wanted};
use super::rules::Rules;
use super::target::{due, paid};

/// What is missing in a purchase for `statement` to take effect; any one of several for a refund or a link, all of
/// them for the others. Empty if nothing is.
///
/// `rules` are those in force when it began to wait, if they are known.
#[must_use]
pub fn awaited(
    statement: &Statement,
    facts: &Facts,
    wanted: &[Wanted<'_>],
    undecided: &[Undecided],
    rules: Option<&Rules>,
) -> Vec<String> {
    let anything = !facts.payments.is_empty() || facts.invoice.is_some();
    match statement {
        Statement::Refund(_) if !anything => vec![either(statement, "that it refunds")],
        Statement::Link(_) if !anything => vec![either(statement, "that it links")],
        Statement::Refund(_) | Statement::Link(_) => Vec::new(),
        Statement::Payment(_) | Statement::Invoice(_) if facts.lines().is_none() => vec![lines(facts)],
        Statement::Payment(_) | Statement::Invoice(_) => {
            let triggers = undecided.iter().map(|line| trigger(line, facts, rules));
            let unpaid = wanted.iter().filter(|want| want.standing == Standing::NotPaid);
            triggers.chain(unpaid.map(|want| rest(want, facts))).collect()
        }
    }
}

/// `the payment pi_1 or the invoice in_1 that it refunds`.
fn either(statement: &Statement, why: &str) -> String {
    let names = statement.names();
    let partners = names.iter().filter_map(|name| match name {
        Name::Payment(id) => Some(format!("the payment {id}")),
        Name::Invoice(id) => Some(format!("the invoice {id}")),
        Name::Other(id) => Some(format!("a payment or an invoice with the alias {id}")),
        Name::Refund(_) | Name::Usage(_) | Name::Adjustment(_) => None,
    });
    format!("{} {why}", partners.collect::<Vec<_>>().join(" or "))
}

fn lines(facts: &Facts) -> String {
    match (facts.invoice_name(), facts.invoice.is_some()) {
        (Some(invoice), false) => format!("the invoice {invoice} whose lines it needs"),
        (Some(invoice), true) => format!("the lines of invoice {invoice}, which were not in it"),
        (None, _) => {
            let names: Vec<&str> = facts.payments.keys().map(super::ids::PaymentId::as_str).collect();
            format!("an invoice, or another message with lines, of payment {}", names.join(", "))
        }
    }
}

fn trigger(line: &Undecided, facts: &Facts, rules: Option<&Rules>) -> String {
    let price = &line.price_id;
    let rule = rules.zip(facts.lines().and_then(|lines| lines.0.get(price)));
    let rule = rule.and_then(|(rules, line)| rules.for_line(price, line)).map(|rule| &rule.name);
    let by = rule.map_or_else(String::new, |rule| format!(" by rule {rule}"));
    let purchase = facts.invoice_name().map_or_else(String::new, |invoice| format!(" of invoice {invoice}"));
    let payments = facts.payments.keys().next().map_or_else(String::new, |payment| format!(" of payment {payment}"));
    match (line.awaits, facts.invoice_name()) {
        ("its payment", _) => format!("a payment{purchase}, which grants for {price}{by}"),
        (_, Some(invoice)) => format!("the invoice {invoice}, which grants for {price}{by}"),
        (_, None) => format!("an invoice{payments}, which grants for {price}{by}"),
    }
}

fn rest(want: &Wanted<'_>, facts: &Facts) -> String {
    let terms = &want.gift.terms;
    let rule = terms.rule.as_ref().map_or("", RuleName::as_str);
    let price = terms.price_id.as_ref().map_or("", PriceId::as_str);
    let by = format!("rule {rule} grants for {price} once it is paid in full");
    let named = facts.invoice_name().map_or_else(String::new, ToString::to_string);
    if facts.invoice.is_none() {
        return format!("the invoice {named} and its total: {by}");
    }
    let (due, paid, currency) = (due(facts), paid(facts), facts.currency());
    let places = currency.map_or(0, super::amounts::Currency::places);
    let code = currency.map_or("", super::amounts::Currency::code);
    let missing = (&due - &paid).max(BigInt::ZERO);
    let [missing, due, paid] = [missing, due, paid].map(|units| with_places(&units, places));
    format!("{missing} {code} more for invoice {named} ({paid} of {due} paid): {by}")
}
