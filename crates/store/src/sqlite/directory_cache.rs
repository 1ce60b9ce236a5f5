//! The directory services database in a SQLite file. As it can be lost, commits are not synced
//! one by one, and a file that cannot be used is set aside.

#[path = "../tables/answers.rs"]
mod answers;

use std::path::{Path, PathBuf};

use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{Row as _, Sqlite, Transaction};

use super::fault::{self, database};
use super::{file, make, migrate, options, pool};
use crate::StoreError;

/// A [`crate::DirectoryCache`] in a SQLite database.
#[derive(Debug, Clone)]
pub struct SqliteDirectoryCache {
    // One connection each, made at the start: were the file deleted and made anew by another
    // process, a later one would be to another file.
    writer: SqlitePool,
    reader: SqlitePool,
}

/// A database that was opened.
#[derive(Debug)]
pub struct OpenedDirectoryCache {
    /// The database.
    pub cache: SqliteDirectoryCache,
    /// What was there before and could not be used: where it is now, and what is wrong with it.
    pub set_aside: Option<(PathBuf, StoreError)>,
}

impl SqliteDirectoryCache {
    /// Opens the database. When there is none, it is made, readable by this user only. One that is
    /// foreign, damaged or of a newer release is set aside under a name that ends in `.unusable`.
    pub async fn open(path: &Path) -> Result<OpenedDirectoryCache, StoreError> {
        match Self::open_or_make(path).await {
            Ok(cache) => Ok(cache.in_place_of(None)),
            Err(error) if is_unusable(&error) => {
                // One after another, as the second would set aside what the first has made.
                let _one_at_a_time = file::lock_folder(path)?;
                match Self::open_or_make(path).await {
                    Err(error) if is_unusable(&error) => {
                        let aside = file::set_aside(path)?;
                        let cache = Self::open_or_make(path).await?;
                        Ok(cache.in_place_of(Some((aside, error))))
                    }
                    opened => Ok(opened?.in_place_of(None)),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn open_or_make(path: &Path) -> Result<Self, StoreError> {
        match Self::open_existing(path).await {
            Err(StoreError::Missing { .. }) => {
                match make(path, file::DIRECTORY_CACHE_ID, &MIGRATIONS).await {
                    // Another process may have been quicker.
                    Ok(()) | Err(StoreError::AlreadyExists { .. }) => {
                        Self::open_existing(path).await
                    }
                    Err(error) => Err(error),
                }
            }
            opened => opened,
        }
    }

    async fn open_existing(path: &Path) -> Result<Self, StoreError> {
        file::check_header(path, file::DIRECTORY_CACHE_ID)?;
        let options = options(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let writer = pool(1, options.clone()).await?;
        let mut connection = writer.acquire().await.map_err(|error| database(&error))?;
        migrate(&mut connection, &MIGRATIONS).await?;
        check(&mut connection).await?;
        drop(connection);
        Ok(Self {
            writer,
            reader: pool(1, options).await?,
        })
    }

    fn in_place_of(self, set_aside: Option<(PathBuf, StoreError)>) -> OpenedDirectoryCache {
        OpenedDirectoryCache {
            cache: self,
            set_aside,
        }
    }

    async fn run<T, W: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl Fn() -> W,
    ) -> Result<T, StoreError> {
        work().await
    }

    async fn reader(&self) -> Result<PoolConnection<Db>, StoreError> {
        let acquired = self.reader.acquire().await;
        acquired.map_err(|error| database(&error))
    }

    async fn begin_writing(&self) -> Result<Transaction<'static, Db>, StoreError> {
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(|error| database(&error))
    }

    async fn close_all(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// Reads the whole file: what is damaged within would fail again and again.
async fn check(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let verdict: String = sqlx::query("PRAGMA quick_check(1)")
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| database(&error))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(StoreError::Corrupt { what: verdict })
    }
}

fn is_unusable(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Corrupt { .. } | StoreError::SchemaTooNew { .. }
    )
}

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite-directory");

/// What [`answers`] is compiled for.
type Backend = SqliteDirectoryCache;
type Db = Sqlite;
