//! Instants as licenses write them: `YYYY-MM-DDTHH:MM`, UTC, no zone letter.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan as _;
use jiff::civil::{Date, Time as Clock};

/// An instant in UTC, in whole seconds; written with minutes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// A half-open interval: `from` is inside, `until` is not (MS-RMPR 2.2.9.1.2, 2.2.9.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    /// First instant inside.
    pub from: Time,
    /// First instant past the end.
    pub until: Time,
}

/// A text that is not a license's time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time of the form YYYY-MM-DDTHH:MM")]
pub struct TimeError(String);

impl Time {
    /// From seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// The instant `seconds` later (or earlier, when negative); saturates.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// The instant that many days later; saturates.
    #[must_use]
    pub const fn plus_days(self, days: u32) -> Self {
        self.plus(days as i64 * SECONDS_PER_DAY)
    }

    /// The start of this minute, which is what a license can say.
    #[must_use]
    pub const fn floor_minute(self) -> Self {
        Self(self.0.div_euclid(60) * 60)
    }
}

impl Interval {
    /// Whether the instant is inside.
    #[must_use]
    pub fn contains(&self, at: Time) -> bool {
        self.from <= at && at < self.until
    }

    /// The part both intervals share; may be empty (`from >= until`).
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            until: self.until.min(other.until),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clamped = self.0.clamp(EARLIEST, LATEST);
        let (days, seconds) = (
            clamped.div_euclid(SECONDS_PER_DAY),
            clamped.rem_euclid(SECONDS_PER_DAY),
        );
        let date = EPOCH.checked_add(days.days()).map_err(|_| fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}",
            date.year(),
            date.month(),
            date.day(),
            seconds / 3600,
            seconds / 60 % 60
        )
    }
}

impl FromStr for Time {
    type Err = TimeError;

    /// Accepts `YYYY-MM-DDTHH:MM`, also with `:SS` and a final `Z`.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        parse(text).ok_or_else(|| TimeError(text.chars().take(40).collect()))
    }
}

fn parse(text: &str) -> Option<Time> {
    let text = text.trim();
    let text = text.strip_suffix('Z').unwrap_or(text);
    let bytes = text.as_bytes();
    if !text.is_ascii() || !matches!(bytes.len(), 16 | 19) {
        return None;
    }
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':')];
    if !separators.iter().all(|&(at, c)| bytes[at] == c) || (bytes.len() == 19 && bytes[16] != b':')
    {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<i16> {
        let digits = &text[range];
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let small = |range| number(range).and_then(|n| i8::try_from(n).ok());
    let second = if bytes.len() == 19 { small(17..19)? } else { 0 };
    let date = Date::new(number(0..4)?, small(5..7)?, small(8..10)?).ok()?;
    let clock = Clock::new(small(11..13)?, small(14..16)?, second, 0).ok()?;
    let days = i64::from(date.since(EPOCH).ok()?.get_days());
    let (hour, minute) = (i64::from(clock.hour()), i64::from(clock.minute()));
    let seconds = (hour * 60 + minute) * 60 + i64::from(clock.second());
    Some(Time(days * SECONDS_PER_DAY + seconds))
}

const SECONDS_PER_DAY: i64 = 86_400;
const EPOCH: Date = Date::constant(1970, 1, 1);
/// 0001-01-01T00:00 and 9999-12-31T23:59, the ends of what can be written (and of .NET's time).
const EARLIEST: i64 = -62_135_596_800;
const LATEST: i64 = 253_402_300_740;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_as_it_was_written() {
        for text in [
            "2016-05-30T10:39",
            "1970-01-01T00:00",
            "2258-03-03T21:33",
            "2024-02-29T23:59",
            "0001-01-01T00:00",
            "9999-12-31T23:59",
        ] {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), text);
        }
        assert_eq!("1970-01-02T00:00".parse::<Time>().unwrap().unix(), 86_400);
        assert_eq!("1970-01-01T00:00:09Z".parse::<Time>().unwrap().unix(), 9);
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "2016-13-30T10:39",
            "2016-02-30T10:39",
            "2016-05-30 10:39",
            "+016-05-30T10:39",
            "２016-05-30T10:3",
        ] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_instant_beyond_the_calendar_is_written_as_its_end() {
        assert_eq!(Time(i64::MAX).to_string(), "9999-12-31T23:59");
        assert_eq!(Time(i64::MIN).to_string(), "0001-01-01T00:00");
        assert_eq!(Time(i64::MAX).plus_days(u32::MAX), Time(i64::MAX));
    }

    #[test]
    fn an_interval_ends_before_its_end() {
        let interval = Interval {
            from: Time(10),
            until: Time(20),
        };
        assert!(interval.contains(Time(10)) && interval.contains(Time(19)));
        assert!(!interval.contains(Time(20)) && !interval.contains(Time(9)));
    }
}
