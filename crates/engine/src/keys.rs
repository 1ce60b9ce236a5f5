//! Key pairs of accounts: made ahead of time, sealed at rest (MS-RMPR 3.1.1.3.4, 3.1.1.3.5).

use std::fmt;

use openrms_crypto::rsa::{KeyError, PrivateKeyBlob};
use openrms_crypto::{Mode, PublicKey, SoftwareKey, envelope};
use openrms_store::{SealedBytes, StoredKey};
use openrms_xrml::Time;
use zeroize::Zeroizing;

/// Where new key pairs come from; a server keeps some in stock, as making one takes tens of
/// milliseconds.
pub trait KeySource: Send + Sync {
    /// A new key pair of the mode's size.
    fn take(&self, mode: Mode) -> Result<SoftwareKey, KeyError>;
}

/// Makes each key pair when it is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct FreshKeys;

/// Seals the private keys of accounts for storage.
#[derive(Clone)]
pub struct KeyVault {
    key: Zeroizing<[u8; 32]>,
}

/// A stored key that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored key of the account does not open")]
pub struct CannotOpen;

impl KeySource for FreshKeys {
    fn take(&self, mode: Mode) -> Result<SoftwareKey, KeyError> {
        SoftwareKey::generate(mode)
    }
}

impl KeyVault {
    /// A vault under a key derived from the cluster's master key.
    pub fn new(master: &[u8; 32]) -> Result<Self, KeyError> {
        envelope::derive(master, b"", b"openrms keys of accounts 1")
            .map(|key| Self { key })
            .map_err(|_| KeyError::Failed("deriving the key of the vault"))
    }

    /// Seals a key pair; `account` must be given again to open it.
    pub fn seal(&self, account: &str, key: &SoftwareKey, at: Time) -> Result<StoredKey, KeyError> {
        let blob = key.to_private_key_blob();
        let sealed = envelope::seal(&self.key, account.as_bytes(), blob.expose())
            .map_err(|_| KeyError::Failed("sealing an account's key"))?;
        Ok(StoredKey {
            sealed: SealedBytes::new(sealed),
            public_modulus: openrms_crypto::PrivateKey::public(key)
                .modulus_le()
                .to_vec(),
            sealed_by: "cluster".into(),
            created: at.unix(),
        })
    }

    /// Opens a key pair: its public half, and the blob that goes into a certificate.
    pub fn open(
        &self,
        account: &str,
        stored: &StoredKey,
    ) -> Result<(PublicKey, PrivateKeyBlob), CannotOpen> {
        let blob = envelope::open(&self.key, account.as_bytes(), stored.sealed.as_slice())
            .map_err(|_| CannotOpen)?;
        let key = SoftwareKey::from_private_key_blob(blob.expose()).map_err(|_| CannotOpen)?;
        let public = openrms_crypto::PrivateKey::public(&key).clone();
        Ok((public, key.to_private_key_blob()))
    }
}

impl fmt::Debug for KeyVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyVault")
    }
}
