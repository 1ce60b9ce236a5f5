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

pub(super) fn write(
    data: &DataDir,
    options: &RootOptions,
    url: &BaseUrl,
) -> Result<(), ProvisionError> {
    let file = |error| ProvisionError::File(data.config(), error);
    let chosen = vec![url.listen(options.tls.is_some())];
    let given = |listen: &Vec<_>| {
        if listen.is_empty() {
            chosen.clone()
        } else {
            listen.clone()
        }
    };
    let tls = options.tls.as_ref().map(|tls| TlsTable {
        listen: given(&tls.listen),
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
            given(&options.listen)
        },
        audit: "audit.jsonl",
        tls,
        credential,
    })
    .map_err(|error| file(io::Error::other(error)))?;
    match files::create_private(&data.config(), text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file(error)),
        _ => Ok(()),
    }
}
