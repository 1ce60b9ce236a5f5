//! Days of UTC, by which events are kept and dropped.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

/// A day of UTC between the years 1970 and 9998. Written as in RFC 3339: `2026-11-20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

/// A text that is no day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a day is written as 2026-11-20, from 1970 to 9998")]
pub struct DayError;

impl Day {
    /// The day of an instant in milliseconds since 1970 UTC, when it is between those years.
    pub fn of_millis(millis: i64) -> Option<Self> {
        let instant = Timestamp::from_millisecond(millis).ok()?;
        Self::of_date(Offset::UTC.to_datetime(instant).date())
    }

    /// The first instant of it, in milliseconds since 1970 UTC.
    pub fn start_millis(self) -> i64 {
        let midnight = Offset::UTC.to_timestamp(self.0.to_datetime(jiff::civil::Time::midnight()));
        midnight.map_or(0, Timestamp::as_millisecond)
    }

    /// Some days earlier, but not before 1970.
    #[must_use]
    pub fn minus(self, days: u32) -> Self {
        let earlier = self
            .0
            .saturating_sub(jiff::Span::new().days(days.min(MOST_DAYS)));
        Self(earlier.max(FIRST))
    }

    /// Days since 1970, as the database counts them.
    pub(crate) fn number(self) -> i64 {
        self.start_millis() / MILLIS
    }

    pub(crate) fn of_number(number: i64) -> Option<Self> {
        Self::of_millis(number.checked_mul(MILLIS)?)
    }

    /// The table of its events.
    pub(crate) fn table(self) -> String {
        format!("event_{}", self.0.strftime("%Y%m%d"))
    }

    fn of_date(date: Date) -> Option<Self> {
        (FIRST..=LAST).contains(&date).then_some(Self(date))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let date = Date::strptime("%Y-%m-%d", text).map_err(|_| DayError)?;
        let day = Self::of_date(date).ok_or(DayError)?;
        // One spelling only.
        (day.to_string() == text).then_some(day).ok_or(DayError)
    }
}

const MILLIS: i64 = 86_400_000;
const FIRST: Date = Date::constant(1970, 1, 1);
const LAST: Date = Date::constant(9998, 12, 31);
const MOST_DAYS: u32 = 3_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (number, text, table) in [
            (0, "1970-01-01", "event_19700101"),
            (19_782, "2024-02-29", "event_20240229"),
            (20_777, "2026-11-20", "event_20261120"),
        ] {
            let day = Day::of_number(number).unwrap();
            assert_eq!((day.to_string().as_str(), day.number()), (text, number));
            assert_eq!(day.table(), table);
            assert_eq!(text.parse(), Ok(day));
            assert_eq!(Day::of_millis(day.start_millis()), Some(day));
            assert_eq!(Day::of_millis(day.start_millis() + MILLIS - 1), Some(day));
        }
        let day: Day = "2024-03-01".parse().unwrap();
        assert_eq!(day.minus(1).to_string(), "2024-02-29");
        assert_eq!(day.minus(u32::MAX).to_string(), "1970-01-01");
    }

    #[test]
    fn what_is_no_day_is_none() {
        for text in [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-1-10",
            "1969-12-31",
            "2026-11-20-1",
            "+2026-11-20",
            "2026-11-20 ",
            "10000-01-01",
        ] {
            assert_eq!(text.parse::<Day>(), Err(DayError), "{text}");
        }
        for millis in [-1, i64::MIN, i64::MAX, 253_402_300_799_999] {
            assert_eq!(Day::of_millis(millis), None, "{millis}");
        }
    }
}
