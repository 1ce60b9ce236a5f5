//! Where a server says that its clusters are (MS-RMPR 3.7.4.2), and which URLs of a license may be
//! asked.

use openrms_protocol::server::{
    FindServiceLocationsForUser, FindServiceLocationsForUserResponse, ServiceLocation, ServiceType,
};
use openrms_protocol::{Contract, Response, Service};
use openrms_xrml::rac::AccountType;
use serde::{Deserialize, Serialize};

use super::DiscoveryError;
use crate::account::{self, Account, is_account_id};
use crate::client::Client;
use crate::error::Error;
use crate::service::{Auth, Caller, Licensing, ServiceError};
use crate::settings::Settings;
use crate::url::{Origin, ServerUrl};

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

/// Where a server said its services are, for the person who signed in (MS-RMPR 3.7.4.2).
///
/// Settings can be edited and servers be wrong, so every use checks anew: what was said counts for
/// that server only, and leads to its own origin, or to a licensing cluster over TLS. Credentials
/// go to neither, unless it is the server's own origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locations {
    /// The server that said so.
    pub server: String,
    /// Of RACs; a URL below `/_wmcs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certification: Option<String>,
    /// Of CLCs, PLs, ULs and templates; a URL below `/_wmcs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licensing: Option<String>,
}

impl Locations {
    /// What is worth remembering of an answer; `None` when it is nothing.
    pub(crate) fn of(server: &ServerUrl, answers: Vec<ServiceLocation>) -> Option<Self> {
        let mut locations = Self {
            server: server.as_str().to_owned(),
            ..Self::default()
        };
        for answer in answers {
            let place = match answer.service {
                ServiceType::CertificationInternalService => &mut locations.certification,
                ServiceType::LicensingInternalService => &mut locations.licensing,
                _ => continue,
            };
            *place = answer.url;
        }
        locations.certification = locations
            .certification(server)
            .and(locations.certification.take());
        locations.licensing = locations.licensing(server).and(locations.licensing.take());
        (locations.certification.is_some() || locations.licensing.is_some()).then_some(locations)
    }

    /// The certification cluster. Signing in needs credentials, so it is at the server's origin.
    pub(crate) fn certification(&self, server: &ServerUrl) -> Option<ServerUrl> {
        self.cluster(server, self.certification.as_deref())
            .filter(|at| at.origin() == server.origin())
    }

    /// The licensing cluster.
    pub(crate) fn licensing(&self, server: &ServerUrl) -> Option<ServerUrl> {
        self.cluster(server, self.licensing.as_deref())
            .filter(|at| at.origin() == server.origin() || at.origin().is_tls())
    }

    fn cluster(&self, server: &ServerUrl, url: Option<&str>) -> Option<ServerUrl> {
        let url = url.filter(|url| url.contains("://") && url.to_ascii_lowercase().contains(WMCS));
        let same = self.server == server.as_str();
        url.filter(|_| same)?.parse().ok()
    }
}

impl Client {
    /// The licensing cluster, where it is not simply the server.
    pub(crate) fn licensing(
        &self,
        settings: &Settings,
        server: &ServerUrl,
    ) -> Result<Option<Licensing>, Error> {
        let overrides = self.discovery.overrides(settings, server);
        let account = settings.account.as_deref().filter(|id| is_account_id(id));
        let account = match account {
            Some(id) if !overrides.is_empty() => account::look(&self.home, id)?,
            _ => None,
        };
        let kind = account.map_or(AccountType::Windows, |rac| rac.account().account_type);
        if let Some(server) = overrides.publishing(kind) {
            return Ok(Some(Licensing {
                server: server.clone(),
                is_override: true,
            }));
        }
        let said = settings.services.as_ref();
        let said = said.and_then(|services| services.licensing(server));
        Ok(said.map(|server| Licensing {
            server,
            is_override: false,
        }))
    }

    /// Asks a service of the licensing cluster: where overrides put it; else where the server said
    /// that it is, and where that cannot be reached, at the server itself.
    pub(crate) fn ask_licensing<T>(
        &self,
        service: Service,
        ask: impl Fn(&Caller<'_>, String) -> Result<T, ServiceError>,
    ) -> Result<T, Error> {
        self.with_caller(|caller, server| {
            let server = server.ok_or(DiscoveryError::NoServer)?;
            if let Some(licensing) = &caller.licensing
                && licensing.server != *server
            {
                match ask(caller, service.url(licensing.server.as_str())) {
                    Err(ServiceError::Transport(_)) if !licensing.is_override => {}
                    outcome => return Ok(outcome?),
                }
            }
            Ok(ask(caller, service.url(server.as_str()))?)
        })
    }

    /// Asks the server where services are for who just signed in, and remembers it (MS-RMPR
    /// 3.8.3.2.1). A server that does not say leaves everything as it was: what it said before,
    /// else that it is all of them itself.
    pub(crate) fn locate_services(&self, account: &Account) -> Result<(), Error> {
        let wanted = [
            ServiceType::CertificationInternalService,
            ServiceType::LicensingInternalService,
        ];
        let ask = FindServiceLocationsForUser {
            services: wanted.to_vec(),
        };
        let answer = self.with_caller(|caller, server| {
            let server = server.ok_or(DiscoveryError::NoServer)?;
            let locator = account.endpoint(Service::CertificationServiceLocator);
            let url = locator.url(server.as_str());
            let take = |r: Response<'_>| FindServiceLocationsForUserResponse::try_from(r);
            let contract = Contract::ServiceLocator;
            let answer = caller.call(&url, contract, &ask.into(), Auth::Always, take);
            Ok(answer.map(|answer| Locations::of(server, answer.locations)))
        })?;
        if let Ok(services) = answer
            && self.settings()?.services != services
        {
            let lock = self.home.lock()?;
            Settings::update(&lock, |settings| settings.services = services)?;
        }
        Ok(())
    }
}

/// The endpoints to ask for a use license, best first. `same_server` says that the license is for
/// the very server this client belongs to, whatever URL it names; `licensing` is the cluster that
/// this server vouches for. `service` is where the two serve the person; other servers may have no
/// paths of federated people.
pub(crate) fn license_endpoints<'u>(
    service: Service,
    (server, licensing): (Option<&ServerUrl>, Option<&ServerUrl>),
    same_server: bool,
    urls: impl Iterator<Item = &'u str>,
    allowed: LicenseServers,
) -> Result<Vec<String>, DiscoveryError> {
    let mut endpoints = Vec::new();
    if let Some(server) = server.filter(|_| same_server) {
        endpoints.push(service.url(server.as_str()));
    }
    let mut refused = None;
    for url in urls {
        let Ok(origin) = Origin::of(url) else {
            continue;
        };
        let known = [server, licensing].into_iter().flatten();
        let known = known.into_iter().any(|server| *server.origin() == origin);
        if allowed == LicenseServers::Any || known {
            let endpoint = license_endpoint(url, known && service.is_external());
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

/// A license names the cluster's licensing folder, or a service in it. Beside it is the folder for
/// federated people.
fn license_endpoint(url: &str, external: bool) -> String {
    let bare = url.split('?').next().unwrap_or(url).trim_end_matches('/');
    let folder = match bare.rsplit_once('/') {
        Some((folder, file)) if file.to_ascii_lowercase().ends_with(".asmx") => folder,
        _ => bare,
    };
    let beside = if external && folder.to_ascii_lowercase().ends_with("/licensing") {
        "external"
    } else {
        ""
    };
    format!("{folder}{beside}/license.asmx")
}

const WMCS: &str = "/_wmcs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_own_origin_and_clusters_over_tls_are_believed() {
        let server: ServerUrl = "https://rms.example.com".parse().unwrap();
        let said = |url: &str| Locations {
            server: server.as_str().into(),
            certification: Some(url.into()),
            licensing: Some(url.into()),
        };
        for (url, certification, licensing) in [
            ("https://rms.example.com/_wmcs/licensing", true, true),
            ("https://RMS.example.com/a/_WMCS/licensing/", true, true),
            ("https://lic.example.com/_wmcs/licensing", false, true),
            ("http://lic.example.com/_wmcs/licensing", false, false),
            ("http://rms.example.com/_wmcs/licensing", false, false),
            ("http://127.0.0.1/_wmcs/licensing", false, false),
            ("https://lic.example.com/licensing", false, false),
            ("https://a@lic.example.com/_wmcs/licensing", false, false),
            ("file:///_wmcs/licensing", false, false),
            ("", false, false),
        ] {
            let said = said(url);
            assert_eq!(
                said.certification(&server).is_some(),
                certification,
                "{url}"
            );
            assert_eq!(said.licensing(&server).is_some(), licensing, "{url}");
        }
        let other: ServerUrl = "https://other.example.com".parse().unwrap();
        let said = said("https://lic.example.com/_wmcs/licensing");
        assert_eq!(said.licensing(&other), None);
    }

    #[test]
    fn a_server_that_merely_stands_in_a_license_is_not_asked() {
        let server: ServerUrl = "https://rms.example.com".parse().unwrap();
        let ask = |url: &'static str, allowed| {
            let servers = (Some(&server), None);
            let urls = std::iter::once(url);
            license_endpoints(Service::License, servers, false, urls, allowed)
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

    #[test]
    fn federated_people_are_licensed_beside_the_others_where_that_is_known_to_be() {
        let server: ServerUrl = "https://rms.example.com".parse().unwrap();
        let urls = [
            "https://rms.example.com/_wmcs/LICENSING/license.asmx",
            "https://rms.example.com/elsewhere",
            "https://other.example/_wmcs/licensing",
        ];
        let endpoints = license_endpoints(
            Service::LicenseExternal,
            (Some(&server), None),
            true,
            urls.into_iter(),
            LicenseServers::Any,
        );
        assert_eq!(
            endpoints.unwrap(),
            [
                "https://rms.example.com/_wmcs/licensingexternal/license.asmx",
                "https://rms.example.com/elsewhere/license.asmx",
                "https://other.example/_wmcs/licensing/license.asmx",
            ]
        );
    }
}
