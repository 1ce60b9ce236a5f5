//! Cryptographic modes, sealed keys, content ciphers and key providers of rights management.
//!
//! This is the only crate of the workspace that names a cryptographic library. Everything above
//! it speaks of modes ([MS-RMPR] 3.1.4.7), sealed keys (2.2.9.1.13) and content keys, never of
//! RSA paddings or AES back ends.
//!
//! | room | what it is for |
//! | --- | --- |
//! | [`mode`] | cryptographic modes 1 and 2, their hashes, digests of text as it is signed |
//! | [`rsa`] | public keys, the [`rsa::PrivateKey`] trait, keys in memory |
//! | [`provider`] | where private keys live: handles in, signatures out |
//! | `pkcs11` | keys in a security module, with the feature of that name |
//! | [`sealed_key`] | the raw bytes of ENABLINGBITS |
//! | [`content`] | ECB, CBC4K and CBC512 over content of any length |
//! | [`erd`] | the cipher of the Encrypted Rights Data |
//! | [`envelope`] | small secrets at rest under a 32-byte key |
//! | [`package`] | a security processor's key on its way to its machine |
//! | [`mac`] | keyed checksums |
//! | [`stream`] | long ones, chunk by chunk |
//! | [`password`] | stored passwords |
//! | [`fips`] | the validated module, and being held to it |
//! | [`random`] | the system's random numbers |

pub mod content;
pub mod envelope;
pub mod erd;
pub mod fips;
pub mod mac;
pub mod mode;
pub mod package;
pub mod password;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub mod provider;
pub mod random;
pub mod rsa;
pub mod sealed_key;
pub mod secret;
pub mod stream;

mod aes_ecb;
mod pbkdf2;

pub use content::{Cipher, ContentKey};
pub use mode::{Digest, HashAlgorithm, Mode, Sha256, sha256};
pub use provider::{KeyHandle, KeyProvider, SoftwareProvider};
pub use rsa::{PrivateKey, PublicKey, SoftwareKey, Wrapping};
pub use sealed_key::SealedKeyVersion;
pub use secret::Secret;
