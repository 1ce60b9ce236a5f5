//! What a server works with, opened: database, keys, and what is made of them.

use std::sync::Arc;

use openrms_crypto::{KeyProvider, envelope};
use openrms_engine::keys::KeyVault;
use openrms_store::{Location, Store, StoreError};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::credential::CredentialError;
use crate::fips::{self, FipsError};
use crate::key_protection::{self, KeyProtection, KeyProtectionError, Unlocked};

/// The database and the keys of a cluster, opened.
pub(crate) struct Opened {
    /// The database.
    pub(crate) store: Arc<dyn Store>,
    /// Private keys of the server.
    pub(crate) provider: Arc<dyn KeyProvider>,
    /// How they are kept.
    pub(crate) protection: KeyProtection,
    /// Private keys of accounts.
    pub(crate) vault: KeyVault,
    /// What answers of the directory are stored under.
    pub(crate) answers: Zeroizing<[u8; 32]>,
    /// What events are signed with on their way to the logging database.
    pub(crate) log: Zeroizing<[u8; 32]>,
}

/// Why a cluster cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no database: nothing was provisioned here.
    #[error("{0} holds no cluster: run `rmsd provision` first")]
    NotProvisioned(Location),
    /// The keys cannot be opened.
    #[error(transparent)]
    Keys(#[from] KeyProtectionError),
    /// The keys are not what `[crypto]` asks for.
    #[error(transparent)]
    Fips(#[from] FipsError),
    /// The password of the database cannot be read.
    #[error("[database] {0}")]
    Password(#[from] CredentialError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing can be derived from the master key.
    #[error("the master key cannot be used: {0}")]
    Derive(String),
    /// The system gives no threads or no means to wait.
    #[error("nothing can be run: {0}")]
    System(std::io::Error),
}

impl Opened {
    /// Opens what was provisioned.
    pub(crate) async fn open(config: &Config) -> Result<Self, OpenError> {
        let store = connect(config).await?;
        if config.fips {
            fips::check_keys(&store.snapshot().await?)?;
        }
        let unlocked = key_protection::unlock(&*store, &config.keys).await?;
        Self::with_keys(store, unlocked)
    }

    /// An open database with the keys that go with it.
    pub(crate) fn with_keys(store: Arc<dyn Store>, keys: Unlocked) -> Result<Self, OpenError> {
        let master = keys.master.expose();
        let failed = |error: &dyn std::fmt::Display| OpenError::Derive(error.to_string());
        Ok(Self {
            store,
            vault: KeyVault::new(master).map_err(|error| failed(&error))?,
            answers: envelope::derive(master, b"", b"openrms directory cache 1")
                .map_err(|error| failed(&error))?,
            log: envelope::derive(master, b"", b"openrms log spool 1")
                .map_err(|error| failed(&error))?,
            provider: keys.provider,
            protection: keys.protection,
        })
    }
}

/// Opens the database of a cluster.
pub(crate) async fn connect(config: &Config) -> Result<Arc<dyn Store>, OpenError> {
    let location = config.database.location()?;
    match location.open().await {
        Err(StoreError::Missing { .. }) => Err(OpenError::NotProvisioned(location)),
        opened => Ok(opened?),
    }
}

/// Runs a future to its end on a thread of its own, so that callers may be anywhere, also inside
/// a run-time.
pub(crate) fn blocking<T, E, F>(work: impl FnOnce() -> F + Send) -> Result<T, E>
where
    T: Send,
    E: Send + From<OpenError>,
    F: Future<Output = Result<T, E>>,
{
    let run = || match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(work()),
        Err(error) => Err(OpenError::System(error).into()),
    };
    match std::thread::scope(|scope| scope.spawn(run).join()) {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
