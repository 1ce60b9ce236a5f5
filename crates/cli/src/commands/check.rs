//! `rms check`: whether every service that the client needs answers, on the one port in use.

use std::fmt::Write as _;

use clap::Args;
use openrms_client::{Coded as _, ProbeOutcome};
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::session::Connection;
use crate::shell::{Shell, plain};

/// Arguments of `rms check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    connection: Connection,
}

impl Check {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let report = self.connection.client(shell)?.check()?;
        let mut services = Vec::new();
        let mut text = format!("{}, named by {}\n", report.server, report.source);
        let mut first = None;
        for probe in &report.probes {
            let (outcome, why, hint) = match &probe.outcome {
                ProbeOutcome::Answers => ("answers", None, None),
                ProbeOutcome::WantsSignIn => ("wants-sign-in", None, None),
                ProbeOutcome::Missing => ("missing", None, None),
                ProbeOutcome::Fails(error) => ("fails", Some(error.to_string()), error.hint()),
            };
            let shown = why
                .as_deref()
                .map(|why| format!("  {}", plain(why)))
                .unwrap_or_default();
            _ = writeln!(
                text,
                "  {:20} {outcome:14} {}{shown}",
                probe.service, probe.url
            );
            services.push(json!({
                "service": probe.service,
                "url": probe.url,
                "ok": why.is_none(),
                "outcome": outcome,
                "why": why,
            }));
            if let Some(why) = why {
                first.get_or_insert((probe.service, why, hint.unwrap_or_default()));
            }
        }
        if !report.private {
            text.push_str("  what is sent to this server can be read on the way: use https\n");
        }
        let document = json!({
            "server": report.server.as_str(),
            "server_source": report.source.name(),
            "private": report.private,
            "ok": report.is_ok(),
            "services": services,
        });
        match first {
            None => shell.answer(&document, || text),
            Some((service, why, hint)) => {
                let exit = report.class().map_or(Exit::Failed, Exit::from);
                let message = format!("the service for {service} fails: {}", plain(&why));
                if !shell.is_json() {
                    shell.put(text.as_bytes())?;
                }
                Err(Failure::new(exit, "service-fails", message, plain(&hint)).beside(document))
            }
        }
    }
}
