//! `credits regrant`: what remains of a grant, on other terms.

use serde_json::json;

use super::adjust::{self, Common, Wanted, grant_id, grant_of, length, priority};
use super::show::time;
use super::when::instant;
use super::{ExitError, Global};
use crate::domain::ids::GrantId;
use crate::domain::message::Timestamp;
use crate::domain::rules::Priority;
use crate::store::Session;

/// What a regrant is said to be for where nobody says it.
const REASON: &str = "regranted by hand";

/// Close a grant and grant what remains of it anew, with other dates or another priority
///
/// A grant is never edited: this revokes it and grants anew, in one transaction. The new grant is linked to the old one,
/// has its share of the cost and its place in the purchase, so that a later refund reaches it. What is not named stays as
/// it was, except that a grant which has begun begins anew.
///
/// Shows what would come of it and asks; --yes is for scripts. With --idempotency-key it is done once: the second run
/// prints the result of the first; the same key with another content is refused.
///
/// Exits with 1 if it is refused, nothing remains, or nobody says yes; nothing is written then. With 69 if the database
/// cannot be reached.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("terms").args(["expires_at", "expires_after", "effective_at", "priority"])
    .required(true).multiple(true))]
pub struct Args {
    /// The grant, as `credits grants CUSTOMER` shows it
    #[arg(value_name = "GRANT", value_parser = grant_id)]
    pub grant: GrantId,
    /// When the new grant ends, such as `2027-01-31` or `2027-01-31T12:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = instant, conflicts_with = "expires_after")]
    pub expires_at: Option<Timestamp>,
    /// How long after its start the new grant ends, such as `365d`, or `never`
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    pub expires_after: Option<String>,
    /// When the new grant starts; now if absent, or as before if that is still to come
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub effective_at: Option<Timestamp>,
    /// 0 to 100, lower is used first; as before if absent
    #[arg(long, value_name = "NUMBER", value_parser = priority)]
    pub priority: Option<Priority>,
    /// Why: words for people
    #[arg(long, value_name = "TEXT", default_value = REASON)]
    pub reason: String,
    /// Who, under which key, and whether to ask
    #[command(flatten)]
    pub common: Common,
}

/// Regrants what remains of a grant.
///
/// # Errors
/// [`ExitError`], as its numbers say; [`ExitError::Failed`] if it is refused or nobody says yes.
pub fn run(global: &Global, args: &Args) -> Result<(), ExitError> {
    adjust::run(global, &args.common, async |session| wanted(session, args).await)
}

/// What the arguments ask for.
///
/// # Errors
/// [`ExitError::Failed`] if there is no such grant.
pub async fn wanted(session: &mut Session, args: &Args) -> Result<Wanted, ExitError> {
    let terms = grant_of(session, args.grant).await?.terms;
    let fields = adjust::fields(&json!({
        "action": "regrant",
        "grant_id": args.grant.to_string(),
        "priority": args.priority.map(Priority::value),
        "effective_at": args.effective_at.map(time),
        "expires_at": args.expires_at.map(time),
        "expires_after": args.expires_after,
        "reason": args.reason,
    }));
    Ok(Wanted { customer: terms.customer_id.clone(), credit_type: terms.credit_type.clone(), fields })
}
