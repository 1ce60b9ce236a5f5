//! The log in a backup: out of the logging database, and back into one. Events that wait in the
//! spool of a server are not in it: that server brings them in.

use std::path::Path;

use openrms_spool::SpoolError;
use openrms_store::logging::{self as store, Imported, LoggingError};
use openrms_store::{Location, RowSink};
use serde::Serialize;

use super::archive::ArchiveError;
use super::contents::Contents;
use crate::database::Database;
use crate::logging::{self, LogDatabaseError, LoggingConfig};

/// The log in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SavedLog {
    /// Events.
    pub events: u64,
    /// Certificates that they name.
    pub certificates: u64,
    /// Events that waited in the spool of this server when the backup began, and may not be in it.
    /// With none, every event of this server from before is.
    pub waiting: u64,
}

/// A log that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoredLog {
    /// Where it is.
    pub database: String,
    /// Events of the backup that are there now, those included that were there before.
    pub events: u64,
    /// The same of certificates.
    pub certificates: u64,
}

/// Why a log is not restored.
#[derive(Debug, thiserror::Error)]
pub enum LogRestoreError {
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The logging database cannot be opened, or fails.
    #[error(transparent)]
    Database(#[from] LogDatabaseError),
    /// The logging database does not take what is in the backup.
    #[error(transparent)]
    Refused(LoggingError),
}

/// Hands over everything that is in the logging database. One in a file that is not there is not
/// made for that.
pub(super) async fn export(
    config: &LoggingConfig,
    sink: &mut dyn RowSink,
) -> Result<(), LogDatabaseError> {
    match config.database.location()? {
        Location::Sqlite(path) if !path.exists() => return Ok(()),
        _ => {}
    }
    let database = logging::open_database(&config.database).await?;
    let exported = store::export(&*database, sink).await;
    database.close().await;
    Ok(exported?)
}

/// Brings the log of an archive into a logging database.
pub(super) async fn import(
    archive: &Path,
    password: &[u8],
    place: &Database,
) -> Result<RestoredLog, LogRestoreError> {
    let location = place.location().map_err(LogDatabaseError::Password)?;
    let mut contents = Contents::open(archive, password)?;
    contents.pass_to(store::LOG_TABLES)?;
    let database = logging::open_database(place).await?;
    let imported = store::import(&*database, &mut contents.rows(store::LOG_TABLES)).await;
    database.close().await;
    if let Some(error) = contents.failure() {
        return Err(error.into());
    }
    let Imported {
        events,
        certificates,
    } = imported.map_err(|error| match error {
        LoggingError::Store(error) => LogDatabaseError::Store(error).into(),
        refused @ LoggingError::Refused { .. } => LogRestoreError::Refused(refused),
    })?;
    Ok(RestoredLog {
        database: location.to_string(),
        events,
        certificates,
    })
}

/// How many events wait in the spool of this server.
pub(super) fn waiting(config: &LoggingConfig) -> Result<u64, SpoolError> {
    let mut events = 0;
    openrms_spool::peek(&config.spool, |record| {
        events += u64::from(logging::is_event(record));
    })?;
    Ok(events)
}
