//! The store in one SQLite file, or in memory for tests. Write-ahead log, every commit synced.
//! One connection writes, several read; other processes may have the same file open. The
//! directory services database is a file of its own.

mod codes;
mod directory_cache;
#[path = "tables/fault.rs"]
mod fault;
mod file;
#[path = "tables/log.rs"]
mod log;
mod logging;
#[path = "tables/mod.rs"]
mod tables;

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, Transaction};

use crate::moving::GONE;
use crate::restoring::UNFINISHED;
use crate::steps::{self, Made};
use crate::{Found, SCHEMA, Schema, StoreError};
use fault::{database, migration};

pub use directory_cache::{OpenedDirectoryCache, SqliteDirectoryCache};
pub use logging::SqliteLogging;

/// A [`crate::Store`] in a SQLite database. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
    /// An older one than this release's in a database that is only read.
    schema: i64,
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
            schema: SCHEMA,
        })
    }

    /// Opens a database of this schema or an older one as it is, to be read.
    pub(crate) async fn open_to_read(path: &Path) -> Result<(Self, Schema), StoreError> {
        file::check_header(path, file::APPLICATION_ID)?;
        // Not a file that is opened to read: what lies beside it in use would be left behind.
        let only = pool(1, options(path).pragma("query_only", "ON")).await?;
        let mut connection = only.acquire().await.map_err(|error| database(&error))?;
        let schema = Schema::of(&history(&mut connection).await?, &MIGRATIONS)?;
        drop(connection);
        let opened = Self {
            writer: only.clone(),
            readers: only,
            schema: schema.newest().min(SCHEMA),
        };
        Ok((opened, schema))
    }

    /// Opens a database that nobody else has open, nor can open until it is closed;
    /// [`StoreError::Busy`] when somebody has.
    pub(crate) async fn open_alone(path: &Path) -> Result<Self, StoreError> {
        file::check_header(path, file::APPLICATION_ID)?;
        let options = options(path)
            .locking_mode(SqliteLockingMode::Exclusive)
            // Leaving the log takes everybody's leaving the database.
            .journal_mode(SqliteJournalMode::Delete);
        let only = pool(1, options).await?;
        let mut connection = only.acquire().await.map_err(|error| database(&error))?;
        // From here on the lock is held.
        sqlx::raw_sql("BEGIN EXCLUSIVE; COMMIT")
            .execute(&mut *connection)
            .await
            .map_err(|error| database(&error))?;
        migrate(&mut connection, &MIGRATIONS).await?;
        drop(connection);
        Ok(Self {
            writer: only.clone(),
            readers: only,
            schema: SCHEMA,
        })
    }

    pub(crate) async fn leave(&self, to: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ($1, $2, 1, x'00', 0)",
        )
        .bind(GONE)
        .bind(to)
        .execute(&self.writer)
        .await
        .map(|_| ())
        .map_err(|error| database(&error))
    }

    pub(crate) async fn stay(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1")
            .bind(GONE)
            .execute(&self.writer)
            .await
            .map(|_| ())
            .map_err(|error| database(&error))
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
            schema: SCHEMA,
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

/// Looks what is at a path, and changes nothing.
pub(crate) fn inspect(path: &Path) -> Result<Found, StoreError> {
    match file::check_header(path, file::APPLICATION_ID) {
        Ok(()) => Ok(Found::Cluster),
        Err(StoreError::Missing { .. }) => Ok(Found::Missing),
        Err(StoreError::Corrupt { .. }) => Ok(Found::Foreign),
        Err(error) => Err(error),
    }
}

/// The schema of the database at a path, changing nothing.
pub(crate) async fn schema(path: &Path) -> Result<Option<i64>, StoreError> {
    if inspect(path)? != Found::Cluster {
        return Ok(None);
    }
    let mut connection = options(path)
        .read_only(true)
        .connect()
        .await
        .map_err(|error| database(&error))?;
    let newest = newest_step(&mut connection).await?;
    // It was only read: nothing is lost when this fails.
    let _ = connection.close().await;
    known_step(newest)
}

/// The schema that a step made.
pub(crate) fn known_step(newest: Option<(i64, String)>) -> Result<Option<i64>, StoreError> {
    match newest {
        Some((GONE, to)) => Err(StoreError::Moved { to }),
        Some((UNFINISHED, backup)) => Err(StoreError::Unfinished { backup }),
        newest => Ok(newest.map(|(version, _)| version)),
    }
}

/// How the statements reach the database: [`tables`] asks for no more.
impl Sqlite {
    /// Does work that may be done again when it failed with [`StoreError::Contention`].
    async fn run<T, W: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl Fn() -> W,
    ) -> Result<T, StoreError> {
        work().await
    }

    async fn reader(&self) -> Result<PoolConnection<Db>, StoreError> {
        let acquired = self.readers.acquire().await;
        acquired.map_err(|error| database(&error))
    }

    async fn writer(&self) -> Result<PoolConnection<Db>, StoreError> {
        let acquired = self.writer.acquire().await;
        acquired.map_err(|error| database(&error))
    }

    /// A transaction that sees the database as it is at one instant, and writes nothing.
    async fn begin_reading(&self) -> Result<Transaction<'static, Db>, StoreError> {
        let begun = self.readers.begin().await;
        begun.map_err(|error| database(&error))
    }

    async fn begin_writing(&self) -> Result<Transaction<'static, Db>, StoreError> {
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(|error| database(&error))
    }

    #[expect(clippy::unused_async, reason = "others have limits")]
    async fn take_time(&self, _: &mut Connection) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whoever has the same file open looks at the version by itself.
    #[expect(clippy::unused_async, reason = "others announce")]
    async fn announce(&self, _: &mut Connection) -> Result<(), StoreError> {
        Ok(())
    }

    async fn wait_for_change(&self) {
        std::future::pending::<()>().await;
    }

    async fn close_all(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A part of work that takes its time. A file answers or fails.
async fn part<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    work.await
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

/// Refuses a schema that this release may not serve, then adds what is missing.
async fn migrate(connection: &mut Connection, migrations: &Migrator) -> Result<(), StoreError> {
    if steps::are_made(&history(connection).await?, migrations)? {
        return Ok(());
    }
    if migrations.run_direct(None, connection, false).await.is_ok() {
        return Ok(());
    }
    // Another process may have been migrating the same file: then there is nothing left to do.
    migrations
        .run_direct(None, connection, false)
        .await
        .map_err(|error| migration(&error))
}

/// The last step of the schema that was made, and its description.
async fn newest_step(connection: &mut Connection) -> Result<Option<(i64, String)>, StoreError> {
    let newest = history(connection).await?.pop();
    Ok(newest.map(|made| (made.step, made.description)))
}

/// The steps of the schema that were made, the newest last.
async fn history(connection: &mut Connection) -> Result<Vec<Made>, StoreError> {
    let history = sqlx::query("SELECT name FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .fetch_optional(&mut *connection)
        .await
        .map_err(|error| database(&error))?;
    if history.is_none() {
        return Ok(Vec::new());
    }
    let rows =
        sqlx::query("SELECT version, description, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await
            .map_err(|error| database(&error))?;
    let made = rows.iter().map(|row| {
        Ok(Made {
            step: row.try_get(0)?,
            description: row.try_get(1)?,
            checksum: row.try_get(2)?,
        })
    });
    let made: Result<_, sqlx::Error> = made.collect();
    made.map_err(|error| database(&error))
}

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a request waits for others to finish writing.
const PATIENCE: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// What [`tables`] is compiled for.
type Backend = Sqlite;
type Db = sqlx::Sqlite;
type Connection = sqlx::sqlite::SqliteConnection;
type Row = sqlx::sqlite::SqliteRow;
type Arguments = sqlx::sqlite::SqliteArguments;

/// A transaction that writes has the whole database to itself.
const LOCKED_VERSION: &str = "SELECT version FROM configuration WHERE id = 1";

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
