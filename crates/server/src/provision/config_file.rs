//! The configuration file that a new server begins with.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::url::BaseUrl;
use super::{ProvisionError, RootOptions};
use crate::credential::Credential;
use crate::data_dir::DataDir;
use crate::files;

/// Where a server of that cluster listens: at the addresses that were named, else at one that fits
/// the URL.
pub(super) fn addresses(options: &RootOptions, url: &BaseUrl) -> Vec<SocketAddr> {
    let secure = options.tls.iter().flat_map(|tls| &tls.listen);
    let named: Vec<_> = secure.chain(&options.listen).copied().collect();
    if named.is_empty() {
        vec![url.listen(options.tls.is_some())]
    } else {
        named
    }
}

/// Writes the file, unless there is one.
pub(super) fn write(
    data: &DataDir,
    options: &RootOptions,
    url: &BaseUrl,
) -> Result<(), ProvisionError> {
    let file = |error| ProvisionError::File(data.config(), error);
    let chosen = addresses(options, url);
    let tls = options.tls.as_ref().map(|tls| TlsTable {
        listen: if tls.listen.is_empty() {
            chosen.clone()
        } else {
            tls.listen.clone()
        },
        certificate: &tls.certificate,
        key: &tls.key,
    });
    let credential = match &options.credential {
        Credential::File(path) => Some(CredentialTable {
            password_file: std::path::absolute(path).map_err(file)?,
        }),
        Credential::None | Credential::Prompt | Credential::Given(_) => None,
    };
    let text = toml::to_string(&ConfigFile {
        url: &url.base,
        listen: if tls.is_some() {
            options.listen.clone()
        } else {
            chosen
        },
        audit: "audit.jsonl",
        tls,
        credential,
        outbound: options.proxy.as_deref().map(|proxy| Outbound { proxy }),
    })
    .map_err(|error| file(io::Error::other(error)))?;
    match files::create_private(&data.config(), text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file(error)),
        _ => Ok(()),
    }
}

/// The configuration file, as an administrator would begin it.
#[derive(Serialize)]
struct ConfigFile<'a> {
    url: &'a str,
    listen: Vec<SocketAddr>,
    audit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsTable<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialTable>,
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
struct CredentialTable {
    password_file: PathBuf,
}

#[derive(Serialize)]
struct Outbound<'a> {
    proxy: &'a str,
}
