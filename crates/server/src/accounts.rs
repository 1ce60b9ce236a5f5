//! Who people are, as this server is configured: the people list, or an organisation's directory
//! with a cache before it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use openrms_crypto::sha256;
use openrms_directory::{Account, BuiltIn, CacheCounters, Directory, LdapCounters, PeopleError};
use zeroize::Zeroizing;

/// Who people are.
#[derive(Clone)]
pub(crate) enum Accounts {
    /// The people list, with passwords.
    List(Arc<PeopleList>),
    /// A directory whose passwords are not ours to check.
    Remote(Arc<dyn RemoteDirectory>),
}

/// A directory behind a cache.
#[async_trait]
pub(crate) trait RemoteDirectory: Directory {
    /// Forgets what it knows: the next answers come from the directory itself.
    async fn flush(&self);

    /// How often memory had the answer.
    fn counters(&self) -> CacheCounters;

    /// What the directory itself was asked, and how its servers are.
    fn ldap_counters(&self) -> LdapCounters;
}

/// The people list with the sign-ins that lately succeeded.
///
/// The directory remembers successes as well, but looks them up behind the queue of passwords
/// that are being checked; here a thread that serves others finds them at once.
pub(crate) struct PeopleList {
    pub(crate) builtin: BuiltIn,
    key: Zeroizing<[u8; 32]>,
    remembered: Mutex<HashMap<[u8; 32], (Instant, Account)>>,
}

impl Accounts {
    /// Where decisions ask.
    pub(crate) fn directory(&self) -> &dyn Directory {
        match self {
            Self::List(list) => &list.builtin,
            Self::Remote(remote) => &**remote,
        }
    }

    /// The people list, where passwords are checked.
    pub(crate) fn list(&self) -> Option<&Arc<PeopleList>> {
        match self {
            Self::List(list) => Some(list),
            Self::Remote(_) => None,
        }
    }
}

impl PeopleList {
    pub(crate) fn new(builtin: BuiltIn) -> Result<Self, PeopleError> {
        let mut key = Zeroizing::new([0; 32]);
        openrms_crypto::random::fill(&mut *key).map_err(|_| PeopleError::Limit {
            what: "random numbers of this system",
        })?;
        Ok(Self {
            builtin,
            key,
            remembered: Mutex::default(),
        })
    }

    /// What names a sign-in without telling it.
    pub(crate) fn memory_of(&self, name: &str, password: &str) -> [u8; 32] {
        let length = (name.len() as u64).to_le_bytes();
        let input =
            Zeroizing::new([&self.key[..], &length, name.as_bytes(), password.as_bytes()].concat());
        sha256(&input)
    }

    /// The account of a sign-in that lately succeeded.
    pub(crate) fn remembered(&self, memory: &[u8; 32], now: Instant) -> Option<Account> {
        let remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (since, account) = remembered.get(memory)?;
        (now.saturating_duration_since(*since) < REMEMBERED).then(|| account.clone())
    }

    /// Remembers a sign-in that succeeded.
    pub(crate) fn remember(&self, memory: [u8; 32], account: Account, now: Instant) {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, (since, _)| now.saturating_duration_since(*since) < REMEMBERED);
        }
        // What finds no room is checked again next time.
        if remembered.len() < MAX_REMEMBERED {
            remembered.insert(memory, (now, account));
        }
    }
}

const REMEMBERED: Duration = Duration::from_mins(5);
const MAX_REMEMBERED: usize = 4096;
