//! Active Directory, or another LDAP directory with its attributes, as a [`Directory`]
//! (MS-RMPR 3.1.1.1.7). Users, groups and contacts are read as they are when asked for; put a
//! [`crate::CachedDirectory`] in front.

mod catalogs;
mod channel;
mod connection;
mod descent;
mod entry;
mod finder;
pub(crate) mod first_messages;
mod health;
mod kerberos;
mod layout;
mod object;
mod pool;
mod pump;
mod roster;
pub mod scp;
mod secrets;
mod settings;
mod task;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use self::connection::Connector;
use self::finder::Finder;
use self::layout::Layout;
use self::pool::Pool;
use self::task::Task;
use crate::{
    Account, AccountRef, Address, Directory, DirectoryError, ForeignGroup, ForestName, Identity,
    Memberships,
};

pub use self::catalogs::{SiteName, SiteNameError, Transport};
pub use self::pool::LdapCounters;
pub use self::secrets::{LdapSecrets, LdapSignIn};
pub use self::settings::{LdapSettings, LdapSettingsError, ServerUrl, ServerUrlError};

/// A directory that is asked over LDAP.
///
/// An answer does not depend on luck: an address that several objects have is an error
/// ([`DirectoryError::Invalid`]), since nobody can tell which of them is meant, and an expansion
/// that would break off at a limit is one as well.
///
/// Accounts are users; computers and managed service accounts too when asked for by SID or name,
/// but not by address. The memberships hold no `foreign` groups: a large directory cannot list
/// its contacts, so whoever needs to know asks [`Directory::forest_of`] for a group's address.
pub struct LdapDirectory {
    pool: Arc<Pool>,
    finder: Arc<OnceCell<Finder>>,
    runtime: Handle,
}

impl LdapDirectory {
    /// Prepares a directory. Nothing is connected to before the first question.
    ///
    /// All connections live on `runtime`, which must have its time and I/O drivers on and be
    /// running as long as questions are asked; they may be asked from any other.
    pub fn new(
        settings: LdapSettings,
        secrets: LdapSecrets,
        runtime: Handle,
    ) -> Result<Self, LdapSettingsError> {
        settings.check()?;
        let forest = settings.home_forest()?;
        let connector = Connector::new(&settings, secrets)?;
        Ok(Self {
            pool: Arc::new(Pool::new(settings, forest, connector)),
            finder: Arc::default(),
            runtime,
        })
    }

    /// What was asked since the start, and how the servers are now.
    pub fn counters(&self) -> LdapCounters {
        self.pool.counters()
    }

    async fn ask<T, Q>(
        &self,
        limit: Duration,
        question: impl FnOnce(Finder) -> Q + Send + 'static,
    ) -> Result<T, DirectoryError>
    where
        T: Send + 'static,
        Q: Future<Output = Result<T, DirectoryError>> + Send,
    {
        let pool = Arc::clone(&self.pool);
        let cell = Arc::clone(&self.finder);
        let task = Task::start(&self.runtime, async move {
            let answer = async {
                let finder = cell.get_or_try_init(|| finder(Arc::clone(&pool))).await?;
                question(finder.clone()).await
            };
            match tokio::time::timeout(limit, answer).await {
                Ok(answer) => answer,
                Err(_) => Err(DirectoryError::Timeout {
                    directory: pool.forest().to_string(),
                }),
            }
        });
        match task.await {
            Ok(answer) => answer,
            Err(_) => Err(self.pool.broken()),
        }
    }
}

/// Once in the life of a directory.
async fn finder(pool: Arc<Pool>) -> Result<Finder, DirectoryError> {
    let layout = Layout::read(&pool).await?;
    tracing::info!(forest = %pool.forest(), base = layout.base, "directory found");
    Ok(Finder::new(pool, Arc::new(layout)))
}

#[async_trait]
impl Directory for LdapDirectory {
    async fn account(&self, who: &AccountRef) -> Result<Option<Account>, DirectoryError> {
        let who = who.clone();
        self.ask(self.pool.settings().look_up_limit(), |finder| async move {
            let Some(object) = finder.find(&who).await? else {
                return Ok(None);
            };
            let layout = finder.layout();
            object.account(finder.pool().forest(), |dn| layout.domain_of(dn))
        })
        .await
    }

    async fn memberships(&self, who: &Identity) -> Result<Arc<Memberships>, DirectoryError> {
        let who = who.clone();
        self.ask(
            self.pool.settings().expansion_limit(),
            |finder| async move { walk::memberships(&finder, &who).await.map(Arc::new) },
        )
        .await
    }

    fn home_forest(&self) -> &ForestName {
        self.pool.forest()
    }

    async fn forest_of(&self, who: &AccountRef) -> Result<Option<ForestName>, DirectoryError> {
        let who = who.clone();
        self.ask(self.pool.settings().look_up_limit(), |finder| async move {
            let object = finder.find(&who).await?;
            Ok(object.and_then(|object| object.forest(finder.pool().forest())))
        })
        .await
    }

    async fn foreign_groups_in(
        &self,
        group: &Address,
    ) -> Result<Arc<[ForeignGroup]>, DirectoryError> {
        let group = group.clone();
        self.ask(
            self.pool.settings().expansion_limit(),
            |finder| async move {
                let found = descent::foreign_groups(&finder, &group).await?;
                Ok(found.into())
            },
        )
        .await
    }
}
