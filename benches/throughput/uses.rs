//! How long a use takes of a customer with few and with very many open grants.
//!
//! The grants are made by the worker's own write path, all of 10 credits and for ever, so that only their ids put them in
//! order. Then uses go, one at a time, through what a lane does with a message: decode, claim, lock, load, decide, write,
//! commit. The time for a use may grow with the grants that it touches, and not with those that are there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chrono::{TimeDelta, Utc};
use credits::broker::{ChannelId, Delivery, Properties};
use credits::config::RulesFile;
use credits::domain::outcome::Outcome;
use credits::domain::rules::Rules;
use credits::handler::batch::{Attempt, attempt};
use credits::handler::intake::Work;
use credits::store::Session;
use serde_json::json;

use crate::backlog::{Owed, owe};
use crate::bench::Bench;
use crate::names::{CONTENT_TYPE, credits_rules};
use crate::report::{Report, median};
use crate::settings::Part;
use crate::subject::Subject;

const SUBJECT: Subject = Subject::Credits;
/// Open grants of the customers.
const SIZES: [u64; 3] = [10, 1_000, 100_000];
/// Grants that a use touches, where the customer has more.
const TOUCHED: [u64; 4] = [1, 10, 100, 1_000];
/// Uses of each kind, of which the median counts.
const USES: u64 = 15;
/// Credits of one grant.
const EACH: u64 = 10;
/// Grants of one transaction while they are made.
const MADE_AT_ONCE: u64 = 10_000;

/// Times the uses and enters them.
///
/// # Errors
/// A use that was not applied.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    if !bench.settings.wants(Part::Uses) {
        return Ok(());
    }
    SUBJECT.prepare(bench).await?;
    let rules = RulesFile::parse("rules.toml", credits_rules())?;
    let mut session = SUBJECT.session(bench).await?;
    session.keep_rules(&rules.rules.hash.0, &credits_rules()).await?;
    for size in SIZES {
        make_grants(&mut session, &rules.rules, size).await?;
        for touched in TOUCHED.into_iter().filter(|touched| touched * USES <= size || *touched == 1) {
            let mut times = Vec::new();
            for number in 0..USES {
                // A use of half a grant leaves the next one the other half: each touches as many as it says.
                let amount = if touched == 1 { EACH / 2 } else { touched * EACH };
                let body = usage(size, touched, number, amount);
                times.push(take(&mut session, &rules.rules, body).await?.as_secs_f64() * 1e3);
            }
            let middle = median(times).context("no uses")?;
            eprintln!("uses: {middle:.2} ms for {touched} of {size} grants");
            report.uses.push((touched, size, middle));
        }
    }
    drop(session);
    SUBJECT.clear(bench).await
}

async fn make_grants(session: &mut Session, rules: &Rules, size: u64) -> Result<()> {
    let as_of = Utc::now() - TimeDelta::days(1);
    for first in (0..size).step_by(usize::try_from(MADE_AT_ONCE)?) {
        let one = |number: u64| Owed {
            customer: format!("with_{size}"),
            number: u128::from(size) << 64 | u128::from(number),
            from: as_of,
            to: None,
        };
        let owed: Vec<Owed> = (first..size.min(first + MADE_AT_ONCE)).map(one).collect();
        owe(session, rules, as_of, &owed).await?;
    }
    Ok(())
}

fn usage(size: u64, touched: u64, number: u64, amount: u64) -> Vec<u8> {
    let id = format!("use_{size}_{touched}_{number}");
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/bench", "type": "usage-recorded", "time": "2026-01-12T09:30:00Z",
        "datacontenttype": "application/json",
        "data": {
            "usage_id": id, "customer_id": format!("with_{size}"), "credit_type": "credits",
            "amount": amount.to_string(), "occurred_at": "2026-01-12T09:30:00Z"
        }
    });
    event.to_string().into_bytes()
}

/// Takes one message, from its bytes to the commit.
async fn take(session: &mut Session, rules: &Rules, body: Vec<u8>) -> Result<Duration> {
    let delivery = Delivery {
        queue: "bench".into(),
        channel: ChannelId { generation: 1, consumer: 0 },
        tag: 1,
        delivered_before: 0,
        properties: Properties { content_type: Some(CONTENT_TYPE.to_owned()), ..Properties::default() },
        body,
    };
    let begun = Instant::now();
    let works = [Work::new(delivery)];
    let mut batch = session.begin().await?;
    let Attempt::Written(report) = attempt(&mut batch, &works, rules, &BTreeSet::new(), None).await? else {
        bail!("a use names no purchase");
    };
    batch.commit().await?;
    let time = begun.elapsed();
    ensure!(report.outcomes == [(Outcome::Applied, None)], "{:?}", report.outcomes);
    Ok(time)
}
