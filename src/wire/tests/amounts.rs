use super::*;
use crate::domain::message::Statement;

const AMOUNT: Option<RefusalCode> = Some(RefusalCode::InvalidAmount);
const FIELD: Option<RefusalCode> = Some(RefusalCode::InvalidField);

#[test]
fn what_stands_for_an_amount_is_taken_exactly_or_refused() {
    let cases = [
        (r#""49.00""#, None),
        (r#""49""#, None),
        ("49", None),
        (r#""49.1""#, None),
        (r#""0.01""#, None),
        (r#""007.00""#, None),
        (r#""1.2300000000000000000000000000000000""#, None),
        (r#""999999999999999.99""#, None),
        ("999999999999999", None),
        ("49.10", AMOUNT),
        ("49.0", AMOUNT),
        ("4e1", AMOUNT),
        ("4E1", AMOUNT),
        ("1e400", AMOUNT),
        ("-1e-400", AMOUNT),
        ("-0", AMOUNT),
        ("-0.0", AMOUNT),
        ("-1", AMOUNT),
        ("0", AMOUNT),
        ("1000000000000000", AMOUNT),
        ("1234567890123456789012345678901234567890", AMOUNT),
        (r#""1234567890123456789012345678901234567890""#, AMOUNT),
        (r#""1000000000000000""#, AMOUNT),
        (r#""999999999999999.995""#, AMOUNT),
        (r#""49.001""#, AMOUNT),
        (r#""49.0000000000000000000000000000000001""#, AMOUNT),
        (r#""0""#, AMOUNT),
        (r#""0.00""#, AMOUNT),
        (r#""-0""#, AMOUNT),
        (r#""-1.00""#, AMOUNT),
        (r#""+1""#, AMOUNT),
        (r#""1_000""#, AMOUNT),
        (r#""1,000""#, AMOUNT),
        (r#""1e3""#, AMOUNT),
        (r#"" 1""#, AMOUNT),
        (r#""1 ""#, AMOUNT),
        (r#""1.""#, AMOUNT),
        (r#"".5""#, AMOUNT),
        (r#""1.2.3""#, AMOUNT),
        (r#""0x10""#, AMOUNT),
        (r#""NaN""#, AMOUNT),
        (r#""Infinity""#, AMOUNT),
        (r#""""#, AMOUNT),
        (r#""１２""#, AMOUNT),
        (r#""٤٩""#, AMOUNT),
        ("null", FIELD),
        ("true", FIELD),
        ("[]", FIELD),
        (r#"{"value":"1"}"#, FIELD),
    ];
    for (amount, code) in cases {
        let data = format!(r#"{{"payment_id":"p","customer_id":"c","currency":"USD","amount":{amount}}}"#);
        check(decode_text("payment-succeeded", &data), code, amount);
    }
}

#[test]
fn places_are_those_of_the_currency() {
    let cases = [
        ("JPY", "21000", None),
        ("JPY", "21000.0", None),
        ("JPY", "21000.5", AMOUNT),
        ("USD", "1.25", None),
        ("USD", "1.255", AMOUNT),
        ("KWD", "1.255", None),
        ("KWD", "1.2555", AMOUNT),
    ];
    for (currency, amount, code) in cases {
        let data = with(&payment(), &json!({"currency": currency, "amount": amount, "lines": null}));
        check(decode_data("payment-succeeded", &data), code, currency);
    }
}

#[test]
fn a_currency_is_a_current_code_in_capitals() {
    let unknown = Some(RefusalCode::UnknownCurrency);
    let cases = [
        (json!("EUR"), None),
        (json!("eur"), unknown),
        (json!("XXQ"), unknown),
        (json!("DEM"), unknown),
        (json!("EURO"), unknown),
        (json!(""), unknown),
        (json!("ＥＵＲ"), unknown),
        (json!(null), FIELD),
        (json!(978), FIELD),
    ];
    for (currency, code) in cases {
        let data = with(&payment(), &json!({"currency": currency}));
        check(decode_data("payment-succeeded", &data), code, &currency.to_string());
    }
}

#[test]
fn zero_is_taken_where_nothing_may_be_owed() {
    let cases = [
        ("invoice-issued", with(&invoice(), &json!({"total": "0.00"})), None),
        ("invoice-issued", with(&invoice(), &json!({"lines": [{"price_id": "a", "amount": 0}]})), None),
        ("payment-succeeded", with(&payment(), &json!({"lines": [{"price_id": "a", "amount": 0}]})), None),
        ("payment-succeeded", with(&payment(), &json!({"amount": 0})), AMOUNT),
        ("refund", with(&refund(), &json!({"amount": 0})), AMOUNT),
        ("refund", with(&refund(), &json!({"lines": [{"price_id": "a", "amount": 0}]})), None),
        ("invoice-issued", with(&invoice(), &json!({"total": "-0"})), AMOUNT),
    ];
    for (kind, data, code) in cases {
        check(decode_data(kind, &data), code, &data.to_string());
    }
}

#[test]
fn lines_of_one_price_are_one_line() {
    let lines = json!([
        {"price_id": "a", "quantity": 2, "amount": "10.5", "metadata": {"k": "v"}},
        {"price_id": "b", "amount": 1},
        {"price_id": "a", "amount": "0.25", "metadata": {"k": "v", "gone": null}}
    ]);
    let Statement::Payment(payment) =
        purchase(content("payment-succeeded", &with(&payment(), &json!({"lines": lines}))))
    else {
        panic!("no payment")
    };
    let said = payment.lines.unwrap().0;
    let said: Vec<_> = said.iter().map(|(p, l)| (p.as_str(), l.quantity, l.amount.to_string())).collect();
    assert_eq!(said, [("a", 3, "10.75".to_owned()), ("b", 1, "1.00".to_owned())]);
}

#[test]
fn lines_of_one_price_have_equal_metadata_and_a_sum_below_the_limit() {
    let line = |amount: &str, metadata: Value| json!({"price_id": "a", "amount": amount, "metadata": metadata});
    let cases = [
        (json!([line("1", json!({"k": "v"})), line("1", json!({"k": "w"}))]), FIELD),
        (json!([line("1", json!({"k": "v"})), line("1", json!(null))]), FIELD),
        (json!([line("1", json!({})), line("1", json!(null))]), None),
        (json!([line("500000000000000", json!({})), line("499999999999999.99", json!({}))]), None),
        (json!([line("500000000000000", json!({})), line("500000000000000", json!({}))]), AMOUNT),
        (json!([line("-1", json!({"k": "v"})), line("1", json!({"k": "w"}))]), FIELD),
    ];
    for (lines, code) in cases {
        for (kind, base) in [("payment-succeeded", payment()), ("invoice-issued", invoice())] {
            check(decode_data(kind, &with(&base, &json!({"lines": lines}))), code, &lines.to_string());
        }
    }
}

#[test]
fn refund_lines_are_together_at_most_the_refund() {
    let cases = [
        (json!([{"price_id": "a", "amount": "12.25"}]), None),
        (json!([{"price_id": "a", "amount": "12"}, {"price_id": "b", "amount": "0.25"}]), None),
        (json!([{"price_id": "a", "amount": "12"}, {"price_id": "b", "amount": "0.26"}]), AMOUNT),
        (json!([{"price_id": "a", "amount": "12"}, {"price_id": "a", "amount": "0.26"}]), AMOUNT),
        (json!([{"price_id": "a", "amount": "-1"}]), AMOUNT),
        (json!([{"price_id": "a"}]), FIELD),
        (json!([{"amount": "1"}]), FIELD),
        (json!([1]), FIELD),
        (json!({}), FIELD),
    ];
    for (lines, code) in cases {
        check(decode_data("refund", &with(&refund(), &json!({"lines": lines}))), code, &lines.to_string());
    }
    let lines = json!([{"price_id": "a", "amount": "1"}, {"price_id": "a", "amount": "0.5"}]);
    let Statement::Refund(refund) = purchase(content("refund", &with(&refund(), &json!({"lines": lines})))) else {
        panic!("no refund")
    };
    let said: Vec<_> = refund.lines.iter().flatten().map(|(p, m)| format!("{p} {m}")).collect();
    assert_eq!(said, ["a 1.50"]);
}

#[test]
fn a_field_wins_over_an_amount_and_an_amount_over_a_currency() {
    let cases = [
        (json!({"amount": 0.5, "metadata": 1}), FIELD),
        (json!({"amount": 0.5, "currency": "XXQ"}), AMOUNT),
        (json!({"amount": "49.001", "currency": "XXQ"}), Some(RefusalCode::UnknownCurrency)),
        (json!({"amount": "0", "currency": "XXQ"}), AMOUNT),
        (json!({"currency": "XXQ", "metadata": {"k": 1}}), FIELD),
        (json!({"currency": "XXQ", "lines": [{"price_id": "a", "amount": "1e3"}]}), AMOUNT),
        (json!({"amount": -1, "currency": "XXQ", "lines": [{"price_id": "a", "amount": "1", "quantity": 0}]}), FIELD),
    ];
    for (change, code) in cases {
        check(decode_data("payment-succeeded", &with(&payment(), &change)), code, &change.to_string());
    }
    let half = json!({"price_id": "a", "amount": "500000000000000"});
    let data = with(&payment(), &json!({"currency": "XXQ", "lines": [half, half]}));
    check(decode_data("payment-succeeded", &data), AMOUNT, "a sum beyond the limit, in no currency");
}

#[test]
fn numbers_beyond_every_range_do_no_harm_where_nobody_reads_them() {
    let huge = "1".repeat(1_000);
    for number in ["1e400", "-1e400", "1e-400", "-0", "0.1", huge.as_str()] {
        let data = format!(r#"{{"customer_id":"c","unknown":{number}}}"#);
        check(decode_text("signup", &data), None, number);
    }
}
