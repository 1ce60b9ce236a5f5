//! A JWK set (RFC 7517, section 5; parameters of RFC 7518, section 6, and RFC 8037): the keys in
//! it that verify signatures, and which of them a token means.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

/// How a token may be signed (RFC 7518, 3.1; RFC 8037, 3.1). Secrets that are shared with the
/// issuer, and no signature at all, are not among the ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// The keys of an issuer that verify signatures.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<PublicKey>);

/// A key that verifies signatures.
#[derive(Debug)]
pub(crate) struct PublicKey {
    id: Option<String>,
    kind: Kind,
    only: Option<SignatureAlgorithm>,
    key: DecodingKey,
}

/// Why a text is not a key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeySetError {
    /// Not of the form.
    #[error("not a JWK set: {0}")]
    Malformed(String),
    /// More keys than any issuer needs.
    #[error("{0} keys, more than {MAX_KEYS}")]
    TooMany(usize),
}

/// Why a token's key is not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSuchKey {
    /// No key has the identifier and fits the algorithm.
    Unknown,
    /// The token names no key, and more than one would fit.
    Ambiguous,
}

impl KeySet {
    /// Reads a key set. Keys that are of no use here are left out, as RFC 7517 asks.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let document: Document = serde_json::from_slice(text)
            .map_err(|error| KeySetError::Malformed(error.to_string()))?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(document.keys.len()));
        }
        let keys = document.keys.into_iter().filter_map(public_key).collect();
        Ok(Self(keys))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys a token may be signed with. Several may share an identifier (RFC 7517, 4.5);
    /// without an identifier there must be no choice (OIDC Core 1.0, 10.1).
    pub(crate) fn find(
        &self,
        id: Option<&str>,
        algorithm: SignatureAlgorithm,
    ) -> Result<Vec<&PublicKey>, NoSuchKey> {
        let named = |key: &&PublicKey| id.is_none() || key.id.as_deref() == id;
        let fitting = self.0.iter().filter(|key| key.fits(algorithm));
        let found: Vec<_> = fitting.filter(named).collect();
        match found.len() {
            0 => Err(NoSuchKey::Unknown),
            2.. if id.is_none() => Err(NoSuchKey::Ambiguous),
            _ => Ok(found),
        }
    }
}

impl PublicKey {
    fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        self.kind == algorithm.kind() && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether `signature` (base64url) over `message` was made with this key.
    pub(crate) fn verifies(
        &self,
        algorithm: SignatureAlgorithm,
        message: &str,
        signature: &str,
    ) -> bool {
        let library = algorithm.library();
        self.fits(algorithm)
            && jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, library)
                .unwrap_or(false)
    }
}

impl SignatureAlgorithm {
    /// Reads the name that JOSE gives it.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
        Self::deserialize(name).ok()
    }

    fn kind(self) -> Kind {
        match self {
            Self::Es256 => Kind::P256,
            Self::Es384 => Kind::P384,
            Self::EdDsa => Kind::Ed25519,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                Kind::Rsa
            }
        }
    }

    fn library(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Rs384 => Algorithm::RS384,
            Self::Rs512 => Algorithm::RS512,
            Self::Ps256 => Algorithm::PS256,
            Self::Ps384 => Algorithm::PS384,
            Self::Ps512 => Algorithm::PS512,
            Self::Es256 => Algorithm::ES256,
            Self::Es384 => Algorithm::ES384,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// The members that are looked at.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

fn public_key(jwk: serde_json::Value) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let id_ok = jwk.kid.as_ref().is_none_or(|id| id.len() <= MAX_KEY_ID);
    let verifies = jwk.purpose.as_ref().is_none_or(|purpose| purpose == "sig")
        && jwk
            .key_ops
            .as_ref()
            .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    // A private key that everybody can read proves nothing.
    if !id_ok || !verifies || jwk.d.is_some() {
        return None;
    }
    let only = match &jwk.alg {
        Some(name) => Some(SignatureAlgorithm::from_name(name)?),
        None => None,
    };
    let (kind, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (Kind::Rsa, rsa(&jwk)?),
        ("EC", Some("P-256")) => (Kind::P256, ec(&jwk, 32)?),
        ("EC", Some("P-384")) => (Kind::P384, ec(&jwk, 48)?),
        ("OKP", Some("Ed25519")) => (Kind::Ed25519, ed25519(&jwk)?),
        _ => return None,
    };
    let id = jwk.kid;
    Some(PublicKey {
        id,
        kind,
        only,
        key,
    })
}

fn rsa(jwk: &Jwk) -> Option<DecodingKey> {
    let modulus = decoded(jwk.n.as_deref())?;
    let exponent = decoded(jwk.e.as_deref())?;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let modulus = modulus.get(first..)?;
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    RSA_BITS
        .contains(&bits)
        .then(|| DecodingKey::from_rsa_raw_components(modulus, &exponent))
}

fn ec(jwk: &Jwk, size: usize) -> Option<DecodingKey> {
    let (x, y) = (jwk.x.as_deref()?, jwk.y.as_deref()?);
    let sized = |text| decoded(Some(text)).is_some_and(|bytes| bytes.len() == size);
    (sized(x) && sized(y))
        .then(|| DecodingKey::from_ec_components(x, y).ok())
        .flatten()
}

fn ed25519(jwk: &Jwk) -> Option<DecodingKey> {
    let x = decoded(jwk.x.as_deref())?;
    (x.len() == 32).then(|| DecodingKey::from_ed_der(&x))
}

fn decoded(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

const MAX_KEYS: usize = 64;
const MAX_KEY_ID: usize = 256;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
