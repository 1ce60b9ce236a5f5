//! The secret that the lockbox is encrypted under, at rest: as it is, or in an envelope that opens
//! with a passphrase (argon2id, or PBKDF2 under FIPS; AES-256-GCM).

use openrms_crypto::envelope::{self, EnvelopeError, PasswordKey};
use openrms_crypto::{Secret, random, sha256};
use openrms_xrml::values::{decode_base64, encode_base64};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::keyring::SecretCache;
use crate::lockbox::{LockboxError, Protection};
use crate::storage::{Home, Lock, StorageError};
use crate::system;

/// Where the passphrase of a lockbox comes from: a prompt, a credential of the service manager.
pub trait LockboxSecretSource: Send + Sync {
    /// The passphrase of the lockbox whose key has that fingerprint; `None` when there is nobody
    /// to ask. Asked only when the kernel's keyring does not hold the unlocked secret.
    fn passphrase(&self, fingerprint: &str) -> Option<Secret>;

    /// A passphrase for a lockbox that is being made; `None` makes one without.
    fn new_passphrase(&self) -> Option<Secret> {
        None
    }
}

/// Nobody to ask: a lockbox with a passphrase opens only while the keyring holds its secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPassphrase;

impl LockboxSecretSource for NoPassphrase {
    fn passphrase(&self, _: &str) -> Option<Secret> {
        None
    }
}

/// Who may be asked for the passphrase, and where the unlocked secret waits meanwhile.
#[derive(Clone, Copy)]
pub struct Unlock<'a> {
    /// Knows the passphrase.
    pub source: &'a dyn LockboxSecretSource,
    /// Holds the unlocked secret.
    pub cache: &'a dyn SecretCache,
}

/// The secret, unlocked.
#[derive(Clone)]
pub(crate) struct LockboxSecret(Zeroizing<[u8; LENGTH]>);

/// The secret as it lies in its file.
pub(crate) enum AtRest {
    Plain(LockboxSecret),
    Sealed(Sealed),
}

/// The secret in an envelope.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Sealed {
    version: u32,
    /// Of the security processor's key: tells a person what is asked for, and names the entry in
    /// the keyring. Nothing is believed for its sake.
    pub(crate) fingerprint: String,
    /// [`PasswordKey`] in its stored form. The name is older than its other derivation.
    argon2id: String,
    envelope: String,
}

impl LockboxSecret {
    pub(crate) fn generate() -> Result<Self, LockboxError> {
        let mut secret = Zeroizing::new([0; LENGTH]);
        random::fill(&mut *secret).map_err(|e| LockboxError::Generate(e.to_string()))?;
        Ok(Self(secret))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &*self.0
    }

    /// Names the secret without telling it.
    pub(crate) fn name(&self) -> String {
        let text = Zeroizing::new([b"openrms lockbox secret 1".as_slice(), &*self.0].concat());
        encode_base64(sha256(&text).get(..12).unwrap_or_default())
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        Some(Self(Zeroizing::new(*bytes)))
    }

    /// Puts it into an envelope.
    pub(crate) fn seal(
        &self,
        passphrase: &Secret,
        fingerprint: String,
    ) -> Result<Sealed, LockboxError> {
        if passphrase.is_empty() {
            return Err(LockboxError::PassphraseEmpty);
        }
        let failed = |error: EnvelopeError| LockboxError::Generate(error.to_string());
        let cost = PasswordKey::fresh().map_err(failed)?;
        let key = cost.derive(passphrase.expose()).map_err(failed)?;
        let sealed = envelope::seal(&key, CONTEXT, &*self.0).map_err(failed)?;
        Ok(Sealed {
            version: VERSION,
            fingerprint,
            argon2id: encode_base64(&cost.to_bytes()),
            envelope: encode_base64(&sealed),
        })
    }
}

impl std::fmt::Debug for LockboxSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockboxSecret")
    }
}

impl std::fmt::Debug for Unlock<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unlock")
    }
}

impl AtRest {
    /// Reads the file; `None` when there is none.
    pub(crate) fn read(home: &Home) -> Result<Option<Self>, LockboxError> {
        let Some(stored) = home.read(FILE)? else {
            return Ok(None);
        };
        let bytes = system::unbind_from_account(stored).map_err(|_| LockboxError::OtherMachine)?;
        let bytes = Zeroizing::new(bytes);
        if let Some(secret) = LockboxSecret::of(&bytes) {
            return Ok(Some(Self::Plain(secret)));
        }
        let sealed = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| toml::from_str::<Sealed>(text).ok())
            .filter(|sealed| sealed.version == VERSION);
        match sealed {
            Some(sealed) => Ok(Some(Self::Sealed(sealed))),
            None => Err(damaged("its secret cannot be read")),
        }
    }

    /// Writes the file. One rename: a process that is killed leaves the old form or the new one.
    pub(crate) fn write(&self, lock: &Lock<'_>) -> Result<(), StorageError> {
        let path = || lock.home().at(FILE);
        let bytes = match self {
            Self::Plain(secret) => Zeroizing::new(secret.expose().to_vec()),
            Self::Sealed(sealed) => {
                let text = toml::to_string(sealed).map_err(|error| StorageError::Settings {
                    path: path(),
                    reason: error.to_string(),
                })?;
                Zeroizing::new(text.into_bytes())
            }
        };
        let bound = system::bind_to_account(&bytes).map_err(|source| StorageError::Io {
            path: path(),
            source,
        })?;
        lock.write(FILE, &Zeroizing::new(bound))
    }

    /// The secret of that name, unlocked.
    pub(crate) fn unlock(
        &self,
        name: &str,
        unlock: &Unlock<'_>,
    ) -> Result<(LockboxSecret, Protection), LockboxError> {
        let sealed = match self {
            Self::Plain(secret) if secret.name() == name => {
                return Ok((secret.clone(), system::WITHOUT_PASSPHRASE));
            }
            Self::Plain(_) => return Err(LockboxError::SecretMissing),
            Self::Sealed(sealed) => sealed,
        };
        let entry = entry(&sealed.fingerprint);
        if let Some(cached) = unlock.cache.get(&entry) {
            let cached = LockboxSecret::of(cached.expose());
            if let Some(secret) = cached.filter(|secret| secret.name() == name) {
                let protection = Protection::Passphrase {
                    cached_in_keyring: true,
                };
                return Ok((secret, protection));
            }
        }
        let passphrase = unlock
            .source
            .passphrase(&sealed.fingerprint)
            .ok_or(LockboxError::PassphraseNeeded)?;
        let secret = sealed.open(&passphrase)?;
        if secret.name() != name {
            return Err(LockboxError::SecretMissing);
        }
        let cached_in_keyring = secret.remember(&sealed.fingerprint, unlock.cache);
        Ok((secret, Protection::Passphrase { cached_in_keyring }))
    }
}

impl LockboxSecret {
    /// Lets it wait in the keyring; whether it does.
    pub(crate) fn remember(&self, fingerprint: &str, cache: &dyn SecretCache) -> bool {
        cache.put(&entry(fingerprint), &Secret::from(self.expose()), SECONDS)
    }
}

impl Sealed {
    fn open(&self, passphrase: &Secret) -> Result<LockboxSecret, LockboxError> {
        let bytes = |text: &str| decode_base64(text).map_err(|_| damaged("not base64"));
        let broken = |error: EnvelopeError| damaged(&error.to_string());
        let cost = PasswordKey::from_bytes(&bytes(&self.argon2id)?).map_err(broken)?;
        let key = cost.derive(passphrase.expose()).map_err(broken)?;
        let secret =
            envelope::open(&key, CONTEXT, &bytes(&self.envelope)?).map_err(
                |error| match error {
                    EnvelopeError::CannotOpen => LockboxError::WrongPassphrase,
                    other => broken(other),
                },
            )?;
        LockboxSecret::of(secret.expose()).ok_or_else(|| damaged("its secret is too short"))
    }
}

/// Takes the secret away.
pub(crate) fn discard(lock: &Lock<'_>) -> Result<(), StorageError> {
    lock.remove(FILE)
}

/// Takes a secret out of the keyring.
pub(crate) fn forget(fingerprint: &str, cache: &dyn SecretCache) {
    cache.forget(&entry(fingerprint));
}

/// Name of a lockbox's entry in the keyring.
fn entry(fingerprint: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric();
    let fingerprint: String = fingerprint.chars().filter(fits).take(64).collect();
    format!("openrms:lockbox:{fingerprint}")
}

fn damaged(what: &str) -> LockboxError {
    LockboxError::Damaged(what.to_owned())
}

const FILE: &str = "lockbox.secret";
const LENGTH: usize = 32;
const VERSION: u32 = 1;
const CONTEXT: &[u8] = b"openrms lockbox passphrase 1";
/// How long the kernel's keyring holds an unlocked secret: a working day.
const SECONDS: u32 = 8 * 3600;
