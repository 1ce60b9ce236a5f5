//! `rmsd provision join`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use openrms_protocol::ServiceLevel;

use super::super::{Failure, Output, secrets};
use super::interview::Terminal;
use super::{DEFAULT_DATA, DatabaseArguments, tls};
use crate::credential::Credential;
use crate::provision::{JoinOptions, join};

#[derive(Debug, Args)]
pub(in crate::commands) struct Join {
    #[command(flatten)]
    database: DatabaseArguments,
    /// Data directory; it is made.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
    /// File with the password of the keys, or the PIN of the security module; asked for when
    /// absent.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The security module's library, where it is another one than where the cluster was set up.
    #[arg(long, value_name = "LIBRARY")]
    pkcs11_library: Option<PathBuf>,
    /// Address to listen on, for the configuration file; chosen after the URL by default.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// PEM file with the certificate for HTTPS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// PEM file with the private key for HTTPS.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// URL of the HTTP proxy by which this server asks others.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// What this server is called among those of the cluster; as the machine by default.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The version of RMS as which this server behaves: 1.0, sp1, sp2 or 2.0.
    #[arg(long, value_name = "LEVEL", default_value_t)]
    service_level: ServiceLevel,
}

pub(super) fn run(command: &Join, output: &Output) -> Result<(), Failure> {
    let database = command.database.server()?;
    let database = database.ok_or_else(|| Failure::usage("--database URL is needed"))?;
    let credential = match &command.password_file {
        Some(file) => Credential::File(file.clone()),
        None if Terminal::is_there(output) => {
            secrets::asked("Password of the cluster's keys, or PIN of its security module")?
        }
        None => Credential::None,
    };
    let (certificate, key) = (command.tls_certificate.clone(), command.tls_key.clone());
    let tls = tls(certificate, key, &command.listen)?;
    let done = join(&JoinOptions {
        data: command.data.clone(),
        database,
        credential,
        library: command.pkcs11_library.clone(),
        listen: if tls.is_some() {
            Vec::new()
        } else {
            command.listen.clone()
        },
        tls,
        proxy: command.proxy.clone(),
        server_name: command.server_name.clone(),
        service_level: command.service_level,
    })?;
    let data = done.data.display();
    let text = if done.already {
        format!(
            "{data} is a server of {} already; nothing was done.",
            done.url
        )
    } else {
        format!(
            "{data} is a server of {}. Start it with `rmsd serve --config {data}/rmsd.toml`.",
            done.url
        )
    };
    output.answer(&done, text);
    Ok(())
}
