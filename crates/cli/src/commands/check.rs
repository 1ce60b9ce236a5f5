//! `rms check`: whether every service that the client needs answers, on the one port in use, and
//! what else a support desk asks: one screen.

use std::fmt::Write as _;

use clap::Args;
use openrms_client::check::{Cluster, Warning};
use openrms_client::{CheckReport, Client, Coded as _, ProbeOutcome, SetBy, Status};
use serde_json::{Map, Value, json};

use super::config;
use crate::failure::{Exit, Failure};
use crate::session::Connection;
use crate::shell::{Shell, plain};

/// Arguments of `rms check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    connection: Connection,
}

/// What is shown, as text and as JSON.
struct Screen {
    text: String,
    fields: Map<String, Value>,
}

impl Check {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let client = self.connection.client(shell)?;
        let mut screen = Screen::of_machine(&client)?;
        // What is held is shown also where there is nobody to be asked.
        let failed = match client.check() {
            Ok(report) => screen.add(&report),
            Err(error) => Some(error.into()),
        };
        let document = Value::Object(screen.fields);
        let Some(failure) = failed else {
            return shell.answer(&document, || screen.text);
        };
        if !shell.is_json() {
            shell.put(screen.text.as_bytes())?;
        }
        Err(failure.beside(document))
    }
}

impl Screen {
    /// Settings, lockbox and certificates.
    fn of_machine(client: &Client) -> Result<Self, Failure> {
        let status = client.status()?;
        let settings = client.configuration()?;
        let set = settings
            .iter()
            .filter(|setting| setting.by != SetBy::Default);
        let set: Vec<_> = set.collect();
        let fields = json!({
            "lockbox": status.lockbox.as_ref().map(|lockbox| lockbox.fingerprint.as_str()),
            "activated": status.activated,
            "problem": problem(&status).map(openrms_client::Error::code),
            "account": current(&status).map(|account| account.identity.email.as_str()),
            "settings": set.iter().map(|s| config::document(s, true)).collect::<Vec<_>>(),
        });
        let mut screen = Self {
            text: String::new(),
            fields: match fields {
                Value::Object(fields) => fields,
                _ => Map::new(),
            },
        };
        screen.line("client", concat!("rms ", env!("CARGO_PKG_VERSION")));
        for (label, value) in local(&status) {
            screen.line(label, &value);
        }
        for setting in set {
            let (value, by) = (config::shown(&setting.value), setting.by.to_string());
            screen.line(&setting.key, &format!("{value}  [{by}]"));
        }
        Ok(screen)
    }

    fn line(&mut self, label: &str, value: &str) {
        _ = writeln!(self.text, "{:20} {}", plain(label), plain(value));
    }

    /// What the servers answered; the first failure.
    fn add(&mut self, report: &CheckReport) -> Option<Failure> {
        for cluster in &report.clusters {
            let way = if cluster.by_proxy {
                ", by the proxy"
            } else {
                ""
            };
            self.line(cluster.what, &format!("{}{way}", cluster.server));
            self.line("  TLS", &tls(cluster));
        }
        self.line(
            "named by",
            &format!("{} ({})", report.source, report.server_by),
        );
        let ports: Vec<String> = report.ports().iter().map(u16::to_string).collect();
        self.line("port", &ports.join(", "));
        let proxy = report.proxy.as_ref();
        let proxy_text = proxy.map(|(proxy, by)| format!("{proxy}  [{by}]"));
        self.line("proxy", proxy_text.as_deref().unwrap_or("none"));
        let clock = match report.clock_ahead {
            None => "no server told the time".to_owned(),
            Some(0) => "as the server's".to_owned(),
            Some(ahead) if ahead > 0 => format!("{ahead} s ahead of the server's"),
            Some(ahead) => format!("{} s behind the server's", ahead.unsigned_abs()),
        };
        self.line("clock", &clock);

        let mut services = Vec::new();
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
                self.text,
                "  {:18} {outcome:14} {}{shown}",
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
        let warnings = report.warnings();
        for warning in &warnings {
            self.line("warning", &warning.to_string());
        }
        let warning =
            |warning: &Warning| json!({ "code": warning.code(), "message": warning.to_string() });
        let fields = json!({
            "server": report.server.as_str(),
            "server_source": report.source.name(),
            "private": report.is_private(),
            "ok": report.is_ok(),
            "clusters": report.clusters.iter().map(cluster).collect::<Vec<_>>(),
            "ports": report.ports(),
            "proxy": proxy.map(|(proxy, _)| proxy),
            "clock_ahead_seconds": report.clock_ahead,
            "services": services,
            "warnings": warnings.iter().map(warning).collect::<Vec<_>>(),
        });
        if let Value::Object(fields) = fields {
            self.fields.extend(fields);
        }
        first.map(|(service, why, hint)| {
            let exit = report.class().map_or(Exit::Failed, Exit::from);
            let message = format!("the service for {service} fails: {}", plain(&why));
            Failure::new(exit, "service-fails", message, plain(&hint))
        })
    }
}

fn cluster(cluster: &Cluster) -> Value {
    let certificate = cluster.certificate.as_ref().map(|certificate| {
        json!({
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "until": certificate.until.to_string(),
            "trusted": certificate.is_trusted,
        })
    });
    json!({
        "cluster": cluster.what,
        "server": cluster.server.as_str(),
        "port": cluster.server.origin().port(),
        "by_proxy": cluster.by_proxy,
        "tls": cluster.server.origin().is_tls(),
        "certificate": certificate,
    })
}

fn tls(cluster: &Cluster) -> String {
    if !cluster.server.origin().is_tls() {
        return "none: plain HTTP".to_owned();
    }
    match &cluster.certificate {
        None => "no certificate could be seen".to_owned(),
        Some(certificate) => {
            let trust = if certificate.is_trusted {
                ""
            } else {
                "NOT TRUSTED, "
            };
            let (subject, issuer) = (&certificate.subject, &certificate.issuer);
            let until = certificate.until;
            format!("{trust}{subject}, issued by {issuer}, until {until} UTC")
        }
    }
}

fn problem(status: &Status) -> Option<&openrms_client::Error> {
    let errors = [&status.hierarchy_error, &status.lockbox_error];
    errors.into_iter().flatten().next()
}

fn current(status: &Status) -> Option<&openrms_client::status::AccountStatus> {
    status.accounts.iter().find(|account| account.current)
}

fn local(status: &Status) -> Vec<(&'static str, String)> {
    let none = || "none".to_owned();
    let mut lines = Vec::new();
    let anchors: Vec<String> = status
        .anchors
        .iter()
        .map(|(name, fingerprint)| format!("{name} {fingerprint}"))
        .collect();
    let anchors = (!anchors.is_empty()).then(|| anchors.join(", "));
    lines.push(("trust anchor", anchors.unwrap_or_else(none)));
    let lockbox = status.lockbox.as_ref();
    lines.push((
        "lockbox",
        lockbox.map_or_else(none, |lockbox| {
            format!("{}, {}", lockbox.fingerprint, lockbox.protection.name())
        }),
    ));
    let held = if status.activated { "held" } else { "none" };
    lines.push(("machine certificate", held.to_owned()));
    lines.push((
        "account",
        current(status).map_or_else(none, |account| {
            let until = account
                .validity
                .map(|span| format!(", until {} UTC", span.until));
            format!("{}{}", account.identity.email, until.unwrap_or_default())
        }),
    ));
    if let Some(problem) = problem(status) {
        lines.push(("problem", problem.full_message()));
    }
    lines
}
