//! What a client package carries so that clients can join a cluster, served at
//! `/.well-known/openrms/client` and written by `rmsd client-bundle`.
//!
//! It holds a private key on purpose. A client activates itself: it makes its security processor
//! certificate on its own machine and signs it with the SPC issuer's key (MS-RMPR 3.8.3.1), so
//! every client of a hierarchy carries that key, and nobody who can get a client is kept from it.
//! What it proves is that a key pair belongs to *some* client of the hierarchy, never to whom;
//! who somebody is, is decided when they certify, by their password. It can be withdrawn by
//! removing the key above it from the cluster's trusted SPC authorities.

use std::path::PathBuf;

use openrms_crypto::Mode;
use openrms_engine::cluster::ROOT_URL;
use serde::{Deserialize, Serialize};

use crate::authority::{ClientTrust, TrustError};
use crate::config::Config;
use crate::open::{OpenError, Opened, blocking};

/// Everything a client needs to know of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientBundle {
    /// The base URL, ending in `/_wmcs`.
    pub server: String,
    /// The cluster's name, for people.
    pub name: String,
    /// What clients trust and how they activate themselves.
    #[serde(flatten)]
    pub trust: ClientTrust,
}

/// The bundle of the cluster in a data directory. Blocks; the server need not run.
pub fn client_bundle(data_dir: impl Into<PathBuf>) -> Result<ClientBundle, BundleError> {
    let config = Config::for_data_dir(data_dir)?;
    bundle_of(&config, None)
}

/// The bundle of the cluster of a configuration, for machines of its mode or of another one.
pub(crate) fn bundle_of(config: &Config, mode: Option<Mode>) -> Result<ClientBundle, BundleError> {
    blocking(async || {
        let opened = Opened::open(config).await?;
        let snapshot = opened.store.snapshot().await.map_err(TrustError::from)?;
        let roles = opened
            .store
            .authority_roles()
            .await
            .map_err(TrustError::from)?;
        let trust = ClientTrust::load(&roles, &snapshot, &opened.vault, mode)?;
        // Clients of a licensing cluster join at its root cluster.
        let root = snapshot.settings.get(ROOT_URL).cloned();
        let server = root
            .or(snapshot.policies.base_url)
            .ok_or(BundleError::NotProvisioned)?;
        Ok(ClientBundle {
            server,
            name: snapshot.policies.name,
            trust,
        })
    })
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What clients trust is not there.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Nothing was provisioned.
    #[error("the cluster is not provisioned")]
    NotProvisioned,
}
