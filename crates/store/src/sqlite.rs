//! The store in one SQLite file, or in memory for tests. Write-ahead log, every commit synced.
//! One connection writes, several read; other processes may have the same file open. The
//! directory services database is a file of its own.

mod change;
mod cluster;
mod configuration;
mod directory_cache;
mod fault;
mod file;
mod records;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row};
use uuid::Uuid;

use crate::{
    AuthorityRole, Change, ClusterServer, ConfigurationSnapshot, ConfigurationVersion,
    IssuedCertificate, KeyProtection, Store, StoreError, StoredKey,
};
use fault::{database, migration};

pub use directory_cache::{OpenedDirectoryCache, SqliteDirectoryCache};

/// A [`Store`] in a SQLite database. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Sqlite {
    /// Makes a new database, readable by this user only. It appears under its name complete or
    /// not at all; a file that is there already is left alone and
    /// [`StoreError::AlreadyExists`] is returned.
    pub async fn create(path: &Path) -> Result<Self, StoreError> {
        make(path, file::APPLICATION_ID, &MIGRATIONS).await?;
        Self::open(path).await
    }

    /// Opens a database and brings its schema up to date. A missing, foreign, damaged or newer
    /// file is refused by name and not changed.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        file::check_header(path, file::APPLICATION_ID)?;
        let options = options(path).journal_mode(SqliteJournalMode::Wal);
        let writer = pool(1, options.clone()).await?;
        let mut connection = writer.acquire().await.map_err(|error| database(&error))?;
        migrate(&mut connection, &MIGRATIONS).await?;
        drop(connection);
        Ok(Self {
            writer,
            readers: pool(READERS, options).await?,
        })
    }

    /// Opens the database, making it first when there is none.
    pub async fn open_or_create(path: &Path) -> Result<Self, StoreError> {
        match Self::open(path).await {
            Err(StoreError::Missing { .. }) => match Self::create(path).await {
                // Another process was quicker.
                Err(StoreError::AlreadyExists { .. }) => Self::open(path).await,
                made => made,
            },
            opened => opened,
        }
    }

    /// A database that is gone when dropped, for tests and trials.
    pub async fn in_memory() -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .in_memory(true)
            .foreign_keys(true);
        let only = pool(1, options).await?;
        let mut connection = only.acquire().await.map_err(|error| database(&error))?;
        migrate(&mut connection, &MIGRATIONS).await?;
        drop(connection);
        Ok(Self {
            writer: only.clone(),
            readers: only,
        })
    }

    /// Reads the whole database and reports the first damage found. Takes long on large ones.
    pub async fn check(&self) -> Result<(), StoreError> {
        let row = sqlx::query("PRAGMA integrity_check(1)")
            .fetch_one(&self.readers)
            .await
            .map_err(|error| database(&error))?;
        let verdict: String = row.try_get(0).map_err(|error| database(&error))?;
        if verdict == "ok" {
            Ok(())
        } else {
            Err(StoreError::Corrupt { what: verdict })
        }
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn configuration_version(&self) -> Result<ConfigurationVersion, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        configuration::version(&mut connection).await
    }

    async fn snapshot(&self) -> Result<ConfigurationSnapshot, StoreError> {
        let mut reading = self
            .readers
            .begin()
            .await
            .map_err(|error| database(&error))?;
        let snapshot = configuration::read(&mut reading).await?;
        reading.commit().await.map_err(|error| database(&error))?;
        Ok(snapshot)
    }

    async fn apply(
        &self,
        changes: &[Change],
        expected: Option<ConfigurationVersion>,
    ) -> Result<ConfigurationVersion, StoreError> {
        let mut writing = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| database(&error))?;
        let found = configuration::version(&mut writing).await?;
        if let Some(expected) = expected.filter(|&expected| expected != found) {
            return Err(StoreError::VersionConflict { expected, found });
        }
        if changes.is_empty() {
            return Ok(found);
        }
        for change in changes {
            change::apply(&mut writing, change).await?;
        }
        let version = found.next();
        change::set_version(&mut writing, version).await?;
        writing.commit().await.map_err(|error| database(&error))?;
        Ok(version)
    }

    async fn user_key(&self, account: &str) -> Result<Option<StoredKey>, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        records::user_key(&mut connection, account).await
    }

    async fn insert_user_key(
        &self,
        account: &str,
        key: StoredKey,
    ) -> Result<StoredKey, StoreError> {
        let mut writing = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| database(&error))?;
        let winner = records::insert_user_key(&mut writing, account, key).await?;
        writing.commit().await.map_err(|error| database(&error))?;
        Ok(winner)
    }

    async fn delete_user_keys(&self, account: &str) -> Result<bool, StoreError> {
        let mut writing = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| database(&error))?;
        let was_there = records::delete_user_keys(&mut writing, account).await?;
        writing.commit().await.map_err(|error| database(&error))?;
        Ok(was_there)
    }

    async fn client_key(
        &self,
        account: &str,
        rac_key: &[u8],
    ) -> Result<Option<StoredKey>, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        records::client_key(&mut connection, account, rac_key).await
    }

    async fn insert_client_key(
        &self,
        account: &str,
        rac_key: &[u8],
        key: StoredKey,
    ) -> Result<StoredKey, StoreError> {
        let mut writing = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| database(&error))?;
        let winner = records::insert_client_key(&mut writing, account, rac_key, key).await?;
        writing.commit().await.map_err(|error| database(&error))?;
        Ok(winner)
    }

    async fn record_issued(&self, certificate: &IssuedCertificate) -> Result<(), StoreError> {
        let mut connection = self
            .writer
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        records::record_issued(&mut connection, certificate).await
    }

    async fn issued(&self, guid: Uuid) -> Result<Option<IssuedCertificate>, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        records::issued(&mut connection, guid).await
    }

    async fn certified_users(&self) -> Result<u64, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        records::certified_users(&mut connection).await
    }

    async fn authority_role(&self, role: &str) -> Result<Option<AuthorityRole>, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        records::authority_role(&mut connection, role).await
    }

    async fn authority_roles(&self) -> Result<Vec<AuthorityRole>, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        records::authority_roles(&mut connection).await
    }

    async fn insert_authority_role(
        &self,
        role: AuthorityRole,
    ) -> Result<AuthorityRole, StoreError> {
        let mut writing = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| database(&error))?;
        let winner = records::insert_authority_role(&mut writing, role).await?;
        writing.commit().await.map_err(|error| database(&error))?;
        Ok(winner)
    }

    async fn renew_authority_role(&self, role: &str, certificate: &str) -> Result<(), StoreError> {
        let mut connection = self
            .writer
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        records::renew_authority_role(&mut connection, role, certificate).await
    }

    async fn key_protection(&self) -> Result<Option<KeyProtection>, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        cluster::key_protection(&mut connection).await
    }

    async fn set_key_protection(
        &self,
        document: &str,
        replaces: Option<i64>,
    ) -> Result<KeyProtection, StoreError> {
        let mut writing = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| database(&error))?;
        let stored = cluster::set_key_protection(&mut writing, document, replaces).await?;
        writing.commit().await.map_err(|error| database(&error))?;
        Ok(stored)
    }

    async fn register_server(&self, server: &ClusterServer) -> Result<(), StoreError> {
        let mut connection = self
            .writer
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        cluster::register_server(&mut connection, server).await
    }

    async fn servers(&self) -> Result<Vec<ClusterServer>, StoreError> {
        let mut connection = self
            .readers
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        cluster::servers(&mut connection).await
    }

    async fn remove_server(&self, name: &str) -> Result<bool, StoreError> {
        let mut connection = self
            .writer
            .acquire()
            .await
            .map_err(|error| database(&error))?;
        cluster::remove_server(&mut connection, name).await
    }

    /// Dropping the store closes it as well, but does not wait.
    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
}

async fn pool(connections: u32, options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(PATIENCE * 2)
        // A database in memory would be lost with its connection.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(|error| database(&error))
}

/// Makes a new database file, which appears under its name complete or not at all.
async fn make(path: &Path, application_id: u32, migrations: &Migrator) -> Result<(), StoreError> {
    file::refuse_leftovers(path)?;
    let draft = file::draft_beside(path)?;
    let mut connection = options(draft.path())
        // Without a log beside it the draft is one file, which can be moved.
        .journal_mode(SqliteJournalMode::Delete)
        .pragma("application_id", application_id.to_string())
        .connect()
        .await
        .map_err(|error| database(&error))?;
    migrate(&mut connection, migrations).await?;
    connection.close().await.map_err(|error| database(&error))?;
    file::publish(draft, path)
}

/// Refuses a schema from the future, then adds what is missing.
async fn migrate(
    connection: &mut SqliteConnection,
    migrations: &Migrator,
) -> Result<(), StoreError> {
    let supported = migrations
        .iter()
        .map(|step| step.version)
        .max()
        .unwrap_or(0);
    let history = sqlx::query("SELECT name FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .fetch_optional(&mut *connection)
        .await
        .map_err(|error| database(&error))?;
    if history.is_some() {
        let found: i64 = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations")
            .fetch_one(&mut *connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| database(&error))?;
        if found > supported {
            return Err(StoreError::SchemaTooNew { found, supported });
        }
    }
    if migrations.run(&mut *connection).await.is_ok() {
        return Ok(());
    }
    // Another process may have been migrating the same file: then there is nothing left to do.
    migrations
        .run(connection)
        .await
        .map_err(|error| migration(&error))
}

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a request waits for others to finish writing.
const PATIENCE: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_connection_syncs_fully_into_a_log_and_checks_references() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::create(&folder.path().join("cluster.db"))
            .await
            .unwrap();
        for pool in [&store.writer, &store.readers] {
            let number = async |pragma: &'static str| -> i64 {
                sqlx::query(pragma).fetch_one(pool).await.unwrap().get(0)
            };
            assert_eq!(number("PRAGMA synchronous").await, 2);
            assert_eq!(number("PRAGMA foreign_keys").await, 1);
            assert_eq!(
                number("PRAGMA application_id").await,
                i64::from(file::APPLICATION_ID)
            );
            let mode: String = sqlx::query("PRAGMA journal_mode")
                .fetch_one(pool)
                .await
                .unwrap()
                .get(0);
            assert_eq!(mode, "wal");
        }
    }
}
