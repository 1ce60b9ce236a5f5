//! DNS SRV records: which hosts offer a service, and in which order to try them (RFC 2782). An
//! answer of DNS proves nothing: whoever goes to a host that was found checks who answers there.

mod name;
mod order;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Refusal, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use serde::{Deserialize, Serialize, Serializer};

pub use self::name::{HostName, HostNameError};

/// Asks name servers. To be used on a run-time with its time and I/O drivers on.
pub struct Resolver {
    inner: TokioResolver,
    limit: Duration,
}

/// A name server that takes the place of this machine's: `address` or `address:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NameServer(SocketAddr);

/// What DNS says of a service in a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Services {
    /// Nothing.
    Unknown,
    /// That the domain does not offer it: the target `.`.
    NotOffered,
    /// Who offers it, in the order to try; at least one.
    At(Vec<Target>),
}

/// Where a service is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host.
    pub host: HostName,
    /// Its port.
    pub port: NonZeroU16,
}

/// Why DNS does not tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// It is not known whom to ask.
    #[error("this machine has no usable name server: {reason}")]
    NoNameServer {
        /// What is wrong.
        reason: String,
    },
    /// The name cannot be asked for.
    #[error("{name:?} is no name of DNS")]
    Name {
        /// The name.
        name: String,
    },
    /// No name server answered in time.
    #[error("no name server answered about {name} in time")]
    Timeout {
        /// The name asked for.
        name: String,
    },
    /// The name servers failed.
    #[error("the name servers do not answer about {name}: {reason}")]
    Failed {
        /// The name asked for.
        name: String,
        /// What they said.
        reason: String,
    },
    /// There are records, and none can be used.
    #[error("the SRV records of {name} name no usable host and port")]
    Unusable {
        /// The name asked for.
        name: String,
    },
}

impl Resolver {
    /// Prepares to ask `servers`, or those of this machine (`/etc/resolv.conf`, read now) when
    /// there are none. No question takes longer than `limit`.
    pub fn new(servers: &[NameServer], limit: Duration) -> Result<Self, DnsError> {
        let (config, mut options) = if servers.is_empty() {
            read_system_conf().map_err(no_server)?
        } else {
            let servers = servers.iter().map(NameServer::config).collect();
            let config = ResolverConfig::from_name_servers(servers);
            (config, ResolverOpts::default())
        };
        options.use_hosts_file = ResolveHosts::Never;
        options.attempts = ATTEMPTS;
        options.timeout = limit / 3;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::new());
        *builder.options_mut() = options;
        Ok(Self {
            inner: builder.build().map_err(no_server)?,
            limit,
        })
    }

    /// Who offers `service`, such as `_gc._tcp`, in `domain`. Of a great many records, those of
    /// the best priorities count.
    pub async fn services(&self, service: &str, domain: &str) -> Result<Services, DnsError> {
        let text = format!("{service}.{domain}");
        let name = absolute(&text)?;
        let answer = self.ask(&text, self.inner.lookup(name, RecordType::SRV));
        let Some(answer) = answer.await? else {
            return Ok(Services::Unknown);
        };
        let records = answer.answers().iter().filter_map(|record| {
            let RData::SRV(srv) = &record.data else {
                return None;
            };
            Some(srv)
        });
        read(&text, records)
    }

    /// The addresses of a host, in an order that does not change by itself.
    pub async fn addresses(&self, host: &HostName) -> Result<Vec<IpAddr>, DnsError> {
        let name = absolute(host.as_str())?;
        let answer = self.ask(host.as_str(), self.inner.lookup_ip(name)).await?;
        let mut addresses: Vec<IpAddr> = answer
            .map(|answer| answer.iter().take(MOST_ADDRESSES).collect())
            .unwrap_or_default();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    /// `None` when there is nothing by that name.
    async fn ask<T>(
        &self,
        name: &str,
        question: impl Future<Output = Result<T, NetError>>,
    ) -> Result<Option<T>, DnsError> {
        let name = || name.to_owned();
        match tokio::time::timeout(self.limit, question).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(error)) if is_nothing(&error) => Ok(None),
            Ok(Err(NetError::Timeout)) | Err(_) => Err(DnsError::Timeout { name: name() }),
            Ok(Err(error)) => Err(DnsError::Failed {
                name: name(),
                reason: error.to_string(),
            }),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// The domain that names without a dot are looked up in, if this machine has one.
pub fn search_domain() -> Option<HostName> {
    let (config, _) = read_system_conf().ok()?;
    let mut domains = config.search().iter().chain(config.domain());
    domains.find_map(|domain| {
        let domain: HostName = domain.to_ascii().parse().ok()?;
        domain.as_str().contains('.').then_some(domain)
    })
}

impl NameServer {
    fn config(&self) -> NameServerConfig {
        let mut config = NameServerConfig::udp_and_tcp(self.0.ip());
        for connection in &mut config.connections {
            connection.port = self.0.port();
        }
        config
    }
}

impl FromStr for NameServer {
    type Err = NameServerError;

    fn from_str(text: &str) -> Result<Self, NameServerError> {
        let address = match text.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, PORT),
            Err(_) => text.parse().map_err(|_| NameServerError)?,
        };
        if address.port() == 0 {
            return Err(NameServerError);
        }
        Ok(Self(address))
    }
}

impl Serialize for NameServer {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&self.0)
    }
}

impl TryFrom<String> for NameServer {
    type Error = NameServerError;

    fn try_from(text: String) -> Result<Self, NameServerError> {
        text.parse()
    }
}

/// A text that should name a name server does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name server must be an address, or address:port")]
pub struct NameServerError;

/// Whether the answer is that there is nothing, and not that it could not be found out.
fn is_nothing(error: &NetError) -> bool {
    let NetError::Dns(Refusal::NoRecordsFound(nothing)) = error else {
        return false;
    };
    let code = nothing.response_code;
    code == ResponseCode::NoError || code == ResponseCode::NXDomain
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "of a type that differs from system to system, to be handed to map_err"
)]
fn no_server(error: impl fmt::Display) -> DnsError {
    DnsError::NoNameServer {
        reason: error.to_string(),
    }
}

fn absolute(text: &str) -> Result<Name, DnsError> {
    let name = Name::from_ascii(format!("{text}.")).ok();
    name.ok_or_else(|| DnsError::Name {
        name: text.chars().take(300).collect(),
    })
}

fn read<'r>(name: &str, records: impl Iterator<Item = &'r SRV>) -> Result<Services, DnsError> {
    let mut records: Vec<&SRV> = records.collect();
    match records.as_slice() {
        [] => return Ok(Services::Unknown),
        [only] if only.target.is_root() => return Ok(Services::NotOffered),
        _ => {}
    }
    records.sort_by_key(|record| record.priority);
    records.truncate(MOST_RECORDS);
    let targets: Vec<Target> = order::in_order(records, order::at_random)
        .into_iter()
        .filter_map(target)
        .collect();
    if targets.is_empty() {
        let name = name.to_owned();
        return Err(DnsError::Unusable { name });
    }
    Ok(Services::At(targets))
}

fn target(record: &SRV) -> Option<Target> {
    Some(Target {
        host: record.target.to_ascii().parse().ok()?,
        port: NonZeroU16::new(record.port)?,
    })
}

const PORT: u16 = 53;
const ATTEMPTS: usize = 2;
/// Forests with more global catalogs are rare, and nobody needs them all.
const MOST_RECORDS: usize = 1_000;
const MOST_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(port: u16, target: &str) -> SRV {
        SRV::new(0, 0, port, Name::from_ascii(target).unwrap())
    }

    #[test]
    fn a_name_server_is_an_address_with_or_without_a_port() {
        let read = |text: &str| {
            text.parse::<NameServer>()
                .map(|server| server.0.to_string())
        };
        assert_eq!(read("192.0.2.53").unwrap(), "192.0.2.53:53");
        assert_eq!(read("127.0.0.1:5353").unwrap(), "127.0.0.1:5353");
        assert_eq!(read("::1").unwrap(), "[::1]:53");
        assert_eq!(read("[::1]:5353").unwrap(), "[::1]:5353");
        for wrong in ["", "dns.corp.example", "127.0.0.1:0", "127.0.0.1:x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_root_as_only_target_says_that_the_service_is_not_offered() {
        let read = |records: &[SRV]| read("_x._tcp.corp.example", records.iter());
        assert_eq!(read(&[]), Ok(Services::Unknown));
        assert_eq!(read(&[srv(0, ".")]), Ok(Services::NotOffered));
        let Ok(Services::At(found)) = read(&[srv(0, "."), srv(3268, "DC1.corp.example.")]) else {
            panic!("nothing found");
        };
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].host.as_str(), "dc1.corp.example");
    }

    #[test]
    fn records_that_lead_nowhere_are_left_out_and_alone_are_an_error() {
        let hostile = [
            srv(0, "dc1.corp.example."),
            srv(443, "127.0.0.1."),
            srv(443, "host.1."),
        ];
        let name = "_x._tcp.corp.example";
        let error = read(name, hostile.iter()).unwrap_err();
        assert!(matches!(error, DnsError::Unusable { .. }), "{error}");
        let good = [srv(443, "rms.corp.example.")];
        let found = read(name, hostile.iter().chain(&good)).unwrap();
        assert!(matches!(found, Services::At(found) if found.len() == 1));
    }

    #[test]
    fn of_thousands_of_records_those_of_the_best_priority_are_kept() {
        let many: Vec<SRV> = (0..60_000_u32)
            .map(|number| {
                let name = Name::from_ascii(format!("h{number}.corp.example.")).unwrap();
                let priority = u16::try_from(number % 60_000).unwrap();
                SRV::new(60_000 - priority, 7, 443, name)
            })
            .collect();
        let Ok(Services::At(found)) = read("_x._tcp.corp.example", many.iter()) else {
            panic!("nothing found");
        };
        assert_eq!(found.len(), MOST_RECORDS);
        assert_eq!(found[0].host.as_str(), "h59999.corp.example");
    }
}
