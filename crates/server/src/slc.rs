//! How long the server licensor certificate still lasts, who is told of it, and when (MS-RMPR
//! 3.1.6.2). The events have the numbers of the original: 16 a month ahead, 17 a week ahead, 18 when
//! the cluster issues nothing any more.

use std::collections::BTreeMap;

use openrms_engine::Cluster;
use openrms_xrml::Time;

use crate::events::Event;

/// What an administrator is told about the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Notice {
    /// It ends within a month (event 16).
    Month,
    /// It ends within a week (event 17).
    Week,
    /// It has ended: no publishing, no RACs, no ULs (event 18). What was issued goes on working.
    Expired,
}

impl Notice {
    /// Number of the event.
    pub(crate) fn event(self) -> u16 {
        match self {
            Self::Month => 16,
            Self::Week => 17,
            Self::Expired => 18,
        }
    }

    /// What is to be said of a cluster; nothing while it has time, or is not enrolled at all.
    pub(crate) fn of(cluster: &Cluster, now: Time) -> Option<Self> {
        if cluster.policies.decommissioned {
            return None;
        }
        let until = end(cluster)?;
        if now >= until {
            Some(Self::Expired)
        } else if now.plus_days(WEEK) >= until {
            Some(Self::Week)
        } else if now.plus_days(MONTH) >= until {
            Some(Self::Month)
        } else {
            None
        }
    }

    /// Writes the event down, with what is to be done.
    pub(crate) fn log(self, cluster: &Cluster, now: Time, advice: &str) {
        let days = days_left(cluster, now).unwrap_or_default();
        let until = end(cluster)
            .map(|until| until.to_string())
            .unwrap_or_default();
        match self {
            Self::Month => Event::SlcExpiresInAMonth,
            Self::Week => Event::SlcExpiresInAWeek,
            Self::Expired => Event::SlcExpired,
        }
        .emit(format_args!(
            "the server licensor certificate is valid until {until}, {days} days: {advice}"
        ));
    }
}

/// Whole days until the certificate ends, negative afterwards; none for a cluster that is not
/// enrolled.
pub(crate) fn days_left(cluster: &Cluster, now: Time) -> Option<i64> {
    let left = end(cluster)?.unix().saturating_sub(now.unix());
    Some(left.div_euclid(SECONDS_PER_DAY))
}

/// When the certificate ends; none for a cluster that is not enrolled.
pub(crate) fn end(cluster: &Cluster) -> Option<Time> {
    let range = cluster.server().ok()?.slc.range()?;
    Some(range.until)
}

/// For how many days the authority of these settings certifies servers.
pub(crate) fn days(settings: &BTreeMap<String, String>) -> u32 {
    let set = settings.get(DAYS).and_then(|days| days.parse().ok());
    set.filter(|days| *days > 0).unwrap_or(DEFAULT_DAYS)
}

/// Setting: for how many days servers are certified.
pub(crate) const DAYS: &str = "slc-days";
/// As the original: a year.
pub(crate) const DEFAULT_DAYS: u32 = 365;
const WEEK: u32 = 7;
const MONTH: u32 = 30;
const SECONDS_PER_DAY: i64 = 86_400;
