//! Everything a logging database holds as rows of plain values, for a backup and back from it; a
//! bounded part of it is in memory at a time.

use super::statements::{self, CERTIFICATE_COLUMNS, COLUMNS};
use super::{Certificate, LogEvent, LoggingDatabase, LoggingError};
use crate::transfer::{Kind, table};
use crate::{RowSink, RowSource, StoreError, Table, Value};

/// What a row of [`LOG_TABLES`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An event.
    Event(Box<LogEvent<'static>>),
    /// A certificate that events name.
    Certificate(Certificate<'static>),
}

/// How much was brought into a logging database, or was there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Events.
    pub events: u64,
    /// Certificates.
    pub certificates: u64,
}

impl Entry {
    /// Reads a row. One that tells neither is [`StoreError::Corrupt`], with the column.
    pub fn read(table: &Table, row: Vec<Value>) -> Result<Self, StoreError> {
        table.check(&row)?;
        match table.name {
            EVENT => Ok(Self::Event(Box::new(statements::event(row)?))),
            CERTIFICATE => Ok(Self::Certificate(statements::whole_certificate(row)?)),
            _ => Err(StoreError::Invalid {
                field: table.name,
                reason: "the table is not one of the log",
            }),
        }
    }
}

/// Hands over every event, the oldest day first, and then every certificate, so that those which
/// the events name are among them. Of what is stored meanwhile some may be missing.
pub async fn export(
    database: &dyn LoggingDatabase,
    sink: &mut dyn RowSink,
) -> Result<(), StoreError> {
    let [events, certificates] = LOG_TABLES;
    for day in database.days().await? {
        let select = format!("SELECT {COLUMNS} FROM {}", day.table());
        hand_over(database, sink, events, &select, EVENTS_AT_ONCE).await?;
    }
    let select = format!("SELECT {CERTIFICATE_COLUMNS} FROM {CERTIFICATE}");
    hand_over(database, sink, certificates, &select, CERTIFICATES_AT_ONCE).await
}

/// Hands over the rows that a query gives, page by page in the order of their first column.
async fn hand_over(
    database: &dyn LoggingDatabase,
    sink: &mut dyn RowSink,
    table: &'static Table,
    select: &str,
    page: usize,
) -> Result<(), StoreError> {
    let [key, ..] = table.columns else {
        return Ok(());
    };
    // Less than every key.
    let mut last = Value::Bytes(Vec::new());
    loop {
        let sql = format!("{select} WHERE {key} > $1 ORDER BY {key} LIMIT {page}");
        // A day that was dropped meanwhile has no rows.
        let rows = database.select(sql, vec![last.clone()]).await?;
        let rows = rows.unwrap_or_default();
        let is_last = rows.len() < page;
        for row in rows {
            // What could not be read again is not handed over.
            Entry::read(table, row.clone())?;
            sink.row(table, &row)?;
            if let Some(key) = row.into_iter().next() {
                last = key;
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Takes every row of a source. Events and certificates that are stored already are passed over,
/// so that after a failure all of it can be brought in once more. [`LoggingError::Refused`] when a
/// row is none of the log, or is not taken by the database; what came before it is stored then.
pub async fn import(
    database: &dyn LoggingDatabase,
    source: &mut dyn RowSource,
) -> Result<Imported, LoggingError> {
    let mut imported = Imported::default();
    let (mut events, mut certificates, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
    loop {
        let row = source.next()?;
        let is_over = row.is_none();
        match row.map(|(table, row)| Entry::read(table, row)) {
            Some(Ok(Entry::Event(event))) => events.push(*event),
            Some(Ok(Entry::Certificate(certificate))) => {
                bytes = bytes.saturating_add(certificate.text.len());
                certificates.push(certificate);
            }
            Some(Err(error)) => {
                return Err(LoggingError::Refused {
                    reason: error.to_string(),
                });
            }
            None => {}
        }
        if is_over || events.len() >= EVENTS_AT_ONCE || bytes >= BYTES_AT_ONCE {
            database.store(&events, &certificates).await?;
            imported.events += events.len() as u64;
            imported.certificates += certificates.len() as u64;
            (events, certificates, bytes) = (Vec::new(), Vec::new(), 0);
        }
        if is_over {
            return Ok(imported);
        }
    }
}

/// The tables of a log as they are handed over: all days in one, then the certificates.
pub const LOG_TABLES: &[Table; 2] = &[
    table(
        EVENT,
        1,
        &[
            "id",
            "time",
            "host",
            "request",
            "item",
            "path",
            "operation",
            "peer",
            "user_agent",
            "authenticated",
            "secure",
            "user_name",
            "metadata",
            "outcome",
            "reason",
            "account",
            "content",
            "issued",
            "ground",
            "micros",
            "received_xrml",
            "issued_xrml",
        ],
        &[
            Bytes, Integer, Text, Text, Integer, Text, Text, Text, Text, Integer, Integer, Text,
            Text, Text, Text, Text, Text, Text, Text, Integer, Bytes, Bytes,
        ],
    ),
    table(
        CERTIFICATE,
        1,
        &["digest", "kind", "day", "text"],
        &[Bytes, Text, Integer, Text],
    ),
];

use Kind::{Bytes, Integer, Text};

const EVENT: &str = "log_event";
const CERTIFICATE: &str = "log_certificate";
const EVENTS_AT_ONCE: usize = 500;
/// A certificate may have a megabyte.
const CERTIFICATES_AT_ONCE: usize = 16;
const BYTES_AT_ONCE: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_columns_of_the_tables_that_they_are_read_from() {
        let [events, certificates] = LOG_TABLES;
        assert_eq!(events.columns.join(", "), COLUMNS);
        assert_eq!(certificates.columns.join(", "), CERTIFICATE_COLUMNS);
    }
}
