//! All rows of all tables, out of the database and into it.

use std::fmt::Write as _;

use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Row as _};

use super::fault::{database, insertion};
use super::{Arguments, Connection, Db, Row, configuration, part};
use crate::transfer::Kind;
use crate::{Entity, RowSink, RowSource, StoreError, TABLES, Table, Value};

/// Hands over every row, to be called in a transaction that sees one instant.
pub(super) async fn export(
    connection: &mut Connection,
    sink: &mut dyn RowSink,
) -> Result<(), StoreError> {
    for table in TABLES {
        let mut last: Option<Vec<Value>> = None;
        loop {
            let rows = part(page(connection, table, last.as_deref())).await?;
            let full = rows.len() == PAGE;
            for row in rows {
                let row = values(table, &row)?;
                sink.row(table, &row)?;
                last = Some(row);
            }
            if !full {
                break;
            }
        }
    }
    Ok(())
}

/// Takes every row, to be called in a transaction. Whatever the tables hold before is refused.
pub(super) async fn import(
    connection: &mut Connection,
    source: &mut dyn RowSource,
) -> Result<(), StoreError> {
    part(make_room(connection)).await?;
    while let Some((table, row)) = source.next()? {
        table.check(&row)?;
        let mut statement = sqlx::query(AssertSqlSafe(insert(table)));
        for (kind, value) in table.kinds.iter().zip(row) {
            statement = bind(statement, *kind, value);
        }
        let inserted = statement.execute(&mut *connection);
        let named = |error| insertion(&error, Entity::Row, table.name);
        part(async { inserted.await.map_err(named) }).await?;
    }
    // Whatever else was missing: without this row it is no database of a cluster.
    part(configuration::version(connection)).await?;
    Ok(())
}

/// Refuses a database that holds anything, and removes the row that an empty one has.
async fn make_room(connection: &mut Connection) -> Result<(), StoreError> {
    let version = configuration::locked_version(connection).await?;
    if version.number() != 0 {
        return Err(StoreError::NotEmpty {
            table: "configuration",
        });
    }
    for table in TABLES.iter().filter(|table| table.name != "configuration") {
        // Nothing of it comes from outside.
        let select = format!(
            "SELECT {} FROM {} LIMIT 1",
            table.columns.join(", "),
            table.name
        );
        let row = sqlx::query(AssertSqlSafe(select))
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| database(&error))?;
        if row.is_some() {
            return Err(StoreError::NotEmpty { table: table.name });
        }
    }
    sqlx::query("DELETE FROM configuration")
        .execute(connection)
        .await
        .map_err(|error| database(&error))?;
    Ok(())
}

/// The rows after one with the given key, or the first ones.
async fn page(
    connection: &mut Connection,
    table: &Table,
    after: Option<&[Value]>,
) -> Result<Vec<Row>, StoreError> {
    let key = table.columns.iter().take(table.key).copied();
    let key = key.collect::<Vec<_>>().join(", ");
    let mut select = format!("SELECT {} FROM {}", table.columns.join(", "), table.name);
    if after.is_some() {
        // Writing to a string cannot fail.
        let _ = write!(select, " WHERE ({key}) > ({})", parameters(table.key));
    }
    let _ = write!(select, " ORDER BY {key} LIMIT {PAGE}");
    let mut statement = sqlx::query(AssertSqlSafe(select));
    for (kind, value) in table
        .kinds
        .iter()
        .zip(after.unwrap_or_default())
        .take(table.key)
    {
        statement = bind(statement, *kind, value.clone());
    }
    statement
        .fetch_all(connection)
        .await
        .map_err(|error| database(&error))
}

fn insert(table: &Table) -> String {
    let columns = table.columns.join(", ");
    let parameters = parameters(table.columns.len());
    format!(
        "INSERT INTO {} ({columns}) VALUES ({parameters})",
        table.name
    )
}

/// `$1, $2, $3`
fn parameters(count: usize) -> String {
    let numbered: Vec<_> = (1..=count).map(|number| format!("${number}")).collect();
    numbered.join(", ")
}

type Statement<'q> = Query<'q, Db, Arguments>;

/// Null has a type as well: that of its column.
fn bind(statement: Statement<'_>, kind: Kind, value: Value) -> Statement<'_> {
    match (kind, value) {
        (_, Value::Integer(number)) => statement.bind(number),
        (_, Value::Text(text)) => statement.bind(text),
        (_, Value::Bytes(bytes)) => statement.bind(bytes),
        (Kind::Integer, Value::Null) => statement.bind(None::<i64>),
        (Kind::Text, Value::Null) => statement.bind(None::<String>),
        (Kind::Bytes, Value::Null) => statement.bind(None::<Vec<u8>>),
    }
}

fn values(table: &Table, row: &Row) -> Result<Vec<Value>, StoreError> {
    table
        .kinds
        .iter()
        .enumerate()
        .map(|(column, kind)| {
            let value = match kind {
                Kind::Integer => row
                    .try_get::<Option<_>, _>(column)
                    .map(|v| v.map(Value::Integer)),
                Kind::Text => row
                    .try_get::<Option<_>, _>(column)
                    .map(|v| v.map(Value::Text)),
                Kind::Bytes => row
                    .try_get::<Option<_>, _>(column)
                    .map(|v| v.map(Value::Bytes)),
            };
            value
                .map(|value| value.unwrap_or(Value::Null))
                .map_err(|error| database(&error))
        })
        .collect()
}

/// How many rows are read at a time.
const PAGE: usize = 200;
