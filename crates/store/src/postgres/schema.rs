//! The tables: whether they are there, and how they come to be. Several servers may do so at once:
//! each step is one transaction with the line of the history that only one of them can write.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::time::sleep;

use super::fault::{database, migration};
use super::location::APPLICATION;
use super::{Connection, LONG_WORK, PATIENCE, within};
use crate::moving::GONE;
use crate::restoring::UNFINISHED;
use crate::steps::{self, Made};
use crate::{Entity, Found, Schema, StoreError, TABLES};

/// The steps of the schema of a cluster.
pub(super) fn cluster() -> Migrator {
    with_own_history(sqlx::migrate!("migrations/postgres"))
}

/// The steps of the directory services database.
pub(super) fn directory() -> Migrator {
    let mut steps = with_own_history(sqlx::migrate!("migrations/postgres-directory"));
    steps.create_schema(DIRECTORY);
    steps
}

/// The steps of the logging database.
pub(super) fn logging() -> Migrator {
    let mut steps = with_own_history(sqlx::migrate!("migrations/postgres-logging"));
    steps.create_schema(LOGGING);
    steps
}

fn with_own_history(mut steps: Migrator) -> Migrator {
    // Another program in the same database may use the same library.
    steps.dangerous_set_table_name(HISTORY);
    // Not every database has the lock that would be taken.
    steps.set_locking(false);
    steps
}

/// What is in the database, and the name of a table that is not ours. Views hold nothing, and
/// extensions put some beside our tables: `citus_tables`, `pg_stat_statements`.
pub(super) async fn inspect(
    connection: &mut Connection,
) -> Result<(Found, Option<String>), StoreError> {
    let rows = sqlx::query(
        "SELECT CAST(table_schema AS TEXT), CAST(table_name AS TEXT)
         FROM information_schema.tables WHERE table_type = 'BASE TABLE'
         ORDER BY table_schema, table_name",
    )
    .fetch_all(connection)
    .await
    .map_err(|error| database(&error))?;
    let (mut history, mut configuration, mut other) = (false, false, None);
    for row in &rows {
        let (schema, table): (String, String) = row
            .try_get(0)
            .and_then(|schema| Ok((schema, row.try_get(1)?)))
            .map_err(|error| database(&error))?;
        if SYSTEM_SCHEMAS.contains(&schema.as_str()) || OUR_SCHEMAS.contains(&schema.as_str()) {
            continue;
        }
        match table.as_str() {
            HISTORY => history = true,
            "configuration" => configuration = true,
            ours if TABLES.iter().any(|table| table.name == ours) => {}
            _ => other = other.or(Some(format!("table {schema}.{table}"))),
        }
    }
    let found = match (history, configuration) {
        (true, true) => Found::Cluster,
        _ if other.is_some() => Found::Foreign,
        // No other program writes our history: somebody was just about to make the tables.
        (_, false) => Found::Empty,
        (false, true) => Found::Foreign,
    };
    let other = other.or_else(|| Some("table configuration".to_owned()));
    Ok((found, other))
}

/// Refuses a schema from the future, then adds what is missing. A user who may not add anything
/// can open a database to which nothing has to be added.
pub(super) async fn migrate(
    connection: &mut Connection,
    steps: &Migrator,
) -> Result<(), StoreError> {
    let mut attempts = 0;
    loop {
        if within(PATIENCE, is_up_to_date(connection, steps)).await? {
            return Ok(());
        }
        let Err(error) = within(LONG_WORK, make(connection, steps)).await else {
            return Ok(());
        };
        attempts += 1;
        // Somebody else may be doing the same: then it fails once they are done.
        if attempts >= ATTEMPTS
            || !matches!(
                error,
                StoreError::Failed { .. }
                    | StoreError::Contention
                    | StoreError::Busy
                    | StoreError::Corrupt { .. }
            )
        {
            return Err(error);
        }
        sleep(PAUSE * attempts).await;
    }
}

async fn make(connection: &mut Connection, steps: &Migrator) -> Result<(), StoreError> {
    // A step may have much to do.
    sqlx::raw_sql("SET statement_timeout = 0")
        .execute(&mut *connection)
        .await
        .map_err(|error| database(&error))?;
    let made = steps.run_direct(None, connection, false).await;
    made.map_err(|error| migration(&error))
}

/// Whether it holds no row of a cluster and nothing of anybody else. Tables that were just made
/// are blank.
pub(super) async fn is_blank(connection: &mut Connection) -> Result<bool, StoreError> {
    match inspect(connection).await? {
        (Found::Missing | Found::Empty, _) => return Ok(true),
        (Found::Foreign, _) => return Ok(false),
        (Found::Cluster, _) => {}
    }
    for table in TABLES {
        if !exists(connection, table.name).await? {
            continue;
        }
        // Only names of our own are put into it. A configuration of version 0 was never written.
        let select = match table.name {
            "configuration" => "SELECT 1 FROM configuration WHERE version <> 0 LIMIT 1".to_owned(),
            name => format!("SELECT 1 FROM {name} LIMIT 1"),
        };
        let row = sqlx::query(AssertSqlSafe(select))
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| database(&error))?;
        if row.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn exists(connection: &mut Connection, table: &str) -> Result<bool, StoreError> {
    sqlx::query("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| database(&error))
}

async fn is_up_to_date(connection: &mut Connection, steps: &Migrator) -> Result<bool, StoreError> {
    steps::are_made(&history(connection).await?, steps)
}

/// How far the schema of a cluster is that this release may serve.
pub(super) async fn found(connection: &mut Connection) -> Result<Schema, StoreError> {
    Schema::of(&history(connection).await?, &cluster())
}

/// The steps that were made, in their order.
async fn history(connection: &mut Connection) -> Result<Vec<Made>, StoreError> {
    if !exists(connection, HISTORY).await? {
        return Ok(Vec::new());
    }
    // Only the name of the table is put into it, which is ours.
    let select = format!("SELECT version, description, checksum FROM {HISTORY} ORDER BY version");
    let rows = sqlx::query(AssertSqlSafe(select))
        .fetch_all(connection)
        .await
        .map_err(|error| database(&error))?;
    let history = rows.iter().map(|row| {
        Ok(Made {
            step: row.try_get(0)?,
            description: row.try_get(1)?,
            checksum: row.try_get(2)?,
        })
    });
    let history: Result<_, sqlx::Error> = history.collect();
    history.map_err(|error| database(&error))
}

/// The last step of the schema that was made, and its description.
pub(super) async fn newest_step(
    connection: &mut Connection,
) -> Result<Option<(i64, String)>, StoreError> {
    sqlx::query("SELECT version, description FROM openrms_schema ORDER BY version DESC LIMIT 1")
        .fetch_optional(connection)
        .await
        .and_then(|row| {
            row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .transpose()
        })
        .map_err(|error| database(&error))
}

/// How many other connections servers of ours have to this database.
pub(super) async fn others(connection: &mut Connection) -> Result<i64, StoreError> {
    sqlx::query(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = $1 AND pid <> pg_backend_pid()",
    )
    .bind(APPLICATION)
    .fetch_one(connection)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(|error| database(&error))
}

/// The backup whose restore was begun and not completed.
pub(super) async fn unfinished(connection: &mut Connection) -> Result<Option<String>, StoreError> {
    if !exists(connection, HISTORY).await? {
        return Ok(None);
    }
    sqlx::query("SELECT description FROM openrms_schema WHERE version = $1")
        .bind(UNFINISHED)
        .fetch_optional(connection)
        .await
        .and_then(|row| row.map(|row| row.try_get(0)).transpose())
        .map_err(|error| database(&error))
}

pub(super) async fn begin_restoring(
    connection: &mut Connection,
    backup: &str,
) -> Result<(), StoreError> {
    add_step(connection, UNFINISHED, backup).await
}

pub(super) async fn complete_restoring(connection: &mut Connection) -> Result<(), StoreError> {
    remove_step(connection, UNFINISHED).await
}

pub(super) async fn leave(connection: &mut Connection, to: &str) -> Result<(), StoreError> {
    add_step(connection, GONE, to).await
}

pub(super) async fn stay(connection: &mut Connection) -> Result<(), StoreError> {
    remove_step(connection, GONE).await
}

/// Adds a step that no release knows.
async fn add_step(
    connection: &mut Connection,
    step: i64,
    description: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO openrms_schema (version, description, success, checksum, execution_time)
         VALUES ($1, $2, TRUE, $3, 0)",
    )
    .bind(step)
    .bind(description)
    .bind([0_u8].as_slice())
    .execute(connection)
    .await
    .map(|_| ())
    .map_err(|error| database(&error))
}

async fn remove_step(connection: &mut Connection, step: i64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM openrms_schema WHERE version = $1")
        .bind(step)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(|error| database(&error))
}

pub(super) async fn create_database(
    connection: &mut Connection,
    name: &str,
) -> Result<(), StoreError> {
    // A name cannot be a parameter; quoted, it is nothing but a name.
    sqlx::raw_sql("SET statement_timeout = 0")
        .execute(&mut *connection)
        .await
        .map_err(|error| database(&error))?;
    let statement = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
    match sqlx::query(AssertSqlSafe(statement))
        .execute(connection)
        .await
    {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P04") => {
            Err(StoreError::AlreadyExists {
                entity: Entity::Database,
                id: name.to_owned(),
            })
        }
        Err(error) => Err(database(&error)),
    }
}

/// The table that says which steps were made.
const HISTORY: &str = "openrms_schema";
/// Where other databases of ours may be.
const OUR_SCHEMAS: [&str; 2] = [DIRECTORY, LOGGING];
/// Where the directory services database is.
pub(super) const DIRECTORY: &str = "openrms_directory";
/// Where the logging database is.
pub(super) const LOGGING: &str = "openrms_logging";
const SYSTEM_SCHEMAS: [&str; 6] = [
    "pg_catalog",
    "information_schema",
    "pg_extension",
    "crdb_internal",
    // What Citus keeps there is told to superusers.
    "columnar",
    "columnar_internal",
];
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_back_end_has_the_same_schema() {
        let newest = |steps: &Migrator| steps.iter().map(|step| step.version).max();
        assert_eq!(newest(&cluster()), Some(crate::SCHEMA));
        assert_eq!(newest(&crate::sqlite::MIGRATIONS), Some(crate::SCHEMA));
    }
}
