//! Appending: one system call for each request's records, under one lock.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cursor::Cursor;
use crate::error::{AppendError, SpoolError};
use crate::segment::{self, Found, HEADER};
use crate::{Durability, LONGEST_RECORD, Settings};

/// The end of a spool where records are appended.
#[derive(Debug)]
pub(crate) struct Writer {
    folder: PathBuf,
    settings: Settings,
    state: Mutex<State>,
    syncs: Mutex<Syncs>,
    synced: Condvar,
}

#[derive(Debug)]
struct State {
    file: Arc<File>,
    number: u64,
    /// Bytes of the current file that hold whole records.
    length: u64,
    /// Bytes of all files.
    stored: u64,
    /// Counts what was appended, for whoever waits until it is on the disk.
    appended: u64,
    /// Whether the current file may end in something that is no record, so that nothing may follow
    /// in it.
    is_torn: bool,
}

/// Who has the disk write what was appended. One does it for all that wait.
#[derive(Debug, Default)]
struct Syncs {
    is_running: bool,
    until: u64,
}

impl Writer {
    /// Begins a new file, so that nothing follows on what a killed process left half-written.
    pub(crate) fn open(
        folder: PathBuf,
        settings: Settings,
        waiting: &[Found],
        cursor: Cursor,
    ) -> Result<Self, SpoolError> {
        let last = waiting.last().map_or(cursor.segment, |found| found.number);
        let (file, number) = begin_after(&folder, last)?;
        let stored: u64 = waiting.iter().map(|found| found.length).sum();
        let state = State {
            file: Arc::new(file),
            number,
            length: HEADER.len() as u64,
            stored: stored.saturating_add(HEADER.len() as u64),
            appended: 0,
            is_torn: false,
        };
        Ok(Self {
            folder,
            settings,
            state: Mutex::new(state),
            syncs: Mutex::default(),
            synced: Condvar::new(),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// All records with one write, or none of them.
    pub(crate) fn append(&self, records: &[&[u8]]) -> Result<(), AppendError> {
        let mut bytes = Vec::with_capacity(
            records
                .iter()
                .map(|record| segment::stored_len(record))
                .sum(),
        );
        for record in records {
            if record.len() > LONGEST_RECORD {
                return Err(AppendError::TooLong(record.len()));
            }
            segment::put(&mut bytes, record);
        }
        let added = bytes.len() as u64;
        let mut state = self.state();
        if state.stored.saturating_add(added) > self.settings.most_bytes {
            return Err(AppendError::Full(self.folder.clone()));
        }
        let is_complete = state.length > HEADER.len() as u64
            && state.length.saturating_add(added) > self.settings.segment_bytes;
        if is_complete || state.is_torn {
            self.begin_next(&mut state)?;
        }
        if let Err(error) = (&*state.file).write_all(&bytes) {
            // Part of it may stand there: what follows must not.
            state.is_torn = state.file.set_len(state.length).is_err();
            let path = segment::path(&self.folder, state.number);
            return Err(SpoolError::new(&path, error).into());
        }
        state.length += added;
        state.stored += added;
        state.appended += 1;
        let mine = state.appended;
        drop(state);
        if self.settings.durability == Durability::Power {
            self.wait_for_disk(mine)?;
        }
        Ok(())
    }

    /// How far a segment holds whole records, and whether more may follow in it.
    pub(crate) fn extent(&self, number: u64) -> Extent {
        let state = self.state();
        if number == state.number {
            Extent::Current(state.length)
        } else {
            Extent::Complete
        }
    }

    /// The file being appended to.
    pub(crate) fn current(&self) -> u64 {
        self.state().number
    }

    pub(crate) fn stored(&self) -> u64 {
        self.state().stored
    }

    /// A file was removed.
    pub(crate) fn freed(&self, bytes: u64) {
        let mut state = self.state();
        state.stored = state.stored.saturating_sub(bytes);
    }

    /// Empties the current file, all records of which are done up to `offset`, and begins the next
    /// one; `false` when it holds others. The space is given back first: there may be none for
    /// another file before.
    pub(crate) fn turn_over(&self, number: u64, offset: u64) -> Result<bool, SpoolError> {
        let mut state = self.state();
        if state.number != number || state.length != offset || offset <= HEADER.len() as u64 {
            return Ok(false);
        }
        let path = segment::path(&self.folder, number);
        state
            .file
            .set_len(0)
            .map_err(|error| SpoolError::new(&path, error))?;
        state.stored = state.stored.saturating_sub(state.length);
        state.length = 0;
        // Whoever is killed here has a cursor behind the end of this file, and nothing may follow
        // in it.
        state.is_torn = true;
        self.begin_next(&mut state)?;
        Ok(true)
    }

    pub(crate) fn sync(&self) -> Result<(), SpoolError> {
        let file = Arc::clone(&self.state().file);
        file.sync_data()
            .map_err(|error| SpoolError::new(&self.folder, error))
    }

    /// Begins the next file. What the one before holds goes to the disk first, so that whoever
    /// waits for the disk need look at the current file alone.
    fn begin_next(&self, state: &mut State) -> Result<(), SpoolError> {
        if self.settings.durability == Durability::Power {
            state
                .file
                .sync_data()
                .map_err(|error| SpoolError::new(&self.folder, error))?;
        }
        let (file, number) = begin_after(&self.folder, state.number)?;
        state.file = Arc::new(file);
        state.number = number;
        state.is_torn = false;
        state.length = HEADER.len() as u64;
        state.stored += state.length;
        Ok(())
    }

    fn wait_for_disk(&self, mine: u64) -> Result<(), SpoolError> {
        let mut syncs = self.syncs();
        loop {
            if syncs.until >= mine {
                return Ok(());
            }
            if !syncs.is_running {
                break;
            }
            syncs = self
                .synced
                .wait(syncs)
                .unwrap_or_else(PoisonError::into_inner);
        }
        syncs.is_running = true;
        drop(syncs);
        // Everything that was appended by now is written with it.
        let (until, file) = {
            let state = self.state();
            (state.appended, Arc::clone(&state.file))
        };
        let written = file.sync_data();
        let mut syncs = self.syncs();
        syncs.is_running = false;
        if written.is_ok() {
            syncs.until = syncs.until.max(until);
        }
        self.synced.notify_all();
        written.map_err(|error| SpoolError::new(&self.folder, error))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn syncs(&self) -> MutexGuard<'_, Syncs> {
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of a segment may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// So many bytes, and more may follow.
    Current(u64),
    /// All of it.
    Complete,
}

/// Begins the first file after a number that is not there. One that a full disk left without its
/// header is passed over.
fn begin_after(folder: &Path, last: u64) -> Result<(File, u64), SpoolError> {
    let mut number = last.saturating_add(1);
    loop {
        match begin(folder, number) {
            Err(SpoolError::File { error, .. })
                if error.kind() == ErrorKind::AlreadyExists && number < u64::MAX =>
            {
                number += 1;
            }
            begun => return Ok((begun?, number)),
        }
    }
}

fn begin(folder: &Path, number: u64) -> Result<File, SpoolError> {
    let path = segment::path(folder, number);
    let failed = |error| SpoolError::new(&path, error);
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    if let Err(error) = (&file).write_all(HEADER) {
        // Fails where the disk does; an empty file is none that matters.
        let _ = std::fs::remove_file(&path);
        return Err(failed(error));
    }
    // A file whose name is lost with the power loses its records.
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)?;
    Ok(file)
}
