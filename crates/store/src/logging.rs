//! The logging database: what was asked of the services of a cluster and what came of it (product
//! reference 6.3; `DRMS_Log_Master` and `DRMS_Log_Detail` of the original). One trait,
//! [`LoggingDatabase`], and two back ends below it.
//!
//! Events of one UTC day are in one plain table, so that old ones are dropped as a whole on every
//! database that speaks SQL. Certificates are stored once, by their digest.

mod day;
mod event;
mod reports;
pub(crate) mod statements;

use async_trait::async_trait;

pub use day::Day;
pub use event::{Certificate, Digest, LogEvent};
pub use reports::{
    AccountReport, AuditedCertificate, Chosen, ContentReport, EventFilter, OperationReport,
    RefusalReport, Reports, SuperUserUse,
};

pub use crate::postgres::PostgresLogging;
pub use crate::sqlite::SqliteLogging;

use crate::StoreError;

/// A database of events, written by the listeners of all servers of a cluster.
#[async_trait]
pub trait LoggingDatabase: backend::Select {
    /// Stores all of it, or nothing. Events and certificates that are stored already are passed
    /// over, so that whoever does not know whether a batch was stored stores it again.
    async fn store(
        &self,
        events: &[LogEvent<'_>],
        certificates: &[Certificate<'_>],
    ) -> Result<(), LoggingError>;

    /// The days of which there are events, the oldest first.
    async fn days(&self) -> Result<Vec<Day>, StoreError>;

    /// Drops the events of a day, with the table that held them.
    async fn drop_day(&self, day: Day) -> Result<(), StoreError>;

    /// Removes some certificates that were last seen before a day; how many. None when there are no
    /// more.
    async fn drop_certificates(&self, before: Day) -> Result<u64, StoreError>;

    /// What the database takes on its disk, in bytes.
    async fn stored_bytes(&self) -> Result<u64, StoreError>;

    /// Waits for statements under way and closes the database.
    async fn close(&self);
}

/// Why events were not stored.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The database does not take them, now or later: something in them is not as it must be.
    #[error("the logging database refuses: {reason}")]
    Refused {
        /// What the database said.
        reason: String,
    },
    /// The database cannot do its work at present.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was removed because it was old.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retired {
    /// The days.
    pub days: Vec<Day>,
    /// How many certificates.
    pub certificates: u64,
}

/// Keeps the events of `oldest` and later days, and the certificates that these name.
pub async fn retire(database: &dyn LoggingDatabase, oldest: Day) -> Result<Retired, StoreError> {
    let mut retired = Retired::default();
    for day in database.days().await? {
        if day < oldest {
            database.drop_day(day).await?;
            retired.days.push(day);
        }
    }
    loop {
        match database.drop_certificates(oldest).await? {
            0 => return Ok(retired),
            some => retired.certificates += some,
        }
    }
}

/// What the reports need of a back end.
pub(crate) mod backend {
    use super::{StoreError, async_trait};

    /// A value of a row.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Value {
        Null,
        Integer(i64),
        Text(String),
        Bytes(Vec<u8>),
    }

    #[async_trait]
    pub trait Select: Send + Sync {
        /// Runs a query of the statements room; `None` when a table that it names is gone.
        async fn select(
            &self,
            sql: String,
            values: Vec<Value>,
        ) -> Result<Option<Vec<Vec<Value>>>, StoreError>;
    }
}
