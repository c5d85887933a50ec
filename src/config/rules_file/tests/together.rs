//! What rules mean for each other, and the broken files that come with the project.

use proptest::prelude::*;

use super::*;

/// Two purchase rules, five lines each, from lines 3 and 8: `on` in lines 5 and 10, `match` in lines 6 and 11.
fn two(first: (&str, &str), second: (&str, &str)) -> String {
    let rule = |name: &str, (on, matches): (&str, &str)| {
        format!("[[rules]]\nname = \"{name}\"\non = {on}\nmatch = {matches}\n{PACKS}\n")
    };
    file(&format!("{}{}", rule("first", first), rule("second", second)))
}

#[test]
fn names_are_unique_and_short_enough_to_be_an_actor() {
    let named = |names: [&str; 2]| {
        let rule = |name: &str| format!("[[rules]]\nname = \"{name}\"\non = \"signup\"\n{GIFT}\n");
        file(&names.map(rule).concat())
    };
    let (longest, too_long) = ("x".repeat(250), "x".repeat(251));
    check(&[
        (named(["a", "b"]), ""),
        (named(["a", &longest]), ""),
        (named(["a", "a"]), "rules.toml:8: rules[1].name: \"a\" is the name of rules[0] already, did you mean `a-2`?"),
        (named(["a", ""]), "rules.toml:8: rules[1].name: \"\" is empty"),
        (named(["a", &too_long]), "rules.toml:8: rules[1].name: has 251 bytes, at most 250 are allowed"),
    ]);
}

#[test]
fn a_rule_behind_others_that_take_all_its_lines_is_refused() {
    const ON: &str = "\"payment-succeeded\"";
    let taken = "rules.toml:11: rules[1].match: can never match, all its lines are taken before by rules[0] \"first\"";
    check(&[
        (two((ON, "{ price_id = \"a\" }"), (ON, "{ price_id = \"b\" }")), ""),
        (two((ON, "{ price_id = \"a\" }"), (ON, "{}")), ""),
        (two((ON, "{}"), (ON, "{ price_id = \"a\" }")), taken),
        (two((ON, "{ price_id = [\"a\", \"b\"] }"), (ON, "{ price_id = \"a\", currency = \"EUR\" }")), taken),
        (two((ON, "{ price_id = \"a\", currency = \"EUR\" }"), (ON, "{ price_id = [\"a\", \"b\"] }")), ""),
        (
            format!(
                "{}[[rules]]\nname = \"third\"\non = {ON}\nmatch = {{ price_id = [\"b\", \"a\"], metadata.x = \"y\" }}\n{PACKS}",
                two((ON, "{ price_id = \"a\" }"), (ON, "{ price_id = \"b\" }"))
            ),
            "rules.toml:17: rules[2].match: can never match, all its lines are taken before by \
             rules[0] \"first\" and rules[1] \"second\"",
        ),
    ]);
}

#[test]
fn two_triggers_for_one_line_are_refused() {
    const PAID: &str = "\"payment-succeeded\"";
    const ISSUED: &str = "\"invoice-issued\"";
    const BOTH: &str = "[\"invoice-issued\", \"payment-succeeded\"]";
    check(&[
        (two((PAID, "{ price_id = \"a\" }"), (ISSUED, "{ price_id = \"b\" }")), ""),
        (two((BOTH, "{ price_id = \"a\" }"), (BOTH, "{ currency = \"EUR\" }")), ""),
        (
            two((PAID, "{ price_id = \"a\" }"), (ISSUED, "{ currency = \"EUR\" }")),
            "rules.toml:10: rules[1].on: \"invoice-issued\" here and \"payment-succeeded\" in rules[0] \"first\", but one \
             line can match both; one rule can have both in its list, did you mean `\"payment-succeeded\"`?",
        ),
        (
            two((PAID, "{ price_id = \"a\" }"), (BOTH, "{ price_id = [\"a\", \"b\"] }")),
            "rules.toml:10: rules[1].on: [\"payment-succeeded\", \"invoice-issued\"] here and \"payment-succeeded\" in \
             rules[0] \"first\", but one line can match both; one rule can have both in its list, \
             did you mean `\"payment-succeeded\"`?",
        ),
    ]);
}

#[test]
fn each_broken_file_is_refused_for_what_its_name_says() {
    let broken = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broken-rules");
        let text = std::fs::read_to_string(format!("{folder}/{name}.toml")).unwrap();
        RulesFile::parse(&format!("{name}.toml"), text).unwrap_err().to_string()
    };
    for (name, expected) in [
        ("unknown-key", "unknown-key.toml:9: rules[0].grant.credit_typ: unknown key, did you mean `credit_type`?"),
        (
            "unknown-credit-type",
            "unknown-credit-type.toml:9: rules[0].grant.credit_type: \"credit\" is no credit type of this file, \
             did you mean `credits`?",
        ),
        (
            "unreachable-rule",
            "unreachable-rule.toml:14: rules[1].match: can never match, all its lines are taken before by \
             rules[0] \"all-packs\"",
        ),
        (
            "paid-on-signup",
            "paid-on-signup.toml:8: rules[0].grant.category: a signup is not paid for, its credits cannot be \"paid\", \
             did you mean `promotional`?",
        ),
        (
            "duplicate-name",
            "duplicate-name.toml:12: rules[1].name: \"credit-packs\" is the name of rules[0] already, \
             did you mean `credit-packs-2`?",
        ),
        (
            "two-triggers",
            "two-triggers.toml:13: rules[1].on: \"invoice-issued\" here and \"payment-succeeded\" in \
             rules[0] \"credit-packs\", but one line can match both; one rule can have both in its list, \
             did you mean `\"payment-succeeded\"`?",
        ),
    ] {
        assert_eq!(broken(name), expected);
    }
}

/// What a slip of the hand may leave in a file.
const SLIPS: [&str; 12] = ["", "x", "\"", "=", "[", "]", "{ }", "0", "1.5", "\n", "signup", "\n[[rules]]\n"];

proptest! {
    #[test]
    fn a_garbled_file_is_refused_with_a_reason_or_read_whole(
        at in any::<prop::sample::Index>(),
        gone in 0_usize..12,
        slip in prop::sample::select(SLIPS.to_vec()),
    ) {
        let text = include_str!("../../../../tests/fixtures/rules.toml");
        let from = at.index(text.len());
        let garbled = format!("{}{slip}{}", &text[..from], &text[(from + gone).min(text.len())..]);
        match RulesFile::parse("rules.toml", garbled.clone()) {
            Ok(file) => {
                let headers = garbled.lines().filter(|line| line.trim_start().starts_with("[[rules]]")).count();
                prop_assert_eq!(file.rules.purchase.len() + file.rules.signup.len(), headers);
            }
            Err(error) => prop_assert!(!error.problems.is_empty(), "{garbled}"),
        }
    }
}
