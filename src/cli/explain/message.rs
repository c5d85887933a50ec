//! What became of one message, and what the rules said to a signup.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::cli::ExitError;
use crate::cli::case::rules_files;
use crate::cli::output::{Format, Listing};
use crate::cli::show::{self, Besides, time};
use crate::domain::ids::InboxId;
use crate::domain::message::Signup;
use crate::domain::outcome::RefusalCode;
use crate::domain::signup::{Look, looks};
use crate::store::read::{AccountView, KeptMessage, Snapshot, Told, Trace};

/// What every rule says to the signups among the messages.
#[derive(Debug, Default)]
pub(super) struct Signups(BTreeMap<InboxId, Looked>);

#[derive(Debug)]
struct Looked {
    looks: Vec<Look>,
    /// The account with what those rules gave it.
    account: Option<AccountView>,
}

impl Signups {
    /// Looks at `signup` by the rules in force when it was decided.
    pub(super) async fn add(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        message: &KeptMessage,
        signup: &Signup,
    ) -> Result<(), ExitError> {
        let Some(hash) = message.outcomes.first().map(|told| told.rules_hash) else { return Ok(()) };
        let files = rules_files(snapshot, [hash]).await?;
        let Some(rules) = files.get(&hash) else { return Ok(()) };
        let claims = match &signup.identity {
            Some(identity) => snapshot.claims(identity).await?,
            None => HashMap::new(),
        };
        let looks = looks(signup, rules, |rule, _| claims.get(rule).cloned());
        let ids: Vec<_> = looks.iter().filter_map(|look| look.grant).collect();
        let mut account = snapshot.account_of(&signup.customer_id, &ids).await?;
        account = account.filter(|view| !view.account.grants.is_empty());
        self.0.insert(message.inbox_id, Looked { looks, account });
        Ok(())
    }
}

/// Each message in a part of its own, then the refused ones.
pub(super) fn words(trace: &Trace, signups: &Signups) -> Vec<String> {
    let mut parts: Vec<String> = trace.kept.iter().map(|message| kept(message, trace, signups)).collect();
    if !trace.refused.is_empty() {
        let released = trace.refused.iter().any(|letter| letter.inbox_id.is_some());
        let what = match (trace.kept.is_empty(), trace.refused.len()) {
            _ if released => "it was kept at first and then became a conflict: its key is free again",
            (true, _) => "refused: nothing of it is kept but the dead letter",
            (false, 1) => "another content under this id was refused: nothing of that is kept but the dead letter",
            (false, _) => "other contents under this id were refused: nothing of those is kept but the dead letters",
        };
        let hint = "`credits dead-letters show NUMBER` has the body, and of a conflict both sides";
        parts.push(format!("{what}\n{hint}\n\n{}", show::refused(&trace.refused).render(Format::default())));
    }
    parts
}

fn kept(message: &KeptMessage, trace: &Trace, signups: &Signups) -> String {
    let mut words = show::fields(&[
        ("message", Some(message.key.id.to_string())),
        ("source", Some(message.key.source.to_string())),
        ("type", Some(message.kind.clone())),
        ("time", Some(time(message.time))),
        ("queue", Some(message.queue.clone())),
        ("received at", Some(time(message.received_at))),
        ("body", Some(mode(message).to_owned())),
        ("key", Some(key(message))),
    ]);
    words += &show::section("outcomes", &outcomes(&message.outcomes).render(Format::default()));
    if let Some(looked) = signups.0.get(&message.inbox_id) {
        words +=
            &show::section("rules on signups, as they look at it", &table(&looked.looks).render(Format::default()));
    }
    if message.entries.is_empty() {
        words += "\nno ledger entry came of it\n";
    } else {
        let published = |entry: &_| trace.is_published(entry);
        let entries = show::entries(&message.entries, &Besides::Published(&published));
        words += &show::section("ledger entries that came of it", &entries.render(Format::default()));
    }
    if let Some(account) = signups.0.get(&message.inbox_id).and_then(|looked| looked.account.as_ref()) {
        let grants = show::grants(std::slice::from_ref(account));
        words += &show::section("grants, as they are now", &grants.render(Format::default()));
    }
    words
}

fn mode(message: &KeptMessage) -> &'static str {
    if message.structured { "the whole event" } else { "data alone, the envelope in the properties" }
}

/// The idempotency key: source and id, taken by one content.
fn key(message: &KeptMessage) -> String {
    match message.fingerprint {
        Some(fingerprint) => {
            format!("taken by the content {}", fingerprint.to_string().chars().take(12).collect::<String>())
        }
        None => "free again".to_owned(),
    }
}

fn outcomes(told: &[Told]) -> Listing {
    let mut listing = Listing::new(&["decided_at", "outcome", "code", "entries", "rules", "reason"]);
    for one in told {
        listing.add(outcome_cells(one));
    }
    listing
}

/// When, outcome, code, entries, rules file and reason of an outcome.
pub(super) fn outcome_cells(told: &Told) -> [Option<String>; 6] {
    let positions: Vec<String> = told.positions.iter().map(ToString::to_string).collect();
    [
        Some(time(told.decided_at)),
        Some(told.outcome.name().to_owned()),
        told.code.map(|code| code.name().to_owned()),
        (!positions.is_empty()).then(|| positions.join(", ")),
        Some(show::short_hash(told.rules_hash)),
        Some(told.reason.clone()),
    ]
}

fn table(looks: &[Look]) -> Listing {
    let mut listing = Listing::new(&["rule", "fits", "grant_id", "says"]);
    for look in looks {
        listing.add([
            Some(look.rule.to_string()),
            Some(if look.fits { "yes" } else { "no" }.to_owned()),
            look.grant.map(|grant| grant.to_string()),
            Some(look.words.clone()),
        ]);
    }
    listing
}

/// The kept messages.
pub(super) fn json(trace: &Trace, signups: &Signups) -> Vec<Value> {
    trace.kept.iter().map(|message| kept_json(message, trace, signups)).collect()
}

fn kept_json(message: &KeptMessage, trace: &Trace, signups: &Signups) -> Value {
    let looked = signups.0.get(&message.inbox_id);
    show::compact(json!({
        "id": message.key.id.as_str(),
        "source": message.key.source.as_str(),
        "type": message.kind,
        "time": time(message.time),
        "structured": message.structured,
        "queue": message.queue,
        "received_at": time(message.received_at),
        "fingerprint": message.fingerprint.map(|fingerprint| fingerprint.to_string()),
        "outcomes": message.outcomes.iter().map(told_json).collect::<Vec<_>>(),
        "rules": looked.map(|looked| table(&looked.looks).json()),
        "entries": message.entries.iter().map(|entry| show::published_json(entry, trace)).collect::<Vec<_>>(),
        "grants": show::grants_json(&message.accounts),
    }))
}

pub(super) fn told_json(told: &Told) -> Value {
    let positions: Vec<String> = told.positions.iter().map(ToString::to_string).collect();
    show::compact(json!({
        "decided_at": time(told.decided_at),
        "outcome": told.outcome.name(),
        "code": told.code.map(RefusalCode::name),
        "reason": told.reason,
        "positions": positions,
        "rules_sha256": told.rules_hash.to_string(),
    }))
}
