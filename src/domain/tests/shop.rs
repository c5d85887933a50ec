//! Makes random histories without contradictions: what a billing system might send of a few purchases and signups.
//!
//! Facts come whole or in parts under several ids, purchases are held together by invoices, aliases, chains of them
//! and links, or fall apart; refunds take every status and line form; invoices may be zero, paid in parts, paid twice
//! or never.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::fixtures::*;
use super::random::Random;
use super::rulebook::*;
use crate::domain::message::RefundStatus::{self, Canceled, Failed, Pending, Succeeded};
use crate::domain::message::{Invoice, Message, Payment, Timestamp};
use crate::domain::rules::Rules;

/// A rule of every form; `unsold` is taken by none.
pub(super) fn rules_of_every_form() -> &'static Rules {
    let purchase = vec![
        rule("packs").takes("pack pack-xl"),
        rule("full").takes("full").in_full().per_currency_unit("2.5").with_priority(10),
        rule("enterprise").takes("enterprise").on_invoices_and_payments().per_currency_unit("25").for_days(3650),
        rule("issued").takes("issued").on_invoices().fixed("777").of_type("gpu-minutes", 3).promotional(),
        rule("brief").takes("brief").fixed("12.345").of_type("gpu-minutes", 3).between_days(1, 3),
        rule("nothing").takes("nothing").fixed("0"),
        rule("fine").takes("fine").on_invoices_and_payments().per_unit("0.333333333").of_type("fine", 9),
    ];
    let signup = vec![
        signup_rule("welcome").once_per_identity().of_type("welcome", 0).for_days(3650),
        signup_rule("pro").of_plan("pro").fixed("5").with_priority(0),
    ];
    rules(purchase, signup)
}

const PRICES: [&str; 8] = ["pack", "pack-xl", "full", "enterprise", "issued", "fine", "nothing", "unsold"];

/// Distinct messages in the order of their time, and the instant at which to compare.
pub(super) struct History {
    pub(super) messages: Vec<Message>,
    pub(super) end: Timestamp,
}

pub(super) fn history(random: &mut Random) -> History {
    let mut messages = Vec::new();
    for at in 0..random.from(1..=3) {
        Shop::open(random, at).sell(&mut messages);
    }
    for _ in 0..random.below(4) {
        messages.push(somebody_signs_up(random));
    }
    messages.sort_by_key(|message| message.time);
    // The same content at two times would be one id with two times.
    let mut keys = BTreeSet::new();
    messages.retain(|message| keys.insert(message.key.clone()));
    History { messages, end: day(3) + TimeDelta::hours(i64::try_from(random.below(96)).unwrap()) }
}

fn somebody_signs_up(random: &mut Random) -> Message {
    let mut signup = signup().by(random.pick(&["cus_1", "cus_2", "cus_3"])).at(moment(random));
    if random.percent(70) {
        signup = signup.with_identity(random.pick(&["i1", "i2", "i3", "i4"]));
    }
    if random.percent(50) {
        signup = signup.for_plan(random.pick(&["pro", "free"]));
    }
    signup.into()
}

/// Any of the first 48 hours.
fn moment(random: &mut Random) -> Timestamp {
    hour(i64::try_from(random.below(49)).unwrap())
}

/// One purchase in the making.
struct Shop<'r> {
    random: &'r mut Random,
    customer: &'static str,
    currency: &'static str,
    /// Its names start with this.
    number: usize,
    payments: Vec<String>,
    invoice: Option<String>,
    aliases: Vec<String>,
    sold: Vec<(&'static str, u64, String)>,
    total: usize,
    /// All messages at one time: for grants that start late and end soon.
    time: Option<Timestamp>,
}

impl<'r> Shop<'r> {
    fn open(random: &'r mut Random, number: usize) -> Self {
        let time = random.percent(20).then(|| moment(random));
        let mut sold: Vec<(&str, u64, String)> = Vec::new();
        for _ in 0..random.from(1..=3) {
            let id = if time.is_some() && random.percent(70) { "brief" } else { random.pick(&PRICES) };
            if sold.iter().all(|(known, ..)| *known != id) {
                let amount = if random.percent(15) { 0 } else { random.from(1..=60) };
                sold.push((id, u64::try_from(random.from(1..=4)).unwrap(), amount.to_string()));
            }
        }
        let lines: usize = sold.iter().map(|(_, _, amount)| amount.parse::<usize>().unwrap()).sum();
        let total = match random.below(10) {
            0 => 0,
            1..=3 => lines + random.from(1..=20),
            _ => lines,
        };
        let payments = (0..random.from(0..=3)).map(|at| format!("pi_{number}_{at}")).collect();
        let invoice = random.percent(60).then(|| format!("in_{number}"));
        let aliases = (0..random.from(1..=4)).map(|at| format!("cs_{number}_{at}")).collect();
        let customer = random.pick(&["cus_1", "cus_2", "cus_3"]);
        let currency = random.pick(&["USD", "USD", "JPY", "KWD"]);
        Self { random, customer, currency, number, payments, invoice, aliases, sold, total, time }
    }

    fn sell(mut self, out: &mut Vec<Message>) {
        for at in 0..self.payments.len() {
            self.pay(at, out);
        }
        if self.random.percent(85) {
            self.issue(out);
        }
        for _ in 0..self.random.below(4) {
            self.link(out);
        }
        for at in 0..[0, 0, 1, 1, 2, 3][self.random.below(6)] {
            self.give_back(at, out);
        }
    }

    fn at(&mut self) -> Timestamp {
        self.time.unwrap_or_else(|| moment(self.random))
    }

    fn some_aliases(&mut self) -> Vec<String> {
        let mut some = self.aliases.clone();
        some.retain(|_| self.random.percent(40));
        some
    }

    fn lines(&self) -> Vec<(&'static str, u64, &str)> {
        self.sold.iter().map(|(id, quantity, amount)| (*id, *quantity, amount.as_str())).collect()
    }

    fn pay(&mut self, at: usize, out: &mut Vec<Message>) {
        let count = self.payments.len();
        let amount = match self.random.below(5) {
            0 => self.random.from(1..=80),
            1 => self.total.max(1),
            _ if at == 0 => (self.total - self.total / count * (count - 1)).max(1),
            _ => (self.total / count).max(1),
        };
        let whole =
            payment_succeeded().named(&self.payments[at]).by(self.customer).of(&amount.to_string(), self.currency);
        for _ in 0..=usize::from(self.random.percent(30)) {
            let payment = self.part_of_payment(whole.clone());
            out.push(payment.at(self.at()).into());
        }
    }

    fn part_of_payment(&mut self, mut payment: Fixture<Payment>) -> Fixture<Payment> {
        let aliases = self.some_aliases();
        payment = payment.also_named(&aliases);
        payment = if self.random.percent(60) { payment.for_lines(&self.lines()) } else { payment.without_lines() };
        if let Some(invoice) = self.invoice.clone().filter(|_| self.random.percent(50)) {
            payment = payment.for_invoice(&invoice);
        }
        if self.random.percent(20) {
            payment = payment.paid_by(self.random.pick(&["card", "transfer"]));
        }
        payment
    }

    fn issue(&mut self, out: &mut Vec<Message>) {
        let Some(id) = self.invoice.clone() else { return };
        let whole = invoice_issued().named(&id).by(self.customer).of(&self.total.to_string(), self.currency);
        for _ in 0..=usize::from(self.random.percent(30)) {
            let invoice = self.part_of_invoice(whole.clone());
            out.push(invoice.at(self.at()).into());
        }
    }

    fn part_of_invoice(&mut self, mut invoice: Fixture<Invoice>) -> Fixture<Invoice> {
        let aliases = self.some_aliases();
        invoice = invoice.also_named(&aliases);
        invoice = if self.random.percent(80) { invoice.for_lines(&self.lines()) } else { invoice.without_lines() };
        let known = self.random.below(self.payments.len() + 1);
        invoice = if self.random.percent(40) { invoice.paid_with(&self.payments[..known]) } else { invoice };
        if self.random.percent(20) { invoice.numbered("2026-7") } else { invoice }
    }

    fn link(&mut self, out: &mut Vec<Message>) {
        let aliases = self.some_aliases();
        let some = self.random.below(self.payments.len() + 1);
        let mut link = purchase_linked().aliases(&aliases).payments(&self.payments[..some]);
        if let Some(invoice) = self.invoice.clone().filter(|_| self.random.percent(50)) {
            link = link.invoice(&invoice);
        }
        if link.says.payment_ids.len() + link.says.aliases.len() + usize::from(link.says.invoice_id.is_some()) > 1 {
            out.push(link.at(self.at()).into());
        }
    }

    fn give_back(&mut self, at: usize, out: &mut Vec<Message>) {
        let amount = if self.random.percent(20) { self.total.max(1) } else { self.random.from(1..=40) };
        let by_line = self.money_back(amount);
        let statuses: &[RefundStatus] = match self.random.below(8) {
            0 => &[Pending],
            1 => &[Pending, Succeeded],
            2 => &[Succeeded, Failed],
            3 => &[Pending, Succeeded, Canceled],
            4 => &[Failed, Canceled],
            _ => &[Succeeded],
        };
        for status in statuses {
            let id = format!("re_{}_{at}", self.number);
            let mut back = refund(&id).of(&amount.to_string(), self.currency).that_is(*status);
            back = match self.random.below(3) {
                0 if !self.payments.is_empty() => back.on_payment(&self.payments[at % self.payments.len()]),
                1 if self.invoice.is_some() => back.on_invoice(self.invoice.as_ref().unwrap()),
                _ => back.on_alias(&self.aliases[self.random.below(self.aliases.len())]),
            };
            if self.random.percent(30) {
                back = back.of_customer(self.customer);
            }
            if !by_line.is_empty() && self.random.percent(70) {
                let lines: Vec<_> = by_line.iter().map(|(id, amount)| (*id, amount.as_str())).collect();
                back = back.by_line(&lines);
            }
            out.push(back.at(self.at()).into());
        }
    }

    /// None, one or two lines, now and then of a price that was not sold; together at most `amount`.
    fn money_back(&mut self, amount: usize) -> Vec<(&'static str, String)> {
        let mut left = amount;
        let mut lines: Vec<(&str, String)> = Vec::new();
        for _ in 0..self.random.below(3) {
            let id = if self.random.percent(85) { self.sold[self.random.below(self.sold.len())].0 } else { "foreign" };
            let part = if self.random.percent(50) { left } else { self.random.below(left + 1) };
            if lines.iter().all(|(known, _)| *known != id) {
                left -= part;
                lines.push((id, part.to_string()));
            }
        }
        lines
    }
}
