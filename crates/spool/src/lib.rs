//! A durable queue of records on the local disk: requests leave their events here before they are
//! answered, and a listener takes them to the logging database when that is up (the original's
//! message queue, MS-RMSOD 2.5.4).
//!
//! Records are read in the order in which they were appended, and stay until they are said to be
//! done: whoever is killed between storing and saying so reads them again, so each record names
//! itself by an identifier of its own. Records are counted, and each file says which one is its
//! first: what was removed or damaged meanwhile is noticed by what follows it.

mod cursor;
mod error;
mod reader;
mod segment;
mod writer;

use std::fs::File;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use error::{AppendError, SpoolError};
pub use reader::Batch;

use cursor::Cursor;
use reader::Reader;
use segment::HEADER_LEN;
use writer::Writer;

/// A spool. Any number of threads append, one drains.
#[derive(Debug)]
pub struct Spool {
    writer: Writer,
    reader: Mutex<Reader>,
    /// Held for as long as the spool is open: two processes would read each other's records twice.
    _lock: File,
}

/// How much a spool keeps, and how safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most bytes that wait. A record that does not fit any more is refused.
    pub most_bytes: u64,
    /// Bytes after which a new file is begun. Space is given back file by file.
    pub segment_bytes: u64,
    /// What a record has survived when [`Spool::append`] returns.
    pub durability: Durability,
}

/// What appended records survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process, however sudden.
    Process,
    /// The end of the power supply as well. Costs a write to the disk for each record, which those
    /// who append at once share.
    Power,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            most_bytes: 1 << 30,
            segment_bytes: 16 << 20,
            durability: Durability::Process,
        }
    }
}

impl Spool {
    /// Opens the spool in a folder, or makes it. What a killed process left half-written at the
    /// end is passed over: nobody was answered on its strength.
    pub fn open(folder: &Path, settings: Settings) -> Result<Self, SpoolError> {
        let failed = |error| SpoolError::new(folder, error);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let lock = File::open(folder).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(SpoolError::InUse(folder.to_owned()));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let segments = segment::list(folder)?;
        let first = segments
            .iter()
            .find(|found| found.length > HEADER_LEN as u64);
        let cursor = match (Cursor::load(folder)?, first) {
            (Some(cursor), _) => cursor,
            (None, Some(first)) => reader::start_of(first)?,
            (None, None) => {
                // From the start, so that the first file is missed as well when it is removed.
                let start = Cursor::default();
                start.save(folder)?;
                start
            }
        };
        let mut waiting = Vec::with_capacity(segments.len());
        for found in segments {
            // Left by a process that was killed while it gave the space back, or by one that had
            // nothing to append.
            let is_empty = found.length == 0 || found.length == HEADER_LEN as u64;
            if found.number < cursor.segment || is_empty {
                std::fs::remove_file(&found.path).map_err(failed)?;
            } else {
                waiting.push(found);
            }
        }
        let writer = Writer::open(folder.to_owned(), settings, &waiting, cursor)?;
        Ok(Self {
            reader: Mutex::new(Reader::new(folder.to_owned(), cursor)),
            writer,
            _lock: lock,
        })
    }

    /// Appends a record.
    pub fn append(&self, record: &[u8]) -> Result<(), AppendError> {
        self.writer.append(&[record])
    }

    /// Appends records that belong together: all of them, or none.
    pub fn append_all(&self, records: &[&[u8]]) -> Result<(), AppendError> {
        self.writer.append(records)
    }

    /// The next records that are not done, at most so many, and about so many bytes (but one at
    /// least). Reading again gives them again.
    pub fn read(&self, most: usize, bytes: usize) -> Result<Batch, SpoolError> {
        self.reader().read(&self.writer, most, bytes)
    }

    /// Forgets the records of a batch, and all before it. They are not read again by this process
    /// even when an error is returned.
    pub fn done(&self, batch: &Batch) -> Result<(), SpoolError> {
        self.reader().done(&self.writer, batch)
    }

    /// Bytes that wait, as they count towards [`Settings::most_bytes`]: those of whole files, so
    /// that records which are done count until their file is.
    pub fn waiting_bytes(&self) -> u64 {
        self.writer.stored()
    }

    /// Gives back the space of the file that records are appended to, when all of them are done.
    /// For disks with less space than [`Settings::segment_bytes`].
    pub fn turn_over(&self) -> Result<(), SpoolError> {
        self.reader().turn_over(&self.writer)
    }

    /// Has everything written to the disk, whatever the settings.
    pub fn sync(&self) -> Result<(), SpoolError> {
        self.writer.sync()
    }

    /// Where the spool is.
    pub fn folder(&self) -> PathBuf {
        self.writer.folder().to_owned()
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The longest record, in bytes.
pub const LONGEST_RECORD: usize = 4 << 20;
