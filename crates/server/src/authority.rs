//! The trust anchor of a hierarchy as this server keeps it, and what it hands out: the SPC issuer
//! and the public anchors.
//!
//! A hierarchy of our own is stored by role. A cluster that enrolled with another authority keeps
//! what that authority handed to it for its clients, as one setting.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_engine::authority::{self, AuthorityError, NewHierarchy};
use openrms_engine::keys::KeyVault;
use openrms_store::{AuthorityRole, ConfigurationSnapshot, SealedBytes, Store, StoreError};
use openrms_xrml::anchors::Anchors;
use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;
use crate::files;

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
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(String, io::Error),
    /// What is stored is damaged.
    #[error("the stored {0} is damaged: {1}")]
    Damaged(&'static str, String),
}

impl ClientTrust {
    /// From the stored hierarchy, or from what another authority handed over.
    pub(crate) fn load(
        roles: &[AuthorityRole],
        snapshot: &ConfigurationSnapshot,
        vault: &KeyVault,
    ) -> Result<Self, TrustError> {
        if let Some(text) = snapshot.settings.get(FOREIGN) {
            return serde_json::from_str(text)
                .map_err(|error| TrustError::Damaged("client trust", error.to_string()));
        }
        let issuer = authority::spc_issuer(roles, vault)?;
        let pem = String::from_utf8(issuer.key.to_pem().expose().to_vec())
            .map_err(|error| TrustError::Damaged("SPC issuer", error.to_string()))?;
        Ok(Self {
            anchors_xml: authority::anchors(roles)?.to_xml(),
            spc_issuer_key_pem: pem,
            spc_issuer_chain: issuer.chain,
        })
    }

    /// The anchors.
    pub fn anchors(&self) -> Result<Anchors, TrustError> {
        Anchors::from_xml(&self.anchors_xml)
            .map_err(|error| TrustError::Damaged("set of anchors", error.to_string()))
    }
}

/// A new hierarchy on its way into the database, in a file so that a process that is killed
/// half-way finds the same keys again: two halves of two hierarchies would fit nowhere.
pub(crate) struct Pending<'d>(&'d DataDir);

#[derive(Serialize, Deserialize)]
struct PendingRole {
    role: String,
    sealed: String,
    certificate: String,
    created: i64,
}

impl<'d> Pending<'d> {
    /// Writes down a new hierarchy. Its keys are sealed.
    pub(crate) fn write(dir: &'d DataDir, hierarchy: &NewHierarchy) -> Result<Self, TrustError> {
        let roles: Vec<_> = hierarchy.roles.iter().map(PendingRole::from).collect();
        let text = serde_json::to_vec(&roles)
            .map_err(|error| TrustError::Damaged(PENDING, error.to_string()))?;
        let path = dir.pending_hierarchy();
        files::create_private(&path, &text)
            .map_err(|error| TrustError::File(path.display().to_string(), error))?;
        Ok(Self(dir))
    }

    /// The hierarchy that an earlier attempt wrote down.
    pub(crate) fn find(dir: &'d DataDir) -> Option<Self> {
        dir.pending_hierarchy().exists().then_some(Self(dir))
    }

    /// Brings it into the database; what is there already stays.
    pub(crate) async fn store(&self, store: &dyn Store) -> Result<(), TrustError> {
        let path = self.0.pending_hierarchy();
        let bytes = files::read_limited(&path, 1 << 20)
            .map_err(|error| TrustError::File(path.display().to_string(), error))?;
        let damaged = |error: String| TrustError::Damaged(PENDING, error);
        let roles: Vec<PendingRole> =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        for role in roles {
            let sealed = STANDARD
                .decode(&role.sealed)
                .map_err(|e| damaged(e.to_string()))?;
            store
                .insert_authority_role(AuthorityRole {
                    role: role.role,
                    sealed_private_key: SealedBytes::new(sealed),
                    certificate: role.certificate,
                    created: role.created,
                })
                .await?;
        }
        Ok(())
    }

    /// Forgets the file, once everything is stored.
    pub(crate) fn done(self) -> Result<(), TrustError> {
        let path = self.0.pending_hierarchy();
        std::fs::remove_file(&path)
            .map_err(|error| TrustError::File(path.display().to_string(), error))
    }
}

impl From<&AuthorityRole> for PendingRole {
    fn from(role: &AuthorityRole) -> Self {
        Self {
            role: role.role.clone(),
            sealed: STANDARD.encode(role.sealed_private_key.as_slice()),
            certificate: role.certificate.clone(),
            created: role.created,
        }
    }
}

/// Setting that holds what another authority handed over.
pub(crate) const FOREIGN: &str = "client-trust";
const PENDING: &str = "pending hierarchy";
