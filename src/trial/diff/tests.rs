//! Grants by one set of rules against those by another.

use uuid::Uuid;

use super::*;
use crate::config::RulesFile;
use crate::wire::{Raw, decode};

const RULES: &str = r#"
[credit_types.credits]
scale = 0
[[rules]]
name = "packs"
on = "payment-succeeded"
match = { price_id = "pack" }
grant = { credit_type = "credits", credits_per_unit = 1000, category = "paid" }
[[rules]]
name = "welcome"
on = "signup"
grant = { credit_type = "credits", credits = 100, category = "promotional" }
once_per = "identity"
"#;

/// What `change` does to the rules.
fn changed(from: &str, to: &str) -> Rules {
    let text = RULES.replace(from, to);
    assert!(text != RULES || from == to, "{from} is not in the rules");
    RulesFile::parse("rules.toml", text).unwrap().rules
}

fn message(kind: &str, id: &str, data: &str) -> Message {
    let body = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"{kind}","time":"2026-01-01T00:00:00Z","data":{{{data}}}}}"#
    );
    let raw = Raw {
        body: body.as_bytes(),
        content_type: Some("application/cloudevents+json"),
        message_id: None,
        kind: None,
        app_id: None,
        timestamp: None,
        header: &|_| None,
    };
    decode(&raw).unwrap().message
}

fn payment(price: &str) -> Message {
    let line = format!(r#"{{"price_id":"{price}","amount":"10.00"}}"#);
    let data = r#""payment_id":"p","customer_id":"ada","amount":"10.00","currency":"EUR","lines":["#;
    message("payment-succeeded", "pay", &format!("{data}{line}]"))
}

fn refund() -> Message {
    let data = r#""refund_id":"r","payment_id":"p","amount":"2.50","currency":"EUR","status":"succeeded""#;
    message("refund", "back", data)
}

fn signup(id: &str, customer: &str, identity: &str) -> Message {
    message("signup", id, &format!(r#""customer_id":"{customer}","identity":"{identity}""#))
}

fn numbered(messages: &[Message]) -> Vec<(InboxId, Message)> {
    (1..).zip(messages).map(|(number, message)| (InboxId(Uuid::from_u128(number)), message.clone())).collect()
}

/// What `old` rules made of the messages.
fn granted(messages: &[Message], old: &Rules) -> Vec<Grant> {
    let mut books = Books::new(old, Timestamp::default());
    for (id, message) in numbered(messages) {
        books.take(id, message);
    }
    books.accounts.into_values().flat_map(|account| account.grants.into_values()).collect()
}

/// Compares one purchase.
fn purchase(messages: &[Message], new: &Rules) -> Compared {
    let mut diff = Diff::new(new, Timestamp::default(), 10);
    diff.purchase(numbered(messages), granted(messages, &changed("", "")));
    diff.finish()
}

/// Compares signups, one after the other, the first `earlier` of which are out of range.
fn signups(messages: &[Message], earlier: usize, new: &Rules) -> Compared {
    let grants = granted(messages, &changed("", ""));
    let known: HashMap<GrantId, Grant> = grants.iter().map(|grant| (grant.terms.grant_id, grant.clone())).collect();
    let mut diff = Diff::new(new, Timestamp::default(), 10);
    for (at, (id, message)) in numbered(messages).into_iter().enumerate() {
        let caused: Vec<Grant> =
            grants.iter().filter(|grant| grant.terms.cause.id == message.key.id).cloned().collect();
        if at < earlier {
            diff.earlier_signup(id, message);
        } else {
            diff.signup(id, message, &known, caused);
        }
    }
    diff.finish()
}

/// `other packs: amount 1000 -> 1250, …` for each grant that differs.
fn told(compared: &Compared) -> Vec<String> {
    let tell = |difference: &Difference| {
        let terms = &difference.grant().unwrap().terms;
        let fields = difference.fields().into_iter();
        let fields = fields.map(|change| format!("{} {} -> {}", change.field, change.granted, change.would_be));
        let rule = terms.rule.as_ref().unwrap();
        format!("{} {rule} of {}: {}", difference.kind(), terms.customer_id, fields.collect::<Vec<_>>().join(", "))
    };
    compared.listed.iter().map(tell).collect()
}

fn net_sums(compared: &Compared) -> Vec<String> {
    let sums = |totals: &TypeTotals| format!("{} -> {}", totals.credits.granted, totals.credits.would_be);
    compared.by_type.values().map(sums).collect()
}

#[test]
fn the_rules_that_were_in_force_give_what_was_granted() {
    let compared = purchase(&[payment("pack"), refund()], &changed("", ""));
    assert_eq!((compared.differing, net_sums(&compared)), (0, vec!["750 -> 750".to_owned()]));
    let all = [signup("s1", "ada", "i"), signup("s2", "bob", "i"), signup("s3", "ada", "j"), signup("s4", "cy", "j")];
    let compared = signups(&all, 0, &changed("", ""));
    assert_eq!((compared.differing, net_sums(&compared)), (0, vec!["100 -> 100".to_owned()]));
}

#[test]
fn another_amount_is_compared_after_what_refunds_ask_back() {
    let compared =
        purchase(&[payment("pack"), refund()], &changed("credits_per_unit = 1000", "credits_per_unit = 1200"));
    assert_eq!(told(&compared), ["other packs of ada: amount 1000 -> 1200, asked 250 -> 300"]);
    assert_eq!(net_sums(&compared), ["750 -> 900"]);
    let tally = compared.by_rule.values().next().unwrap();
    assert_eq!((tally.more, tally.fewer, tally.other), (0, 0, 1));
    assert_eq!(tally.credits.difference().to_string(), "150");
}

#[test]
fn a_rule_that_takes_another_price_gives_one_grant_less_and_one_more() {
    let other = changed("price_id = \"pack\"", "price_id = \"box\"");
    assert_eq!(told(&purchase(&[payment("pack")], &other)), ["fewer packs of ada: "]);
    assert_eq!(told(&purchase(&[payment("box")], &other)), ["more packs of ada: "]);
}

#[test]
fn other_terms_are_told_too() {
    let later = changed("category = \"paid\"", "category = \"paid\", priority = 7, expires_after = \"1d\"");
    let expected = "other packs of ada: priority 50 -> 7, expires_at none -> 2026-01-02T00:00:00Z";
    assert_eq!(told(&purchase(&[payment("pack")], &later)), [expected]);
}

#[test]
fn once_per_customer_gives_what_once_per_identity_refused() {
    let all = [signup("s1", "ada", "i"), signup("s2", "bob", "i"), signup("s3", "ada", "j")];
    let per_customer = changed("once_per = \"identity\"", "once_per = \"customer\"");
    assert_eq!(told(&signups(&all, 0, &per_customer)), ["more welcome of bob: "]);
}

#[test]
fn what_earlier_signups_got_and_claimed_counts_though_they_are_not_compared() {
    let all = [signup("s1", "ada", "i"), signup("s2", "bob", "i"), signup("s3", "ada", "i")];
    let compared = signups(&all, 1, &changed("credits = 100", "credits = 70"));
    assert_eq!((compared.signups, told(&compared)), (2, Vec::new()));
    assert_eq!(
        told(&signups(&all, 0, &changed("credits = 100", "credits = 70"))),
        ["other welcome of ada: amount 100 -> 70"]
    );
}

#[test]
fn a_grant_that_a_later_signup_would_bring_is_another_one_and_not_gone() {
    let pro = r#""customer_id":"ada","identity":"i","plan":"pro""#;
    let all = [signup("s1", "ada", "i"), message("signup", "s2", pro)];
    let only_pro = changed("on = \"signup\"", "on = \"signup\"\nmatch = { plan = \"pro\" }");
    let compared = signups(&all, 0, &only_pro);
    // Both happened at one time: nothing of the grant is another.
    assert_eq!((compared.differing, net_sums(&compared)), (0, vec!["100 -> 100".to_owned()]));
    assert_eq!(told(&signups(&all[..1], 0, &only_pro)), ["fewer welcome of ada: "]);
}

#[test]
fn a_rule_that_is_gone_gives_nothing() {
    let renamed = changed("name = \"welcome\"", "name = \"hello\"");
    let told = told(&signups(&[signup("s1", "ada", "i")], 0, &renamed));
    assert_eq!(told, ["more hello of ada: ", "fewer welcome of ada: "]);
}

#[test]
fn beyond_the_limit_grants_are_counted_and_not_listed() {
    let new = changed("credits_per_unit = 1000", "credits_per_unit = 1");
    let old = changed("", "");
    let mut diff = Diff::new(&new, Timestamp::default(), 2);
    for _ in 0..5 {
        let messages = [payment("pack")];
        diff.purchase(numbered(&messages), granted(&messages, &old));
    }
    let compared = diff.finish();
    assert_eq!((compared.differing, compared.listed.len(), compared.purchases), (5, 2, 5));
    assert_eq!(net_sums(&compared), ["5000 -> 5"]);
}
