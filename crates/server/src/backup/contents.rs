//! An archive read from its begin to its end, part by part, in bounded memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use openrms_crypto::stream::Opener;
use openrms_store::{RowSource, StoreError, Table, Value};
use zeroize::Zeroizing;

use super::archive::{self, ArchiveError};
use super::records::{FileName, Manifest, Reader, Record, RecordError};

/// An archive that is being read. What is asked for comes in the order of the archive: manifest,
/// key, files, rows, further files.
pub(super) struct Contents {
    records: Reader<Opener<BufReader<File>>>,
    next: Option<Record>,
    table: Option<&'static Table>,
    /// Why rows ended early: the store knows no such errors.
    failed: Option<ArchiveError>,
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) manifest: Manifest,
    pub(super) files: Vec<FileName>,
    pub(super) rows: BTreeMap<&'static str, u64>,
}

/// Reads an archive to its end: everything is there and as it was written.
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
            (Record::Table(begun), _) => table = Some(begun.name),
            (Record::Row(_), Some(table)) => *summary.rows.entry(table).or_default() += 1,
            _ => {}
        }
    }
    Ok(summary)
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

    /// The files that come next; `place` says where each is written, if anywhere.
    pub(super) fn files<W: Write>(
        &mut self,
        mut place: impl FnMut(FileName) -> io::Result<Option<W>>,
    ) -> Result<(), ArchiveError> {
        loop {
            let mut to = match self.take()? {
                Some(Record::File(name)) => place(name)?,
                other => {
                    self.next = other;
                    return Ok(());
                }
            };
            loop {
                match self.take()? {
                    Some(Record::Piece(piece)) => {
                        if let Some(to) = &mut to {
                            to.write_all(&piece)?;
                        }
                    }
                    other => {
                        self.next = other;
                        break;
                    }
                }
            }
            if let Some(to) = &mut to {
                to.flush()?;
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

impl RowSource for Contents {
    fn next(&mut self) -> Result<Option<(&'static Table, Vec<Value>)>, StoreError> {
        loop {
            let record = match self.take() {
                Ok(record) => record,
                Err(error) => {
                    let reason = error.to_string();
                    self.failed = Some(error);
                    return Err(StoreError::Failed { reason });
                }
            };
            match (record, self.table) {
                (Some(Record::Table(table)), _) => self.table = Some(table),
                (Some(Record::Row(row)), Some(table)) => return Ok(Some((table, row))),
                (other, _) => {
                    self.next = other;
                    return Ok(None);
                }
            }
        }
    }
}
