//! The scalar settings of a cluster (MS-RMPR 3.1.1.1.1), changed by whoever administers it. A server
//! that runs takes a change over by itself within half a minute.

use openrms_store::{Change, Policies, StoreError};

use crate::config::Config;
use crate::open::{OpenError, Opened, blocking};

/// Why they cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed, or somebody else changed it meanwhile.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Changes them and answers how they are now. Blocks.
pub fn change(
    config: &Config,
    edit: impl FnOnce(&mut Policies) + Send,
) -> Result<Policies, PoliciesError> {
    blocking(async || {
        let opened = Opened::open(config).await?;
        let stored = opened.store.snapshot().await?;
        let mut policies = stored.policies.clone();
        edit(&mut policies);
        if policies != stored.policies {
            let set = [Change::SetPolicies(Box::new(policies.clone()))];
            opened.store.apply(&set, Some(stored.version)).await?;
        }
        opened.store.close().await;
        Ok(policies)
    })
}
