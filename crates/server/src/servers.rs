//! The servers of a cluster, which are all alike. Each puts itself on the list in the database and
//! says from time to time that it is there.

use openrms_store::{ClusterServer, Store, StoreError};
use serde::Serialize;

use crate::clock;
use crate::config::Config;

/// What this server is called among those of its cluster.
pub(crate) fn name(config: &Config) -> String {
    config.server_name.clone().unwrap_or_else(|| {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    })
}

/// A server of the cluster, as people and scripts are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedServer {
    /// Its name.
    pub name: String,
    /// Where the others reach it.
    pub address: String,
    /// The release that it is.
    pub version: String,
    /// When it first joined.
    pub joined: String,
    /// When it last said that it is there.
    pub last_seen: String,
    /// The version of RMS as which it behaves, where that was said.
    pub service_level: Option<String>,
    /// Its last upgrade.
    pub upgrade: Option<ListedUpgrade>,
}

/// An upgrade of a server, as people and scripts are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedUpgrade {
    /// The release it was.
    pub from: String,
    /// The release it is from its next start on.
    pub to: String,
    /// When.
    pub at: String,
}

impl ListedServer {
    pub(crate) fn of(server: &ClusterServer) -> Self {
        let instant = |seconds| {
            let instant = jiff::Timestamp::from_second(seconds);
            instant.map_or_else(|_| String::new(), |at| at.to_string())
        };
        Self {
            name: server.name.clone(),
            address: server.address.clone(),
            version: server.version.clone(),
            joined: instant(server.joined),
            last_seen: instant(server.last_seen),
            service_level: server.service_level.clone(),
            upgrade: server.upgrade.as_ref().map(|upgrade| ListedUpgrade {
                from: upgrade.from.clone(),
                to: upgrade.to.clone(),
                at: instant(upgrade.at),
            }),
        }
    }
}

/// Puts this server on the list, or says that it is still there.
pub(crate) async fn say_here(store: &dyn Store, config: &Config) -> Result<(), StoreError> {
    let now = clock::now().unix();
    let address = config
        .tls
        .iter()
        .flat_map(|tls| &tls.listen)
        .chain(&config.listen)
        .next();
    store
        .register_server(&ClusterServer {
            name: name(config),
            joined: now,
            last_seen: now,
            version: RELEASE.into(),
            address: address.map(ToString::to_string).unwrap_or_default(),
            service_level: Some(config.service_level.name().into()),
            upgrade: None,
        })
        .await
}

/// This release.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");
