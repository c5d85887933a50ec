//! Random messages about a few purchases that keep running into each other: facts that agree, add to each other, link
//! purchases, and at times contradict.

use serde_json::{Value, json};

use crate::fixtures::{BillingMessage, message};
use crate::harness::Random;

/// Whether all messages of a world can be true together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Temper {
    Agreeable,
    Quarrelsome,
}

/// The messages of one world, in the order in which they are sent. Ids of different worlds have nothing in common.
pub(super) fn story(random: &mut Random, temper: Temper, world: usize, steps: usize) -> Vec<BillingMessage> {
    let mut teller = Teller { world, temper, lines: sold(random), sent: Vec::new() };
    while teller.sent.len() < steps {
        let next = teller.next(random);
        teller.sent.push(next);
    }
    teller.sent
}

struct Teller {
    world: usize,
    temper: Temper,
    /// What most messages of this world say was sold.
    lines: Value,
    sent: Vec<BillingMessage>,
}

impl Teller {
    fn next(&self, random: &mut Random) -> BillingMessage {
        match random.below(20) {
            0..6 => self.payment(random),
            6..9 => self.invoice(random),
            9..14 => self.refund(random),
            14..16 => self.link(random),
            16 => self.signup(random),
            _ => self.again(random),
        }
    }

    fn payment(&self, random: &mut Random) -> BillingMessage {
        let number = random.below(3);
        let amount = if self.quarrels(random, 12) { "55.55" } else { ["40.00", "50.00", "60.00"][number] };
        let mut data = json!({
            "payment_id": self.id("pi", number), "customer_id": self.customer(random), "amount": amount,
            "currency": self.currency(random),
        });
        self.add_lines(random, &mut data);
        if one_in(random, 2) {
            data["invoice_id"] = self.invoice_id(random).into();
        }
        self.add_aliases(random, &mut data);
        self.tell("payment-succeeded", &data)
    }

    fn invoice(&self, random: &mut Random) -> BillingMessage {
        let total = ["100.00", "0.00"][usize::from(self.quarrels(random, 12))];
        let mut data = json!({
            "invoice_id": self.invoice_id(random), "customer_id": self.customer(random),
            "total": total, "currency": self.currency(random), "lines": [],
        });
        self.add_lines(random, &mut data);
        if one_in(random, 3) {
            data["payment_ids"] = json!([self.id("pi", random.below(3))]);
        }
        self.add_aliases(random, &mut data);
        self.tell("invoice-issued", &data)
    }

    fn refund(&self, random: &mut Random) -> BillingMessage {
        let number = random.below(4);
        let status = ["pending", "succeeded", "succeeded", "succeeded", "failed", "canceled"][random.below(6)];
        let mut data = json!({
            "refund_id": self.id("re", number), "amount": (["10.00", "13.37", "25.00", "90.00"][number]),
            "currency": self.currency(random), "status": status,
        });
        match random.below(5) {
            0..3 if self.temper == Temper::Agreeable => data["payment_id"] = self.id("pi", number % 3).into(),
            0..3 => data["payment_id"] = self.id("pi", random.below(3)).into(),
            3 => data["invoice_id"] = self.invoice_id(random).into(),
            _ => data["aliases"] = json!([self.id("cs", random.below(2))]),
        }
        if number == 2 {
            data["lines"] = json!([{ "price_id": self.lines[0]["price_id"], "amount": "20.00" }]);
        }
        self.tell("refund", &data)
    }

    fn link(&self, random: &mut Random) -> BillingMessage {
        let payments = [self.id("pi", random.below(3)), self.id("pi", random.below(3))];
        let data = match random.below(3) {
            0 => json!({ "payment_ids": payments, "invoice_id": self.id("in", 0) }),
            1 => json!({ "payment_ids": [payments[0]], "aliases": [self.id("cs", random.below(2))] }),
            _ => json!({ "invoice_id": self.invoice_id(random), "aliases": [self.id("cs", 0)] }),
        };
        self.tell("purchase-linked", &data)
    }

    fn signup(&self, random: &mut Random) -> BillingMessage {
        let mut data = json!({ "customer_id": self.customer(random), "plan": (["free", "pro"][random.below(2)]) });
        if !one_in(random, 4) {
            data["identity"] = self.id("person", random.below(2)).into();
        }
        self.tell("signup", &data)
    }

    /// A message that was sent before: as it was, or the same id with another content.
    fn again(&self, random: &mut Random) -> BillingMessage {
        if self.sent.is_empty() {
            return self.payment(random);
        }
        let before = self.sent[random.below(self.sent.len())].clone();
        if self.quarrels(random, 6) { before.with("customer_id", self.id("cus", 7)) } else { before }
    }

    fn add_lines(&self, random: &mut Random, data: &mut Value) {
        match random.below(16) {
            0..10 => data["lines"] = self.lines.clone(),
            10 if self.temper == Temper::Quarrelsome => {
                data["lines"] = json!([{ "price_id": "pack", "quantity": 9, "amount": "9.00" }]);
            }
            _ => {}
        }
    }

    fn add_aliases(&self, random: &mut Random, data: &mut Value) {
        if one_in(random, 3) {
            data["aliases"] = json!([self.id("cs", random.below(2))]);
        }
    }

    fn customer(&self, random: &mut Random) -> String {
        self.id("cus", usize::from(self.quarrels(random, 12)))
    }

    fn invoice_id(&self, random: &mut Random) -> String {
        self.id("in", usize::from(self.quarrels(random, 2)))
    }

    fn currency(&self, random: &mut Random) -> &'static str {
        if self.quarrels(random, 30) { "EUR" } else { "USD" }
    }

    /// Once in so many times, in a world that is like that.
    fn quarrels(&self, random: &mut Random, count: usize) -> bool {
        one_in(random, count) && self.temper == Temper::Quarrelsome
    }

    fn id(&self, kind: &str, number: usize) -> String {
        format!("{kind}_{number}_of_world_{}", self.world)
    }

    fn tell(&self, kind: &str, data: &Value) -> BillingMessage {
        message(kind, &self.id("evt", self.sent.len()), data)
    }
}

/// One to three lines, the first of them never free.
fn sold(random: &mut Random) -> Value {
    const PRICES: [&str; 7] = ["pack", "plan", "deal", "bill", "flash", "later", "nobody-wants-it"];
    let mut prices = PRICES;
    random.shuffle(&mut prices);
    let count = random.below(3) + 1;
    let line = |(at, price): (usize, &&str)| {
        let amount = if at == 2 { "0.00" } else { ["30.00", "20.00"][at] };
        json!({ "price_id": price, "quantity": at + 1, "amount": amount })
    };
    prices[..count].iter().enumerate().map(line).collect()
}

fn one_in(random: &mut Random, count: usize) -> bool {
    random.below(count) == 0
}
