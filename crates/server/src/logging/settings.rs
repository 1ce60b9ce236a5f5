//! The `[logging]` table of the configuration file.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::data_dir::DataDir;

/// How a server logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingConfig {
    /// Whether it does.
    pub enabled: bool,
    /// The logging database.
    pub database: LogPlace,
    /// The folder where events wait for it.
    pub spool: PathBuf,
    /// The most bytes that wait.
    pub spool_bytes: u64,
    /// What becomes of a request whose event cannot be kept.
    pub when_full: WhenFull,
    /// What an event has survived when its answer leaves.
    pub durability: LogDurability,
    /// How many days are kept in the database, the current one included.
    pub keep_days: u32,
    /// What is written down beside what always is.
    pub fields: Fields,
}

/// Where the logging database is.
#[derive(Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server, by a URL that may hold a password.
    Postgres(Zeroizing<String>),
}

/// What becomes of a request whose event cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// It is refused.
    #[default]
    Refuse,
    /// It is answered, and its event is lost and counted.
    Drop,
}

/// What an event has survived when its answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDurability {
    /// The end of the process, however sudden.
    #[default]
    Process,
    /// The end of the power supply as well.
    Power,
}

/// A part of an event that can be left out (`DRMS_Log_Filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// Address of the caller.
    Peer,
    /// What the caller calls its program.
    UserAgent,
    /// The account that signed in.
    User,
    /// Why a request was refused, in words.
    Reason,
    /// The mail address in the RAC.
    Account,
    /// The content's identifier.
    Content,
    /// The form of the request.
    Metadata,
    /// Certificates that came with requests.
    ReceivedXrml,
    /// Certificates that were handed out.
    IssuedXrml,
}

/// The fields that are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields(u16);

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LoggingFile {
    enabled: Option<bool>,
    database: Option<String>,
    spool: Option<PathBuf>,
    spool_bytes: Option<u64>,
    when_full: WhenFull,
    durability: LogDurability,
    keep_days: Option<std::num::NonZeroU32>,
    fields: Option<Vec<Field>>,
}

/// What is wrong with the table.
#[derive(Debug, thiserror::Error)]
pub enum LoggingConfigError {
    /// Neither kind of database.
    #[error("[logging] database is \"sqlite\" or a URL that begins with postgres://")]
    Database,
    /// A spool that holds next to nothing.
    #[error("[logging] spool_bytes: {LEAST_SPOOL} is the least")]
    SpoolBytes,
}

impl LoggingConfig {
    /// Logging into the data directory.
    pub(crate) fn of(data: &DataDir) -> Self {
        Self {
            enabled: true,
            database: LogPlace::Sqlite(data.logging_database()),
            spool: data.spool(),
            spool_bytes: 1 << 30,
            when_full: WhenFull::default(),
            durability: LogDurability::default(),
            keep_days: KEEP_DAYS,
            fields: Fields::default(),
        }
    }
}

impl std::fmt::Debug for LogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

impl LoggingFile {
    pub(crate) fn resolve(
        self,
        data: &DataDir,
        base: &Path,
    ) -> Result<LoggingConfig, LoggingConfigError> {
        let plain = LoggingConfig::of(data);
        let database = match self.database {
            None => plain.database,
            Some(kind) if kind == "sqlite" => plain.database,
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                LogPlace::Postgres(Zeroizing::new(url))
            }
            Some(_) => return Err(LoggingConfigError::Database),
        };
        let spool_bytes = self.spool_bytes.unwrap_or(plain.spool_bytes);
        if spool_bytes < LEAST_SPOOL {
            return Err(LoggingConfigError::SpoolBytes);
        }
        Ok(LoggingConfig {
            enabled: self.enabled.unwrap_or(true),
            database,
            spool: self.spool.map_or(plain.spool, |spool| base.join(spool)),
            spool_bytes,
            when_full: self.when_full,
            durability: self.durability,
            keep_days: self.keep_days.map_or(KEEP_DAYS, std::num::NonZeroU32::get),
            fields: self
                .fields
                .map_or(plain.fields, |fields| Fields::of(&fields)),
        })
    }
}

impl Fields {
    /// These alone.
    pub fn of(fields: &[Field]) -> Self {
        Self(
            fields
                .iter()
                .fold(0, |bits, field| bits | 1 << *field as u16),
        )
    }

    /// Whether a field is among them.
    pub fn has(self, field: Field) -> bool {
        self.0 & (1 << field as u16) != 0
    }
}

impl Default for Fields {
    /// All but the certificates, which would be nearly all of what is stored.
    fn default() -> Self {
        Self::of(&[
            Field::Peer,
            Field::UserAgent,
            Field::User,
            Field::Reason,
            Field::Account,
            Field::Content,
            Field::Metadata,
        ])
    }
}

const KEEP_DAYS: u32 = 400;
const LEAST_SPOOL: u64 = 1 << 20;
