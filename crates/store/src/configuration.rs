//! The configuration as a whole, at one instant.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use crate::{
    ApplicationExclusion, CryptographicMode, Policies, RacExclusion, RevocationAuthority,
    SealedBytes, TrustedPublishingDomain, TrustedSpcCaKey, TrustedUserDomain,
};

/// Everything servers need to answer requests, read in one transaction: the
/// `StoredConfiguration` of MS-RMPR 3.1.1.2.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationSnapshot {
    /// The version this is.
    pub version: ConfigurationVersion,
    /// The scalar fields.
    pub policies: Policies,
    /// Further settings by name, which the specification does not know.
    pub settings: BTreeMap<String, String>,
    /// The server's own key pairs and SLC chains, oldest first.
    pub licensor_keys: Vec<LicensorKey>,
    /// Rights policy templates, published and archived.
    pub templates: Vec<Template>,
    /// Whose RACs are honored besides the cluster's own.
    pub trusted_user_domains: Vec<TrustedUserDomain>,
    /// On whose behalf use licenses may be issued.
    pub trusted_publishing_domains: Vec<TrustedPublishingDomain>,
    /// Who may issue security processor certificates.
    pub trusted_spc_ca_keys: Vec<TrustedSpcCaKey>,
    /// Applications excluded in use licenses.
    pub application_exclusions: Vec<ApplicationExclusion>,
    /// RACs that get no more licenses.
    pub rac_exclusions: Vec<RacExclusion>,
    /// Who may revoke the SLC.
    pub revocation_authorities: Vec<RevocationAuthority>,
}

impl ConfigurationSnapshot {
    /// The key pair in use: the newest that is certified and not retired, or else the newest that
    /// waits for its first certificate.
    pub fn current_licensor_key(&self) -> Option<&LicensorKey> {
        let mut in_service = self.licensor_keys.iter().rev().filter(|key| !key.retired);
        let newest = in_service.clone().next();
        in_service.find(|key| !key.slc_chain.is_empty()).or(newest)
    }

    /// The key pair that is to take the place of the one in use, and waits for its certificate.
    pub fn next_licensor_key(&self) -> Option<&LicensorKey> {
        let newest = self.licensor_keys.iter().rev().find(|key| !key.retired)?;
        let current = self.current_licensor_key()?;
        (newest.id != current.id).then_some(newest)
    }
}

/// The version of the configuration, 0 at installation, at most one million, after which it
/// starts again at 1 (MS-RMPR 3.1.6.1). Versions can therefore be told apart, not ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ConfigurationVersion(u32);

impl ConfigurationVersion {
    /// The version with this number; `None` above one million.
    pub const fn new(number: u32) -> Option<Self> {
        if number <= HIGHEST {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 >= HIGHEST {
            Self(1)
        } else {
            Self(self.0 + 1)
        }
    }
}

impl fmt::Display for ConfigurationVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key pair of the server with the SLC chain that certifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicensorKey {
    /// Chosen by whoever stores it, unique and never reused: the public key's fingerprint.
    pub id: String,
    /// The GUID of the server in the SLC.
    pub guid: Uuid,
    /// The mode the key is for.
    pub mode: CryptographicMode,
    /// The private key, sealed.
    pub sealed_private_key: SealedBytes,
    /// The SLC chain, leaf first, concatenated; empty until enrollment is done.
    pub slc_chain: String,
    /// When it was made, in seconds since 1970 UTC.
    pub created: i64,
    /// A retired key opens old content and signs nothing.
    pub retired: bool,
}

/// A rights policy template (MS-RMPR 2.2.9.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its GUID.
    pub guid: Uuid,
    /// The signed XrML text.
    pub xrml: String,
    /// Whether clients are offered it.
    pub state: TemplateState,
    /// When it was last changed, in seconds since 1970 UTC.
    pub updated: i64,
}

/// Whether a template is distributed (MS-RMPR 3.1.1.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TemplateState {
    /// Distributed to clients, and used in licensing.
    Published,
    /// Used in licensing only.
    Archived,
}

const HIGHEST: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_after_one_million_is_one() {
        let version = |n| ConfigurationVersion::new(n).unwrap();
        assert_eq!(version(0).next(), version(1));
        assert_eq!(version(999_999).next(), version(1_000_000));
        assert_eq!(version(1_000_000).next(), version(1));
        assert_eq!(ConfigurationVersion::new(1_000_001), None);
    }
}
