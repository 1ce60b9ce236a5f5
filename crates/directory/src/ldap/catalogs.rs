//! The global catalogs of a forest, as its controllers register them in DNS (MS-ADTS 6.3.2.3:
//! `_gc._tcp` of the forest and of its sites).

use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::settings::{LdapSettings, ServerUrl};
use crate::DirectoryError;
use crate::dns::{DnsError, Resolver, Services, Target};

/// A global catalog that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Catalog {
    pub(super) url: ServerUrl,
    /// Whether it is in the site that is preferred. Without such a site, all are near.
    pub(super) is_near: bool,
}

/// How a global catalog that was found is spoken to: always with TLS, or sealed by Kerberos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TLS from the start, at port 3269: DNS tells the other port only.
    #[default]
    Ldaps,
    /// On the port that DNS names, mostly 3268: TLS is started there for a password, and Kerberos
    /// seals by itself.
    #[serde(rename = "starttls")]
    StartTls,
}

/// The name of a site of Active Directory: one label of DNS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SiteName(Box<str>);

impl SiteName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SiteName {
    type Err = SiteNameError;

    fn from_str(text: &str) -> Result<Self, SiteNameError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=63).contains(&text.len()) || !text.bytes().all(fits) {
            return Err(SiteNameError);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for SiteName {
    type Error = SiteNameError;

    fn try_from(text: String) -> Result<Self, SiteNameError> {
        text.parse()
    }
}

/// A text that should be the name of a site is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a site must be letters, digits, hyphens and underscores, 63 at most")]
pub struct SiteNameError;

/// Asks DNS for the global catalogs of the forest: those of the site, then the others, `max_gc` at
/// most. Never gives an empty list.
pub(super) async fn find(settings: &LdapSettings) -> Result<Vec<Catalog>, DirectoryError> {
    let forest = settings.home_forest();
    let forest = forest.map_err(|error| unreachable(String::new(), &error))?;
    let forest = forest.as_str();
    let failed = |error: DnsError| match error {
        DnsError::Timeout { .. } => DirectoryError::Timeout {
            directory: forest.to_owned(),
        },
        error => unreachable(forest.to_owned(), &error),
    };
    let limit = Duration::from_secs(settings.time_out_for_gc);
    let resolver = Resolver::new(&settings.name_servers, limit / 2).map_err(failed)?;
    let mut catalogs = Catalogs {
        settings,
        resolver: &resolver,
        deadline: Instant::now() + limit,
        found: Vec::new(),
    };
    if let Some(site) = &settings.site {
        let domain = format!("{}._sites.{forest}", site.as_str());
        match resolver.services(SERVICE, &domain).await {
            Ok(Services::At(targets)) => catalogs.add(targets, true).await,
            Ok(Services::Unknown | Services::NotOffered) => {
                tracing::warn!(
                    site = site.as_str(),
                    "DNS names no global catalog of the site"
                );
            }
            Err(error) => tracing::warn!(%error, "the global catalogs of the site are not found"),
        }
    }
    let is_near = settings.site.is_none();
    match resolver.services(SERVICE, forest).await {
        Ok(Services::At(targets)) => catalogs.add(targets, is_near).await,
        Ok(Services::Unknown | Services::NotOffered) => {}
        // With those of the site, work can begin.
        Err(error) if catalogs.found.is_empty() => return Err(failed(error)),
        Err(error) => tracing::warn!(%error, "the other global catalogs are not found"),
    }
    if catalogs.found.is_empty() {
        let nothing = "DNS names no global catalog that can be used";
        return Err(unreachable(forest.to_owned(), &nothing));
    }
    Ok(catalogs.found)
}

struct Catalogs<'a> {
    settings: &'a LdapSettings,
    resolver: &'a Resolver,
    /// When to be content with what was found.
    deadline: Instant,
    found: Vec<Catalog>,
}

impl Catalogs<'_> {
    async fn add(&mut self, targets: Vec<Target>, is_near: bool) {
        for target in targets {
            let is_late = !self.found.is_empty() && Instant::now() >= self.deadline;
            if is_late || self.found.len() >= self.settings.max_gc {
                return;
            }
            let known = |catalog: &Catalog| catalog.url.host() == target.host.as_str();
            if self.found.iter().any(known) {
                continue;
            }
            let Some(url) = self.url(&target).await else {
                continue;
            };
            self.found.push(Catalog { url, is_near });
        }
    }

    /// Name servers of one's own also know where their hosts are; this machine may not.
    async fn url(&self, target: &Target) -> Option<ServerUrl> {
        let addresses = if self.settings.name_servers.is_empty() {
            Vec::new()
        } else {
            match self.resolver.addresses(&target.host).await {
                Ok(addresses) if !addresses.is_empty() => addresses,
                outcome => {
                    let error = outcome.err();
                    tracing::warn!(host = %target.host, ?error, "global catalog without an address");
                    return None;
                }
            }
        };
        let transport = self.settings.transport.unwrap_or_default();
        Some(ServerUrl::found(
            transport,
            &target.host,
            target.port,
            addresses,
        ))
    }
}

fn unreachable(directory: String, reason: &dyn std::fmt::Display) -> DirectoryError {
    DirectoryError::Unreachable {
        directory,
        reason: reason.to_string(),
    }
}

const SERVICE: &str = "_gc._tcp";
