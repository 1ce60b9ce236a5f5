//! Rows of the logging database, which are the same for every back end: see the module beside it.

use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Row as _, TypeInfo as _, ValueRef as _};

use super::fault::database;
use super::{Arguments, Db, Row};
use crate::StoreError;
use crate::logging::backend::Value;
use crate::logging::{Day, LoggingError};

/// A query of the reports, with its values.
pub(super) fn question(sql: String, values: Vec<Value>) -> Query<'static, Db, Arguments> {
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    values.into_iter().fold(query, |query, value| match value {
        Value::Null => query.bind(None::<i64>),
        Value::Integer(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
    })
}

/// What a query of the reports found.
pub(super) fn answer(rows: &[Row]) -> Result<Vec<Vec<Value>>, StoreError> {
    let value = |row: &Row, index| -> Result<Value, sqlx::Error> {
        let raw = row.try_get_raw(index)?;
        let kind = raw.type_info();
        Ok(match kind.name() {
            _ if raw.is_null() => Value::Null,
            "INT8" | "INTEGER" => Value::Integer(row.try_get(index)?),
            "INT4" => Value::Integer(row.try_get::<i32, _>(index)?.into()),
            "INT2" => Value::Integer(row.try_get::<i16, _>(index)?.into()),
            "BYTEA" | "BLOB" => Value::Bytes(row.try_get(index)?),
            _ => Value::Text(row.try_get(index)?),
        })
    };
    let values = |row: &Row| (0..row.len()).map(|index| value(row, index)).collect();
    let all: Result<_, _> = rows.iter().map(values).collect();
    all.map_err(|error| database(&error))
}

/// The days of which there are tables.
pub(super) fn days(rows: &[Row]) -> Result<Vec<Day>, StoreError> {
    let day = |row: &Row| row.try_get(0).map_err(|error| database(&error));
    let numbers: Result<Vec<i64>, _> = rows.iter().map(day).collect();
    Ok(numbers?.into_iter().filter_map(Day::of_number).collect())
}

pub(super) fn refused(reason: String) -> LoggingError {
    LoggingError::Refused { reason }
}
