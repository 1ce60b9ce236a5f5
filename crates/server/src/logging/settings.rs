//! The `[logging]` table of the configuration file.

use std::path::{Path, PathBuf};

use openrms_store::LocationError;
use serde::Deserialize;

use crate::credential::Credential;
use crate::data_dir::DataDir;
use crate::database::{Database, DatabaseServer};

/// How a server logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingConfig {
    /// Whether it does.
    pub enabled: bool,
    /// The logging database.
    pub database: Database,
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
    /// A file that holds the password.
    pub(crate) password_file: Option<PathBuf>,
    /// The name of a credential that the service manager hands over.
    pub(crate) systemd: Option<String>,
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
    /// Neither `sqlite` nor a URL.
    #[error("[logging] database: {0}")]
    Database(#[from] LocationError),
    /// A password of nothing.
    #[error("[logging] password_file and systemd go with a URL under database")]
    Password,
    /// A spool that holds next to nothing.
    #[error("[logging] spool_bytes: {LEAST_SPOOL} is the least")]
    SpoolBytes,
}

impl LoggingConfig {
    /// Logging into the data directory.
    pub(crate) fn of(data: &DataDir) -> Self {
        Self {
            enabled: true,
            database: Database::Embedded(data.logging_database()),
            spool: data.spool(),
            spool_bytes: 1 << 30,
            when_full: WhenFull::default(),
            durability: LogDurability::default(),
            keep_days: KEEP_DAYS,
            fields: Fields::default(),
        }
    }
}

impl LoggingFile {
    /// With what else the configuration file says: the data directory, the folder of the file, the
    /// cluster's database, and the password of the logging database.
    pub(crate) fn resolve(
        self,
        (data, base): (&DataDir, &Path),
        cluster: &Database,
        password: Credential,
    ) -> Result<LoggingConfig, LoggingConfigError> {
        let plain = LoggingConfig::of(data);
        let is_server = |url: &String| url.contains("://");
        if password != Credential::None && !self.database.as_ref().is_some_and(is_server) {
            return Err(LoggingConfigError::Password);
        }
        let database = match self.database.as_deref() {
            None if cluster.is_shared() => cluster.clone(),
            None | Some("sqlite") => plain.database,
            Some(url) => Database::Server(DatabaseServer::new(url, password)?),
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
