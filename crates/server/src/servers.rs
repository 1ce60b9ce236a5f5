//! The servers of a cluster, which are all alike. Each puts itself on the list in the database and
//! says from time to time that it is there.

use openrms_store::{ClusterServer, Store, StoreError};

use crate::clock;
use crate::config::Config;

/// What this server is called among those of its cluster.
pub(crate) fn name(config: &Config) -> String {
    config.server_name.clone().unwrap_or_else(|| {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    })
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
