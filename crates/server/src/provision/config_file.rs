//! The configuration file that a new server begins with.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use openrms_protocol::ServiceLevel;
use serde::Serialize;

use super::url::BaseUrl;
use super::{ProvisionError, RootOptions};
use crate::config::Tls;
use crate::credential::Credential;
use crate::data_dir::DataDir;
use crate::database::DatabaseServer;
use crate::files;
use crate::root_cluster::{RootClusterTable, RootSignIn};

/// What is particular to one server of a cluster.
pub(super) struct OneServer<'o> {
    pub(super) listen: &'o [SocketAddr],
    pub(super) tls: Option<&'o Tls>,
    pub(super) database: Option<&'o DatabaseServer>,
    pub(super) credential: &'o Credential,
    /// The security module's library, where it is another one than where the cluster was set up.
    pub(super) library: Option<&'o Path>,
    pub(super) proxy: Option<&'o str>,
    pub(super) server_name: Option<&'o str>,
    pub(super) service_level: ServiceLevel,
    /// How it signs in to its root cluster when it renews its certificate.
    pub(super) root_cluster: Option<&'o RootSignIn>,
}

impl<'o> From<&'o RootOptions> for OneServer<'o> {
    fn from(options: &'o RootOptions) -> Self {
        Self {
            listen: &options.listen,
            tls: options.tls.as_ref(),
            database: options.database.as_ref(),
            credential: &options.credential,
            library: None,
            proxy: options.proxy.as_deref(),
            server_name: options.server_name.as_deref(),
            service_level: options.service_level,
            root_cluster: options.sign_in.as_ref().filter(|_| options.keep_sign_in),
        }
    }
}

impl OneServer<'_> {
    /// Where it listens: at the addresses that were named, else at one that fits the URL.
    pub(super) fn addresses(&self, url: &BaseUrl) -> Vec<SocketAddr> {
        let secure = self.tls.iter().flat_map(|tls| &tls.listen);
        let named: Vec<_> = secure.chain(self.listen).copied().collect();
        if named.is_empty() {
            vec![url.listen(self.tls.is_some())]
        } else {
            named
        }
    }

    /// Writes the file, unless there is one.
    pub(super) fn write(&self, data: &DataDir, url: &BaseUrl) -> Result<(), ProvisionError> {
        let file = |error| ProvisionError::File(data.config(), error);
        let chosen = self.addresses(url);
        let tls = self.tls.map(|tls| TlsTable {
            listen: if tls.listen.is_empty() {
                chosen.clone()
            } else {
                tls.listen.clone()
            },
            certificate: &tls.certificate,
            key: &tls.key,
        });
        let text = toml::to_string(&ConfigFile {
            url: &url.base,
            server_name: self.server_name,
            service_level: Some(self.service_level)
                .filter(|&level| level != ServiceLevel::default())
                .map(ServiceLevel::name),
            listen: if tls.is_some() {
                self.listen.to_vec()
            } else {
                chosen
            },
            tls,
            database: self
                .database
                .map(|server| {
                    Ok(DatabaseTable {
                        url: &server.url,
                        password_file: secret_file(&server.password)?,
                    })
                })
                .transpose()
                .map_err(file)?,
            credential: secret_file(self.credential)
                .map_err(file)?
                .map(|password_file| CredentialTable { password_file }),
            security_module: self.library.map(|library| SecurityModule { library }),
            root_cluster: self
                .root_cluster
                .map(RootSignIn::table)
                .transpose()
                .map_err(file)?
                .flatten(),
            outbound: self.proxy.map(|proxy| Outbound { proxy }),
        })
        .map_err(|error| file(io::Error::other(error)))?;
        match files::create_private(&data.config(), text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file(error)),
            _ => Ok(()),
        }
    }
}

/// The file of a secret that is in one.
fn secret_file(credential: &Credential) -> io::Result<Option<PathBuf>> {
    credential.file().map(std::path::absolute).transpose()
}

/// The configuration file, as an administrator would begin it.
#[derive(Serialize)]
struct ConfigFile<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_level: Option<&'static str>,
    listen: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsTable<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<DatabaseTable<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_module: Option<SecurityModule<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_cluster: Option<RootClusterTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outbound: Option<Outbound<'a>>,
}

#[derive(Serialize)]
struct TlsTable<'a> {
    listen: Vec<SocketAddr>,
    certificate: &'a PathBuf,
    key: &'a PathBuf,
}

#[derive(Serialize)]
struct DatabaseTable<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct SecurityModule<'a> {
    library: &'a Path,
}

#[derive(Serialize)]
struct CredentialTable {
    password_file: PathBuf,
}

#[derive(Serialize)]
struct Outbound<'a> {
    proxy: &'a str,
}
