//! The whole story of one purchase.

use serde_json::{Value, json};

use super::message::{outcome_cells, told_json};
use crate::cli::case::Case;
use crate::cli::output::{Format, Listing};
use crate::cli::show::{self, Besides, time};
use crate::domain::explain::{LineTold, TargetTold, decisions, known, said_before, targets};
use crate::domain::facts::Kept;
use crate::domain::ids::PriceId;
use crate::domain::outcome::Outcome;
use crate::store::read::{KeptMessage, Trace};

/// A purchase for people.
pub(super) fn words(case: &Case, trace: &Trace) -> String {
    let plain = |listing: Listing| listing.render(Format::default());
    let mut words = format!("purchase: {}\n", show::names(&case.facts.names));
    words += &show::section("messages, in order of arrival", &plain(messages(case)));
    let facts = known(&case.facts);
    let facts: Vec<(&str, Option<String>)> =
        facts.iter().map(|known| (known.what.as_str(), Some(known.says.clone()))).collect();
    words += &show::section("facts", &show::fields(&facts));
    let lines = lines(case);
    if !lines.is_empty() {
        words += &show::section("lines, as they were decided", &plain(decided(&lines)));
    }
    for line in lines.iter().filter(|line| line.grant_id.is_none() && line.rule.is_none()) {
        words += &show::section(&format!("rules that were looked at for {}", line.price_id), &plain(looks(line)));
    }
    let awaited = case.awaited();
    if !awaited.is_empty() {
        let waits = case.rows.messages.iter().filter_map(|message| {
            Some((message.key.id.as_str(), Some(format!("waits for {}", awaited.get(&message.inbox_id)?))))
        });
        words += &show::section("waiting", &show::fields(&waits.collect::<Vec<_>>()));
    }
    for target in all_targets(case) {
        let heading = format!("asked back of {} for {}", target.grant_id, price(&target));
        words += &show::section(&heading, &asked_back(&target));
    }
    if !case.refused.is_empty() {
        words += &show::section("refused for contradicting it", &plain(show::refused(&case.refused)));
    }
    if case.rows.entries.is_empty() {
        return words + "\nno ledger entry came of it\n";
    }
    let published = |entry: &_| trace.is_published(entry);
    words +=
        &show::section("ledger entries", &plain(show::entries(&case.rows.entries, &Besides::Published(&published))));
    words + &show::section("grants, as they are now", &plain(show::grants(&case.rows.accounts)))
}

/// One row an outcome; the message stands on its first.
fn messages(case: &Case) -> Listing {
    let mut listing = Listing::new(&[
        "received_at",
        "message_id",
        "source",
        "type",
        "decided_at",
        "outcome",
        "code",
        "entries",
        "rules",
        "reason",
    ]);
    for (at, message) in case.rows.messages.iter().enumerate() {
        let mut first = Some([
            time(message.received_at),
            message.key.id.to_string(),
            message.key.source.to_string(),
            message.kind.clone(),
        ]);
        let repeats = repeats(case, at);
        for told in &message.outcomes {
            let head = first.take().map_or([const { None }; 4], |cells| cells.map(Some));
            let [decided_at, outcome, code, entries, rules, reason] = outcome_cells(told);
            let is_first = head[0].is_some();
            let reason = match repeats.as_slice() {
                [_, ..] if is_first => reason.map(|reason| format!("{reason}: {} said it before", ids(&repeats))),
                _ => reason,
            };
            listing.add(head.into_iter().chain([decided_at, outcome, code, entries, rules, reason]));
        }
    }
    listing
}

fn ids(kept: &[&Kept]) -> String {
    kept.iter().map(|kept| kept.key.id.as_str()).collect::<Vec<_>>().join(", ")
}

/// Of a duplicate, the messages that said before what it says.
fn repeats(case: &Case, at: usize) -> Vec<&Kept> {
    let told = case.rows.messages.get(at).and_then(|message| message.outcomes.first());
    let is_duplicate = told.is_some_and(|told| told.outcome == Outcome::Duplicate);
    if is_duplicate { said_before(&case.purchase.kept, at) } else { Vec::new() }
}

fn lines(case: &Case) -> Vec<LineTold> {
    decisions(&case.facts, &case.purchase.decided, |hash| case.rules(hash))
}

fn decided(lines: &[LineTold]) -> Listing {
    let mut listing = Listing::new(&["price_id", "sold", "rule", "rules", "granted_for", "grant_id", "arithmetic"]);
    for line in lines {
        listing.add([
            Some(line.price_id.to_string()),
            line.sold.clone(),
            line.rule.as_ref().map(ToString::to_string),
            Some(show::short_hash(line.rules_hash)),
            Some(line.fact.to_string()),
            line.grant_id.map(|grant| grant.to_string()),
            Some(line.words.clone()),
        ]);
    }
    listing
}

fn looks(line: &LineTold) -> Listing {
    let mut listing = Listing::new(&["rule", "condition_not_met"]);
    for (rule, misfit) in &line.looked_at {
        listing.add([Some(rule.to_string()), Some(misfit.clone())]);
    }
    listing
}

fn all_targets(case: &Case) -> Vec<TargetTold> {
    targets(&case.facts, &case.wanted(), |id| case.rows.grants.get(&id))
}

fn price(target: &TargetTold) -> &str {
    target.price_id.as_ref().map_or("no price", PriceId::as_str)
}

fn asked_back(target: &TargetTold) -> String {
    let mut pairs: Vec<(&str, Option<String>)> =
        target.steps.iter().map(|(name, words)| (*name, Some(words.clone()))).collect();
    if target.steps.is_empty() {
        pairs.push(("target", Some(target.words.clone())));
    }
    match target.made {
        Some((asked, taken)) if asked.is_zero() && taken.is_zero() => {}
        Some((asked, taken)) => {
            pairs.push(("asked", Some(asked.to_string())));
            pairs.push(("taken", Some(taken.to_string())));
            let short = asked.less(taken);
            pairs.push(("shortfall", (!short.is_zero()).then(|| short.to_string())));
        }
        None => pairs.push(("grant", Some("not made yet".into()))),
    }
    show::fields(&pairs)
}

/// A purchase for programs.
pub(super) fn json(case: &Case, trace: &Trace) -> Value {
    let name = |name: &crate::domain::message::Name| json!({ "kind": name.kind(), "id": name.value() });
    let messages = case.rows.messages.iter().enumerate().map(|(at, message)| message_json(case, at, message));
    let facts = known(&case.facts);
    let facts = facts.into_iter().map(|known| json!({ "what": known.what, "says": known.says }));
    json!({
        "names": case.facts.names.iter().map(name).collect::<Vec<_>>(),
        "messages": messages.collect::<Vec<_>>(),
        "facts": facts.collect::<Vec<_>>(),
        "lines": lines(case).iter().map(line_json).collect::<Vec<_>>(),
        "asked_back": all_targets(case).iter().map(target_json).collect::<Vec<_>>(),
        "refused": case.refused.iter().map(|letter| letter.number.to_string()).collect::<Vec<_>>(),
        "entries": case.rows.entries.iter().map(|entry| show::published_json(entry, trace)).collect::<Vec<_>>(),
        "grants": show::grants_json(&case.rows.accounts),
    })
}

fn message_json(case: &Case, at: usize, message: &KeptMessage) -> Value {
    let repeats: Vec<Value> = repeats(case, at)
        .iter()
        .map(|kept| json!({ "source": kept.key.source.as_str(), "id": kept.key.id.as_str() }))
        .collect();
    show::compact(json!({
        "id": message.key.id.as_str(),
        "source": message.key.source.as_str(),
        "type": message.kind,
        "time": time(message.time),
        "received_at": time(message.received_at),
        "outcomes": message.outcomes.iter().map(told_json).collect::<Vec<_>>(),
        "repeats": (!repeats.is_empty()).then_some(repeats),
        "waits_for": case.awaited().get(&message.inbox_id),
    }))
}

fn line_json(line: &LineTold) -> Value {
    let looks: Vec<Value> = line
        .looked_at
        .iter()
        .map(|(rule, misfit)| json!({ "rule": rule.as_str(), "condition_not_met": misfit }))
        .collect();
    show::compact(json!({
        "price_id": line.price_id.as_str(),
        "sold": line.sold,
        "rule": line.rule.as_ref().map(ToString::to_string),
        "rules_sha256": line.rules_hash.to_string(),
        "granted_for": { "kind": line.fact.kind(), "id": line.fact.id() },
        "grant_id": line.grant_id.map(|grant| grant.to_string()),
        "arithmetic": line.words,
        "looked_at": (!looks.is_empty()).then_some(looks),
    }))
}

fn target_json(target: &TargetTold) -> Value {
    let steps = target.steps.iter().map(|(name, words)| json!({ "name": name, "arithmetic": words }));
    show::compact(json!({
        "grant_id": target.grant_id.to_string(),
        "price_id": target.price_id.as_ref().map(PriceId::as_str),
        "steps": steps.collect::<Vec<_>>(),
        "target": target.target.to_string(),
        "reason": target.words,
        "asked": target.made.map(|(asked, _)| asked.to_string()),
        "taken": target.made.map(|(_, taken)| taken.to_string()),
    }))
}
