//! `[decommission]`: which clusters have ended and where they still give out content keys, as the
//! registry key `Decommission` of the product says it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::overrides::{LicensingCluster, cluster};
use crate::url::{ServerUrl, UrlError};

/// Licensing clusters that have ended, each with the cluster that frees their content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redirects(HashMap<LicensingCluster, DecommissioningCluster>);

/// A cluster, named as `http(s)://host[:port][/_wmcs/decommission]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct DecommissioningCluster(ServerUrl);

impl Redirects {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The cluster that frees what a licensing cluster protected.
    pub(crate) fn of(&self, licensing: &ServerUrl) -> Option<&ServerUrl> {
        let mut all = self.0.iter();
        all.find(|(old, _)| old.server() == licensing)
            .map(|(_, place)| &place.0)
    }

    /// These, and what only the other names.
    pub(crate) fn or(self, mut other: Self) -> Self {
        other.0.extend(self.0);
        other
    }
}

impl TryFrom<String> for DecommissioningCluster {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        cluster(&text, "/_wmcs/decommission").map(Self)
    }
}

impl From<DecommissioningCluster> for String {
    fn from(cluster: DecommissioningCluster) -> Self {
        format!("{}/_wmcs/decommission", cluster.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_cluster_leads_to_the_one_that_frees_its_content() {
        let read = |text: &str| toml::from_str::<Redirects>(text);
        let redirects = read(
            "'https://Old.example/_wmcs/licensing' = 'https://rms.example/_wmcs/decommission'\n\
             'http://older.example:8080' = 'https://rms.example'",
        )
        .unwrap();
        let of = |text: &str| redirects.of(&text.parse().unwrap()).map(ServerUrl::as_str);
        let place = Some("https://rms.example");
        assert_eq!(of("https://old.example/_wmcs/Licensing"), place);
        assert_eq!(of("http://older.example:8080/_wmcs/licensing"), place);
        assert_eq!(of("http://old.example/_wmcs/licensing"), None);
        let written = toml::to_string(&redirects).unwrap();
        assert_eq!(read(&written).unwrap(), redirects);
        for wrong in [
            "'https://old.example' = 'https://rms.example/_wmcs/licensing'",
            "'https://old.example/_wmcs/certification' = 'https://rms.example'",
            "'old.example' = 'https://rms.example'",
            "'https://old.example' = ''",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let later = read("'https://old.example' = 'https://later.example'").unwrap();
        let both = later.or(redirects);
        let old = "https://old.example".parse().unwrap();
        assert_eq!(both.of(&old).unwrap().as_str(), "https://later.example");
        assert_eq!(both.0.len(), 2);
    }
}
