//! `credits rules diff`: stored messages under other rules, against what was granted.

mod shown;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use uuid::Uuid;

use crate::cli::ask::ask;
use crate::cli::output::{self, Format};
use crate::cli::progress::Progress;
use crate::cli::show::time;
use crate::cli::when::instant;
use crate::cli::{ExitError, Global};
use crate::config::RulesFile;
use crate::domain::account::Grant;
use crate::domain::ids::{GrantId, InboxId};
use crate::domain::message::{Content, Message, Name, Timestamp};
use crate::domain::needs::needs;
use crate::domain::rules::Rules;
use crate::store::Session;
use crate::store::read::{ArrivalRange, Arrived, Snapshot};
use crate::trial::diff::{Compared, Diff};
use crate::wire::{self, Stored};

/// Messages of one page: enough to make round trips cheap, and no more than 50 MiB of the largest bodies.
const PAGE: i64 = 200;
/// Messages before the range that one statement looks through for signups.
const WINDOW: i64 = 2000;
/// How often progress is told.
const TELL: Duration = Duration::from_secs(1);

/// Show what other rules would have granted
///
/// Takes the stored messages through the rules of a file, as if they had been in force all along, and compares the
/// grants with those that were made: which there would be more, which there would not be, which would have another
/// amount or other terms. Amounts are compared after what refunds ask back. It decides nothing and writes nothing:
/// lines are decided once, and putting the file in force changes no grant that is there.
/// --from and --to are about arrival at the worker. A purchase belongs to the instant at which its first message
/// arrived, and is taken whole, with the messages that came later. A signup belongs to its own arrival; what earlier
/// ones got and claimed counts. Without --from and --to everything is compared.
/// Exit code 0 whether there are differences or not, 78 for a mistake in the rules, 69 if the database cannot be reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The other rules
    #[arg(long, value_name = "FILE")]
    pub rules: PathBuf,
    /// Only what arrived at this time or later, such as `2026-01-31` or `2026-01-31T12:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<Timestamp>,
    /// Only what arrived before this time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: Option<Timestamp>,
    /// List at most so many grants; all are counted
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub limit: usize,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// Compares, and shows what differs.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    let rules = RulesFile::read(&args.rules)?.rules;
    output::show(&ask(global, async |session| answer(session, &rules, args).await)?)
}

/// What differs, as text.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub async fn answer(session: &mut Session, rules: &Rules, args: &Args) -> Result<String, ExitError> {
    let range = ArrivalRange::new(args.from, args.to);
    let compared = compare(&mut session.snapshot().await?, rules, range, args.limit).await?;
    Ok(if args.format.json { output::pretty(&shown::json(&compared, rules)) } else { shown::text(&compared) })
}

/// Page by page, in one snapshot.
async fn compare(
    snapshot: &mut Snapshot<'_>,
    rules: &Rules,
    range: ArrivalRange,
    limit: usize,
) -> Result<Compared, ExitError> {
    let mut diff = Diff::new(rules, snapshot.clock().await?, limit);
    let mut watch = Watch::new(snapshot.span(range).await?);
    let mut after = InboxId(Uuid::nil());
    while !rules.signup.is_empty()
        && let Some((last, signups)) = snapshot.signups_before(range, after, WINDOW).await?
    {
        after = last;
        take(snapshot, &mut diff, rules, range, signups).await?;
        watch.tell(after);
    }
    loop {
        let page = snapshot.page(range, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.message.inbox_id;
        watch.told = watch.told.saturating_add(page.len());
        take(snapshot, &mut diff, rules, range, page).await?;
        watch.tell(after);
    }
    let compared = diff.finish();
    watch.end(&compared);
    Ok(compared)
}

/// One page: the purchases whose first message is on it, and its signups.
async fn take(
    snapshot: &mut Snapshot<'_>,
    diff: &mut Diff<'_>,
    rules: &Rules,
    range: ArrivalRange,
    page: Vec<Arrived>,
) -> Result<(), ExitError> {
    let mut signups = Vec::new();
    let mut statements = HashMap::new();
    for arrived in page {
        let message = decoded(&arrived)?;
        match message.content {
            Content::Signup(_) => signups.push((arrived, message)),
            // No rule has a say in what people use or adjust.
            Content::Usage(_) | Content::Adjustment(_) => {}
            Content::Purchase(_) => drop(statements.insert(arrived.message.inbox_id, (arrived.taken, message))),
        }
    }
    take_purchases(snapshot, diff, statements).await?;
    take_signups(snapshot, diff, rules, range, signups).await
}

async fn take_purchases(
    snapshot: &mut Snapshot<'_>,
    diff: &mut Diff<'_>,
    mut on_page: HashMap<InboxId, (i64, Message)>,
) -> Result<(), ExitError> {
    let names: BTreeSet<Name> = on_page.values().flat_map(|(_, message)| message.content.names()).collect();
    let mut purchases = snapshot.purchases_named(&names).await?;
    // Each purchase once: where its first message is.
    purchases.retain(|purchase| purchase.messages.iter().min().is_some_and(|first| on_page.contains_key(first)));
    let elsewhere: Vec<Uuid> = purchases.iter().flat_map(|purchase| &purchase.messages).map(|id| id.0).collect();
    let elsewhere: Vec<Uuid> = elsewhere.into_iter().filter(|id| !on_page.contains_key(&InboxId(*id))).collect();
    for arrived in snapshot.messages(&elsewhere).await? {
        let message = decoded(&arrived)?;
        on_page.insert(arrived.message.inbox_id, (arrived.taken, message));
    }
    let ids: Vec<Uuid> = purchases.iter().flat_map(|purchase| purchase.grants.iter().copied()).collect();
    let mut grants = by_id(snapshot, &ids).await?;
    as_rules_made_them(snapshot, &mut grants).await?;
    for purchase in purchases {
        let mut messages: Vec<(i64, InboxId, Message)> = Vec::new();
        for id in &purchase.messages {
            messages.extend(on_page.remove(id).map(|(taken, message)| (taken, *id, message)));
        }
        messages.sort_by_key(|(taken, id, _)| (*taken, *id));
        let granted = purchase.grants.iter().filter_map(|id| grants.remove(&GrantId(*id)));
        diff.purchase(messages.into_iter().map(|(_, id, message)| (id, message)), granted.collect());
    }
    Ok(())
}

async fn take_signups(
    snapshot: &mut Snapshot<'_>,
    diff: &mut Diff<'_>,
    rules: &Rules,
    range: ArrivalRange,
    mut signups: Vec<(Arrived, Message)>,
) -> Result<(), ExitError> {
    signups.sort_by_key(|(arrived, _)| arrived.taken);
    let ids: Vec<Uuid> = signups.iter().map(|(arrived, _)| arrived.message.inbox_id.0).collect();
    let given = if ids.is_empty() { Vec::new() } else { snapshot.given_by_signups(&ids).await? };
    let possible = signups.iter().flat_map(|(_, message)| needs(message, rules).grants).map(|grant| grant.0);
    let wanted: BTreeSet<Uuid> = possible.chain(given.iter().map(|(_, grant)| *grant)).collect();
    let known = by_id(snapshot, &wanted.into_iter().collect::<Vec<_>>()).await?;
    for (arrived, message) in signups {
        let id = arrived.message.inbox_id;
        if range.holds(id) {
            let caused = given.iter().filter(|(signup, _)| *signup == id);
            let caused: Vec<Grant> = caused.filter_map(|(_, grant)| known.get(&GrantId(*grant)).cloned()).collect();
            diff.signup(id, message, &known, caused);
        } else {
            diff.earlier_signup(id, message);
        }
    }
    Ok(())
}

/// Puts the first of a chain of regrants in the place of the last, with what refunds have asked back by now: what people
/// made of it by hand is no rule's.
async fn as_rules_made_them(
    snapshot: &mut Snapshot<'_>,
    grants: &mut HashMap<GrantId, Grant>,
) -> Result<(), ExitError> {
    loop {
        let replaced: Vec<(GrantId, Uuid)> =
            grants.iter().filter_map(|(id, grant)| Some((*id, grant.terms.replaces?.0))).collect();
        if replaced.is_empty() {
            return Ok(());
        }
        let before = by_id(snapshot, &replaced.iter().map(|(_, old)| *old).collect::<Vec<_>>()).await?;
        for (id, old) in replaced {
            let Some(last) = grants.get_mut(&id) else { continue };
            match before.get(&GrantId(old)) {
                Some(first) => *last = Grant { asked: last.asked, ..first.clone() },
                None => Arc::make_mut(&mut last.terms).replaces = None,
            }
        }
    }
}

async fn by_id(snapshot: &mut Snapshot<'_>, ids: &[Uuid]) -> Result<HashMap<GrantId, Grant>, ExitError> {
    let grants = if ids.is_empty() { Vec::new() } else { snapshot.grants(ids).await? };
    Ok(grants.into_iter().map(|grant| (grant.terms.grant_id, grant)).collect())
}

fn decoded(arrived: &Arrived) -> Result<Message, ExitError> {
    let message = &arrived.message;
    wire::decode_stored(&Stored {
        structured: message.structured,
        key: &message.key,
        kind: &message.kind,
        time: message.time,
        body: &message.body,
    })
    .map_err(|error| ExitError::Failed(anyhow::anyhow!("kept message {} cannot be read: {error}", message.key.id)))
}

/// How far it is, on stderr.
struct Watch {
    progress: Progress,
    span: Option<(InboxId, InboxId)>,
    told: usize,
}

impl Watch {
    fn new(span: Option<(InboxId, InboxId)>) -> Self {
        Self { progress: Progress::patient(TELL, TELL), span, told: 0 }
    }

    fn tell(&mut self, at: InboxId) {
        let last = self.span.map(|(_, last)| last);
        let (arrived, last) = (arrival(at), last.and_then(arrival));
        let shown = |instant: Option<Timestamp>| instant.map(time).unwrap_or_default();
        let told = self.told;
        self.progress.tell(|| format!("{told} messages, arrived up to {} of {}", shown(arrived), shown(last)));
    }

    fn end(&self, compared: &Compared) {
        let seconds = self.progress.end().as_secs_f64();
        output::complain(&format!(
            "{} messages: {} purchases and {} signups compared in {seconds:.1} s",
            self.told, compared.purchases, compared.signups
        ));
    }
}

/// When a message arrived, to the millisecond: its id begins with that.
fn arrival(id: InboxId) -> Option<Timestamp> {
    DateTime::from_timestamp_millis(i64::try_from(id.0.as_u128() >> 80).ok()?)
}
