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

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use openrms_directory::{
    CacheCounters, CacheSettings, CachedDirectory, LdapDirectory, LdapSecrets, LdapSettings,
    LdapSettingsError, SecondLevel,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use serde::Deserialize;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::accounts::{Accounts, RemoteDirectory};

/// An organisation's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryConfig {
    /// Which servers, and how they are asked.
    pub ldap: LdapSettings,
    /// Who signs in there: a DN or a user principal name.
    pub bind_name: String,
    /// The file with their password in its first line.
    pub password_file: PathBuf,
    /// PEM file with the authorities of the servers' certificates; those that this machine
    /// trusts when absent.
    pub authorities: Option<PathBuf>,
    /// How long answers are kept.
    pub cache: CacheSettings,
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
        for key in ["bind_name", "password_file", "authorities", "cache"] {
            own.extend(table.remove_entry(key));
        }
        let own: Own = own.try_into()?;
        Ok(Self {
            // What is left over are the settings of LDAP, and of those each must be known.
            ldap: table.try_into()?,
            bind_name: own.bind_name,
            password_file: base.join(own.password_file),
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
        let password = std::fs::read_to_string(&self.password_file)
            .map(Zeroizing::new)
            .map_err(|error| DirectoryStartError::Password(self.password_file.clone(), error))?;
        let first_line = password.lines().next().unwrap_or_default();
        self.secrets_of(&self.bind_name, Zeroizing::new(first_line.to_owned()))
    }

    /// Somebody else who signs in to the same servers.
    pub(crate) fn secrets_of(
        &self,
        bind_name: &str,
        password: Zeroizing<String>,
    ) -> Result<LdapSecrets, DirectoryStartError> {
        crate::http::use_aws_lc();
        Ok(LdapSecrets {
            bind_name: bind_name.to_owned(),
            password,
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

#[async_trait]
impl RemoteDirectory for CachedDirectory<LdapDirectory> {
    async fn flush(&self) {
        CachedDirectory::flush(self).await;
    }

    fn counters(&self) -> CacheCounters {
        CachedDirectory::counters(self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    bind_name: String,
    password_file: PathBuf,
    authorities: Option<PathBuf>,
    #[serde(default)]
    cache: CacheSettings,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DirectoryConfig, String> {
        let table: toml::Table = toml::from_str(text).unwrap();
        DirectoryConfig::read(table, Path::new("/etc/openrms")).map_err(|error| error.to_string())
    }

    const SERVERS: &str = "servers = [\"ldaps://dc1.corp.example\"]\nforest = \"corp.example\"\n\
                           bind_name = \"svc@corp.example\"\npassword_file = \"ad.password\"\n";

    #[test]
    fn a_directory_is_read_with_its_defaults() {
        let directory = read(SERVERS).unwrap();
        assert_eq!(
            directory.password_file,
            Path::new("/etc/openrms/ad.password")
        );
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
        assert!(read("servers = []").unwrap_err().contains("bind_name"));
    }
}
