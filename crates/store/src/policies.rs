//! The policies of a server: the scalar fields of `ServerConfiguration` (MS-RMPR 3.1.1.1.1)
//! with the defaults of 3.1.3.3.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ProductVersion, VersionRange};

/// The scalar fields of `ServerConfiguration`. Stored as one row of name and JSON value per
/// field, like the product's `DRMS_ClusterPolicies`; a field with no row has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the specification has them")]
pub struct Policies {
    /// How often servers look for a changed version; one day at most (MS-RMPR 3.1.2).
    #[serde(with = "seconds")]
    pub configuration_refresh_interval: Duration,
    /// The build version of the server.
    pub server_version: String,
    /// The friendly name of the server.
    pub name: String,
    /// The SKU of the server.
    pub sku: String,
    /// The cryptographic mode, chosen at provisioning (MS-RMPR 3.1.4.7).
    pub cryptographic_mode: CryptographicMode,
    /// Whether use licenses carry an operating system exclusion.
    pub os_exclusion_enabled: bool,
    /// The operating system versions of that exclusion.
    pub os_exclusion: VersionRange,
    /// The lowest security processor version accepted; none means any.
    pub spc_minimum_version: Option<ProductVersion>,
    /// By how much an account's creation may lie after the publishing license's.
    #[serde(with = "seconds")]
    pub creation_time_tolerance: Duration,
    /// How long a RAC is valid.
    #[serde(with = "seconds")]
    pub rac_validity: Duration,
    /// How long a temporary RAC is valid.
    #[serde(with = "seconds")]
    pub temporary_rac_validity: Duration,
    /// How long a RAC of a federated account is valid.
    #[serde(with = "seconds")]
    pub federated_rac_validity: Duration,
    /// How far before its issuance a RAC becomes valid, for clients whose clock is behind.
    #[serde(with = "seconds")]
    pub certificate_validity_time_tolerance: Duration,
    /// Whether issued RACs are kept in an external store.
    pub persist_rac: bool,
    /// The base URL of the server, without a slash at the end; none until provisioned.
    pub base_url: Option<String>,
    /// The URL of another server for operations below `/licensing/`.
    pub licensing_url: Option<String>,
    /// The URL for certification from outside.
    pub external_certification_url: Option<String>,
    /// The URL for licensing from outside.
    pub external_licensing_url: Option<String>,
    /// Whether federated sign-on is supported.
    pub federation_enabled: bool,
    /// Whether the server has been decommissioned. There is no way back.
    pub decommissioned: bool,
    /// Whether it is remembered that a RAC has no rights in a publishing license.
    pub no_rights_cache_enabled: bool,
    /// Whether on-line publishing is supported.
    pub online_publishing_enabled: bool,
    /// Whether the super users group counts.
    pub super_user_enabled: bool,
    /// The mail address of the super users group.
    pub super_user_group: Option<String>,
    /// Who may revoke the SLC besides its issuer.
    pub revocation_type: RevocationType,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            configuration_refresh_interval: Duration::from_secs(30),
            server_version: String::new(),
            name: String::new(),
            sku: String::new(),
            cryptographic_mode: CryptographicMode::Two,
            os_exclusion_enabled: false,
            os_exclusion: VersionRange {
                minimum: ProductVersion::ZERO,
                maximum: ProductVersion::new(2, 1, 5, 2600),
            },
            spc_minimum_version: None,
            creation_time_tolerance: 15 * DAY,
            rac_validity: 365 * DAY,
            temporary_rac_validity: 15 * MINUTE,
            federated_rac_validity: DAY,
            certificate_validity_time_tolerance: 15 * MINUTE,
            persist_rac: false,
            base_url: None,
            licensing_url: None,
            external_certification_url: None,
            external_licensing_url: None,
            federation_enabled: false,
            decommissioned: false,
            no_rights_cache_enabled: true,
            online_publishing_enabled: true,
            super_user_enabled: false,
            super_user_group: None,
            revocation_type: RevocationType::Standard,
        }
    }
}

/// The cryptographic mode of a server (MS-RMPR 3.1.4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum CryptographicMode {
    /// RSA-1024 and SHA-1.
    One,
    /// RSA-2048 and SHA-256.
    Two,
}

impl CryptographicMode {
    /// 1 or 2.
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl TryFrom<u8> for CryptographicMode {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err("not a cryptographic mode"),
        }
    }
}

impl From<CryptographicMode> for u8 {
    fn from(mode: CryptographicMode) -> Self {
        mode.number()
    }
}

/// Who may revoke the SLC (`revocationType` of MS-RMPR 3.1.1.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevocationType {
    /// Its issuer only.
    #[serde(rename = "StandardRevocation")]
    Standard,
    /// The revocation authorities that are named.
    #[serde(rename = "CustomRevocation")]
    Custom,
}

/// Durations as whole seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_specification() {
        let policies = Policies::default();
        assert_eq!(policies.configuration_refresh_interval.as_secs(), 30);
        assert_eq!(policies.creation_time_tolerance.as_secs(), 15 * 86_400);
        assert_eq!(policies.rac_validity.as_secs(), 365 * 86_400);
        assert_eq!(policies.temporary_rac_validity.as_secs(), 900);
        assert_eq!(policies.federated_rac_validity.as_secs(), 86_400);
        assert_eq!(policies.certificate_validity_time_tolerance.as_secs(), 900);
        assert_eq!(policies.os_exclusion.minimum.to_string(), "0");
        assert_eq!(policies.os_exclusion.maximum.to_string(), "2.1.5.2600");
        assert!(policies.no_rights_cache_enabled && policies.online_publishing_enabled);
        assert!(!policies.os_exclusion_enabled && !policies.super_user_enabled);
        assert!(!policies.persist_rac && !policies.federation_enabled && !policies.decommissioned);
        assert_eq!(policies.spc_minimum_version, None);
    }
}
