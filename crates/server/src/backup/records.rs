//! The body of an archive: what a cluster is, as records one after the other.
//!
//! ```text
//! record   kind, 1 byte || length, 4 bytes LE || content
//! order    manifest, then the master key where it is in it, files and tables, end
//! ```

use std::io::{self, Read, Write};

use openrms_store::{Table, Value};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::archive::ArchiveError;

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The release that made it.
    pub release: String,
    /// When, in seconds since 1970.
    pub created: i64,
    /// The cluster's name.
    pub name: String,
    /// Its base URL.
    pub url: String,
    /// How its keys are kept.
    pub keys: Keeping,
}

/// How the keys of a cluster are kept, and whether the backup has what opens them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keeping {
    /// By a key file; the backup has the key.
    KeyFile,
    /// By a password; the backup has the key as well, and opens without that password.
    Password,
    /// The backup has no key, on request: the key file or password is kept elsewhere.
    Elsewhere,
    /// In a security module, which the keys never leave.
    SecurityModule,
}

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
    Piece(Vec<u8>),
    /// A table begins.
    Table(&'static Table),
    /// The next row of the table.
    Row(Vec<Value>),
}

/// The files in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileName {
    /// The configuration of the server that the backup was made on.
    Configuration,
    /// The people list.
    People,
    /// The audit file.
    Audit,
}

/// What is wrong with records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A kind of record this release does not know.
    #[error("a record of unknown kind {0}")]
    Kind(u8),
    /// It is longer than any such record.
    #[error("a record of {0} bytes")]
    TooLong(u32),
    /// It does not hold what it should.
    #[error("the {0} is malformed")]
    Malformed(&'static str),
    /// It is not at its place.
    #[error("the {0} stands where it cannot")]
    Misplaced(&'static str),
    /// A table that this release's database does not have in this form.
    #[error("the table {0} is not one of this release: restore with the release that made it")]
    OtherTable(String),
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

/// Writes records.
pub(crate) struct Writer<W> {
    out: W,
    table: Option<&'static Table>,
    count: u64,
}

/// Reads records, in bounded memory: of one record at a time.
pub struct Reader<R> {
    input: R,
    at: Place,
    count: u64,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Top,
    InFile,
    InTable(&'static Table),
    Ended,
}

impl FileName {
    const ALL: [Self; 3] = [Self::Configuration, Self::People, Self::Audit];

    /// Its name in the archive, and in the data directory it is restored to.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "rmsd.toml",
            Self::People => "people.toml",
            Self::Audit => "audit.jsonl",
        }
    }
}

impl<W: Write> Writer<W> {
    /// Begins with what the backup is of.
    pub(crate) fn new(out: W, manifest: &Manifest) -> io::Result<Self> {
        let mut writer = Self {
            out,
            table: None,
            count: 0,
        };
        writer.put(MANIFEST, &serde_json::to_vec(manifest)?)?;
        Ok(writer)
    }

    pub(crate) fn master_key(&mut self, key: &[u8; 32]) -> io::Result<()> {
        self.put(MASTER_KEY, key)
    }

    /// Writes a file of any length.
    pub(crate) fn file(&mut self, name: FileName, mut content: impl Read) -> io::Result<()> {
        self.table = None;
        self.put(FILE, name.as_str().as_bytes())?;
        let mut piece = Zeroizing::new(Vec::with_capacity(PIECE));
        loop {
            piece.clear();
            (&mut content).take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                return Ok(());
            }
            self.put(FILE_PIECE, &piece)?;
        }
    }

    pub(crate) fn row(&mut self, table: &'static Table, row: &[Value]) -> io::Result<()> {
        if self.table != Some(table) {
            let names = std::iter::once(table.name).chain(table.columns.iter().copied());
            self.put(TABLE, names.collect::<Vec<_>>().join("\n").as_bytes())?;
            self.table = Some(table);
        }
        let mut content = Zeroizing::new(Vec::new());
        for value in row {
            match value {
                Value::Null => content.push(NULL),
                Value::Integer(number) => {
                    content.push(INTEGER);
                    content.extend_from_slice(&number.to_le_bytes());
                }
                Value::Text(text) => put_bytes(&mut content, TEXT, text.as_bytes())?,
                Value::Bytes(bytes) => put_bytes(&mut content, BYTES, bytes)?,
            }
        }
        self.put(ROW, &content)
    }

    /// Writes the end and gives the writer back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let count = self.count;
        self.put(END, &count.to_le_bytes())?;
        Ok(self.out)
    }

    fn put(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let length = length_of(content)?;
        self.out.write_all(&[kind])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(content)?;
        self.count += 1;
        Ok(())
    }
}

impl<R: Read> Reader<R> {
    /// Reads records to their end.
    pub fn new(input: R) -> Self {
        Self {
            input,
            at: Place::Start,
            count: 0,
        }
    }

    /// The next record; none after the end, when everything was there and nothing follows.
    pub fn read(&mut self) -> Result<Option<Record>, ArchiveError> {
        if self.at == Place::Ended {
            return Ok(None);
        }
        let mut head = [0; 5];
        read_exact(&mut self.input, &mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        if length > LONGEST {
            return Err(RecordError::TooLong(length).into());
        }
        let mut content = Zeroizing::new(Vec::new());
        (&mut self.input)
            .take(length.into())
            .read_to_end(&mut content)?;
        if content.len() as u64 != u64::from(length) {
            return Err(RecordError::NoEnd.into());
        }
        if kind == END {
            self.end(&content)?;
            return Ok(None);
        }
        self.count += 1;
        Ok(Some(self.record(kind, &content)?))
    }

    fn record(&mut self, kind: u8, content: &[u8]) -> Result<Record, RecordError> {
        if (self.at == Place::Start) != (kind == MANIFEST) {
            return Err(RecordError::Misplaced(name_of(kind)?));
        }
        let record = match (kind, self.at) {
            (MANIFEST, _) => {
                let manifest = serde_json::from_slice(content);
                Record::Manifest(manifest.map_err(|_| malformed(kind))?)
            }
            (MASTER_KEY, Place::Top) => {
                let key = content.try_into().map_err(|_| malformed(kind))?;
                Record::MasterKey(Zeroizing::new(key))
            }
            (FILE, _) => {
                let name = FileName::ALL
                    .into_iter()
                    .find(|name| name.as_str().as_bytes() == content);
                Record::File(name.ok_or_else(|| malformed(kind))?)
            }
            (FILE_PIECE, Place::InFile) => Record::Piece(content.to_vec()),
            (TABLE, _) => Record::Table(table(content)?),
            (ROW, Place::InTable(table)) => {
                let row = values(content).filter(|row| row.len() == table.columns.len());
                Record::Row(row.ok_or_else(|| malformed(kind))?)
            }
            _ => return Err(RecordError::Misplaced(name_of(kind)?)),
        };
        self.at = match &record {
            Record::Manifest(_) | Record::MasterKey(_) => Place::Top,
            Record::File(_) | Record::Piece(_) => Place::InFile,
            Record::Table(table) => Place::InTable(table),
            Record::Row(_) => self.at,
        };
        Ok(record)
    }

    fn end(&mut self, content: &[u8]) -> Result<(), ArchiveError> {
        if self.at == Place::Start {
            return Err(RecordError::Misplaced("end").into());
        }
        let expected = content.try_into().map(u64::from_le_bytes);
        let expected = expected.map_err(|_| malformed(END))?;
        let found = self.count;
        if expected != found {
            return Err(RecordError::Count { expected, found }.into());
        }
        if self.input.read(&mut [0])? > 0 {
            return Err(RecordError::Trailing.into());
        }
        self.at = Place::Ended;
        Ok(())
    }
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

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

/// A table by its name and columns, which must be those of this release.
fn table(content: &[u8]) -> Result<&'static Table, RecordError> {
    let text = std::str::from_utf8(content).map_err(|_| malformed(TABLE))?;
    let mut names = text.split('\n');
    let name = names.next().unwrap_or_default();
    Table::named(name)
        .filter(|table| names.eq(table.columns.iter().copied()))
        .ok_or_else(|| RecordError::OtherTable(name.chars().take(80).collect()))
}

fn values(mut content: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while let Some((&kind, rest)) = content.split_first() {
        let (value, rest) = match kind {
            NULL => (Value::Null, rest),
            INTEGER => {
                let (number, rest) = rest.split_first_chunk()?;
                (Value::Integer(i64::from_le_bytes(*number)), rest)
            }
            TEXT => {
                let (bytes, rest) = take_bytes(rest)?;
                let text = std::str::from_utf8(bytes).ok()?;
                (Value::Text(text.to_owned()), rest)
            }
            BYTES => {
                let (bytes, rest) = take_bytes(rest)?;
                (Value::Bytes(bytes.to_vec()), rest)
            }
            _ => return None,
        };
        values.push(value);
        content = rest;
    }
    Some(values)
}

fn take_bytes(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = content.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

fn put_bytes(content: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> io::Result<()> {
    content.push(kind);
    content.extend_from_slice(&length_of(bytes)?.to_le_bytes());
    content.extend_from_slice(bytes);
    Ok(())
}

/// What could not be read again is not written.
fn length_of(content: &[u8]) -> io::Result<u32> {
    u32::try_from(content.len())
        .ok()
        .filter(|&length| length <= LONGEST)
        .ok_or_else(|| io::Error::other("a value is too long for a backup"))
}

fn read_exact(input: &mut impl Read, to: &mut [u8]) -> Result<(), ArchiveError> {
    input.read_exact(to).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => RecordError::NoEnd.into(),
        _ => error.into(),
    })
}

fn malformed(kind: u8) -> RecordError {
    match name_of(kind) {
        Ok(name) => RecordError::Malformed(name),
        Err(error) => error,
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

const MANIFEST: u8 = 1;
const MASTER_KEY: u8 = 2;
const FILE: u8 = 3;
const FILE_PIECE: u8 = 4;
const TABLE: u8 = 5;
const ROW: u8 = 6;
const END: u8 = 7;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;

/// The longest record: far more than any row has.
const LONGEST: u32 = 64 << 20;
const PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use openrms_store::TABLES;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        Manifest {
            release: "0.1.0".to_owned(),
            created: 1_800_000_000,
            name: "Test".to_owned(),
            url: "https://rms.example/_wmcs".to_owned(),
            keys: Keeping::KeyFile,
        }
    }

    fn read(body: &[u8]) -> Result<Vec<Record>, RecordError> {
        let mut reader = Reader::new(body);
        let mut records = Vec::new();
        loop {
            match reader.read() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => return Ok(records),
                Err(ArchiveError::Record(error)) => return Err(error),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A body of all kinds of records.
    fn body() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), &manifest()).unwrap();
        writer.master_key(&[3; 32]).unwrap();
        writer.file(FileName::People, b"people".as_slice()).unwrap();
        let setting = Table::named("setting").unwrap();
        for name in ["a", "b"] {
            let row = [Value::Text(name.to_owned()), Value::Text("c".to_owned())];
            writer.row(setting, &row).unwrap();
        }
        writer
            .file(FileName::Audit, vec![7; PIECE + 1].as_slice())
            .unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn records_come_back_in_their_order() {
        let records = read(&body()).unwrap();
        let setting = Table::named("setting").unwrap();
        let row = |name: &str| {
            Record::Row(vec![
                Value::Text(name.to_owned()),
                Value::Text("c".to_owned()),
            ])
        };
        let expected = [
            Record::Manifest(manifest()),
            Record::MasterKey(Zeroizing::new([3; 32])),
            Record::File(FileName::People),
            Record::Piece(b"people".to_vec()),
            Record::Table(setting),
            row("a"),
            row("b"),
            Record::File(FileName::Audit),
            Record::Piece(vec![7; PIECE]),
            Record::Piece(vec![7]),
        ];
        assert!(records == expected);
        let shown = format!("{records:?}");
        assert!(!shown.contains("[3"), "{shown}");
    }

    #[test]
    fn a_body_that_ends_anywhere_else_is_refused() {
        let whole = body();
        for length in (0..400).chain((400..whole.len()).step_by(211)) {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        let mut longer = whole;
        longer.push(0);
        assert_eq!(read(&longer), Err(RecordError::Trailing));
    }

    #[test]
    fn what_is_not_of_this_release_is_named() {
        let record = |kind: u8, content: &[u8]| {
            let mut bytes = vec![kind];
            bytes.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(content);
            bytes
        };
        let first = record(MANIFEST, &serde_json::to_vec(&manifest()).unwrap());
        let after = |more: Vec<u8>| read(&[first.clone(), more].concat()).unwrap_err();
        let table = |text: &str| after(record(TABLE, text.as_bytes()));
        let other = |name: &str| RecordError::OtherTable(name.to_owned());
        assert_eq!(table("shoes\nsize"), other("shoes"));
        assert_eq!(table("setting\nname"), other("setting"));
        assert_eq!(table("setting\nname\nvalue\nmore"), other("setting"));
        assert_eq!(after(record(99, b"")), RecordError::Kind(99));
        assert_eq!(
            after(record(FILE, b"../../etc/passwd")),
            RecordError::Malformed("file")
        );
        assert_eq!(after(record(ROW, b"")), RecordError::Misplaced("row"));
        assert_eq!(
            after(record(FILE_PIECE, b"")),
            RecordError::Misplaced("piece of a file")
        );
        assert_eq!(
            after(record(MASTER_KEY, &[1; 31])),
            RecordError::Malformed("master key")
        );
        assert_eq!(after(first.clone()), RecordError::Misplaced("manifest"));
        assert_eq!(
            after(record(END, &7_u64.to_le_bytes())),
            RecordError::Count {
                expected: 7,
                found: 1
            }
        );
        let mut long = vec![ROW];
        long.extend_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(after(long), RecordError::TooLong(u32::MAX));
        let opened = [record(TABLE, b"setting\nname\nvalue"), record(ROW, &[0])];
        assert_eq!(after(opened.concat()), RecordError::Malformed("row"));
        assert_eq!(
            read(&record(TABLE, b"setting")),
            Err(RecordError::Misplaced("table"))
        );
    }

    #[test]
    fn every_hostile_body_gives_the_error_in_its_name() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut seen = 0;
        for entry in std::fs::read_dir(root.join("tests/testdata/backup")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let Some((wanted, _)) = name.split_once("--") else {
                continue;
            };
            let error = read(&std::fs::read(&path).unwrap()).expect_err(name);
            let found = match &error {
                RecordError::Kind(_) => "kind",
                RecordError::TooLong(_) => "too-long",
                RecordError::Malformed(_) => "malformed",
                RecordError::Misplaced(_) => "misplaced",
                RecordError::OtherTable(_) => "other-table",
                RecordError::Count { .. } => "count",
                RecordError::NoEnd => "no-end",
                RecordError::Trailing => "trailing",
            };
            assert_eq!(found, wanted, "{name}: {error}");
            assert!(error.to_string().len() < 200, "{name}: a long error");
            seen += 1;
        }
        assert!(seen > 40, "only {seen} files");
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            ".{0,40}".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..200).prop_map(Value::Bytes),
        ]
    }

    proptest! {
        #[test]
        fn any_row_of_any_table_comes_back(
            at in 0..TABLES.len(),
            values in proptest::collection::vec(value(), 16)
        ) {
            let table = &TABLES[at];
            let row = &values[..table.columns.len()];
            let mut writer = Writer::new(Vec::new(), &manifest()).unwrap();
            writer.row(table, row).unwrap();
            let records = read(&writer.finish().unwrap()).unwrap();
            prop_assert!(records[1..] == [Record::Table(table), Record::Row(row.to_vec())]);
        }

        #[test]
        fn damaged_bodies_never_panic(
            at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<prop::sample::Index>()
        ) {
            let mut bytes = body();
            let index = at.index(bytes.len());
            bytes[index] ^= 1 << bit;
            let _ = read(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = read(&bytes);
        }
    }
}
