//! What is remembered of one server, and what follows from it for the choice among servers.
//! Instants are handed in.

use std::time::{Duration, Instant};

use super::connection::Failure;
use super::settings::LdapSettings;

/// How a server has been doing.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// In a row.
    failures: u32,
    last_failure: Option<(Instant, Failure)>,
    down_until: Option<Instant>,
    slow_until: Option<Instant>,
}

/// How a server may be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Like any other.
    Good,
    /// After the good ones, by weight.
    Slow,
    /// Only when too few others are alive.
    Down,
    /// Not at all: it was asked a moment ago, or another wrong password could lock the account.
    Avoid,
}

impl Health {
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let lasts = |until: Option<Instant>| until.is_some_and(|until| now < until);
        if lasts(self.down_until) {
            return match &self.last_failure {
                Some((_, Failure::Refused)) => Standing::Avoid,
                Some((at, _)) if now.saturating_duration_since(*at) < PROBE_INTERVAL => {
                    Standing::Avoid
                }
                _ => Standing::Down,
            };
        }
        if lasts(self.slow_until) {
            Standing::Slow
        } else {
            Standing::Good
        }
    }

    pub(super) fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref().map(|(_, failure)| failure)
    }

    pub(super) fn answered(&mut self, settings: &LdapSettings, took: Duration, now: Instant) {
        self.failures = 0;
        self.down_until = None;
        let slow = took >= Duration::from_secs(settings.ldap_time_out) / 2;
        self.slow_until = slow.then(|| now + Duration::from_secs(settings.time_retry_slow));
    }

    pub(super) fn failed(&mut self, settings: &LdapSettings, failure: Failure, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.slow_until = Some(now + Duration::from_secs(settings.time_retry_slow));
        if self.failures >= settings.retry_down || matches!(failure, Failure::Refused) {
            self.down_until = Some(now + Duration::from_secs(settings.time_retry_down));
        }
        self.last_failure = Some((now, failure));
    }
}

/// While no server is alive, how often one that is down may be tried: often enough that nobody
/// notices a restart, and so seldom that requests fail at once instead of waiting each.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_slow_after_one_failure_and_down_after_several() {
        let settings = LdapSettings::default();
        let (mut health, start) = (Health::default(), Instant::now());
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(health.standing(start), Standing::Good);
        health.failed(&settings, Failure::Timeout, start);
        assert_eq!(health.standing(start), Standing::Slow);
        assert_eq!(health.standing(after(30)), Standing::Good);
        for _ in 1..5 {
            health.failed(&settings, Failure::Timeout, start);
        }
        assert_eq!(health.standing(start), Standing::Avoid);
        assert_eq!(health.standing(after(1)), Standing::Down);
        assert_eq!(health.standing(after(299)), Standing::Down);
        assert_eq!(health.standing(after(300)), Standing::Good);
        health.failed(&settings, Failure::Timeout, after(300));
        assert_eq!(health.standing(after(302)), Standing::Down);
        health.answered(&settings, Duration::from_millis(1), after(303));
        assert_eq!(health.standing(after(303)), Standing::Good);
        health.answered(&settings, Duration::from_secs(3), after(303));
        assert_eq!(health.standing(after(303)), Standing::Slow);
    }

    #[test]
    fn a_server_that_refuses_the_password_is_left_alone() {
        let settings = LdapSettings::default();
        let (mut health, start) = (Health::default(), Instant::now());
        health.failed(&settings, Failure::Refused, start);
        let later = start + Duration::from_secs(299);
        assert_eq!(health.standing(later), Standing::Avoid);
    }
}
