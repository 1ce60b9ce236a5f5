//! Moving a cluster's database to a database server: everything is read once, written, read again
//! where it was written, and compared row by row, before the old one is left.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use openrms_crypto::sha256;
use openrms_store::{
    Change, Found, Location, Moving, RowSink, RowSource, Store, StoreError, TABLES, Table, Value,
};
use serde::Serialize;

use crate::open::{OpenError, blocking};

/// What was moved, or would be.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Moved {
    pub(crate) tables: Vec<MovedTable>,
}

/// What was moved of one table.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MovedTable {
    pub(crate) name: &'static str,
    pub(crate) rows: usize,
    /// SHA-256 over the digests of the rows, in hexadecimal.
    pub(crate) digest: String,
}

/// Why a database is not moved. The old one is as it was, and in use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoveError {
    /// The old database cannot be read, or is not to be moved now.
    #[error("{0}")]
    From(StoreError),
    /// The new database cannot be written.
    #[error("{0}")]
    To(StoreError),
    /// There is something where everything was to go.
    #[error("{to} is not an empty database")]
    NotEmpty {
        /// Where.
        to: Location,
    },
    /// What arrived is not what was sent.
    #[error("table {table} was not written as it was read, from row {row} on")]
    Differs {
        /// The table.
        table: &'static str,
        /// The number of the first row that differs, from 1.
        row: usize,
    },
    /// Somebody has written to the old database meanwhile.
    #[error("somebody changed the database while it was read: stop every server of the cluster")]
    Changed,
    /// The other half failed, and says why.
    #[error("it broke off")]
    BrokenOff,
    /// Nothing can be run.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Checks what can be checked, and counts what would be moved.
pub(crate) fn rehearse(from: &Location, to: &Location) -> Result<Moved, MoveError> {
    blocking(async || {
        is_empty(to).await?;
        let source = Moving::open(from).await.map_err(MoveError::From)?;
        let mut digests = Digests::new();
        let read = source.store().export(&mut digests).await;
        source.store().close().await;
        read.map_err(MoveError::From)?;
        Ok(digests.moved())
    })
}

/// Moves everything, and makes `more` changes at the new place. `progress` is told of every table and
/// how many rows of it were read so far.
pub(crate) fn move_all(
    from: &Location,
    to: &Location,
    more: &[Change],
    progress: &(dyn Fn(&'static str, usize) + Sync),
) -> Result<Moved, MoveError> {
    blocking(async || is_empty(to).await)?;
    let (rows, arriving) = sync_channel(AHEAD);
    let (verdict, written) = sync_channel(1);
    thread::scope(|scope| {
        // Each half waits for the other, and has a thread of its own to do so.
        let reading =
            scope.spawn(|| blocking(async || read_side(from, to, rows, written, progress).await));
        let writing = blocking(async || write_side(to, more, arriving, verdict).await);
        let read = match reading.join() {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        match (read, writing) {
            (Err(MoveError::BrokenOff) | Ok(_), Err(error)) | (Err(error), _) => Err(error),
            (Ok(moved), Ok(())) => Ok(moved),
        }
    })
}

async fn is_empty(to: &Location) -> Result<(), MoveError> {
    match to.inspect().await.map_err(MoveError::To)? {
        Found::Empty | Found::Missing => Ok(()),
        Found::Cluster | Found::Foreign => Err(MoveError::NotEmpty { to: to.clone() }),
    }
}

/// Opens the new database; one that is missing is made, where its user may.
async fn make(to: &Location) -> Result<Arc<dyn Store>, StoreError> {
    if to.inspect().await? == Found::Missing {
        to.create_database().await?;
    }
    to.open_or_create().await
}

/// Reads everything, waits for what was written, and leaves the database when it is the same.
async fn read_side(
    from: &Location,
    to: &Location,
    rows: SyncSender<Sent>,
    written: Receiver<Digests>,
    progress: &(dyn Fn(&'static str, usize) + Sync),
) -> Result<Moved, MoveError> {
    let source = Moving::open(from).await.map_err(MoveError::From)?;
    let left = leave_when_same(&source, to, rows, written, progress).await;
    source.store().close().await;
    left
}

async fn leave_when_same(
    source: &Moving,
    to: &Location,
    rows: SyncSender<Sent>,
    written: Receiver<Digests>,
    progress: &(dyn Fn(&'static str, usize) + Sync),
) -> Result<Moved, MoveError> {
    let mut sender = Sender {
        digests: Digests::new(),
        rows,
        progress,
        broken: false,
    };
    let read = source.store().export(&mut sender).await;
    if sender.broken {
        return Err(MoveError::BrokenOff);
    }
    read.map_err(MoveError::From)?;
    let Sender { digests, rows, .. } = sender;
    rows.send(None).map_err(|_| MoveError::BrokenOff)?;
    let written = written.recv().map_err(|_| MoveError::BrokenOff)?;
    digests.compare(&written)?;
    match leave(source, to, &digests).await {
        Ok(true) => Ok(digests.moved()),
        doubtful => {
            // Who was told that it failed goes on here. What stopped it may stop this as well, and
            // is what is told.
            let stayed = source.stay().await;
            doubtful.and(stayed).map_err(MoveError::From)?;
            Err(MoveError::Changed)
        }
    }
}

/// Leaves a database; whether it still holds what was read.
async fn leave(source: &Moving, to: &Location, read: &Digests) -> Result<bool, StoreError> {
    source.leave(to).await?;
    // From here on nobody can open it. Whoever came before, and was not seen, has written or not.
    let mut again = Digests::new();
    if !source.is_alone().await? {
        return Ok(false);
    }
    source.store().export(&mut again).await?;
    Ok(again == *read)
}

/// Writes everything that arrives, and reads again what was written.
async fn write_side(
    to: &Location,
    more: &[Change],
    arriving: Receiver<Sent>,
    verdict: SyncSender<Digests>,
) -> Result<(), MoveError> {
    // Before the first row has come, the old database may still be refused.
    let first = arriving.recv().map_err(|_| MoveError::BrokenOff)?;
    let store = make(to).await.map_err(MoveError::To)?;
    let mut arrived = Arrived {
        first: Some(first),
        rest: arriving,
        broken: false,
    };
    let mut digests = Digests::new();
    let mut done = store.import(&mut arrived).await;
    if done.is_ok() {
        done = store.export(&mut digests).await;
    }
    if done.is_ok() {
        done = store.apply(more, None).await.map(|_| ());
    }
    store.close().await;
    if arrived.broken {
        return Err(MoveError::BrokenOff);
    }
    done.map_err(MoveError::To)?;
    verdict.send(digests).map_err(|_| MoveError::BrokenOff)
}

/// A row on its way; none after the last one.
type Sent = Option<(&'static Table, Vec<Value>)>;

struct Sender<'p> {
    digests: Digests,
    rows: SyncSender<Sent>,
    progress: &'p (dyn Fn(&'static str, usize) + Sync),
    /// Nobody takes rows any more.
    broken: bool,
}

impl RowSink for Sender<'_> {
    fn row(&mut self, table: &'static Table, row: &[Value]) -> Result<(), StoreError> {
        let count = self.digests.add(table, row);
        if count == 1 || count.is_multiple_of(REPORTED) {
            (self.progress)(table.name, count);
        }
        self.rows
            .send(Some((table, row.to_vec())))
            .map_err(|_| self.break_off())
    }
}

impl Sender<'_> {
    fn break_off(&mut self) -> StoreError {
        self.broken = true;
        broken_off()
    }
}

struct Arrived {
    first: Option<Sent>,
    rest: Receiver<Sent>,
    /// No more rows come, though there were to be some.
    broken: bool,
}

impl RowSource for Arrived {
    fn next(&mut self) -> Result<Sent, StoreError> {
        match self.first.take() {
            Some(first) => Ok(first),
            None => self.rest.recv().map_err(|_| {
                self.broken = true;
                broken_off()
            }),
        }
    }
}

fn broken_off() -> StoreError {
    StoreError::Failed {
        reason: "it broke off".to_owned(),
    }
}

/// The digest of every row, by table.
#[derive(PartialEq, Eq)]
struct Digests(Vec<(&'static str, Vec<[u8; 32]>)>);

impl Digests {
    fn new() -> Self {
        Self(
            TABLES
                .iter()
                .map(|table| (table.name, Vec::new()))
                .collect(),
        )
    }

    /// Adds a row and returns how many of its table there are.
    fn add(&mut self, table: &Table, row: &[Value]) -> usize {
        let of_table = self.0.iter_mut().find(|(name, _)| *name == table.name);
        of_table.map_or(0, |(_, rows)| {
            rows.push(digest(row));
            rows.len()
        })
    }

    fn compare(&self, other: &Self) -> Result<(), MoveError> {
        for ((table, ours), (_, theirs)) in self.0.iter().zip(&other.0) {
            let same = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
            if same != ours.len() || same != theirs.len() {
                return Err(MoveError::Differs {
                    table,
                    row: same + 1,
                });
            }
        }
        Ok(())
    }

    fn moved(&self) -> Moved {
        let table = |(name, rows): &(&'static str, Vec<[u8; 32]>)| MovedTable {
            name,
            rows: rows.len(),
            digest: hex(&sha256(rows.as_flattened())),
        };
        Moved {
            tables: self.0.iter().map(table).collect(),
        }
    }
}

impl RowSink for Digests {
    fn row(&mut self, table: &'static Table, row: &[Value]) -> Result<(), StoreError> {
        self.add(table, row);
        Ok(())
    }
}

/// Each value with its kind and its length, so that no two rows are written alike.
fn digest(row: &[Value]) -> [u8; 32] {
    let mut written = Vec::new();
    let mut value = |kind: u8, bytes: &[u8]| {
        written.push(kind);
        written.extend((bytes.len() as u64).to_be_bytes());
        written.extend(bytes);
    };
    for column in row {
        match column {
            Value::Null => value(0, &[]),
            Value::Integer(number) => value(1, &number.to_be_bytes()),
            Value::Text(text) => value(2, text.as_bytes()),
            Value::Bytes(bytes) => value(3, bytes),
        }
    }
    sha256(&written)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How many rows are read before the first of them is written.
const AHEAD: usize = 1000;
/// After how many rows of a table somebody who waits is told.
const REPORTED: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(rows: &[(&str, &[Value])]) -> Digests {
        let mut digests = Digests::new();
        for (table, row) in rows {
            digests.add(Table::named(table).unwrap(), row);
        }
        digests
    }

    #[test]
    fn a_row_that_is_missing_other_or_too_many_is_named() {
        let row = |text: &str| [Value::Text(text.to_owned()), Value::Null];
        let (one, two, other) = (row("a"), row("b"), row("c"));
        let sent = [("policy", &one[..]), ("setting", &one), ("setting", &two)];
        assert!(digests(&sent).compare(&digests(&sent)).is_ok());
        for (arrived, named) in [
            (vec![sent[0], sent[1]], ("setting", 2)),
            (vec![sent[0], ("setting", &other), sent[2]], ("setting", 1)),
            (vec![sent[1], sent[2]], ("policy", 1)),
            (vec![sent[0], sent[0], sent[1], sent[2]], ("policy", 2)),
        ] {
            match digests(&sent).compare(&digests(&arrived)) {
                Err(MoveError::Differs { table, row }) => assert_eq!((table, row), named),
                _ => panic!("{named:?} was not noticed"),
            }
        }
    }

    #[test]
    fn values_that_look_alike_have_digests_of_their_own() {
        let text = |text: &str| Value::Text(text.to_owned());
        let rows = [
            vec![text("ab"), text("")],
            vec![text("a"), text("b")],
            vec![text(""), text("ab")],
            vec![Value::Bytes(b"ab".to_vec()), text("")],
            vec![text("ab"), Value::Null],
            vec![text("ab")],
        ];
        let all: std::collections::HashSet<_> = rows.iter().map(|row| digest(row)).collect();
        assert_eq!(all.len(), rows.len());
    }
}
