//! Lengths of time as people write them: `500ms`, `30s`, `5m`, `2h`, `365d`, `1w`.

use chrono::TimeDelta;

/// The units, in milliseconds. A day is 24 hours: there are no calendars here.
const UNITS: [(&str, i64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// The longest length of time: a century is further than any terms reach, and far from chrono's own limits.
const MAX: TimeDelta = TimeDelta::days(36_500);

/// Why a text is no length of time. Follows the value in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpan {
    /// No whole number directly followed by a unit.
    #[error("is no length of time such as 500ms, 30s, 5m, 2h, 365d or 1w")]
    NotPlain,
    /// Nothing.
    #[error("is not above zero")]
    Zero,
    /// Beyond a century.
    #[error("is more than 36500d")]
    TooLong,
}

/// Parses a whole number directly followed by one unit.
///
/// # Errors
/// [`InvalidSpan`] for another form, zero, and more than 36500 days.
pub fn parse(text: &str) -> Result<TimeDelta, InvalidSpan> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(InvalidSpan::NotPlain)?;
    if number.is_empty() {
        return Err(InvalidSpan::NotPlain);
    }
    let number: i64 = number.parse().map_err(|_| InvalidSpan::TooLong)?;
    let span = number.checked_mul(millis).and_then(TimeDelta::try_milliseconds).ok_or(InvalidSpan::TooLong)?;
    match span {
        zero if zero.is_zero() => Err(InvalidSpan::Zero),
        long if long > MAX => Err(InvalidSpan::TooLong),
        span => Ok(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_counts_as_its_name_says() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("365d", 31_536_000_000),
            ("1w", 604_800_000),
            ("007s", 7_000),
        ] {
            assert_eq!(parse(text), Ok(TimeDelta::milliseconds(millis)), "{text}");
        }
        assert_eq!(parse("36500d"), Ok(MAX));
    }

    #[test]
    fn anything_else_is_refused() {
        use InvalidSpan::{NotPlain, TooLong, Zero};
        for (text, error) in [
            ("", NotPlain),
            ("30", NotPlain),
            ("s", NotPlain),
            ("1.5h", NotPlain),
            ("-1s", NotPlain),
            ("+1s", NotPlain),
            ("1 s", NotPlain),
            ("1S", NotPlain),
            ("1h30m", NotPlain),
            ("1y", NotPlain),
            ("٣s", NotPlain),
            ("0s", Zero),
            ("36501d", TooLong),
            ("9223372036854775807w", TooLong),
            ("99999999999999999999ms", TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
