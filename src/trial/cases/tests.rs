//! What a case says of rules that do what it expects, and of those that do not.

use std::fmt::Write;

use super::*;
use crate::config::{CasesFile, RulesFile};

const RULES: &str = r#"
[credit_types.credits]
scale = 0
[[rules]]
name = "packs"
on = "payment-succeeded"
match = { price_id = "pack" }
grant = { credit_type = "credits", credits_per_unit = 1000, category = "paid", effective_after = "1d", expires_after = "10d" }
[[rules]]
name = "welcome"
on = "signup"
grant = { credit_type = "credits", credits = 100, category = "promotional" }
once_per = "identity"
"#;

const PAYMENT: &str = r#"
[[cases.messages]]
type = "payment-succeeded"
data = { payment_id = "p1", customer_id = "ada", amount = "10.00", currency = "EUR", lines = [{ price_id = "pack", amount = "10.00" }] }
"#;

/// The mismatches of one case, a line each.
fn mismatches(case: &str) -> String {
    let rules = RulesFile::parse("rules.toml", RULES.to_owned()).unwrap().rules;
    let text = format!("[[cases]]\nname = \"one\"\n{case}");
    let cases = CasesFile::parse("cases.toml", &text, &rules).unwrap().cases;
    let mut lines = String::new();
    for Mismatch { subject, field, expected, got, .. } in run(&cases[0], &rules) {
        let words = [field.map(str::to_owned), expected, got].map(Option::unwrap_or_default);
        let _ = writeln!(lines, "{subject}|{}", words.join("|"));
    }
    lines
}

#[test]
fn what_comes_out_as_expected_is_no_mismatch() {
    let all = "[[cases.grants]]\namount = 1000\ncustomer_id = \"ada\"\nrule = \"packs\"\nstatus = \"scheduled\"\n\
               effective_at = \"2026-01-02T00:00:00Z\"\nexpires_at = \"2026-01-11T00:00:00Z\"\ncost = \"10.00 EUR\"\n";
    assert_eq!(mismatches(&format!("{PAYMENT}{all}")), "");
}

#[test]
fn each_field_that_differs_is_told_with_both_sides() {
    let wrong = "[[cases.grants]]\namount = 900\nremaining = 1000\ncategory = \"promotional\"\n";
    let expected = "grant 1|amount|900|1000\ngrant 1|category|promotional|paid\n";
    assert_eq!(mismatches(&format!("{PAYMENT}{wrong}")), expected);
}

#[test]
fn a_missing_and_an_unexpected_grant_are_told() {
    let expected = "a grant that is not expected||\
                    |customer_id ada, rule packs, price_id pack, credit_type credits, amount 1000, remaining 1000\n";
    assert_eq!(mismatches(PAYMENT), expected);
    let two = "[[cases.grants]]\namount = 1000\n[[cases.grants]]\namount = 5\n";
    assert_eq!(mismatches(&format!("{PAYMENT}{two}")), "grant 2||amount 5|\n");
    let other = "[[cases.grants]]\namount = 1000\nrule = \"welcome\"\n";
    let told = mismatches(&format!("{PAYMENT}{other}"));
    assert_eq!(told, format!("grant 1||amount 1000, rule welcome|\n{expected}"));
}

#[test]
fn grants_are_compared_with_those_most_like_them_whatever_the_order() {
    let signup = "[[cases.messages]]\ntype = \"signup\"\ndata = { customer_id = \"ada\", identity = \"i\" }\n";
    let both = "[[cases.grants]]\namount = 100\nrule = \"welcome\"\n[[cases.grants]]\namount = 999\nrule = \"packs\"\n";
    assert_eq!(mismatches(&format!("{PAYMENT}{signup}{both}")), "grant 2|amount|999|1000\n");
}

#[test]
fn the_last_outcome_of_a_message_counts_and_a_refusal_that_is_not_expected_is_told() {
    let refund = "[[cases.messages]]\ntype = \"refund\"\noutcome = \"waiting\"\n\
                  data = { refund_id = \"r\", payment_id = \"p1\", amount = \"5.00\", currency = \"EUR\", status = \"succeeded\" }\n";
    let grant = "[[cases.grants]]\namount = 1000\nremaining = 500\n";
    let told = mismatches(&format!("{refund}{PAYMENT}{grant}"));
    assert_eq!(told, "message 1|outcome|waiting|applied: refund r succeeded: pack: 1000 × 5.00 / 10.00 = 500\n");

    let slip = PAYMENT.replace("EUR", "EUX");
    let told = mismatches(&slip);
    assert!(told.starts_with("message 1|outcome|no refusal|dead-lettered unknown-currency: "), "{told}");
    assert_eq!(mismatches(&slip.replace("data =", "code = \"unknown-currency\"\ndata =")), "");
    let told = mismatches(&slip.replace("data =", "code = \"fact-conflict\"\ndata ="));
    assert!(
        told.starts_with("message 1|outcome|dead-lettered fact-conflict|dead-lettered unknown-currency: "),
        "{told}"
    );
}

#[test]
fn a_case_may_look_later_than_its_last_message() {
    let at = |time: &str, status: &str, remaining: u32| {
        let grant = format!("[[cases.grants]]\namount = 1000\nstatus = \"{status}\"\nremaining = {remaining}\n");
        mismatches(&format!("at = \"{time}\"\n{PAYMENT}{grant}"))
    };
    assert_eq!(at("2026-01-02T00:00:00Z", "active", 1000), "");
    assert_eq!(at("2026-01-11T00:00:00Z", "expired", 0), "");
}
