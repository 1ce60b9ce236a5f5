//! What an administrator says about an LDAP directory. The names and defaults of the pool are
//! those of the registry values of the original server, each named in its description.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::catalogs::{SiteName, Transport};
use crate::ForestName;
use crate::dns::{HostName, NameServer};

/// An LDAP directory and how to use its servers. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LdapSettings {
    /// The forest the directory answers for. Taken from `base_dn` when absent.
    pub forest: Option<ForestName>,
    /// The `NetBIOS` name in `DOMAIN\user`. Read from the partitions of the forest when absent,
    /// which also knows further domains of the forest.
    pub domain: Option<String>,
    /// Where searches begin. When absent, the root domain of the forest if a global catalog is
    /// among the servers, else the domain of the server (RFC 4512 5.1, `defaultNamingContext`).
    pub base_dn: Option<String>,
    /// The servers, in order of preference when all else is equal (`GC`). They are global
    /// catalogs (`ldaps://dc1.corp.example:3269`) or controllers of one and the same domain.
    /// Without any, the global catalogs of `forest` are found by DNS.
    pub servers: Vec<ServerUrl>,
    /// The site whose global catalogs are preferred to others that DNS names.
    pub site: Option<SiteName>,
    /// How global catalogs that were found are spoken to; LDAPS when absent.
    pub transport: Option<Transport>,
    /// Who is asked for global catalogs and their addresses, in place of this machine's name
    /// servers.
    pub name_servers: Vec<NameServer>,
    /// Lets `ldap://` do without TLS. The password then travels in clear, so all such servers
    /// must be loopback addresses.
    pub allow_plain: bool,
    /// The fewest servers to be configured, or found to begin with (`MinGC`).
    pub min_gc: usize,
    /// The most servers that may be configured, or are used of those found (`MaxGC`).
    pub max_gc: usize,
    /// With fewer servers alive, DNS is asked for others, and those that are down are tried
    /// before their time (`ThreshHoldAlive`).
    pub threshold_alive: usize,
    /// Failures in a row after which a server counts as down (`RetryDown`).
    pub retry_down: u32,
    /// How long a server that is down is left alone (`TimeRetryDown`).
    pub time_retry_down: u64,
    /// How long a server that was slow or failed is used last (`TimeRetrySlow`).
    pub time_retry_slow: u64,
    /// What being later in turn costs a server in the choice (`WtRoundRobin`).
    pub wt_round_robin: u32,
    /// What each request in flight costs a server in the choice (`WtThreadCount`).
    pub wt_thread_count: u32,
    /// What being slow costs a server in the choice (`WtSlow`).
    pub wt_slow: u32,
    /// The longest that connecting, TLS and signing in take (`TimeOutForGC`).
    pub time_out_for_gc: u64,
    /// The longest that one operation of LDAP takes (`LdapTimeOut`).
    pub ldap_time_out: u64,
    /// The longest that finding all groups of somebody takes (`TopDownExpansionLDAPTimeOut`).
    pub top_down_expansion_ldap_time_out: u64,
    /// The most levels of groups in groups.
    pub nesting_depth: usize,
    /// The most groups that one identity is in.
    pub groups_of_one: usize,
    /// How many entries to ask for at a time. Active Directory gives 1,000 at most.
    pub page_size: u16,
}

impl Default for LdapSettings {
    fn default() -> Self {
        Self {
            forest: None,
            domain: None,
            base_dn: None,
            servers: Vec::new(),
            site: None,
            transport: None,
            name_servers: Vec::new(),
            allow_plain: false,
            min_gc: 1,
            max_gc: 15,
            threshold_alive: 1,
            retry_down: 5,
            time_retry_down: 300,
            time_retry_slow: 30,
            wt_round_robin: 1,
            wt_thread_count: 100,
            wt_slow: 1_000,
            time_out_for_gc: 5,
            ldap_time_out: 5,
            top_down_expansion_ldap_time_out: 40,
            nesting_depth: 100,
            groups_of_one: 10_000,
            page_size: 500,
        }
    }
}

impl LdapSettings {
    /// The forest, said or implied by the base DN.
    pub(super) fn home_forest(&self) -> Result<ForestName, LdapSettingsError> {
        if let Some(forest) = &self.forest {
            return Ok(forest.clone());
        }
        let base = self.base_dn.as_deref().ok_or(LdapSettingsError::Forest)?;
        let labels = base
            .split(',')
            .filter_map(|part| part.trim().split_once('='))
            .filter(|(kind, _)| kind.trim().eq_ignore_ascii_case("DC"))
            .map(|(_, label)| label.trim());
        labels
            .collect::<Vec<_>>()
            .join(".")
            .parse()
            .map_err(|_| LdapSettingsError::Forest)
    }

    /// Whether the servers are those that DNS names.
    pub(super) fn finds_servers(&self) -> bool {
        self.servers.is_empty()
    }

    /// Whether no server is spoken to with TLS from the start.
    pub(super) fn is_without_ldaps(&self) -> bool {
        if self.finds_servers() {
            return self.transport == Some(Transport::StartTls);
        }
        let mut servers = self.servers.iter();
        servers.all(|server| server.scheme == Scheme::Ldap)
    }

    /// Whether the servers know the whole forest.
    pub(super) fn is_forest_wide(&self) -> bool {
        self.finds_servers() || self.servers.iter().any(ServerUrl::is_global_catalog)
    }

    pub(super) fn check(&self) -> Result<(), LdapSettingsError> {
        if self.finds_servers() {
            self.check_finding()?;
        } else {
            self.check_servers()?;
        }
        let positive = [
            ("max_gc", u64::try_from(self.max_gc).unwrap_or(u64::MAX)),
            ("retry_down", u64::from(self.retry_down)),
            ("time_out_for_gc", self.time_out_for_gc),
            ("ldap_time_out", self.ldap_time_out),
            (
                "top_down_expansion_ldap_time_out",
                self.top_down_expansion_ldap_time_out,
            ),
            ("page_size", u64::from(self.page_size)),
        ];
        if let Some((setting, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(LdapSettingsError::Zero { setting });
        }
        let times = [
            ("time_out_for_gc", self.time_out_for_gc),
            ("ldap_time_out", self.ldap_time_out),
            ("time_retry_down", self.time_retry_down),
            ("time_retry_slow", self.time_retry_slow),
            (
                "top_down_expansion_ldap_time_out",
                self.top_down_expansion_ldap_time_out,
            ),
        ];
        if let Some((setting, _)) = times.iter().find(|(_, value)| *value > LONGEST) {
            return Err(LdapSettingsError::TooLong { setting });
        }
        Ok(())
    }

    fn check_finding(&self) -> Result<(), LdapSettingsError> {
        self.home_forest()?;
        if self.allow_plain {
            return Err(LdapSettingsError::PlainToFound);
        }
        if self.min_gc > self.max_gc {
            return Err(LdapSettingsError::TooManyServers { most: self.max_gc });
        }
        Ok(())
    }

    fn check_servers(&self) -> Result<(), LdapSettingsError> {
        let count = self.servers.len();
        if count < self.min_gc {
            return Err(LdapSettingsError::TooFewServers { least: self.min_gc });
        }
        if count > self.max_gc {
            return Err(LdapSettingsError::TooManyServers { most: self.max_gc });
        }
        let of_finding = [
            ("site", self.site.is_some()),
            ("transport", self.transport.is_some()),
            ("name_servers", !self.name_servers.is_empty()),
        ];
        if let Some((setting, _)) = of_finding.iter().find(|(_, is_set)| *is_set) {
            return Err(LdapSettingsError::BesideServers { setting });
        }
        let exposed = |server: &&ServerUrl| {
            self.allow_plain && server.scheme == Scheme::Ldap && !server.is_loopback()
        };
        if let Some(server) = self.servers.iter().find(exposed) {
            return Err(LdapSettingsError::Plain {
                server: server.clone(),
            });
        }
        Ok(())
    }

    /// The longest that a look-up takes, whichever servers fail meanwhile.
    pub(super) fn look_up_limit(&self) -> Duration {
        Duration::from_secs(self.time_out_for_gc + 2 * self.ldap_time_out)
    }

    /// The longest that an expansion takes.
    pub(super) fn expansion_limit(&self) -> Duration {
        Duration::from_secs(self.top_down_expansion_ldap_time_out)
    }
}

/// A server: `ldaps://host[:port]`, or `ldap://host[:port]` for the LDAP port, where TLS is started
/// for a password, and Kerberos seals by itself.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ServerUrl {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
    /// Where the host is, when it was looked up already.
    addresses: Box<[IpAddr]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    Ldap,
    Ldaps,
}

impl ServerUrl {
    /// A server that was found. Without addresses, its host is looked up when connecting.
    pub(super) fn found(
        transport: Transport,
        host: &HostName,
        port: NonZeroU16,
        addresses: Vec<IpAddr>,
    ) -> Self {
        let (scheme, port) = match transport {
            Transport::Ldaps => (Scheme::Ldaps, GLOBAL_CATALOG_TLS),
            Transport::StartTls => (Scheme::Ldap, port.get()),
        };
        Self {
            scheme,
            host: host.as_str().into(),
            port,
            addresses: addresses.into(),
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The same host at another port.
    pub(super) fn at_port(&self, port: u16) -> Self {
        Self {
            port,
            ..self.clone()
        }
    }

    /// Addresses of the host that are known; none when they are to be looked up.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    pub(super) fn is_global_catalog(&self) -> bool {
        matches!(self.port, GLOBAL_CATALOG | GLOBAL_CATALOG_TLS)
    }

    pub(super) fn is_address(&self) -> bool {
        self.host().parse::<IpAddr>().is_ok()
    }

    fn is_loopback(&self) -> bool {
        let address = self.host().parse::<IpAddr>();
        address.is_ok_and(|address| address.is_loopback()) || self.host() == "localhost"
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(ServerUrlError::Scheme)?;
        let (scheme, default_port) = match scheme {
            "ldap" => (Scheme::Ldap, 389),
            "ldaps" => (Scheme::Ldaps, 636),
            _ => return Err(ServerUrlError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // In brackets a colon belongs to the address.
        let host_end = rest.find(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match rest.get(host_end..).and_then(|tail| tail.find(':')) {
            Some(colon) => rest.split_at(host_end + colon),
            None => (rest, ""),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
            None => Some(default_port),
        };
        let port = port.filter(|&port| port != 0).ok_or(ServerUrlError::Port)?;
        let host_ok = match host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.parse::<ForestName>().is_ok(),
        };
        if !host_ok {
            return Err(ServerUrlError::Host);
        }
        Ok(Self {
            scheme,
            host: host.to_ascii_lowercase().into(),
            port,
            addresses: Box::default(),
        })
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = ServerUrlError;

    fn try_from(text: String) -> Result<Self, ServerUrlError> {
        text.parse()
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Ldap => "ldap",
            Scheme::Ldaps => "ldaps",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with a text that should name a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// Does not begin with `ldaps://` or `ldap://`.
    #[error("a server must be ldaps://host[:port] or ldap://host[:port]")]
    Scheme,
    /// The host is not a DNS name or an address.
    #[error("the host of a server is not a DNS name or an address")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port of a server is not a number from 1 to 65535")]
    Port,
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LdapSettingsError {
    /// Neither a forest nor a base DN of domain components.
    #[error("`forest` is missing and `base_dn` does not tell it")]
    Forest,
    /// Fewer servers than `min_gc`.
    #[error("at least {least} must be in `servers`")]
    TooFewServers {
        /// How many there must be.
        least: usize,
    },
    /// More servers than `max_gc`.
    #[error("more than `max_gc` = {most} are in `servers`")]
    TooManyServers {
        /// How many there may be.
        most: usize,
    },
    /// Something that matters for servers that are found, where they are named.
    #[error("`{setting}` is for servers that are found, and `servers` names them")]
    BesideServers {
        /// The name of the setting.
        setting: &'static str,
    },
    /// `allow_plain` would send the password in clear to whomever DNS names.
    #[error("`allow_plain` is for servers on this machine that `servers` names")]
    PlainToFound,
    /// A number that must not be 0 is.
    #[error("`{setting}` must not be 0")]
    Zero {
        /// The name of the setting.
        setting: &'static str,
    },
    /// A time longer than a day.
    #[error("`{setting}` is longer than a day")]
    TooLong {
        /// The name of the setting.
        setting: &'static str,
    },
    /// `allow_plain` would send the password in clear over a network.
    #[error("`allow_plain` would send the password in clear to {server}")]
    Plain {
        /// The server that is not on this machine.
        server: ServerUrl,
    },
    /// `allow_plain` is for passwords only: with Kerberos nothing travels in clear.
    #[error("`allow_plain` cannot be set with Kerberos, which always seals")]
    PlainKerberos,
    /// Tickets are for servers by name, and this one is named by its address.
    #[error("Kerberos needs the name of {server} and not its address")]
    AddressForKerberos {
        /// The server.
        server: ServerUrl,
    },
    /// The tickets to sign in with cannot be had: a library or a keytab is missing, for one.
    #[error("{reason}")]
    Tickets {
        /// What is wrong.
        reason: String,
    },
    /// The name or the password to sign in with is empty, which LDAP takes for "anonymous".
    #[error("the name and the password of the service account must not be empty")]
    Anonymous,
    /// A trusted authority cannot be read, or there is none.
    #[error("the trusted authorities cannot be used: {reason}")]
    Roots {
        /// What is wrong.
        reason: String,
    },
}

const LONGEST: u64 = 24 * 60 * 60;
const GLOBAL_CATALOG: u16 = 3268;
const GLOBAL_CATALOG_TLS: u16 = 3269;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_server_is_read_with_the_port_of_its_scheme() {
        assert_eq!(
            url("ldaps://DC1.corp.example").to_string(),
            "ldaps://dc1.corp.example:636"
        );
        assert_eq!(url("ldap://10.0.0.1/").to_string(), "ldap://10.0.0.1:389");
        assert_eq!(url("ldaps://[::1]:3269").to_string(), "ldaps://[::1]:3269");
        assert!(url("ldaps://gc:3269").is_global_catalog());
        let error = |text: &str| text.parse::<ServerUrl>().unwrap_err();
        assert_eq!(error("dc1"), ServerUrlError::Scheme);
        assert_eq!(error("https://dc1"), ServerUrlError::Scheme);
        assert_eq!(error("ldaps://"), ServerUrlError::Host);
        assert_eq!(error("ldaps://user@dc1"), ServerUrlError::Host);
        assert_eq!(error("ldaps://dc1/x"), ServerUrlError::Host);
        assert_eq!(error("ldaps://[nonsense]"), ServerUrlError::Host);
        for port in ["", "0", "65536", "+1", "1:2"] {
            assert_eq!(
                error(&format!("ldaps://dc1:{port}")),
                ServerUrlError::Port,
                "{port}"
            );
        }
    }

    #[test]
    fn settings_are_read_by_their_names_and_no_others() {
        let settings: LdapSettings = toml::from_str(
            "servers = ['ldaps://dc1.corp.example']\nbase_dn = 'DC=corp, dc=Example'\nwt_slow = 7",
        )
        .unwrap();
        assert_eq!((settings.wt_slow, settings.retry_down), (7, 5));
        assert_eq!(settings.home_forest().unwrap().as_str(), "corp.example");
        settings.check().unwrap();
        assert!(toml::from_str::<LdapSettings>("password = 'x'").is_err());
        assert!(toml::from_str::<LdapSettings>("servers = ['dc1']").is_err());
        assert!(toml::from_str::<LdapSettings>("forest = 'a b'").is_err());
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let base = LdapSettings {
            servers: vec![url("ldap://127.0.0.1"), url("ldap://dc1.corp.example")],
            ..LdapSettings::default()
        };
        assert_eq!(base.home_forest(), Err(LdapSettingsError::Forest));
        base.check().unwrap();
        let changed = |change: fn(&mut LdapSettings)| {
            let mut settings = base.clone();
            change(&mut settings);
            settings.check().unwrap_err()
        };
        let error = changed(|settings| settings.servers.clear());
        assert_eq!(error, LdapSettingsError::Forest);
        let error = changed(|settings| settings.min_gc = 3);
        assert_eq!(error, LdapSettingsError::TooFewServers { least: 3 });
        let error = changed(|settings| settings.name_servers = vec!["127.0.0.1".parse().unwrap()]);
        let setting = "name_servers";
        assert_eq!(error, LdapSettingsError::BesideServers { setting });
        let error = changed(|settings| settings.max_gc = 1);
        assert_eq!(error, LdapSettingsError::TooManyServers { most: 1 });
        let error = changed(|settings| settings.ldap_time_out = 0);
        assert_eq!(
            error,
            LdapSettingsError::Zero {
                setting: "ldap_time_out"
            }
        );
        let error = changed(|settings| settings.time_retry_down = u64::MAX);
        assert_eq!(
            error,
            LdapSettingsError::TooLong {
                setting: "time_retry_down"
            }
        );
        let error = changed(|settings| settings.allow_plain = true);
        let server = url("ldap://dc1.corp.example");
        assert_eq!(error, LdapSettingsError::Plain { server });
    }

    #[test]
    fn without_servers_the_forest_says_where_to_look() {
        let read = |text: &str| toml::from_str::<LdapSettings>(text);
        let settings = read(
            "forest = 'corp.example'\nsite = 'Default-First-Site-Name'\n\
             transport = 'starttls'\nname_servers = ['192.0.2.53', '[::1]:5353']",
        )
        .unwrap();
        settings.check().unwrap();
        assert!(settings.is_forest_wide());
        let plain = LdapSettings {
            allow_plain: true,
            ..settings.clone()
        };
        assert_eq!(plain.check(), Err(LdapSettingsError::PlainToFound));
        let none = LdapSettings {
            max_gc: 0,
            ..settings
        };
        assert_eq!(
            none.check(),
            Err(LdapSettingsError::TooManyServers { most: 0 })
        );
        for wrong in [
            "site = 'a.b'",
            "site = ''",
            "transport = 'plain'",
            "name_servers = ['dns']",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_found_global_catalog_has_the_port_of_its_transport() {
        let host: HostName = "dc1.corp.example".parse().unwrap();
        let port = NonZeroU16::new(3268).unwrap();
        let found = |transport| ServerUrl::found(transport, &host, port, Vec::new()).to_string();
        assert_eq!(found(Transport::Ldaps), "ldaps://dc1.corp.example:3269");
        assert_eq!(found(Transport::StartTls), "ldap://dc1.corp.example:3268");
    }
}
