//! Instants as people type them.

use chrono::{DateTime, NaiveDate, NaiveTime, SubsecRound};

use crate::domain::message::Timestamp;

/// An RFC 3339 time, or a day, which begins at midnight in UTC; in whole microseconds, as the database has them.
pub(super) fn instant(text: &str) -> Result<Timestamp, &'static str> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let instant = DateTime::parse_from_rfc3339(text);
    let instant = instant.map_err(|_| "is no day and no RFC 3339 time with an offset")?;
    Ok(instant.to_utc().trunc_subsecs(6))
}
