//! A private key that stays in its module.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::handle::Handle;
use super::token::{Outcome, Token};
use super::{NUMBERS, private_half, public_key};
use crate::mode::{Digest, HashAlgorithm};
use crate::provider::ProviderError;
use crate::rsa::{KeyError, PrivateKey, PublicKey, Wrapping, unpad};
use crate::secret::Secret;

/// A key of a token.
pub(super) struct ModuleKey {
    token: Arc<Token>,
    handle: Handle,
    public: PublicKey,
    /// The module's own handle, and the start of the token that it is of.
    object: Mutex<(u64, ObjectHandle)>,
}

impl ModuleKey {
    pub(super) fn find(token: &Arc<Token>, handle: &Handle) -> Result<Self, ProviderError> {
        let generation = token.generation();
        let (object, numbers) = token
            .with(|session| {
                let Some(object) = only(session, handle)? else {
                    return Ok(None);
                };
                let numbers = session.get_attributes(object, &NUMBERS)?;
                Ok(Some((object, numbers)))
            })?
            .ok_or(ProviderError::UnknownHandle)?;
        let public = public_key(&numbers)
            .ok_or_else(|| ProviderError::Device("the key is no RSA key in use here".into()))?;
        Ok(Self {
            token: Arc::clone(token),
            handle: handle.clone(),
            public,
            object: Mutex::new((generation, object)),
        })
    }

    fn with<T>(&self, work: impl Fn(&Session, ObjectHandle) -> Outcome<T>) -> Outcome<T> {
        self.token
            .try_with(|session| work(session, self.object(session)?))
    }

    /// The object, looked up anew after the token started anew.
    fn object(&self, session: &Session) -> Outcome<ObjectHandle> {
        let generation = self.token.generation();
        let mut known = self.object.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != generation {
            let gone = Error::InvalidValue;
            *known = (generation, only(session, &self.handle)?.ok_or(gone)?);
        }
        Ok(known.1)
    }
}

impl PrivateKey for ModuleKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        let prefix: &[u8] = match digest.algorithm() {
            HashAlgorithm::Sha1 => &SHA1_DIGEST_INFO,
            HashAlgorithm::Sha256 => &SHA256_DIGEST_INFO,
        };
        let info = [prefix, digest.as_bytes()].concat();
        let signed = self.with(|session, key| session.sign(&Mechanism::RsaPkcs, key, &info));
        signed
            .ok()
            .filter(|signature| signature.len() == self.public.block_len())
            .ok_or(KeyError::Failed("signing in the security module"))
    }

    fn open_block(&self, wrapping: Wrapping, block: &[u8]) -> Result<Secret, KeyError> {
        if block.len() != self.public.block_len() {
            return Err(KeyError::CannotOpen);
        }
        match wrapping {
            // The padding is taken off here, in constant flow: modules differ in what an error,
            // or the time until it comes, tells about a block.
            Wrapping::Pkcs1V15 => {
                let raw = self.decrypt(&Mechanism::RsaX509, block)?;
                unpad(raw)
            }
            Wrapping::OaepSha1 => {
                let parameters = PkcsOaepParams::new(
                    MechanismType::SHA1,
                    PkcsMgfType::MGF1_SHA1,
                    PkcsOaepSource::empty(),
                );
                let opened = self.decrypt(&Mechanism::RsaPkcsOaep(parameters), block)?;
                Ok(Secret::from(&opened[..]))
            }
            Wrapping::OaepSha256 => {
                let parameters = PkcsOaepParams::new(
                    MechanismType::SHA256,
                    PkcsMgfType::MGF1_SHA256,
                    PkcsOaepSource::empty(),
                );
                let opened = self.decrypt(&Mechanism::RsaPkcsOaep(parameters), block)?;
                Ok(Secret::from(&opened[..]))
            }
        }
    }
}

impl ModuleKey {
    fn decrypt(
        &self,
        mechanism: &Mechanism<'_>,
        block: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let opened = self.with(
            |session, key| match session.decrypt(mechanism, key, block) {
                Ok(opened) => Ok(Some(Zeroizing::new(opened))),
                // A general error is what modules answer to bad padding as well; a session that still
                // lives shows that it was the block.
                Err(error) if is_about_block(&error) && session.get_session_info().is_ok() => {
                    Ok(None)
                }
                Err(error) => Err(error),
            },
        );
        match opened {
            Ok(Some(opened)) => Ok(opened),
            Ok(None) => Err(KeyError::CannotOpen),
            Err(_) => Err(KeyError::Failed("opening a block in the security module")),
        }
    }
}

impl fmt::Debug for ModuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleKey({:?}, {:?})", self.token, self.public)
    }
}

/// The private half of a key, which must be one.
fn only(session: &Session, handle: &Handle) -> Outcome<Option<ObjectHandle>> {
    match session.find_objects(&private_half(handle))?[..] {
        [] => Ok(None),
        [object] => Ok(Some(object)),
        _ => Err(Error::InvalidValue),
    }
}

fn is_about_block(error: &Error) -> bool {
    use RvError as E;
    matches!(
        error,
        Error::Pkcs11(
            E::EncryptedDataInvalid
                | E::EncryptedDataLenRange
                | E::DataInvalid
                | E::DataLenRange
                | E::ArgumentsBad
                | E::MechanismInvalid
                | E::MechanismParamInvalid
                | E::FunctionFailed
                | E::GeneralError,
            _
        )
    )
}

/// `DigestInfo` up to the digest (RFC 8017 9.2, note 1).
const SHA1_DIGEST_INFO: [u8; 15] = [
    0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2B, 0x0E, 0x03, 0x02, 0x1A, 0x05, 0x00, 0x04, 0x14,
];
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];
