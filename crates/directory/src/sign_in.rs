//! Checking passwords: the same work whether or not the account exists, few at a time, and
//! not anew for each request of somebody who just signed in.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openrms_crypto::password::{self, PasswordError};
use openrms_crypto::{random, sha256};
use zeroize::Zeroizing;

use crate::PasswordHash;
use crate::people::MAX_PASSWORD;

/// Why somebody may not sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// There is no such account, it has no password, or the password is another one. Which of
    /// these is not told.
    #[error("the account or the password is wrong")]
    Refused,
    /// The password is right, but the account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// Too many passwords are being checked.
    #[error("too many sign-ins at a time")]
    Busy,
    /// The stored hash cannot be used.
    #[error("the password cannot be checked: {0}")]
    Unusable(#[from] PasswordError),
}

/// What a password is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Credential<'a> {
    /// What tells this account from all others, for the memory of successes.
    pub(crate) identifier: &'a str,
    pub(crate) hash: Option<&'a PasswordHash>,
    pub(crate) disabled: bool,
}

/// Checks passwords and remembers successes.
pub(crate) struct PasswordCheck {
    /// Any hash of the list, worked on where there is no account.
    example: Option<PasswordHash>,
    /// Never leaves memory, so that what is remembered says nothing about passwords.
    key: Zeroizing<[u8; 32]>,
    successes: Mutex<HashMap<[u8; 32], Instant>>,
    gate: Gate,
}

impl PasswordCheck {
    pub(crate) fn new(example: Option<PasswordHash>) -> Result<Self, PasswordError> {
        let mut key = Zeroizing::new([0; 32]);
        random::fill(&mut *key).map_err(|_| PasswordError::Failed)?;
        Ok(Self {
            example,
            key,
            successes: Mutex::default(),
            gate: Gate::default(),
        })
    }

    pub(crate) fn check(
        &self,
        credential: Option<Credential<'_>>,
        password: &str,
        now: Instant,
    ) -> Result<(), SignInError> {
        if password.len() > MAX_PASSWORD {
            return Err(SignInError::Refused);
        }
        let memory = self.memory_of(credential, password);
        if self.is_remembered(&memory, now) {
            return Ok(());
        }
        let own = credential.and_then(|credential| credential.hash);
        let Some(hash) = own.or(self.example.as_ref()) else {
            // Nobody in the list has a password.
            return Err(SignInError::Refused);
        };
        let turn = self.gate.enter()?;
        let matches = password::verify(password.as_bytes(), hash.as_str());
        drop(turn);
        // A match with somebody else's hash is none.
        let Some(credential) = credential.filter(|_| own.is_some()) else {
            return Err(SignInError::Refused);
        };
        if !matches? {
            return Err(SignInError::Refused);
        }
        if credential.disabled {
            return Err(SignInError::Disabled);
        }
        self.remember(memory, now);
        Ok(())
    }

    fn memory_of(&self, credential: Option<Credential<'_>>, password: &str) -> [u8; 32] {
        let identifier = credential
            .map_or("", |credential| credential.identifier)
            .as_bytes();
        let mut input = Zeroizing::new(Vec::with_capacity(40 + identifier.len() + password.len()));
        input.extend_from_slice(&*self.key);
        input.extend_from_slice(&(identifier.len() as u64).to_le_bytes());
        input.extend_from_slice(identifier);
        input.extend_from_slice(password.as_bytes());
        sha256(&input)
    }

    fn is_remembered(&self, memory: &[u8; 32], now: Instant) -> bool {
        lock(&self.successes)
            .get(memory)
            .is_some_and(|since| now.saturating_duration_since(*since) < REMEMBERED)
    }

    fn remember(&self, memory: [u8; 32], now: Instant) {
        let mut successes = lock(&self.successes);
        if successes.len() >= MAX_REMEMBERED {
            successes.retain(|_, since| now.saturating_duration_since(*since) < REMEMBERED);
        }
        if successes.len() >= MAX_REMEMBERED {
            let oldest = successes
                .iter()
                .min_by_key(|(_, since)| **since)
                .map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                successes.remove(&oldest);
            }
        }
        successes.insert(memory, now);
    }
}

impl fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordCheck(..)")
    }
}

/// Lets few in at a time, since each check takes a good deal of memory.
#[derive(Default)]
struct Gate {
    inside_and_waiting: Mutex<(usize, usize)>,
    left: Condvar,
}

impl Gate {
    fn enter(&self) -> Result<Turn<'_>, SignInError> {
        let mut counts = lock(&self.inside_and_waiting);
        if counts.1 >= MAX_WAITING {
            return Err(SignInError::Busy);
        }
        counts.1 += 1;
        let mut counts = self
            .left
            .wait_while(counts, |(inside, _)| *inside >= MAX_INSIDE)
            .unwrap_or_else(PoisonError::into_inner);
        counts.1 -= 1;
        counts.0 += 1;
        Ok(Turn(self))
    }
}

struct Turn<'a>(&'a Gate);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.0.inside_and_waiting).0 -= 1;
        self.0.left.notify_one();
    }
}

/// What is guarded here is never left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const REMEMBERED: Duration = Duration::from_mins(5);
const MAX_REMEMBERED: usize = 4096;
const MAX_INSIDE: usize = 4;
const MAX_WAITING: usize = 64;
