//! How a comparison looks.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cli::output::{Format, Listing};
use crate::cli::show::compact;
use crate::domain::account::Grant;
use crate::domain::ids::{PriceId, RuleName};
use crate::domain::rules::Rules;
use crate::trial::diff::{Compared, Credits, Difference, net};

/// Tables: totals, rules, customers, grants.
pub(super) fn text(compared: &Compared) -> String {
    let table = |listing: Listing| listing.render(Format::default());
    let mut text = format!("totals by credit type\n\n{}", table(totals(compared)));
    if compared.differing == 0 {
        return text + "\nno grant would be another one\n";
    }
    let _ = write!(text, "\ngrants that would be others, by rule\n\n{}", table(rules(compared)));
    let _ = write!(text, "\nthe same by customer\n\n{}", table(customers(compared)));
    let _ = write!(text, "\nthe same one by one\n\n{}", table(grants(compared)));
    let hidden = compared.differing.saturating_sub(compared.listed.len() as u64);
    if hidden > 0 {
        let what = "more grants are counted above and not listed by customer or one by one: --limit";
        let _ = writeln!(text, "\n{hidden} {what}");
    }
    text
}

/// The same, with every field.
pub(super) fn json(compared: &Compared, rules: &Rules) -> Value {
    let totals = compared.by_type.iter().map(|(kind, totals)| {
        let mut value = credits(&totals.credits);
        value["credit_type"] = kind.as_str().into();
        value["grants"] = totals.grants.to_string().into();
        value["would_be_grants"] = totals.would_be_grants.to_string().into();
        value
    });
    let by_rule = compared.by_rule.iter().map(|(rule, tally)| {
        let mut value = credits(&tally.credits);
        value["rule"] = rule.as_str().into();
        value["more"] = tally.more.to_string().into();
        value["fewer"] = tally.fewer.to_string().into();
        value["other"] = tally.other.to_string().into();
        value
    });
    let by_customer = compared.by_customer().into_iter().map(|((customer, kind), sums)| {
        let mut value = credits(&sums);
        value["customer_id"] = customer.as_str().into();
        value["credit_type"] = kind.as_str().into();
        value
    });
    json!({
        "rules_sha256": rules.hash.to_string(),
        "purchases": compared.purchases.to_string(),
        "signups": compared.signups.to_string(),
        "differing": compared.differing.to_string(),
        "listed": compared.listed.len().to_string(),
        "totals": totals.collect::<Vec<_>>(),
        "rules": by_rule.collect::<Vec<_>>(),
        "customers": by_customer.collect::<Vec<_>>(),
        "grants": compared.listed.iter().map(difference).collect::<Vec<_>>(),
    })
}

fn credits(credits: &Credits) -> Value {
    json!({
        "granted": credits.granted.normalize().to_string(),
        "would_be": credits.would_be.normalize().to_string(),
        "difference": credits.difference().normalize().to_string(),
    })
}

fn difference(difference: &Difference) -> Value {
    let changed = difference.fields().into_iter();
    let changed =
        changed.map(|change| json!({ "field": change.field, "granted": change.granted, "would_be": change.would_be }));
    let grant = difference.grant();
    let side = |grant: &Option<Grant>| {
        grant.as_ref().map(|grant| {
            compact(json!({
                "grant_id": grant.terms.grant_id.to_string(),
                "rule": grant.terms.rule.as_ref().map(RuleName::as_str),
                "amount": grant.terms.amount.to_string(),
                "asked": grant.asked.to_string(),
                "cause": grant.terms.cause.id.as_str(),
            }))
        })
    };
    compact(json!({
        "change": difference.kind(),
        "customer_id": grant.map(|grant| grant.terms.customer_id.as_str()),
        "credit_type": grant.map(|grant| grant.terms.credit_type.as_str()),
        "price_id": grant.and_then(|grant| grant.terms.price_id.as_ref()).map(PriceId::as_str),
        "granted": side(&difference.granted),
        "would_be": side(&difference.would_be),
        "fields": changed.collect::<Vec<_>>(),
    }))
}

fn cells(credits: &Credits) -> [Option<String>; 3] {
    [credits.granted, credits.would_be, credits.difference()].map(|number| Some(number.normalize().to_string()))
}

fn totals(compared: &Compared) -> Listing {
    let mut listing = Listing::new(&["credit_type", "grants", "would_be_grants", "granted", "would_be", "difference"]);
    for (kind, totals) in &compared.by_type {
        let first = [Some(kind.to_string()), Some(totals.grants.to_string()), Some(totals.would_be_grants.to_string())];
        listing.add(first.into_iter().chain(cells(&totals.credits)));
    }
    listing
}

fn rules(compared: &Compared) -> Listing {
    let mut listing = Listing::new(&["rule", "more", "fewer", "other", "granted", "would_be", "difference"]);
    for (rule, tally) in &compared.by_rule {
        let counts = [tally.more, tally.fewer, tally.other].map(|count| Some(count.to_string()));
        listing.add(std::iter::once(Some(rule.to_string())).chain(counts).chain(cells(&tally.credits)));
    }
    listing
}

fn customers(compared: &Compared) -> Listing {
    let mut listing = Listing::new(&["customer_id", "credit_type", "granted", "would_be", "difference"]);
    for ((customer, kind), credits) in compared.by_customer() {
        listing.add([Some(customer.to_string()), Some(kind.to_string())].into_iter().chain(cells(&credits)));
    }
    listing
}

fn grants(compared: &Compared) -> Listing {
    const COLUMNS: &[&str] =
        &["rule", "customer_id", "price_id", "credit_type", "change", "granted", "would_be", "terms"];
    let mut differences: Vec<&Difference> = compared.listed.iter().collect();
    differences.sort_by_key(|difference| {
        difference.grant().map(|grant| (grant.terms.rule.clone(), grant.terms.customer_id.clone()))
    });
    let mut listing = Listing::new(COLUMNS);
    for difference in differences {
        let Some(grant) = difference.grant() else { continue };
        let terms = &grant.terms;
        let held = |grant: &Option<Grant>| grant.as_ref().map(|grant| net(grant).normalize().to_string());
        let changes = difference.fields();
        let words: Vec<String> = changes
            .iter()
            .map(|change| format!("{}: {} -> {}", change.field, change.granted, change.would_be))
            .collect();
        listing.add([
            terms.rule.as_ref().map(ToString::to_string),
            Some(terms.customer_id.to_string()),
            terms.price_id.as_ref().map(ToString::to_string),
            Some(terms.credit_type.to_string()),
            Some(difference.kind().to_owned()),
            held(&difference.granted),
            held(&difference.would_be),
            Some(words.join(", ")),
        ]);
    }
    listing
}
