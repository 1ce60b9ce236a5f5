//! `rmsd provision`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use openrms_crypto::Mode;

use super::keys::KeyArguments;
use super::{Failure, Output};
use crate::config::Tls;
use crate::provision::{Authority, RootOptions, Step, provision_root_with};

#[derive(Debug, Subcommand)]
pub(super) enum Provision {
    /// Set up a root cluster: keys, certificates, database, people list. A command that was cut
    /// off is completed by giving it again.
    Root(Root),
}

#[derive(Debug, Args)]
pub(super) struct Root {
    /// URL by which clients reach the cluster; goes into every license and cannot be changed.
    #[arg(long)]
    url: String,
    /// Data directory; it is made.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/openrms")]
    data: PathBuf,
    /// What people call the cluster.
    #[arg(long, default_value = "OpenRMS")]
    name: String,
    /// Cryptographic mode. 1 is RSA-1024 and SHA-1, for clients that know nothing better.
    #[arg(long, value_enum, default_value_t = ModeArgument::Two)]
    mode: ModeArgument,
    /// Who certifies the server: `self`, or the URL of another authority's enrollment service.
    #[arg(long, value_name = "self|URL", default_value = "self")]
    authority: String,
    /// DNS name that people of the built-in list belong to; the URL's host by default.
    #[arg(long, value_name = "NAME")]
    forest: Option<String>,
    /// Address to listen on, for the configuration file; chosen after the URL by default.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// PEM file with the certificate for HTTPS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// PEM file with the private key for HTTPS.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ModeArgument {
    /// RSA-1024 and SHA-1.
    #[value(name = "1")]
    One,
    /// RSA-2048 and SHA-256.
    #[value(name = "2")]
    Two,
}

impl From<ModeArgument> for Mode {
    fn from(mode: ModeArgument) -> Self {
        match mode {
            ModeArgument::One => Self::One,
            ModeArgument::Two => Self::Two,
        }
    }
}

pub(super) fn run(command: &Provision, output: &Output) -> Result<(), Failure> {
    let Provision::Root(root) = command;
    let tls = match (&root.tls_certificate, &root.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls {
            listen: root.listen.clone(),
            certificate: std::path::absolute(certificate).map_err(Failure::failed)?,
            key: std::path::absolute(key).map_err(Failure::failed)?,
        }),
        _ => None,
    };
    let (keys, credential) = root.keys.protection()?;
    let options = RootOptions {
        name: root.name.clone(),
        mode: root.mode.into(),
        authority: match root.authority.as_str() {
            "self" => Authority::Own,
            url => Authority::Enroll(url.to_owned()),
        },
        forest: root.forest.clone(),
        keys,
        credential,
        listen: if tls.is_some() {
            Vec::new()
        } else {
            root.listen.clone()
        },
        tls,
        ..RootOptions::new(&root.data, &root.url)
    };
    let done = provision_root_with(&options, &|step| {
        output.say(format_args!("  {}", name(step)));
    })?;
    let data = done.data.display();
    let text = if done.already {
        format!("{} is there already in {data}; nothing was done.", done.url)
    } else {
        format!(
            "{} is set up in {data}.\nAdd people with `rmsd person add NAME --mail ADDRESS --data \
             {data}`, then start it with `rmsd serve --config {data}/rmsd.toml`.",
            done.url
        )
    };
    output.answer(&done, text);
    Ok(())
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Folder => "data directory",
        Step::Database => "database",
        Step::Keys => "protection of the keys",
        Step::HierarchyMade => "keys of the hierarchy",
        Step::HierarchyStored => "trust anchor",
        Step::People => "people list",
        Step::AdminToken => "token of the administration site",
        Step::ConfigFile => "configuration file",
        Step::Cluster => "server key, certificate and policies",
    }
}
