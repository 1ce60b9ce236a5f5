//! The URL of a cluster: clients have it from every license, so it is right from the start or wrong
//! for ever.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::Uri;

use super::ProvisionError;

/// A URL that clients reach the cluster by, taken apart.
pub(crate) struct BaseUrl {
    /// Ends in `/_wmcs`.
    pub(crate) base: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) secure: bool,
}

impl BaseUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, ProvisionError> {
        let wrong = |reason| ProvisionError::Url {
            url: url.to_owned(),
            reason,
        };
        let uri: Uri = url.trim().parse().map_err(|_| wrong("it is not a URL"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("it begins with neither https:// nor http://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user name"));
        }
        if authority.port_u16() == Some(0) {
            return Err(wrong("port 0 is no port that clients can reach"));
        }
        let path = uri.path().trim_end_matches('/');
        if uri.query().is_some() || !(path.is_empty() || path.eq_ignore_ascii_case("/_wmcs")) {
            return Err(wrong(
                "clients look below /_wmcs only: give scheme and host",
            ));
        }
        let scheme = if secure { "https" } else { "http" };
        Ok(Self {
            base: format!(
                "{scheme}://{}/_wmcs",
                authority.as_str().to_ascii_lowercase()
            ),
            host: authority.host().to_ascii_lowercase(),
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
            secure,
        })
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }

    /// Where to listen: at the URL's port, or beside a proxy that does HTTPS.
    pub(crate) fn listen(&self, has_tls: bool) -> SocketAddr {
        let own = self
            .host
            .trim_matches(['[', ']'])
            .parse()
            .ok()
            .filter(IpAddr::is_loopback);
        match own {
            Some(ip) => (ip, self.port).into(),
            None if self.is_loopback() => (Ipv4Addr::LOCALHOST, self.port).into(),
            None if self.secure && !has_tls => (Ipv4Addr::LOCALHOST, 8080).into(),
            None => (Ipv4Addr::UNSPECIFIED, self.port).into(),
        }
    }
}

/// A cluster's base URL in its one spelling, which ends in `/_wmcs`.
pub(crate) fn base_url(url: &str) -> Result<String, ProvisionError> {
    BaseUrl::parse(url).map(|url| url.base)
}

/// Whether a cluster's URL leads to this very machine.
pub(crate) fn is_loopback_url(url: &str) -> bool {
    BaseUrl::parse(url).is_ok_and(|url| url.is_loopback())
}
