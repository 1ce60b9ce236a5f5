//! Who an account is, which addresses are its own and which groups it is in.
//! The abstract interfaces `GetDirectoryForAccount` and `GetEmailAddressForAccount` of
//! MS-RMPR 3.1.1.3, the `DomainAccount` of 3.1.1.1.5, and the group expansion that rights need.

mod account;
mod address;
mod builtin;
mod cache;
pub mod dns;
mod forests;
#[cfg(unix)]
#[doc(hidden)]
pub mod fuzzing;
// What signs in to a directory is the system's Kerberos, which clients on Windows do without.
#[cfg(unix)]
mod ldap;
mod memberships;
mod names;
mod people;
mod people_file;
mod sid;
mod sign_in;

use std::sync::Arc;

use async_trait::async_trait;

pub use account::{Account, AccountRef, Identity};
pub use address::{Address, AddressError};
pub use builtin::BuiltIn;
pub use cache::{
    AnswerKind, AnswerSeal, AnswerStore, AnswerStoreError, CacheCounters, CacheSettings,
    CachedDirectory, CachedForests, Clock, FoundAnswer, KeptAnswer, MAX_SEALED, SecondLevel,
    SecondLevelCounters, StoredAnswer, TableCounters, WallClock,
};
pub use forests::{ForeignForests, ForeignQuestion, NoForeignForests};
#[cfg(unix)]
pub use ldap::{
    LdapCounters, LdapDirectory, LdapSecrets, LdapSettings, LdapSettingsError, LdapSignIn,
    ServerUrl, ServerUrlError, SiteName, SiteNameError, Transport, scp,
};
pub use memberships::{ForeignGroup, Memberships, MembershipsBuilder};
pub use names::{AccountName, AccountNameError, ForestName, ForestNameError};
pub use people::{Contact, Group, Member, NewPerson, PasswordHash, People, PeopleError, Person};
pub use sid::{Sid, SidError};
pub use sign_in::SignInError;

/// A store of accounts and groups: the *Directory* of MS-RMPR 3.1.1.1.7.
///
/// An unknown account is never an error: it is `None`, or memberships that hold nothing but what
/// the caller already knew. Errors mean that the question could not be answered, and whoever asks
/// must then refuse rather than assume.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The account that a SID, an account name or a mail address names.
    ///
    /// A disabled account is returned with `enabled` false; groups and contacts are not accounts.
    async fn account(&self, who: &AccountRef) -> Result<Option<Account>, DirectoryError>;

    /// Everything `who` is, transitively: own SIDs and addresses, and those of every group.
    ///
    /// A SID decides which account is meant. Without one, the addresses do. When the SID is
    /// given and the account that holds the address has another SID, no group of that account
    /// is granted: an address may have been handed to another person. The addresses in `who`
    /// are always own addresses of the answer, since the RAC vouches for them.
    async fn memberships(&self, who: &Identity) -> Result<Arc<Memberships>, DirectoryError>;

    /// The forest this directory answers for (`ForestName` of MS-RMPR 3.1.1.2.4).
    fn home_forest(&self) -> &ForestName;

    /// The forest an account, group or contact belongs to (MS-RMPR 3.1.1.3.1); for a contact
    /// object the forest it stands for. `None` when the directory knows nothing by that name.
    async fn forest_of(&self, who: &AccountRef) -> Result<Option<ForestName>, DirectoryError>;

    /// The groups of other forests that are in the group with this address, directly or through
    /// nested groups; the group itself where this directory knows it as a contact. A contact does
    /// not tell whether it stands for a group: one that stands for a person is told as well.
    async fn foreign_groups_in(
        &self,
        group: &Address,
    ) -> Result<Arc<[ForeignGroup]>, DirectoryError>;
}

/// Whether `who` is in the group with this address, directly or through nested groups.
///
/// Used for the super users group (MS-RMPR 3.1.1.1.1, `superUserGroup`). The identity's own
/// address never counts: somebody whose address equals the group's is not thereby a member.
pub async fn is_member(
    directory: &dyn Directory,
    who: &Identity,
    group: &Address,
) -> Result<bool, DirectoryError> {
    Ok(directory.memberships(who).await?.is_in_group(group.key()))
}

/// Why a directory could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// No server of the directory could be reached.
    #[error("the directory {directory} cannot be reached: {reason}")]
    Unreachable {
        /// Which directory or forest was asked.
        directory: String,
        /// What the attempt ended with.
        reason: String,
    },
    /// The directory did not answer in the time it is given.
    #[error("the directory {directory} did not answer in time")]
    Timeout {
        /// Which directory or forest was asked.
        directory: String,
    },
    /// The answer would exceed a limit set against runaway expansion.
    #[error("directory limit exceeded: {what}")]
    LimitExceeded {
        /// Which limit, in words.
        what: &'static str,
    },
    /// The directory answered something that cannot be understood.
    #[error("the directory gave an invalid {field}: {reason}")]
    Invalid {
        /// Which attribute.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory cannot be signed in to with Kerberos: there is no ticket, it is not taken, or
    /// the server cannot prove who it is.
    #[error("the directory {directory} cannot be signed in to: {reason}")]
    SignIn {
        /// Which directory or forest was asked.
        directory: String,
        /// What the attempt ended with.
        reason: String,
    },
    /// The directory refused the service account.
    #[error("the directory {directory} refused the service account")]
    Refused {
        /// Which directory or forest was asked.
        directory: String,
    },
}
