//! A data directory, opened: database, master key and what is made of it.

use std::path::PathBuf;

use openrms_crypto::{SoftwareProvider, envelope};
use openrms_engine::keys::KeyVault;
use openrms_store::{Sqlite, StoreError};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::master_key::{MasterKeyError, MasterKeySource};

/// A data directory, opened.
pub(crate) struct Opened {
    /// The database.
    pub(crate) store: Sqlite,
    /// Private keys of the server.
    pub(crate) provider: SoftwareProvider,
    /// Private keys of accounts.
    pub(crate) vault: KeyVault,
    /// What answers of the directory are stored under.
    pub(crate) answers: Zeroizing<[u8; 32]>,
}

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no database: nothing was provisioned here.
    #[error("{0} holds no cluster: run `rmsd provision` first")]
    NotProvisioned(PathBuf),
    /// No master key.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys cannot be used.
    #[error("the master key cannot be used: {0}")]
    Keys(String),
    /// The system gives no threads or no means to wait.
    #[error("nothing can be run: {0}")]
    System(std::io::Error),
}

impl Opened {
    /// Opens what was provisioned.
    pub(crate) async fn open(config: &Config) -> Result<Self, OpenError> {
        let store = match Sqlite::open(&config.data.database()).await {
            Err(StoreError::Missing { .. }) => {
                return Err(OpenError::NotProvisioned(config.data.path().to_owned()));
            }
            opened => opened?,
        };
        Self::with_keys(store, &config.data, &config.master_key)
    }

    /// An open database with the keys that go with it.
    pub(crate) fn with_keys(
        store: Sqlite,
        data: &DataDir,
        source: &MasterKeySource,
    ) -> Result<Self, OpenError> {
        let master = source.load(data)?;
        let master = master.expose();
        let keys = |error: &dyn std::fmt::Display| OpenError::Keys(error.to_string());
        Ok(Self {
            store,
            provider: SoftwareProvider::new(master),
            vault: KeyVault::new(master).map_err(|error| keys(&error))?,
            answers: envelope::derive(master, b"", b"openrms directory cache 1")
                .map_err(|error| keys(&error))?,
        })
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
