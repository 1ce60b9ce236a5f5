//! The HTTP proxy, and whom the client reaches without it, as `https_proxy` and `no_proxy` say it
//! everywhere.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::url::Origin;

/// An HTTP proxy. It is asked for a tunnel (`CONNECT`) to every server, also without TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// With name and password, where there are some.
    url: Zeroizing<String>,
    origin: Origin,
}

/// Whom the client reaches without the proxy. Its own machine is always among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct NoProxy(Vec<Entry>);

/// A text that names no proxy, or nobody to reach without one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Not the URL of an HTTP proxy; it is not repeated, for it may hold a password.
    #[error(
        "a proxy is written http://[NAME:PASSWORD@]HOST:PORT, name and password as they are, \
             without any of / ? # @ % \\"
    )]
    Url,
    /// Not an entry of `no_proxy`.
    #[error("{0:?} is neither a host, a domain, an address, a network nor *")]
    Entry(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Everybody,
    /// A host and all below it, at one port or all.
    Domain(String, Option<u16>),
    Network(IpAddr, u8),
}

impl Proxy {
    /// With name and password: for the connection alone.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// `NAME:PASSWORD`, as it stands in the URL.
    pub(crate) fn user_info(&self) -> Option<&str> {
        let (_, rest) = self.url.split_once("://")?;
        rest.rsplit_once('@').map(|(user, _)| user)
    }
}

impl NoProxy {
    /// Entries separated by commas or blanks, as in the environment.
    pub fn parse_list(text: &str) -> Result<Self, ProxyError> {
        let entries = text.split([',', ' ']).filter(|entry| !entry.is_empty());
        entries.map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a server is reached without the proxy.
    pub fn covers(&self, origin: &Origin) -> bool {
        let host = origin.host().trim_matches(['[', ']']);
        let address = host.parse::<IpAddr>().ok();
        let is_below = |domain: &str| {
            let above = host.strip_suffix(domain);
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        };
        origin.is_loopback()
            || self.0.iter().any(|entry| match entry {
                Entry::Everybody => true,
                Entry::Domain(domain, port) => {
                    is_below(domain) && port.is_none_or(|port| port == origin.port())
                }
                Entry::Network(network, bits) => {
                    address.is_some_and(|address| is_within(address, *network, *bits))
                }
            })
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    /// Without a scheme, `http` is meant.
    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let text = text.trim();
        let whole = match text.split_once("://") {
            Some(_) => Zeroizing::new(text.to_owned()),
            None => Zeroizing::new(format!("http://{text}")),
        };
        let (scheme, rest) = whole.split_once("://").ok_or(ProxyError::Url)?;
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        // Name and password are sent as they are written; one with `%` would be meant otherwise.
        let is_odd = |c: char| !c.is_ascii_graphic() || "/?#@\\%".contains(c);
        let host = host.strip_suffix('/').unwrap_or(host);
        if user.is_some_and(|user| user.contains(is_odd)) || host.contains(is_odd) {
            return Err(ProxyError::Url);
        }
        let origin = Origin::of(&format!("{scheme}://{host}")).map_err(|_| ProxyError::Url)?;
        Ok(Self { url: whole, origin })
    }
}

impl FromStr for Entry {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let wrong = || ProxyError::Entry(text.chars().take(200).collect());
        let text = text.trim();
        if text == "*" {
            return Ok(Self::Everybody);
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self::Network(address, bits_of(address)));
        }
        if let Some((network, bits)) = text.split_once('/') {
            let network: IpAddr = network.parse().map_err(|_| wrong())?;
            let bits: u8 = bits.parse().map_err(|_| wrong())?;
            let fits = bits <= bits_of(network);
            return fits
                .then_some(Self::Network(network, bits))
                .ok_or_else(wrong);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
        let host = below.unwrap_or(host);
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
        if host.is_empty() || !host.bytes().all(fits) {
            return Err(wrong());
        }
        Ok(Self::Domain(host.to_ascii_lowercase(), port))
    }
}

impl TryFrom<Vec<String>> for NoProxy {
    type Error = ProxyError;

    fn try_from(entries: Vec<String>) -> Result<Self, ProxyError> {
        let entries = entries.iter().map(|entry| entry.parse());
        entries.collect::<Result<_, _>>().map(Self)
    }
}

impl From<NoProxy> for Vec<String> {
    fn from(list: NoProxy) -> Self {
        list.0.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("*"),
            Self::Domain(domain, None) => f.write_str(domain),
            Self::Domain(domain, Some(port)) => write!(f, "{domain}:{port}"),
            Self::Network(address, bits) if *bits == bits_of(*address) => address.fmt(f),
            Self::Network(address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

impl fmt::Display for Proxy {
    /// Without name and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.origin)
    }
}

impl Serialize for Proxy {
    /// Without name and password: it is shown, never written to be read again.
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'d> Deserialize<'d> for Proxy {
    fn deserialize<D: Deserializer<'d>>(text: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(text)?);
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let shifted = |width: u8, value: u128| {
        let off = u32::from(width.saturating_sub(bits));
        value.checked_shr(off).unwrap_or_default()
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            shifted(32, a.to_bits().into()) == shifted(32, b.to_bits().into())
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => shifted(128, a.to_bits()) == shifted(128, b.to_bits()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_password_is_sent_to_it_and_shown_to_nobody() {
        let proxy: Proxy = "http://alice:p!ss@Proxy.example:3128/".parse().unwrap();
        assert_eq!(proxy.to_string(), "http://proxy.example:3128");
        let shown = format!("{proxy:?} {}", serde_json::to_string(&proxy).unwrap());
        assert!(
            !shown.contains("p!ss") && !shown.contains("alice"),
            "{shown}"
        );
        assert_eq!(proxy.user_info(), Some("alice:p!ss"));
        let bare: Proxy = "proxy.example:3128".parse().unwrap();
        assert_eq!(bare.to_string(), "http://proxy.example:3128");
        for wrong in [
            "",
            "socks5://proxy:1080",
            "http://",
            "http://a@b@c:1",
            "http://proxy/path",
            "http://alice:p%40ss@proxy",
            "http://proxy:99999",
            "http://pro xy",
            "http://u\r\nX: y@proxy",
        ] {
            assert_eq!(wrong.parse::<Proxy>(), Err(ProxyError::Url), "{wrong}");
        }
    }

    #[test]
    fn the_ways_of_saying_no_proxy_are_those_of_other_programs() {
        let covers = |list: &str, url: &str| {
            let list = NoProxy::parse_list(list).unwrap();
            list.covers(&Origin::of(url).unwrap())
        };
        for (list, url, direct) in [
            ("", "https://rms.corp.example", false),
            ("", "http://127.3.0.1:8080", true),
            ("", "http://localhost", true),
            ("*", "https://rms.corp.example", true),
            ("corp.example", "https://rms.corp.example", true),
            ("corp.example", "https://corp.example", true),
            (".corp.example, x", "https://rms.corp.example", true),
            ("*.Corp.example", "https://rms.corp.example", true),
            ("corp.example", "https://rms.notcorp.example", false),
            ("corp.example:443", "https://rms.corp.example", true),
            ("corp.example:443", "http://rms.corp.example", false),
            ("192.0.2.0/24", "http://192.0.2.77", true),
            ("192.0.2.0/24", "http://192.0.3.1", false),
            ("0.0.0.0/0", "http://192.0.3.1", true),
            ("::/0", "http://192.0.3.1", false),
            ("2001:db8::/32", "http://[2001:db8::1]:80", true),
            ("192.0.2.7", "http://192.0.2.7:8080", true),
        ] {
            assert_eq!(covers(list, url), direct, "{list} {url}");
        }
        for wrong in ["a/b", "192.0.2.0/33", "ho\tst", "a:b", "a:70000", "."] {
            assert!(NoProxy::parse_list(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_either_fall_over(text: String) {
            let _ = text.parse::<Proxy>();
            if let Ok(list) = NoProxy::parse_list(&text) {
                list.covers(&Origin::of("https://rms.example").unwrap());
            }
        }
    }
}
