//! The directory services database in a SQLite file. As it can be lost, commits are not synced
//! one by one, and a file that cannot be used is set aside.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnection, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{Row, Sqlite, Transaction};

use super::fault::database;
use super::{file, make, migrate, options, pool};
use crate::{CachedAnswer, DirectoryCache, NewAnswer, StoreError};

/// A [`DirectoryCache`] in a SQLite database.
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

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(|error| database(&error))
    }
}

#[async_trait]
impl DirectoryCache for SqliteDirectoryCache {
    async fn find(
        &self,
        kind: &str,
        question: &[u8],
        longest: usize,
    ) -> Result<(i64, Option<CachedAnswer>), StoreError> {
        let row = sqlx::query(
            "SELECT generation.number, answer.asked, answer.expires, answer.sealed
             FROM generation LEFT JOIN answer
             ON answer.kind = $1 AND answer.question = $2
             AND answer.generation = generation.number AND length(answer.sealed) <= $3",
        )
        .bind(kind)
        .bind(question)
        .bind(i64::try_from(longest).unwrap_or(i64::MAX))
        .fetch_optional(&self.reader)
        .await
        .map_err(|error| database(&error))?
        .ok_or_else(|| StoreError::Corrupt {
            what: "generation: no row".to_owned(),
        })?;
        let read = || {
            let generation = row.try_get(0)?;
            let sealed: Option<Vec<u8>> = row.try_get(3)?;
            let Some(sealed) = sealed else {
                return Ok((generation, None));
            };
            let answer = CachedAnswer {
                asked: row.try_get(1)?,
                expires: row.try_get(2)?,
                sealed,
            };
            Ok((generation, Some(answer)))
        };
        read().map_err(|error| database(&error))
    }

    async fn keep(&self, answers: &[NewAnswer<'_>]) -> Result<(), StoreError> {
        let mut writing = self.begin().await?;
        for answer in answers {
            sqlx::query(
                "INSERT INTO answer (kind, question, generation, asked, expires, sealed)
                 SELECT $1, $2, number, $4, $5, $6 FROM generation WHERE number = $3
                 ON CONFLICT (kind, question) DO UPDATE SET generation = excluded.generation,
                 asked = excluded.asked, expires = excluded.expires, sealed = excluded.sealed",
            )
            .bind(answer.kind)
            .bind(answer.question)
            .bind(answer.generation)
            .bind(answer.asked)
            .bind(answer.expires)
            .bind(answer.sealed)
            .execute(&mut *writing)
            .await
            .map_err(|error| database(&error))?;
        }
        writing.commit().await.map_err(|error| database(&error))
    }

    async fn prune(&self, kind: &str, most: u64, now: i64) -> Result<(), StoreError> {
        let mut writing = self.begin().await?;
        sqlx::query(
            "DELETE FROM answer WHERE (kind, question) IN (SELECT kind, question FROM answer
             WHERE expires <= $1 ORDER BY expires LIMIT $2)",
        )
        .bind(now)
        .bind(BATCH)
        .execute(&mut *writing)
        .await
        .map_err(|error| database(&error))?;
        // Left when a clock was set back. They would seem to be the youngest.
        sqlx::query(
            "DELETE FROM answer WHERE kind = $1 AND question IN (SELECT question FROM answer
             WHERE kind = $1 AND asked > $2 LIMIT $3)",
        )
        .bind(kind)
        .bind(now.saturating_add(SKEW))
        .bind(BATCH)
        .execute(&mut *writing)
        .await
        .map_err(|error| database(&error))?;
        let kept: i64 = sqlx::query("SELECT COUNT(*) FROM answer WHERE kind = $1")
            .bind(kind)
            .fetch_one(&mut *writing)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| database(&error))?;
        let excess = kept.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
        if excess > 0 {
            sqlx::query(
                "DELETE FROM answer WHERE kind = $1 AND question IN (SELECT question FROM answer
                 WHERE kind = $1 ORDER BY asked LIMIT $2)",
            )
            .bind(kind)
            .bind(excess.min(BATCH))
            .execute(&mut *writing)
            .await
            .map_err(|error| database(&error))?;
        }
        writing.commit().await.map_err(|error| database(&error))
    }

    async fn forget(&self) -> Result<(), StoreError> {
        let mut writing = self.begin().await?;
        for statement in [
            "UPDATE generation SET number = number + 1",
            "DELETE FROM answer",
        ] {
            sqlx::query(statement)
                .execute(&mut *writing)
                .await
                .map_err(|error| database(&error))?;
        }
        writing.commit().await.map_err(|error| database(&error))
    }

    async fn close(&self) {
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

/// How many answers of a sort are removed at a time.
const BATCH: i64 = 512;
/// By how many seconds the clocks of servers may differ.
const SKEW: i64 = 60;
