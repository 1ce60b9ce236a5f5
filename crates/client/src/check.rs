//! Whether the services that are needed can be reached, by which port and proxy, whom TLS shows,
//! and whether clocks agree: what a support desk asks first.

use std::collections::BTreeSet;

use openrms_protocol::{Service, ServiceLevel};
use openrms_xrml::Time;

use crate::client::Client;
use crate::discovery::{DiscoveryError, ServerSource};
use crate::error::{Class, Coded as _, Error};
use crate::hierarchy::BUNDLE_PATH;
use crate::precedence::SetBy;
use crate::proxy::Proxy;
use crate::service::ServiceError;
use crate::tls::PeerCertificate;
use crate::url::{Origin, ServerUrl};

/// The services, asked one by one.
#[derive(Debug)]
pub struct CheckReport {
    /// The server.
    pub server: ServerUrl,
    /// Who says that it is the one to use.
    pub source: ServerSource,
    /// Where that is said.
    pub server_by: SetBy,
    /// The clusters: of certification, and of licensing.
    pub clusters: Vec<Cluster>,
    /// The proxy, and who set it.
    pub proxy: Option<(Proxy, SetBy)>,
    /// Seconds that this machine's clock is ahead of the server's; `None` where no server told the
    /// time.
    pub clock_ahead: Option<i64>,
    /// One entry for each service.
    pub probes: Vec<Probe>,
    now: Time,
}

/// A cluster that this client asks.
#[derive(Debug)]
pub struct Cluster {
    /// What for: `certification`, `licensing`.
    pub what: &'static str,
    /// Its base.
    pub server: ServerUrl,
    /// Whether it is asked by the proxy.
    pub by_proxy: bool,
    /// Whom TLS shows; `None` without TLS, or where nobody can be seen.
    pub certificate: Option<PeerCertificate>,
}

/// One service, asked.
#[derive(Debug)]
pub struct Probe {
    /// What it is for.
    pub service: &'static str,
    /// Its URL.
    pub url: String,
    /// Whether it answers.
    pub outcome: ProbeOutcome,
}

/// What became of a probe.
#[derive(Debug)]
pub enum ProbeOutcome {
    /// It answers.
    Answers,
    /// It answers, and wants to know who asks.
    WantsSignIn,
    /// It is not there, as at older servers.
    Missing,
    /// It does not.
    Fails(ServiceError),
}

/// What works, but not as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// What is sent can be read on the way.
    NotPrivate(ServerUrl),
    /// Firewalls must let more than one port through.
    SeveralPorts(Vec<u16>),
    /// A firewall that lets the usual ports through does not let this one.
    UnusualPort(u16),
    /// This machine's clock is so many seconds ahead of the server's, or behind it.
    Clock(i64),
    /// A certificate of TLS ends soon, or has ended.
    CertificateEnds(Time),
}

impl CheckReport {
    /// Whether everything answers.
    pub fn is_ok(&self) -> bool {
        self.class().is_none()
    }

    /// Exit class: that of the first failure.
    pub fn class(&self) -> Option<Class> {
        self.probes.iter().find_map(|probe| match &probe.outcome {
            ProbeOutcome::Fails(error) => Some(error.class()),
            _ => None,
        })
    }

    /// Whether what is sent to the server is private.
    pub fn is_private(&self) -> bool {
        self.server.origin().is_private()
    }

    /// The ports of servers that are used: one, as a rule.
    pub fn ports(&self) -> Vec<u16> {
        let origins = self
            .probes
            .iter()
            .filter_map(|probe| Origin::of(&probe.url).ok());
        let ports: BTreeSet<u16> = origins.map(|origin| origin.port()).collect();
        ports.into_iter().collect()
    }

    /// What works, but not as it should.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut open: Vec<&ServerUrl> = self.clusters.iter().map(|c| &c.server).collect();
        open.dedup();
        open.retain(|server| !server.origin().is_private());
        warnings.extend(open.into_iter().cloned().map(Warning::NotPrivate));
        match self.ports().as_slice() {
            [80 | 443] => {}
            // No firewall is between.
            [_] if self.server.origin().is_loopback() => {}
            [port] => warnings.push(Warning::UnusualPort(*port)),
            ports => warnings.push(Warning::SeveralPorts(ports.to_vec())),
        }
        if let Some(ahead) = self.clock_ahead.filter(|ahead| ahead.abs() > MOST_APART) {
            warnings.push(Warning::Clock(ahead));
        }
        let certificates = self.clusters.iter().filter_map(|c| c.certificate.as_ref());
        let first = certificates.map(|certificate| certificate.until).min();
        if let Some(until) = first.filter(|until| *until < self.now.plus_days(SOON)) {
            warnings.push(Warning::CertificateEnds(until));
        }
        warnings
    }
}

impl Warning {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotPrivate(_) => "not-private",
            Self::SeveralPorts(_) => "several-ports",
            Self::UnusualPort(_) => "unusual-port",
            Self::Clock(_) => "clock-differs",
            Self::CertificateEnds(_) => "tls-certificate-ends",
        }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotPrivate(server) => {
                write!(
                    f,
                    "what is sent to {server} can be read on the way: use https"
                )
            }
            Self::SeveralPorts(ports) => {
                write!(
                    f,
                    "more than one port is used: {ports:?}; firewalls must let all through"
                )
            }
            Self::UnusualPort(port) => {
                write!(
                    f,
                    "port {port} is neither 80 nor 443: firewalls must let it through"
                )
            }
            Self::Clock(ahead) => write!(
                f,
                "this machine's clock is {} minutes {} the server's: set it, or licenses are \
                 refused",
                ahead.abs() / 60,
                if *ahead > 0 { "ahead of" } else { "behind" }
            ),
            Self::CertificateEnds(until) => {
                write!(f, "the server's TLS certificate ends at {until} UTC")
            }
        }
    }
}

impl Client {
    /// Asks every service that the client needs, by the one port in use, and says which fails and
    /// why. Nothing but the question for its description is sent.
    pub fn check(&self) -> Result<CheckReport, Error> {
        let source = self.locate()?.source;
        let server_by = self.discovery.server(&self.settings()?)?;
        let server_by = server_by.map_or(SetBy::Default, |(_, by)| by);
        let proxy = self.discovery.proxy()?;
        let no_proxy = self.discovery.no_proxy()?.map(|(list, _)| list);
        let no_proxy = no_proxy.unwrap_or_default();
        self.with_caller(|caller, server| {
            let server = server.ok_or(DiscoveryError::NoServer)?;
            let licensing = caller.licensing.as_ref().map_or(server, |own| &own.server);
            let mut clock_ahead = None;
            let mut ask = |service, url: String| {
                let (outcome, date) = caller.probe(&url);
                if clock_ahead.is_none() {
                    let ahead = |date: Time| self.clock.now().unix().saturating_sub(date.unix());
                    clock_ahead = date.map(ahead);
                }
                Probe {
                    service,
                    url,
                    outcome,
                }
            };
            let mut probes = Vec::new();
            for (name, service) in SERVICES {
                let of_licensing = service.path().starts_with(LICENSING);
                let at = if of_licensing { licensing } else { server };
                let mut probe = ask(name, format!("{}?wsdl", service.url(at.as_str())));
                let is_newer = !ServiceLevel::V1.offers(*service);
                if let ProbeOutcome::Fails(ServiceError::Missing { .. }) = probe.outcome
                    && is_newer
                {
                    probe.outcome = ProbeOutcome::Missing;
                }
                probe.url = service.url(at.as_str());
                probes.push(probe);
            }
            probes.push(ask("client bundle", format!("{server}{BUNDLE_PATH}")));
            let shown = self.transport.peer_certificate(server.origin());
            let cluster = |what, at: &ServerUrl| Cluster {
                what,
                server: at.clone(),
                by_proxy: proxy.is_some() && !no_proxy.covers(at.origin()),
                certificate: if at.origin() == server.origin() {
                    shown.clone()
                } else {
                    self.transport.peer_certificate(at.origin())
                },
            };
            Ok(CheckReport {
                server: server.clone(),
                source,
                server_by,
                clusters: vec![
                    cluster("certification", server),
                    cluster("licensing", licensing),
                ],
                proxy,
                clock_ahead,
                probes,
                now: self.clock.now(),
            })
        })
    }
}

const SERVICES: &[(&str, Service)] = &[
    ("certification", Service::Certification),
    ("licensing", Service::License),
    ("publishing", Service::Publish),
    ("templates", Service::TemplateDistribution),
    ("server information", Service::LicensingServer),
    ("service locator", Service::CertificationServiceLocator),
];
const LICENSING: &str = "/_wmcs/licensing/";
/// Seconds between two clocks by which licenses are still judged alike.
const MOST_APART: i64 = 300;
/// Days before its end at which a certificate is worth a word.
const SOON: u32 = 30;
