//! What is there before anything is done: read, and not changed.

use std::sync::Arc;

use openrms_engine::authority;
use openrms_store::{
    AuthorityRole, ClusterServer, ConfigurationSnapshot, Schema, Store, StoreError,
};

use super::UpgradeError;
use super::perform::Step;
use super::release::RELEASE;
use crate::config::Config;
use crate::open::OpenError;
use crate::servers;

/// What is where the configuration says that the cluster is.
pub(super) enum Found {
    /// Nothing, and nothing says that there should be.
    Nothing,
    /// A database that cannot be served by this release, or not yet, or not be reached.
    Closed(StoreError),
    /// A cluster.
    Cluster(Box<Survey>),
}

/// A cluster, as it is.
pub(super) struct Survey {
    /// To be read.
    pub(super) store: Arc<dyn Store>,
    pub(super) schema: Schema,
    pub(super) stored: ConfigurationSnapshot,
    pub(super) roles: Vec<AuthorityRole>,
    pub(super) servers: Vec<ClusterServer>,
    /// What this server is called among them.
    name: String,
}

/// Looks what is there.
pub(super) async fn look(config: &Config) -> Result<Found, UpgradeError> {
    let location = config.database.location().map_err(OpenError::from)?;
    let read = match location.open_to_read().await {
        // A configuration that names a cluster was made with it.
        Err(StoreError::Missing { .. }) if config.url.is_none() => return Ok(Found::Nothing),
        Err(error) => return Ok(Found::Closed(error)),
        Ok(read) => read,
    };
    let store = read.store;
    Ok(Found::Cluster(Box::new(Survey {
        stored: store.snapshot().await?,
        roles: store.authority_roles().await?,
        servers: store.servers().await?,
        schema: read.schema,
        store,
        name: servers::name(config),
    })))
}

impl Survey {
    /// What is known of this server; none where it never served.
    pub(super) fn own(&self) -> Option<&ClusterServer> {
        self.servers.iter().find(|server| server.name == self.name)
    }

    /// What this release finds missing, in the order in which it is added.
    pub(super) fn missing(&self) -> Vec<Step> {
        let mut missing: Vec<_> = self
            .schema
            .missing
            .iter()
            .map(|step| Step::Schema {
                number: step.number,
            })
            .collect();
        if authority::lacks_activation(&self.roles) {
            missing.push(Step::Activation);
        }
        missing.extend(self.own().and_then(|server| {
            let upgraded_to = server.upgrade.as_ref().map(|upgrade| upgrade.to.as_str());
            let is_recorded = server.version == RELEASE || upgraded_to == Some(RELEASE);
            (!is_recorded).then(|| Step::Server {
                name: server.name.clone(),
                from: server.version.clone(),
                to: RELEASE.to_owned(),
            })
        }));
        missing
    }
}
