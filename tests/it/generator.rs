//! Loads of messages whose totals are known beforehand: each story is reckoned here, by hand, when it is made up.

use std::collections::BTreeMap;

use crate::fixtures::{
    BillingMessage, invoice_issued, partial_refund_of, payment_of, payment_succeeded, raw, refund_of, signup,
};
use crate::harness::{Expected, Random};

/// Messages in a random order, some of them twice, and what they come to in any order.
pub(crate) struct Load {
    pub(crate) messages: Vec<BillingMessage>,
    pub(crate) expected: Expected,
}

/// About `count` messages (never fewer) over so many customers.
pub(crate) fn load(seed: u64, count: usize, customers: usize) -> Load {
    let mut writer = Writer {
        random: Random::new(seed),
        customers: (0..customers).map(|number| format!("cus-{seed:x}-{number}")).collect(),
        load: Load { messages: Vec::with_capacity(count + 8), expected: Expected::default() },
        signups: BTreeMap::new(),
    };
    while writer.load.messages.len() < count {
        writer.story();
    }
    let Writer { mut random, mut load, .. } = writer;
    random.shuffle(&mut load.messages);
    load
}

struct Writer {
    random: Random,
    customers: Vec<String>,
    load: Load,
    /// One signup a customer: more of them add nothing.
    signups: BTreeMap<String, BillingMessage>,
}

impl Writer {
    fn story(&mut self) {
        let at = self.random.below(self.customers.len());
        let customer = self.customers[at].clone();
        match self.random.below(20) {
            0..8 => self.purchase(&customer),
            8..13 => self.purchase_with_refunds(&customer),
            13..15 => self.purchase_with_a_refund_that_fails(&customer),
            15..17 => self.invoice(&customer),
            17..19 => self.signup(&customer),
            _ => self.poison(),
        }
    }

    /// A purchase of one to four packs of 1000 credits for 49.00 each.
    fn pay(&mut self, customer: &str) -> (BillingMessage, u64) {
        let packs = self.random.below(4) as u64 + 1;
        let money = money(packs * 4900);
        let lines = serde_json::json!([{ "price_id": crate::fixtures::PACK, "quantity": packs, "amount": money }]);
        let payment = payment_succeeded().by(customer).with("amount", money.as_str()).with("lines", lines);
        self.add(payment.clone());
        (payment, packs)
    }

    fn purchase(&mut self, customer: &str) {
        let (_, packs) = self.pay(customer);
        self.granted(customer, packs * 1000, packs * 1000);
    }

    /// One to three refunds of a tenth of the price or two, each its own message; or all of it at once.
    fn purchase_with_refunds(&mut self, customer: &str) {
        let (payment, packs) = self.pay(customer);
        if self.random.below(5) == 0 {
            self.add(refund_of(&payment));
            return self.granted(customer, packs * 1000, 0);
        }
        let mut tenths = 0;
        for _ in 0..=self.random.below(3) {
            let part = self.random.below(2) as u64 + 1;
            tenths += part;
            self.add(partial_refund_of(&payment, &money(packs * 490 * part)));
        }
        self.granted(customer, packs * 1000, packs * 100 * (10 - tenths));
    }

    /// The refund is told twice: that it succeeded, and that it failed in the end. It takes nothing.
    fn purchase_with_a_refund_that_fails(&mut self, customer: &str) {
        let (payment, packs) = self.pay(customer);
        let refund = partial_refund_of(&payment, &money(packs * 490));
        let failed = refund.clone().with("status", "failed");
        let id = format!("{}-failed", refund.id().expect("an id"));
        self.add(refund);
        self.add(failed.under_id(&id));
        self.granted(customer, packs * 1000, packs * 1000);
    }

    /// Granted once, whether the invoice or its payment comes first: 25 credits a euro.
    fn invoice(&mut self, customer: &str) {
        let invoice = invoice_issued().by(customer);
        let payment = payment_of(&invoice);
        self.add(payment);
        self.add(invoice);
        self.granted(customer, 2500, 2500);
    }

    fn signup(&mut self, customer: &str) {
        if let Some(before) = self.signups.get(customer).cloned() {
            let id = format!("{}-again-{:x}", before.id().expect("an id"), self.random.next());
            return self.add(before.under_id(&id));
        }
        let first = signup().by(customer);
        self.signups.insert(customer.to_owned(), first.clone());
        self.add(first);
        self.granted(customer, 100, 100);
    }

    fn poison(&mut self) {
        let (bad, code) = match self.random.below(4) {
            0 => (payment_succeeded().with("amount", 49.1), "invalid-amount"),
            1 => (payment_succeeded().with("currency", "XXQ"), "unknown-currency"),
            2 => (signup().with("customer_id", ""), "invalid-field"),
            _ => {
                let length = self.random.below(300) + 8;
                (raw(self.random.bytes(length)), "malformed")
            }
        };
        self.load.expected.poison.insert(bad.body().to_owned(), code);
        self.load.messages.push(bad);
    }

    /// One message in ten comes twice.
    fn add(&mut self, message: BillingMessage) {
        if self.random.below(10) == 0 {
            self.load.messages.push(message.clone());
        }
        self.load.messages.push(message);
    }

    fn granted(&mut self, customer: &str, amount: u64, remaining: u64) {
        self.load.expected.grants.entry(customer.to_owned()).or_default().push((amount, remaining));
    }
}

/// Cents as a decimal text.
fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
