//! A year of some customers' lives, the same in every run: written by the worker's own books, at instants of the past.
//!
//! Every step locks an account, settles it to the step's instant, does one thing and writes it in one transaction. The
//! customer `eve` is not heard of after May: what comes due of hers later is for reports to settle, until
//! [`Year::sweep`].

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Datelike, Months, TimeDelta, Utc};
use rust_decimal::Decimal;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use credits::config::RulesFile;
use credits::domain::account::{Account, Grant, Why};
use credits::domain::amounts::{Credits, Currency, Money, Scale, from_units, to_units};
use credits::domain::books::Books;
use credits::domain::ids::{Actor, CreditType, CustomerId, GrantId, MessageId, Reason, Source};
use credits::domain::ledger::{Cause, Entry, Terms};
use credits::domain::rules::{Category, Priority, Rules};
use credits::store::in_order::Pools;
use credits::store::{Database, Options, Session};

use crate::harness::{Place, Random, Services};

/// Credit types with their places.
const TYPES: [(&str, u8); 3] = [("credits", 0), ("minutes", 2), ("tokens", 9)];
const CURRENCIES: [&str; 4] = ["EUR", "USD", "JPY", "KWD"];
const CUSTOMERS: [&str; 5] = ["ada", "bob", "cyd", "dee", "eve"];
/// From then on nothing is heard of `eve`.
const EVE_IS_GONE: &str = "2025-05-20T00:00:00Z";

type Instant = DateTime<Utc>;

/// A database that has seen a year.
pub(crate) struct Year {
    pub(crate) place: Place,
    session: tokio::sync::Mutex<Session>,
    rules: Rules,
}

/// What makes the year.
struct Life {
    random: Random,
    /// Numbers what happens, and so the grants and causes.
    step: u32,
}

impl Year {
    /// December of 2024, all of 2025, and some days more.
    pub(crate) async fn lived() -> Self {
        let place = Place::new(Services::shared().into()).await;
        place.migrate().await;
        for customer in CUSTOMERS {
            let account = format!("insert into accounts values ('{customer}', '2024-12-01')");
            sqlx::query(AssertSqlSafe(account)).execute(&place.pool).await.unwrap();
        }
        let session = tokio::sync::Mutex::new(database(&place).connect().await.unwrap());
        let rules = RulesFile::read(Path::new("tests/fixtures/rules.toml")).unwrap().rules;
        let year = Self { place, session, rules };
        let mut life = Life { random: Random::new(2025), step: 0 };
        for at in life.instants() {
            let gone = at >= EVE_IS_GONE.parse::<Instant>().unwrap();
            let customer = CUSTOMERS[life.random.below(if gone { 4 } else { 5 })];
            year.step(customer, at, &mut life).await;
        }
        year
    }

    /// What a verb prints.
    pub(crate) async fn shown(&self, line: &str) -> String {
        let ended = self.place.credits(&line.split_whitespace().collect::<Vec<_>>()).await;
        assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap() + &String::from_utf8(ended.stderr).unwrap()
    }

    /// Two words and a number a row, in the order of the words.
    pub(crate) async fn sums(&self, sql: &'static str) -> Vec<(String, String, Decimal)> {
        let rows = sqlx::query(sql).fetch_all(&self.place.pool).await.unwrap();
        let mut sums: Vec<_> =
            rows.iter().map(|row| (row.get(0), row.get(1), row.get::<Decimal, _>(2).normalize())).collect();
        sums.sort();
        sums
    }

    /// Writes what is due by today, as the sweeper does.
    pub(crate) async fn sweep(&self) {
        let customers: BTreeSet<CustomerId> = CUSTOMERS.map(|name| CustomerId::parse(name).unwrap()).into();
        let mut session = self.session.lock().await;
        let mut batch = session.begin().await.unwrap();
        let (clock, accounts) = batch.lock_accounts(&customers, &[], &Pools::new()).await.unwrap();
        let mut books = Books::new(&self.rules, clock);
        books.accounts = accounts;
        for customer in &customers {
            books.settle(customer);
        }
        batch.write(&books, &[], None).await.unwrap();
        batch.commit().await.unwrap();
    }

    async fn step(&self, customer: &str, at: Instant, life: &mut Life) {
        let customer = CustomerId::parse(customer).unwrap();
        let grants = sqlx::query_scalar::<_, Uuid>("select grant_id from grants where customer_id = $1");
        let grants = grants.bind(customer.as_str()).fetch_all(&self.place.pool).await.unwrap();
        let mut session = self.session.lock().await;
        let mut batch = session.begin().await.unwrap();
        let (_, accounts) = batch.lock_accounts(&[customer.clone()].into(), &grants, &Pools::new()).await.unwrap();
        let mut books = Books::new(&self.rules, at);
        books.accounts = accounts;
        let (account, entries) = (books.accounts.get_mut(&customer).unwrap(), &mut books.changes.entries);
        assert_eq!(account.now(at), at, "a step back in time");
        account.settle(at, entries);
        life.act(account, at, entries);
        let touched = books.changes.entries.iter().filter_map(|entry| entry.grant);
        books.changes.grants = touched.map(|grant| (grant.grant_id, customer.clone())).collect();
        books.changes.accounts.insert(customer);
        batch.write(&books, &[], None).await.unwrap();
        batch.commit().await.unwrap();
    }
}

impl Life {
    /// Some a day, and the first and the last microsecond of each month.
    fn instants(&mut self) -> BTreeSet<Instant> {
        let mut at: Instant = "2024-12-05T08:00:00Z".parse().unwrap();
        let mut instants = BTreeSet::new();
        while at.year() < 2026 || at.day() < 10 {
            instants.insert(at);
            if month_after(at, 0) > at - TimeDelta::hours(20) {
                instants.extend([month_after(at, 0), month_after(at, 0) - TimeDelta::microseconds(1)]);
            }
            at += TimeDelta::minutes(60) + TimeDelta::microseconds(self.below(19 * 3_600_000_000));
        }
        instants
    }

    fn act(&mut self, account: &mut Account, at: Instant, out: &mut Vec<Entry>) {
        self.step += 1;
        let is_open = |grant: &&Grant| grant.replaced_by.is_none();
        let mut grants: Vec<GrantId> =
            account.grants.values().filter(is_open).map(|grant| grant.terms.grant_id).collect();
        grants.sort();
        // One of the last: of those before, little is left.
        let last = self.random.below(grants.len().clamp(1, 8));
        let one = grants.iter().rev().nth(last).copied();
        match (self.random.below(20), one) {
            (0..6, _) => self.grant(account, at, at, out),
            (6..9, _) => {
                let start = self.start(at);
                self.grant(account, start, at, out);
            }
            (9..13, Some(one)) => self.refund(account, one, at, out),
            (13..16, _) => self.consume(account, at, out),
            (16, Some(one)) => self.revoke(account, one, at, out),
            (17..19, Some(one)) => self.regrant(account, one, at, out),
            _ => {}
        }
    }

    /// A start to come, one in three at the first instant of a month.
    fn start(&mut self, at: Instant) -> Instant {
        if self.random.below(3) == 0 { month_after(at, 1) } else { at + self.days(60) }
    }

    fn grant(&mut self, account: &mut Account, start: Instant, at: Instant, out: &mut Vec<Entry>) {
        let (kind, places) = TYPES[self.random.below(TYPES.len())];
        let scale = Scale::new(places).unwrap();
        let amount = self.credits(places);
        let is_paid = self.random.below(3) > 0;
        let (effective_at, expires_at) = match self.random.below(8) {
            0 | 1 => (start, None),
            2 | 3 => (start, Some(month_after(start, 2))),
            // Over before it was made.
            4 if start == at => (at - TimeDelta::days(40), Some(at - self.days(30))),
            _ => (start, Some(start + self.days(90))),
        };
        let terms = Terms {
            grant_id: self.grant_id(),
            customer_id: account.customer_id.clone(),
            credit_type: CreditType::parse(kind).unwrap(),
            amount,
            category: if is_paid { Category::Paid } else { Category::Promotional },
            priority: Priority::DEFAULT,
            cost: is_paid.then(|| self.cost()),
            effective_at,
            expires_at,
            price_id: None,
            rule: None,
            rules_hash: None,
            replaces: None,
            basis: amount,
            reason: None,
            actor: Actor::parse("rule:packs").unwrap(),
            cause: self.cause("payment-succeeded"),
        };
        // One in six was used elsewhere before, all of it or a part.
        let sixths = if start <= at && self.random.below(6) == 0 { 1 + self.random.below(6) } else { 0 };
        let used = part(amount, scale, (sixths, 6));
        account.grant_used(Grant::new(terms, scale, None, at), used, at, out);
    }

    /// Nothing for one in ten.
    fn cost(&mut self) -> Money {
        let currency = Currency::parse(CURRENCIES[self.random.below(CURRENCIES.len())]).unwrap();
        let minor = if self.random.below(10) == 0 { 0 } else { self.below(100_000) };
        Money::new(from_units(&minor.into(), currency.places()).unwrap(), currency).unwrap()
    }

    /// Refunds of so many sevenths, or fewer than before.
    fn refund(&mut self, account: &mut Account, grant_id: GrantId, at: Instant, out: &mut Vec<Entry>) {
        let grant = &account.grants[&grant_id];
        let sevenths = self.random.below(8);
        let target = part(grant.terms.basis, grant.scale, (sevenths, 7));
        let reason = Some(Reason::cut(&format!("{sevenths} of 7 refunded")));
        let why = Why { actor: Actor::refund(), reason, cause: self.cause("refund") };
        account.bring_to(grant_id, target, why, at, out);
    }

    /// Of all grants of a type, and sometimes more than there is.
    fn consume(&mut self, account: &mut Account, at: Instant, out: &mut Vec<Entry>) {
        let (kind, places) = TYPES[self.random.below(TYPES.len())];
        let amount = self.credits(places);
        let why = Why { actor: Actor::usage(), reason: None, cause: self.cause("usage-recorded") };
        let occurred = at - TimeDelta::days(3);
        account.consume(&CreditType::parse(kind).unwrap(), amount, &why, (occurred, at), out);
    }

    /// All that remains, or up to two thirds more than there ever was.
    fn revoke(&mut self, account: &mut Account, grant_id: GrantId, at: Instant, out: &mut Vec<Entry>) {
        let grant = &account.grants[&grant_id];
        let thirds = self.random.below(6);
        let amount = part(grant.terms.amount, grant.scale, (thirds, 3));
        // A person may say what the worker says of a regrant: that makes it none.
        let why = Why { reason: Some(Reason::cut("regranted")), ..self.by_hand() };
        account.revoke(grant_id, (thirds > 0).then_some(amount), why, at, out);
    }

    /// With other dates, starting at once or later.
    fn regrant(&mut self, account: &mut Account, grant_id: GrantId, at: Instant, out: &mut Vec<Entry>) {
        let old = &account.grants[&grant_id];
        if old.remaining.is_zero() {
            return;
        }
        let effective_at = if self.random.below(3) == 0 { self.start(at) } else { at };
        let why = self.by_hand();
        let terms = Terms {
            grant_id: self.grant_id(),
            amount: old.remaining,
            cost: old.terms.cost.map(|cost| cost.share(old.remaining, old.terms.amount)),
            effective_at,
            expires_at: Some(effective_at + self.days(90)),
            replaces: Some(grant_id),
            reason: why.reason.clone(),
            actor: why.actor.clone(),
            cause: why.cause.clone(),
            ..Terms::clone(&old.terms)
        };
        let closing = Why { reason: Some(Reason::cut("regranted")), ..why };
        account.regrant(grant_id, terms, closing, at, out);
    }

    fn by_hand(&self) -> Why {
        let reason = Some(Reason::cut("asked for by phone"));
        Why { actor: Actor::parse("grace").unwrap(), reason, cause: self.cause("credit-adjustment") }
    }

    fn grant_id(&self) -> GrantId {
        GrantId(Uuid::from_u128(u128::from(self.step)))
    }

    /// Up to 1000, or a little more.
    fn credits(&mut self, places: u8) -> Credits {
        let units = i128::from(self.below(10_i64.pow(u32::from(places) + 3)) + 1);
        let amount = Decimal::from_i128_with_scale(units, u32::from(places));
        Credits::new(amount, Scale::new(places).unwrap()).unwrap()
    }

    fn cause(&self, kind: &str) -> Cause {
        let id = MessageId::parse(&format!("evt_{}", self.step)).unwrap();
        Cause { source: Source::parse("/billing").unwrap(), id, kind: kind.into() }
    }

    fn below(&mut self, limit: i64) -> i64 {
        i64::try_from(self.random.below(usize::try_from(limit).unwrap())).unwrap()
    }

    /// Between one day and so many, to the microsecond.
    fn days(&mut self, most: i64) -> TimeDelta {
        TimeDelta::days(1) + TimeDelta::microseconds(self.below((most - 1) * 86_400_000_000))
    }
}

/// So many parts of so many, toward zero.
fn part(credits: Credits, scale: Scale, (some, all): (usize, usize)) -> Credits {
    let units = to_units(credits.value(), scale.places()) * some / all;
    Credits::new(from_units(&units, scale.places()).unwrap(), scale).unwrap()
}

/// The first instant of the month of `at`, or of one behind it.
fn month_after(at: Instant, months: u32) -> Instant {
    let first = at.date_naive().with_day(1).unwrap() + Months::new(months);
    first.and_hms_opt(0, 0, 0).unwrap().and_utc()
}

fn database(place: &Place) -> Database {
    let limit = Duration::from_secs(30);
    Database::new(Options {
        url: place.database_url.clone().into(),
        role: "credits_worker".into(),
        statement_timeout: limit,
        lock_timeout: limit,
        idle_in_transaction_timeout: limit,
        connect_timeout: limit,
    })
}
