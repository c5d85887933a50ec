//! Makes small random sets of messages whose names, links and fields are drawn from so few that they often meet, and
//! sometimes contradict.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::fixtures::*;
use super::random::Random;
use crate::domain::message::RefundStatus::{Canceled, Failed, Pending, Succeeded};
use crate::domain::message::{Message, Timestamp};

const PAYMENTS: [&str; 3] = ["pi_1", "pi_2", "pi_3"];
const INVOICES: [&str; 2] = ["in_1", "in_2"];
const ALIASES: [&str; 3] = ["cs_1", "cs_2", "cs_3"];
const REFUNDS: [&str; 2] = ["re_1", "re_2"];
const PRICES: [&str; 6] = ["pack", "full", "full", "enterprise", "issued", "fine"];

/// Distinct messages, and the instant at which to compare.
pub(super) struct Set {
    pub(super) messages: Vec<Message>,
    pub(super) end: Timestamp,
}

/// `size` messages; in `lies` of a hundred fields one says otherwise than its like.
pub(super) fn set(random: &mut Random, size: usize, lies: usize) -> Set {
    let one_time = random.percent(25);
    let mut maker = Maker::new(random, one_time, lies);
    let (mut messages, mut keys) = (Vec::<Message>::new(), BTreeSet::new());
    while messages.len() < size {
        let message = maker.message();
        if keys.insert(message.key.clone()) {
            messages.push(message);
        }
    }
    Set { messages, end: day(2) + TimeDelta::hours(if one_time { hours(random, 72) } else { 24 }) }
}

fn hours(random: &mut Random, below: usize) -> i64 {
    i64::try_from(random.below(below)).unwrap()
}

struct Maker<'r> {
    random: &'r mut Random,
    lies: usize,
    /// All messages at one time: then a grant may end soon and still does so in every order.
    one_time: bool,
    sold: Vec<(&'static str, u64, String)>,
    paid: [usize; 3],
    back: [usize; 2],
    total: usize,
}

impl<'r> Maker<'r> {
    fn new(random: &'r mut Random, one_time: bool, lies: usize) -> Self {
        let mut sold: Vec<(&str, u64, String)> = Vec::new();
        for _ in 0..random.from(1..=2) {
            let id = if one_time && random.percent(50) { "brief" } else { random.pick(&PRICES) };
            if sold.iter().all(|(known, ..)| *known != id) {
                sold.push((id, 1, random.from(0..=50).to_string()));
            }
        }
        let total = random.from(0..=4) * 20;
        let paid = [0; 3].map(|_: usize| [total / 2, total, total + 7][random.below(3)].max(1));
        let back = [0; 2].map(|_: usize| random.from(1..=60));
        Self { random, lies, one_time, sold, paid, back, total }
    }

    fn message(&mut self) -> Message {
        match self.random.below(20) {
            0..=6 => self.payment(),
            7..=10 => self.invoice(),
            11..=15 => self.refund(),
            16..=18 => self.link(),
            _ => self.signup(),
        }
    }

    fn lies(&mut self) -> bool {
        self.random.percent(self.lies)
    }

    fn time(&mut self) -> Timestamp {
        if self.one_time { start() } else { hour(hours(self.random, 48)) }
    }

    fn customer(&mut self) -> &'static str {
        if self.lies() { "cus_2" } else { "cus_1" }
    }

    fn invoice_id(&mut self) -> &'static str {
        INVOICES[usize::from(self.lies())]
    }

    fn lines(&mut self) -> Vec<(&'static str, u64, String)> {
        let units = if self.lies() { 2 } else { 1 };
        self.sold.iter().map(|(id, _, amount)| (*id, units, amount.clone())).collect()
    }

    fn aliases(&mut self) -> Vec<&'static str> {
        let mut some = ALIASES.to_vec();
        some.retain(|_| self.random.percent(25));
        some
    }

    fn payment(&mut self) -> Message {
        let at = self.random.below(3);
        let amount = self.paid[at] + usize::from(self.lies());
        let currency = if self.lies() { "EUR" } else { "USD" };
        let mut payment = payment_succeeded().named(PAYMENTS[at]).by(self.customer()).of(&amount.to_string(), currency);
        payment = payment.also_named(&self.aliases());
        if self.random.percent(35) {
            payment = payment.for_invoice(self.invoice_id());
        }
        let lines = self.lines();
        let lines: Vec<_> = lines.iter().map(|(id, units, amount)| (*id, *units, amount.as_str())).collect();
        payment = if self.random.percent(65) { payment.for_lines(&lines) } else { payment.without_lines() };
        payment.at(self.time()).into()
    }

    fn invoice(&mut self) -> Message {
        let total = self.total + usize::from(self.lies());
        let mut invoice = invoice_issued().named(self.invoice_id()).by(self.customer()).of(&total.to_string(), "USD");
        invoice = invoice.also_named(&self.aliases());
        if self.random.percent(40) {
            invoice = invoice.paid_with(&[self.random.pick(&PAYMENTS)]);
        }
        let lines = self.lines();
        let lines: Vec<_> = lines.iter().map(|(id, units, amount)| (*id, *units, amount.as_str())).collect();
        invoice = if self.random.percent(80) { invoice.for_lines(&lines) } else { invoice.without_lines() };
        invoice.at(self.time()).into()
    }

    fn refund(&mut self) -> Message {
        let at = self.random.below(2);
        let amount = self.back[at] + usize::from(self.lies());
        let mut back = refund(REFUNDS[at]).of(&amount.to_string(), "USD");
        back = back.that_is(self.random.pick(&[Succeeded, Succeeded, Succeeded, Pending, Failed, Canceled]));
        back = match self.random.below(5) {
            0 => back.on_invoice(self.invoice_id()),
            1 => back.on_alias(self.random.pick(&ALIASES)),
            2 => back.on_payment(PAYMENTS[at]).on_alias(self.random.pick(&ALIASES)),
            3 => back.on_payment(PAYMENTS[at]).on_invoice(self.invoice_id()),
            _ => back.on_payment(PAYMENTS[at]),
        };
        if self.random.percent(20) {
            back = back.of_customer(self.customer());
        }
        if self.random.percent(40) {
            let money = (amount / 2 + usize::from(self.lies())).to_string();
            back = back.by_line(&[(self.sold[at % self.sold.len()].0, money.as_str())]);
        }
        back.at(self.time()).into()
    }

    fn link(&mut self) -> Message {
        loop {
            let mut payments = PAYMENTS.to_vec();
            payments.retain(|_| self.random.percent(40));
            let mut link = purchase_linked().payments(&payments).aliases(&self.aliases());
            let mut names = payments.len() + link.says.aliases.len();
            if self.random.percent(40) {
                link = link.invoice(self.invoice_id());
                names += 1;
            }
            if names > 1 {
                return link.at(self.time()).into();
            }
        }
    }

    fn signup(&mut self) -> Message {
        let signup = signup().by(self.customer()).with_identity(self.random.pick(&["i1", "i2"]));
        let signup = if self.random.percent(50) { signup.for_plan("pro") } else { signup };
        signup.at(self.time()).into()
    }
}
