//! The log: each request leaves an event in a spool on this machine before it is answered, and a
//! listener takes the events to the logging database (product reference 6.3 and 6.4; the message
//! queue and the logging listener of MS-RMSOD 2.5.4).
//!
//! ```text
//! request -> journal -> spool | listener -> logging database
//!                             +-> dead letters, what is not taken there
//! ```

pub(crate) mod certificates;
pub(crate) mod dead_letters;
mod drain;
pub(crate) mod journal;
pub(crate) mod listener;
mod record;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;

use openrms_crypto::mac::MacKey;
use openrms_crypto::random::RandomError;
use openrms_spool::{Durability, Settings, Spool, SpoolError};
use openrms_store::logging::{LoggingDatabase, PostgresLogging, SqliteLogging};
use openrms_store::{Location, StoreError};

pub(crate) use drain::{Drain, DrainError, Drained};
pub(crate) use journal::Journal;
pub(crate) use listener::Listener;
pub(crate) use settings::LoggingFile;
pub use settings::{Field, Fields, LogDurability, LoggingConfig, LoggingConfigError, WhenFull};

use crate::credential::CredentialError;
use crate::database::Database;
use crate::metrics::Shared;
use crate::open::Opened;

/// Opens the spool and starts to listen, unless the log is switched off.
pub(crate) fn start(
    config: &LoggingConfig,
    opened: &Opened,
    shared: &Arc<Shared>,
) -> Result<(Arc<Journal>, Option<Listener>), LogError> {
    if !config.enabled {
        return Ok((Arc::new(Journal::off()), None));
    }
    let spool = Arc::new(open_spool(config)?);
    let key = key(opened);
    let journal = Arc::new(Journal::new(
        config,
        spool.clone(),
        key.clone(),
        shared.clone(),
    )?);
    let drain = Drain::new(spool, key, config.dead_letters());
    let listener = Listener::start(config.clone(), drain, journal.clone(), shared.clone());
    Ok((journal, Some(listener.map_err(LogError::Thread)?)))
}

/// The key under which this cluster's servers sign what they put into their spools.
pub(crate) fn key(opened: &Opened) -> Arc<MacKey> {
    Arc::new(MacKey::new(&opened.log))
}

/// Opens the logging database, making it first when there is none.
pub(crate) async fn open_database(
    place: &Database,
) -> Result<Box<dyn LoggingDatabase>, LogDatabaseError> {
    Ok(match place.location()? {
        Location::Sqlite(path) => Box::new(SqliteLogging::open_or_create(&path).await?),
        Location::Postgres(location) => Box::new(PostgresLogging::open(&location).await?),
    })
}

/// Why the logging database cannot be opened at present.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogDatabaseError {
    /// Its password cannot be read.
    #[error("[logging] {0}")]
    Password(#[from] CredentialError),
    /// The database is not there, or is not one.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Events could not be told from those of other servers.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The system gives no thread.
    #[error("no thread can be started for the log: {0}")]
    Thread(std::io::Error),
}

fn open_spool(config: &LoggingConfig) -> Result<Spool, SpoolError> {
    Spool::open(
        &config.spool,
        Settings {
            most_bytes: config.spool_bytes,
            // Space is given back file by file.
            segment_bytes: (config.spool_bytes / 16).clamp(64 << 10, 16 << 20),
            durability: match config.durability {
                LogDurability::Process => Durability::Process,
                LogDurability::Power => Durability::Power,
            },
        },
    )
}

/// Removes the spool of a server that is no more, unless something waits in it; whether it is gone.
pub(crate) fn remove_spool(config: &LoggingConfig) -> Result<bool, SpoolError> {
    if config.spool.is_dir() {
        for folder in [config.dead_letters(), config.spool.clone()] {
            let waits = Spool::open(&folder, Settings::default())?.read(1, 1)?;
            if !waits.records.is_empty() || waits.damaged_bytes > 0 {
                return Ok(false);
            }
        }
        std::fs::remove_dir_all(&config.spool).map_err(|error| SpoolError::File {
            path: config.spool.clone(),
            error,
        })?;
    }
    Ok(true)
}

impl LoggingConfig {
    /// Where events are kept that the database does not take.
    pub(crate) fn dead_letters(&self) -> PathBuf {
        self.spool.join("dead-letters")
    }
}
