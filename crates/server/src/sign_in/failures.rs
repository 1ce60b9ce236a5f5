//! Passwords are not guessed: who fails too often from one place waits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use openrms_crypto::sha256;

/// Failed sign-ins by account and peer. A table of bounded size: when it is full of fresh
/// failures, new ones are not counted, and checking passwords is slow all the same.
#[derive(Debug, Default)]
pub(crate) struct FailedSignIns(Mutex<HashMap<Attempt, (u32, Instant)>>);

/// Who tries to sign in from where, without telling it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Attempt([u8; 32]);

impl Attempt {
    pub(super) fn new(name: &str, peer: IpAddr) -> Self {
        Self(sha256(
            format!("{peer}\n{}", name.trim().to_lowercase()).as_bytes(),
        ))
    }
}

impl FailedSignIns {
    pub(super) fn is_blocked(&self, attempt: &Attempt, now: Instant) -> bool {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(attempt).is_some_and(|(count, last)| {
            *count >= MAX_FAILURES && now.saturating_duration_since(*last) < BLOCKED
        })
    }

    pub(super) fn remember(&self, attempt: Attempt, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MAX_ATTEMPTS {
            failures.retain(|_, (_, last)| now.saturating_duration_since(*last) < BLOCKED);
        }
        if failures.len() >= MAX_ATTEMPTS && !failures.contains_key(&attempt) {
            return;
        }
        let (count, last) = failures.entry(attempt).or_insert((0, now));
        if now.saturating_duration_since(*last) >= BLOCKED {
            *count = 0;
        }
        *count = count.saturating_add(1);
        *last = now;
    }

    pub(super) fn forget(&self, attempt: &Attempt) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(attempt);
    }
}

const MAX_FAILURES: u32 = 8;
const BLOCKED: Duration = Duration::from_mins(1);
const MAX_ATTEMPTS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_failures_block_for_a_minute_and_success_forgets() {
        let table = FailedSignIns::default();
        let attempt = Attempt::new("Bob", IpAddr::from([127, 0, 0, 1]));
        assert_eq!(attempt, Attempt::new(" bob", IpAddr::from([127, 0, 0, 1])));
        let start = Instant::now();
        for _ in 0..MAX_FAILURES {
            assert!(!table.is_blocked(&attempt, start));
            table.remember(attempt.clone(), start);
        }
        assert!(table.is_blocked(&attempt, start));
        let elsewhere = Attempt::new("bob", IpAddr::from([127, 0, 0, 2]));
        assert!(!table.is_blocked(&elsewhere, start));
        assert!(!table.is_blocked(&attempt, start + BLOCKED));
        table.forget(&attempt);
        assert!(!table.is_blocked(&attempt, start));
    }
}
