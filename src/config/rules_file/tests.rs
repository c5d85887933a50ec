use super::*;
use crate::domain::rules::{AmountRule, Category, OncePer, WhenPaid};

mod together;

const PACKS: &str = r#"grant = { credit_type = "credits", credits_per_unit = 1000, category = "paid" }"#;
const GIFT: &str = r#"grant = { credit_type = "credits", credits = 100, category = "promotional" }"#;

/// The mistakes of `text`, one a line.
fn mistakes(text: &str) -> String {
    RulesFile::parse("rules.toml", text.to_owned()).err().map(|error| error.to_string()).unwrap_or_default()
}

/// A file with the credit type `credits` (line 1), one blank line, and then `text` from line 3 on.
fn file(text: &str) -> String {
    format!("credit_types = {{ credits = {{ scale = 0 }}, minutes = {{ scale = 3 }} }}\n\n{text}\n")
}

/// A purchase rule: header in line 3, name in line 4, `on` in line 5, then `text` from line 6 on.
fn purchase(text: &str) -> String {
    file(&format!("[[rules]]\nname = \"packs\"\non = \"payment-succeeded\"\n{text}"))
}

/// A signup rule, with the same lines.
fn signup(text: &str) -> String {
    file(&format!("[[rules]]\nname = \"welcome\"\non = \"signup\"\n{text}"))
}

/// A purchase rule of a single grant, in line 6.
fn grant(text: &str) -> String {
    purchase(&format!("grant = {{ {text} }}"))
}

fn check(cases: &[(String, &str)]) {
    for (text, expected) in cases {
        assert_eq!(mistakes(text), *expected, "\n{text}");
    }
}

#[test]
fn the_sample_rules_are_read_as_they_are_written() {
    let text = include_str!("../../../tests/fixtures/rules.toml");
    let RulesFile { rules, text: kept } = RulesFile::parse("rules.toml", text.to_owned()).unwrap();
    assert_eq!(kept, text);
    assert_eq!(rules.hash.to_string(), hex::encode(Sha256::digest(text)));
    let [packs, enterprise] = rules.purchase.as_slice() else { panic!("two purchase rules") };
    assert_eq!((packs.on_payment, packs.on_invoice, packs.when_paid), (true, false, WhenPaid::FirstPayment));
    assert_eq!(packs.grant.amount, AmountRule::PerUnit(1000.into()));
    assert_eq!((enterprise.on_payment, enterprise.on_invoice), (true, true));
    assert_eq!(enterprise.grant.amount, AmountRule::PerCurrencyUnit(25.into()));
    let [welcome] = rules.signup.as_slice() else { panic!("one signup rule") };
    assert_eq!((welcome.once_per, welcome.grant.category), (OncePer::Identity, Category::Promotional));
    assert_eq!(welcome.grant.expires_after, Some(chrono::TimeDelta::days(3650)));
    assert_eq!(welcome.grant.priority.value(), 0);
}

#[test]
fn the_rules_that_come_with_the_worker_are_valid_and_mean_the_same_as_the_samples() {
    let shipped = include_str!("../../../config/rules.toml");
    let samples = include_str!("../../../tests/fixtures/rules.toml");
    let read = |text: &str| RulesFile::parse("rules.toml", text.to_owned()).unwrap().rules;
    let (shipped, samples) = (read(shipped), read(samples));
    assert_eq!((shipped.purchase, shipped.signup), (samples.purchase, samples.signup));
}

#[test]
fn a_rule_may_say_everything_that_the_reference_lists() {
    let text = purchase(
        r#"match = { price_id = ["a", "b"], currency = "EUR", metadata.tier = ["gold"] }
when_paid = "in-full"
grant = { credit_type = "minutes", credits = "0.125", category = "promotional", priority = 100, effective_after = "1d", expires_after = "1w", reason = "Ünïcode" }"#,
    );
    assert_eq!(mistakes(&text), "");
    let text = signup(&format!(
        "match = {{ plan = \"pro\", campaign = [\"x\"], metadata = {{ tier = \"a\" }} }}\nonce_per = \"customer\"\n{GIFT}"
    ));
    assert_eq!(mistakes(&text), "");
}

#[test]
fn what_is_no_toml_is_refused_without_showing_the_line() {
    check(&[
        ("a = ".into(), "rules.toml:1: is no TOML: string values must be quoted, expected literal string"),
        (file("[credit_types]"), "rules.toml:3: is no TOML: duplicate key"),
    ]);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_valid_one() {
    check(&[
        (file("rule = 1"), "rules.toml:3: rule: unknown key, did you mean `rules`?"),
        (file("colour = 1"), "rules.toml:3: colour: unknown key, valid: `credit_types`, `rules`"),
        (
            "[credit_types.credits]\nscale = 0\nscael = 0".into(),
            "rules.toml:3: credit_types.credits.scael: unknown key, did you mean `scale`?",
        ),
        (
            purchase(&format!("when_payed = \"in-full\"\n{PACKS}")),
            "rules.toml:6: rules[0].when_payed: unknown key, did you mean `when_paid`?",
        ),
        (
            purchase(&format!("priority = 1\n{PACKS}")),
            "rules.toml:6: rules[0].priority: unknown key here, it belongs into `grant`",
        ),
        (
            purchase(&format!("price_id = \"a\"\n{PACKS}")),
            "rules.toml:6: rules[0].price_id: unknown key here, it belongs into `match`",
        ),
        (
            purchase(&format!("match = {{ price = \"a\" }}\n{PACKS}")),
            "rules.toml:6: rules[0].match.price: unknown key, did you mean `price_id`?",
        ),
        (
            purchase(&format!("match = {{ \"metadata.tier\" = \"a\" }}\n{PACKS}")),
            "rules.toml:6: rules[0].match.\"metadata.tier\": unknown key, write metadata.tier without quotes",
        ),
        (
            grant(r#"credit_typ = "credits", credit_type = "credits", credits = 1, category = "paid""#),
            "rules.toml:6: rules[0].grant.credit_typ: unknown key, did you mean `credit_type`?",
        ),
    ]);
}

#[test]
fn a_missing_key_is_named_at_its_table() {
    check(&[
        (String::new(), "rules.toml:1: credit_types: is missing"),
        ("[credit_types]".into(), "rules.toml:1: credit_types: names no credit type"),
        ("[credit_types.credits]".into(), "rules.toml:1: credit_types.credits.scale: is missing"),
        (
            file("[[rules]]"),
            "rules.toml:3: rules[0].name: is missing\nrules.toml:3: rules[0].on: is missing\n\
             rules.toml:3: rules[0].grant: is missing",
        ),
        (
            purchase("[rules.grant]"),
            "rules.toml:6: rules[0].grant.credit_type: is missing\nrules.toml:6: rules[0].grant: needs one of \
             `credits`, `credits_per_unit`, `credits_per_currency_unit`\nrules.toml:6: rules[0].grant.category: is missing",
        ),
    ]);
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    check(&[
        (
            file("rules = 1"),
            "rules.toml:3: rules: is a whole number, a list of tables, each headed [[rules]], is needed",
        ),
        ("credit_types = 1".into(), "rules.toml:1: credit_types: is a whole number, a table is needed"),
        (file("rules = [1]"), "rules.toml:3: rules[0]: is a whole number, a table is needed"),
        (purchase("grant = true"), "rules.toml:6: rules[0].grant: is a truth value, a table is needed"),
        (
            purchase(&format!("match = {{ price_id = 7 }}\n{PACKS}")),
            "rules.toml:6: rules[0].match.price_id: is a whole number, a text or a list of texts is needed",
        ),
        (
            purchase(&format!("match = {{ price_id = [\"a\", 7] }}\n{PACKS}")),
            "rules.toml:6: rules[0].match.price_id[1]: is a whole number, a text in quotes is needed",
        ),
    ]);
}

#[test]
fn credit_types_have_a_name_and_a_scale_from_0_to_9() {
    check(&[
        ("credit_types.a.scale = 10".into(), "rules.toml:1: credit_types.a.scale: 10 is not within 0 to 9"),
        ("credit_types.a.scale = -1".into(), "rules.toml:1: credit_types.a.scale: -1 is not within 0 to 9"),
        (
            "credit_types.a.scale = 1.0".into(),
            "rules.toml:1: credit_types.a.scale: is a TOML float, a whole number is needed",
        ),
        ("credit_types.\"\".scale = 1".into(), "rules.toml:1: credit_types.: the name is empty"),
    ]);
}

#[test]
fn triggers_are_purchases_or_signups_but_not_both() {
    let on = |on: &str| file(&format!("[[rules]]\nname = \"a\"\non = {on}\n{PACKS}"));
    check(&[
        (
            on("\"payment-suceeded\""),
            "rules.toml:5: rules[0].on: \"payment-suceeded\" is no trigger, did you mean `payment-succeeded`?",
        ),
        (
            on("[\"payment-succeeded\", \"refund\"]"),
            "rules.toml:5: rules[0].on[1]: \"refund\" is no trigger, \
             valid: `payment-succeeded`, `invoice-issued`, `signup`",
        ),
        (on("[]"), "rules.toml:5: rules[0].on: is an empty list, which nothing fits"),
        (on("3"), "rules.toml:5: rules[0].on: is a whole number, a text or a list of texts is needed"),
        (
            on("[\"signup\", \"invoice-issued\"]"),
            "rules.toml:5: rules[0].on: mixes signup with purchases, a rule is on one of them",
        ),
    ]);
}

#[test]
fn purchases_and_signups_have_keys_of_their_own() {
    check(&[
        (
            purchase(&format!("once_per = \"identity\"\n{PACKS}")),
            "rules.toml:6: rules[0].once_per: is for rules on signups only",
        ),
        (
            purchase(&format!("match = {{ plan = \"a\" }}\n{PACKS}")),
            "rules.toml:6: rules[0].match.plan: is for rules on signups only, \
             valid: `price_id`, `currency`, `metadata`",
        ),
        (
            signup(&format!("when_paid = \"in-full\"\n{GIFT}")),
            "rules.toml:6: rules[0].when_paid: is for rules on purchases only",
        ),
        (
            signup(&format!("match = {{ price_id = \"a\", currency = \"EUR\" }}\n{GIFT}")),
            "rules.toml:6: rules[0].match.price_id: is for rules on purchases only, \
             valid: `plan`, `campaign`, `metadata`\n\
             rules.toml:6: rules[0].match.currency: is for rules on purchases only, \
             valid: `plan`, `campaign`, `metadata`",
        ),
        (
            signup(&format!("once_per = \"identiy\"\n{GIFT}")),
            "rules.toml:6: rules[0].once_per: \"identiy\" is no valid word, did you mean `identity`?",
        ),
    ]);
}

#[test]
fn a_match_has_values_that_messages_can_have() {
    let matching = |text: &str| purchase(&format!("match = {{ {text} }}\n{PACKS}"));
    let (key, value) = ("k".repeat(41), "v".repeat(501));
    check(&[
        (matching("price_id = []"), "rules.toml:6: rules[0].match.price_id: is an empty list, which nothing fits"),
        (matching("price_id = \"\""), "rules.toml:6: rules[0].match.price_id: \"\" is empty"),
        (
            matching("currency = \"usd\""),
            "rules.toml:6: rules[0].match.currency: \"usd\" is no current ISO 4217 currency code, did you mean `USD`?",
        ),
        (
            matching("currency = [\"EUR\", \"GPB\"]"),
            "rules.toml:6: rules[0].match.currency[1]: \"GPB\" is no current ISO 4217 currency code, \
             did you mean `GBP`?",
        ),
        (
            matching(&format!("metadata.{key} = \"a\"")),
            &format!(
                "rules.toml:6: rules[0].match.metadata.{key}: can never match: 41 characters, messages have at most 40"
            ),
        ),
        (
            matching(&format!("metadata.a = \"{value}\"")),
            "rules.toml:6: rules[0].match.metadata.a: can never match: 501 characters, messages have at most 500",
        ),
        (matching("metadata = \"a\""), "rules.toml:6: rules[0].match.metadata: is a text, a table is needed"),
    ]);
}

#[test]
fn when_paid_is_for_payments_alone() {
    let rule = |on: &str, when_paid: &str| {
        file(&format!("[[rules]]\nname = \"a\"\non = {on}\nwhen_paid = \"{when_paid}\"\n{PACKS}"))
    };
    let refusal = "rules.toml:6: rules[0].when_paid: is for rules on payment-succeeded alone: \
                   with invoice-issued in `on` a grant is due at once";
    check(&[
        (rule("\"payment-succeeded\"", "in-full"), ""),
        (rule("[\"payment-succeeded\", \"invoice-issued\"]", "in-full"), refusal),
        (rule("\"invoice-issued\"", "first-payment"), refusal),
        (
            rule("\"payment-succeeded\"", "in-ful"),
            "rules.toml:6: rules[0].when_paid: \"in-ful\" is no valid word, did you mean `in-full`?",
        ),
    ]);
}

#[test]
fn a_grant_names_a_credit_type_of_the_file() {
    let of = |name: &str| grant(&format!("credit_type = \"{name}\", credits = 1, category = \"paid\""));
    check(&[
        (
            of("credit"),
            "rules.toml:6: rules[0].grant.credit_type: \"credit\" is no credit type of this file, \
             did you mean `credits`?",
        ),
        (
            of("storage"),
            "rules.toml:6: rules[0].grant.credit_type: \"storage\" is no credit type of this file, \
             valid: `credits`, `minutes`",
        ),
    ]);
}

#[test]
fn amounts_are_exact_decimals_within_their_scale() {
    let credits = |text: &str| grant(&format!("credit_type = \"credits\", {text}, category = \"paid\""));
    let at = |rest: &str| format!("rules.toml:6: rules[0].grant.{rest}");
    let cases = [
        ("credits = 0", String::new()),
        ("credits = 1_000", String::new()),
        ("credits = \"10.0\"", String::new()),
        ("credits = 999999999999999", String::new()),
        ("credits_per_unit = \"0.0000000000001\"", String::new()),
        (
            "credits = 0.5",
            at("credits: 0.5 is a TOML float, which is inexact: decimals are texts, did you mean `\"0.5\"`?"),
        ),
        (
            "credits = \"0.5\"",
            at("credits: 0.5 has 1 decimal places, at most 0 are allowed by the scale of its credit type"),
        ),
        ("credits = -1", at("credits: \"-1\" is negative")),
        ("credits = +1", at("credits: \"+1\" is not a plain decimal such as \"49.00\"")),
        ("credits = 0x10", at("credits: is a whole number, a whole number or a text such as \"12.345\" is needed")),
        ("credits = \"1e3\"", at("credits: \"1e3\" is not a plain decimal such as \"49.00\"")),
        ("credits = 1000000000000000", at("credits: \"1000000000000000\" is not below 1000000000000000")),
        (
            "credits_per_unit = \"0.00000000000001\"",
            at("credits_per_unit: 0.00000000000001 has 14 decimal places, at most 13 are allowed"),
        ),
        ("credits = [1]", at("credits: is a list, a whole number or a text such as \"12.345\" is needed")),
        (
            "credits = 1, credits_per_unit = 2",
            at("credits_per_unit: is one way to count too many, `credits` is there already"),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(mistakes(&credits(text)), expected, "{text}");
    }
}

#[test]
fn terms_are_within_their_bounds() {
    let terms = |text: &str| grant(&format!("credit_type = \"credits\", credits = 1, {text}"));
    let (reason, longest) = ("r".repeat(201), "ü".repeat(200));
    let at = |rest: &str| format!("rules.toml:6: rules[0].grant.{rest}");
    let cases = [
        (format!("category = \"paid\", reason = \"{longest}\""), String::new()),
        ("category = \"payed\"".into(), at("category: \"payed\" is no valid word, did you mean `paid`?")),
        ("category = \"paid\", priority = 101".into(), at("priority: 101 is not within 0 to 100")),
        ("category = \"paid\", priority = -1".into(), at("priority: -1 is not within 0 to 100")),
        (
            format!("category = \"paid\", reason = \"{reason}\""),
            at("reason: has 201 characters, at most 200 are allowed"),
        ),
        ("category = \"paid\", reason = \"a\\u0000\"".into(), at("reason: holds a control character")),
        (
            "category = \"paid\", expires_after = \"1y\"".into(),
            at("expires_after: \"1y\" is no length of time such as 500ms, 30s, 5m, 2h, 365d or 1w"),
        ),
        ("category = \"paid\", expires_after = \"0s\"".into(), at("expires_after: \"0s\" is not above zero")),
        ("category = \"paid\", expires_after = \"36501d\"".into(), at("expires_after: \"36501d\" is more than 36500d")),
        (
            "category = \"paid\", effective_after = \"7d\", expires_after = \"1w\"".into(),
            at("expires_after: is not later than `effective_after`"),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(mistakes(&terms(&text)), expected, "{text}");
    }
}

#[test]
fn a_signup_grants_a_fixed_promotional_amount() {
    let rule = |grant: &str| signup(&format!("grant = {{ credit_type = \"credits\", {grant} }}"));
    check(&[
        (
            rule("credits = 1, category = \"paid\""),
            "rules.toml:6: rules[0].grant.category: a signup is not paid for, its credits cannot be \"paid\", \
             did you mean `promotional`?",
        ),
        (
            rule("credits_per_unit = 1, category = \"promotional\""),
            "rules.toml:6: rules[0].grant.credits_per_unit: a signup has no line to count by, did you mean `credits`?",
        ),
        (
            rule("credits_per_currency_unit = 1, category = \"promotional\""),
            "rules.toml:6: rules[0].grant.credits_per_currency_unit: a signup has no line to count by, \
             did you mean `credits`?",
        ),
    ]);
}

#[test]
fn every_mistake_is_reported_at_once_in_the_order_of_the_file() {
    let text = file(
        "[[rules]]\nname = \"a\"\non = \"signup\"\ngrant = { credit_type = \"credit\", credits = 1.5, category = \"free\" }\nonce = 1",
    );
    assert_eq!(
        mistakes(&text),
        "rules.toml:6: rules[0].grant.credit_type: \"credit\" is no credit type of this file, did you mean `credits`?\n\
         rules.toml:6: rules[0].grant.credits: 1.5 is a TOML float, which is inexact: decimals are texts, \
         did you mean `\"1.5\"`?\n\
         rules.toml:6: rules[0].grant.category: \"free\" is no valid word, valid: `promotional`, `paid`\n\
         rules.toml:7: rules[0].once: unknown key, did you mean `once_per`?"
    );
}
