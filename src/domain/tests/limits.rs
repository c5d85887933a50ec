//! Amounts of rules at the limits, against big integers.

use num_bigint::BigInt;

use super::fixtures::{lines, price};
use crate::domain::amounts::{Scale, parse_plain};
use crate::domain::rules::AmountRule;

/// `rule` for a line of `quantity` units for `money` USD, at `places`.
fn credits(rule: AmountRule, quantity: u64, money: &str, places: u8) -> Option<String> {
    let sold = lines(&[("pack", quantity, money)], "USD");
    rule.credits(&sold.0[&price("pack")], Scale::new(places).unwrap()).map(|credits| credits.to_string())
}

fn number(text: &str) -> rust_decimal::Decimal {
    parse_plain(text).unwrap()
}

#[test]
fn a_product_at_the_limits_is_exact_and_rounded_once_toward_zero() {
    let rule = AmountRule::PerCurrencyUnit(number("0.999999999999"));
    // Twelve nines by seventeen: 29 digits, more than a decimal holds.
    let exact: BigInt = BigInt::from(999_999_999_999_u64) * BigInt::from(99_999_999_999_999_999_u64);
    let units = exact / BigInt::from(10).pow(12 + 2 - 9);
    let (whole, part) = (&units / BigInt::from(10).pow(9), &units % BigInt::from(10).pow(9));
    let expected = format!("{whole}.{part:0>9}");
    assert_eq!(credits(rule, 1, "999999999999999.99", 9).unwrap(), expected.trim_end_matches('0'));
}

#[test]
fn fifteen_digits_by_fifteen_are_too_much_and_no_error() {
    assert_eq!(credits(AmountRule::PerCurrencyUnit(number("999999999999999")), 1, "999999999999999", 0), None);
    assert_eq!(credits(AmountRule::PerUnit(number("999999999999999")), 1_000_000_000_000, "1.00", 0), None);
    assert_eq!(credits(AmountRule::PerUnit(number("999999999999999")), 1, "1.00", 0).unwrap(), "999999999999999");
}

#[test]
fn rules_round_once_and_toward_zero() {
    assert_eq!(credits(AmountRule::PerUnit(number("0.333")), 3, "1.00", 0).unwrap(), "0");
    assert_eq!(credits(AmountRule::PerUnit(number("0.334")), 3, "1.00", 0).unwrap(), "1");
    assert_eq!(credits(AmountRule::PerCurrencyUnit(number("2.5")), 1, "0.99", 1).unwrap(), "2.4");
    assert_eq!(credits(AmountRule::Fixed(number("7")), 5, "1.00", 0).unwrap(), "7");
}

#[test]
fn only_plain_decimals_below_1e15_are_amounts() {
    for good in ["0", "49", "49.00", "007", "999999999999999", "0.000000001", "1.0000000000000000"] {
        assert!(parse_plain(good).is_ok(), "{good}");
    }
    for bad in ["", ".5", "5.", "+1", "-1", "1e3", "1_000", " 1", "1 ", "NaN", "1,5", "٣", "1000000000000000", "1.2.3"]
    {
        assert!(parse_plain(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_price_times_credits_is_exact_and_rounded_once_toward_zero() {
    use crate::domain::amounts::{Credits, Currency, Money};
    for (unit, credits, currency, expected) in [
        ("0.049", "1000", "USD", Some("49.00")),
        ("0.0499", "3", "USD", Some("0.14")),
        ("0.333333333", "3", "JPY", Some("0")),
        ("0.333333334", "3", "JPY", Some("1")),
        ("0.333333333", "999999.999999999", "KWD", Some("333333.332")),
        ("999999999.9999999", "1000000", "USD", Some("999999999999999.90")),
        ("999999999999.999", "999999999999999", "USD", None),
    ] {
        let currency = Currency::parse(currency).unwrap();
        let total = Money::priced(number(unit), Credits::stored(number(credits)).unwrap(), currency);
        assert_eq!(total.map(|total| total.to_string()).as_deref(), expected, "{unit} × {credits} {currency}");
    }
}

#[test]
fn a_share_of_money_is_exact_and_rounded_once_toward_zero() {
    use crate::domain::amounts::{Credits, Currency, Money};
    let of = |total: &str, part: &str, whole: &str| {
        let money = Money::new(number(total), Currency::parse("USD").unwrap()).unwrap();
        let credits = |text: &str| Credits::stored(number(text)).unwrap();
        money.share(credits(part), credits(whole)).to_string()
    };
    assert_eq!(of("49.00", "250", "1000"), "12.25");
    assert_eq!(of("1.00", "2", "3"), "0.66");
    assert_eq!(of("999999999999999.99", "999999999999998.999999999", "999999999999999"), "999999999999999.98");
    assert_eq!(of("49.00", "0", "0"), "0.00");
}
