//! What an issuer says of itself (OIDC Discovery 1.0, 3 and 4).

use serde::Deserialize;

use super::IssuerUrl;
use super::error::OidcError;
use crate::http::HttpTransport;
use crate::transport::Transport as _;

/// An issuer and where it is asked, all of it over private connections.
#[derive(Debug)]
pub(super) struct Metadata {
    issuer: IssuerUrl,
    document: Document,
}

impl Metadata {
    /// Gets the discovery document.
    pub(super) fn fetch(transport: &HttpTransport, issuer: &IssuerUrl) -> Result<Self, OidcError> {
        let url = discovery_url(issuer);
        let answer = transport.get(&url, None)?;
        if answer.status != 200 {
            return Err(OidcError::NoDiscovery {
                url,
                status: answer.status,
            });
        }
        Self::read(issuer, &answer.body)
    }

    /// Reads the discovery document.
    pub(super) fn read(issuer: &IssuerUrl, body: &[u8]) -> Result<Self, OidcError> {
        let document: Document =
            serde_json::from_slice(body).map_err(|error| OidcError::Malformed {
                url: discovery_url(issuer),
                reason: error.to_string(),
            })?;
        if document.issuer != issuer.as_str() {
            return Err(OidcError::IssuerMismatch {
                expected: issuer.clone(),
                found: document.issuer,
            });
        }
        for url in [&document.authorization_endpoint, &document.token_endpoint] {
            if !issuer.keeps_private(url) {
                return Err(OidcError::Insecure {
                    url: url.chars().take(200).collect(),
                });
            }
        }
        // Issuers that say nothing of it may know it all the same.
        let methods = document.code_challenge_methods_supported.as_deref();
        if methods.is_some_and(|methods| !methods.iter().any(|method| method == "S256")) {
            return Err(OidcError::NoPkce(issuer.clone()));
        }
        Ok(Self {
            issuer: issuer.clone(),
            document,
        })
    }

    /// The issuer.
    pub(super) fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// Where a browser goes.
    pub(super) fn authorization_endpoint(&self) -> &str {
        &self.document.authorization_endpoint
    }

    /// Where a code is redeemed.
    pub(super) fn token_endpoint(&self) -> &str {
        &self.document.token_endpoint
    }

    /// Whether the issuer signs its answers by name (RFC 9207 3).
    pub(super) fn names_itself_in_answers(&self) -> bool {
        self.document.authorization_response_iss_parameter_supported
    }
}

#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

fn discovery_url(issuer: &IssuerUrl) -> String {
    let base = issuer.as_str().trim_end_matches('/');
    format!("{base}/.well-known/openid-configuration")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Coded as _;

    fn read(more: &str) -> Result<Metadata, &'static str> {
        let issuer = "https://login.example/t".parse().unwrap();
        let body = format!(r#"{{"authorization_endpoint": "https://login.example/auth", {more}}}"#);
        Metadata::read(&issuer, body.as_bytes()).map_err(|error| error.code())
    }

    #[test]
    fn an_issuer_is_who_it_is_asked_as_to_the_letter() {
        let token = r#""token_endpoint": "https://login.example/token""#;
        for (name, outcome) in [
            ("https://login.example/t", None),
            ("https://login.example/t/", Some("issuer-mismatch")),
            ("https://login.example/other", Some("issuer-mismatch")),
        ] {
            let read = read(&format!(r#""issuer": "{name}", {token}"#));
            assert_eq!(read.err(), outcome, "{name}");
        }
    }

    #[test]
    fn endpoints_in_the_open_and_issuers_without_pkce_are_refused() {
        let issuer = r#""issuer": "https://login.example/t""#;
        for (more, code) in [
            (
                r#""token_endpoint": "http://login.example/token""#,
                "issuer-insecure",
            ),
            (
                r#""token_endpoint": "http://127.0.0.1/token""#,
                "issuer-insecure",
            ),
            (
                r#""token_endpoint": "file:///etc/passwd""#,
                "issuer-insecure",
            ),
            (
                r#""token_endpoint": "https://login.example/token",
                   "code_challenge_methods_supported": ["plain"]"#,
                "issuer-without-pkce",
            ),
            (r#""x": 1"#, "issuer-answer-malformed"),
            (r#""token_endpoint": 7"#, "issuer-answer-malformed"),
        ] {
            assert_eq!(
                read(&format!("{issuer}, {more}")).err(),
                Some(code),
                "{more}"
            );
        }
    }
}
