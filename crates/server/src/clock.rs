//! The one place that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use openrms_xrml::Time;

/// The instant it is.
pub(crate) fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The instant it is, to the millisecond, as RFC 3339 writes it.
pub(crate) fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
