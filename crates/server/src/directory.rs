//! An organisation's directory as the configuration file names it: which servers, who signs in
//! there, how long answers are kept.
//!
//! ```toml
//! [directory]
//! servers = ["ldaps://dc1.corp.example", "ldaps://dc2.corp.example"]
//! forest = "corp.example"
//! bind_name = "svc-rms@corp.example"
//! password_file = "/etc/openrms/directory.password"
//! authorities = "/etc/openrms/corp-ca.pem"
//!
//! [directory.cache]
//! principal_cache_expire_minutes = 12
//! ```
//!
//! In place of `bind_name` and `password_file`, `kerberos` says whose tickets to sign in with: those
//! that a key gets, those of a file, or the server's own.
//!
//! ```toml
//! [directory]
//! servers = ["ldap://dc1.corp.example", "ldap://dc2.corp.example"]
//! forest = "corp.example"
//! kerberos = { keytab = "/etc/openrms/svc-rms.keytab", principal = "svc-rms@CORP.EXAMPLE" }
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use openrms_directory::{
    CacheCounters, CacheSettings, CachedDirectory, LdapCounters, LdapDirectory, LdapSecrets,
    LdapSettings, LdapSettingsError, LdapSignIn, SecondLevel,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use serde::Deserialize;
use serde::de::Error as _;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::accounts::{Accounts, RemoteDirectory};
use crate::tickets::TicketTable;

pub use crate::tickets::TicketSource;

/// An organisation's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryConfig {
    /// Which servers, and how they are asked.
    pub ldap: LdapSettings,
    /// Who signs in there.
    pub service_account: ServiceAccount,
    /// PEM file with the authorities of the servers' certificates; those that this machine
    /// trusts when absent.
    pub authorities: Option<PathBuf>,
    /// How long answers are kept.
    pub cache: CacheSettings,
}

/// How the server signs in to a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceAccount {
    /// With a password.
    Password {
        /// A DN or a user principal name.
        bind_name: String,
        /// The file with the password in its first line.
        password_file: PathBuf,
    },
    /// With Kerberos tickets.
    Kerberos(TicketSource),
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryStartError {
    /// The password cannot be read.
    #[error("[directory] password_file {0}: {1}")]
    Password(PathBuf, io::Error),
    /// The file with authorities holds something else, or nothing.
    #[error("[directory] authorities {0}: {1}")]
    Authorities(PathBuf, String),
    /// The settings contradict themselves.
    #[error("[directory] {0}")]
    Settings(#[from] LdapSettingsError),
}

impl DirectoryConfig {
    /// Reads `[directory]`. Relative paths start at `base`.
    pub(crate) fn read(mut table: toml::Table, base: &Path) -> Result<Self, toml::de::Error> {
        let mut own = toml::Table::new();
        for key in OWN {
            own.extend(table.remove_entry(key));
        }
        let own: Own = own.try_into()?;
        Ok(Self {
            // What is left over are the settings of LDAP, and of those each must be known.
            ldap: table.try_into()?,
            service_account: ServiceAccount::read(
                own.bind_name,
                own.password_file,
                own.kerberos,
                base,
            )
            .map_err(toml::de::Error::custom)?,
            authorities: own.authorities.map(|path| base.join(path)),
            cache: own.cache,
        })
    }

    /// Prepares the directory; nothing is asked yet. Its connections live on `runtime`.
    pub(crate) fn open(
        &self,
        second_level: Option<&Arc<SecondLevel>>,
        runtime: Handle,
    ) -> Result<Accounts, DirectoryStartError> {
        let secrets = self.service_account()?;
        let ldap = LdapDirectory::new(self.ldap.clone(), secrets, runtime)?;
        let mut directory = CachedDirectory::new(ldap, &self.cache);
        if let Some(level) = second_level {
            directory = directory.with_second_level(level);
        }
        Ok(Accounts::Remote(Arc::new(directory)))
    }

    /// The account that the server itself uses.
    pub(crate) fn service_account(&self) -> Result<LdapSecrets, DirectoryStartError> {
        self.secrets(match &self.service_account {
            ServiceAccount::Kerberos(source) => LdapSignIn::Kerberos(source.clone()),
            ServiceAccount::Password {
                bind_name,
                password_file,
            } => {
                let password = std::fs::read_to_string(password_file)
                    .map(Zeroizing::new)
                    .map_err(|error| DirectoryStartError::Password(password_file.clone(), error))?;
                let first_line = password.lines().next().unwrap_or_default();
                LdapSignIn::Password {
                    name: bind_name.clone(),
                    password: Zeroizing::new(first_line.to_owned()),
                }
            }
        })
    }

    /// Somebody who signs in to the same servers.
    pub(crate) fn secrets(&self, sign_in: LdapSignIn) -> Result<LdapSecrets, DirectoryStartError> {
        crate::http::use_aws_lc();
        Ok(LdapSecrets {
            sign_in,
            roots: self.roots()?,
        })
    }

    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, DirectoryStartError> {
        let Some(path) = &self.authorities else {
            return Ok(Vec::new());
        };
        let wrong = |error: String| DirectoryStartError::Authorities(path.clone(), error);
        let roots: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<_, pem::Error>>)
            .map_err(|error| wrong(error.to_string()))?;
        // An empty list would mean whom this machine trusts, which is not what was asked for.
        if roots.is_empty() {
            return Err(wrong("holds no certificate".into()));
        }
        Ok(roots)
    }
}

impl ServiceAccount {
    /// Exactly one of the two ways, and of that all.
    fn read(
        bind_name: Option<String>,
        password_file: Option<PathBuf>,
        kerberos: Option<TicketTable>,
        base: &Path,
    ) -> Result<Self, &'static str> {
        match (bind_name, password_file, kerberos) {
            (Some(bind_name), Some(password_file), None) => Ok(Self::Password {
                bind_name,
                password_file: base.join(password_file),
            }),
            (None, None, Some(kerberos)) => Ok(Self::Kerberos(kerberos.source(base)?)),
            (Some(_), None, None) => Err("`password_file` is missing beside `bind_name`"),
            (None, Some(_), None) => Err("`bind_name` is missing beside `password_file`"),
            (None, None, None) => {
                Err("who signs in is missing: `bind_name` and `password_file`, or `kerberos`")
            }
            (_, _, Some(_)) => {
                Err("`kerberos` takes the place of `bind_name` and `password_file`: not both")
            }
        }
    }
}

#[async_trait]
impl RemoteDirectory for CachedDirectory<LdapDirectory> {
    async fn flush(&self) {
        CachedDirectory::flush(self).await;
    }

    fn counters(&self) -> CacheCounters {
        CachedDirectory::counters(self)
    }

    fn ldap_counters(&self) -> LdapCounters {
        self.directory().counters()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    bind_name: Option<String>,
    password_file: Option<PathBuf>,
    kerberos: Option<TicketTable>,
    authorities: Option<PathBuf>,
    #[serde(default)]
    cache: CacheSettings,
}

const OWN: [&str; 5] = [
    "bind_name",
    "password_file",
    "kerberos",
    "authorities",
    "cache",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DirectoryConfig, String> {
        let table: toml::Table = toml::from_str(text).unwrap();
        DirectoryConfig::read(table, Path::new("/etc/openrms")).map_err(|error| error.to_string())
    }

    const SERVERS: &str = "servers = [\"ldaps://dc1.corp.example\"]\nforest = \"corp.example\"\n\
                           bind_name = \"svc@corp.example\"\npassword_file = \"ad.password\"\n";
    const UNSIGNED: &str = "servers = ['ldap://dc1.corp.example']\nforest = 'corp.example'\n";

    #[test]
    fn a_directory_is_read_with_its_defaults() {
        let directory = read(SERVERS).unwrap();
        let password = ServiceAccount::Password {
            bind_name: "svc@corp.example".to_owned(),
            password_file: "/etc/openrms/ad.password".into(),
        };
        assert_eq!(directory.service_account, password);
        assert_eq!(directory.cache, CacheSettings::default());
        assert_eq!(directory.ldap.ldap_time_out, 5);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (more, name) in [
            ("ldap_timeout = 5\n", "ldap_timeout"),
            ("[cache]\nprincipals = 1\n", "principals"),
        ] {
            let error = read(&format!("{SERVERS}{more}")).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn kerberos_takes_the_place_of_a_password() {
        for (table, source) in [
            ("{}", TicketSource::Own),
            (
                "{ ccache = 'svc.ccache' }",
                TicketSource::File("/etc/openrms/svc.ccache".into()),
            ),
            (
                "{ keytab = '/k/svc.keytab', principal = 'svc@CORP.EXAMPLE' }",
                TicketSource::Keytab {
                    keytab: "/k/svc.keytab".into(),
                    principal: "svc@CORP.EXAMPLE".to_owned(),
                },
            ),
        ] {
            let directory = read(&format!("{UNSIGNED}kerberos = {table}\n")).unwrap();
            assert_eq!(directory.service_account, ServiceAccount::Kerberos(source));
        }
    }

    #[test]
    fn who_signs_in_is_said_once_and_wholly() {
        for (account, words) in [
            ("", "who signs in is missing"),
            ("bind_name = 'svc'", "`password_file` is missing"),
            ("password_file = 'p'", "`bind_name` is missing"),
            ("bind_name = 'svc'\nkerberos = {}", "not both"),
            ("password_file = 'p'\nkerberos = {}", "not both"),
            ("kerberos = { keytab = 'k' }", "`kerberos.principal`"),
            ("kerberos = { principal = 'p' }", "`kerberos.keytab`"),
            (
                "kerberos = { ccache = 'c', keytab = 'k', principal = 'p' }",
                "`kerberos.ccache`",
            ),
            ("kerberos = { ccache = 'c', principal = 'p' }", "not both"),
            ("kerberos = { cache = 'c' }", "cache"),
            ("kerberos = true", "kerberos"),
        ] {
            let error = read(&format!("{UNSIGNED}{account}\n")).unwrap_err();
            assert!(error.contains(words), "{account}: {error}");
        }
    }
}
