//! Events that the logging database did not take, each with the reason, until somebody has
//! corrected the cause and replays them, or throws them away. A spool of its own, which is open
//! only while it is used: the server and the command line come to it in turns.

use std::io;
use std::path::Path;

use openrms_crypto::mac::MacKey;
use openrms_spool::{AppendError, Batch, Durability, LONGEST_RECORD, Settings, Spool, SpoolError};
use openrms_store::StoreError;
use openrms_store::logging::LoggingDatabase;

use super::drain::{self, Unfit};
use super::record::{self, Record};

/// The dead letters of a spool.
#[derive(Debug)]
pub(crate) struct DeadLetters(Spool);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    /// Why it was set aside.
    pub(crate) reason: String,
    /// The record.
    pub(crate) record: Vec<u8>,
}

/// A record that is to be one, and why.
pub(super) type SetAside<'r> = (&'r [u8], Unfit);

/// Why dead letters were not replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The database cannot take events at present.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// The dead letters cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl DeadLetters {
    /// Opens them. Fails with [`SpoolError::InUse`] while another process has them open.
    pub(crate) fn open(folder: &Path) -> Result<Self, SpoolError> {
        let settings = Settings {
            most_bytes: u64::MAX,
            segment_bytes: 1 << 20,
            // The spool that they come from forgets them.
            durability: Durability::Power,
        };
        Spool::open(folder, settings).map(Self)
    }

    /// Adds some: all of them, or none.
    pub(super) fn put(&self, records: &[SetAside<'_>]) -> Result<(), SpoolError> {
        let letters: Vec<_> = records
            .iter()
            .map(|(record, unfit)| letter(record, &unfit.to_string()))
            .collect();
        let letters: Vec<&[u8]> = letters.iter().map(Vec::as_slice).collect();
        self.0.append_all(&letters).map_err(|error| match error {
            AppendError::Spool(error) => error,
            other => SpoolError::File {
                path: self.0.folder(),
                error: io::Error::other(other),
            },
        })
    }

    /// All of them, in the order in which they were set aside.
    pub(crate) fn list(&self) -> Result<Vec<DeadLetter>, SpoolError> {
        Ok(self
            .read()?
            .records
            .iter()
            .map(|letter| read(letter))
            .collect())
    }

    /// Stores all that the database takes now. The others stay, with new reasons. How many were
    /// stored, and how many stay.
    pub(crate) async fn replay(
        &self,
        database: &dyn LoggingDatabase,
        key: &MacKey,
    ) -> Result<(usize, usize), ReplayError> {
        let batch = self.read()?;
        let letters: Vec<_> = batch.records.iter().map(|letter| read(letter)).collect();
        let records = letters.iter().map(|letter| &*letter.record);
        let taken = drain::take(database, key, records).await?;
        self.put(&taken.set_aside)?;
        self.0.done(&batch)?;
        let left = taken.set_aside.len();
        Ok((letters.len().saturating_sub(left), left))
    }

    /// Throws all of them away; how many there were.
    pub(crate) fn purge(&self) -> Result<usize, SpoolError> {
        let batch = self.read()?;
        self.0.done(&batch)?;
        self.0.turn_over()?;
        Ok(batch.records.len())
    }

    fn read(&self) -> Result<Batch, SpoolError> {
        self.0.read(usize::MAX, usize::MAX)
    }
}

impl DeadLetter {
    /// The event that it holds, when it is signed and legible: its identifier and the request's.
    pub(crate) fn event(&self, key: &MacKey) -> Option<(String, String)> {
        match record::open(key, &self.record) {
            Ok(Record::Event(event)) => Some((event.id.to_string(), event.request.into_owned())),
            _ => None,
        }
    }
}

/// Puts a reason and a record together. A record that is as long as any may be is cut: it is none of
/// ours, and must not hold up what comes after it.
fn letter(record: &[u8], reason: &str) -> Vec<u8> {
    let reason = reason.as_bytes();
    let reason = reason.get(..LONGEST_REASON).unwrap_or(reason);
    let length = u16::try_from(reason.len()).unwrap_or(0).to_le_bytes();
    let record = record.get(..LONGEST_KEPT).unwrap_or(record);
    [&length[..], reason, record].concat()
}

/// Takes a letter apart. What is too short for one is all record.
fn read(letter: &[u8]) -> DeadLetter {
    let parts = || {
        let (length, rest) = letter.split_first_chunk()?;
        rest.split_at_checked(u16::from_le_bytes(*length).into())
    };
    let (reason, record) = parts().unwrap_or((b"illegible", letter));
    DeadLetter {
        reason: String::from_utf8_lossy(reason).into_owned(),
        record: record.to_vec(),
    }
}

const LONGEST_REASON: usize = 1_000;
const LONGEST_KEPT: usize = LONGEST_RECORD - LONGEST_REASON - 2;
