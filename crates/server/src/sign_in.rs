//! Who is calling: HTTP Basic against the people list, over TLS or from this machine only
//! (`RequestContext` of MS-RMPR 3.1.1.1.8).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_crypto::sha256;
use openrms_directory::{Account, SignInError};
use openrms_engine::Caller;
use zeroize::Zeroizing;

use crate::http::Peer;
use crate::snapshot::Snapshot;
use crate::state::State;

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSignedIn {
    /// Passwords would cross the network in the clear.
    #[error(
        "Passwords are accepted over HTTPS, or from the server's own machine, and nowhere else."
    )]
    Insecure,
    /// No credentials, or not in the form of HTTP Basic.
    #[error("Sign in with your account name or mail address and your password.")]
    Missing,
    /// Wrong account or password, or a disabled account.
    #[error("The account or the password is wrong.")]
    Refused,
    /// Too many failures.
    #[error("Too many sign-ins failed. Try again in a minute.")]
    TooMany,
    /// Too many passwords are being checked.
    #[error("The server is busy checking passwords. Try again in a moment.")]
    Busy,
}

/// Signs the caller in.
pub(crate) async fn sign_in(
    state: &State,
    snapshot: &Arc<Snapshot>,
    peer: Peer,
    headers: &HeaderMap,
) -> Result<Caller, NotSignedIn> {
    if !peer.may_send_passwords() {
        return Err(NotSignedIn::Insecure);
    }
    let (name, password) = credentials(headers).ok_or(NotSignedIn::Missing)?;
    let now = Instant::now();
    let memory = snapshot.people.memory_of(&name, &password);
    if let Some(account) = snapshot.people.remembered(&memory, now) {
        return Ok(caller(account));
    }
    let attempt = Attempt::new(&name, peer.address.ip());
    if state.failed_sign_ins.is_blocked(&attempt, now) {
        return Err(NotSignedIn::TooMany);
    }
    // Hashing takes tens of milliseconds: not on a thread that serves others, and few at a time.
    let turn = tokio::time::timeout(PATIENCE, state.password_checks.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(NotSignedIn::Busy);
    };
    // Others with the same name may have failed while this one waited.
    if state.failed_sign_ins.is_blocked(&attempt, Instant::now()) {
        return Err(NotSignedIn::TooMany);
    }
    let people = Arc::clone(&snapshot.people);
    let checked =
        tokio::task::spawn_blocking(move || people.builtin.check_password(&name, &password));
    match checked.await {
        Ok(Ok(account)) => {
            state.failed_sign_ins.forget(&attempt);
            snapshot.people.remember(memory, account.clone(), now);
            Ok(caller(account))
        }
        Ok(Err(SignInError::Busy)) => Err(NotSignedIn::Busy),
        Ok(Err(error)) => {
            tracing::info!(peer = %peer.address, %error, "sign-in refused");
            state.failed_sign_ins.remember(attempt, Instant::now());
            Err(NotSignedIn::Refused)
        }
        Err(error) => {
            tracing::error!(%error, "checking a password failed");
            Err(NotSignedIn::Busy)
        }
    }
}

fn caller(account: Account) -> Caller {
    Caller {
        account: Some(account),
        scheme: Some("basic"),
    }
}

/// Name and password of HTTP Basic (RFC 7617, UTF-8).
fn credentials(headers: &HeaderMap) -> Option<(String, Zeroizing<String>)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_CREDENTIALS {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), Zeroizing::new(password.to_owned())))
}

/// Failed sign-ins by account and peer. A table of bounded size: when it is full of fresh
/// failures, new ones are not counted, and checking passwords is slow all the same.
#[derive(Debug, Default)]
pub(crate) struct FailedSignIns(Mutex<HashMap<Attempt, (u32, Instant)>>);

/// Who tries to sign in from where, without telling it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Attempt([u8; 32]);

impl Attempt {
    fn new(name: &str, peer: IpAddr) -> Self {
        Self(sha256(
            format!("{peer}\n{}", name.trim().to_lowercase()).as_bytes(),
        ))
    }
}

impl FailedSignIns {
    fn is_blocked(&self, attempt: &Attempt, now: Instant) -> bool {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(attempt).is_some_and(|(count, last)| {
            *count >= MAX_FAILURES && now.saturating_duration_since(*last) < BLOCKED
        })
    }

    fn remember(&self, attempt: Attempt, now: Instant) {
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

    fn forget(&self, attempt: &Attempt) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(attempt);
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_CREDENTIALS: usize = 8192;
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
