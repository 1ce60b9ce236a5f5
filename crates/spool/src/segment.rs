//! One file of a spool: a header with the number of its first record, then records, each with its
//! length and a checksum of both.

use std::path::{Path, PathBuf};

use crate::LONGEST_RECORD;
use crate::error::SpoolError;

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
}

/// What stands at some place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'b> {
    /// A record, and where the next one begins.
    Record(&'b [u8], usize),
    /// A record may begin here, and more bytes are needed to tell: so many from here on.
    Cut(usize),
    /// No record.
    Damaged,
}

/// The files of a folder, in order.
pub(crate) fn list(folder: &Path) -> Result<Vec<Found>, SpoolError> {
    let failed = |error| SpoolError::new(folder, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else {
            continue;
        };
        let number = number
            .parse()
            .map_err(|_| SpoolError::Foreign(entry.path()))?;
        found.push(Found {
            number,
            path: entry.path(),
            length: entry.metadata().map_err(failed)?.len(),
        });
    }
    found.sort_by_key(|found| found.number);
    Ok(found)
}

/// Where a segment is.
pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}{SUFFIX}"))
}

/// The header of a segment whose first record is the one of this number.
pub(crate) fn header(first: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let (magic, rest) = header.split_at_mut(MAGIC.len());
    let (number, sum) = rest.split_at_mut(NUMBER_LEN);
    magic.copy_from_slice(MAGIC);
    number.copy_from_slice(&first.to_le_bytes());
    sum.copy_from_slice(&crc32fast::hash(&first.to_le_bytes()).to_le_bytes());
    header
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// The number of the first record.
    First(u64),
    /// Which number that is cannot be read.
    Damaged,
    /// It is not one of ours.
    Foreign,
}

/// Reads a header.
pub(crate) fn read_header(header: &[u8; HEADER_LEN]) -> Header {
    let Some(rest) = header.strip_prefix(MAGIC) else {
        return Header::Foreign;
    };
    match rest.split_first_chunk() {
        Some((number, sum)) if sum == crc32fast::hash(number).to_le_bytes() => {
            Header::First(u64::from_le_bytes(*number))
        }
        _ => Header::Damaged,
    }
}

/// Writes a record as it stands in a segment. The caller has checked its length.
pub(crate) fn put(bytes: &mut Vec<u8>, record: &[u8]) {
    let length = u32::try_from(record.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&checksum(length, record).to_le_bytes());
    bytes.extend_from_slice(record);
}

/// Length of a record as it stands in a segment.
pub(crate) fn stored_len(record: &[u8]) -> usize {
    FRAME + record.len()
}

/// What begins at the start of `bytes`.
pub(crate) fn next(bytes: &[u8]) -> Piece<'_> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return Piece::Cut(FRAME);
    };
    let Some((sum, rest)) = rest.split_first_chunk::<4>() else {
        return Piece::Cut(FRAME);
    };
    let len = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if len > LONGEST_RECORD {
        return Piece::Damaged;
    }
    match rest.get(..len) {
        None => Piece::Cut(FRAME + len),
        Some(record) if checksum(*length, record) == u32::from_le_bytes(*sum) => {
            Piece::Record(record, FRAME + len)
        }
        Some(_) => Piece::Damaged,
    }
}

fn checksum(length: [u8; 4], record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(record);
    hasher.finalize()
}

/// Bytes before the first record.
pub(crate) const HEADER_LEN: usize = MAGIC.len() + NUMBER_LEN + 4;
/// Begins each file; the digit is the version of the format.
const MAGIC: &[u8] = b"rmsspl2\n";
const NUMBER_LEN: usize = 8;
const FRAME: usize = 8;
const SUFFIX: &str = ".spool";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written_or_said_to_be_damaged(
            first in any::<u64>(),
            flipped in 0..HEADER_LEN,
            bit in 0..8_u8,
        ) {
            let mut bytes = header(first);
            prop_assert_eq!(read_header(&bytes), Header::First(first));
            bytes[flipped] ^= 1 << bit;
            let found = read_header(&bytes);
            let expected = if flipped < MAGIC.len() { Header::Foreign } else { Header::Damaged };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn records_are_read_as_they_were_written(
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let mut bytes = Vec::new();
            for record in &records {
                put(&mut bytes, record);
            }
            let mut at = 0;
            for record in &records {
                let Piece::Record(read, after) = next(&bytes[at..]) else {
                    panic!("a record");
                };
                prop_assert_eq!(read, &record[..]);
                prop_assert_eq!(after, stored_len(record));
                at += after;
            }
            prop_assert_eq!(at, bytes.len());
        }

        #[test]
        fn no_bytes_but_those_of_a_record_are_one(
            record in proptest::collection::vec(any::<u8>(), 1..40),
            flipped in any::<prop::sample::Index>(),
            bit in 0..8_u8,
            junk in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = Vec::new();
            put(&mut bytes, &record);
            for length in 0..bytes.len() {
                prop_assert!(matches!(next(&bytes[..length]), Piece::Cut(_)));
            }
            let at = flipped.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(!matches!(next(&bytes), Piece::Record(..)));
            let _ = next(&junk);
        }
    }
}
