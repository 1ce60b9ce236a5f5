//! The one place that reads the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openrms_xrml::Time;

/// The instant it is.
pub(crate) fn now() -> Time {
    Time::from_unix(i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX))
}

/// How long ago 1970 began.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Milliseconds since 1970.
pub(crate) fn millis() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}

/// An instant, to the millisecond, as RFC 3339 writes it.
pub(crate) fn timestamp(millis: i64) -> String {
    let instant = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    format!("{instant:.3}")
}

/// Microseconds since an instant.
pub(crate) fn micros_since(begun: std::time::Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}
