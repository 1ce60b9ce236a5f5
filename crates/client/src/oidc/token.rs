//! What the token endpoint answers (RFC 6749 5, OIDC Core 3.1.3). Signatures are the
//! rights-management server's to check; here it is checked that the answer is to what was asked.

use openrms_crypto::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Registration;
use super::answer::refusal;
use super::encoding::{from_base64url, is_base64url};
use super::error::OidcError;

/// What was issued.
#[derive(Debug)]
pub(super) struct Issued {
    /// The access token, a JWT.
    pub(super) access: Secret,
    /// The identity token, where there is one.
    pub(super) identity: Option<Secret>,
}

/// Reads the answer of the token endpoint.
pub(super) fn read(url: &str, status: u16, body: &[u8]) -> Result<Issued, OidcError> {
    let malformed = |reason: String| OidcError::Malformed {
        url: url.to_owned(),
        reason,
    };
    if status != 200 {
        return Err(match serde_json::from_slice::<Refusal>(body) {
            Ok(refused) => refusal(&refused.error, &refused.error_description),
            Err(_) => malformed(format!("HTTP status {status}")),
        });
    }
    // What serde says could hold a piece of the token.
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| malformed("it holds no token".into()))?;
    let access = Secret::new(answer.access_token.into_bytes());
    let identity = answer.id_token.map(|token| Secret::new(token.into_bytes()));
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err(malformed("the token is not a bearer token".into()));
    }
    claims::<serde::de::IgnoredAny>(&access).ok_or(OidcError::NotJwt)?;
    Ok(Issued { access, identity })
}

/// Checks that the identity token is of this sign-in (OIDC Core 3.1.3.7). It came from
/// the issuer itself over a private connection, so that its signature says nothing more.
pub(super) fn check_identity(
    token: &Secret,
    registration: &Registration,
    nonce: &Secret,
) -> Result<(), OidcError> {
    let claims: Identity = claims(token).ok_or(OidcError::IdentityToken("it cannot be read"))?;
    if claims.iss != registration.issuer.as_str() {
        return Err(OidcError::IssuerMismatch {
            expected: registration.issuer.clone(),
            found: claims.iss,
        });
    }
    let audience = match &claims.aud {
        Audience::One(audience) => std::slice::from_ref(audience),
        Audience::More(audiences) => audiences,
    };
    if !audience.contains(&registration.client_id) {
        return Err(OidcError::IdentityToken("it is for another client"));
    }
    let found = claims.nonce.map(|nonce| Secret::new(nonce.into_bytes()));
    if found.as_ref() != Some(nonce) {
        return Err(OidcError::IdentityToken("its nonce is not ours"));
    }
    Ok(())
}

/// The claims of a signed JWT (RFC 7519 7.2, RFC 7515 7.1), unverified; `None` when it is none.
fn claims<C: for<'de> Deserialize<'de>>(token: &Secret) -> Option<C> {
    let text = std::str::from_utf8(token.expose()).ok()?;
    let mut parts = text.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let signed = !signature.is_empty() && signature.bytes().all(is_base64url);
    if parts.next().is_some() || !signed {
        return None;
    }
    let header = from_base64url(header)?;
    serde_json::from_slice::<Header>(&header).ok()?;
    let claims = Zeroizing::new(from_base64url(claims)?);
    serde_json::from_slice(&claims).ok()
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    id_token: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "alg")]
    _algorithm: String,
}

#[derive(Deserialize)]
struct Identity {
    iss: String,
    aud: Audience,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    More(Vec<String>),
}

#[cfg(test)]
mod tests {
    use super::super::encoding::to_base64url;
    use super::*;
    use crate::error::Coded as _;

    const URL: &str = "https://login.example/token";

    fn jwt(claims: &str) -> String {
        let header = to_base64url(br#"{"alg":"RS256","typ":"at+jwt"}"#);
        format!("{header}.{}.c2ln", to_base64url(claims.as_bytes()))
    }

    fn refused(status: u16, body: &str) -> &'static str {
        read(URL, status, body.as_bytes()).unwrap_err().code()
    }

    #[test]
    fn a_bearer_token_that_is_a_jwt_is_taken() {
        let token = jwt(r#"{"aud": "x"}"#);
        let body = format!(r#"{{"access_token": "{token}", "token_type": "bearer", "x": 1}}"#);
        let issued = read(URL, 200, body.as_bytes()).unwrap();
        assert_eq!(issued.access.expose(), token.as_bytes());
        assert!(issued.identity.is_none());
    }

    #[test]
    fn a_token_that_only_its_issuer_can_read_is_refused() {
        for token in ["opaque", "a.b.c", "", "..", &format!("{}.x", jwt("{}")), &{
            let unsigned = jwt("{}");
            unsigned.trim_end_matches("c2ln").to_owned()
        }] {
            let body = format!(r#"{{"access_token": "{token}", "token_type": "Bearer"}}"#);
            assert_eq!(refused(200, &body), "token-not-jwt", "{token}");
        }
    }

    #[test]
    fn errors_of_the_token_endpoint_have_names() {
        let grant = r#"{"error": "invalid_grant", "error_description": "expired"}"#;
        assert_eq!(refused(400, grant), "issuer-refuses");
        assert_eq!(
            refused(400, r#"{"error": "access_denied"}"#),
            "sign-in-declined"
        );
        for (status, body) in [
            (500, "<html>"),
            (302, ""),
            (200, "{}"),
            (200, r#"{"access_token": "a.b.c", "token_type": "DPoP"}"#),
            (200, "[]"),
        ] {
            assert_eq!(refused(status, body), "issuer-answer-malformed", "{body}");
        }
    }

    #[test]
    fn what_cannot_be_read_of_an_answer_is_not_shown() {
        let body = br#"{"access_token": ["very-secret"]}"#;
        let message = read(URL, 200, body).unwrap_err().to_string();
        assert!(!message.contains("very-secret"), "{message}");
    }

    #[test]
    fn an_identity_token_is_of_this_issuer_client_and_sign_in() {
        let registration = Registration {
            issuer: "https://login.example".parse().unwrap(),
            client_id: "rms".into(),
            scope: String::new(),
            resource: None,
        };
        let check = |claims: &str| {
            let token = Secret::from(jwt(claims).into_bytes());
            check_identity(&token, &registration, &Secret::from(&b"n1"[..]))
                .map_err(|error| error.code())
        };
        let iss = r#""iss": "https://login.example""#;
        for aud in [r#""rms""#, r#"["other", "rms"]"#] {
            let claims = format!(r#"{{{iss}, "aud": {aud}, "nonce": "n1"}}"#);
            assert_eq!(check(&claims), Ok(()), "{aud}");
        }
        for (claims, code) in [
            (
                r#"{"iss": "https://evil.example", "aud": "rms", "nonce": "n1"}"#,
                "issuer-mismatch",
            ),
            (
                &*format!(r#"{{{iss}, "aud": "other", "nonce": "n1"}}"#),
                "identity-token-mismatch",
            ),
            (
                &*format!(r#"{{{iss}, "aud": "rms", "nonce": "n2"}}"#),
                "identity-token-mismatch",
            ),
            (
                &*format!(r#"{{{iss}, "aud": "rms"}}"#),
                "identity-token-mismatch",
            ),
            ("{}", "identity-token-mismatch"),
        ] {
            assert_eq!(check(claims), Err(code), "{claims}");
        }
    }
}
