//! The URLs of issuers: https, or this machine (OIDC Core 1.0, 16.17).

use std::fmt;
use std::net::IpAddr;

use axum::http::Uri;
use serde::Deserialize;

/// A URL that may be fetched: https, or http on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct FetchUrl(Uri);

/// The name of an issuer, which is a URL without query (OIDC Core 1.0, section 2).
/// Names are the same when they are the same text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct IssuerUrl {
    name: String,
    discovery: FetchUrl,
}

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    /// Not a URL, or an absurdly long one.
    #[error("not a URL")]
    Malformed,
    /// Neither https nor this machine.
    #[error("must be https; http is for loopback addresses only")]
    Insecure,
    /// Has what the URL must not have.
    #[error("must have no user name and no fragment")]
    Superfluous,
    /// The name of an issuer has a query.
    #[error("the name of an issuer has no query")]
    Query,
}

impl FetchUrl {
    /// For HTTP clients.
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl TryFrom<String> for FetchUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        // The parser drops fragments silently.
        if text.contains('#') {
            return Err(UrlError::Superfluous);
        }
        if text.len() > MAX_URL {
            return Err(UrlError::Malformed);
        }
        let uri = Uri::try_from(text).map_err(|_| UrlError::Malformed)?;
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Superfluous);
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if is_loopback(authority.host()) => Ok(Self(uri)),
            _ => Err(UrlError::Insecure),
        }
    }
}

impl fmt::Display for FetchUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl IssuerUrl {
    /// The name, as tokens must give it.
    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }

    /// Where the issuer's discovery document is.
    pub(crate) fn discovery(&self) -> &FetchUrl {
        &self.discovery
    }
}

impl TryFrom<String> for IssuerUrl {
    type Error = UrlError;

    fn try_from(name: String) -> Result<Self, UrlError> {
        if name.contains('?') {
            return Err(UrlError::Query);
        }
        let base = name.strip_suffix('/').unwrap_or(&name);
        let discovery = FetchUrl::try_from(format!("{base}{DISCOVERY}"))?;
        Ok(Self { name, discovery })
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    match address.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

const DISCOVERY: &str = "/.well-known/openid-configuration";
const MAX_URL: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<FetchUrl, UrlError> {
        FetchUrl::try_from(text.to_owned())
    }

    fn issuer(text: &str) -> Result<IssuerUrl, UrlError> {
        IssuerUrl::try_from(text.to_owned())
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        assert!(url("https://login.example/keys?v=2").is_ok());
        for here in ["127.0.0.1:9", "127.9.9.9", "[::1]:9", "localhost:80"] {
            assert!(url(&format!("http://{here}/keys")).is_ok(), "{here}");
        }
        for elsewhere in [
            "login.example",
            "127.0.0.1.example",
            "localhost.example",
            "10.0.0.1",
        ] {
            let url = url(&format!("http://{elsewhere}/keys"));
            assert_eq!(url, Err(UrlError::Insecure), "{elsewhere}");
        }
        assert_eq!(
            url("http://127.0.0.1@evil.example/"),
            Err(UrlError::Superfluous)
        );
        assert_eq!(
            url("https://login.example/#here"),
            Err(UrlError::Superfluous)
        );
        assert_eq!(url("ftp://127.0.0.1/keys"), Err(UrlError::Insecure));
        for wrong in ["", "/keys", "keys", "https://", "https://a b/"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            url(&format!("https://login.example/{}", "a".repeat(MAX_URL))),
            Err(UrlError::Malformed)
        );
    }

    #[test]
    fn the_discovery_document_is_below_the_issuer() {
        for name in [
            "https://login.example/tenant",
            "https://login.example/tenant/",
        ] {
            let issuer = issuer(name).unwrap();
            assert_eq!(issuer.as_str(), name);
            assert_eq!(
                issuer.discovery().to_string(),
                "https://login.example/tenant/.well-known/openid-configuration"
            );
        }
        assert_eq!(issuer("https://login.example/?t=1"), Err(UrlError::Query));
        assert_eq!(issuer("http://login.example"), Err(UrlError::Insecure));
    }
}
