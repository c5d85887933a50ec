//! What a file of cases may say, and how its mistakes are told.

use serde_json::Value;

use super::data::fields;
use super::*;
use crate::config::RulesFile;
use crate::wire::{Raw, decode};

const RULES: &str = r#"
[credit_types.credits]
scale = 0
[[rules]]
name = "packs"
on = "payment-succeeded"
grant = { credit_type = "credits", credits = 10, category = "promotional" }
"#;

const CASE: &str = "[[cases]]\nname = \"one\"\n[[cases.messages]]\n";

fn parsed(text: &str) -> Result<Vec<Case>, Vec<String>> {
    let rules = RulesFile::parse("rules.toml", RULES.to_owned()).unwrap().rules;
    let cases = CasesFile::parse("c.toml", text, &rules).map(|file| file.cases);
    cases.map_err(|error| error.problems.iter().map(ToString::to_string).collect())
}

fn check_mistakes(text: &str, expected: &[&str]) {
    assert_eq!(parsed(text).unwrap_err(), expected, "{text}");
}

#[test]
fn a_message_gets_an_envelope_and_keeps_its_data() {
    let text =
        format!("{CASE}type = \"signup\"\ndata = {{ customer_id = \"cus \\\"1\\\"\", metadata = {{ a = \"b\" }} }}\n");
    let cases = parsed(&text).unwrap();
    let [message] = cases[0].messages.as_slice() else { panic!("{cases:?}") };
    let event: Value = serde_json::from_str(&message.body).unwrap();
    let expected = serde_json::json!({
        "specversion": "1.0", "id": "message-1", "source": "/cases", "type": "signup", "time": "2026-01-01T00:00:00Z",
        "data": { "customer_id": "cus \"1\"", "metadata": { "a": "b" } },
    });
    assert_eq!(event, expected);
    assert_eq!((cases[0].line, message.line), (1, 3));
}

#[test]
fn expected_values_are_brought_to_one_spelling() {
    let text = format!(
        "{CASE}type = \"signup\"\ndata = {{ customer_id = \"a\" }}\n[[cases.grants]]\namount = \"10.50\"\n\
         remaining = 10\ncost = \"7 USD\"\nexpires_at = \"2026-01-01T01:00:00+01:00\"\n"
    );
    let grant = &parsed(&text).unwrap()[0].grants[0];
    let said: Vec<(&str, &str)> = grant.fields.iter().map(|(field, value)| (*field, value.as_str())).collect();
    let expected =
        [("amount", "10.5"), ("cost", "7.00 USD"), ("expires_at", "2026-01-01T00:00:00Z"), ("remaining", "10")];
    assert_eq!(said, expected);
}

#[test]
fn a_misspelt_key_or_word_is_told_with_its_line_and_the_nearest_one() {
    check_mistakes("[[cass]]\nname = \"one\"\n", &["c.toml:1: cass: unknown key, did you mean `cases`?"]);
    check_mistakes(
        &format!("{CASE}type = \"payment-succeded\"\ndata = {{}}\noutcom = \"applied\"\n"),
        &[
            "c.toml:4: cases[0].messages[0].type: \"payment-succeded\" is no valid word, did you mean `payment-succeeded`?",
            "c.toml:6: cases[0].messages[0].outcom: unknown key, did you mean `outcome`?",
        ],
    );
    check_mistakes(
        &format!(
            "{CASE}type = \"payment-succeeded\"\n[cases.messages.data]\npaymet_id = \"p\"\nlines = [{{ price = \"x\" }}]\n"
        ),
        &[
            "c.toml:6: cases[0].messages[0].data.paymet_id: unknown key, did you mean `payment_id`?",
            "c.toml:7: cases[0].messages[0].data.lines[0].price: unknown key, did you mean `price_id`?",
        ],
    );
    check_mistakes(
        &format!(
            "{CASE}type = \"signup\"\ndata = {{ customer_id = \"a\" }}\n[[cases.grants]]\namount = 1\nrule = \"pack\"\n\
             credit_type = \"credit\"\nstatus = \"actve\"\n"
        ),
        &[
            "c.toml:8: cases[0].grants[0].rule: \"pack\" is no rule of the rules file, did you mean `packs`?",
            "c.toml:9: cases[0].grants[0].credit_type: \"credit\" is no credit type of the rules file, did you mean `credits`?",
            "c.toml:10: cases[0].grants[0].status: \"actve\" is no valid word, did you mean `active`?",
        ],
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let signup = "type = \"signup\"\ndata = { customer_id = \"a\" }\n";
    check_mistakes("[[cases]]\n", &["c.toml:1: cases[0].name: is missing", "c.toml:1: cases[0].messages: is missing"]);
    check_mistakes(
        "cases = [{ name = \"x\", messages = [] }]\n",
        &["c.toml:1: cases[0].messages: is empty, a case needs a message"],
    );
    check_mistakes(
        &format!("{CASE}{signup}{CASE}{signup}"),
        &["c.toml:6: cases[1].name: \"one\" is the name of an earlier case already"],
    );
    check_mistakes(
        &format!("{CASE}{signup}outcome = \"applied\"\ncode = \"fact-conflict\"\n"),
        &["c.toml:7: cases[0].messages[0].code: is for messages whose outcome is \"dead-lettered\" only"],
    );
    check_mistakes(
        &format!("{CASE}{signup}body = \"{{}}\"\n"),
        &[
            "c.toml:4: cases[0].messages[0].type: is in `body`, which is the whole event",
            "c.toml:5: cases[0].messages[0].data: is in `body`, which is the whole event",
        ],
    );
    check_mistakes(
        &format!("{CASE}type = \"signup\"\ntime = \"2026-01-01\"\ndata = {{ customer_id = 1.5 }}\n"),
        &[
            "c.toml:5: cases[0].messages[0].time: \"2026-01-01\" is no RFC 3339 time with an offset, such as \
             \"2026-01-31T12:00:00Z\"",
            "c.toml:6: cases[0].messages[0].data.customer_id: 1.5 is a TOML float, which is inexact: decimals are texts, \
             did you mean `\"1.5\"`?",
        ],
    );
}

#[test]
fn the_fields_that_data_may_have_are_those_that_the_worker_reads() {
    for (kind, data) in MessageType::ALL.into_iter().zip([
        r#"{"payment_id":"p","customer_id":"c","amount":"1.00","currency":"EUR"}"#,
        r#"{"invoice_id":"i","customer_id":"c","total":"1.00","currency":"EUR","lines":[]}"#,
        r#"{"customer_id":"c"}"#,
        r#"{"refund_id":"r","amount":"1.00","currency":"EUR","status":"failed","payment_id":"p"}"#,
        r#"{"payment_ids":["p","q"]}"#,
    ]) {
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(refusal(kind, &data), None, "{}: {data}", kind.name());
        for field in fields(kind) {
            // No field is a truth value: one that is read is refused.
            let mut wrong = data.clone();
            wrong[field] = true.into();
            let detail = refusal(kind, &wrong).unwrap_or_default();
            assert!(detail.contains(field), "{} does not read {field}: {detail}", kind.name());
        }
    }
}

fn refusal(kind: MessageType, data: &Value) -> Option<String> {
    let event = serde_json::json!({
        "specversion": "1.0", "id": "1", "source": "/s", "type": kind.name(), "time": "2026-01-01T00:00:00Z",
        "data": data,
    });
    let body = event.to_string();
    let raw = Raw {
        body: body.as_bytes(),
        content_type: Some("application/cloudevents+json"),
        message_id: None,
        kind: None,
        app_id: None,
        timestamp: None,
        header: &|_| None,
    };
    decode(&raw).err().map(|error| error.detail)
}
