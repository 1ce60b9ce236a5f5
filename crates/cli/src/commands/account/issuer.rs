//! `rms sign-in --issuer`: a person signs in at an identity provider, in a browser.

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use clap::Args;
use openrms_client::oidc::{self, IssuerUrl, LoopbackRedirect, Registration};
use openrms_client::{Credentials, Error};

use crate::failure::Failure;
use crate::session::{Connection, secret_variable, text_variable};
use crate::shell::{Shell, plain};

/// At which identity provider somebody signs in.
#[derive(Debug, Args)]
pub(super) struct IssuerOptions {
    /// URL of an identity provider (OIDC) at which to sign in, in a browser; else `RMS_ISSUER`,
    /// unless --user, --password-file or `RMS_TOKEN` is given.
    #[arg(long, value_name = "URL", conflicts_with_all = ["user", "password_file"])]
    issuer: Option<IssuerUrl>,
    /// The name under which the identity provider knows this program; else `RMS_CLIENT_ID`.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// What the identity provider is asked for, with spaces between.
    #[arg(long, value_name = "SCOPES", default_value = "openid email")]
    scope: String,
    /// The rights-management server, as the identity provider knows it: whom the token is for.
    #[arg(long, value_name = "URL", visible_alias = "audience")]
    resource: Option<String>,
}

impl IssuerOptions {
    /// Where to sign in, when it is at an identity provider.
    pub(super) fn registration(
        self,
        connection: &Connection,
    ) -> Result<Option<Registration>, Failure> {
        let known = connection.user.is_some()
            || connection.password_file.is_some()
            || secret_variable("RMS_TOKEN").is_some();
        let named = match self.issuer {
            None if !known => issuer_variable()?,
            named => named,
        };
        let Some(issuer) = named else {
            return Ok(None);
        };
        let client_id = self.client_id.or_else(|| text_variable("RMS_CLIENT_ID"));
        let client_id = client_id.ok_or_else(|| {
            let message = format!("it is not known who this program is to {issuer}");
            Failure::usage(message, "set --client-id or RMS_CLIENT_ID")
        })?;
        Ok(Some(Registration {
            issuer,
            client_id,
            scope: self.scope,
            resource: self.resource,
        }))
    }
}

/// Has a person sign in and gives the token.
pub(super) fn credentials(
    connection: &Connection,
    registration: &Registration,
    shell: Shell,
) -> Result<Credentials, Failure> {
    let transport = connection.transport()?;
    let redirect = LoopbackRedirect::bind(TIME_TO_SIGN_IN).map_err(Error::from)?;
    let token = oidc::sign_in(&transport, registration, redirect, |url| {
        shell.say(format_args!(
            "Sign in at this address, in a browser on this machine:\n{}",
            plain(url)
        ));
        open_browser(url);
    });
    Ok(Credentials::Bearer(token.map_err(Error::from)?))
}

/// A server that does not take the token, told to whoever has no password to check.
pub(super) fn explained(mut failure: Failure, registration: &Registration) -> Failure {
    if matches!(failure.code, "sign-in-refused" | "unauthorized") {
        failure.hint = format!(
            "the server has to list the issuer {} with --resource as one of its audiences, and \
             to know the person, unless the issuer is federated there",
            plain(registration.issuer.as_str())
        );
    }
    failure
}

/// Opens a browser, when there is one; the address was shown for whoever has none. `BROWSER` is a
/// list with colons between.
fn open_browser(url: &str) {
    let chosen = env::var("BROWSER").unwrap_or_default();
    let chosen = chosen.split(':').filter(|program| !program.is_empty());
    for program in chosen.chain(["xdg-open"]) {
        let started = Command::new(program)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if let Ok(mut browser) = started {
            thread::spawn(move || browser.wait());
            return;
        }
    }
}

/// `RMS_ISSUER`.
fn issuer_variable() -> Result<Option<IssuerUrl>, Failure> {
    let parse = |text: String| {
        text.parse::<IssuerUrl>().map_err(|error| {
            let hint = "set it to the URL of the identity provider";
            Failure::usage(format!("RMS_ISSUER: {error}"), hint)
        })
    };
    text_variable("RMS_ISSUER").map(parse).transpose()
}

const TIME_TO_SIGN_IN: Duration = Duration::from_mins(5);
