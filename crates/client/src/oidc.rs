//! Signing in at an OIDC issuer: authorization code with PKCE (RFC 6749 4.1, RFC 7636)
//! and a loopback redirect (RFC 8252 7.3), for a token that is meant for the rights-management
//! server (RFC 8707). Nothing of it is stored.

mod answer;
mod encoding;
mod error;
mod loopback;
mod metadata;
mod pkce;
mod token;

use std::fmt;
use std::str::FromStr;

use openrms_crypto::Secret;
use zeroize::Zeroizing;

pub use error::OidcError;
pub use loopback::LoopbackRedirect;

use crate::http::HttpTransport;
use crate::url::{Origin, UrlError};
use metadata::Metadata;
use pkce::{Verifier, random_text};

/// The name of an issuer: an `https` URL, or `http` on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerUrl {
    text: String,
    origin: Origin,
}

/// What this client is to an issuer, and what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Who signs people in.
    pub issuer: IssuerUrl,
    /// The name under which the issuer knows this client. It has no secret: whatever is installed
    /// on everybody's machine keeps none (RFC 8252 8.5).
    pub client_id: String,
    /// The scopes asked for, with spaces between.
    pub scope: String,
    /// Whom the token is for, as the issuer names the rights-management server (RFC 8707).
    pub resource: Option<String>,
}

/// Signs a person in and gives the access token, a JWT. `show` is handed the address at which the
/// issuer asks who is there; it opens a browser, or has a person do so.
pub fn sign_in(
    transport: &HttpTransport,
    registration: &Registration,
    redirect: LoopbackRedirect,
    show: impl FnOnce(&str),
) -> Result<Secret, OidcError> {
    let issuer = &registration.issuer;
    let metadata = Metadata::fetch(transport, issuer)?;
    let attempt = Attempt::new()?;
    let uri = redirect.uri();
    show(&attempt.authorization_url(&metadata, registration, &uri));
    let query = redirect.query()?;
    let code = answer::code(&query, &attempt.state, &metadata)?;

    let form = attempt.token_request(registration, &uri, &code);
    let url = metadata.token_endpoint();
    let answer = transport.post_form(url, form.as_bytes())?;
    let issued = token::read(url, answer.status, &Zeroizing::new(answer.body))?;
    if let Some(identity) = &issued.identity {
        token::check_identity(identity, registration, &attempt.nonce)?;
    }
    Ok(issued.access)
}

impl IssuerUrl {
    /// The name, to the letter.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what it sends and is sent at that URL stays between it and this machine.
    fn keeps_private(&self, url: &str) -> bool {
        Origin::of(url)
            .is_ok_and(|at| at.is_tls() || (at.is_loopback() && self.origin.is_loopback()))
    }
}

impl FromStr for IssuerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let error = |reason| UrlError {
            url: text.chars().take(200).collect(),
            reason,
        };
        let origin = Origin::of(text)?;
        if !origin.is_private() {
            return Err(error("an issuer is asked over https only"));
        }
        if text.contains('?') {
            return Err(error("an issuer's URL has no query"));
        }
        Ok(Self {
            text: text.to_owned(),
            origin,
        })
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What ties the answers of an issuer to one sign-in.
struct Attempt {
    state: Secret,
    nonce: Secret,
    verifier: Verifier,
}

impl Attempt {
    fn new() -> Result<Self, OidcError> {
        Ok(Self {
            state: random_text()?,
            nonce: random_text()?,
            verifier: Verifier::random()?,
        })
    }

    /// RFC 6749 4.1.1, RFC 7636 4.3, OIDC Core 3.1.2.1, RFC 8707 2.1.
    fn authorization_url(
        &self,
        metadata: &Metadata,
        registration: &Registration,
        redirect: &str,
    ) -> String {
        let endpoint = metadata.authorization_endpoint();
        let state = String::from_utf8_lossy(self.state.expose());
        let nonce = String::from_utf8_lossy(self.nonce.expose());
        let challenge = self.verifier.challenge();
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", &registration.client_id),
            ("redirect_uri", redirect),
            ("scope", &registration.scope),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let resource = registration.resource.as_deref();
        fields.extend(resource.map(|resource| ("resource", resource)));
        let mark = if endpoint.contains('?') { '&' } else { '?' };
        format!("{endpoint}{mark}{}", *encoding::form(&fields))
    }

    /// RFC 6749 4.1.3, RFC 7636 4.5, RFC 8707 2.2.
    fn token_request(
        &self,
        registration: &Registration,
        redirect: &str,
        code: &Secret,
    ) -> Zeroizing<String> {
        let code = Zeroizing::new(String::from_utf8_lossy(code.expose()).into_owned());
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", &registration.client_id),
            ("redirect_uri", redirect),
            ("code", &code),
            ("code_verifier", self.verifier.as_str()),
        ];
        let resource = registration.resource.as_deref();
        fields.extend(resource.map(|resource| ("resource", resource)));
        encoding::form(&fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration() -> Registration {
        Registration {
            issuer: "https://login.example/t".parse().unwrap(),
            client_id: "rms & co".into(),
            scope: "openid email".into(),
            resource: Some("https://rms.example/".into()),
        }
    }

    #[test]
    fn an_issuer_is_private_and_has_no_query() {
        for text in ["https://login.example/t/v2.0", "http://127.0.0.1:8000"] {
            assert_eq!(text.parse::<IssuerUrl>().unwrap().as_str(), text);
        }
        for text in [
            "http://login.example",
            "https://login.example?x=1",
            "https://login.example/#x",
            "https://a@login.example",
            "login.example",
            "",
        ] {
            assert!(text.parse::<IssuerUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_an_issuer_on_this_machine_has_endpoints_here_without_tls() {
        let far: IssuerUrl = "https://login.example".parse().unwrap();
        let here: IssuerUrl = "http://localhost:1".parse().unwrap();
        assert!(far.keeps_private("https://tokens.example/t"));
        assert!(!far.keeps_private("http://127.0.0.1/t"));
        assert!(!far.keeps_private("http://login.example/t"));
        assert!(here.keeps_private("http://127.0.0.1/t"));
        assert!(!here.keeps_private("http://login.example/t"));
    }

    #[test]
    fn the_browser_learns_the_challenge_and_the_token_endpoint_the_verifier() {
        let metadata = Metadata::read(
            &registration().issuer,
            br#"{"issuer": "https://login.example/t",
                "authorization_endpoint": "https://login.example/auth?tenant=1",
                "token_endpoint": "https://login.example/token"}"#,
        )
        .unwrap();
        let attempt = Attempt::new().unwrap();
        let uri = "http://127.0.0.1:4711/callback";
        let url = attempt.authorization_url(&metadata, &registration(), uri);
        assert!(url.starts_with(
            "https://login.example/auth?tenant=1&response_type=code&client_id=rms+%26+co&\
             redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2Fcallback&scope=openid+email&state="
        ));
        assert!(url.contains(&format!(
            "&code_challenge={}&code_challenge_method=S256",
            attempt.verifier.challenge()
        )));
        assert!(url.ends_with("&resource=https%3A%2F%2Frms.example%2F"));
        assert!(!url.contains(attempt.verifier.as_str()));
        let code = Secret::from(&b"c/1"[..]);
        let form = attempt.token_request(&registration(), uri, &code);
        assert!(form.contains("&code=c%2F1&code_verifier="));
        assert!(form.contains(attempt.verifier.as_str()));
    }
}
