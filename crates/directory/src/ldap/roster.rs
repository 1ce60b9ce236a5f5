//! Which servers a pool has: those of the settings, or the global catalogs that DNS names. A
//! question that is under way keeps its server, also when the pool lets go of it meanwhile.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

use super::catalogs::{self, Catalog};
use super::pool::Server;
use super::settings::LdapSettings;
use crate::DirectoryError;

/// The servers of a pool. To be used on one runtime only, since searches go on there.
pub(super) struct Roster {
    settings: Arc<LdapSettings>,
    current: Arc<RwLock<Current>>,
    /// Locked while DNS is asked, so that all who wait for servers wait for the same answer.
    searched: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

/// A server of the pool.
pub(super) struct Member {
    pub(super) server: Arc<Server>,
    /// Whether it is to be preferred to those that are not.
    pub(super) is_near: bool,
}

struct Current {
    members: Arc<[Member]>,
    /// Why the last search found nothing.
    failure: Option<DirectoryError>,
}

impl Roster {
    pub(super) fn new(settings: Arc<LdapSettings>) -> Self {
        let member = |url| Member {
            server: Arc::new(Server::new(url)),
            is_near: true,
        };
        let current = Current {
            members: settings.servers.iter().cloned().map(member).collect(),
            failure: None,
        };
        Self {
            settings,
            current: Arc::new(RwLock::new(current)),
            searched: Arc::default(),
        }
    }

    /// The servers as they are now.
    pub(super) fn members(&self) -> Arc<[Member]> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.members)
    }

    /// Why the last search found nothing.
    pub(super) fn failure(&self) -> Option<DirectoryError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.failure.clone()
    }

    /// Looks for servers, and waits for that. False when there are no others to be found; true
    /// when the servers may be others than before.
    pub(super) async fn look(&self) -> bool {
        if !self.settings.finds_servers() {
            return false;
        }
        let searched = Arc::clone(&self.searched).lock_owned().await;
        if is_due(*searched, INTERVAL) {
            // It goes on when whoever asked gives up: others are waiting, too.
            return tokio::spawn(self.search(searched)).await.is_ok();
        }
        true
    }

    /// Looks for servers if nobody does, while those that are left go on answering.
    pub(super) fn look_meanwhile(&self) {
        if !self.settings.finds_servers() {
            return;
        }
        let interval = Duration::from_secs(self.settings.time_retry_slow);
        if let Ok(searched) = Arc::clone(&self.searched).try_lock_owned()
            && is_due(*searched, interval.max(INTERVAL))
        {
            tokio::spawn(self.search(searched));
        }
    }

    fn search(
        &self,
        mut searched: OwnedMutexGuard<Option<Instant>>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (settings, current) = (Arc::clone(&self.settings), Arc::clone(&self.current));
        async move {
            let outcome = catalogs::find(&settings).await;
            let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
            let outcome = outcome.and_then(|found| current.take(found, &settings));
            current.failure = outcome.err();
            if let Some(error) = &current.failure {
                // The servers there were are kept: that DNS fails says nothing of them.
                tracing::warn!(%error, "global catalogs not found");
            }
            *searched = Some(Instant::now());
        }
    }
}

impl Current {
    /// What is known of a server, and the connection to it, stays while it stays.
    fn take(&mut self, found: Vec<Catalog>, settings: &LdapSettings) -> Result<(), DirectoryError> {
        if self.members.is_empty() && found.len() < settings.min_gc {
            let directory = settings.forest.as_ref().map(ToString::to_string);
            return Err(DirectoryError::Unreachable {
                directory: directory.unwrap_or_default(),
                reason: format!(
                    "DNS names {} global catalogs, and `min_gc` is {}",
                    found.len(),
                    settings.min_gc
                ),
            });
        }
        let member = |Catalog { url, is_near }| {
            let same = |member: &&Member| *member.server.url() == url;
            let server = match self.members.iter().find(same) {
                Some(known) => Arc::clone(&known.server),
                None => Arc::new(Server::new(url)),
            };
            Member { server, is_near }
        };
        let members: Arc<[Member]> = found.into_iter().map(member).collect();
        let servers: Vec<_> = members.iter().map(|member| member.server.url()).collect();
        tracing::info!(?servers, "global catalogs found");
        self.members = members;
        Ok(())
    }
}

fn is_due(last: Option<Instant>, interval: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= interval)
}

/// While there is nobody to ask, how often DNS is: seldom enough that requests fail at once
/// instead of waiting each.
const INTERVAL: Duration = Duration::from_secs(1);
