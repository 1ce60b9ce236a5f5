//! URLs as far as trust needs them: scheme, host and port. Parsed strictly, so that no two parsers
//! can disagree about where a password goes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// Scheme, host and port of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    tls: bool,
    host: String,
    port: u16,
}

/// Base URL of a cluster: everything before `/_wmcs`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ServerUrl {
    origin: Origin,
    base: String,
}

/// A text that is not an `http` or `https` URL this client would use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not a usable URL: {reason}")]
pub struct UrlError {
    /// The text, shortened.
    pub url: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl Origin {
    /// The origin of a URL.
    pub fn of(url: &str) -> Result<Self, UrlError> {
        split(url)
            .map(|(origin, _)| origin)
            .map_err(|reason| UrlError {
                url: url.chars().take(200).collect(),
                reason,
            })
    }

    /// Whether nobody on the way can read or change what is sent: TLS, or this very machine.
    pub fn is_private(&self) -> bool {
        self.tls || self.is_loopback()
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether it is TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host name or address, lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != default_port(self.tls) {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl ServerUrl {
    /// The base, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.base)
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    /// Takes the base of a cluster or any URL below its `/_wmcs`. Without a scheme, `https` is
    /// meant.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let whole = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let error = |reason| UrlError {
            url: whole.chars().take(200).collect(),
            reason,
        };
        let (origin, path) = split(&whole).map_err(error)?;
        if path.contains('?') {
            return Err(error("a server's URL has no query"));
        }
        let lower = path.to_ascii_lowercase();
        let end = lower.find("/_wmcs").unwrap_or(path.len());
        let path = path.get(..end).unwrap_or_default().trim_end_matches('/');
        let base = format!("{origin}{path}");
        Ok(Self { origin, base })
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// Origin and the rest, which begins with `/` or is empty.
fn split(url: &str) -> Result<(Origin, &str), &'static str> {
    if url.len() > LONGEST {
        return Err("too long");
    }
    if !url
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&b))
    {
        return Err("it holds characters that URLs do not have");
    }
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    let tls = if scheme.eq_ignore_ascii_case("https") {
        true
    } else if scheme.eq_ignore_ascii_case("http") {
        false
    } else {
        return Err("only http and https are used");
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or("it has no host")?;
    let bracketed = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    let (host, port) = if let Some((address, after)) = bracketed {
        let address: std::net::Ipv6Addr = address
            .parse()
            .map_err(|_| "the address in brackets is not IPv6")?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port),
            None if after.is_empty() => None,
            None => return Err("something stands behind the host"),
        };
        (format!("[{address}]"), port)
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
        if host.is_empty() || !host.bytes().all(fits) {
            return Err("the host is not a name or address");
        }
        (host.to_ascii_lowercase(), port)
    };
    let port = match port {
        None => default_port(tls),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port
            .parse()
            .map_err(|_| "the port is not a number up to 65535")?,
        Some(_) => return Err("the port is not a number"),
    };
    Ok((Origin { tls, host, port }, path))
}

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

const LONGEST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_of_a_cluster_is_what_stands_before_wmcs() {
        for (text, base) in [
            (
                "https://RMS.example.com/_wmcs/licensing",
                "https://rms.example.com",
            ),
            ("https://rms.example.com:443/", "https://rms.example.com"),
            ("rms.example.com", "https://rms.example.com"),
            ("http://127.0.0.1:8080/x/_WMCS", "http://127.0.0.1:8080/x"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().as_str(), base, "{text}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for text in [
            "https://rms.example.com@evil.example",
            "https://user:pw@rms.example.com",
            "https://evil.example\\@rms.example.com",
            "https://rms.example.com#@evil.example",
            "https://rms.example.com:+443",
            "https://rms.example.com:443x",
            "https:// rms",
            "ftp://rms.example.com",
            "https://",
            "https://[::1",
            "https://[::1]x",
        ] {
            assert!(Origin::of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn private_is_tls_or_this_machine() {
        for (text, private) in [
            ("https://rms.example.com", true),
            ("http://rms.example.com", false),
            ("http://localhost:8080", true),
            ("http://127.0.0.9", true),
            ("http://[::1]", true),
            ("http://localhost.example.com", false),
            ("http://0.0.0.0", false),
        ] {
            assert_eq!(Origin::of(text).unwrap().is_private(), private, "{text}");
        }
    }
}
