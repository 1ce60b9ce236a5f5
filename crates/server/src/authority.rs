//! The trust anchor of a hierarchy as this server keeps it, and what it hands out: the SPC issuer
//! and the public anchors.
//!
//! A hierarchy of our own is stored by role. A cluster that enrolled with another authority keeps
//! what that authority handed to it for its clients, as one setting.

use openrms_crypto::Mode;
use openrms_engine::authority::{self, AuthorityError};
use openrms_engine::cluster::mode_of;
use openrms_engine::keys::KeyVault;
use openrms_store::{AuthorityRole, Change, ConfigurationSnapshot, StoreError};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::{Time, chain};
use serde::{Deserialize, Serialize};

use crate::open::Opened;

/// What clients need in order to join: no secrets between clients (see [`crate::bundle`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTrust {
    /// The anchors, as an exchange file.
    pub anchors_xml: String,
    /// The SPC issuer's private key, PKCS#8 PEM.
    pub spc_issuer_key_pem: String,
    /// The SPC issuer's chain, leaf first, concatenated.
    pub spc_issuer_chain: String,
}

/// Why there is nothing to hand out, or no hierarchy can be kept.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The hierarchy is incomplete or damaged.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is damaged.
    #[error("the stored {0} is damaged: {1}")]
    Damaged(&'static str, String),
}

impl ClientTrust {
    /// From the stored hierarchy, or from what another authority handed over: of the cluster's mode,
    /// or of the newest one where there is no cluster, when no other is asked for.
    pub(crate) fn load(
        roles: &[AuthorityRole],
        snapshot: &ConfigurationSnapshot,
        vault: &KeyVault,
        mode: Option<Mode>,
    ) -> Result<Self, TrustError> {
        if let Some(text) = snapshot.settings.get(FOREIGN) {
            let trust = Self::parse(text)?;
            return match mode.filter(|mode| trust.mode().ok() != Some(*mode)) {
                Some(mode) => Err(AuthorityError::OtherMode(mode).into()),
                None => Ok(trust),
            };
        }
        let current = snapshot.current_licensor_key();
        let mode = match mode.or(current.map(|key| mode_of(key.mode))) {
            Some(mode) => mode,
            None => authority::newest_mode(roles)?,
        };
        let issuer = authority::spc_issuer(roles, vault, mode)?;
        let pem = String::from_utf8(issuer.key.to_pem().expose().to_vec())
            .map_err(|error| TrustError::Damaged("SPC issuer", error.to_string()))?;
        Ok(Self {
            anchors_xml: authority::anchors(roles)?.to_xml(),
            spc_issuer_key_pem: pem,
            spc_issuer_chain: issuer.chain,
        })
    }

    /// What another authority handed over, as it is stored.
    pub(crate) fn parse(text: &str) -> Result<Self, TrustError> {
        serde_json::from_str(text)
            .map_err(|error| TrustError::Damaged("client trust", error.to_string()))
    }

    /// The mode of the machines that are activated with it.
    pub(crate) fn mode(&self) -> Result<Mode, TrustError> {
        let damaged = |error: String| TrustError::Damaged("SPC issuer's chain", error);
        let nodes = chain::parse_verified(&self.spc_issuer_chain)
            .map_err(|error| damaged(error.to_string()))?;
        let key = nodes.first().and_then(|node| node.principal_key());
        let modes = [Mode::One, Mode::Two];
        let mode = modes
            .into_iter()
            .find(|mode| key.is_some_and(|key| key.bits() == mode.rsa_bits()));
        mode.ok_or_else(|| damaged("its key belongs to no mode".into()))
    }

    /// The anchors.
    pub fn anchors(&self) -> Result<Anchors, TrustError> {
        Anchors::from_xml(&self.anchors_xml)
            .map_err(|error| TrustError::Damaged("set of anchors", error.to_string()))
    }
}

/// Has a trust anchor activate clients of version 1.0 besides. Says whether that is new: another server
/// of the cluster may do so at the same time.
pub(crate) async fn add_activation(opened: &Opened, now: Time) -> Result<bool, TrustError> {
    let store = &opened.store;
    let mut attempts = 0;
    loop {
        let version = store.configuration_version().await?;
        let roles = store.authority_roles().await?;
        let added = authority::added_for_activation(&roles, &*opened.provider, now)?;
        let changes: Vec<_> = added.into_iter().map(Change::AddAuthorityRole).collect();
        attempts += 1;
        match store.apply(&changes, Some(version)).await {
            Err(StoreError::VersionConflict { .. }) if attempts < ATTEMPTS => {}
            applied => return Ok(applied.map(|_| !changes.is_empty())?),
        }
    }
}

/// Setting that holds what another authority handed over.
pub(crate) const FOREIGN: &str = "client-trust";
/// How often others may be quicker.
const ATTEMPTS: u32 = 5;
