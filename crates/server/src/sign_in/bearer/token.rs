//! A signed token in compact form (JWS, RFC 7515, 3.1 and 5.2): nothing it says is to be had
//! before its signature was verified, but for the issuer, whose keys are needed to do that.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::BearerError;
use crate::sign_in::jwks::{PublicKey, SignatureAlgorithm};

/// A token whose signature was not verified yet.
pub(super) struct Unverified<'t> {
    message: &'t str,
    signature: &'t str,
    algorithm: SignatureAlgorithm,
    key_id: Option<String>,
    claims: Claims,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claims(Object);

impl<'t> Unverified<'t> {
    /// Takes a token apart.
    pub(super) fn parse(token: &'t str) -> Result<Self, BearerError> {
        if token.len() > MAX_TOKEN {
            return Err(BearerError::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(BearerError::Malformed("not three parts"));
        };
        match parts.count() {
            0 => {}
            2 => return Err(BearerError::Encrypted),
            _ => return Err(BearerError::Malformed("not three parts")),
        }
        let message = token
            .get(..header.len() + 1 + claims.len())
            .ok_or(BearerError::Malformed("not three parts"))?;
        let header = Header::parse(header)?;
        Ok(Self {
            message,
            signature,
            algorithm: header.algorithm,
            key_id: header.key_id,
            claims: Claims(object(claims).ok_or(BearerError::Malformed("the claims"))?),
        })
    }

    /// Whose token it claims to be.
    pub(super) fn claimed_issuer(&self) -> Result<&str, BearerError> {
        self.claims.required_text("iss")
    }

    /// How it claims to be signed.
    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Which key it claims to be signed with.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// What it says, when it was signed with one of `keys`.
    pub(super) fn verified_by(self, keys: &[&PublicKey]) -> Result<Claims, BearerError> {
        let signed = keys
            .iter()
            .any(|key| key.verifies(self.algorithm, self.message, self.signature));
        if signed {
            Ok(self.claims)
        } else {
            Err(BearerError::Signature)
        }
    }
}

impl Claims {
    /// Whether there is such a claim, whatever it says.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.0.contains_key(name)
    }

    /// The claim's value.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.0.get(name).filter(|value| !value.is_null())
    }

    /// A claim that is a text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, BearerError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value.as_str().filter(|text| is_plain(text));
        text.map(Some).ok_or_else(|| invalid(name))
    }

    /// A claim that is a text and must be there.
    pub(super) fn required_text(&self, name: &str) -> Result<&str, BearerError> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| missing(name))
    }

    /// A claim that is a text or a list of texts.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&str>, BearerError> {
        let Some(Value::Array(values)) = self.get(name) else {
            return Ok(self.text(name)?.into_iter().collect());
        };
        let texts = values
            .iter()
            .map(|value| value.as_str().filter(|text| is_plain(text)));
        texts.collect::<Option<_>>().ok_or_else(|| invalid(name))
    }

    /// A claim that is a time (RFC 7519, section 2): seconds since 1970 UTC, which may have
    /// fractions.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<i64>, BearerError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let whole = value.as_i64().or_else(|| {
            let seconds = value.as_f64()?.floor();
            // Casts of floating point numbers saturate.
            #[expect(clippy::cast_possible_truncation, reason = "it is in the range")]
            (seconds.abs() < MAX_SECONDS).then_some(seconds as i64)
        });
        whole.map(Some).ok_or_else(|| invalid(name))
    }
}

struct Header {
    algorithm: SignatureAlgorithm,
    key_id: Option<String>,
}

impl Header {
    fn parse(encoded: &str) -> Result<Self, BearerError> {
        let Object(mut members) = object(encoded).ok_or(BearerError::Malformed("the header"))?;
        let mut text = |name| match members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_HEADER_TEXT => Ok(Some(text)),
            Some(_) => Err(BearerError::Malformed("the header")),
        };
        let (algorithm, key_id) = (text("alg")?, text("kid")?);
        let (kind, content) = (text("typ")?, text("cty")?);
        // Extensions that must be understood are not (RFC 7515, 4.1.11).
        if members.contains_key("crit") {
            return Err(BearerError::CriticalHeader);
        }
        if kind.is_some_and(|kind| !is_access_token(&kind)) {
            return Err(BearerError::Kind);
        }
        if content.is_some_and(|content| content.eq_ignore_ascii_case("jwt")) {
            return Err(BearerError::Nested);
        }
        let algorithm = algorithm.ok_or(BearerError::Malformed("the header"))?;
        Ok(Self {
            algorithm: SignatureAlgorithm::from_name(&algorithm).ok_or(BearerError::Algorithm)?,
            key_id,
        })
    }
}

/// Whether the `typ` is that of access tokens (RFC 9068, 2.1), or the general one that issuers
/// used before.
fn is_access_token(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    matches!(kind, "at+jwt" | "jwt")
}

/// A JSON object in which no name occurs twice: of two values, one reader takes the first and
/// the next the last (RFC 7519, section 4).
#[derive(Debug, Clone, PartialEq)]
struct Object(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name occurs twice"));
                    }
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

fn object(encoded: &str) -> Option<Object> {
    let text = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    serde_json::from_slice(&text).ok()
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn invalid(claim: &str) -> BearerError {
    BearerError::ClaimInvalid(claim.to_owned())
}

fn missing(claim: &str) -> BearerError {
    BearerError::ClaimMissing(claim.to_owned())
}

const MAX_TOKEN: usize = 16 << 10;
const MAX_HEADER_TEXT: usize = 256;
/// Past the year 9999.
const MAX_SECONDS: f64 = 1e12;
