//! Why the store could not do what was asked.

use std::fmt;

use crate::ConfigurationVersion;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Others held the database for longer than a request may wait. Trying again is right.
    #[error("the database is busy")]
    Busy,
    /// Transactions of several servers were in each other's way more often than is tried again.
    #[error("others changed the same rows of the database at the same time")]
    Contention,
    /// The database cannot be opened or has gone away.
    #[error("the database {what} cannot be reached: {reason}")]
    Unreachable {
        /// The file or server.
        what: String,
        /// What the attempt ended with.
        reason: String,
    },
    /// There is no database where one was expected.
    #[error("there is no database at {what}")]
    Missing {
        /// The file or server.
        what: String,
    },
    /// Something else is where a database was expected. It is left as it is.
    #[error("{what} holds something else than an OpenRMS database: {found}")]
    Foreign {
        /// The server.
        what: String,
        /// Something of what it holds.
        found: String,
    },
    /// The database server does not let this user in.
    #[error("the database refuses to sign in: {reason}")]
    SignIn {
        /// What the server said.
        reason: String,
    },
    /// The user of the database lacks a right.
    #[error("the database user lacks a right: {reason}")]
    Denied {
        /// What the database said.
        reason: String,
    },
    /// The disk is full; nothing was written.
    #[error("no space is left for the database")]
    Full,
    /// The database may only be read.
    #[error("the database cannot be written")]
    ReadOnly,
    /// What is stored cannot be what was written. Nothing is repaired or overwritten.
    #[error("the database is corrupt: {what}")]
    Corrupt {
        /// The file, or the table and the column.
        what: String,
    },
    /// Somebody else changed the configuration meanwhile.
    #[error("the configuration changed meanwhile: expected version {expected}, found {found}")]
    VersionConflict {
        /// The version the change was based on.
        expected: ConfigurationVersion,
        /// The version that is stored.
        found: ConfigurationVersion,
    },
    /// The cluster has ended: what it was stays, and nothing is added to it.
    #[error("the cluster is decommissioned: its configuration cannot be changed any more")]
    Decommissioned,
    /// Somebody else changed how the master key is protected meanwhile.
    #[error("the protection of the master key changed meanwhile: expected version {expected}, \
             found {}", found.map_or_else(|| "none".to_owned(), |found| found.to_string()))]
    KeyProtectionConflict {
        /// The version that was to be replaced.
        expected: i64,
        /// The version that is stored.
        found: Option<i64>,
    },
    /// The database was made by a newer release, which this one must not touch.
    #[error("the database has schema {found}, this release knows schemas up to {supported}")]
    SchemaTooNew {
        /// The schema of the database.
        found: i64,
        /// The newest schema this release knows.
        supported: i64,
    },
    /// An entry that must be new is there already.
    #[error("this {entity} exists already: {id}")]
    AlreadyExists {
        /// What kind of entry.
        entity: Entity,
        /// Its identifier.
        id: String,
    },
    /// An entry that must exist does not.
    #[error("there is no such {entity}: {id}")]
    NotFound {
        /// What kind of entry.
        entity: Entity,
        /// Its identifier.
        id: String,
    },
    /// Somebody else has the database open, who must not have it now.
    #[error("{what} is in use: stop every server of the cluster first")]
    InUse {
        /// The file or server.
        what: String,
    },
    /// Everything was moved to another database.
    #[error("this database was left behind: what it held is now at {to}")]
    Moved {
        /// Where it is now.
        to: String,
    },
    /// A backup was being restored into it, and nobody has seen the end of that.
    #[error("the restore of the backup {backup} into this database was begun and not completed")]
    Unfinished {
        /// The digest of the backup.
        backup: String,
    },
    /// Rows can only be moved into a database that has none.
    #[error("the database is not empty: there are rows in its table {table}")]
    NotEmpty {
        /// The first table with rows.
        table: &'static str,
    },
    /// A value does not fit.
    #[error("{field} cannot be stored: {reason}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The database refused a statement for a reason that has no name here.
    #[error("the database failed: {reason}")]
    Failed {
        /// What the database said.
        reason: String,
    },
}

/// The kinds of entries errors speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entity {
    /// A key pair of the licensor.
    LicensorKey,
    /// A rights policy template.
    Template,
    /// A trusted user domain.
    TrustedUserDomain,
    /// A trusted publishing domain.
    TrustedPublishingDomain,
    /// A trusted SPC issuer key.
    TrustedSpcCaKey,
    /// An excluded application.
    ApplicationExclusion,
    /// An excluded RAC.
    RacExclusion,
    /// A revocation authority.
    RevocationAuthority,
    /// An issued certificate.
    IssuedCertificate,
    /// A role of the trust anchor.
    AuthorityRole,
    /// The protection of the master key.
    KeyProtection,
    /// A server of the cluster.
    Server,
    /// A setting.
    Setting,
    /// A row that is moved from elsewhere.
    Row,
    /// A database.
    Database,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LicensorKey => "licensor key",
            Self::Template => "template",
            Self::TrustedUserDomain => "trusted user domain",
            Self::TrustedPublishingDomain => "trusted publishing domain",
            Self::TrustedSpcCaKey => "trusted SPC issuer key",
            Self::ApplicationExclusion => "application exclusion",
            Self::RacExclusion => "RAC exclusion",
            Self::RevocationAuthority => "revocation authority",
            Self::IssuedCertificate => "issued certificate",
            Self::AuthorityRole => "authority role",
            Self::KeyProtection => "protection of the master key",
            Self::Server => "server",
            Self::Setting => "setting",
            Self::Row => "row",
            Self::Database => "database",
        })
    }
}
