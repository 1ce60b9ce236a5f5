//! Key pairs at rest. What seals them is not known here.

use std::fmt;

/// Bytes that only their sealer can read. Not shown by `Debug` all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBytes(Vec<u8>);

impl SealedBytes {
    /// Takes bytes that are sealed already.
    pub fn new(sealed: Vec<u8>) -> Self {
        Self(sealed)
    }

    /// The sealed bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedBytes({} bytes)", self.0.len())
    }
}

/// A key pair of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The private key, sealed.
    pub sealed: SealedBytes,
    /// The modulus of the public key, little-endian.
    pub public_modulus: Vec<u8>,
    /// Which key sealed it; the product's `i_EncryptionDbId`.
    pub sealed_by: String,
    /// When it was made, in seconds since 1970 UTC.
    pub created: i64,
}

/// What the trust anchor of a hierarchy holds for one of its roles: root, enrollment, SPC issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityRole {
    /// The name of the role.
    pub role: String,
    /// The private key, sealed.
    pub sealed_private_key: SealedBytes,
    /// The certificate chain of the role, leaf first, concatenated.
    pub certificate: String,
    /// When it was made, in seconds since 1970 UTC.
    pub created: i64,
}
