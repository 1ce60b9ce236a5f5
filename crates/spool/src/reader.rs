//! Draining: records in order, from the cursor on, and files given back when all of them is done.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::LONGEST_RECORD;
use crate::cursor::Cursor;
use crate::error::SpoolError;
use crate::segment::{self, Found, HEADER_LEN, Header, Piece};
use crate::writer::{Extent, Writer};

/// Records that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What was appended, in that order.
    pub records: Vec<Vec<u8>>,
    /// Bytes that were passed over because they are no records: the end of what a killed process
    /// wrote, or damage of the disk.
    pub damaged_bytes: u64,
    /// Records that were appended before the last of these or after it, and are not there any more:
    /// damage, or somebody has removed them. What a killed process left half-written is none.
    pub lost_records: u64,
    /// Whether nothing waits behind it.
    pub is_last: bool,
    end: Cursor,
}

impl Batch {
    fn from(end: Cursor) -> Self {
        Self {
            records: Vec::new(),
            damaged_bytes: 0,
            lost_records: 0,
            is_last: false,
            end,
        }
    }

    /// Goes on where so many records must have been before.
    fn catch_up(&mut self, records: u64) {
        self.lost_records += records.saturating_sub(self.end.records);
        self.end.records = records;
    }
}

#[derive(Debug)]
pub(crate) struct Reader {
    folder: PathBuf,
    cursor: Cursor,
}

impl Reader {
    pub(crate) fn new(folder: PathBuf, cursor: Cursor) -> Self {
        Self { folder, cursor }
    }

    pub(crate) fn read(
        &self,
        writer: &Writer,
        most: usize,
        bytes: usize,
    ) -> Result<Batch, SpoolError> {
        let mut batch = Batch::from(self.cursor);
        let mut room = Room { most, bytes };
        loop {
            // Asked before the file is read: what is appended meanwhile is the next batch's.
            let extent = writer.extent(batch.end.segment);
            let path = segment::path(&self.folder, batch.end.segment);
            if !read_segment(&path, extent, &mut room, &mut batch)? {
                return Ok(batch);
            }
            match extent {
                Extent::Current { records, .. } => {
                    batch.catch_up(records);
                    batch.is_last = true;
                    return Ok(batch);
                }
                Extent::Complete { next } => {
                    batch.end.segment = next;
                    batch.end.offset = 0;
                }
            }
        }
    }

    pub(crate) fn done(&mut self, writer: &Writer, batch: &Batch) -> Result<(), SpoolError> {
        if batch.end <= self.cursor {
            return Ok(());
        }
        self.cursor = batch.end;
        let saved = self.cursor.save(&self.folder);
        for number in writer.before(self.cursor.segment) {
            self.remove(writer, number)?;
        }
        // A full disk has no space for another cursor before the files are gone. One that is
        // behind costs that records are read again after a restart, or missed.
        saved.or_else(|_| self.cursor.save(&self.folder))
    }

    pub(crate) fn turn_over(&mut self, writer: &Writer) -> Result<(), SpoolError> {
        let Cursor {
            segment, offset, ..
        } = self.cursor;
        if !writer.turn_over(segment, offset)? {
            return Ok(());
        }
        self.cursor.segment = segment.saturating_add(1);
        self.cursor.offset = 0;
        self.remove(writer, segment)?;
        self.cursor.save(&self.folder)
    }

    fn remove(&self, writer: &Writer, number: u64) -> Result<(), SpoolError> {
        let path = segment::path(&self.folder, number);
        match std::fs::remove_file(&path) {
            // Somebody else was quicker.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SpoolError::new(&path, error))
            }
            _ => {
                writer.freed(number);
                Ok(())
            }
        }
    }
}

/// The place before the first record of a segment.
pub(crate) fn start_of(segment: &Found) -> Result<Cursor, SpoolError> {
    let path = &segment.path;
    let mut file = File::open(path).map_err(|error| SpoolError::new(path, error))?;
    Ok(Cursor {
        segment: segment.number,
        offset: 0,
        records: first_record(&mut file, path)?.unwrap_or(0),
    })
}

/// The place after the last whole record of a segment.
pub(crate) fn end_of(segment: &Found) -> Result<Cursor, SpoolError> {
    let start = Cursor {
        segment: segment.number,
        ..Cursor::default()
    };
    let extent = Extent::Complete { next: u64::MAX };
    let mut batch = Batch::from(start);
    loop {
        let mut room = Room {
            most: usize::MAX,
            bytes: CHUNK_BYTES,
        };
        let is_over = read_segment(&segment.path, extent, &mut room, &mut batch)?;
        batch.records.clear();
        if is_over {
            return Ok(batch.end);
        }
    }
}

/// Reads on in the segment of `batch.end`; whether nothing is left in it.
fn read_segment(
    path: &Path,
    extent: Extent,
    room: &mut Room,
    batch: &mut Batch,
) -> Result<bool, SpoolError> {
    let failed = |error| SpoolError::new(path, error);
    let mut file = match File::open(path) {
        Ok(file) => file,
        // What follows tells how many records were in it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(failed(error)),
    };
    let there = file.metadata().map_err(failed)?.len();
    let end = match extent {
        Extent::Current { length, .. } => length.min(there),
        Extent::Complete { .. } => there,
    };
    if batch.end.offset == 0 {
        // A file of which not even the header was written holds nothing.
        if end < HEADER_LEN as u64 {
            batch.damaged_bytes += end;
            return Ok(true);
        }
        match first_record(&mut file, path)? {
            Some(first) => batch.catch_up(first),
            None => batch.damaged_bytes += HEADER_LEN as u64,
        }
        batch.end.offset = HEADER_LEN as u64;
    }
    file.seek(SeekFrom::Start(batch.end.offset))
        .map_err(failed)?;
    let mut window = Window::new(file, end.saturating_sub(batch.end.offset));
    loop {
        if room.is_full() {
            return Ok(false);
        }
        let needed = match segment::next(window.bytes()) {
            Piece::Record(record, length) => {
                room.take(record.len());
                batch.records.push(record.to_vec());
                batch.end.offset += length as u64;
                batch.end.records = batch.end.records.saturating_add(1);
                window.pass(length);
                continue;
            }
            Piece::Cut(needed) => Some(needed),
            Piece::Damaged => None,
        };
        let more = needed.map_or(Ok(false), |needed| window.fill(needed));
        if !more.map_err(failed)? {
            // Where the next record would begin is not known.
            let left = window.left();
            batch.damaged_bytes += left;
            batch.end.offset += left;
            return Ok(true);
        }
    }
}

/// The number of a segment's first record; `None` when that is damaged.
fn first_record(file: &mut File, path: &Path) -> Result<Option<u64>, SpoolError> {
    let mut header = [0; HEADER_LEN];
    file.read_exact(&mut header)
        .map_err(|error| SpoolError::new(path, error))?;
    match segment::read_header(&header) {
        Header::First(first) => Ok(Some(first)),
        Header::Damaged => Ok(None),
        Header::Foreign => Err(SpoolError::Foreign(path.to_owned())),
    }
}

/// How much more a batch takes.
struct Room {
    most: usize,
    bytes: usize,
}

impl Room {
    fn is_full(&self) -> bool {
        self.most == 0 || self.bytes == 0
    }

    fn take(&mut self, bytes: usize) {
        self.most = self.most.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// A piece of a file in memory, never much more than the longest record.
struct Window {
    file: File,
    /// Bytes of the file that were not read yet.
    unread: u64,
    bytes: Vec<u8>,
    start: usize,
}

impl Window {
    fn new(file: File, unread: u64) -> Self {
        Self {
            file,
            unread,
            bytes: Vec::new(),
            start: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn left(&self) -> u64 {
        self.unread + self.bytes().len() as u64
    }

    fn pass(&mut self, length: usize) {
        self.start += length;
    }

    /// Has at least so many bytes at hand; `false` when the file ends before.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let missing = needed.saturating_sub(self.bytes.len()) as u64;
        if missing > self.unread {
            return Ok(false);
        }
        let wanted = missing.max(CHUNK.min(self.unread));
        let before = self.bytes.len();
        (&mut self.file).take(wanted).read_to_end(&mut self.bytes)?;
        let read = (self.bytes.len() - before) as u64;
        self.unread -= read;
        Ok(read >= missing && missing > 0)
    }
}

/// Read at a time.
const CHUNK: u64 = CHUNK_BYTES as u64;
const CHUNK_BYTES: usize = 256 << 10;
const _: () = assert!(LONGEST_RECORD < 16 << 20);
