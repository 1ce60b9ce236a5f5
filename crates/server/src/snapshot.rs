//! The state that requests are answered from: built whole, swapped whole, never changed. A request
//! holds one from its start to its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openrms_crypto::sha256;
use openrms_directory::{Account, BuiltIn, PeopleError};
use openrms_engine::authority::EnrollmentService;
use openrms_engine::{Cluster, ClusterError};
use openrms_store::{ConfigurationSnapshot, Store as _, StoreError};
use zeroize::Zeroizing;

use crate::authority::ClientTrust;
use crate::bundle::ClientBundle;
use crate::config::Config;
use crate::open::{OpenError, Opened};
use crate::people::{self, PeopleFileError};

/// One version of everything.
pub(crate) struct Snapshot {
    pub(crate) cluster: Cluster,
    pub(crate) people: Arc<Directory>,
    /// What clients are handed; absent when this server has no means to let clients join.
    pub(crate) bundle: Option<String>,
    /// The trust anchor's enrollment service, where there is one.
    pub(crate) enrollment: Option<EnrollmentService>,
}

/// The people list with the sign-ins that lately succeeded.
///
/// The directory remembers successes as well, but looks them up behind the queue of passwords
/// that are being checked; here a thread that serves others finds them at once.
pub(crate) struct Directory {
    pub(crate) builtin: BuiltIn,
    key: Zeroizing<[u8; 32]>,
    remembered: Mutex<HashMap<[u8; 32], (Instant, Account)>>,
}

/// Why the stored state cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration cannot be served.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The people list cannot be read.
    #[error(transparent)]
    File(#[from] PeopleFileError),
    /// The people list cannot be used.
    #[error("the people list cannot be used: {0}")]
    People(#[from] PeopleError),
    /// Nothing can be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Snapshot {
    /// Reads everything anew. `people` is the list in use, when it need not be read.
    pub(crate) async fn load(
        opened: &Opened,
        config: &Config,
        people: Option<Arc<Directory>>,
    ) -> Result<Self, LoadError> {
        let stored = opened.store.snapshot().await?;
        let cluster = Cluster::new(&stored, &opened.provider, opened.vault.clone())?;
        let roles = opened.store.authority_roles().await?;
        let enrollment = if roles.is_empty() {
            None
        } else {
            let service = EnrollmentService::load(&roles, &opened.provider);
            service
                .inspect_err(|error| tracing::error!(%error, "nobody can enroll here"))
                .ok()
        };
        let bundle = bundle(
            &stored,
            ClientTrust::load(&roles, &stored, &opened.vault).ok(),
        );
        let people = match people {
            Some(people) => people,
            None => Arc::new(Directory::new(BuiltIn::new(people::load(
                &config.people,
            )?)?)?),
        };
        Ok(Self {
            cluster,
            people,
            bundle,
            enrollment,
        })
    }
}

impl Directory {
    fn new(builtin: BuiltIn) -> Result<Self, PeopleError> {
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

fn bundle(stored: &ConfigurationSnapshot, trust: Option<ClientTrust>) -> Option<String> {
    serde_json::to_string(&ClientBundle {
        server: stored.policies.base_url.clone()?,
        name: stored.policies.name.clone(),
        trust: trust?,
    })
    .ok()
}

const REMEMBERED: Duration = Duration::from_mins(5);
const MAX_REMEMBERED: usize = 4096;
