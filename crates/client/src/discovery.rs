//! Where the service is (MS-RMPR 3.8.3.2): what the caller says, else the environment, the person's
//! settings, the machine's; where nobody says, it can be looked for.

#[cfg(unix)]
mod forest;
mod locations;
mod overrides;
mod redirects;
mod search;

use std::fmt;
use std::path::PathBuf;

use openrms_protocol::ClientLevel;

use crate::client::Client;
use crate::error::{Class, Coded, Error};
use crate::hierarchy::{BUNDLE_PATH, JoinPolicy, Joined};
use crate::machine_settings::{Fixable, MachineSettings};
use crate::precedence::{FinalError, Said, SetBy, Spoken, Word};
use crate::proxy::{NoProxy, Proxy};
use crate::settings::Settings;
use crate::url::{ServerUrl, UrlError};

#[cfg(unix)]
pub use self::forest::Forest;
pub(crate) use self::locations::license_endpoints;
pub use self::locations::{LicenseServers, Locations};
pub use self::overrides::{CertificationCluster, LicensingCluster, Overrides};
pub use self::redirects::Redirects;
pub use self::search::{
    Dns, ForestError, ForestSource, Found, FoundBy, NameService, NoForest, NoNameService,
};

/// What is known before anything is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The caller's own word, such as command-line options.
    pub explicit: Spoken,
    /// The environment's (`RMS_SERVER`, ..), handed in.
    pub environment: Spoken,
    /// What the machine's settings say, handed in.
    pub machine: MachineSettings,
}

/// The server in use, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The server.
    pub server: ServerUrl,
    /// Who says so.
    pub source: ServerSource,
}

/// Who says where the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerSource {
    /// The caller.
    Explicit,
    /// The environment.
    Environment,
    /// The person's settings.
    Settings,
    /// The person's settings, where it was remembered when it was found.
    Found(FoundBy),
    /// The machine's settings.
    Machine,
}

/// Why the service is not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Nobody said where it is.
    #[error("it is not known where the rights-management service is")]
    NoServer,
    /// It was looked for in vain.
    #[error("the rights-management service is not found: {}", tried.join("; "))]
    NotFound {
        /// What was tried, with what became of it.
        tried: Vec<String>,
    },
    /// DNS names a server for which the person's own domain does not stand.
    #[error("{place} leads to {server}, which nothing proves to be the right one")]
    NotProven {
        /// The server.
        server: ServerUrl,
        /// Where it was found.
        place: String,
    },
    /// The machine's settings are final.
    #[error(transparent)]
    Final(#[from] FinalError),
    /// The settings hold something that is no URL.
    #[error("the settings name a server that cannot be used: {0}")]
    Settings(UrlError),
    /// The license is of a server that is not the configured one.
    #[error("the license is of the server {url}, which is not the one configured")]
    UnknownLicenseServer {
        /// Its URL.
        url: String,
    },
    /// The content is of a cluster that is neither the configured one nor said to have ended.
    #[error("the content is of the server {url}, which is not the one configured")]
    UnknownDecommissioned {
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
            Self::NoServer | Self::NotFound { .. } => "server-not-configured",
            Self::NotProven { .. } => "server-not-proven",
            Self::Final(error) => error.code(),
            Self::Settings(_) => "server-url-malformed",
            Self::UnknownLicenseServer { .. } | Self::UnknownDecommissioned { .. } => {
                "license-server-unknown"
            }
            Self::NoLicenseUrl => "license-without-server",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NoServer | Self::NotFound { .. } => Class::Unreachable,
            Self::Final(error) => error.class(),
            Self::Settings(_) | Self::NoLicenseUrl => Class::Malformed,
            Self::UnknownLicenseServer { .. }
            | Self::UnknownDecommissioned { .. }
            | Self::NotProven { .. } => Class::NotTrusted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoServer => Some(
                "have it looked for: rms init; or say where it is: rms init --server URL, or \
                 RMS_SERVER"
                    .into(),
            ),
            Self::NotFound { .. } | Self::Settings(_) => {
                Some("say where the service is: rms init --server URL, or RMS_SERVER".into())
            }
            Self::Final(error) => error.hint(),
            Self::NotProven { server, .. } => Some(format!(
                "ask your administrator; if it is the right one: rms init --server {server}"
            )),
            Self::UnknownLicenseServer { url } => Some(format!(
                "if you trust that organization, rms open --any-license-server: your certificate, \
                 never your password, is then sent to {url}"
            )),
            Self::UnknownDecommissioned { url } => Some(format!(
                "if it has ended, say so in [decommission] of client.toml: \"{url}\" = \
                 \"https://SERVER/_wmcs/decommission\""
            )),
            Self::NoLicenseUrl => None,
        }
    }
}

impl ServerSource {
    /// Stable name, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Explicit => "option",
            Self::Environment => "environment",
            Self::Settings => "settings",
            Self::Found(FoundBy::ServiceConnectionPoint) => "service-connection-point",
            Self::Found(FoundBy::Dns) => "dns",
            Self::Machine => "machine",
        }
    }
}

impl fmt::Display for ServerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Explicit => "the command",
            Self::Environment => "the environment",
            Self::Settings => "your settings",
            Self::Found(FoundBy::ServiceConnectionPoint) => "the service connection point",
            Self::Found(FoundBy::Dns) => "DNS, when it was looked for",
            Self::Machine => "this machine's settings",
        })
    }
}

impl Discovery {
    /// The configured server.
    pub fn locate(&self, settings: &Settings) -> Result<Located, DiscoveryError> {
        let (server, by) = self.server(settings)?.ok_or(DiscoveryError::NoServer)?;
        let source = match by {
            SetBy::Command(_) => ServerSource::Explicit,
            SetBy::Environment(_) => ServerSource::Environment,
            SetBy::Person(_) => settings
                .found_by
                .map_or(ServerSource::Settings, ServerSource::Found),
            SetBy::Machine(_) | SetBy::Default => ServerSource::Machine,
        };
        Ok(Located { server, source })
    }

    /// The server, and who set it.
    pub(crate) fn server(
        &self,
        settings: &Settings,
    ) -> Result<Option<(ServerUrl, SetBy)>, DiscoveryError> {
        let said = self.said(Fixable::Server, |spoken| spoken.server.as_ref());
        let machine = self.machine.server();
        let is_said = said.command.or(said.environment).is_some();
        // What a person set does not matter, and may be of no use, where another word counts.
        let person = if is_said || (said.is_final && machine.is_some()) {
            None
        } else {
            settings_server(settings)?
        };
        let certification = self.machine.place_of("service_location.certification");
        let said = Said {
            person: person.map(|server| (server, settings.place_of("server"))),
            machine,
            place: said.place.clone().or(certification.cloned()),
            ..said
        };
        Ok(said.in_force()?)
    }

    /// The version of RMS to behave as, and who set it.
    pub(crate) fn level(
        &self,
        settings: &Settings,
    ) -> Result<Option<(ClientLevel, SetBy)>, DiscoveryError> {
        let person = settings.client_level;
        let machine = self.machine.client_level();
        let said = Said {
            person: person.map(|level| (level, settings.place_of("client_level"))),
            machine: machine.as_ref(),
            ..self.said(Fixable::ClientLevel, |spoken| spoken.client_level.as_ref())
        };
        Ok(said.in_force()?)
    }

    /// The level that the caller or the environment says.
    pub(crate) fn spoken_level(&self) -> Option<ClientLevel> {
        let mut spoken = [&self.explicit, &self.environment].into_iter();
        spoken.find_map(|spoken| spoken.client_level.as_ref().map(|word| word.value))
    }

    /// The HTTP proxy, and who set it.
    pub fn proxy(&self) -> Result<Option<(Proxy, SetBy)>, DiscoveryError> {
        let said = Said {
            machine: self.machine.proxy(),
            ..self.said(Fixable::Proxy, |spoken| spoken.proxy.as_ref())
        };
        Ok(said.in_force()?)
    }

    /// Whom to reach without the proxy, and who said so.
    pub fn no_proxy(&self) -> Result<Option<(NoProxy, SetBy)>, DiscoveryError> {
        let said = Said {
            machine: self.machine.no_proxy(),
            place: self.machine.place_of("no_proxy").cloned(),
            ..self.said(Fixable::Proxy, |spoken| spoken.no_proxy.as_ref())
        };
        Ok(said.in_force()?)
    }

    /// The file with further TLS authorities, and who named it.
    pub fn ca_file(&self) -> Result<Option<(PathBuf, SetBy)>, DiscoveryError> {
        let machine = self.machine.ca_file().map(PathBuf::from);
        let said = Said {
            machine: machine.as_ref(),
            ..self.said(Fixable::CaFile, |spoken| spoken.ca_file.as_ref())
        };
        Ok(said.in_force()?)
    }

    /// Refuses another server than one that is final.
    pub(crate) fn check_final_server(&self, server: &ServerUrl) -> Result<(), DiscoveryError> {
        let spoken = Spoken::naming(server.clone());
        let said = Said {
            command: spoken.server.as_ref(),
            machine: self.machine.server(),
            ..self.said(Fixable::Server, |_| None)
        };
        Ok(said.in_force().map(|_| ())?)
    }

    fn said<'s, T>(
        &'s self,
        key: Fixable,
        word: impl Fn(&'s Spoken) -> Option<&'s Word<T>>,
    ) -> Said<'s, T> {
        Said {
            key,
            command: word(&self.explicit),
            environment: word(&self.environment),
            person: None,
            machine: None,
            place: self.machine.place_of(key.name()).cloned(),
            is_final: self.machine.is_final(key),
        }
    }

    /// The overrides that count for a server: the person's, then the machine's. Those of settings
    /// that name another server are for that one.
    pub(crate) fn overrides(&self, settings: &Settings, server: &ServerUrl) -> Overrides {
        let counts = |named: Option<&ServerUrl>| named.is_none_or(|named| named == server);
        let mut overrides = Overrides::default();
        let is_final = self.machine.is_final(Fixable::ServiceLocation);
        // What cannot be read names another server, too.
        if !is_final && settings_server(settings).is_ok_and(|named| counts(named.as_ref())) {
            overrides = settings.service_location.clone();
        }
        if counts(self.machine.server()) {
            overrides = overrides.or(self.machine.service_location().clone());
        }
        overrides
    }
}

impl Discovery {
    pub(crate) fn redirects(&self, settings: &Settings) -> Redirects {
        let machine = self.machine.decommission().clone();
        if self.machine.is_final(Fixable::Decommission) {
            return machine;
        }
        settings.decommission.clone().or(machine)
    }
}

impl Client {
    /// Clusters that have ended: the person's word, then the machine's.
    pub(crate) fn redirects(&self) -> Result<Redirects, Error> {
        Ok(self.discovery.redirects(&self.settings()?))
    }
}

/// The server that the person's settings name.
fn settings_server(settings: &Settings) -> Result<Option<ServerUrl>, DiscoveryError> {
    let certification = settings.service_location.certification.as_ref();
    match &settings.server {
        Some(text) => text.parse().map(Some).map_err(DiscoveryError::Settings),
        None => Ok(certification.map(|cluster| cluster.server().clone())),
    }
}

impl Client {
    /// The server in use.
    pub fn server(&self) -> Result<ServerUrl, Error> {
        Ok(self.locate()?.server)
    }

    /// The server in use, and who says so.
    pub fn locate(&self) -> Result<Located, Error> {
        Ok(self.discovery.locate(&self.settings()?)?)
    }

    /// Says where the service is, joins its hierarchy, and remembers both.
    pub fn init(&self, server: &ServerUrl, policy: &JoinPolicy) -> Result<Joined, Error> {
        let joined = self.join_server(&mut self.session(), server, policy)?;
        self.remember(server, None)?;
        Ok(joined)
    }

    /// The same with a server that was found, and that the person was shown. One that is not
    /// proven is refused until somebody has confirmed it ([`Found::confirmed`]).
    pub fn init_found(&self, found: &Found, policy: &JoinPolicy) -> Result<Joined, Error> {
        if !found.is_proven {
            return Err(DiscoveryError::NotProven {
                server: found.server.clone(),
                place: found.place.clone(),
            }
            .into());
        }
        let joined = self.join_server(&mut self.session(), &found.server, policy)?;
        self.remember(&found.server, Some(found.by))?;
        Ok(joined)
    }

    /// Remembers where the service is, without asking it.
    pub fn set_server(&self, server: &ServerUrl) -> Result<(), Error> {
        self.remember(server, None)
    }

    fn remember(&self, server: &ServerUrl, found_by: Option<FoundBy>) -> Result<(), Error> {
        self.discovery.check_final_server(server)?;
        let lock = self.home.lock()?;
        Settings::update(&lock, |settings| {
            let known = settings.server.as_deref();
            // An administrator may change what the machine's settings say.
            let is_machines = known.is_none() && self.discovery.machine.server() == Some(server);
            let is_news = known != Some(server.as_str());
            if found_by.is_some() || (is_news && !is_machines) {
                settings.server = Some(server.as_str().to_owned());
                settings.found_by = found_by;
            }
            settings.client_level = self.discovery.spoken_level().or(settings.client_level);
        })?;
        Ok(())
    }

    /// Looks for the service: in the forest of whoever is logged on, else in DNS. Nothing is
    /// remembered ([`Client::init_found`]). `user` is the name that the person signs in with.
    pub fn find_server(&self, user: Option<&str>) -> Result<Found, Error> {
        let answers = |server: &ServerUrl| {
            let url = format!("{server}{BUNDLE_PATH}");
            self.transport.get(&url, None).is_ok()
        };
        let (forest, names) = (self.forest.as_ref(), self.names.as_ref());
        Ok(search::search(forest, names, user, answers)?)
    }
}

#[cfg(test)]
mod tests {
    use openrms_xrml::rac::AccountType;

    use super::*;

    fn machine(text: &str) -> MachineSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_callers_word_wins_over_environment_and_settings() {
        let url = |text: &str| text.parse::<ServerUrl>().unwrap();
        let settings = Settings {
            server: Some("https://c.example".into()),
            ..Settings::default()
        };
        let mut discovery = Discovery {
            explicit: Spoken::naming(url("https://a.example")),
            environment: Spoken::naming(url("https://b.example")),
            machine: machine("server = 'https://d.example'"),
        };
        let located = |discovery: &Discovery, settings: &Settings| {
            let located = discovery.locate(settings).unwrap();
            format!("{} {}", located.source.name(), located.server)
        };
        assert_eq!(located(&discovery, &settings), "option https://a.example");
        discovery.explicit = Spoken::default();
        assert_eq!(
            located(&discovery, &settings),
            "environment https://b.example"
        );
        discovery.environment = Spoken::default();
        assert_eq!(located(&discovery, &settings), "settings https://c.example");
        let found = Settings {
            found_by: Some(FoundBy::Dns),
            ..settings
        };
        assert_eq!(located(&discovery, &found), "dns https://c.example");
        let none = Settings::default();
        assert_eq!(located(&discovery, &none), "machine https://d.example");
        discovery.machine = MachineSettings::default();
        assert_eq!(discovery.locate(&none), Err(DiscoveryError::NoServer));
    }

    #[test]
    fn overrides_count_for_the_server_that_stands_beside_them() {
        let url = |text: &str| text.parse::<ServerUrl>().unwrap();
        let publishing = |discovery: &Discovery, settings: &Settings, server: &str| {
            let overrides = discovery.overrides(settings, &url(server));
            overrides.publishing(AccountType::Windows).cloned()
        };
        let discovery = Discovery {
            machine: machine(
                "server = 'https://rms.example'\n[service_location]\n\
                 enterprise_publishing = 'https://lic.example'",
            ),
            ..Discovery::default()
        };
        let mut settings = Settings::default();
        let lic = Some(url("https://lic.example"));
        assert_eq!(
            publishing(&discovery, &settings, "https://rms.example"),
            lic
        );
        assert_eq!(
            publishing(&discovery, &settings, "https://other.example"),
            None
        );
        let text = "enterprise_publishing = 'https://own.example'";
        settings.service_location = toml::from_str(text).unwrap();
        let own = Some(url("https://own.example"));
        assert_eq!(
            publishing(&discovery, &settings, "https://rms.example"),
            own
        );
        settings.server = Some("https://third.example".into());
        assert_eq!(
            publishing(&discovery, &settings, "https://rms.example"),
            lic
        );
        assert_eq!(
            publishing(&discovery, &settings, "https://third.example"),
            own
        );
    }
}
