//! The statements that both back ends share, and events as rows.

use std::borrow::Cow;

use uuid::Uuid;

use super::backend::Value;
use super::{Certificate, Day, Digest, LogEvent};
use crate::StoreError;

/// How one database spells what the others spell otherwise.
pub(crate) struct Dialect {
    pub(crate) bytes: &'static str,
    pub(crate) integer: &'static str,
    /// A number that is 0 or 1.
    pub(crate) flag: &'static str,
    /// After the last bracket of a table.
    pub(crate) table_end: &'static str,
}

/// Makes the table of a day, unless it is there. Queries are by request, by account and by
/// content; everything else reads the day.
pub(crate) fn create_day(day: Day, dialect: &Dialect) -> [String; 4] {
    let Dialect {
        bytes,
        integer,
        flag,
        table_end,
    } = dialect;
    let table = day.table();
    let index = |column: &str, only: &str| {
        format!("CREATE INDEX IF NOT EXISTS {table}_{column} ON {table} ({column}){only}")
    };
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
             id {bytes} NOT NULL PRIMARY KEY CHECK (length(id) = 16),
             time {integer} NOT NULL,
             host TEXT NOT NULL CHECK (host <> ''),
             request TEXT NOT NULL CHECK (request <> ''),
             item {integer},
             path TEXT NOT NULL,
             operation TEXT,
             peer TEXT,
             user_agent TEXT,
             authenticated {flag} NOT NULL CHECK (authenticated IN (0, 1)),
             secure {flag} NOT NULL CHECK (secure IN (0, 1)),
             user_name TEXT,
             metadata TEXT,
             outcome TEXT NOT NULL CHECK (outcome <> ''),
             reason TEXT,
             account TEXT,
             content TEXT,
             issued TEXT,
             ground TEXT,
             micros {integer} NOT NULL CHECK (micros >= 0),
             received_xrml {bytes},
             issued_xrml {bytes}
             ){table_end}"
        ),
        index("request", ""),
        index("account", " WHERE account IS NOT NULL"),
        index("content", " WHERE content IS NOT NULL"),
    ]
}

pub(crate) const REGISTER_DAY: &str =
    "INSERT INTO log_day (day) VALUES ($1) ON CONFLICT (day) DO NOTHING";
pub(crate) const FORGET_DAY: &str = "DELETE FROM log_day WHERE day = $1";
pub(crate) const DAYS: &str = "SELECT day FROM log_day ORDER BY day";
/// Some of them: all at once could take longer than anybody waits.
pub(crate) const DROP_CERTIFICATES: &str = "DELETE FROM log_certificate WHERE digest IN \
     (SELECT digest FROM log_certificate WHERE day < $1 LIMIT 1000)";

pub(crate) fn drop_table(day: Day) -> String {
    format!("DROP TABLE IF EXISTS {}", day.table())
}

/// The columns of an event, in the order in which they are bound and read.
pub(crate) const COLUMNS: &str = "id, time, host, request, item, path, operation, peer, \
     user_agent, authenticated, secure, user_name, metadata, outcome, reason, account, content, \
     issued, ground, micros, received_xrml, issued_xrml";
pub(crate) const COLUMN_COUNT: usize = 22;

/// An instant's day as far as there can be a table for it.
pub(crate) fn day_of(event: &LogEvent<'_>) -> Result<Day, String> {
    Day::of_millis(event.time).ok_or_else(|| format!("no day has the instant {}", event.time))
}

/// The events of each day. Fails with what is wrong with one of them.
pub(crate) fn by_day<'e, 'a>(
    events: &'e [LogEvent<'a>],
) -> Result<Vec<(Day, Vec<&'e LogEvent<'a>>)>, String> {
    let mut days: Vec<(Day, Vec<&LogEvent<'_>>)> = Vec::new();
    for event in events {
        let day = day_of(event)?;
        match days.iter_mut().find(|(known, _)| *known == day) {
            Some((_, of_day)) => of_day.push(event),
            None => days.push((day, vec![event])),
        }
    }
    Ok(days)
}

/// Each certificate once, named by the latest of the days.
pub(crate) fn distinct<'c, 'a>(
    certificates: &'c [Certificate<'a>],
) -> Vec<(&'c Certificate<'a>, Day)> {
    let mut sorted: Vec<_> = certificates.iter().map(|one| (one, one.day)).collect();
    // Writers that take rows in one order do not wait for each other in a circle.
    sorted.sort_by(|(a, a_day), (b, b_day)| (a.digest, b_day).cmp(&(b.digest, a_day)));
    sorted.dedup_by_key(|(one, _)| one.digest);
    sorted
}

pub(crate) fn joined(digests: &[Digest]) -> Option<Vec<u8>> {
    (!digests.is_empty()).then(|| digests.concat())
}

pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a row of [`COLUMNS`].
pub(crate) fn event(row: Vec<Value>) -> Result<LogEvent<'static>, StoreError> {
    let mut row = Row(row.into_iter());
    Ok(LogEvent {
        id: Uuid::from_slice(&row.bytes("id")?).map_err(|_| corrupt("id"))?,
        time: row.integer("time")?,
        host: row.text("host")?,
        request: row.text("request")?,
        item: row.optional_integer("item")?,
        path: row.text("path")?,
        operation: row.optional_text("operation")?,
        peer: row.optional_text("peer")?,
        user_agent: row.optional_text("user_agent")?,
        authenticated: row.integer("authenticated")? != 0,
        secure: row.integer("secure")? != 0,
        user: row.optional_text("user_name")?,
        metadata: row.optional_text("metadata")?,
        outcome: row.text("outcome")?,
        reason: row.optional_text("reason")?,
        account: row.optional_text("account")?,
        content: row.optional_text("content")?,
        issued: row.optional_text("issued")?,
        ground: row.optional_text("ground")?,
        micros: u64::try_from(row.integer("micros")?).map_err(|_| corrupt("micros"))?,
        received_xrml: row.digests("received_xrml")?,
        issued_xrml: row.digests("issued_xrml")?,
    })
}

/// Reads a row of digest, kind and text.
pub(crate) fn certificate(row: Vec<Value>) -> Result<(Digest, String, String), StoreError> {
    let mut row = Row(row.into_iter());
    let digest = row.bytes("digest")?;
    let digest = digest.try_into().map_err(|_| corrupt("digest"))?;
    Ok((
        digest,
        row.text("kind")?.into_owned(),
        row.text("text")?.into_owned(),
    ))
}

/// The values of a row, one after another.
pub(crate) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    fn next(&mut self, column: &'static str) -> Result<Value, StoreError> {
        self.0.next().ok_or_else(|| corrupt(column))
    }

    pub(crate) fn integer(&mut self, column: &'static str) -> Result<i64, StoreError> {
        match self.next(column)? {
            Value::Integer(number) => Ok(number),
            _ => Err(corrupt(column)),
        }
    }

    /// A count or a sum.
    pub(crate) fn count(&mut self, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.integer(column)?).map_err(|_| corrupt(column))
    }

    fn optional_integer(&mut self, column: &'static str) -> Result<Option<u32>, StoreError> {
        match self.next(column)? {
            Value::Null => Ok(None),
            Value::Integer(number) => {
                let number = u32::try_from(number).map_err(|_| corrupt(column))?;
                Ok(Some(number))
            }
            _ => Err(corrupt(column)),
        }
    }

    pub(crate) fn text(&mut self, column: &'static str) -> Result<Cow<'static, str>, StoreError> {
        self.optional_text(column)?.ok_or_else(|| corrupt(column))
    }

    pub(crate) fn optional_text(
        &mut self,
        column: &'static str,
    ) -> Result<Option<Cow<'static, str>>, StoreError> {
        match self.next(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.into())),
            _ => Err(corrupt(column)),
        }
    }

    fn bytes(&mut self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        match self.next(column)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(corrupt(column)),
        }
    }

    fn digests(&mut self, column: &'static str) -> Result<Vec<Digest>, StoreError> {
        let bytes = match self.next(column)? {
            Value::Null => return Ok(Vec::new()),
            Value::Bytes(bytes) => bytes,
            _ => return Err(corrupt(column)),
        };
        let (digests, rest) = bytes.as_chunks::<32>();
        if rest.is_empty() {
            Ok(digests.to_vec())
        } else {
            Err(corrupt(column))
        }
    }
}

fn corrupt(column: &'static str) -> StoreError {
    StoreError::Corrupt {
        what: format!("event: {column}"),
    }
}
