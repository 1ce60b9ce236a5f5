//! HTTP Basic (RFC 7617) against the people list, over TLS or from this machine only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_directory::{Account, SignInError};
use zeroize::Zeroizing;

use super::NotSignedIn;
use super::failures::Attempt;
use crate::accounts::PeopleList;
use crate::http::Peer;
use crate::state::State;

/// Checks a name and a password against the people list.
pub(super) async fn check(
    state: &State,
    list: &Arc<PeopleList>,
    peer: Peer,
    credentials: &str,
) -> Result<Account, NotSignedIn> {
    if !peer.may_send_passwords() {
        return Err(NotSignedIn::Insecure);
    }
    let (name, password) = pair(credentials).ok_or(NotSignedIn::Missing)?;
    let now = Instant::now();
    let memory = list.memory_of(&name, &password);
    if let Some(account) = list.remembered(&memory, now) {
        return Ok(account);
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
    let people = Arc::clone(list);
    let checked =
        tokio::task::spawn_blocking(move || people.builtin.check_password(&name, &password));
    match checked.await {
        Ok(Ok(account)) => {
            state.failed_sign_ins.forget(&attempt);
            list.remember(memory, account.clone(), now);
            Ok(account)
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

/// Name and password of HTTP Basic (RFC 7617, UTF-8).
fn pair(credentials: &str) -> Option<(String, Zeroizing<String>)> {
    if credentials.len() > MAX_CREDENTIALS {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(credentials).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), Zeroizing::new(password.to_owned())))
}

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_CREDENTIALS: usize = 8192;
