//! The body of an archive: what a cluster is, as records one after the other.
//!
//! ```text
//! record   kind, 1 byte || length, 4 bytes LE || content
//! order    manifest, the master key where it is in it, files, the tables of the cluster's
//!          database and those of the log, end; nothing twice
//! ```

mod reader;
mod row;
#[cfg(test)]
mod tests;
mod writer;

use openrms_store::{Table, Value};
use zeroize::Zeroizing;

pub use super::manifest::{FileName, Keeping, Manifest};
pub use reader::Reader;
pub(crate) use writer::Writer;

/// One record.
#[derive(PartialEq, Eq)]
pub enum Record {
    /// What follows.
    Manifest(Manifest),
    /// The key that all others are encrypted under.
    MasterKey(Zeroizing<[u8; 32]>),
    /// A file begins.
    File(FileName),
    /// The next piece of the file.
    Piece(Zeroizing<Vec<u8>>),
    /// A table begins.
    Table(&'static Table),
    /// The next row of the table.
    Row(Vec<Value>),
}

/// What is wrong with records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A kind of record this release does not know.
    #[error("a record of unknown kind {0}")]
    Kind(u8),
    /// It is longer than any such record.
    #[error("a {name} of {length} bytes")]
    TooLong {
        /// What it is.
        name: &'static str,
        /// What it says of itself.
        length: u32,
    },
    /// It does not hold what it should.
    #[error("the {0} is malformed")]
    Malformed(&'static str),
    /// It is not at its place.
    #[error("the {0} stands where it cannot")]
    Misplaced(&'static str),
    /// A table that this release's database does not have in this form.
    #[error("the table {0} is not one of this release: restore with the release that made it")]
    OtherTable(String),
    /// What should be an event or a certificate of the log is neither.
    #[error("the log in it has a row that is none: {0}")]
    Log(String),
    /// There are fewer or more than were written.
    #[error("{found} records of {expected}")]
    Count {
        /// What the end says.
        expected: u64,
        /// How many there were.
        found: u64,
    },
    /// It ends without an end.
    #[error("the end is missing")]
    NoEnd,
    /// Something follows the end.
    #[error("something follows the end")]
    Trailing,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Manifest(manifest) => manifest.fmt(f),
            Self::MasterKey(_) => f.write_str("MasterKey"),
            Self::File(name) => name.fmt(f),
            Self::Piece(bytes) => write!(f, "Piece({} bytes)", bytes.len()),
            Self::Table(table) => write!(f, "Table({})", table.name),
            // Among the values are keys, sealed, and who has them.
            Self::Row(row) => write!(f, "Row({} values)", row.len()),
        }
    }
}

fn name_of(kind: u8) -> Result<&'static str, RecordError> {
    Ok(match kind {
        MANIFEST => "manifest",
        MASTER_KEY => "master key",
        FILE => "file",
        FILE_PIECE => "piece of a file",
        TABLE => "table",
        ROW => "row",
        END => "end",
        _ => return Err(RecordError::Kind(kind)),
    })
}

/// The longest record of a kind: far more than any has.
fn longest(kind: u8) -> u32 {
    if kind == ROW { 64 << 20 } else { PIECE }
}

const MANIFEST: u8 = 1;
const MASTER_KEY: u8 = 2;
const FILE: u8 = 3;
const FILE_PIECE: u8 = 4;
const TABLE: u8 = 5;
const ROW: u8 = 6;
const END: u8 = 7;

/// Bytes of a file in one record.
const PIECE: u32 = 64 << 10;
