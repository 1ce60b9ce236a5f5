//! Private keys held in this process's memory.

use std::fmt;
#[cfg(feature = "legacy-mode1")]
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey,
    PrivateDecryptingKey,
};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::fips;
use crate::mode::{Digest, HashAlgorithm, Mode};
use crate::rsa::blob::PrivateKeyBlob;
use crate::rsa::parts::Parts;
use crate::rsa::{KeyError, PrivateKey, PublicKey, PublicKeyError, Wrapping, der};
use crate::secret::Secret;

/// A private key in memory: what clients use, and servers without a security module.
pub struct SoftwareKey {
    public: PublicKey,
    parts: Parts,
    /// The safe interface's forms; none for keys shorter than it takes.
    modern: Option<Modern>,
    /// Mode 1's form: at once for short keys, on first need for others.
    #[cfg(feature = "legacy-mode1")]
    legacy: OnceLock<openrms_crypto_mode1::PrivateKey>,
}

/// One key as AWS-LC's safe interface wants it: apart for each use.
struct Modern {
    signer: KeyPair,
    oaep: OaepPrivateDecryptingKey,
    #[cfg(not(feature = "legacy-mode1"))]
    pkcs1: aws_lc_rs::rsa::Pkcs1PrivateDecryptingKey,
}

impl SoftwareKey {
    /// Makes a new key of the size the mode asks for, with exponent 65537.
    ///
    /// Takes tens of milliseconds for RSA-2048.
    pub fn generate(mode: Mode) -> Result<Self, KeyError> {
        const WHAT: &str = "generating an RSA key";
        let parts = match mode {
            Mode::One if fips::is_required() => {
                return Err(KeyError::NotApproved("cryptographic mode 1"));
            }
            Mode::One => generate_short()?,
            Mode::Two => {
                let pair =
                    KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Failed(WHAT))?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Failed(WHAT))?;
                der::read_pkcs8(der.as_ref()).map_err(|_| KeyError::Failed(WHAT))?
            }
        };
        Self::from_parts(parts).map_err(|_| KeyError::Failed(WHAT))
    }

    /// Takes a key from a CAPI PRIVATEKEYBLOB, which may be followed by other bytes.
    pub fn from_private_key_blob(bytes: &[u8]) -> Result<Self, ImportError> {
        let blob = PrivateKeyBlob::parse(bytes).map_err(|error| ImportError::Malformed(error.0))?;
        Self::try_from(&blob)
    }

    /// The key as a CAPI PRIVATEKEYBLOB: the payload of the sealed keys of a RAC and a CLC.
    pub fn to_private_key_blob(&self) -> PrivateKeyBlob {
        PrivateKeyBlob::from_parts(&self.parts)
    }

    /// Takes a key from PKCS#8 DER (RFC 5208, unencrypted).
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, ImportError> {
        Self::from_parts(der::read_pkcs8(der).map_err(ImportError::Malformed)?)
    }

    /// The key as PKCS#8 DER.
    pub fn to_pkcs8_der(&self) -> Secret {
        Secret::from(&der::write_pkcs8(&self.parts)[..])
    }

    /// Takes a key from PEM with the label `PRIVATE KEY`; text around it is passed over.
    pub fn from_pem(pem: &str) -> Result<Self, ImportError> {
        let (_, after) = pem
            .split_once(PEM_BEGIN)
            .ok_or(ImportError::Malformed("no BEGIN PRIVATE KEY line"))?;
        let (body, _) = after
            .split_once(PEM_END)
            .ok_or(ImportError::Malformed("no END PRIVATE KEY line"))?;
        let body: Zeroizing<Vec<u8>> = Zeroizing::new(
            body.bytes()
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect(),
        );
        let der = STANDARD.decode(&*body).map(Zeroizing::new);
        Self::from_pkcs8_der(&der.map_err(|_| ImportError::Malformed("PEM body is not base64"))?)
    }

    /// The key as PEM with the label `PRIVATE KEY`: ASCII text with a line feed at the end.
    pub fn to_pem(&self) -> Secret {
        let body = Zeroizing::new(STANDARD.encode(self.to_pkcs8_der().expose()));
        let lines = body.len() / PEM_LINE + 1;
        let mut pem = Vec::with_capacity(PEM_BEGIN.len() + PEM_END.len() + 2 + body.len() + lines);
        pem.extend_from_slice(PEM_BEGIN.as_bytes());
        pem.push(b'\n');
        for line in body.as_bytes().chunks(PEM_LINE) {
            pem.extend_from_slice(line);
            pem.push(b'\n');
        }
        pem.extend_from_slice(PEM_END.as_bytes());
        pem.push(b'\n');
        Secret::new(pem)
    }

    /// The numbers, for a security module that takes them over.
    #[cfg(feature = "pkcs11")]
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    fn from_parts(parts: Parts) -> Result<Self, ImportError> {
        parts.check().map_err(ImportError::Inconsistent)?;
        let modulus_le: Vec<u8> = parts.modulus.iter().rev().copied().collect();
        let public =
            PublicKey::from_le(&modulus_le, parts.exponent).map_err(|error| match error {
                PublicKeyError::NotApproved { bits } => ImportError::NotApproved(bits),
                _ => ImportError::Inconsistent("the public key is out of bounds"),
            })?;
        let modern = if public.bits() < 2048 {
            None
        } else {
            Some(Modern::new(&parts).ok_or(ImportError::Inconsistent("refused by AWS-LC"))?)
        };
        #[cfg(not(feature = "legacy-mode1"))]
        if modern.is_none() {
            return Err(ImportError::Unsupported(public.bits()));
        }
        let key = Self {
            public,
            parts,
            modern,
            #[cfg(feature = "legacy-mode1")]
            legacy: OnceLock::new(),
        };
        #[cfg(feature = "legacy-mode1")]
        if key.modern.is_none() {
            key.legacy()
                .ok_or(ImportError::Inconsistent("refused by AWS-LC"))?;
        }
        Ok(key)
    }

    #[cfg(feature = "legacy-mode1")]
    fn legacy(&self) -> Option<&openrms_crypto_mode1::PrivateKey> {
        super::get_or_try_init(&self.legacy, || {
            openrms_crypto_mode1::PrivateKey::from_pkcs1_der(&der::write_pkcs1(&self.parts)).ok()
        })
    }

    /// Signatures the safe interface does not make: by short keys, and over SHA-1.
    #[cfg(feature = "legacy-mode1")]
    fn sign_legacy(&self, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        let hash = match digest.algorithm() {
            HashAlgorithm::Sha1 => openrms_crypto_mode1::Hash::Sha1,
            HashAlgorithm::Sha256 => openrms_crypto_mode1::Hash::Sha256,
        };
        let key = self.legacy().ok_or(KeyError::Failed("signing"))?;
        key.sign(hash, digest.as_bytes())
            .map_err(|_| KeyError::Failed("signing"))
    }

    #[cfg(not(feature = "legacy-mode1"))]
    #[allow(clippy::unused_self)] // The other build's signature.
    fn sign_legacy(&self, _: &Digest) -> Result<Vec<u8>, KeyError> {
        Err(KeyError::Unsupported("signing with SHA-1 or a short key"))
    }

    /// Opens PKCS#1 v1.5 in constant flow; bad padding gives a made-up secret.
    #[cfg(feature = "legacy-mode1")]
    fn open_pkcs1(&self, block: &[u8]) -> Result<Secret, KeyError> {
        let key = self.legacy().ok_or(KeyError::Failed("opening a block"))?;
        let padded = key.decrypt_raw(block).map_err(|_| KeyError::CannotOpen)?;
        super::unpad(padded)
    }

    #[cfg(not(feature = "legacy-mode1"))]
    fn open_pkcs1(&self, block: &[u8]) -> Result<Secret, KeyError> {
        let Some(modern) = &self.modern else {
            return Err(KeyError::Unsupported("opening with a short key"));
        };
        let mut plain = Zeroizing::new(vec![0; self.public.block_len()]);
        let opened = modern
            .pkcs1
            .decrypt(block, &mut plain)
            .map(|opened| Secret::from(&*opened));
        opened.map_err(|_| KeyError::CannotOpen)
    }

    fn open_oaep(&self, wrapping: Wrapping, block: &[u8]) -> Result<Secret, KeyError> {
        let algorithm = match wrapping {
            Wrapping::OaepSha256 => &OAEP_SHA256_MGF1SHA256,
            _ => &OAEP_SHA1_MGF1SHA1,
        };
        if let Some(modern) = &self.modern {
            let mut plain = Zeroizing::new(vec![0; self.public.block_len()]);
            let opened = modern.oaep.decrypt(algorithm, block, &mut plain, None);
            return opened
                .map(|opened| Secret::from(&*opened))
                .map_err(|_| KeyError::CannotOpen);
        }
        self.open_oaep_legacy(wrapping, block)
    }

    #[cfg(feature = "legacy-mode1")]
    fn open_oaep_legacy(&self, wrapping: Wrapping, block: &[u8]) -> Result<Secret, KeyError> {
        if wrapping != Wrapping::OaepSha1 {
            return Err(KeyError::CannotOpen);
        }
        let key = self.legacy().ok_or(KeyError::Failed("opening a block"))?;
        let opened = key
            .decrypt_oaep_sha1(block)
            .map_err(|_| KeyError::CannotOpen)?;
        Ok(Secret::from(&opened[..]))
    }

    #[cfg(not(feature = "legacy-mode1"))]
    #[allow(clippy::unused_self)] // The other build's signature.
    fn open_oaep_legacy(&self, _: Wrapping, _: &[u8]) -> Result<Secret, KeyError> {
        Err(KeyError::Unsupported("opening with a short key"))
    }
}

impl Modern {
    fn new(parts: &Parts) -> Option<Self> {
        let pkcs8 = der::write_pkcs8(parts);
        let key = PrivateDecryptingKey::from_pkcs8(&pkcs8).ok()?;
        Some(Self {
            signer: KeyPair::from_pkcs8(&pkcs8).ok()?,
            #[cfg(not(feature = "legacy-mode1"))]
            pkcs1: aws_lc_rs::rsa::Pkcs1PrivateDecryptingKey::new(key.clone()).ok()?,
            oaep: OaepPrivateDecryptingKey::new(key).ok()?,
        })
    }
}

impl PrivateKey for SoftwareKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        let (HashAlgorithm::Sha256, Some(modern)) = (digest.algorithm(), &self.modern) else {
            if fips::is_required() {
                return Err(KeyError::NotApproved("signing with SHA-1"));
            }
            return self.sign_legacy(digest);
        };
        let failed = KeyError::Failed("signing");
        let library = digest.algorithm().library();
        let digest = aws_lc_rs::digest::Digest::import_less_safe(digest.as_bytes(), library);
        let mut signature = vec![0; self.public.block_len()];
        modern
            .signer
            .sign_digest(
                &RSA_PKCS1_SHA256,
                &digest.map_err(|_| failed)?,
                &mut signature,
            )
            .map_err(|_| failed)?;
        Ok(signature)
    }

    fn open_block(&self, wrapping: Wrapping, block: &[u8]) -> Result<Secret, KeyError> {
        if block.len() != self.public.block_len() {
            return Err(KeyError::CannotOpen);
        }
        match wrapping {
            Wrapping::Pkcs1V15 if fips::is_required() => {
                Err(KeyError::NotApproved("PKCS#1 v1.5 encryption"))
            }
            Wrapping::Pkcs1V15 => self.open_pkcs1(block),
            Wrapping::OaepSha1 | Wrapping::OaepSha256 => self.open_oaep(wrapping, block),
        }
    }
}

impl TryFrom<&PrivateKeyBlob> for SoftwareKey {
    type Error = ImportError;

    fn try_from(blob: &PrivateKeyBlob) -> Result<Self, ImportError> {
        Self::from_parts(blob.to_parts().ok_or(ImportError::Malformed("cut short"))?)
    }
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareKey({:?})", self.public)
    }
}

/// Why bytes are not a private key we can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The form (PEM, DER or blob) could not be read; the text says where.
    #[error("not a private key: {0}")]
    Malformed(&'static str),
    /// The numbers do not belong together.
    #[error("the numbers of the private key do not fit together: {0}")]
    Inconsistent(&'static str),
    /// Too short for what this process is held to ([`fips::require`]).
    #[error("private keys of {0} bits are not approved, and FIPS is asked for")]
    NotApproved(usize),
    /// Key size the build or the product does not take.
    #[error("private keys of {0} bits are not supported by this build")]
    Unsupported(usize),
}

#[cfg(feature = "legacy-mode1")]
fn generate_short() -> Result<Parts, KeyError> {
    const FAILED: KeyError = KeyError::Failed("generating an RSA-1024 key");
    let key = openrms_crypto_mode1::PrivateKey::generate(1024).map_err(|_| FAILED)?;
    der::read_pkcs1(&key.to_pkcs1_der().map_err(|_| FAILED)?).map_err(|_| FAILED)
}

#[cfg(not(feature = "legacy-mode1"))]
fn generate_short() -> Result<Parts, KeyError> {
    Err(KeyError::Unsupported("cryptographic mode 1"))
}

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
const PEM_LINE: usize = 64;
