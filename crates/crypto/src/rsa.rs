//! RSA as rights management uses it: little-endian moduli, PKCS#1 v1.5 signatures over a given
//! digest, and blocks wrapped to a key ([MS-RMPR] 2.2.9.1.9, 2.2.9.1.12, 2.2.9.1.13).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey,
    PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    ParsedPublicKey, RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RsaParameters, RsaPublicKeyComponents,
};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fips;
use crate::mode::{Digest, HashAlgorithm, sha256};
use crate::secret::Secret;

mod blob;
mod der;
mod parts;
mod software;
#[cfg(any(feature = "legacy-mode1", feature = "pkcs11"))]
mod unpad;

#[cfg(any(feature = "legacy-mode1", feature = "pkcs11"))]
pub(crate) use unpad::unpad;

pub use blob::{BlobError, PrivateKeyBlob};
pub use software::{ImportError, SoftwareKey};

/// An RSA public key as licences carry it. Cloning shares the prepared key; two keys are equal
/// when their moduli are.
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    modulus_le: Box<[u8]>,
    exponent: u32,
    bits: usize,
    fingerprint: [u8; 16],
    verify_sha1: OnceLock<ParsedPublicKey>,
    verify_sha256: OnceLock<ParsedPublicKey>,
    wrapper: OnceLock<Wrapper>,
}

impl PublicKey {
    /// Takes a key from PUBLICKEY: the modulus in little-endian order (lowest byte first, no
    /// sign byte) and the exponent. Moduli of 1024 to 4096 bits are accepted.
    pub fn from_le(modulus_le: &[u8], exponent: u32) -> Result<Self, PublicKeyError> {
        if modulus_le.len() > MAX_BITS / 8 {
            return Err(PublicKeyError::Size {
                bits: modulus_le.len().saturating_mul(8),
            });
        }
        let (Some(&lowest), Some(&highest)) = (modulus_le.first(), modulus_le.last()) else {
            return Err(PublicKeyError::Size { bits: 0 });
        };
        if highest == 0 {
            return Err(PublicKeyError::LeadingZero);
        }
        let bits = modulus_le.len() * 8 - highest.leading_zeros() as usize;
        if !(MIN_BITS..=MAX_BITS).contains(&bits) {
            return Err(PublicKeyError::Size { bits });
        }
        if bits < fips::LEAST_RSA_BITS && fips::is_required() {
            return Err(PublicKeyError::NotApproved { bits });
        }
        if lowest & 1 == 0 {
            return Err(PublicKeyError::EvenModulus);
        }
        if exponent < 3 || exponent & 1 == 0 {
            return Err(PublicKeyError::Exponent(exponent));
        }
        let mut fingerprint = [0; 16];
        for (to, from) in fingerprint.iter_mut().zip(sha256(modulus_le)) {
            *to = from;
        }
        Ok(Self(Arc::new(Inner {
            modulus_le: modulus_le.into(),
            exponent,
            bits,
            fingerprint,
            verify_sha1: OnceLock::new(),
            verify_sha256: OnceLock::new(),
            wrapper: OnceLock::new(),
        })))
    }

    /// Takes a key from PKCS#1 `RSAPublicKey` DER, as enrollment requests carry it
    /// ([MS-RMPR] 3.6.4.1.4).
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        let (modulus, exponent) = der::read_public_pkcs1(der).ok_or(PublicKeyError::NotPkcs1)?;
        let modulus: Vec<u8> = modulus.iter().rev().copied().collect();
        Self::from_le(&modulus, exponent)
    }

    /// Takes a key from PEM with the label `PUBLIC KEY` (RFC 5280 `SubjectPublicKeyInfo`) or
    /// `RSA PUBLIC KEY` (PKCS#1); text around it is passed over.
    pub fn from_pem(pem: &str) -> Result<Self, PublicKeyError> {
        let body = |label: &str| {
            let (_, after) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
            let (body, _) = after.split_once(&format!("-----END {label}-----"))?;
            let body: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
            STANDARD.decode(body).ok()
        };
        if let Some(der) = body("PUBLIC KEY") {
            let key = der::read_subject_public_key(&der).ok_or(PublicKeyError::NotPem)?;
            return Self::from_pkcs1_der(key);
        }
        Self::from_pkcs1_der(&body("RSA PUBLIC KEY").ok_or(PublicKeyError::NotPem)?)
    }

    /// The key as PKCS#1 `RSAPublicKey` DER.
    pub fn to_pkcs1_der(&self) -> Vec<u8> {
        let modulus: Vec<u8> = self.modulus_le().iter().rev().copied().collect();
        der::write_public_pkcs1(&modulus, self.exponent())
    }

    /// The modulus, lowest byte first, as the PUBLICKEY element stores it.
    pub fn modulus_le(&self) -> &[u8] {
        &self.0.modulus_le
    }

    /// The public exponent, nearly always 65537.
    pub fn exponent(&self) -> u32 {
        self.0.exponent
    }

    /// The length of the modulus in bits.
    pub fn bits(&self) -> usize {
        self.0.bits
    }

    /// The length in bytes of a signature by, and of a block wrapped to, this key.
    pub fn block_len(&self) -> usize {
        self.0.modulus_le.len()
    }

    /// First 16 bytes of the SHA-256 of the little-endian modulus: the name by which people,
    /// logs and trust anchors call this key.
    pub fn fingerprint(&self) -> [u8; 16] {
        self.0.fingerprint
    }

    /// The fingerprint in lower-case hexadecimal.
    pub fn fingerprint_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0.fingerprint))
    }

    /// Verifies a PKCS#1 v1.5 signature (big-endian, as SIGNATURE carries it) over `digest`.
    pub fn verify(&self, digest: &Digest, signature: &[u8]) -> Result<(), SignatureError> {
        if digest.algorithm() == HashAlgorithm::Sha1 && fips::is_required() {
            return Err(SignatureError);
        }
        let key = self.verifier(digest.algorithm()).ok_or(SignatureError)?;
        let digest = aws_lc_rs::digest::Digest::import_less_safe(
            digest.as_bytes(),
            digest.algorithm().library(),
        )
        .map_err(|_| SignatureError)?;
        key.verify_digest_sig(&digest, signature)
            .map_err(|_| SignatureError)
    }

    /// Wraps a short secret so that only the owner of the private key can open it; the answer
    /// has [`PublicKey::block_len`] bytes, big-endian.
    pub fn wrap_block(&self, wrapping: Wrapping, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
        if wrapping == Wrapping::Pkcs1V15 && fips::is_required() {
            return Err(KeyError::NotApproved("PKCS#1 v1.5 encryption"));
        }
        let wrapper = self
            .wrapper()
            .ok_or(KeyError::Unsupported("wrapping to this key"))?;
        wrapper.wrap(wrapping, secret, self.block_len())
    }

    fn verifier(&self, hash: HashAlgorithm) -> Option<&ParsedPublicKey> {
        let (slot, parameters): (_, &'static RsaParameters) = match hash {
            HashAlgorithm::Sha1 => (
                &self.0.verify_sha1,
                &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            ),
            HashAlgorithm::Sha256 => (
                &self.0.verify_sha256,
                &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            ),
        };
        get_or_try_init(slot, || {
            self.components().to_parsed_public_key(parameters).ok()
        })
    }

    fn wrapper(&self) -> Option<&Wrapper> {
        get_or_try_init(&self.0.wrapper, || Wrapper::new(self))
    }

    fn components(&self) -> RsaPublicKeyComponents<Vec<u8>> {
        let n = self.modulus_le().iter().rev().copied().collect();
        let e = self.exponent().to_be_bytes();
        let e = e.iter().copied().skip_while(|&byte| byte == 0).collect();
        RsaPublicKeyComponents { n, e }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.modulus_le == other.0.modulus_le
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.modulus_le.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicKey({} bits, {})",
            self.bits(),
            self.fingerprint_hex()
        )
    }
}

/// A private key, wherever it lives. Implementations keep the key material to themselves.
pub trait PrivateKey: Send + Sync + fmt::Debug {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// A PKCS#1 v1.5 signature over `digest`, big-endian, [`PublicKey::block_len`] bytes.
    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, KeyError>;

    /// Opens a block wrapped to this key.
    ///
    /// Every failure that depends on the block's content is [`KeyError::CannotOpen`], without
    /// detail. For [`Wrapping::Pkcs1V15`] an implementation may also answer a bad block with a
    /// made-up secret (implicit rejection), so the caller must check what it gets.
    fn open_block(&self, wrapping: Wrapping, block: &[u8]) -> Result<Secret, KeyError>;
}

/// How a short secret is wrapped to an RSA key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrapping {
    /// RSAES-PKCS1-v1_5: type `sealed-key`.
    Pkcs1V15,
    /// RSAES-OAEP with SHA-1, MGF1-SHA-1 and an empty label: type `sealed-key-v2`.
    OaepSha1,
    /// RSAES-OAEP with SHA-256 in both places: never written, tried second on read.
    OaepSha256,
}

/// What a private key (or the device holding it) could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The block does not open under this key. One error for every reason.
    #[error("the block cannot be opened with this key")]
    CannotOpen,
    /// This build, key or device cannot do the operation named.
    #[error("{0} is not supported by this key or build")]
    Unsupported(&'static str),
    /// The operation named is not approved, and this process is held to what is
    /// ([`fips::require`]).
    #[error("{0} is not approved, and FIPS is asked for")]
    NotApproved(&'static str),
    /// The library or device failed at the operation named.
    #[error("{0} failed")]
    Failed(&'static str),
}

/// The signature does not verify under the key. One error for every reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

/// Why numbers are not an RSA public key we work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// The modulus is not of 1024 to 4096 bits.
    #[error("RSA modulus of {bits} bits, 1024 to 4096 are accepted")]
    Size {
        /// Bits found.
        bits: usize,
    },
    /// Too short for what this process is held to ([`fips::require`]).
    #[error("RSA modulus of {bits} bits, where FIPS is asked for and 2048 are the least")]
    NotApproved {
        /// Bits found.
        bits: usize,
    },
    /// The most significant byte (the last one) is zero.
    #[error("RSA modulus with a leading zero byte")]
    LeadingZero,
    /// An even modulus is no RSA modulus.
    #[error("RSA modulus is even")]
    EvenModulus,
    /// Not the DER of a PKCS#1 public key.
    #[error("not a PKCS#1 RSA public key")]
    NotPkcs1,
    /// Not PEM of an RSA public key.
    #[error("no RSA public key in PEM")]
    NotPem,
    /// The exponent is even or below 3.
    #[error("RSA exponent {0}")]
    Exponent(u32),
}

/// The prepared forms of a public key for wrapping.
enum Wrapper {
    Modern {
        oaep: OaepPublicEncryptingKey,
        pkcs1: Pkcs1PublicEncryptingKey,
    },
    #[cfg(feature = "legacy-mode1")]
    Legacy(openrms_crypto_mode1::PublicKey),
}

impl Wrapper {
    fn new(key: &PublicKey) -> Option<Self> {
        let components = key.components();
        if key.bits() < 2048 {
            return Self::legacy(&components);
        }
        let key: PublicEncryptingKey = components.try_into().ok()?;
        let oaep = OaepPublicEncryptingKey::new(key.clone()).ok()?;
        let pkcs1 = Pkcs1PublicEncryptingKey::new(key).ok()?;
        Some(Self::Modern { oaep, pkcs1 })
    }

    #[cfg(feature = "legacy-mode1")]
    fn legacy(components: &RsaPublicKeyComponents<Vec<u8>>) -> Option<Self> {
        openrms_crypto_mode1::PublicKey::new(&components.n, &components.e)
            .ok()
            .map(Self::Legacy)
    }

    #[cfg(not(feature = "legacy-mode1"))]
    fn legacy(_: &RsaPublicKeyComponents<Vec<u8>>) -> Option<Self> {
        None
    }

    fn wrap(&self, wrapping: Wrapping, secret: &[u8], len: usize) -> Result<Vec<u8>, KeyError> {
        const WHAT: &str = "wrapping to a public key";
        match self {
            Self::Modern { oaep, pkcs1 } => {
                let mut block = vec![0; len];
                match wrapping {
                    Wrapping::Pkcs1V15 => pkcs1.encrypt(secret, &mut block),
                    Wrapping::OaepSha1 => {
                        oaep.encrypt(&OAEP_SHA1_MGF1SHA1, secret, &mut block, None)
                    }
                    Wrapping::OaepSha256 => {
                        oaep.encrypt(&OAEP_SHA256_MGF1SHA256, secret, &mut block, None)
                    }
                }
                .map_err(|_| KeyError::Failed(WHAT))?;
                Ok(block)
            }
            #[cfg(feature = "legacy-mode1")]
            Self::Legacy(key) => match wrapping {
                Wrapping::Pkcs1V15 => key.encrypt_pkcs1(secret),
                Wrapping::OaepSha1 => key.encrypt_oaep_sha1(secret),
                Wrapping::OaepSha256 => {
                    return Err(KeyError::Unsupported("OAEP with SHA-256 on a short key"));
                }
            }
            .map_err(|_| KeyError::Failed(WHAT)),
        }
    }
}

/// `OnceLock::get_or_try_init` for options, until the standard library's is stable.
fn get_or_try_init<T>(slot: &OnceLock<T>, make: impl FnOnce() -> Option<T>) -> Option<&T> {
    if slot.get().is_none() {
        // A second thread may have been faster; its value is as good.
        let _ = slot.set(make()?);
    }
    slot.get()
}

const MIN_BITS: usize = 1024;
const MAX_BITS: usize = 4096;

#[cfg(test)]
mod tests;
