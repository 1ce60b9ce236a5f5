//! `rmsd renew`: a new server licensor certificate for the same key.

use std::path::PathBuf;

use clap::Args;
use openrms_crypto::Secret;

use super::enroll::{TrustArguments, answer, request_document, take_over, write_request};
use super::{Failure, Output, Place, secrets};
use crate::clock;
use crate::config::Config;
use crate::credential::Credential;
use crate::enrollment::{self, Applicant, OnLine, SignIn};
use crate::open::{Opened, blocking};
use crate::root_cluster::RootSignIn;
use crate::tickets::TicketSource;

#[derive(Debug, Args)]
pub(super) struct Renew {
    /// Ask whoever certified the server; what is done when nothing else is said.
    #[arg(long)]
    online: bool,
    /// Write a request in place of asking; the server's name and `RenewRequest.xml` when no file
    /// is named.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        default_missing_value = ".",
        conflicts_with_all = ["online", "complete"]
    )]
    request: Option<PathBuf>,
    /// Take over the certificate of this response.
    #[arg(long, value_name = "FILE", conflicts_with = "online")]
    complete: Option<PathBuf>,
    /// Replace a request that is there.
    #[arg(long, requires = "request")]
    force: bool,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    sign_in: SignInArguments,
    #[command(flatten)]
    place: Place,
}

/// How this server signs in to its root cluster: when nothing is said, as `[root_cluster]` says it.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SignInArguments {
    /// Name of somebody who may enroll licensing clusters at the root cluster.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File with their password; standard input by default.
    #[arg(long, value_name = "FILE", requires = "user", group = KEPT)]
    user_password_file: Option<PathBuf>,
    /// Sign in with the Kerberos ticket of whoever runs this command, as kinit got it.
    #[arg(long, conflicts_with_all = ["user", "keytab"])]
    kerberos: bool,
    /// Sign in with Kerberos and the key in this file.
    #[arg(long, value_name = "FILE", requires = "principal", conflicts_with = "user", group = KEPT)]
    keytab: Option<PathBuf>,
    /// Whose key it is, such as svc-rms@CORP.EXAMPLE.
    #[arg(long, value_name = "NAME", requires = "keytab")]
    principal: Option<String>,
}

impl SignInArguments {
    /// How others are asked: as was said here, or else as `[root_cluster]` says.
    pub(super) fn on_line(&self, config: &Config, output: &Output) -> Result<OnLine, Failure> {
        let said = self.read(output)?;
        let sign_in = said.as_ref().or(config.root_cluster.as_ref());
        Ok(OnLine {
            sign_in: sign_in.map_or(Ok(SignIn::Nobody), RootSignIn::open)?,
            proxy: config.outbound_proxy.clone(),
        })
    }

    /// What was said; a password that is in no file is asked for.
    pub(super) fn read(&self, output: &Output) -> Result<Option<RootSignIn>, Failure> {
        if let Some(user) = &self.user {
            let password = if let Some(file) = &self.user_password_file {
                Credential::File(file.clone())
            } else {
                let typed = secrets::password(None, &format!("Password of {user}"), output)?;
                Credential::Given(Secret::from(typed.as_bytes()))
            };
            let user = user.clone();
            return Ok(Some(RootSignIn::Password { user, password }));
        }
        Ok(match (&self.keytab, &self.principal) {
            (Some(keytab), Some(principal)) => Some(RootSignIn::Kerberos(TicketSource::Keytab {
                keytab: keytab.clone(),
                principal: principal.clone(),
            })),
            _ if self.kerberos => Some(RootSignIn::Kerberos(TicketSource::Own)),
            _ => None,
        })
    }
}

pub(super) fn run(renew: &Renew, output: &Output) -> Result<(), Failure> {
    if let Some(file) = &renew.request {
        let file = Some(file.as_path());
        return write_request(
            (file, "RenewRequest.xml"),
            renew.force,
            &renew.place,
            request_document,
            output,
        );
    }
    let done = if let Some(response) = &renew.complete {
        take_over(response, &renew.trust, &renew.place)?
    } else {
        let config = renew.place.load()?;
        let trust = renew.trust.read()?;
        let by = renew.sign_in.on_line(&config, output)?;
        blocking(async || {
            let opened = Opened::open(&config).await?;
            let server = Applicant::new(&opened, config.service_level);
            let done = enrollment::on_line(server, trust, &by, clock::now()).await?;
            opened.store.close().await;
            Ok::<_, Failure>(done)
        })?
    };
    answer(&done, "renewed", output);
    Ok(())
}

/// The ways to sign in that a configuration file can name.
pub(super) const KEPT: &str = "kept";
