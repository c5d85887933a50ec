//! Makes random lives of grants: purchases, gifts by hand, uses, revokes, regrants, refunds, repetitions, and a clock
//! that likes to stop where something falls due.

use chrono::TimeDelta;

use super::super::fixtures::*;
use super::super::random::Random;
use super::super::shop::rules_of_every_form;
use super::super::world::World;
use super::words::*;
use crate::domain::account::Grant;
use crate::domain::adjustment::{Action, Expiry};
use crate::domain::ids::{GrantId, MessageId};
use crate::domain::message::{Message, RefundStatus, Timestamp};
use crate::domain::rules::{Category, Priority};

/// The most steps of a life.
const STEPS: usize = 40;

/// What is said, each with the clock at which it is; the clock never goes back.
pub(in crate::domain::tests) type Life = Vec<(Timestamp, Message)>;

pub(in crate::domain::tests) fn life(random: &mut Random) -> Life {
    let world = World::under(rules_of_every_form()).at(day(1));
    let mut living = Living { random, world, said: Vec::new(), payments: 0, refunds: Vec::new() };
    for step in 0..living.random.from(5..=STEPS) {
        living.step(step);
    }
    living.said
}

struct Living<'r> {
    random: &'r mut Random,
    /// Takes what is said, so that grants can be named.
    world: World,
    said: Life,
    payments: usize,
    /// Which refund gave back how much of which payment.
    refunds: Vec<(usize, &'static str)>,
}

impl Living<'_> {
    fn step(&mut self, step: usize) {
        let at = self.world.books.clock;
        let message: Message = match self.random.below(100) {
            0..20 => return self.wait(),
            20..38 => self.give(step),
            38..60 => self.uses(step),
            60..68 => self.revoke(step),
            68..77 => self.regrant(step),
            77..84 => self.pay(),
            84..91 => self.give_back(),
            91..93 => signup().by(self.customer()).for_plan("pro").at(at).into(),
            93..95 => purchase_linked().payments(&[self.payment(), self.payment()]).at(at).into(),
            _ => match self.said.len() {
                0 => return,
                said => self.again(step, said),
            },
        };
        self.world.take(message.clone());
        self.said.push((at, message));
    }

    /// The clock moves by anything from a microsecond to days, or to the very instant at which something falls due.
    fn wait(&mut self) {
        let clock = self.world.books.clock;
        let mut due: Vec<Timestamp> = self.world.grants().filter_map(|grant| grant.due_at(clock)).collect();
        due.sort();
        self.world.books.clock = match self.random.below(4) {
            0 => clock + TimeDelta::microseconds(1),
            1 | 2 if !due.is_empty() => due[self.random.below(due.len().min(3))].max(clock),
            _ => clock + TimeDelta::hours(i64::try_from(self.random.from(1..=60)).unwrap()),
        };
    }

    fn customer(&mut self) -> &'static str {
        self.random.pick(&["cus_1", "cus_1", "cus_1", "cus_2"])
    }

    fn pool(&mut self) -> (&'static str, &'static str) {
        (self.customer(), self.random.pick(&["credits", "credits", "gpu-minutes"]))
    }

    /// Some hours from now, of few different ones: instants meet.
    fn soon(&mut self, from: i64) -> Timestamp {
        let hours = from + 12 * i64::try_from(self.random.below(8)).unwrap();
        let whole_days = (self.world.books.clock - start()).num_days();
        day(whole_days) + TimeDelta::hours(hours)
    }

    fn expiry(&mut self) -> Expiry {
        match self.random.below(4) {
            0 => Expiry::Never,
            1 => Expiry::After(TimeDelta::hours(24)),
            _ => Expiry::At(self.soon(12)),
        }
    }

    fn priority(&mut self) -> Priority {
        Priority::new(self.random.pick(&[0, 50, 50, 50, 100])).unwrap()
    }

    fn amount(&mut self, credit_type: &str) -> &'static str {
        match credit_type {
            "credits" => self.random.pick(&["1", "10", "300", "700", "3000"]),
            _ => self.random.pick(&["0.001", "0.5", "1.001", "12.345", "40"]),
        }
    }

    fn give(&mut self, step: usize) -> Message {
        let (customer, credit_type) = self.pool();
        let mut terms = new_terms(self.amount(credit_type));
        (terms.priority, terms.expiry) = (self.priority(), self.expiry());
        if self.random.percent(50) {
            terms.effective_at = Some(self.soon(-36));
        }
        if self.random.percent(40) {
            (terms.category, terms.cost) = (Category::Paid, Some(money("9.99", "USD")));
        }
        if self.random.percent(20) {
            terms.used = if self.random.percent(30) { terms.amount } else { credits("0.001").min(terms.amount) };
            terms.used = if credit_type == "credits" { credits("1") } else { terms.used };
        }
        let given = adjustment(&format!("give {step}"), Action::Grant(terms));
        given.by(customer).of_type(credit_type).at(self.world.books.clock).into()
    }

    fn uses(&mut self, step: usize) -> Message {
        let (customer, credit_type) = self.pool();
        let id = if self.random.percent(95) { format!("use {step}") } else { "use".to_owned() };
        usage(&id, self.amount(credit_type)).by(customer).of_type(credit_type).at(self.world.books.clock).into()
    }

    /// Any grant, later ones rather than earlier ones; nobody's if there is none.
    fn grant(&mut self) -> (GrantId, String, String) {
        let mut grants: Vec<&Grant> = self.world.grants().collect();
        grants.sort_by_key(|grant| (grant.first_counts_at, grant.terms.grant_id));
        let first = grants.len().saturating_sub(6);
        match grants.get(first..) {
            Some(some) if !some.is_empty() => {
                let terms = &some[self.random.below(some.len())].terms;
                (terms.grant_id, terms.customer_id.to_string(), terms.credit_type.to_string())
            }
            _ => (GrantId::derive(&["nobody's"]), "cus_1".to_owned(), "credits".to_owned()),
        }
    }

    fn revoke(&mut self, step: usize) -> Message {
        let (grant_id, mut customer, mut credit_type) = self.grant();
        let action = match self.random.below(5) {
            0 => {
                (customer, credit_type) = (self.customer().to_owned(), "credits".to_owned());
                Action::RevokeAll
            }
            1 | 2 => Action::Revoke { grant_id, amount: None },
            _ => Action::Revoke { grant_id, amount: Some(credits(self.amount(&credit_type))) },
        };
        let revoke = adjustment(&format!("revoke {step}"), action).by(&customer).of_type(&credit_type);
        revoke.at(self.world.books.clock).into()
    }

    fn regrant(&mut self, step: usize) -> Message {
        let (grant_id, customer, credit_type) = self.grant();
        let priority = self.random.percent(50).then(|| self.priority());
        let effective_at = self.random.percent(40).then(|| self.soon(-24));
        let expiry = self.random.percent(60).then(|| self.expiry());
        let action = Action::Regrant { grant_id, priority, effective_at, expiry };
        let regrant = adjustment(&format!("regrant {step}"), action).by(&customer).of_type(&credit_type);
        regrant.at(self.world.books.clock).into()
    }

    fn payment(&mut self) -> String {
        format!("pi_{}", self.random.below(self.payments.max(1)))
    }

    fn pay(&mut self) -> Message {
        let customer = self.customer();
        let lines: &[_] = match self.random.below(4) {
            0 => &[("pack", 1, "42.00"), ("brief", 1, "7.00")],
            1 => &[("brief", 1, "49.00")],
            _ => &[("pack", 1, "49.00")],
        };
        self.payments += 1;
        let payment = payment_succeeded().named(&format!("pi_{}", self.payments - 1)).by(customer);
        payment.for_lines(lines).at(self.world.books.clock).into()
    }

    /// A new refund, or word that an earlier one failed.
    fn give_back(&mut self) -> Message {
        let failed = !self.refunds.is_empty() && self.random.percent(40);
        let at = if failed {
            self.random.below(self.refunds.len())
        } else {
            let of = self.random.below(self.payments.max(1) + 1);
            self.refunds.push((of, self.random.pick(&["4.90", "12.25", "24.50", "49.00"])));
            self.refunds.len() - 1
        };
        let (of, amount) = self.refunds[at];
        let back = refund(&format!("re_{at}")).of(amount, "USD").on_payment(&format!("pi_{of}"));
        let status = if failed { RefundStatus::Failed } else { RefundStatus::Succeeded };
        back.that_is(status).at(self.world.books.clock).into()
    }

    fn again(&mut self, step: usize, said: usize) -> Message {
        let mut message = self.said[self.random.below(said)].1.clone();
        if self.random.percent(50) {
            message.key.id = MessageId::parse(&format!("again {step}")).unwrap();
        }
        message
    }
}
