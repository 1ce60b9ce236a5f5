//! Looking for the service where nobody said where it is: in the person's forest (the service
//! connection point, MS-RMPR 3.8.3.2), else by SRV records in DNS, which Microsoft's clients for
//! Azure RMS and for mobile devices ask for. What DNS says proves nothing: it is looked for once,
//! shown, checked by its TLS certificate, and remembered.

use std::time::Duration;

use openrms_directory::dns::{self, DnsError, HostName, NameServer, Resolver, Services, Target};
use serde::{Deserialize, Serialize};

use super::DiscoveryError;
use crate::url::ServerUrl;

/// A forest that can be asked for its service connection point, as the person who is logged on.
pub trait ForestSource: Send + Sync {
    /// The realm of the person's Kerberos ticket, which is the DNS name of their domain.
    fn realm(&self) -> Option<HostName>;

    /// The cluster that the service connection point of the domain's forest names; `None` when
    /// the forest has none. The answer must have come from a controller that proved to be one.
    fn find_service_connection_point(
        &self,
        domain: &HostName,
    ) -> Result<Option<ServerUrl>, ForestError>;
}

/// Why a forest does not tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ForestError {
    /// What went wrong.
    pub reason: String,
}

/// Nobody is logged on to a forest.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoForest;

impl ForestSource for NoForest {
    fn realm(&self) -> Option<HostName> {
        None
    }

    fn find_service_connection_point(
        &self,
        _: &HostName,
    ) -> Result<Option<ServerUrl>, ForestError> {
        Ok(None)
    }
}

/// DNS, as far as it is asked here.
pub trait NameService: Send + Sync {
    /// Who offers a service in a domain.
    fn services(&self, service: &str, domain: &HostName) -> Result<Services, DnsError>;

    /// The domain that names without a dot are looked up in.
    fn search_domain(&self) -> Option<HostName>;
}

/// DNS is not asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNameService;

impl NameService for NoNameService {
    fn services(&self, _: &str, _: &HostName) -> Result<Services, DnsError> {
        Ok(Services::Unknown)
    }

    fn search_domain(&self) -> Option<HostName> {
        None
    }
}

/// [`NameService`] over the network.
#[derive(Debug, Clone, Default)]
pub struct Dns {
    name_servers: Vec<NameServer>,
}

impl Dns {
    /// Asks these name servers; the machine's own when there are none.
    pub fn new(name_servers: &[NameServer]) -> Self {
        Self {
            name_servers: name_servers.to_vec(),
        }
    }
}

impl NameService for Dns {
    fn services(&self, service: &str, domain: &HostName) -> Result<Services, DnsError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| DnsError::NoNameServer {
                reason: error.to_string(),
            })?;
        runtime.block_on(async {
            let resolver = Resolver::new(&self.name_servers, LIMIT)?;
            resolver.services(service, domain.as_str()).await
        })
    }

    fn search_domain(&self) -> Option<HostName> {
        dns::search_domain()
    }
}

/// Who said where the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoundBy {
    /// The service connection point of the forest.
    ServiceConnectionPoint,
    /// An SRV record.
    Dns,
}

/// A server that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The server.
    pub server: ServerUrl,
    /// Who said so.
    pub by: FoundBy,
    /// Where it was found: the forest, or the name of the SRV record.
    pub place: String,
    /// Whether the person's own domain stands for it: its forest said so, or the host is in the
    /// domain, so that its TLS certificate proves what DNS cannot. Otherwise somebody has to say
    /// that it is the right one.
    pub is_proven: bool,
}

impl Found {
    /// What somebody has said to be the right one.
    #[must_use]
    pub fn confirmed(self) -> Self {
        Self {
            is_proven: true,
            ..self
        }
    }
}

/// Looks in the forest, then in DNS. `user` is the name that the person signs in with. `answers`
/// tells whether anybody answers there; it is asked only when there is a choice.
pub(super) fn search(
    forest: &dyn ForestSource,
    names: &dyn NameService,
    user: Option<&str>,
    answers: impl Fn(&ServerUrl) -> bool,
) -> Result<Found, DiscoveryError> {
    let mut tried = Vec::new();
    let realm = forest.realm();
    if let Some(realm) = &realm {
        match forest.find_service_connection_point(realm) {
            Ok(Some(server)) => {
                return Ok(Found {
                    server,
                    by: FoundBy::ServiceConnectionPoint,
                    place: realm.to_string(),
                    is_proven: true,
                });
            }
            Ok(None) => tried.push(format!(
                "the forest of {realm} has no service connection point"
            )),
            Err(error) => tried.push(format!(
                "the forest of {realm} cannot be asked for its service connection point: {error}"
            )),
        }
    }
    // A network tells machines in which domain to look, and anybody may run a network.
    let own = realm.or_else(|| user.and_then(mail_domain));
    // Anybody may have a host in what is no more than a top-level domain.
    let own = own.filter(|domain| domain.as_str().contains('.'));
    let (domain, is_own) = match own {
        Some(domain) => (Some(domain), true),
        None => (names.search_domain(), false),
    };
    let Some(domain) = domain else {
        tried.push("no domain is known to look in".to_owned());
        return Err(DiscoveryError::NotFound { tried });
    };
    for service in SERVICES {
        let place = format!("{service}.{domain}");
        match names.services(service, &domain) {
            Ok(Services::At(targets)) => {
                let is_proven = |host: &HostName| is_own && host.is_within(&domain);
                let choice = choose(&targets, &answers);
                if let Some((host, server)) = choice {
                    return Ok(Found {
                        server,
                        by: FoundBy::Dns,
                        place,
                        is_proven: is_proven(host),
                    });
                }
                tried.push(format!("{place} names no host that can be asked"));
            }
            Ok(Services::Unknown) => tried.push(format!("DNS knows no {place}")),
            Ok(Services::NotOffered) => {
                tried.push(format!("{domain} does not offer the service ({place})"));
                break;
            }
            Err(error @ DnsError::Unusable { .. }) => tried.push(error.to_string()),
            Err(error) => {
                tried.push(error.to_string());
                break;
            }
        }
    }
    Err(DiscoveryError::NotFound { tried })
}

/// The first that answers, else the first. HTTPS only, and never this machine, whose services are
/// believed without being asked for proof.
fn choose<'t>(
    targets: &'t [Target],
    answers: impl Fn(&ServerUrl) -> bool,
) -> Option<(&'t HostName, ServerUrl)> {
    let server = |target: &'t Target| {
        let url = format!("https://{}:{}", target.host, target.port);
        let server: ServerUrl = url.parse().ok()?;
        let name = target.host.as_str();
        let is_here = server.origin().is_loopback() || name.ends_with(".localhost");
        (!is_here).then_some((&target.host, server))
    };
    let mut usable = targets.iter().filter_map(server).take(MOST_TRIED);
    let first = usable.next()?;
    let mut others = usable.peekable();
    if others.peek().is_none() || answers(&first.1) {
        return Some(first);
    }
    others.find(|(_, server)| answers(server)).or(Some(first))
}

fn mail_domain(user: &str) -> Option<HostName> {
    let (_, domain) = user.rsplit_once('@')?;
    domain.parse().ok()
}

/// The name by the book, then the one that Microsoft's clients ask for.
const SERVICES: [&str; 2] = ["_rmsdisco._tcp", "_rmsdisco._http._tcp"];
const LIMIT: Duration = Duration::from_secs(5);
const MOST_TRIED: usize = 5;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::num::NonZeroU16;
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Zone {
        records: HashMap<&'static str, Vec<(&'static str, u16)>>,
        failing: bool,
        search_domain: Option<&'static str>,
        asked: Mutex<Vec<String>>,
    }

    impl NameService for Zone {
        fn services(&self, service: &str, domain: &HostName) -> Result<Services, DnsError> {
            let name = format!("{service}.{domain}");
            self.asked.lock().unwrap().push(name.clone());
            if self.failing {
                return Err(DnsError::Timeout { name });
            }
            let target = |&(host, port): &(&str, u16)| Target {
                host: host.parse().unwrap(),
                port: NonZeroU16::new(port).unwrap(),
            };
            Ok(match self.records.get(name.as_str()).map(Vec::as_slice) {
                None => Services::Unknown,
                Some([]) => Services::NotOffered,
                Some(records) => Services::At(records.iter().map(target).collect()),
            })
        }

        fn search_domain(&self) -> Option<HostName> {
            self.search_domain.map(|domain| domain.parse().unwrap())
        }
    }

    struct Forest(Result<Option<&'static str>, &'static str>);

    impl ForestSource for Forest {
        fn realm(&self) -> Option<HostName> {
            Some("CORP.EXAMPLE".parse().unwrap())
        }

        fn find_service_connection_point(
            &self,
            domain: &HostName,
        ) -> Result<Option<ServerUrl>, ForestError> {
            assert_eq!(domain.as_str(), "corp.example");
            let reason = |reason: &str| ForestError {
                reason: reason.to_owned(),
            };
            let url = self.0.map_err(reason)?;
            Ok(url.map(|url| url.parse().unwrap()))
        }
    }

    fn zone(name: &'static str, records: &[(&'static str, u16)]) -> Zone {
        Zone {
            records: [(name, records.to_vec())].into(),
            ..Zone::default()
        }
    }

    fn by_dns(zone: &Zone, user: Option<&str>) -> Result<Found, DiscoveryError> {
        search(&NoForest, zone, user, |_| true)
    }

    #[test]
    fn the_forest_comes_first_and_dns_when_it_does_not_tell() {
        let zone = zone("_rmsdisco._tcp.corp.example", &[("b.corp.example", 443)]);
        let found = |forest| search(&forest, &zone, Some("a@other.example"), |_| true).unwrap();
        let scp = found(Forest(Ok(Some(
            "http://a.corp.example/_wmcs/certification",
        ))));
        assert_eq!(scp.server.as_str(), "http://a.corp.example");
        assert_eq!(scp.by, FoundBy::ServiceConnectionPoint);
        assert!(zone.asked.lock().unwrap().is_empty());
        for forest in [Forest(Ok(None)), Forest(Err("no ticket"))] {
            let found = found(forest);
            assert_eq!(found.server.as_str(), "https://b.corp.example");
            assert_eq!((found.by, found.is_proven), (FoundBy::Dns, true));
        }
    }

    #[test]
    fn the_domain_is_that_of_the_mail_address_and_else_that_of_the_machine() {
        let mut zone = zone("_rmsdisco._tcp.corp.example", &[("rms.corp.example", 8443)]);
        let found = by_dns(&zone, Some("alice@Corp.Example")).unwrap();
        assert_eq!(found.server.as_str(), "https://rms.corp.example:8443");
        assert_eq!(found.place, "_rmsdisco._tcp.corp.example");
        assert!(found.is_proven);
        assert!(by_dns(&zone, Some("CORP\\alice")).is_err());
        zone.search_domain = Some("corp.example");
        let found = by_dns(&zone, Some("CORP\\alice")).unwrap();
        assert!(
            !found.is_proven,
            "whoever runs the network named the domain"
        );
    }

    #[test]
    fn both_names_are_asked_and_nothing_above_the_domain() {
        let zone = zone(
            "_rmsdisco._http._tcp.corp.example",
            &[("rms.corp.example", 443)],
        );
        let found = by_dns(&zone, Some("a@corp.example")).unwrap();
        assert_eq!(found.place, "_rmsdisco._http._tcp.corp.example");
        zone.asked.lock().unwrap().clear();
        by_dns(&zone, Some("a@sales.corp.example")).unwrap_err();
        let asked = zone.asked.lock().unwrap();
        assert!(
            asked
                .iter()
                .all(|name| name.ends_with("sales.corp.example"))
        );
    }

    #[test]
    fn a_host_of_another_domain_is_not_proven() {
        let zone = zone("_rmsdisco._tcp.corp.example", &[("rms.evil.example", 443)]);
        assert!(!by_dns(&zone, Some("a@corp.example")).unwrap().is_proven);
    }

    #[test]
    fn this_machine_is_never_found() {
        let here = [("localhost", 443), ("rms.localhost", 443)];
        let zone = zone("_rmsdisco._tcp.corp.example", &here);
        by_dns(&zone, Some("a@corp.example")).unwrap_err();
    }

    #[test]
    fn what_was_tried_is_said() {
        let not_offered = zone("_rmsdisco._tcp.corp.example", &[]);
        let error = by_dns(&not_offered, Some("a@corp.example")).unwrap_err();
        assert!(error.to_string().contains("does not offer"), "{error}");
        assert_eq!(not_offered.asked.lock().unwrap().len(), 1);
        let failing = Zone {
            failing: true,
            ..Zone::default()
        };
        let error = by_dns(&failing, Some("a@corp.example")).unwrap_err();
        assert!(error.to_string().contains("in time"), "{error}");
        assert_eq!(failing.asked.lock().unwrap().len(), 1);
        let error = by_dns(&Zone::default(), None).unwrap_err();
        assert!(error.to_string().contains("no domain"), "{error}");
    }

    #[test]
    fn of_several_the_first_that_answers_is_taken() {
        let records = [
            ("a.corp.example", 443),
            ("b.corp.example", 443),
            ("c.corp.example", 443),
        ];
        let zone = zone("_rmsdisco._tcp.corp.example", &records);
        let asked = RefCell::new(0);
        let found = |up: &str| {
            let answers = |server: &ServerUrl| {
                *asked.borrow_mut() += 1;
                server.as_str().contains(up)
            };
            let found = search(&NoForest, &zone, Some("x@corp.example"), answers).unwrap();
            found.server.as_str().to_owned()
        };
        assert_eq!(found("b.corp"), "https://b.corp.example");
        assert_eq!(found("nobody"), "https://a.corp.example");
        *asked.borrow_mut() = 0;
        assert_eq!(found("a.corp"), "https://a.corp.example");
        assert_eq!(*asked.borrow(), 1);
    }
}
