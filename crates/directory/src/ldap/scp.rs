//! The service connection point, by which clients and servers of a forest find its root cluster
//! (MS-RMPR 3.1.4.4): reading it as they do, and for administrators writing and removing it.

mod session;
mod url;

use std::collections::HashSet;

use ldap3::Scope;

use self::session::Session;
use super::catalogs;
use super::connection::{
    Change, ENTRY_ALREADY_EXISTS, INSUFFICIENT_ACCESS, NO_SUCH_OBJECT, NOT_ALLOWED_ON_NON_LEAF,
    SUCCESS,
};
use super::entry::Entry;
use super::layout::search;
use super::secrets::LdapSecrets;
use super::settings::{LdapSettings, LdapSettingsError, ServerUrl};
use crate::DirectoryError;

pub use self::url::{CertificationUrl, CertificationUrlError};

/// Where a forest's clients are to go for certificates: the one URL that all its service
/// connection points name.
///
/// Needs a run-time with its time and I/O drivers on. Several points that name different URLs are
/// an error, since which of them a client would take is left to chance.
pub async fn find(
    settings: &LdapSettings,
    secrets: LdapSecrets,
) -> Result<CertificationUrl, ScpError> {
    let servers = servers(settings).await?;
    let session = Session::open(settings, servers, secrets).await?;
    location(&session.found().await?)
}

/// The one URL that all of these lead to.
pub fn location(found: &[Scp]) -> Result<CertificationUrl, ScpError> {
    let mut urls = Vec::new();
    for scp in found {
        let url = scp.url()?;
        if !urls.iter().any(|known| url.is_same_place_as(known)) {
            urls.push(url);
        }
    }
    match urls.pop() {
        None => Err(ScpError::None),
        Some(url) if urls.is_empty() => Ok(url),
        Some(url) => {
            urls.push(url);
            Err(ScpError::Several { urls })
        }
    }
}

/// A service connection point as it is in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scp {
    /// Where it is.
    pub dn: String,
    /// What it says: `serviceBindingInformation`, unchecked. There should be one.
    pub bindings: Vec<String>,
    /// By what clients search: `keywords`.
    pub keywords: Vec<String>,
}

/// What to do with the service connection point of another cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OtherCluster {
    /// Leave it alone and fail.
    #[default]
    Keep,
    /// Treat it as one's own.
    Override,
}

/// What registering did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// There was none.
    Added,
    /// There was one that said something else.
    Changed,
    /// All was as it should be.
    Unchanged,
}

/// What removing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The point and its container are gone.
    Removed,
    /// The point is gone. Its container holds other things, or may not be removed.
    ContainerLeft,
    /// There was none.
    Absent,
}

/// Why a service connection point cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScpError {
    /// The settings contradict themselves.
    #[error(transparent)]
    Settings(#[from] LdapSettingsError),
    /// The directory cannot be asked.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The name or the password is not accepted.
    #[error("the directory does not let {name} sign in")]
    SignIn {
        /// Who wanted to.
        name: String,
    },
    /// Whoever signed in has not the right.
    #[error("the access rights of {name} to {dn} are insufficient")]
    Denied {
        /// Who signed in.
        name: String,
        /// What they would have read, made, changed or removed.
        dn: String,
    },
    /// There is no service connection point.
    #[error("the forest has no service connection point")]
    None,
    /// There are several, and they disagree.
    #[error(
        "the forest has service connection points of several clusters: {}",
        list(urls)
    )]
    Several {
        /// Where they lead.
        urls: Vec<CertificationUrl>,
    },
    /// It does not say where to go.
    #[error("serviceBindingInformation of {dn}: {reason}")]
    Binding {
        /// Where it is.
        dn: String,
        /// What is wrong with it.
        reason: CertificationUrlError,
    },
    /// Its place is taken by the one of another cluster.
    #[error("{dn} is the service connection point of another cluster: {binding:?}")]
    OtherCluster {
        /// Where it is.
        dn: String,
        /// What it says.
        binding: String,
    },
    /// Clients would find the one of another cluster as well, which is in a place of its own.
    #[error("clients would also find {dn}, which is of another cluster: {binding:?}")]
    Elsewhere {
        /// Where it is.
        dn: String,
        /// What it says.
        binding: String,
    },
    /// Its place is taken by something else.
    #[error("{dn} is not a serviceConnectionPoint")]
    NotAnScp {
        /// Where it is.
        dn: String,
    },
    /// The directory did not take a change.
    #[error("the directory rejected the change of {dn} with code {code}")]
    Rejected {
        /// What would have been made, changed or removed.
        dn: String,
        /// The result code (RFC 4511 appendix A).
        code: u32,
    },
    /// The directory took a change, but reading gives something else.
    #[error("{dn} is not as it was written, somebody else may have changed it")]
    NotKept {
        /// Where it is.
        dn: String,
    },
}

/// The place of a forest's service connection point, open to be read and changed.
///
/// All that one of these does is done on one server, so that it sees what it wrote. Nothing is
/// done by halves for good: doing it again completes it.
pub struct ScpPlace {
    session: Session,
    container: String,
    dn: String,
}

impl ScpPlace {
    /// Signs in at the first of the servers that can be reached. Global catalogs are asked on their
    /// LDAP port, since they take no changes. Needs a run-time with its time and I/O drivers on.
    pub async fn open(settings: &LdapSettings, secrets: LdapSecrets) -> Result<Self, ScpError> {
        let servers = servers(settings).await?.iter().map(writable).collect();
        let session = Session::open(settings, servers, secrets).await?;
        let container = format!("{CONTAINER},CN=Services,{}", session.configuration);
        let dn = format!("CN=SCP,{container}");
        Ok(Self {
            session,
            container,
            dn,
        })
    }

    /// The name of the object.
    pub fn dn(&self) -> &str {
        &self.dn
    }

    /// What a client's own search finds, wherever in the configuration of the forest that is.
    pub async fn found(&self) -> Result<Vec<Scp>, ScpError> {
        self.session.found().await
    }

    /// Makes the object say `url`, and reads it back.
    pub async fn register(
        &self,
        url: &CertificationUrl,
        other: OtherCluster,
    ) -> Result<Registration, ScpError> {
        let elsewhere = |scp: &&Scp| !scp.dn.eq_ignore_ascii_case(&self.dn);
        for scp in self.found().await?.iter().filter(elsewhere) {
            if let Some(binding) = scp.other_than(url) {
                return Err(ScpError::Elsewhere {
                    dn: scp.dn.clone(),
                    binding: binding.to_owned(),
                });
            }
        }
        let done = match self.current().await? {
            Some(scp) if scp.says(url) => Registration::Unchanged,
            Some(scp) => {
                self.check_owner(&scp, url, other)?;
                let change = Change::Replace(attributes(url));
                self.accept(&self.dn, self.session.change(&self.dn, change).await?)?;
                Registration::Changed
            }
            None => {
                self.add_container().await?;
                let class = attribute("objectClass", &[SERVICE_CONNECTION_POINT]);
                let change = Change::Add([vec![class], attributes(url)].concat());
                self.accept(&self.dn, self.session.change(&self.dn, change).await?)?;
                Registration::Added
            }
        };
        let kept = self.current().await?.is_some_and(|scp| scp.says(url));
        let found = self.found().await?;
        if !kept
            || !found
                .iter()
                .any(|scp| scp.dn.eq_ignore_ascii_case(&self.dn))
        {
            return Err(ScpError::NotKept {
                dn: self.dn.clone(),
            });
        }
        Ok(done)
    }

    /// Removes the object if it is the one of `url`, and its container if nothing else is there.
    pub async fn remove(
        &self,
        url: &CertificationUrl,
        other: OtherCluster,
    ) -> Result<Removal, ScpError> {
        let Some(scp) = self.current().await? else {
            return Ok(Removal::Absent);
        };
        self.check_owner(&scp, url, other)?;
        match self.session.change(&self.dn, Change::Delete).await? {
            // Somebody else was faster.
            NO_SUCH_OBJECT => {}
            code => self.accept(&self.dn, code)?,
        }
        if self.current().await?.is_some() {
            return Err(ScpError::NotKept {
                dn: self.dn.clone(),
            });
        }
        let code = self.session.change(&self.container, Change::Delete).await?;
        match code {
            NOT_ALLOWED_ON_NON_LEAF | INSUFFICIENT_ACCESS => return Ok(Removal::ContainerLeft),
            NO_SUCH_OBJECT => {}
            code => self.accept(&self.container, code)?,
        }
        Ok(Removal::Removed)
    }

    /// What is in the place.
    async fn current(&self) -> Result<Option<Scp>, ScpError> {
        let mut attributes = vec!["objectClass"];
        attributes.extend(ATTRIBUTES);
        let any = "(objectClass=*)";
        let found = self
            .session
            .search(search(&self.dn, Scope::Base, any, &attributes, 1))
            .await?;
        let Some(entry) = found.first() else {
            return Ok(None);
        };
        let is_scp = entry
            .texts("objectclass")
            .any(|class| class.eq_ignore_ascii_case(SERVICE_CONNECTION_POINT));
        if !is_scp {
            return Err(ScpError::NotAnScp {
                dn: self.dn.clone(),
            });
        }
        Ok(Some(Scp::read(entry)))
    }

    fn check_owner(
        &self,
        scp: &Scp,
        url: &CertificationUrl,
        other: OtherCluster,
    ) -> Result<(), ScpError> {
        match scp.other_than(url) {
            Some(binding) if other == OtherCluster::Keep => Err(ScpError::OtherCluster {
                dn: self.dn.clone(),
                binding: binding.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    async fn add_container(&self) -> Result<(), ScpError> {
        let class = attribute("objectClass", &["container"]);
        let code = self
            .session
            .change(&self.container, Change::Add(vec![class]))
            .await?;
        match code {
            ENTRY_ALREADY_EXISTS => Ok(()),
            code => self.accept(&self.container, code),
        }
    }

    fn accept(&self, dn: &str, code: u32) -> Result<(), ScpError> {
        match code {
            SUCCESS => Ok(()),
            INSUFFICIENT_ACCESS => Err(self.session.denied(dn)),
            code => Err(ScpError::Rejected {
                dn: dn.to_owned(),
                code,
            }),
        }
    }
}

impl Scp {
    fn read(entry: &Entry) -> Self {
        // What is no text must not look like nothing: it may be another cluster's.
        let lossy = |value| String::from_utf8_lossy(value).into_owned();
        let texts = |name| entry.values(name).map(lossy).collect();
        Self {
            dn: entry.dn.clone(),
            bindings: texts("servicebindinginformation"),
            keywords: texts("keywords"),
        }
    }

    /// Where it leads.
    pub fn url(&self) -> Result<CertificationUrl, ScpError> {
        let parsed = match self.bindings.as_slice() {
            [only] => only.parse(),
            _ => Err(CertificationUrlError::Count),
        };
        parsed.map_err(|reason| ScpError::Binding {
            dn: self.dn.clone(),
            reason,
        })
    }

    /// Whether it is as [`ScpPlace::register`] leaves it.
    fn says(&self, url: &CertificationUrl) -> bool {
        let keywords: HashSet<&str> = self.keywords.iter().map(String::as_str).collect();
        self.bindings.iter().eq([url.as_str()]) && keywords == HashSet::from(KEYWORDS)
    }

    /// What it says that does not lead to `url`. One that says nothing is nobody's.
    fn other_than(&self, url: &CertificationUrl) -> Option<&str> {
        let same = |binding: &str| {
            let parsed = binding.parse::<CertificationUrl>();
            parsed.is_ok_and(|parsed| parsed.is_same_place_as(url))
        };
        let mut bindings = self.bindings.iter().map(String::as_str);
        bindings.find(|binding| !same(binding))
    }
}

/// Those of the settings, or those that are found.
async fn servers(settings: &LdapSettings) -> Result<Vec<ServerUrl>, ScpError> {
    settings.check()?;
    if !settings.finds_servers() {
        return Ok(settings.servers.clone());
    }
    let found = catalogs::find(settings).await?;
    Ok(found.into_iter().map(|catalog| catalog.url).collect())
}

/// Where a global catalog takes changes.
fn writable(server: &ServerUrl) -> ServerUrl {
    match server.port() {
        3269 => server.at_port(636),
        3268 => server.at_port(389),
        _ => server.clone(),
    }
}

/// What the object has besides its class.
fn attributes(url: &CertificationUrl) -> Vec<(String, HashSet<String>)> {
    let [binding, keywords] = ATTRIBUTES;
    vec![
        attribute(binding, &[url.as_str()]),
        attribute(keywords, &KEYWORDS),
    ]
}

fn attribute(name: &str, values: &[&str]) -> (String, HashSet<String>) {
    let values = values.iter().map(|&value| value.to_owned());
    (name.to_owned(), values.collect())
}

fn list(urls: &[CertificationUrl]) -> String {
    let urls: Vec<_> = urls.iter().map(CertificationUrl::as_str).collect();
    urls.join(", ")
}

const CONTAINER: &str = "CN=RightsManagementServices";
const SERVICE_CONNECTION_POINT: &str = "serviceConnectionPoint";
const KEYWORDS: [&str; 2] = ["MSRMRootCluster", "1.0"];
const ATTRIBUTES: [&str; 2] = ["serviceBindingInformation", "keywords"];

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> CertificationUrl {
        text.parse().unwrap()
    }

    fn scp(bindings: &[&str]) -> Scp {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Scp {
            dn: "CN=SCP".to_owned(),
            bindings: texts(bindings),
            keywords: texts(&["1.0", "MSRMRootCluster"]),
        }
    }

    #[test]
    fn several_points_must_agree() {
        let (one, same, other) = (
            "https://a/_wmcs/certification",
            "https://A:443/_wmcs/certification",
            "https://b/_wmcs/certification",
        );
        assert!(matches!(location(&[]), Err(ScpError::None)));
        assert_eq!(location(&[scp(&[one])]).unwrap(), url(one));
        assert!(location(&[scp(&[one]), scp(&[same])]).is_ok());
        let error = location(&[scp(&[one]), scp(&[other])]).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("https://a/_wmcs/certification, https://b/_wmcs/certification")
        );
        for wrong in [&[][..], &[one, one], &["nonsense"]] {
            let error = location(&[scp(wrong)]).unwrap_err();
            assert!(matches!(error, ScpError::Binding { .. }), "{error}");
        }
    }

    #[test]
    fn a_point_is_somebody_elses_when_anything_it_says_is() {
        let own = url("https://a/_wmcs/certification");
        assert_eq!(scp(&[]).other_than(&own), None);
        assert_eq!(scp(&[own.as_str()]).other_than(&own), None);
        assert_eq!(scp(&[own.as_str(), "x"]).other_than(&own), Some("x"));
        assert!(scp(&[own.as_str()]).says(&own));
        assert!(!scp(&["https://A/_wmcs/certification"]).says(&own));
        let mut more = scp(&[own.as_str()]);
        more.keywords.push("2.0".to_owned());
        assert!(!more.says(&own));
    }

    #[test]
    fn a_global_catalog_is_changed_behind_its_ldap_port() {
        for (given, expected) in [
            ("ldaps://dc1:3269", "ldaps://dc1:636"),
            ("ldap://[::1]:3268", "ldap://[::1]:389"),
            ("ldaps://dc1:10636", "ldaps://dc1:10636"),
        ] {
            let server: ServerUrl = given.parse().unwrap();
            assert_eq!(writable(&server).to_string(), expected);
        }
    }
}
