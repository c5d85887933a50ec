//! What must come out of a set of messages, worked out from the facts alone.
//!
//! Written apart from the core and sharing none of its code but the plain types: names are joined by union-find over
//! the whole set, fields are sets of values, targets are exact rationals. It knows nothing of order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use num_bigint::BigInt;
use rust_decimal::Decimal;

use super::ratio::Ratio;
use super::world::{Balances, Open};
use crate::domain::amounts::Money;
use crate::domain::ids::PriceId;
use crate::domain::message::{Content, Line, Lines, Message, Name, RefundStatus, Signup, Statement, Timestamp};
use crate::domain::rules::{AmountRule, GrantTemplate, OncePer, PurchaseRule, Rules, WhenPaid};

/// What must be true at an instant.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Expected {
    pub(super) open: Vec<Open>,
    pub(super) balances: Balances,
    /// Start of each grant that one message alone could have caused: of (customer, price or rule).
    pub(super) starts: BTreeMap<(String, String), BTreeSet<Timestamp>>,
    /// (customer, credit type) of once-only grants that order may decide.
    pub(super) contested: BTreeSet<(String, String)>,
    /// (customer, price or rule) of grants whose start order may decide.
    undated: BTreeSet<(String, String)>,
}

/// The messages cannot all be true together.
#[derive(Debug, PartialEq)]
pub(super) struct Contradictory;

/// What `messages` must lead to at `now`.
pub(super) fn expected(messages: &[&Message], rules: &Rules, now: Timestamp) -> Result<Expected, Contradictory> {
    let mut expected = Expected::default();
    for group in groups(messages) {
        purchase(&group, rules, now, &mut expected)?;
    }
    signups(messages, rules, now, &mut expected);
    expected.open.sort();
    expected.starts.retain(|of, _| !expected.undated.contains(of));
    Ok(expected)
}

/// The messages of one purchase.
type Group<'a> = Vec<(&'a Message, &'a Statement)>;

/// Purchase messages that share names, directly or by a chain.
fn groups<'a>(messages: &[&'a Message]) -> Vec<Group<'a>> {
    let mut groups: Vec<(BTreeSet<Name>, Group<'a>)> = Vec::new();
    for message in messages {
        let Content::Purchase(statement) = &message.content else { continue };
        let mut mine = (names(statement), vec![(*message, statement.as_ref())]);
        while let Some(at) = groups.iter().position(|(names, _)| !names.is_disjoint(&mine.0)) {
            let (names, messages) = groups.swap_remove(at);
            mine.0.extend(names);
            mine.1.extend(messages);
        }
        groups.push(mine);
    }
    groups.into_iter().map(|(_, messages)| messages).collect()
}

fn names(statement: &Statement) -> BTreeSet<Name> {
    let (payments, invoices, aliases, refund): (Vec<_>, Vec<_>, _, _) = match statement {
        Statement::Payment(p) => (vec![&p.payment_id], p.invoice_id.iter().collect(), &p.aliases, None),
        Statement::Invoice(i) => (i.payment_ids.iter().collect(), vec![&i.invoice_id], &i.aliases, None),
        Statement::Refund(r) => {
            (r.payment_id.iter().collect(), r.invoice_id.iter().collect(), &r.aliases, Some(&r.refund_id))
        }
        Statement::Link(l) => (l.payment_ids.iter().collect(), l.invoice_id.iter().collect(), &l.aliases, None),
    };
    let payments = payments.into_iter().cloned().map(Name::Payment);
    let invoices = invoices.into_iter().cloned().map(Name::Invoice);
    let others = aliases.iter().cloned().map(Name::Other).chain(refund.into_iter().cloned().map(Name::Refund));
    payments.chain(invoices).chain(others).collect()
}

/// The one value that is stated, if any.
fn one<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Result<Option<T>, Contradictory> {
    let mut values = values.into_iter();
    let first = values.next();
    if values.any(|other| Some(&other) != first.as_ref()) { Err(Contradictory) } else { Ok(first) }
}

/// The one value of each key.
fn each<K: Ord + Debug, T: PartialEq>(pairs: impl Iterator<Item = (K, T)>) -> Result<BTreeMap<K, T>, Contradictory> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        if map.get(&key).is_some_and(|known| *known != value) {
            return Err(Contradictory);
        }
        map.insert(key, value);
    }
    Ok(map)
}

/// A purchase in whole smallest units of its currency.
struct Cash {
    payments: Option<BigInt>,
    total: Option<BigInt>,
    awaits_invoice: bool,
    refunds: Vec<(BigInt, BTreeMap<String, BigInt>)>,
}

fn purchase(
    group: &[(&Message, &Statement)],
    rules: &Rules,
    now: Timestamp,
    expected: &mut Expected,
) -> Result<(), Contradictory> {
    let facts = || group.iter().map(|(_, statement)| *statement);
    let customer = one(facts().filter_map(Statement::customer))?;
    one(facts().filter_map(Statement::currency))?;
    one(facts().flat_map(|f| names(f).into_iter().filter(|name| matches!(name, Name::Invoice(_)))))?;
    let lines = one(facts().filter_map(|fact| match fact {
        Statement::Payment(payment) => payment.lines.as_ref(),
        Statement::Invoice(invoice) => invoice.lines.as_ref(),
        Statement::Refund(_) | Statement::Link(_) => None,
    }))?;
    let money = money(group)?;
    let (Some(customer), Some(Lines(lines))) = (customer, lines) else { return Ok(()) };
    for (price, line) in lines.iter() {
        let takes = |rule: &&PurchaseRule| takes(rule, price.as_str(), line);
        let Some(rule) = rules.purchase.iter().find(takes) else { continue };
        if !is_due(rule, &money) {
            expected.undated.insert((customer.to_string(), price.to_string()));
            continue;
        }
        let starts = group.iter().filter_map(|(message, statement)| match statement {
            Statement::Payment(_) if rule.on_payment => Some(message.time),
            Statement::Invoice(_) if rule.on_invoice => Some(message.time),
            _ => None,
        });
        let amount = whole_of(&rule.grant, Some(line));
        let back = Ratio::of(&amount).times(&part_back(rule, &money, lines, price.as_str()));
        let open = Gift { customer: customer.as_str(), price: Some(price.as_str()), rule: rule.name.as_str() };
        give(&open, &rule.grant, &amount, &back.floor(), &starts.collect::<Vec<_>>(), now, expected);
    }
    Ok(())
}

fn money(group: &[(&Message, &Statement)]) -> Result<Cash, Contradictory> {
    let facts = || group.iter().map(|(_, statement)| *statement);
    let payments = each(facts().filter_map(|fact| match fact {
        Statement::Payment(payment) => Some((payment.payment_id.clone(), payment.amount)),
        _ => None,
    }))?;
    let total = one(facts().filter_map(|fact| match fact {
        Statement::Invoice(invoice) => Some(invoice.total),
        _ => None,
    }))?;
    let awaits_invoice = facts().any(|fact| {
        !matches!(fact, Statement::Refund(_)) && names(fact).iter().any(|name| matches!(name, Name::Invoice(_)))
    });
    let refunds = || {
        facts().filter_map(|fact| match fact {
            Statement::Refund(refund) => Some((refund.refund_id.clone(), refund)),
            _ => None,
        })
    };
    let amounts = each(refunds().map(|(id, refund)| (id, refund.amount)))?;
    each(refunds().filter_map(|(id, refund)| Some((id, refund.payment_id.clone()?))))?;
    each(refunds().filter_map(|(id, refund)| Some((id, refund.invoice_id.clone()?))))?;
    let lines = each(refunds().filter_map(|(id, refund)| Some((id, refund.lines.clone()?))))?;
    let has = |wanted: RefundStatus| refunds().filter(move |(_, r)| r.status == wanted).map(|(id, _)| id);
    let mut succeeded: BTreeSet<_> = has(RefundStatus::Succeeded).collect();
    for lost in has(RefundStatus::Failed).chain(has(RefundStatus::Canceled)) {
        succeeded.remove(&lost);
    }
    let by_line = |id| lines.get(id).into_iter().flatten().map(|(p, m)| (p.to_string(), cents(*m))).collect();
    Ok(Cash {
        payments: (!payments.is_empty()).then(|| payments.values().map(|amount| cents(*amount)).sum()),
        total: total.map(cents),
        awaits_invoice,
        refunds: succeeded.iter().map(|id| (cents(amounts[id]), by_line(id))).collect(),
    })
}

fn cents(money: Money) -> BigInt {
    let mut amount = money.amount();
    amount.rescale(money.currency().places());
    amount.mantissa().into()
}

fn takes(rule: &PurchaseRule, price: &str, line: &Line) -> bool {
    let wanted = &rule.matches;
    let prices = wanted.price_id.iter().flatten().any(|id| id.as_str() == price) || wanted.price_id.is_none();
    let currencies = wanted.currency.as_ref().is_none_or(|list| list.contains(&line.amount.currency()));
    let fits = |(key, values): (&String, &Vec<String>)| values.iter().any(|v| line.metadata.get(key) == Some(v));
    prices && currencies && wanted.metadata.iter().all(fits)
}

fn is_due(rule: &PurchaseRule, money: &Cash) -> bool {
    if rule.on_invoice && money.total.is_some() {
        return true;
    }
    match (&money.payments, rule.on_payment, rule.when_paid) {
        (None, ..) | (_, false, _) => false,
        (Some(_), true, WhenPaid::FirstPayment) => true,
        (Some(paid), true, WhenPaid::InFull) => match &money.total {
            Some(total) => paid >= total,
            None => !money.awaits_invoice,
        },
    }
}

/// A grant's whole amount in units of its scale.
fn whole_of(grant: &GrantTemplate, line: Option<&Line>) -> BigInt {
    let ratio = |value: Decimal| Ratio::new(value.mantissa().into(), BigInt::from(10).pow(value.scale()));
    let exact = match (grant.amount, line) {
        (AmountRule::Fixed(credits), _) => ratio(credits),
        (AmountRule::PerUnit(credits), Some(line)) => ratio(credits).times(&ratio(line.quantity.into())),
        (AmountRule::PerCurrencyUnit(credits), Some(line)) => ratio(credits).times(&ratio(line.amount.amount())),
        (_, None) => Ratio::of(&BigInt::ZERO),
    };
    exact.times(&Ratio::of(&BigInt::from(10).pow(grant.scale.places()))).floor()
}

/// The law's formula, sentence by sentence: what part of the grant for `price` refunds ask back.
fn part_back(rule: &PurchaseRule, money: &Cash, lines: &BTreeMap<PriceId, Line>, price: &str) -> Ratio {
    let (zero, paid) = (BigInt::ZERO, money.payments.clone().unwrap_or_default());
    let due = money.total.clone().unwrap_or_else(|| paid.clone());
    let over = (&paid - &due).max(zero.clone());
    let base = if rule.on_invoice { due.clone() } else { due.clone().min(paid) };
    let refunded: BigInt = money.refunds.iter().map(|(amount, _)| amount).sum();
    let counted = (refunded - over).max(zero.clone()).min(base.clone());
    if counted == zero {
        return Ratio::of(&zero);
    }
    if counted == base {
        return Ratio::of(&BigInt::from(1));
    }
    let sold = |id: &str| lines.keys().any(|known| known.as_str() == id);
    let named: Vec<_> = money.refunds.iter().filter(|(_, back)| back.keys().any(|id| sold(id))).collect();
    let all: BigInt = named.iter().map(|(amount, _)| amount).sum();
    let x = counted.clone().min(all.clone());
    let mine: BigInt = named.iter().filter_map(|(_, back)| back.get(price)).sum();
    let line = lines.iter().find(|(known, _)| known.as_str() == price).map(|(_, line)| cents(line.amount));
    let line = line.unwrap_or_default();
    let f =
        if all == zero || line == zero { Ratio::of(&zero) } else { Ratio::new(mine * &x, all * line).at_most_one() };
    let g = if base == x { Ratio::of(&BigInt::from(1)) } else { Ratio::new(&counted - &x, &base - &x) };
    f.plus(&f.rest().times(&g))
}

struct Gift<'a> {
    customer: &'a str,
    price: Option<&'a str>,
    rule: &'a str,
}

fn give(
    gift: &Gift<'_>,
    grant: &GrantTemplate,
    amount: &BigInt,
    back: &BigInt,
    starts: &[Timestamp],
    now: Timestamp,
    expected: &mut Expected,
) {
    let credits = |units: &BigInt| {
        let units: i128 = units.try_into().expect("the amounts of these tests are small");
        Decimal::try_from_i128_with_scale(units, grant.scale.places()).unwrap().normalize()
    };
    let (effective, expires) = (grant.effective_after.unwrap_or_default(), grant.expires_after);
    if *amount == BigInt::ZERO {
        return;
    }
    let of = (gift.customer.to_owned(), gift.price.unwrap_or(gift.rule).to_owned());
    if let [only] = starts {
        expected.starts.entry(of).or_default().insert(*only + effective);
    } else {
        expected.undated.insert(of);
    }
    // Where several messages could have caused a grant that starts late or ends, these tests give them one time.
    let since = *starts.first().expect("a grant has a cause");
    let remaining = credits(&(amount - back));
    if remaining.is_zero() || expires.is_some_and(|after| since + after <= now) {
        return;
    }
    let customer = gift.customer.to_owned();
    if since + effective <= now {
        let key = (customer.clone(), grant.credit_type.to_string());
        *expected.balances.entry(key).or_default() += remaining;
    }
    expected.open.push(Open {
        customer,
        credit_type: grant.credit_type.to_string(),
        price: gift.price.map(str::to_owned),
        rule: gift.rule.to_owned(),
        amount: credits(amount),
        remaining,
        category: grant.category,
        priority: grant.priority.value(),
        seconds: expires.map(|after| (after - effective).num_seconds()),
    });
}

fn signups(messages: &[&Message], rules: &Rules, now: Timestamp, expected: &mut Expected) {
    for rule in &rules.signup {
        let fits = |signup: &Signup| {
            let plan = rule.matches.plan.as_ref();
            plan.is_none_or(|plans| signup.plan.as_ref().is_some_and(|plan| plans.contains(plan)))
        };
        let fitting = messages.iter().filter_map(|message| match &message.content {
            Content::Signup(signup) if fits(signup) => Some((*message, signup)),
            _ => None,
        });
        let once = rule.once_per == OncePer::Identity;
        let fitting: Vec<_> = fitting.filter(|(_, signup)| !once || signup.identity.is_some()).collect();
        let customers: BTreeSet<&str> = fitting.iter().map(|(_, signup)| signup.customer_id.as_str()).collect();
        for customer in customers {
            let mine = || fitting.iter().filter(|(_, signup)| signup.customer_id.as_str() == customer);
            let shared = |signup: &Signup| {
                fitting.iter().any(|(_, s)| s.customer_id != signup.customer_id && s.identity == signup.identity)
            };
            if once && mine().all(|(_, signup)| shared(signup)) {
                expected.contested.insert((customer.to_owned(), rule.grant.credit_type.to_string()));
                continue;
            }
            let amount = whole_of(&rule.grant, None);
            let starts: Vec<_> = mine().filter(|(_, s)| !once || !shared(s)).map(|(message, _)| message.time).collect();
            let starts = if mine().count() == 1 { starts } else { [starts.clone(), starts].concat() };
            let gift = Gift { customer, price: None, rule: rule.name.as_str() };
            give(&gift, &rule.grant, &amount, &BigInt::ZERO, &starts, now, expected);
        }
    }
}
