//! `[service_location]`: what a person or an administrator says of single services, in place of
//! what the servers say. The names are those of the registry key `ServiceLocation`.

use openrms_xrml::rac::AccountType;
use serde::{Deserialize, Serialize};

use crate::url::{ServerUrl, UrlError};

/// Overrides of where services are. An absent one overrides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// Where version 1 activated machines. Read and ignored: this client activates by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<String>,
    /// The certification cluster: another way to name the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certification: Option<CertificationCluster>,
    /// The licensing cluster of accounts of the directory: their CLCs, what they publish on line,
    /// their templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enterprise_publishing: Option<LicensingCluster>,
    /// The same of all other accounts, who sign in with a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_publishing: Option<LicensingCluster>,
}

/// A cluster, named as `http(s)://host[:port][/_wmcs/certification]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificationCluster(ServerUrl);

/// A cluster, named as `http(s)://host[:port][/_wmcs/licensing]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LicensingCluster(ServerUrl);

impl Overrides {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The licensing cluster for publishing of an account of that kind.
    pub fn publishing(&self, kind: AccountType) -> Option<&ServerUrl> {
        let cluster = match kind {
            AccountType::Windows => &self.enterprise_publishing,
            AccountType::Federation | AccountType::Passport => &self.cloud_publishing,
        };
        cluster.as_ref().map(LicensingCluster::server)
    }

    /// These, and where one is absent, the other's.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            activation: self.activation.or(other.activation),
            certification: self.certification.or(other.certification),
            enterprise_publishing: self.enterprise_publishing.or(other.enterprise_publishing),
            cloud_publishing: self.cloud_publishing.or(other.cloud_publishing),
        }
    }
}

impl CertificationCluster {
    /// Its base.
    pub fn server(&self) -> &ServerUrl {
        &self.0
    }
}

impl LicensingCluster {
    /// Its base.
    pub fn server(&self) -> &ServerUrl {
        &self.0
    }
}

impl TryFrom<String> for CertificationCluster {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        cluster(&text, "/_wmcs/certification").map(Self)
    }
}

impl TryFrom<String> for LicensingCluster {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        cluster(&text, "/_wmcs/licensing").map(Self)
    }
}

impl From<CertificationCluster> for String {
    fn from(cluster: CertificationCluster) -> Self {
        format!("{}/_wmcs/certification", cluster.0)
    }
}

impl From<LicensingCluster> for String {
    fn from(cluster: LicensingCluster) -> Self {
        format!("{}/_wmcs/licensing", cluster.0)
    }
}

/// What stands in a file for years is written in full: no scheme is guessed, and a URL of another
/// service is a mistake.
pub(super) fn cluster(text: &str, folder: &str) -> Result<ServerUrl, UrlError> {
    let error = |reason| UrlError {
        url: text.chars().take(200).collect(),
        reason,
    };
    if !text.contains("://") {
        return Err(error("it has no scheme"));
    }
    let server = text.parse()?;
    let lower = text.trim().trim_end_matches('/').to_ascii_lowercase();
    match lower.find("/_wmcs").and_then(|at| lower.get(at..)) {
        Some(path) if path != folder => Err(error("it is not that of the service to override")),
        _ => Ok(server),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_read_by_their_names_and_no_others() {
        let read = |text: &str| toml::from_str::<Overrides>(text);
        let overrides = read(
            "activation = 'http://rms/_wmcs/certification'\n\
             certification = 'https://rms.corp.example/_wmcs/Certification/'\n\
             enterprise_publishing = 'http://Lic.corp.example:8080'\n\
             cloud_publishing = 'https://cloud.example/_WMCS/Licensing'",
        )
        .unwrap();
        let server = |kind| overrides.publishing(kind).unwrap().as_str();
        assert_eq!(server(AccountType::Windows), "http://lic.corp.example:8080");
        assert_eq!(server(AccountType::Federation), "https://cloud.example");
        assert_eq!(server(AccountType::Passport), "https://cloud.example");
        let written = toml::to_string(&overrides).unwrap();
        assert_eq!(read(&written).unwrap(), overrides);
        for wrong in [
            "publishing = 'https://rms'",
            "enterprise_publishing = 'rms.corp.example'",
            "enterprise_publishing = 'https://rms/_wmcs/certification'",
            "enterprise_publishing = 'https://rms/_wmcs/licensing/license.asmx'",
            "enterprise_publishing = 'ftp://rms'",
            "cloud_publishing = 'https://a@rms'",
            "certification = 'https://rms/_wmcs/licensing'",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
