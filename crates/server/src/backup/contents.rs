//! An archive read from its begin to its end, part by part, in bounded memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::Path;

use openrms_crypto::sha256;
use openrms_crypto::stream::Opener;
use openrms_store::logging::{Entry, LOG_TABLES};
use openrms_store::{RowSource, StoreError, TABLES, Table, Value};
use zeroize::Zeroizing;

use super::archive::{self, ArchiveError};
use super::manifest::{FileName, Manifest};
use super::records::{Reader, Record, RecordError};

/// An archive that is being read. What is asked for comes in the order of the archive: manifest,
/// key, files, rows of the cluster, rows of the log.
pub(super) struct Contents {
    records: Reader<Opener<BufReader<File>>>,
    next: Option<Record>,
    table: Option<&'static Table>,
    /// Why rows ended early: the store knows no such errors.
    failed: Option<ArchiveError>,
}

/// The rows of some tables.
pub(super) struct Rows<'c> {
    contents: &'c mut Contents,
    of: &'static [Table],
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) manifest: Manifest,
    pub(super) files: Vec<FileName>,
    pub(super) rows: BTreeMap<&'static str, u64>,
}

/// Reads an archive to its end: everything is there and as it was written, and what should be of
/// the log is.
pub(super) fn summary(path: &Path, password: &[u8]) -> Result<Summary, ArchiveError> {
    let mut contents = Contents::open(path, password)?;
    let mut summary = Summary {
        manifest: contents.manifest()?,
        files: Vec::new(),
        rows: BTreeMap::new(),
    };
    let mut table = None;
    while let Some(record) = contents.take()? {
        match (record, table) {
            (Record::File(name), _) => summary.files.push(name),
            (Record::Table(begun), _) => table = Some(begun),
            (Record::Row(row), Some(table)) => {
                if LOG_TABLES.contains(table) {
                    check_entry(table, row)?;
                }
                *summary.rows.entry(table.name).or_default() += 1;
            }
            _ => {}
        }
    }
    Ok(summary)
}

impl Summary {
    /// How many rows the cluster's database has.
    pub(super) fn cluster_rows(&self) -> u64 {
        TABLES.iter().map(|table| self.count(table)).sum()
    }

    /// How many events and certificates are in the log.
    pub(super) fn log(&self) -> (u64, u64) {
        let [events, certificates] = LOG_TABLES;
        (self.count(events), self.count(certificates))
    }

    fn count(&self, table: &Table) -> u64 {
        self.rows.get(table.name).copied().unwrap_or(0)
    }
}

impl Contents {
    pub(super) fn open(path: &Path, password: &[u8]) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(ArchiveError::Io)?;
        let body = archive::open(BufReader::with_capacity(1 << 17, file), password)?;
        Ok(Self {
            records: Reader::new(body),
            next: None,
            table: None,
            failed: None,
        })
    }

    /// What the backup is of.
    pub(super) fn manifest(&mut self) -> Result<Manifest, ArchiveError> {
        match self.take()? {
            Some(Record::Manifest(manifest)) => Ok(manifest),
            _ => Err(RecordError::NoEnd.into()),
        }
    }

    /// The master key, where it is in the archive.
    pub(super) fn master_key(&mut self) -> Result<Option<Zeroizing<[u8; 32]>>, ArchiveError> {
        match self.take()? {
            Some(Record::MasterKey(key)) => Ok(Some(key)),
            other => {
                self.next = other;
                Ok(None)
            }
        }
    }

    /// The files; `place` says where each is written, if anywhere.
    pub(super) fn files(
        &mut self,
        mut place: impl FnMut(FileName) -> io::Result<Option<File>>,
    ) -> Result<(), ArchiveError> {
        let mut to = None;
        loop {
            match self.take()? {
                Some(Record::File(name)) => {
                    finish(to)?;
                    to = place(name)?;
                }
                Some(Record::Piece(piece)) => {
                    if let Some(to) = &mut to {
                        to.write_all(&piece)?;
                    }
                }
                other => {
                    self.next = other;
                    return Ok(finish(to)?);
                }
            }
        }
    }

    /// The rows of some tables, which come next.
    pub(super) fn rows(&mut self, of: &'static [Table]) -> Rows<'_> {
        Rows { contents: self, of }
    }

    /// Passes over all that comes before the rows of some tables.
    pub(super) fn pass_to(&mut self, wanted: &[Table]) -> Result<(), ArchiveError> {
        loop {
            match self.take()? {
                Some(Record::Table(table)) if wanted.contains(table) => {
                    self.next = Some(Record::Table(table));
                    return Ok(());
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// Why rows ended early, when it was for the archive.
    pub(super) fn failure(&mut self) -> Option<ArchiveError> {
        self.failed.take()
    }

    fn take(&mut self) -> Result<Option<Record>, ArchiveError> {
        match self.next.take() {
            Some(record) => Ok(Some(record)),
            None => self.records.read(),
        }
    }
}

impl RowSource for Rows<'_> {
    fn next(&mut self) -> Result<Option<(&'static Table, Vec<Value>)>, StoreError> {
        let contents = &mut *self.contents;
        loop {
            let record = match contents.take() {
                Ok(record) => record,
                Err(error) => {
                    let reason = error.to_string();
                    contents.failed = Some(error);
                    return Err(StoreError::Failed { reason });
                }
            };
            match (record, contents.table) {
                (Some(Record::Table(table)), _) if self.of.contains(table) => {
                    contents.table = Some(table);
                }
                (Some(Record::Row(row)), Some(table)) => return Ok(Some((table, row))),
                (other, _) => {
                    contents.next = other;
                    return Ok(None);
                }
            }
        }
    }
}

/// Nobody would find a certificate under a digest that is not its own.
fn check_entry(table: &Table, row: Vec<Value>) -> Result<(), RecordError> {
    let entry = Entry::read(table, row).map_err(|error| RecordError::Log(error.to_string()))?;
    match entry {
        Entry::Certificate(certificate)
            if sha256(certificate.text.as_bytes()) != certificate.digest =>
        {
            let reason = "a certificate is not the one of its digest";
            Err(RecordError::Log(reason.to_owned()))
        }
        _ => Ok(()),
    }
}

/// A name must not come to be before what is under it.
fn finish(to: Option<File>) -> io::Result<()> {
    to.map_or(Ok(()), |to| to.sync_all())
}
