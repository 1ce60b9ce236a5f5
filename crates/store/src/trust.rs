//! Whom a cluster trusts and whom it excludes.

use serde::{Deserialize, Serialize};

use crate::{ProductVersion, SealedBytes};

/// Another cluster whose RACs are honored (`trustedRacIssuers` of MS-RMPR 3.1.1.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedUserDomain {
    /// Chosen by whoever stores it, unique: the fingerprint of the SLC's key.
    pub id: String,
    /// The SLC chain, leaf first, concatenated.
    pub slc_chain: String,
    /// What administrators call it.
    pub friendly_name: String,
    /// Whether its RACs are trusted with SIDs.
    pub allow_sid: bool,
    /// Whether its RACs of federated people are honored, whom its own directory does not know.
    pub allow_federated: bool,
    /// Which mail addresses of it are trusted.
    pub email_domains: EmailDomains,
}

/// Which mail addresses of a trusted user domain are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailDomains {
    /// All of them.
    All,
    /// Those in these domains and in their sub-domains.
    Only(Vec<String>),
}

/// Another cluster on whose behalf use licenses may be issued (`TrustedLicensingServer`,
/// MS-RMPR 3.1.1.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedPublishingDomain {
    /// Chosen by whoever stores it, unique: the fingerprint of the SLC's key.
    pub id: String,
    /// What administrators call it.
    pub friendly_name: String,
    /// The SLC chain, leaf first, concatenated.
    pub slc_chain: String,
    /// Its private key, sealed.
    pub sealed_private_key: SealedBytes,
    /// The texts of its rights policy templates.
    pub templates: Vec<String>,
}

/// A key that may issue security processor certificates (`trustedSpcCAKeys`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedSpcCaKey {
    /// The modulus, little-endian.
    pub modulus: Vec<u8>,
    /// The public exponent.
    pub exponent: u32,
    /// What administrators call it.
    pub name: String,
}

/// An application excluded in use licenses (`ApplicationExclusionEntry`, MS-RMPR 3.1.1.1.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationExclusion {
    /// Chosen by whoever stores it, unique.
    pub id: String,
    /// The file name of the program.
    pub filename: String,
    /// The lowest excluded version.
    pub minimum_version: ProductVersion,
    /// The highest excluded version.
    pub maximum_version: ProductVersion,
    /// For administrators.
    pub description: String,
}

/// A RAC that gets no more licenses (`racExclusionPolicy`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RacExclusion {
    /// The modulus of its public key, little-endian.
    pub modulus: Vec<u8>,
    /// The account it was issued to, where known.
    pub account: Option<String>,
    /// When the RAC expires and the entry may go, in seconds since 1970 UTC.
    pub expires: Option<i64>,
    /// When it was excluded, in seconds since 1970 UTC.
    pub created: i64,
}

/// A third party that may revoke the SLC (`RevocationAuthorityInformation`, MS-RMPR 3.6.4.1.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationAuthority {
    /// Its RSA public key in PKCS#1 form.
    pub public_key: Vec<u8>,
    /// What administrators call it.
    pub name: String,
}
