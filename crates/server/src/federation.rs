//! Whether people of other organizations are served (`federationEnabled` and
//! `federatedRacValidityTime` of MS-RMPR 3.1.1.1.1), as the cluster's database says. Whose people
//! those are stands in the configuration file.

use std::time::Duration;

use openrms_store::{Change, Policies, StoreError};

use crate::config::Config;
use crate::open::{OpenError, Opened, blocking};

/// What is set for federated people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Federation {
    /// Whether they are served.
    pub enabled: bool,
    /// How long a RAC of theirs is good for.
    pub rac_validity: Duration,
}

/// Why it cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed, or somebody else changed it meanwhile.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Changes what is set and answers how it is now. Blocks. A server that runs takes it over by
/// itself within half a minute.
pub fn change(
    config: &Config,
    edit: impl FnOnce(&mut Federation) + Send,
) -> Result<Federation, FederationError> {
    blocking(async || {
        let opened = Opened::open(config).await?;
        let stored = opened.store.snapshot().await?;
        let before = stored.policies;
        let mut federation = Federation {
            enabled: before.federation_enabled,
            rac_validity: before.federated_rac_validity,
        };
        edit(&mut federation);
        let after = Policies {
            federation_enabled: federation.enabled,
            federated_rac_validity: federation.rac_validity,
            ..before.clone()
        };
        if after != before {
            let set = [Change::SetPolicies(Box::new(after))];
            opened.store.apply(&set, Some(stored.version)).await?;
        }
        opened.store.close().await;
        Ok(federation)
    })
}
