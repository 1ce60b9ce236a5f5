//! A database at a server that a backup is being restored into. From the first step to the last it
//! says so, and nobody else opens it: whoever is killed in between gives the same command again.

use crate::postgres::Postgres;
use crate::{PostgresLocation, Store, StoreError};

/// A database that is being filled from a backup.
#[derive(Debug)]
pub struct Restoring {
    store: Postgres,
    is_filled: bool,
}

impl Restoring {
    /// Whether a database holds nothing, or what an earlier attempt to restore this backup has left
    /// there. Changes nothing.
    pub async fn may_begin(location: &PostgresLocation, backup: &str) -> Result<bool, StoreError> {
        Postgres::may_restore(location, backup).await
    }

    /// Whether an earlier attempt to restore this backup has come to that database. Changes
    /// nothing.
    pub async fn was_begun(location: &PostgresLocation, backup: &str) -> Result<bool, StoreError> {
        let unfinished = Postgres::unfinished(location).await?;
        Ok(unfinished.as_deref() == Some(backup))
    }

    /// Makes the tables and writes down that the backup of this digest is being restored, or goes
    /// on where an earlier attempt ended. [`StoreError::NotEmpty`] when there is anything else.
    pub async fn begin(location: &PostgresLocation, backup: &str) -> Result<Self, StoreError> {
        let (store, is_filled) = Postgres::begin_restoring(location, backup).await?;
        Ok(Self { store, is_filled })
    }

    /// The database.
    pub fn store(&self) -> &dyn Store {
        &self.store
    }

    /// Whether an earlier attempt has brought everything in: rows come all at once.
    pub fn is_filled(&self) -> bool {
        self.is_filled
    }

    /// Lets others open it. The last step of restoring.
    pub async fn complete(self) -> Result<(), StoreError> {
        let completed = self.store.complete_restoring().await;
        self.store.close().await;
        completed
    }
}

/// The step of the schema that no release knows: its description is the digest of the backup.
pub(crate) const UNFINISHED: i64 = crate::moving::GONE - 1;
