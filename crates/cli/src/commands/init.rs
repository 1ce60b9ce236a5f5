//! `rms init`: where the service is, and whom to trust.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use openrms_client::discovery::DiscoveryError;
use openrms_client::{Bundle, Client, Error, Hierarchy, JoinPolicy, Joined, ServerSource};
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::session::Connection;
use crate::shell::{Shell, plain};

/// Arguments of `rms init`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without --server, the service is taken from RMS_SERVER, from what was remembered, \
                  or from the machine's settings in /etc/openrms. Where none of them says, it is \
                  looked for: in the forest, for whoever has a Kerberos ticket; else in DNS, the \
                  records _rmsdisco._tcp and _rmsdisco._http._tcp of the ticket's realm, the \
                  domain in --user, or the machine's domain. What is found is shown and \
                  remembered."
)]
pub(crate) struct Init {
    #[command(flatten)]
    connection: Connection,
    /// Fingerprint of the trust anchor, as your administrator told you: 32 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// The client bundle as a file, for servers that do not hand it out.
    #[arg(long, value_name = "BUNDLE.json")]
    hierarchy: Option<PathBuf>,
}

impl Init {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let client = self.connection.client(shell)?;
        let (joined, source, place) = if let Some(path) = &self.hierarchy {
            let bundle = read_bundle(path)?;
            let policy = match &self.fingerprint {
                Some(fingerprint) => JoinPolicy::Pinned(fingerprint.clone()),
                None => JoinPolicy::TrustOnFirstUse,
            };
            let hierarchy = Hierarchy::from_bundle(&bundle, &policy).map_err(Error::from)?;
            let server = match &self.connection.server {
                Some(server) => server.clone(),
                None => bundle
                    .server
                    .parse()
                    .map_err(|error| malformed(path, &error))?,
            };
            client.set_server(&server)?;
            let joined = Joined {
                server,
                ..client.join(hierarchy)?
            };
            (joined, client.locate()?.source, None)
        } else {
            self.join(shell, &client)?
        };
        if let Some(user) = self.connection.user() {
            let lock = client.home().lock().map_err(Error::from)?;
            openrms_client::Settings::update(&lock, |settings| settings.user = Some(user))
                .map_err(Error::from)?;
        }
        let anchors: Vec<_> = joined
            .anchors
            .iter()
            .map(|(name, fingerprint)| json!({ "name": name, "fingerprint": fingerprint }))
            .collect();
        let document = json!({
            "server": joined.server.as_str(),
            "server_source": source.name(),
            "server_found_at": place,
            "name": joined.name,
            "anchors": anchors,
            "spc_issuer": joined.spc_issuer,
            "changed": joined.changed,
            "home": client.home().path().to_string_lossy(),
        });
        shell.answer(&document, || {
            let mut text = format!("server   {}\n", joined.server);
            if let Some(place) = &place {
                _ = writeln!(text, "found    {place}");
            }
            for (name, fingerprint) in &joined.anchors {
                _ = writeln!(text, "anchor   {} {fingerprint}", plain(name));
            }
            text.push_str(if joined.changed {
                "joined\n"
            } else {
                "known already\n"
            });
            text
        })
    }
}

impl Init {
    /// Joins the server that somebody names; else one that is looked for. Tells who named it, and
    /// where it was found.
    fn join(
        &self,
        shell: Shell,
        client: &Client,
    ) -> Result<(Joined, ServerSource, Option<String>), Failure> {
        let fingerprint = self.fingerprint.as_deref();
        match client.locate() {
            Ok(located) => {
                let server = &located.server;
                let joined = self.connection.join(shell, client, server, fingerprint)?;
                Ok((joined, located.source, None))
            }
            Err(Error::Discovery(DiscoveryError::NoServer)) => {
                let user = match self.connection.user() {
                    Some(user) => Some(user),
                    None => client.settings()?.user,
                };
                let found = client.find_server(user.as_deref())?;
                let (by, place) = (found.by, found.place.clone());
                let joined = self
                    .connection
                    .join_found(shell, client, found, fingerprint)?;
                Ok((joined, ServerSource::Found(by), Some(place)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn read_bundle(path: &std::path::Path) -> Result<Bundle, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
    serde_json::from_str(&text).map_err(|error| malformed(path, &error))
}

fn malformed(path: &std::path::Path, error: &impl std::fmt::Display) -> Failure {
    let message = format!(
        "{} is no client bundle: {error}",
        plain(&path.to_string_lossy())
    );
    let hint = "a file of `rmsd client-bundle`, or of SERVER/.well-known/openrms/client";
    Failure::new(Exit::Malformed, "client-bundle-malformed", message, hint)
}
