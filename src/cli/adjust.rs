//! What `grant`, `revoke` and `regrant` have in common.
//!
//! Each states a `credit-adjustment` message and has it taken as a delivery is: first tried out and rolled back, to be
//! shown and confirmed, then written. What is printed at the end is read back from the ledger by the message's key, so a
//! second run with the same key prints what the first one did.

mod effect;
pub(super) mod message;

use std::path::PathBuf;
use std::slice;

use anyhow::anyhow;
use serde_json::{Map, Value};
use uuid::Uuid;

use self::effect::Effect;
use self::message::Stated;
use super::ask::open;
use super::confirm::confirm;
use super::output::{self, Format, complain, printable};
use super::{ExitError, Global, block_on, read_rules};
use crate::app;
use crate::config::{RulesFile, nearest};
use crate::domain::account::Grant;
use crate::domain::books::Record;
use crate::domain::ids::{Actor, CreditType, CustomerId, GrantId, MessageId};
use crate::domain::message::Content;
use crate::domain::outcome::{Outcome, RefusalCode};
use crate::domain::rules::{Priority, Rules};
use crate::domain::sides::side_by_side;
use crate::domain::span;
use crate::handler::direct::{Direct, Keep, Taken};
use crate::store::{Database, Session};

/// The sender of these messages.
const SOURCE: &str = "/credits/cli";

/// Arguments of every adjustment.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Who does it; the ledger keeps it
    #[arg(long, value_name = "NAME", env = "USER", value_parser = Actor::operator)]
    pub actor: Actor,
    /// With the same key it is done once: run again, it prints the result of the first time
    #[arg(long, value_name = "KEY", value_parser = MessageId::parse)]
    pub idempotency_key: Option<MessageId>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// The rules file, instead of the one that the settings name; it has to be that of the worker
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// How to show it
    #[command(flatten)]
    pub format: Format,
}

/// What is wanted: whose credits, and the message's other fields.
#[derive(Debug)]
pub struct Wanted {
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub credit_type: CreditType,
    /// The fields that this kind of adjustment has.
    pub fields: Map<String, Value>,
}

/// Has an adjustment made, and prints what came of it.
///
/// # Errors
/// [`ExitError`], as its numbers say; [`ExitError::Failed`] if it is refused or nobody says yes.
pub(super) fn run(
    global: &Global,
    common: &Common,
    wanted: impl AsyncFnOnce(&mut Session) -> Result<Wanted, ExitError>,
) -> Result<(), ExitError> {
    let settings = global.settings()?;
    let rules = read_rules(&settings, common.rules.as_deref())?;
    let database = app::database(&settings.database)?;
    block_on(async {
        let mut session = open(&database).await?;
        let wanted = wanted(&mut session).await?;
        output::show(&answer(&database, &mut session, &rules, common, wanted).await?)
    })
}

/// Makes an adjustment, and gives what came of it as text.
///
/// # Errors
/// [`ExitError`], as its numbers say; [`ExitError::Failed`] if it is refused or nobody says yes.
pub async fn answer(
    database: &Database,
    session: &mut Session,
    rules: &RulesFile,
    common: &Common,
    wanted: Wanted,
) -> Result<String, ExitError> {
    known_type(&rules.rules, &wanted.credit_type)?;
    let mut stated = state(session, common, wanted).await?;
    let mut direct = Direct::new(database, &rules.rules);
    if !common.yes {
        let tried = direct.take(slice::from_mut(&mut stated.work), Keep::Nothing).await?;
        if is_new(session, &stated, &tried).await? {
            complain(&Effect::tried_out(session, &stated, tried).await?.render(Format::default()));
            confirm("write this?")?;
        }
    }
    session.keep_rules(&rules.rules.hash.0, &rules.text).await?;
    let taken = direct.take(slice::from_mut(&mut stated.work), Keep::Effect).await?;
    if !is_new(session, &stated, &taken).await? {
        complain("note: this idempotency key was used before: nothing is written, this is what came of it then");
    }
    if let Some(effect) = Effect::written(session, &stated.key).await? {
        return Ok(effect.render(common.format));
    }
    let id = &stated.key.id;
    failed(&format!("nothing is done: the adjustment {id} is known from another sender, see `credits explain`"))
}

async fn state(session: &mut Session, common: &Common, wanted: Wanted) -> Result<Stated, ExitError> {
    let clock = session.snapshot().await?.clock().await?;
    let id = common.idempotency_key.as_ref().map_or_else(|| Uuid::now_v7().to_string(), ToString::to_string);
    let mut fields = wanted.fields;
    fields.insert("customer_id".to_owned(), wanted.customer.as_str().into());
    fields.insert("credit_type".to_owned(), wanted.credit_type.as_str().into());
    fields.insert("adjustment_id".to_owned(), id.as_str().into());
    fields.insert("actor".to_owned(), common.actor.as_str().into());
    message::state(SOURCE, &id, clock, &fields).or_else(|error| failed(&error))
}

/// Whether the message is new and moves something; `false` if it was taken before.
async fn is_new(session: &mut Session, stated: &Stated, taken: &Taken) -> Result<bool, ExitError> {
    let Some(record) = taken.records.first() else { return failed("nothing is done") };
    match record.outcome {
        Outcome::Applied if taken.moves(record) => Ok(true),
        Outcome::Applied => failed(&format!("nothing is done: nothing remains to be taken back ({})", record.reason)),
        Outcome::Duplicate => Ok(false),
        Outcome::DeadLettered => refuse(session, stated, record).await,
        Outcome::Ignored | Outcome::Waiting => failed(&format!("nothing is done: {}", record.reason)),
    }
}

async fn refuse(session: &mut Session, stated: &Stated, record: &Record) -> Result<bool, ExitError> {
    if record.code != Some(RefusalCode::IdempotencyConflict) {
        return failed(&format!("nothing is done: {}", message::plain(&record.reason)));
    }
    let sides = both_sides(session, stated).await?;
    let key = &stated.key.id;
    failed(&format!("nothing is done: the idempotency key {key} was used before for something else: {sides}"))
}

/// What differs between a message and the one that holds its key.
///
/// # Errors
/// [`ExitError`], as its numbers say.
pub(super) async fn both_sides(session: &mut Session, stated: &Stated) -> Result<String, ExitError> {
    let keeper = session.snapshot().await?.keeper(&stated.key).await?;
    let Some(kept) = keeper.as_ref().map(super::case::decoded).transpose()? else {
        return Ok("it is free again".to_owned());
    };
    let given = Content::Adjustment(stated.adjustment.clone());
    let said = |side: Option<String>| side.unwrap_or_else(|| "nothing".to_owned());
    let fields = side_by_side(&kept.content, &given).into_iter().filter(crate::domain::sides::Field::differs);
    let sides = fields.map(|field| format!("{}: kept {}, now {}", field.name, said(field.kept), said(field.refused)));
    Ok(sides.collect::<Vec<_>>().join("; "))
}

/// Refuses a credit type that is none of the rules file's, and names the nearest.
///
/// # Errors
/// [`ExitError::Failed`].
pub(super) fn known_type(rules: &Rules, credit_type: &CreditType) -> Result<(), ExitError> {
    if rules.credit_types.contains_key(credit_type) {
        return Ok(());
    }
    let known: Vec<&str> = rules.credit_types.keys().map(CreditType::as_str).collect();
    let near = nearest(credit_type.as_str(), known.iter().copied());
    let hint = near.map_or_else(|| format!("it has {}", known.join(", ")), |near| format!("did you mean {near}?"));
    failed(&format!("nothing is done: {credit_type} is no credit type of the rules file: {hint}"))
}

/// The grant of an id, as it is written.
///
/// # Errors
/// [`ExitError::Failed`] if there is none.
pub(super) async fn grant_of(session: &mut Session, id: GrantId) -> Result<Grant, ExitError> {
    let mut found = session.snapshot().await?.grants_of(&[id.0]).await?;
    found.remove(&id).map_or_else(|| failed(&format!("nothing is done: there is no grant {id}")), Ok)
}

/// The fields that are there.
pub(super) fn fields(all: &Value) -> Map<String, Value> {
    let all = all.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn failed<T>(what: &str) -> Result<T, ExitError> {
    Err(ExitError::Failed(anyhow!(printable(what))))
}

/// A grant's id.
pub(super) fn grant_id(text: &str) -> Result<GrantId, &'static str> {
    Uuid::try_parse(text)
        .map(GrantId)
        .map_err(|_| "is no grant id, which is a UUID: `credits grants CUSTOMER` shows them")
}

/// A length of time, or `never`, as it is written.
pub(super) fn length(text: &str) -> Result<String, span::InvalidSpan> {
    if text != "never" {
        span::parse(text)?;
    }
    Ok(text.to_owned())
}

/// 0 to 100.
pub(super) fn priority(text: &str) -> Result<Priority, &'static str> {
    text.parse().ok().and_then(Priority::new).ok_or("is no number from 0 to 100")
}
