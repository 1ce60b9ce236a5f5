//! What a cluster must remember: its configuration (the `StoredConfiguration` of MS-RMPR
//! 3.1.1.2.2), user key pairs (3.1.1.3.4 and 3.1.1.3.5), and the certificates it issued.
//! One trait, [`Store`]; back ends below it. Beside it [`DirectoryCache`], for what can be lost, and
//! [`logging`], for what was asked and answered.
//! No decisions are taken here.

#![allow(
    clippy::duplicate_mod,
    reason = "what is in `tables` is compiled once for each driver"
)]

mod change;
mod cluster;
mod configuration;
mod directory_cache;
mod error;
mod issued;
mod keys;
mod location;
pub mod logging;
mod moving;
mod policies;
mod postgres;
mod restoring;
mod sqlite;
mod steps;
mod transfer;
mod trust;
mod version;

use std::fmt;

use async_trait::async_trait;

pub use change::Change;
pub use cluster::{ClusterServer, KeyProtection, Upgrade};
pub use configuration::{
    ConfigurationSnapshot, ConfigurationVersion, LicensorKey, Template, TemplateState,
};
pub use directory_cache::{CachedAnswer, DirectoryCache, NewAnswer};
pub use error::{Entity, StoreError};
pub use issued::{CertificateBody, CertificateKind, IssuedCertificate};
pub use keys::{AuthorityRole, SealedBytes, StoredKey};
pub use location::{Found, Location, ToRead};
pub use moving::Moving;
pub use policies::{CryptographicMode, Policies, RevocationType};
pub use postgres::{LocationError, Postgres, PostgresDirectoryCache, PostgresLocation};
pub use restoring::Restoring;
pub use sqlite::{OpenedDirectoryCache, Sqlite, SqliteDirectoryCache};
pub use steps::{Schema, Step};
pub use transfer::{RowSink, RowSource, TABLES, Table, Value};
pub use trust::{
    ApplicationExclusion, EmailDomains, RacExclusion, RevocationAuthority, TrustedPublishingDomain,
    TrustedSpcCaKey, TrustedUserDomain,
};
pub use uuid::Uuid;
pub use version::{ProductVersion, ProductVersionError, VersionRange};

/// The schema of a cluster's database that this release makes, whatever the back end.
pub const SCHEMA: i64 = 4;

/// The databases of a cluster. Every server of it sees the same contents.
///
/// What a method has acknowledged survives a crash of the process and of the machine. When it fails
/// with [`StoreError::Unreachable`], what it was to change may have been changed all the same. Instants
/// are seconds since 1970 UTC and always handed in. Private keys come sealed and leave sealed.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// The version of the stored configuration, to be compared with the one in use (MS-RMPR
    /// 3.1.5). One row: cheap enough for a timer.
    async fn configuration_version(&self) -> Result<ConfigurationVersion, StoreError>;

    /// The whole configuration as it was at one instant.
    async fn snapshot(&self) -> Result<ConfigurationSnapshot, StoreError>;

    /// Makes all `changes`, or none of them, and returns the new version (MS-RMPR 3.1.6.1).
    ///
    /// With `expected`, fails with [`StoreError::VersionConflict`] when the configuration has
    /// changed since that version was read. No changes means no new version.
    async fn apply(
        &self,
        changes: &[Change],
        expected: Option<ConfigurationVersion>,
    ) -> Result<ConfigurationVersion, StoreError>;

    /// The key pair of a user's RACs, `GetUserKeyPair` of MS-RMPR 3.1.1.3.4. `account` is
    /// compared byte for byte: hand in one spelling (a SID, or a mail address in lower case).
    async fn user_key(&self, account: &str) -> Result<Option<StoredKey>, StoreError>;

    /// Stores a user's key pair (MS-RMPR 3.1.1.3.5) unless there is one, and returns the one
    /// that is stored: when two servers race, both get the winner's. Durable when it returns.
    async fn insert_user_key(&self, account: &str, key: StoredKey)
    -> Result<StoredKey, StoreError>;

    /// Removes the key pairs of a user, RAC and CLC both; true when there was a RAC key. The
    /// next RAC gets a new one.
    async fn delete_user_keys(&self, account: &str) -> Result<bool, StoreError>;

    /// The key pair of the CLC that goes with one RAC key of a user. `rac_key` identifies the
    /// RAC's public key: its modulus or a digest of it.
    async fn client_key(
        &self,
        account: &str,
        rac_key: &[u8],
    ) -> Result<Option<StoredKey>, StoreError>;

    /// Stores a CLC key pair unless there is one; as [`Store::insert_user_key`].
    async fn insert_client_key(
        &self,
        account: &str,
        rac_key: &[u8],
        key: StoredKey,
    ) -> Result<StoredKey, StoreError>;

    /// Writes down a certificate that was issued. A GUID that is present already is
    /// [`StoreError::AlreadyExists`].
    async fn record_issued(&self, certificate: &IssuedCertificate) -> Result<(), StoreError>;

    /// The issued certificate with this GUID.
    async fn issued(&self, guid: Uuid) -> Result<Option<IssuedCertificate>, StoreError>;

    /// How many accounts have ever been issued a RAC: the account certification report.
    /// Temporary RACs do not count.
    async fn certified_users(&self) -> Result<u64, StoreError>;

    /// All roles of the trust anchor, by name.
    async fn authority_roles(&self) -> Result<Vec<AuthorityRole>, StoreError>;

    /// How the cluster's master key is protected; none when that is a matter of each server.
    async fn key_protection(&self) -> Result<Option<KeyProtection>, StoreError>;

    /// Sets how the master key is protected, in the place of the version that `replaces` names. With
    /// `None` it is set for the first time, and one that is there is
    /// [`StoreError::AlreadyExists`]; when another version is stored, or none, it is
    /// [`StoreError::KeyProtectionConflict`].
    async fn set_key_protection(
        &self,
        document: &str,
        replaces: Option<i64>,
    ) -> Result<KeyProtection, StoreError>;

    /// Puts down that a server is there. When its name is known already, everything but the time
    /// of joining and its last upgrade is replaced.
    async fn register_server(&self, server: &ClusterServer) -> Result<(), StoreError>;

    /// The servers of the cluster, by name.
    async fn servers(&self) -> Result<Vec<ClusterServer>, StoreError>;

    /// Puts down which version of RMS a server on the list behaves as, and its last upgrade, or that
    /// nothing is known of them; true when it is on the list.
    async fn record_upgrade(
        &self,
        name: &str,
        service_level: Option<&str>,
        upgrade: Option<&Upgrade>,
    ) -> Result<bool, StoreError>;

    /// Strikes a server from the list; true when it was there.
    async fn remove_server(&self, name: &str) -> Result<bool, StoreError>;

    /// Returns when another server may have changed the configuration or the protection of the
    /// master key. It never does where servers cannot tell each other, and what is said while a
    /// connection is lost is not heard: look at the version from time to time as well. Dropping
    /// it loses nothing.
    async fn changed(&self);

    /// Hands over all rows of all tables as they are at one instant, in the order of [`TABLES`] and
    /// of their keys.
    async fn export(&self, sink: &mut dyn RowSink) -> Result<(), StoreError>;

    /// Takes all rows, or none, into a database that holds nothing yet; another one is
    /// [`StoreError::NotEmpty`]. They come in the order of [`TABLES`].
    async fn import(&self, source: &mut dyn RowSource) -> Result<(), StoreError>;

    /// Waits for statements under way and closes the database.
    async fn close(&self);
}
