//! From a spool into the logging database: each event once, however often either side is killed.
//! A batch is forgotten by the spool after the database has committed it; stored again, it is
//! passed over by its identifiers. What the database never takes goes to the dead letters.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use openrms_crypto::mac::MacKey;
use openrms_spool::{Batch, Spool, SpoolError};
use openrms_store::StoreError;
use openrms_store::logging::{Certificate, LogEvent, LoggingDatabase, LoggingError};

use super::LogDatabaseError;
use super::dead_letters::{DeadLetters, SetAside};
use super::record::{self, Record, RecordError};
use crate::events;

/// A spool that is drained.
pub(crate) struct Drain {
    spool: Arc<Spool>,
    key: Arc<MacKey>,
    dead_letters: PathBuf,
}

/// What one step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Events that are in the database now.
    pub(crate) events: u64,
    /// Records that are among the dead letters now.
    pub(crate) set_aside: u64,
    /// Records that are not in the spool any more, and were not stored.
    pub(crate) lost: u64,
    /// Whether nothing waits any more.
    pub(crate) is_empty: bool,
}

/// Why a step was not done. Nothing is lost by it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DrainError {
    /// The database cannot be opened at present.
    #[error(transparent)]
    Open(#[from] LogDatabaseError),
    /// The database cannot take events at present.
    #[error(transparent)]
    Database(StoreError),
    /// The spool, or that of the dead letters, cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Why a record is set aside.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// It is none.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What the database said of it.
    #[error("{0}")]
    Refused(String),
}

impl Drain {
    pub(crate) fn new(spool: Arc<Spool>, key: Arc<MacKey>, dead_letters: PathBuf) -> Self {
        Self {
            spool,
            key,
            dead_letters,
        }
    }

    /// Takes the next batch to the database.
    pub(crate) async fn step(&self, database: &dyn LoggingDatabase) -> Result<Drained, DrainError> {
        let batch = self.spool.read(MOST_RECORDS, MOST_BYTES)?;
        let records = batch.records.iter().map(Vec::as_slice);
        let taken = take(database, &self.key, records).await;
        let taken = taken.map_err(DrainError::Database)?;
        set_aside(&self.dead_letters, &taken.set_aside)?;
        // Not before, or it would be told again with each attempt.
        self.tell_of_damage(&batch);
        if let Err(error) = self.spool.done(&batch) {
            // After a restart they are read again and passed over.
            tracing::warn!(%error, "how far the spool was drained cannot be written down");
        }
        Ok(Drained {
            events: taken.events,
            set_aside: taken.set_aside.len() as u64,
            lost: batch.lost_records,
            is_empty: batch.is_last,
        })
    }

    fn tell_of_damage(&self, batch: &Batch) {
        let folder = self.spool.folder();
        let folder = folder.display();
        if batch.damaged_bytes > 0 {
            let bytes = batch.damaged_bytes;
            events::Event::LogMessageInvalid.emit(format_args!(
                "{bytes} bytes of {folder} are no records and were passed over"
            ));
        }
        if batch.lost_records > 0 {
            let records = batch.lost_records;
            events::Event::LogRecordsMissing.emit(format_args!(
                "{records} records are not in {folder} any more"
            ));
        }
    }

    /// Bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.spool.waiting_bytes()
    }

    /// When the request came whose event has waited longest, in milliseconds since 1970.
    pub(crate) fn oldest(&self) -> Option<i64> {
        let batch = self.spool.read(FIRST_RECORDS, MOST_BYTES).ok()?;
        let times = batch
            .records
            .iter()
            .filter_map(|bytes| match record::open(&self.key, bytes) {
                Ok(Record::Event(event)) => Some(event.time),
                _ => None,
            });
        times.min()
    }

    /// Gives back the space of what is done, as far as there is not enough.
    pub(crate) fn turn_over(&self) -> Result<(), SpoolError> {
        self.spool.turn_over()
    }
}

/// What became of some records.
pub(super) struct Taken<'r> {
    pub(super) events: u64,
    pub(super) set_aside: Vec<SetAside<'r>>,
}

/// Stores the events and certificates of records. What is no record, and what the database never
/// takes, is given back with the reason.
pub(super) async fn take<'r>(
    database: &dyn LoggingDatabase,
    key: &MacKey,
    records: impl Iterator<Item = &'r [u8]>,
) -> Result<Taken<'r>, StoreError> {
    let mut taken = Taken {
        events: 0,
        set_aside: Vec::new(),
    };
    let mut good = Vec::new();
    for bytes in records {
        match record::open(key, bytes) {
            Ok(record) => good.push((bytes, record)),
            Err(error) => taken.set_aside.push((bytes, error.into())),
        }
    }
    // Parts that are still to be stored, the first of them last.
    let mut parts = vec![&good[..]];
    while let Some(part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        match store(database, part).await {
            Ok(events) => taken.events += events,
            Err(LoggingError::Store(error)) => return Err(error),
            Err(LoggingError::Refused { reason }) => {
                if let [(bytes, _)] = part {
                    taken.set_aside.push((*bytes, Unfit::Refused(reason)));
                } else {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
        }
    }
    Ok(taken)
}

async fn store(
    database: &dyn LoggingDatabase,
    records: &[(&[u8], Record<'_>)],
) -> Result<u64, LoggingError> {
    let mut events: Vec<LogEvent<'_>> = Vec::with_capacity(records.len());
    let mut certificates: Vec<Certificate<'_>> = Vec::new();
    for (_, record) in records {
        match record {
            Record::Event(event) => events.push((**event).clone()),
            Record::Certificate(certificate) => certificates.push(certificate.clone()),
        }
    }
    database.store(&events, &certificates).await?;
    Ok(events.len() as u64)
}

/// Puts records among the dead letters.
fn set_aside(folder: &Path, records: &[SetAside<'_>]) -> Result<(), SpoolError> {
    if records.is_empty() {
        return Ok(());
    }
    DeadLetters::open(folder)?.put(records)?;
    for (_, unfit) in records {
        if matches!(unfit, Unfit::Record(RecordError::NotSigned)) {
            events::Event::LogMessageInvalid.emit(format_args!("a record: {unfit}"));
        }
        events::Event::EventSetAside.emit(unfit);
    }
    Ok(())
}

const MOST_RECORDS: usize = 2_000;
/// Certificates may come first.
const FIRST_RECORDS: usize = 16;
const MOST_BYTES: usize = 4 << 20;
