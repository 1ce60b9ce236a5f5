//! Who is behind a proxy: `X-Forwarded-For` and `X-Forwarded-Proto`, believed from the addresses
//! that the configuration lists and from nobody else.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use serde::Deserialize;

use crate::http::Peer;

/// The proxies whose word counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Proxies(Vec<Network>);

/// An address, or all that share their first bits (`10.0.0.0/8`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Proxies {
    /// The caller as a proxy tells it. The addresses of `X-Forwarded-For` are gone through from
    /// the last, which the nearest proxy wrote, to the first that no listed proxy has; what stands
    /// before that one, anybody can have written.
    pub(crate) fn caller(&self, peer: Peer, headers: &HeaderMap) -> Peer {
        if !self.contains(peer.address.ip()) {
            return peer;
        }
        let chain = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        let mut address = None;
        for hop in chain.rev() {
            // What cannot be read is nobody's address: the caller is not believed to be anyone
            // but the proxy.
            let Ok(ip) = hop.trim().parse::<IpAddr>() else {
                break;
            };
            // Nobody comes through a proxy from this very machine, unless the proxy is on it.
            if ip.to_canonical().is_loopback() {
                break;
            }
            address = Some(ip);
            if !self.contains(ip) {
                break;
            }
        }
        let https = headers
            .get_all("x-forwarded-proto")
            .iter()
            .next_back()
            .and_then(|value| value.to_str().ok()?.rsplit(',').next())
            .is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"));
        Peer {
            address: address.map_or(peer.address, |ip| SocketAddr::new(ip, 0)),
            tls: https,
        }
    }

    /// Whether it is a listed proxy's address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Whether some proxy says that it handed the request on, listed or not.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    ["via", "forwarded", "x-forwarded-for"]
        .into_iter()
        .any(|name| headers.contains_key(name))
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        // Shifting all bits away leaves nothing to compare.
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address, nor a network such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| wrong())?,
            None => most,
        };
        (bits <= most)
            .then_some(Self { address, bits })
            .ok_or_else(wrong)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies(networks.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn peer(address: &str) -> Peer {
        Peer {
            address: SocketAddr::new(address.parse().unwrap(), 1234),
            tls: false,
        }
    }

    fn headers(forwarded: &[&str], scheme: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        headers.append("x-forwarded-proto", scheme.parse().unwrap());
        headers
    }

    #[test]
    fn whoever_is_not_listed_is_who_they_are() {
        let listed = proxies(&["10.0.0.0/8", "fd00::/8"]);
        let told = listed.caller(peer("192.0.2.1"), &headers(&["127.0.0.1"], "https"));
        assert_eq!(told.address.ip(), "192.0.2.1".parse::<IpAddr>().unwrap());
        assert!(!told.tls);
        let nobody =
            Proxies::default().caller(peer("127.0.0.1"), &headers(&["192.0.2.9"], "https"));
        assert!(nobody.is_loopback() && !nobody.tls);
    }

    #[test]
    fn the_caller_is_the_last_address_that_no_listed_proxy_has() {
        let listed = proxies(&["10.0.0.0/8", "127.0.0.1"]);
        // The first one is what the caller wrote, hoping to pass for this machine.
        let told = headers(&["127.0.0.1, 198.51.100.7", "10.1.1.1"], "https");
        let caller = listed.caller(peer("10.2.3.4"), &told);
        assert_eq!(
            caller.address.ip(),
            "198.51.100.7".parse::<IpAddr>().unwrap()
        );
        assert!(caller.tls);
    }

    #[test]
    fn what_cannot_be_read_makes_nobody_somebody_else() {
        let listed = proxies(&["10.0.0.1"]);
        for forwarded in [
            &["unknown"][..],
            &["127.0.0.1, _hidden"],
            &["127.0.0.1"],
            &["::1"],
            &[],
        ] {
            let caller = listed.caller(peer("10.0.0.1"), &headers(forwarded, "http"));
            assert_eq!(caller.address.ip(), "10.0.0.1".parse::<IpAddr>().unwrap());
            assert!(!caller.tls);
        }
    }

    #[test]
    fn networks_are_told_by_their_first_bits() {
        let network = |text: &str| text.parse::<Network>();
        let all: Network = network("0.0.0.0/0").unwrap();
        assert!(all.contains("203.0.113.5".parse().unwrap()));
        let half: Network = network("192.0.2.128/25").unwrap();
        assert!(half.contains("192.0.2.200".parse().unwrap()));
        assert!(!half.contains("192.0.2.100".parse().unwrap()));
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/-1",
            "a/8",
        ] {
            assert!(network(wrong).is_err(), "{wrong:?}");
        }
    }
}
