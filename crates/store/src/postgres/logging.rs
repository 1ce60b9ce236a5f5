//! The logging database in a schema of its own, beside what the cluster keeps or on another server:
//! nothing but plain tables, indexes and transactions that are tried again.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Row as _, Transaction};

use super::fault::database;
use super::{
    BATCH, Db, LONG_WORK, PostgresLocation, UNHURRIED, again_within, close, close_pool, connect,
    log, pool, schema, unacquired, within,
};
use crate::StoreError;
use crate::logging::backend::{Select, Value};
use crate::logging::statements::{self, COLUMNS, Dialect};
use crate::logging::{Certificate, Day, LogEvent, LoggingDatabase, LoggingError};

/// A [`LoggingDatabase`] on a PostgreSQL server. Any number of listeners write to it at once.
#[derive(Debug)]
pub struct PostgresLogging {
    pool: PgPool,
    /// Days whose tables were seen.
    days: Mutex<HashSet<Day>>,
}

impl PostgresLogging {
    /// Opens the database, and makes its tables when there are none. One of a newer release is
    /// refused, as servers of that release may be using it.
    pub async fn open(location: &PostgresLocation) -> Result<Self, StoreError> {
        let location = location.clone().in_schema(schema::LOGGING);
        let mut connection = connect(&location).await?;
        schema::migrate(&mut connection, &schema::logging()).await?;
        close(connection).await;
        Ok(Self {
            pool: pool(CONNECTIONS, location.options()),
            days: Mutex::default(),
        })
    }

    /// A transaction whose statements may take as long as they need.
    async fn begin(&self) -> Result<Transaction<'static, Db>, StoreError> {
        let begun = self.pool.begin().await;
        let mut transaction = begun.map_err(|error| unacquired(&self.pool, &error))?;
        let unhurried = sqlx::raw_sql(UNHURRIED).execute(&mut *transaction).await;
        unhurried.map_err(|error| database(&error))?;
        Ok(transaction)
    }

    /// Makes the tables of days that are not known to be there, each by itself: not every database
    /// makes tables within a transaction.
    async fn prepare(&self, days: impl Iterator<Item = Day>) -> Result<(), LoggingError> {
        for day in days {
            if self.known().contains(&day) {
                continue;
            }
            for statement in statements::create_day(day, &DIALECT) {
                let made = sqlx::query(AssertSqlSafe(statement.clone()))
                    .execute(&self.pool)
                    .await;
                if made.is_err() {
                    // Another server may have made the same at this moment: then it is there now.
                    sqlx::query(AssertSqlSafe(statement))
                        .execute(&self.pool)
                        .await
                        .map_err(|error| database(&error))?;
                }
            }
            sqlx::query(statements::REGISTER_DAY)
                .bind(day.number())
                .execute(&self.pool)
                .await
                .map_err(|error| database(&error))?;
            self.known().insert(day);
        }
        Ok(())
    }

    async fn try_to_store(
        &self,
        events: &[LogEvent<'_>],
        certificates: &[Certificate<'_>],
    ) -> Result<(), LoggingError> {
        let days = statements::by_day(events).map_err(log::refused)?;
        self.prepare(days.iter().map(|(day, _)| *day)).await?;
        let mut writing = self.begin().await?;
        insert_certificates(&mut writing, certificates).await?;
        for (day, of_day) in &days {
            insert(&mut writing, *day, of_day).await?;
        }
        let committed = writing.commit().await;
        committed.map_err(|error| fault(&error))
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Day>> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LoggingDatabase for PostgresLogging {
    async fn store(
        &self,
        events: &[LogEvent<'_>],
        certificates: &[Certificate<'_>],
    ) -> Result<(), LoggingError> {
        let storing = || async {
            match self.try_to_store(events, certificates).await {
                Err(LoggingError::Store(error)) => Err(error),
                done => Ok(done),
            }
        };
        let stored = again_within(BATCH, storing).await;
        let stored = stored.map_err(LoggingError::from).flatten();
        if stored.is_err() {
            // The table may have been dropped by another server.
            self.known().clear();
        }
        stored
    }

    async fn days(&self) -> Result<Vec<Day>, StoreError> {
        let asked = sqlx::query(statements::DAYS).fetch_all(&self.pool);
        let rows = within(BATCH, named(asked)).await?;
        log::days(&rows)
    }

    async fn drop_day(&self, day: Day) -> Result<(), StoreError> {
        // The row last: a day whose table is left behind would never be dropped.
        let table = sqlx::query(AssertSqlSafe(statements::drop_table(day))).execute(&self.pool);
        within(BATCH, named(table)).await?;
        let forgotten = sqlx::query(statements::FORGET_DAY).bind(day.number());
        within(BATCH, named(forgotten.execute(&self.pool))).await?;
        self.known().remove(&day);
        Ok(())
    }

    async fn drop_certificates(&self, before: Day) -> Result<u64, StoreError> {
        let dropping = || {
            let statement = sqlx::query(statements::DROP_CERTIFICATES).bind(before.number());
            named(statement.execute(&self.pool))
        };
        Ok(again_within(BATCH, dropping).await?.rows_affected())
    }

    async fn stored_bytes(&self) -> Result<u64, StoreError> {
        let mut total = 0_i64;
        let tables = self.days().await?.into_iter().map(Day::table);
        for table in tables.chain(["log_certificate".to_owned()]) {
            // A table that was dropped meanwhile has no size.
            let size = sqlx::query("SELECT pg_total_relation_size(to_regclass($1)::oid)");
            let row = within(BATCH, named(size.bind(table).fetch_one(&self.pool))).await?;
            let size: Option<i64> = row.try_get(0).map_err(|error| database(&error))?;
            total = total.saturating_add(size.unwrap_or(0));
        }
        Ok(u64::try_from(total).unwrap_or(0))
    }

    async fn close(&self) {
        close_pool(&self.pool).await;
    }
}

#[async_trait]
impl Select for PostgresLogging {
    async fn select(
        &self,
        sql: String,
        values: Vec<Value>,
    ) -> Result<Option<Vec<Vec<Value>>>, StoreError> {
        let query = log::question(sql, values);
        let asking = async {
            let mut reading = self.begin().await?;
            match query.fetch_all(&mut *reading).await {
                Ok(rows) => log::answer(&rows).map(Some),
                Err(error) if code(&error).as_deref() == Some(NO_TABLE) => Ok(None),
                Err(error) => Err(database(&error)),
            }
        };
        within(LONG_WORK, asking).await
    }
}

async fn insert_certificates(
    writing: &mut PgConnection,
    certificates: &[Certificate<'_>],
) -> Result<(), LoggingError> {
    if certificates.is_empty() {
        return Ok(());
    }
    let all = statements::distinct(certificates);
    let column = |of: fn(&Certificate<'_>) -> String| -> Vec<String> {
        all.iter().map(|(certificate, _)| of(certificate)).collect()
    };
    let digests: Vec<Vec<u8>> = all.iter().map(|(one, _)| one.digest.to_vec()).collect();
    let days: Vec<i64> = all.iter().map(|(_, day)| day.number()).collect();
    sqlx::query(
        "INSERT INTO log_certificate (digest, kind, day, text)
         SELECT * FROM UNNEST($1::bytea[], $2::text[], $3::bigint[], $4::text[])
         ON CONFLICT (digest) DO UPDATE SET day = excluded.day
         WHERE log_certificate.day < excluded.day",
    )
    .bind(digests)
    .bind(column(|one| one.kind.to_string()))
    .bind(days)
    .bind(column(|one| one.text.to_string()))
    .execute(writing)
    .await
    .map_err(|error| fault(&error))?;
    Ok(())
}

/// Inserts the events of a day with one statement, an array for each column.
async fn insert(
    writing: &mut PgConnection,
    day: Day,
    events: &[&LogEvent<'_>],
) -> Result<(), LoggingError> {
    type Text<'e> = Option<&'e str>;
    type Pick = for<'e> fn(&'e LogEvent<'_>) -> Text<'e>;
    let texts = |pick: Pick| -> Vec<Text<'_>> { events.iter().map(|event| pick(event)).collect() };
    let bytes = |pick: fn(&LogEvent<'_>) -> Option<Vec<u8>>| -> Vec<Option<Vec<u8>>> {
        events.iter().map(|event| pick(event)).collect()
    };
    let numbers = |pick: fn(&LogEvent<'_>) -> Option<i64>| -> Vec<Option<i64>> {
        events.iter().map(|event| pick(event)).collect()
    };
    let flags = |pick: fn(&LogEvent<'_>) -> bool| -> Vec<i16> {
        events.iter().map(|event| i16::from(pick(event))).collect()
    };
    let sql = format!(
        "INSERT INTO {} ({COLUMNS})
         SELECT * FROM UNNEST($1::bytea[], $2::bigint[], $3::text[], $4::text[], $5::bigint[],
         $6::text[], $7::text[], $8::text[], $9::text[], $10::smallint[], $11::smallint[],
         $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
         $18::text[], $19::text[], $20::bigint[], $21::bytea[], $22::bytea[])
         ON CONFLICT (id) DO NOTHING",
        day.table()
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(bytes(|event| Some(event.id.as_bytes().to_vec())))
        .bind(numbers(|event| Some(event.time)))
        .bind(texts(|event| Some(&event.host)))
        .bind(texts(|event| Some(&event.request)))
        .bind(numbers(|event| event.item.map(i64::from)))
        .bind(texts(|event| Some(&event.path)))
        .bind(texts(|event| event.operation.as_deref()))
        .bind(texts(|event| event.peer.as_deref()))
        .bind(texts(|event| event.user_agent.as_deref()))
        .bind(flags(|event| event.authenticated))
        .bind(flags(|event| event.secure))
        .bind(texts(|event| event.user.as_deref()))
        .bind(texts(|event| event.metadata.as_deref()))
        .bind(texts(|event| Some(&event.outcome)))
        .bind(texts(|event| event.reason.as_deref()))
        .bind(texts(|event| event.account.as_deref()))
        .bind(texts(|event| event.content.as_deref()))
        .bind(texts(|event| event.issued.as_deref()))
        .bind(texts(|event| event.ground.as_deref()))
        .bind(numbers(|event| Some(statements::integer(event.micros))))
        .bind(bytes(|event| statements::joined(&event.received_xrml)))
        .bind(bytes(|event| statements::joined(&event.issued_xrml)))
        .execute(writing)
        .await
        .map_err(|error| fault(&error))?;
    Ok(())
}

async fn named<T>(
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    statement.await.map_err(|error| database(&error))
}

/// Tells rows that are not taken from a database that cannot take any.
fn fault(error: &sqlx::Error) -> LoggingError {
    match (code(error), error) {
        // Data that is no such value, or breaks a rule of its table.
        (Some(code), sqlx::Error::Database(inner))
            if code.starts_with("22") || code.starts_with("23") =>
        {
            log::refused(inner.message().to_owned())
        }
        _ => database(error).into(),
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Database(inner) => inner.code().map(Into::into),
        _ => None,
    }
}

const DIALECT: Dialect = Dialect {
    bytes: "BYTEA",
    integer: "BIGINT",
    flag: "SMALLINT",
    table_end: "",
};
/// The listener's and a report's.
const CONNECTIONS: u32 = 3;
const NO_TABLE: &str = "42P01";
