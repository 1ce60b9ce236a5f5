//! What the logging pipeline counts: events on their way from a request to the logging database.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// Events on their way. Whoever does something with them counts it here.
#[derive(Debug, Default)]
pub(crate) struct Logging {
    /// Events in the spool, since the start.
    pub(crate) spooled: AtomicU64,
    /// Events that were let go because the spool was full.
    pub(crate) dropped: AtomicU64,
    /// Requests that were refused because the spool was full.
    pub(crate) refused: AtomicU64,
    /// Events in the logging database.
    pub(crate) stored: AtomicU64,
    /// Events that could not be stored and were set aside.
    pub(crate) dead_lettered: AtomicU64,
    /// Events and certificates that vanished from the spool.
    pub(crate) lost: AtomicU64,
    /// Bytes that wait in the spool now.
    pub(crate) spool_bytes: AtomicU64,
    /// Seconds that the oldest event has been waiting, 0 when none is.
    pub(crate) oldest_seconds: AtomicU64,
    /// Whether the spool is full now.
    pub(crate) full: AtomicBool,
    /// Batches that were stored.
    pub(crate) batches: AtomicU64,
    /// Batches that were not, and are tried again.
    pub(crate) failed_batches: AtomicU64,
}
