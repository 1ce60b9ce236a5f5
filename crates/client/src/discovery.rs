//! Where the service is (MS-RMPR 3.8.3.2): what the caller says, else the environment, else the
//! settings; and which URLs of a license may be asked.

use openrms_protocol::Service;

use crate::error::{Class, Coded};
use crate::settings::Settings;
use crate::url::{Origin, ServerUrl, UrlError};

/// What is known before anything is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The caller's own word, such as a command-line option.
    pub explicit: Option<ServerUrl>,
    /// The environment's (`RMS_SERVER`), handed in.
    pub environment: Option<ServerUrl>,
}

/// Whether a server that merely stands in a license may be asked for use licenses. It is sent the
/// RAC and the license, never credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LicenseServers {
    /// Only the configured server.
    #[default]
    OnlyConfigured,
    /// Any that the license names.
    Any,
}

/// Why the service is not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Nobody said where it is.
    #[error("it is not known where the rights-management service is")]
    NoServer,
    /// The settings hold something that is no URL.
    #[error("the settings name a server that cannot be used: {0}")]
    Settings(UrlError),
    /// The license is of a server that is not the configured one.
    #[error("the license is of the server {url}, which is not the one configured")]
    UnknownLicenseServer {
        /// Its URL.
        url: String,
    },
    /// The license names no server that can be asked.
    #[error("the license names no server that can be asked")]
    NoLicenseUrl,
}

impl Coded for DiscoveryError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoServer => "server-not-configured",
            Self::Settings(_) => "server-url-malformed",
            Self::UnknownLicenseServer { .. } => "license-server-unknown",
            Self::NoLicenseUrl => "license-without-server",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NoServer => Class::Unreachable,
            Self::Settings(_) | Self::NoLicenseUrl => Class::Malformed,
            Self::UnknownLicenseServer { .. } => Class::NotTrusted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoServer | Self::Settings(_) => {
                Some("say where the service is: rms init --server URL, or RMS_SERVER".into())
            }
            Self::UnknownLicenseServer { url } => Some(format!(
                "if you trust that organization, allow it: your certificate, never your password, \
                 is then sent to {url}"
            )),
            Self::NoLicenseUrl => None,
        }
    }
}

impl Discovery {
    /// The configured server.
    pub fn server(&self, settings: &Settings) -> Result<ServerUrl, DiscoveryError> {
        if let Some(server) = self.explicit.as_ref().or(self.environment.as_ref()) {
            return Ok(server.clone());
        }
        let text = settings.server.as_deref().ok_or(DiscoveryError::NoServer)?;
        text.parse().map_err(DiscoveryError::Settings)
    }
}

/// The endpoints to ask for a use license, best first. `same_server` says that the license is for
/// the very server this client belongs to, whatever URL it names.
pub(crate) fn license_endpoints<'u>(
    server: Option<&ServerUrl>,
    same_server: bool,
    urls: impl Iterator<Item = &'u str>,
    allowed: LicenseServers,
) -> Result<Vec<String>, DiscoveryError> {
    let mut endpoints = Vec::new();
    if let Some(server) = server.filter(|_| same_server) {
        endpoints.push(Service::License.url(server.as_str()));
    }
    let mut refused = None;
    for url in urls {
        let Ok(origin) = Origin::of(url) else {
            continue;
        };
        if allowed == LicenseServers::Any || server.is_some_and(|s| *s.origin() == origin) {
            let endpoint = license_endpoint(url);
            if !endpoints
                .iter()
                .any(|known: &String| known.eq_ignore_ascii_case(&endpoint))
            {
                endpoints.push(endpoint);
            }
        } else {
            refused.get_or_insert_with(|| url.to_owned());
        }
    }
    match (endpoints.is_empty(), refused) {
        (false, _) => Ok(endpoints),
        (true, Some(url)) => Err(DiscoveryError::UnknownLicenseServer { url }),
        (true, None) => Err(DiscoveryError::NoLicenseUrl),
    }
}

/// A license names the cluster's licensing folder, or a service in it.
fn license_endpoint(url: &str) -> String {
    let bare = url.split('?').next().unwrap_or(url).trim_end_matches('/');
    let folder = match bare.rsplit_once('/') {
        Some((folder, file)) if file.to_ascii_lowercase().ends_with(".asmx") => folder,
        _ => bare,
    };
    format!("{folder}/license.asmx")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_word_wins_over_environment_and_settings() {
        let url = |text: &str| text.parse::<ServerUrl>().unwrap();
        let settings = Settings {
            server: Some("https://c.example".into()),
            ..Settings::default()
        };
        let mut discovery = Discovery {
            explicit: Some(url("https://a.example")),
            environment: Some(url("https://b.example")),
        };
        assert_eq!(discovery.server(&settings), Ok(url("https://a.example")));
        discovery.explicit = None;
        assert_eq!(discovery.server(&settings), Ok(url("https://b.example")));
        discovery.environment = None;
        assert_eq!(discovery.server(&settings), Ok(url("https://c.example")));
        assert_eq!(
            discovery.server(&Settings::default()),
            Err(DiscoveryError::NoServer)
        );
    }

    #[test]
    fn a_server_that_merely_stands_in_a_license_is_not_asked() {
        let server: ServerUrl = "https://rms.example.com".parse().unwrap();
        let ask = |url: &'static str, allowed| {
            license_endpoints(Some(&server), false, std::iter::once(url), allowed)
        };
        let only = LicenseServers::OnlyConfigured;
        assert_eq!(
            ask("https://RMS.example.com/_wmcs/licensing", only).unwrap(),
            ["https://RMS.example.com/_wmcs/licensing/license.asmx"]
        );
        for url in [
            "https://evil.example/_wmcs/licensing",
            "http://rms.example.com/_wmcs/licensing",
        ] {
            let error = ask(url, only).unwrap_err();
            assert_eq!(
                error,
                DiscoveryError::UnknownLicenseServer { url: url.into() }
            );
        }
        assert_eq!(
            ask(
                "https://other.example/_wmcs/licensing/license.asmx",
                LicenseServers::Any
            )
            .unwrap(),
            ["https://other.example/_wmcs/licensing/license.asmx"]
        );
        assert_eq!(ask("file:///etc", only), Err(DiscoveryError::NoLicenseUrl));
    }
}
