//! `rmsd renew`: a new server licensor certificate for the same key.

use std::path::PathBuf;

use clap::Args;

use super::enroll::{TrustArguments, answer, request_document, take_over, write_request};
use super::{Failure, Output, Place, secrets};
use crate::clock;
use crate::enrollment::{self, OnLine, SignIn, Trust};
use crate::open::{Opened, blocking};

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

/// How this server signs in to its root cluster.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SignInArguments {
    /// Name of somebody who may enroll licensing clusters at the root cluster.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File whose first line is their password; standard input by default.
    #[arg(long, value_name = "FILE", requires = "user")]
    user_password_file: Option<PathBuf>,
    /// Sign in with the Kerberos ticket of whoever runs this command, as kinit got it.
    #[arg(long, conflicts_with = "user")]
    kerberos: bool,
}

impl SignInArguments {
    pub(super) fn read(&self, output: &Output) -> Result<SignIn, Failure> {
        Ok(match &self.user {
            Some(user) => {
                let file = self.user_password_file.as_deref();
                let password = secrets::password(file, &format!("Password of {user}"), output)?;
                SignIn::Password(user.clone(), password)
            }
            None if self.kerberos => SignIn::Kerberos,
            None => SignIn::Nobody,
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
        let sign_in = renew.sign_in.read(output)?;
        blocking(async || {
            let opened = Opened::open(&config).await?;
            let (store, provider) = (&*opened.store, &*opened.provider);
            let by = OnLine {
                sign_in: &sign_in,
                proxy: config.outbound_proxy.as_deref(),
            };
            let trust = Trust::default();
            let done = enrollment::on_line(store, provider, trust, by, clock::now()).await?;
            opened.store.close().await;
            Ok::<_, Failure>(done)
        })?
    };
    answer(&done, "renewed", output);
    Ok(())
}
