//! Where private keys live. A provider answers to handles and never gives raw key bytes away,
//! so that a security module fits behind the same trait as keys in memory.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::envelope;
use crate::mode::Mode;
use crate::rsa::{ImportError, KeyError, PrivateKey, SoftwareKey};
use crate::secret::Secret;

/// Makes and finds private keys.
pub trait KeyProvider: Send + Sync + fmt::Debug {
    /// A short name for status pages and logs: `software`, `pkcs11`.
    fn name(&self) -> &'static str;

    /// Makes a key of the mode's size. The handle is what callers store.
    fn generate(&self, mode: Mode) -> Result<(KeyHandle, Arc<dyn PrivateKey>), ProviderError>;

    /// Finds a key made or imported before.
    fn load(&self, handle: &KeyHandle) -> Result<Arc<dyn PrivateKey>, ProviderError>;

    /// Takes over a key made elsewhere (an imported trusted publishing domain). Providers that
    /// only hold keys they made answer [`ProviderError::Unsupported`].
    fn import(&self, key: SoftwareKey) -> Result<(KeyHandle, Arc<dyn PrivateKey>), ProviderError>;

    /// Destroys a key, as far as the provider holds it.
    fn delete(&self, handle: &KeyHandle) -> Result<(), ProviderError>;
}

/// Names one key of one provider. Storable text or bytes; secret for the software provider,
/// whose handles are sealed keys, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHandle(Secret);

impl KeyHandle {
    /// Takes a handle out of storage.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Secret::new(bytes))
    }

    /// The handle's bytes for storage.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.expose()
    }
}

impl fmt::Debug for KeyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHandle({} bytes)", self.0.len())
    }
}

/// Keys in this process's memory. A handle is the key itself, encrypted under the provider's
/// key-encryption key: nothing else needs storing, and without that key a handle is worthless.
pub struct SoftwareProvider {
    kek: Zeroizing<[u8; 32]>,
}

impl SoftwareProvider {
    /// A provider whose handles are sealed under `kek`.
    pub fn new(kek: &[u8; 32]) -> Self {
        Self {
            kek: Zeroizing::new(*kek),
        }
    }
}

impl KeyProvider for SoftwareProvider {
    fn name(&self) -> &'static str {
        "software"
    }

    fn generate(&self, mode: Mode) -> Result<(KeyHandle, Arc<dyn PrivateKey>), ProviderError> {
        self.import(SoftwareKey::generate(mode)?)
    }

    fn load(&self, handle: &KeyHandle) -> Result<Arc<dyn PrivateKey>, ProviderError> {
        let blob = envelope::open(&self.kek, HANDLE_CONTEXT, handle.as_bytes())
            .map_err(|_| ProviderError::UnknownHandle)?;
        let key =
            SoftwareKey::from_private_key_blob(blob.expose()).map_err(|error| match error {
                ImportError::NotApproved(_) => KeyError::NotApproved("a key this short").into(),
                _ => ProviderError::UnknownHandle,
            })?;
        Ok(Arc::new(key))
    }

    fn import(&self, key: SoftwareKey) -> Result<(KeyHandle, Arc<dyn PrivateKey>), ProviderError> {
        let blob = key.to_private_key_blob();
        let handle = envelope::seal(&self.kek, HANDLE_CONTEXT, blob.expose())
            .map_err(|error| ProviderError::Device(error.to_string()))?;
        Ok((KeyHandle::new(handle), Arc::new(key)))
    }

    fn delete(&self, _: &KeyHandle) -> Result<(), ProviderError> {
        // The handle is the key: forgetting it is deleting it.
        Ok(())
    }
}

impl fmt::Debug for SoftwareProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoftwareProvider")
    }
}

/// What went wrong with a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The handle names no key of this provider (or was sealed under another key).
    #[error("the key handle names no key of this provider")]
    UnknownHandle,
    /// The provider cannot do the operation named.
    #[error("{0} is not supported by this key provider")]
    Unsupported(&'static str),
    /// The device behind the provider failed; the text is the device's.
    #[error("the key provider failed: {0}")]
    Device(String),
    /// Making or using the key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Keeps handles apart from other envelopes under the same key.
const HANDLE_CONTEXT: &[u8] = b"openrms software key handle 1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mode::Digest;

    #[test]
    fn a_handle_finds_its_key_again_and_only_under_the_same_kek() {
        let provider = SoftwareProvider::new(&[1; 32]);
        let (handle, key) = provider.generate(Mode::Two).unwrap();
        let again = provider
            .load(&KeyHandle::new(handle.as_bytes().to_vec()))
            .unwrap();
        let digest = Digest::of(Mode::Two.hash(), b"text");
        assert_eq!(again.public(), key.public());
        key.public()
            .verify(&digest, &again.sign(&digest).unwrap())
            .unwrap();

        let other = SoftwareProvider::new(&[2; 32]);
        assert_eq!(
            other.load(&handle).unwrap_err(),
            ProviderError::UnknownHandle
        );
        assert_eq!(format!("{handle:?}").matches("bytes").count(), 1);
    }
}
