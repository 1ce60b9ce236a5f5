//! Reading the body of an archive. It was opened under its password; who has that may have written
//! anything into it, and is not trusted for that.

use std::io::{self, Read};

use openrms_store::logging::LOG_TABLES;
use openrms_store::{TABLES, Table};
use zeroize::Zeroizing;

use super::{
    END, FILE, FILE_PIECE, MANIFEST, MASTER_KEY, ROW, Record, RecordError, TABLE, longest, name_of,
    row,
};
use crate::backup::archive::ArchiveError;
use crate::backup::manifest::FileName;

/// Reads records, in bounded memory: of one record at a time.
pub struct Reader<R> {
    input: R,
    at: Place,
    files: Vec<FileName>,
    count: u64,
}

/// What was read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Nothing,
    Manifest,
    MasterKey,
    File,
    /// With as many columns as the release had that wrote it.
    Table(&'static Table, usize),
    End,
}

impl<R: Read> Reader<R> {
    /// Reads records to their end.
    pub fn new(input: R) -> Self {
        Self {
            input,
            at: Place::Nothing,
            files: Vec::new(),
            count: 0,
        }
    }

    /// The next record; none after the end, when everything was there and nothing follows.
    pub fn read(&mut self) -> Result<Option<Record>, ArchiveError> {
        if self.at == Place::End {
            return Ok(None);
        }
        let (kind, content) = self.next()?;
        if kind == END {
            self.end(&content)?;
            return Ok(None);
        }
        self.count = self.count.saturating_add(1);
        Ok(Some(self.record(kind, content)?))
    }

    fn next(&mut self) -> Result<(u8, Zeroizing<Vec<u8>>), ArchiveError> {
        let mut head = [0; 5];
        read_exact(&mut self.input, &mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        let name = name_of(kind)?;
        if length > longest(kind) {
            return Err(RecordError::TooLong { name, length }.into());
        }
        // What is short is read to one place: what grows leaves copies behind, and these may be
        // secrets. What is long is not believed before it has come.
        let room = usize::try_from(length.min(longest(MASTER_KEY))).unwrap_or_default();
        let mut content = Zeroizing::new(Vec::with_capacity(room));
        (&mut self.input)
            .take(length.into())
            .read_to_end(&mut content)?;
        if content.len() as u64 != u64::from(length) {
            return Err(RecordError::NoEnd.into());
        }
        Ok((kind, content))
    }

    fn record(&mut self, kind: u8, content: Zeroizing<Vec<u8>>) -> Result<Record, RecordError> {
        let name = name_of(kind)?;
        let malformed = RecordError::Malformed(name);
        let (record, at) = match (kind, self.at) {
            (MANIFEST, Place::Nothing) => {
                let manifest = serde_json::from_slice(&content).map_err(|_| malformed)?;
                (Record::Manifest(manifest), Place::Manifest)
            }
            (MASTER_KEY, Place::Manifest) => {
                let key = content.as_slice().try_into().map_err(|_| malformed)?;
                (Record::MasterKey(Zeroizing::new(key)), Place::MasterKey)
            }
            (FILE, Place::Manifest | Place::MasterKey | Place::File) => {
                let is_it = |name: &FileName| name.as_str().as_bytes() == content.as_slice();
                let file = FileName::ALL.into_iter().find(is_it).ok_or(malformed)?;
                if self.files.contains(&file) {
                    return Err(RecordError::Misplaced(name));
                }
                self.files.push(file);
                (Record::File(file), Place::File)
            }
            (FILE_PIECE, Place::File) => (Record::Piece(content), Place::File),
            (TABLE, Place::Manifest | Place::MasterKey | Place::File | Place::Table(..)) => {
                let (table, width) = table(&content)?;
                let before = match self.at {
                    Place::Table(before, _) => Some(number(before)),
                    _ => None,
                };
                if before >= Some(number(table)) {
                    return Err(RecordError::Misplaced(name));
                }
                (Record::Table(table), Place::Table(table, width))
            }
            (ROW, Place::Table(table, width)) => {
                let row = row::read(&content, table, width).ok_or(malformed)?;
                (Record::Row(row), self.at)
            }
            _ => return Err(RecordError::Misplaced(name)),
        };
        self.at = at;
        Ok(record)
    }

    fn end(&mut self, content: &[u8]) -> Result<(), ArchiveError> {
        if self.at == Place::Nothing {
            return Err(RecordError::Misplaced("end").into());
        }
        let expected = content.try_into().map(u64::from_le_bytes);
        let expected = expected.map_err(|_| RecordError::Malformed("end"))?;
        let found = self.count;
        if expected != found {
            return Err(RecordError::Count { expected, found }.into());
        }
        if self.input.read(&mut [0])? > 0 {
            return Err(RecordError::Trailing.into());
        }
        self.at = Place::End;
        Ok(())
    }
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

/// A table by its name and columns, which must be those of this release or of one before it; and how
/// many they are.
fn table(content: &[u8]) -> Result<(&'static Table, usize), RecordError> {
    let text = std::str::from_utf8(content).map_err(|_| RecordError::Malformed("table"))?;
    let mut names = text.split('\n');
    let name = names.next().unwrap_or_default();
    Table::named(name)
        .and_then(|table| Some((table, table.width(names)?)))
        .ok_or_else(|| RecordError::OtherTable(name.chars().take(80).collect()))
}

/// Its place among all tables: rows come after those that they refer to.
fn number(table: &Table) -> usize {
    let mut all = TABLES.iter().chain(LOG_TABLES);
    all.position(|known| known == table).unwrap_or(usize::MAX)
}

fn read_exact(input: &mut impl Read, to: &mut [u8]) -> Result<(), ArchiveError> {
    input.read_exact(to).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => RecordError::NoEnd.into(),
        _ => error.into(),
    })
}
