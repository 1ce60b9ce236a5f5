//! The logging database in a SQLite file. Every commit is synced: what a listener was told is
//! stored, its spool forgets.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteArguments, SqliteJournalMode, SqlitePool};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, Transaction};

use super::fault::database;
use super::{codes, file, log, make, migrate, options, pool};
use crate::StoreError;
use crate::logging::backend::{Select, Value};
use crate::logging::statements::{self, COLUMN_COUNT, COLUMNS, Dialect};
use crate::logging::{Certificate, Day, LogEvent, LoggingDatabase, LoggingError};

/// A [`LoggingDatabase`] in a SQLite file. Other processes may have it open as well.
#[derive(Debug)]
pub struct SqliteLogging {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Days whose tables were seen.
    days: Mutex<HashSet<Day>>,
}

impl SqliteLogging {
    /// Opens the database, making it first when there is none, readable by this user only. One
    /// that is foreign, damaged or of a newer release is refused by name and not changed.
    pub async fn open_or_create(path: &Path) -> Result<Self, StoreError> {
        match Self::open(path).await {
            Err(StoreError::Missing { .. }) => {
                match make(path, file::LOGGING_ID, &MIGRATIONS).await {
                    // Another process may have been quicker.
                    Ok(()) | Err(StoreError::AlreadyExists { .. }) => Self::open(path).await,
                    Err(error) => Err(error),
                }
            }
            opened => opened,
        }
    }

    /// Opens a database that is there.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        file::check_header(path, file::LOGGING_ID)?;
        let options = options(path).journal_mode(SqliteJournalMode::Wal);
        let writer = pool(1, options.clone()).await?;
        let mut connection = writer.acquire().await.map_err(|error| database(&error))?;
        migrate(&mut connection, &MIGRATIONS).await?;
        drop(connection);
        Ok(Self {
            writer,
            readers: pool(READERS, options).await?,
            days: Mutex::default(),
        })
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(|error| database(&error))
    }

    /// Makes the table of a day where it is not known to be there.
    async fn prepare(
        &self,
        writing: &mut Transaction<'static, Sqlite>,
        day: Day,
    ) -> Result<(), LoggingError> {
        if self.known().contains(&day) {
            return Ok(());
        }
        for statement in statements::create_day(day, &DIALECT) {
            sqlx::query(AssertSqlSafe(statement))
                .persistent(false)
                .execute(&mut **writing)
                .await
                .map_err(|error| fault(&error))?;
        }
        sqlx::query(statements::REGISTER_DAY)
            .bind(day.number())
            .execute(&mut **writing)
            .await
            .map_err(|error| fault(&error))?;
        Ok(())
    }

    async fn try_to_store(
        &self,
        events: &[LogEvent<'_>],
        certificates: &[Certificate<'_>],
    ) -> Result<(), LoggingError> {
        let days = statements::by_day(events).map_err(log::refused)?;
        let mut writing = self.begin().await?;
        for (certificate, day) in statements::distinct(certificates) {
            sqlx::query(
                "INSERT INTO log_certificate (digest, kind, day, text) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (digest) DO UPDATE SET day = excluded.day
                 WHERE log_certificate.day < excluded.day",
            )
            .bind(&certificate.digest[..])
            .bind(&*certificate.kind)
            .bind(day.number())
            .bind(&*certificate.text)
            .execute(&mut *writing)
            .await
            .map_err(|error| fault(&error))?;
        }
        for (day, of_day) in &days {
            self.prepare(&mut writing, *day).await?;
            for some in of_day.chunks(ROWS) {
                insert(&mut writing, *day, some).await?;
            }
        }
        let committed = writing.commit().await;
        committed.map_err(|error| fault(&error))?;
        self.known().extend(days.iter().map(|(day, _)| *day));
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<Day>> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LoggingDatabase for SqliteLogging {
    async fn store(
        &self,
        events: &[LogEvent<'_>],
        certificates: &[Certificate<'_>],
    ) -> Result<(), LoggingError> {
        let stored = self.try_to_store(events, certificates).await;
        if stored.is_err() {
            // The table may have been dropped by another process.
            self.known().clear();
        }
        stored
    }

    async fn days(&self) -> Result<Vec<Day>, StoreError> {
        let rows = sqlx::query(statements::DAYS)
            .fetch_all(&self.readers)
            .await
            .map_err(|error| database(&error))?;
        log::days(&rows)
    }

    async fn drop_day(&self, day: Day) -> Result<(), StoreError> {
        let mut writing = self.begin().await?;
        sqlx::query(AssertSqlSafe(statements::drop_table(day)))
            .persistent(false)
            .execute(&mut *writing)
            .await
            .map_err(|error| database(&error))?;
        sqlx::query(statements::FORGET_DAY)
            .bind(day.number())
            .execute(&mut *writing)
            .await
            .map_err(|error| database(&error))?;
        writing.commit().await.map_err(|error| database(&error))?;
        self.known().remove(&day);
        Ok(())
    }

    async fn drop_certificates(&self, before: Day) -> Result<u64, StoreError> {
        sqlx::query(statements::DROP_CERTIFICATES)
            .bind(before.number())
            .execute(&self.writer)
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| database(&error))
    }

    async fn stored_bytes(&self) -> Result<u64, StoreError> {
        let pages = sqlx::query(
            "SELECT (page_count - freelist_count) * page_size
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        );
        let row = pages.fetch_one(&self.readers).await;
        let bytes: i64 = row
            .and_then(|row| row.try_get(0))
            .map_err(|error| database(&error))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[async_trait]
impl Select for SqliteLogging {
    async fn select(
        &self,
        sql: String,
        values: Vec<Value>,
    ) -> Result<Option<Vec<Vec<Value>>>, StoreError> {
        match log::question(sql, values).fetch_all(&self.readers).await {
            Ok(rows) => log::answer(&rows).map(Some),
            Err(sqlx::Error::Database(error)) if error.message().starts_with(NO_TABLE) => Ok(None),
            Err(error) => Err(database(&error)),
        }
    }
}

/// Inserts some events of a day with one statement.
async fn insert(
    writing: &mut Transaction<'static, Sqlite>,
    day: Day,
    events: &[&LogEvent<'_>],
) -> Result<(), LoggingError> {
    let row = format!("({})", vec!["?"; COLUMN_COUNT].join(", "));
    let sql = format!(
        "INSERT INTO {} ({COLUMNS}) VALUES {} ON CONFLICT (id) DO NOTHING",
        day.table(),
        vec![row; events.len()].join(", "),
    );
    // The statement of a whole chunk is prepared once.
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(events.len() == ROWS);
    for event in events {
        query = bind(query, event);
    }
    query
        .execute(&mut **writing)
        .await
        .map_err(|error| fault(&error))?;
    Ok(())
}

type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// In the order of [`COLUMNS`].
fn bind(query: Query, event: &LogEvent<'_>) -> Query {
    let text = |text: &std::borrow::Cow<'_, str>| text.to_string();
    let optional = |some: &Option<std::borrow::Cow<'_, str>>| some.as_ref().map(text);
    query
        .bind(event.id.as_bytes().to_vec())
        .bind(event.time)
        .bind(text(&event.host))
        .bind(text(&event.request))
        .bind(event.item.map(i64::from))
        .bind(text(&event.path))
        .bind(optional(&event.operation))
        .bind(optional(&event.peer))
        .bind(optional(&event.user_agent))
        .bind(i64::from(event.authenticated))
        .bind(i64::from(event.secure))
        .bind(optional(&event.user))
        .bind(optional(&event.metadata))
        .bind(text(&event.outcome))
        .bind(optional(&event.reason))
        .bind(optional(&event.account))
        .bind(optional(&event.content))
        .bind(optional(&event.issued))
        .bind(optional(&event.ground))
        .bind(statements::integer(event.micros))
        .bind(statements::joined(&event.received_xrml))
        .bind(statements::joined(&event.issued_xrml))
}

/// Tells rows that are not taken from a database that cannot take any.
fn fault(error: &sqlx::Error) -> LoggingError {
    if let sqlx::Error::Database(inner) = error {
        // Too big, a constraint, a wrong type, out of range.
        if matches!(codes::primary(&**inner), 18 | 19 | 20 | 25) {
            return log::refused(inner.message().to_owned());
        }
    }
    database(error).into()
}

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite-logging");
const DIALECT: Dialect = Dialect {
    bytes: "BLOB",
    integer: "INTEGER",
    flag: "INTEGER",
    table_end: " STRICT, WITHOUT ROWID",
};
const READERS: u32 = 2;
/// Rows of one statement. SQLite takes 32,766 values in one.
const ROWS: usize = 64;
const NO_TABLE: &str = "no such table: event_";
