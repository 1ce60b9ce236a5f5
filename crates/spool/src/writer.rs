//! Appending: one system call for each request's records, under one lock.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cursor::Cursor;
use crate::error::{AppendError, SpoolError};
use crate::segment::{self, Found, HEADER_LEN};
use crate::{Durability, LONGEST_RECORD, Settings, reader};

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
    /// The files before it that are not done, with their lengths.
    complete: BTreeMap<u64, u64>,
    /// Bytes of all files.
    stored: u64,
    /// How many records there were since the spool was made.
    records: u64,
    /// Counts what was appended, for whoever waits until it is on the disk.
    appended: u64,
    /// How often the disk did not take what was appended.
    failures: u64,
    /// Whether nothing may follow in the current file: it may end in something that is no record,
    /// or the system may have given up what it could not write.
    is_torn: bool,
}

/// Who has the disk write what was appended. One does it for all that wait.
#[derive(Debug, Default)]
struct Syncs {
    is_running: bool,
    until: u64,
}

/// What waits for the disk: the last that was appended, and the failures before.
#[derive(Debug, Clone, Copy)]
struct Appended {
    number: u64,
    failures: u64,
}

impl Writer {
    /// Begins a new file, so that nothing follows on what a killed process left half-written.
    pub(crate) fn open(
        folder: PathBuf,
        settings: Settings,
        waiting: &[Found],
        cursor: Cursor,
    ) -> Result<Self, SpoolError> {
        let last = match waiting.last() {
            Some(found) => reader::end_of(found)?,
            None => cursor,
        };
        // A loss of power may have taken records that were done.
        let records = last.records.max(cursor.records);
        let (file, number) = begin_after(&folder, last.segment, records)?;
        let complete: BTreeMap<_, _> = waiting
            .iter()
            .map(|found| (found.number, found.length))
            .collect();
        let stored: u64 = complete.values().sum();
        let state = State {
            file: Arc::new(file),
            number,
            length: HEADER_LEN as u64,
            complete,
            stored: stored.saturating_add(HEADER_LEN as u64),
            records,
            appended: 0,
            failures: 0,
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
        if let Some(long) = records.iter().find(|record| record.len() > LONGEST_RECORD) {
            return Err(AppendError::TooLong(long.len()));
        }
        let lengths = records.iter().map(|record| segment::stored_len(record));
        let mut bytes = Vec::with_capacity(lengths.sum());
        for record in records {
            segment::put(&mut bytes, record);
        }
        let added = bytes.len() as u64;
        let mut state = self.state();
        if state.stored.saturating_add(added) > self.settings.most_bytes {
            return Err(AppendError::Full(self.folder.clone()));
        }
        let is_complete = state.length > HEADER_LEN as u64
            && state.length.saturating_add(added) > self.settings.segment_bytes;
        if is_complete || state.is_torn || !state.is_as_left() {
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
        state.records += records.len() as u64;
        state.appended += 1;
        let mine = Appended {
            number: state.appended,
            failures: state.failures,
        };
        drop(state);
        if self.settings.durability == Durability::Power {
            self.wait_for_disk(mine)?;
        }
        Ok(())
    }

    /// How far a segment holds whole records, and what follows it.
    pub(crate) fn extent(&self, number: u64) -> Extent {
        let state = self.state();
        if number == state.number {
            return Extent::Current {
                length: state.length,
                records: state.records,
            };
        }
        let mut later = state.complete.range(number.saturating_add(1)..);
        let next = later.next().map_or(state.number, |(number, _)| *number);
        Extent::Complete { next }
    }

    pub(crate) fn stored(&self) -> u64 {
        self.state().stored
    }

    /// The files before one.
    pub(crate) fn before(&self, number: u64) -> Vec<u64> {
        let state = self.state();
        state
            .complete
            .range(..number)
            .map(|(one, _)| *one)
            .collect()
    }

    /// A file was removed.
    pub(crate) fn freed(&self, number: u64) {
        let mut state = self.state();
        let bytes = state.complete.remove(&number).unwrap_or(0);
        state.stored = state.stored.saturating_sub(bytes);
    }

    /// Empties the current file, all records of which are done up to `offset`, and begins the next
    /// one; `false` when it holds others. The space is given back first: there may be none for
    /// another file before.
    pub(crate) fn turn_over(&self, number: u64, offset: u64) -> Result<bool, SpoolError> {
        let mut state = self.state();
        if state.number != number || state.length != offset || offset <= HEADER_LEN as u64 {
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
        let (file, number) = begin_after(&self.folder, state.number, state.records)?;
        if self.settings.durability == Durability::Power && state.file.sync_data().is_err() {
            state.failures += 1;
        }
        state.complete.insert(state.number, state.length);
        state.file = Arc::new(file);
        state.number = number;
        state.is_torn = false;
        state.length = HEADER_LEN as u64;
        state.stored += state.length;
        Ok(())
    }

    /// Fails when the disk refused what was appended. The system then takes for written what is
    /// not, and a second attempt would succeed: so it is over with that file, and for all that wait.
    fn wait_for_disk(&self, mine: Appended) -> Result<(), SpoolError> {
        let mut syncs = self.syncs();
        loop {
            if self.state().failures != mine.failures {
                let refused = std::io::Error::other("the disk did not take what was written");
                return Err(SpoolError::new(&self.folder, refused));
            }
            if syncs.until >= mine.number {
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
        if written.is_err() {
            let mut state = self.state();
            state.failures += 1;
            state.is_torn = true;
        }
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

impl State {
    /// Whether the current file is there, as long as it was left. Who removes or cuts it would get
    /// all that is appended from then on as well.
    fn is_as_left(&self) -> bool {
        let about = self.file.metadata();
        about.is_ok_and(|about| about.nlink() > 0 && about.len() == self.length)
    }
}

/// How much of a segment may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// So many bytes, and more may follow. So many records were appended since the spool was made.
    Current { length: u64, records: u64 },
    /// All of it, and what follows is in the segment `next`.
    Complete { next: u64 },
}

/// Begins the first file after a number that is not there. One that a full disk left without its
/// header is passed over.
fn begin_after(folder: &Path, last: u64, records: u64) -> Result<(File, u64), SpoolError> {
    let mut number = last.saturating_add(1);
    loop {
        match begin(folder, number, records) {
            Err(SpoolError::File { error, .. })
                if error.kind() == ErrorKind::AlreadyExists && number < u64::MAX =>
            {
                number += 1;
            }
            begun => return Ok((begun?, number)),
        }
    }
}

fn begin(folder: &Path, number: u64, records: u64) -> Result<File, SpoolError> {
    let path = segment::path(folder, number);
    let failed = |error| SpoolError::new(&path, error);
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    if let Err(error) = (&file).write_all(&segment::header(records)) {
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

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn what_the_disk_refused_once_is_not_taken_for_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            durability: Durability::Power,
            ..Settings::default()
        };
        let start = Cursor::default();
        let writer = Writer::open(folder.path().to_owned(), settings, &[], start).unwrap();
        writer.append(&[b"before"]).unwrap();
        let before = writer.state().number;
        // Two have appended, to something that no disk is.
        let (_reading, pipe) = std::io::pipe().unwrap();
        writer.state().file = Arc::new(File::from(OwnedFd::from(pipe)));
        let failures = 0;
        let [one, other] = [2, 3].map(|number| Appended { number, failures });
        writer.state().appended = 3;
        writer.wait_for_disk(one).unwrap_err();
        // Another file, and the disk does its work again.
        writer.append(&[b"after"]).unwrap();
        assert!(writer.state().number > before);
        writer.wait_for_disk(other).unwrap_err();
    }
}
