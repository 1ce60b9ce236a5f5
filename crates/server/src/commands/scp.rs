//! `rmsd scp`: the entry in Active Directory by which clients find the cluster (the service
//! connection point, MS-RMPR 3.1.4.4).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use openrms_directory::scp::{
    self, CertificationUrl, OtherCluster, Registration, Removal, Scp, ScpError, ScpPlace,
};
use openrms_directory::{LdapSecrets, LdapSettings, LdapSignIn};
use openrms_engine::Cluster;
use openrms_negotiate::TicketSource;
use serde_json::json;

use super::failure::scp_code;
use super::{Failure, Output, Place, secrets};
use crate::Config;
use crate::open::{Opened, blocking};
use crate::provision::is_loopback_url;

#[derive(Debug, Subcommand)]
pub(super) enum ServiceConnectionPoint {
    /// Tell the clients of the forest where this cluster is.
    Register(Register),
    /// Print what clients find.
    Show(Show),
    /// Remove the entry of this cluster.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Register {
    /// Replace the entry of another cluster.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Remove the entry also when it is another cluster's.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    access: Access,
}

/// Which cluster, and who signs in to the directory.
#[derive(Debug, Args)]
struct Access {
    /// User principal name of an administrator of the directory, such as
    /// administrator@corp.example; the service account of [directory] by default.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File whose first line is their password; standard input by default.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Sign in with the Kerberos ticket of whoever runs this command, as kinit got it.
    #[arg(long, conflicts_with = "user")]
    kerberos: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &ServiceConnectionPoint, output: &Output) -> Result<(), Failure> {
    match command {
        ServiceConnectionPoint::Register(register) => run_register(register, output),
        ServiceConnectionPoint::Show(show) => run_show(show, output),
        ServiceConnectionPoint::Remove(remove) => run_remove(remove, output),
    }
}

fn run_register(register: &Register, output: &Output) -> Result<(), Failure> {
    let prepared = register.access.prepare(output)?;
    let (dn, url, done) = blocking(async || {
        let url = certification_url(&prepared.config).await?;
        if is_loopback_url(url.as_str().trim_end_matches("/certification")) {
            let message = format!("{url} leads every client to its own machine");
            return Err(Failure::new(1, "loopback-url", message)
                .with_hint("Set a cluster up with the URL by which clients reach it."));
        }
        let place = ScpPlace::open(&prepared.settings, prepared.secrets).await?;
        let done = place.register(&url, other(register.replace)).await?;
        Ok::<_, Failure>((place.dn().to_owned(), url, done))
    })?;
    let (outcome, text) = match done {
        Registration::Added => ("added", "is registered"),
        Registration::Changed => ("changed", "is registered in place of what was there"),
        Registration::Unchanged => ("unchanged", "was registered already; nothing was done"),
    };
    let document = json!({
        "dn": dn,
        "url": url.as_str(),
        "outcome": outcome,
        "changed": done != Registration::Unchanged,
    });
    output.answer(&document, format_args!("{url} {text}.\n{dn}"));
    Ok(())
}

fn run_show(show: &Show, output: &Output) -> Result<(), Failure> {
    let prepared = show.access.prepare(output)?;
    let (own, found) = blocking(async || {
        let own = certification_url(&prepared.config).await?;
        let place = ScpPlace::open(&prepared.settings, prepared.secrets).await?;
        Ok::<_, Failure>((own, place.found().await?))
    })?;
    let location = scp::location(&found);
    let this_cluster = location
        .as_ref()
        .is_ok_and(|url| url.is_same_place_as(&own));
    let summary = match &location {
        Ok(_) if this_cluster => "Clients of the forest find this cluster.".to_owned(),
        Ok(_) => "Clients of the forest find another cluster.".to_owned(),
        Err(ScpError::None) => {
            "The forest has no service connection point: clients must be told where the server is."
                .to_owned()
        }
        Err(ScpError::Several { .. }) => {
            "The forest has several, and which of them a client takes is left to chance.".to_owned()
        }
        Err(error) => format!("Clients find nothing that they can use: {error}."),
    };
    let document = json!({
        "found": found.iter().map(document).collect::<Vec<_>>(),
        "url": location.as_ref().ok().map(CertificationUrl::as_str),
        "problem": location.as_ref().err().map(scp_code),
        "own_url": own.as_str(),
        "this_cluster": this_cluster,
    });
    let mut lines: Vec<_> = found.iter().map(line).collect();
    lines.push(summary);
    output.answer(&document, lines.join("\n"));
    Ok(())
}

fn run_remove(remove: &Remove, output: &Output) -> Result<(), Failure> {
    let prepared = remove.access.prepare(output)?;
    let (dn, done) = blocking(async || {
        let url = certification_url(&prepared.config).await?;
        let place = ScpPlace::open(&prepared.settings, prepared.secrets).await?;
        let done = place.remove(&url, other(remove.force)).await?;
        Ok::<_, Failure>((place.dn().to_owned(), done))
    })?;
    let (outcome, text) = match done {
        Removal::Removed => ("removed", "is removed, and its container with it"),
        Removal::ContainerLeft => ("container-left", "is removed; its container is left"),
        Removal::Absent => ("absent", "is not there; nothing was done"),
    };
    let changed = done != Removal::Absent;
    let document = json!({ "dn": dn, "outcome": outcome, "changed": changed });
    output.answer(&document, format_args!("{dn} {text}."));
    Ok(())
}

/// All that is needed to begin.
struct Prepared {
    config: Config,
    settings: LdapSettings,
    secrets: LdapSecrets,
}

impl Access {
    fn prepare(&self, output: &Output) -> Result<Prepared, Failure> {
        let config = self.place.load()?;
        let directory = config.directory.as_ref().ok_or_else(|| {
            Failure::new(1, "no-directory", "the configuration names no [directory]")
                .with_hint("Only a cluster that uses Active Directory can be registered there.")
        })?;
        let secrets = match &self.user {
            Some(user) => {
                let prompt = format!("Password of {user}");
                directory.secrets(LdapSignIn::Password {
                    name: user.clone(),
                    password: secrets::password(self.password_file.as_deref(), &prompt, output)?,
                })?
            }
            None if self.kerberos => directory.secrets(LdapSignIn::Kerberos(TicketSource::Own))?,
            None => directory.service_account()?,
        };
        Ok(Prepared {
            settings: directory.ldap.clone(),
            secrets,
            config,
        })
    }
}

fn other(overriding: bool) -> OtherCluster {
    if overriding {
        OtherCluster::Override
    } else {
        OtherCluster::Keep
    }
}

async fn certification_url(config: &Config) -> Result<CertificationUrl, Failure> {
    let opened = Opened::open(config).await?;
    let stored = opened.store.snapshot().await.map_err(Failure::failed)?;
    let cluster = Cluster::new(&stored, &*opened.provider, opened.vault.clone())
        .map_err(|error| Failure::new(1, "not-provisioned", error))?;
    opened.store.close().await;
    if cluster.root.is_some() {
        let message = "a licensing cluster is not what clients look for: register its root cluster";
        return Err(Failure::new(1, "licensing-cluster", message));
    }
    let url = cluster.certification_url();
    url.parse()
        .map_err(|error| Failure::failed(format!("the cluster's URL {url}: {error}")))
}

fn document(scp: &Scp) -> serde_json::Value {
    json!({ "dn": scp.dn, "urls": scp.bindings })
}

fn line(scp: &Scp) -> String {
    let urls = scp.bindings.join(" ");
    // Others wrote them, and this is for a terminal.
    format!("{}  {}", urls.escape_debug(), scp.dn.escape_debug())
}

#[cfg(test)]
mod tests {
    use openrms_directory::DirectoryError;

    use super::*;

    #[test]
    fn scripts_can_tell_who_is_to_act() {
        let (name, dn) = (String::from("svc-rms@corp.example"), String::from("CN=SCP"));
        let directory = String::from("ldaps://dc1.corp.example:636");
        let binding = String::from("https://rms2.corp.example/_wmcs/certification");
        for (error, exit, code) in [
            (
                ScpError::Directory(DirectoryError::Timeout {
                    directory: directory.clone(),
                }),
                5,
                "directory-unreachable",
            ),
            (
                ScpError::SignIn { name: name.clone() },
                3,
                "sign-in-refused",
            ),
            (
                ScpError::Directory(DirectoryError::SignIn {
                    directory: directory.clone(),
                    reason: String::from("Ticket expired"),
                }),
                3,
                "kerberos-failed",
            ),
            (
                ScpError::Denied {
                    name,
                    dn: dn.clone(),
                },
                3,
                "insufficient-access-rights",
            ),
            (ScpError::OtherCluster { dn, binding }, 1, "other-cluster"),
        ] {
            let failure = Failure::from(error);
            assert_eq!((failure.exit, failure.code), (exit, code));
        }
    }

    #[test]
    fn what_others_wrote_does_not_reach_the_terminal_as_it_is() {
        let scp = Scp {
            dn: "CN=SCP".to_owned(),
            bindings: vec!["https://a/\u{1b}[2J".to_owned()],
            keywords: Vec::new(),
        };
        assert_eq!(line(&scp), "https://a/\\u{1b}[2J  CN=SCP");
    }
}
