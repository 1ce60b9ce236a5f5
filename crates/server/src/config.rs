//! The configuration file of one server (TOML). What a whole cluster shares is in its database
//! instead; here stands what may differ from machine to machine.
//!
//! ```toml
//! data = "/var/lib/openrms"
//! listen = ["127.0.0.1:8080"]
//! threads = 4
//! service_level = "2.0"
//! proxies = ["10.0.0.0/8"]
//!
//! [tls]
//! listen = ["0.0.0.0:443"]
//! certificate = "/etc/openrms/tls.pem"
//! key = "/etc/openrms/tls.key"
//!
//! [credential]
//! password_file = "/etc/openrms/master.password"
//!
//! [crypto]
//! fips = true
//!
//! [limits]
//! connections = 4096
//!
//! [logging]
//! keep_days = 400
//!
//! [sign_in.negotiate]
//! keytab = "/etc/openrms/http.keytab"
//!
//! [services.server-certification]
//! groups = ["S-1-5-21-1004336348-1177238915-682003330-1105"]
//! ```

mod layers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use openrms_protocol::ServiceLevel;
use openrms_protocol::level::NoSuchLevel;
use openrms_store::LocationError;
use serde::Deserialize;

pub use layers::{Layers, Setting, Sources};

use crate::access::{AccessError, AccessRules, Part, PartRule};
use crate::activation::ActivationConfig;
use crate::credential::Credential;
use crate::data_dir::DataDir;
use crate::database::{Database, DatabaseServer};
use crate::directory::DirectoryConfig;
use crate::forests::ForestsConfig;
use crate::key_protection::KeyAccess;
use crate::log::LogConfig;
use crate::logging::{LoggingConfig, LoggingConfigError, LoggingFile};
use crate::people::PeopleSource;
use crate::proxies::Proxies;
use crate::repo::{RepoConfig, RepoTable};
use crate::root_cluster::{RootClusterTable, RootSignIn};
use crate::sign_in::BearerSettings;
use crate::traces::TracesConfig;

/// The configuration of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the server keeps what it keeps.
    pub data: DataDir,
    /// Addresses for plain HTTP; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// HTTPS, when switched on.
    pub tls: Option<Tls>,
    /// The base URL that the cluster must have been provisioned with; starting with another one
    /// is refused. Not checked when absent.
    pub url: Option<String>,
    /// The database.
    pub database: Database,
    /// The name of this server among those of its cluster; the machine's when absent.
    pub server_name: Option<String>,
    /// The version of RMS as which this server behaves.
    pub service_level: ServiceLevel,
    /// The people list.
    pub people: PeopleSource,
    /// The organisation's directory, which takes the place of the people list.
    pub directory: Option<DirectoryConfig>,
    /// Threads that serve; one for each core when absent.
    pub threads: Option<NonZeroUsize>,
    /// A file for one JSON line of each request, for programs that read such; none when absent.
    pub audit: Option<PathBuf>,
    /// How requests are logged.
    pub logging: LoggingConfig,
    /// What opens the keys.
    pub keys: KeyAccess,
    /// Whether only cryptography approved by FIPS 140-3 is to be used, of a validated module.
    pub fips: bool,
    /// Who may enroll servers at this cluster's trust anchor.
    pub enrollment: Enrollment,
    /// How a licensing cluster signs in to its root cluster; without it only people renew its
    /// certificate.
    pub root_cluster: Option<RootSignIn>,
    /// Bounds.
    pub limits: ServerLimits,
    /// Whether people of the people list may sign in with their passwords.
    pub basic: bool,
    /// Kerberos, when switched on.
    pub negotiate: Option<Negotiate>,
    /// NTLM, when switched on.
    pub ntlm: Option<Ntlm>,
    /// Issuers of tokens, when there are any.
    pub(crate) tokens: Option<BearerSettings>,
    /// TLS client certificates and smart cards, when switched on.
    pub certificates: Option<Certificates>,
    /// Who may use which service.
    pub access: AccessRules,
    /// The other forests, when there are any.
    pub forests: Option<ForestsConfig>,
    /// The proxies whose word on who is calling counts.
    pub proxies: Proxies,
    /// What the log looks like.
    pub log: LogConfig,
    /// Traces, when switched on.
    pub traces: Option<TracesConfig>,
    /// Where clients of version 1.0 are activated, in a cluster without an authority of its own.
    pub activation: Option<ActivationConfig>,
    /// The HTTP proxy by which this server asks authorities and other clusters.
    pub outbound_proxy: Option<String>,
    /// The channel of packages that is handed out.
    pub repo: RepoConfig,
}

/// Sign-in with Kerberos (HTTP Negotiate).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Negotiate {
    /// The keytab with the key of `HTTP/<this server's name>`.
    pub keytab: PathBuf,
    /// Where tickets that were used are remembered; in the data directory when absent.
    pub replay_cache: Option<PathBuf>,
}

/// Sign-in with NTLM, for clients that know nothing better.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ntlm {
    /// `ntlm_auth` of winbind.
    pub helper: PathBuf,
    /// Arguments for it, before the one that names the protocol.
    pub helper_arguments: Vec<String>,
    /// Helpers that run at a time; each serves one handshake.
    pub processes: NonZeroU16,
    /// Seconds for each answer of a helper.
    pub time_limit: NonZeroU16,
    /// Whether other machines are offered it over plain HTTP as well.
    pub plain_http: bool,
}

/// HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Addresses for HTTPS; none where the service manager hands a socket over.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// PEM file with the certificate and what is above it.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

/// Sign-in with TLS client certificates. Needs [`Tls`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificates {
    /// PEM file with the authorities whose certificates count.
    pub authorities: PathBuf,
    /// Whether a certificate without a SID names the account by its mail address. Only for
    /// authorities that give an address to nobody but its owner.
    #[serde(default)]
    pub by_mail: bool,
}

/// Who may enroll servers at the trust anchor (MS-RMPR 3.6 asks nothing of the caller).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enrollment {
    /// Nobody.
    Off,
    /// Programs on this machine. With a proxy on it nobody, as there is no telling who they are.
    #[default]
    Loopback,
    /// Whoever reaches the server.
    Any,
}

/// Bounds on what the server does at a time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerLimits {
    /// Connections open at a time, all threads together.
    pub connections: usize,
    /// Requests under way at a time, all threads together.
    pub requests: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Seconds for a request's headers to arrive, and for the next request to begin.
    pub header_seconds: u64,
    /// Seconds for a request's body to arrive.
    pub body_seconds: u64,
    /// Seconds that requests under way are given when the server stops.
    pub drain_seconds: u64,
    /// Bytes of each of the two caches.
    pub cache_bytes: u64,
    /// Key pairs made ahead of time.
    pub spare_keys: usize,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("{path}: {message}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A value is not what it is to be.
    #[error("{0}")]
    Value(toml::de::Error),
    /// A file of several brought this in.
    #[error("{path}: {error}")]
    In {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: Box<ConfigError>,
    },
    /// A credential of the service manager is asked for and there is none.
    #[error("systemd = {0:?} names a credential, but $CREDENTIALS_DIRECTORY is not set")]
    NoCredentials(String),
    /// `[directory]` is not one.
    #[error("[directory] {0}")]
    Directory(toml::de::Error),
    /// The rules of access contradict themselves.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Client certificates come with TLS.
    #[error("[sign_in.certificates] needs [tls]")]
    CertificatesWithoutTls,
    /// The log cannot be kept like this.
    #[error(transparent)]
    Logging(#[from] LoggingConfigError),
    /// There is no such version of RMS.
    #[error("service_level: {0}")]
    ServiceLevel(#[from] NoSuchLevel),
    /// The database cannot be named so.
    #[error("[database] {0}")]
    Database(#[from] LocationError),
    /// `[root_cluster]` does not say how to sign in.
    #[error("[root_cluster] {0}")]
    RootCluster(&'static str),
    /// More than one source of a secret.
    #[error("[{0}] takes password_file or systemd, not both")]
    TwoCredentials(&'static str),
}

impl Config {
    /// Reads a configuration file, and the files of the folder named after it. Relative paths start at
    /// the file's folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Layers::read(&Sources::of(path))?.config()
    }

    /// The configuration of a data directory: its `rmsd.toml` when there is one, else loopback
    /// only.
    pub fn for_data_dir(dir: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let data = DataDir::new(dir);
        match Self::load(&data.config()) {
            Err(ConfigError::File { error, .. })
                if error.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(Self::plain(data))
            }
            loaded => loaded,
        }
    }

    fn plain(data: DataDir) -> Self {
        Self {
            database: Database::Embedded(data.database()),
            server_name: None,
            service_level: ServiceLevel::default(),
            people: PeopleSource::File(data.people()),
            directory: None,
            audit: None,
            logging: LoggingConfig::of(&data),
            keys: KeyAccess {
                key_file: data.master_key(),
                credential: Credential::None,
                library: None,
            },
            fips: false,
            repo: RepoConfig::of(&data),
            data,
            listen: vec![DEFAULT_LISTEN],
            tls: None,
            url: None,
            threads: None,
            enrollment: Enrollment::default(),
            root_cluster: None,
            limits: ServerLimits::default(),
            basic: true,
            negotiate: None,
            ntlm: None,
            tokens: None,
            certificates: None,
            access: AccessRules::default(),
            forests: None,
            proxies: Proxies::default(),
            log: LogConfig::default(),
            traces: None,
            activation: None,
            outbound_proxy: None,
        }
    }
}

impl Default for Ntlm {
    fn default() -> Self {
        Self {
            helper: "/usr/bin/ntlm_auth".into(),
            helper_arguments: Vec::new(),
            processes: const { NonZeroU16::new(4).unwrap() },
            time_limit: const { NonZeroU16::new(10).unwrap() },
            plain_http: false,
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            requests: 1024,
            body_bytes: openrms_protocol::Limits::server().body_bytes,
            header_seconds: 60,
            body_seconds: 60,
            drain_seconds: 30,
            cache_bytes: 64 << 20,
            spare_keys: 8,
        }
    }
}

impl ServerLimits {
    pub(crate) fn header_time(&self) -> Duration {
        Duration::from_secs(self.header_seconds.max(1))
    }

    pub(crate) fn body_time(&self) -> Duration {
        Duration::from_secs(self.body_seconds.max(1))
    }

    pub(crate) fn drain_time(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: Option<PathBuf>,
    listen: Option<Vec<SocketAddr>>,
    tls: Option<Tls>,
    url: Option<String>,
    server_name: Option<String>,
    service_level: Option<String>,
    database: Option<DatabaseTable>,
    people: Option<PathBuf>,
    directory: Option<toml::Table>,
    threads: Option<NonZeroUsize>,
    audit: Option<PathBuf>,
    #[serde(default)]
    logging: LoggingFile,
    #[serde(default)]
    credential: Secrets,
    #[serde(default)]
    security_module: SecurityModule,
    #[serde(default)]
    crypto: Crypto,
    #[serde(default)]
    enrollment: Enrollment,
    root_cluster: Option<RootClusterTable>,
    #[serde(default)]
    limits: ServerLimits,
    #[serde(default)]
    sign_in: SignIn,
    #[serde(default)]
    services: BTreeMap<Part, PartRule>,
    forests: Option<ForestsConfig>,
    /// Addresses and networks of proxies.
    #[serde(default)]
    proxies: Proxies,
    #[serde(default)]
    log: LogConfig,
    traces: Option<TracesConfig>,
    activation: Option<ActivationConfig>,
    #[serde(default)]
    outbound: Outbound,
    #[serde(default)]
    repo: RepoTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseTable {
    url: String,
    password_file: Option<PathBuf>,
    systemd: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Outbound {
    /// URL of the HTTP proxy.
    proxy: Option<String>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SignIn {
    basic: bool,
    negotiate: Option<Negotiate>,
    ntlm: Option<Ntlm>,
    tokens: Option<BearerSettings>,
    certificates: Option<Certificates>,
}

impl Default for SignIn {
    fn default() -> Self {
        Self {
            basic: true,
            negotiate: None,
            ntlm: None,
            tokens: None,
            certificates: None,
        }
    }
}

/// Where a secret is.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Secrets {
    /// A file that holds it.
    password_file: Option<PathBuf>,
    /// The name of a credential that the service manager hands over.
    systemd: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SecurityModule {
    /// The module's library on this machine.
    library: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Crypto {
    /// Whether it is to be held to FIPS.
    fips: bool,
}

impl File {
    fn resolve(self, base: &Path) -> Result<Config, ConfigError> {
        let data = DataDir::new(match self.data {
            Some(data) => base.join(data),
            None => base.to_owned(),
        });
        let tls = self.tls.map(|tls| Tls {
            certificate: base.join(tls.certificate),
            key: base.join(tls.key),
            ..tls
        });
        let negotiate = self.sign_in.negotiate.map(|negotiate| Negotiate {
            keytab: base.join(negotiate.keytab),
            replay_cache: negotiate.replay_cache.map(|cache| base.join(cache)),
        });
        let ntlm = self.sign_in.ntlm.map(|ntlm| Ntlm {
            helper: base.join(ntlm.helper),
            ..ntlm
        });
        let certificates = self.sign_in.certificates.map(|certificates| Certificates {
            authorities: base.join(certificates.authorities),
            ..certificates
        });
        if certificates.is_some() && tls.is_none() {
            return Err(ConfigError::CertificatesWithoutTls);
        }
        let default_listen = || {
            if tls.is_some() {
                Vec::new()
            } else {
                vec![DEFAULT_LISTEN]
            }
        };
        let directory = self
            .directory
            .map(|table| DirectoryConfig::read(table, base))
            .transpose()
            .map_err(ConfigError::Directory)?;
        let database = match self.database {
            None => Database::Embedded(data.database()),
            Some(table) => Database::Server(table.resolve(base)?),
        };
        let people = match self.people {
            Some(people) => PeopleSource::File(base.join(people)),
            None if database.is_shared() => PeopleSource::Database,
            None => PeopleSource::File(data.people()),
        };
        let root_cluster = self.root_cluster.map(|table| table.resolve(base));
        let log_password = Secrets {
            password_file: self.logging.password_file.clone(),
            systemd: self.logging.systemd.clone(),
        };
        let log_password = log_password.resolve("logging", base)?;
        let logging = self
            .logging
            .resolve((&data, base), &database, log_password)?;
        Ok(Config {
            directory,
            database,
            server_name: self.server_name,
            service_level: match &self.service_level {
                Some(name) => name.parse()?,
                None => ServiceLevel::default(),
            },
            people,
            listen: self.listen.unwrap_or_else(default_listen),
            keys: KeyAccess {
                key_file: data.master_key(),
                credential: self.credential.resolve("credential", base)?,
                library: self
                    .security_module
                    .library
                    .map(|library| base.join(library)),
            },
            fips: self.crypto.fips,
            audit: self.audit.map(|audit| base.join(audit)),
            logging,
            repo: self.repo.resolve(&data, base),
            data,
            tls,
            url: self.url,
            threads: self.threads,
            enrollment: self.enrollment,
            root_cluster: root_cluster.transpose()?,
            limits: self.limits,
            basic: self.sign_in.basic,
            negotiate,
            ntlm,
            tokens: self.sign_in.tokens,
            certificates,
            access: AccessRules::new(self.services)?,
            forests: self.forests.map(|forests| forests.below(base)),
            proxies: self.proxies,
            log: self.log,
            traces: self.traces.map(|traces| traces.below(base)),
            activation: self.activation.map(|activation| activation.below(base)),
            outbound_proxy: self.outbound.proxy,
        })
    }
}

impl DatabaseTable {
    fn resolve(self, base: &Path) -> Result<DatabaseServer, ConfigError> {
        let secrets = Secrets {
            password_file: self.password_file,
            systemd: self.systemd,
        };
        let password = secrets.resolve("database", base)?;
        Ok(DatabaseServer::new(&self.url, password)?)
    }
}

impl RootClusterTable {
    fn resolve(self, base: &Path) -> Result<RootSignIn, ConfigError> {
        let secrets = Secrets {
            password_file: self.password_file.clone(),
            systemd: self.systemd.clone(),
        };
        let password = secrets.resolve("root_cluster", base)?;
        self.sign_in(password, base)
            .map_err(ConfigError::RootCluster)
    }
}

impl Secrets {
    fn resolve(self, table: &'static str, base: &Path) -> Result<Credential, ConfigError> {
        match (self.password_file, self.systemd) {
            (Some(_), Some(_)) => Err(ConfigError::TwoCredentials(table)),
            (Some(file), None) => Ok(Credential::File(base.join(file))),
            (None, Some(name)) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
                Some(folder) => Ok(Credential::File(Path::new(&folder).join(name))),
                None => Err(ConfigError::NoCredentials(name)),
            },
            (None, None) => Ok(Credential::None),
        }
    }
}

const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_in_the_manual_is_one() {
        let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../book/src");
        let mut tried = 0;
        for page in std::fs::read_dir(book).unwrap() {
            let path = page.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            for block in text.split("```toml\n").skip(1) {
                let block = block.split("```").next().unwrap();
                let file: File = toml::from_str(block)
                    .unwrap_or_else(|error| panic!("{}: {error}\n{block}", path.display()));
                file.resolve(Path::new("/etc/openrms"))
                    .unwrap_or_else(|error| panic!("{}: {error}\n{block}", path.display()));
                tried += 1;
            }
        }
        assert!(tried >= 7, "{tried}");
    }
}
