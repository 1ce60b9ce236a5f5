//! The security processor's private key at rest.
//!
//! It is encrypted under a key derived from a random secret and from what identifies person and
//! machine, so that a copy of the folder does not work elsewhere. Three things can protect that
//! secret, and [`Protection`] says which does:
//!
//! - the modes of the files alone (0600 in a 0700 folder): the default on Linux. Whoever can run as this
//!   person, or is root, or reads the disk, can open the lockbox;
//! - on Windows, the account's key of the Data Protection API, the default there: a disk or a copy
//!   is of no use to another account. Whoever can run as this person, and administrators, can open
//!   the lockbox;
//! - a passphrase, on Windows in addition to that: a disk or a backup alone is of no use then. The
//!   unlocked secret waits in the kernel's keyring, where there is one, for some hours; there
//!   programs of the same person, and root, can get at it.
//!
//! No TPM is used: the crates that talk to one link a C library, or only marshal commands. A
//! passphrase that the service manager decrypts (systemd credentials) can be bound to a TPM.

use std::fmt;

use openrms_crypto::envelope::{self, EnvelopeError};
use openrms_crypto::{Mode, PrivateKey as _, Secret, SoftwareKey, random};
use openrms_protocol::level::Activation;
use openrms_xrml::values::{decode_base64, encode_base64};
use openrms_xrml::{Guid, Time};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Class, Coded};
use crate::lockbox_secret::{self, AtRest, LockboxSecret, Unlock};
use crate::machine::MachineIdentity;
use crate::storage::{Home, Lock, StorageError};
use crate::system;

/// The security processor's key, opened.
#[derive(Debug)]
pub struct Lockbox {
    key: SoftwareKey,
    machine: Guid,
    mode: Mode,
    created: Time,
    activation: Activation,
    secret: LockboxSecret,
    protection: Protection,
}

/// A key that is yet to be kept.
pub(crate) struct NewKey {
    key: SoftwareKey,
    mode: Mode,
    activation: Activation,
}

/// What keeps a lockbox from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protection {
    /// File permissions alone: anyone who can read the person's files, and root, can open it.
    FileOnly,
    /// The account's own key, which the Data Protection API of Windows holds: anyone who can run as
    /// the person, and administrators of the machine, can open it.
    Account,
    /// A passphrase.
    Passphrase {
        /// Whether the kernel's keyring holds the unlocked secret now; then nobody is asked.
        cached_in_keyring: bool,
    },
}

/// A lockbox that was looked at without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) fingerprint: String,
    pub(crate) mode: u8,
    pub(crate) created: Time,
}

impl Protection {
    /// Stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::FileOnly => "file-only",
            Self::Account => "account",
            Self::Passphrase {
                cached_in_keyring: true,
            } => "passphrase-in-keyring",
            Self::Passphrase {
                cached_in_keyring: false,
            } => "passphrase",
        }
    }
}

impl fmt::Display for Protection {
    /// In words, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileOnly => {
                "file permissions only, no passphrase, no TPM: whoever can read your files can \
                 open it"
            }
            Self::Account => "the account's own key (DPAPI), no passphrase, no TPM",
            Self::Passphrase {
                cached_in_keyring: true,
            } => {
                "passphrase, no TPM; unlocked: the kernel's keyring holds its secret, for 8 hours \
                 at most"
            }
            Self::Passphrase {
                cached_in_keyring: false,
            } => {
                "passphrase, no TPM; locked: the kernel's keyring does not hold its secret, so the \
                 passphrase is asked for"
            }
        })
    }
}

/// Why a lockbox does not open.
#[derive(Debug, thiserror::Error)]
pub enum LockboxError {
    /// It was made on another machine or by another person.
    #[error("the lockbox was made on another machine or by another user")]
    OtherMachine,
    /// The secret beside it belongs to another lockbox, or is gone.
    #[error("the lockbox's secret is missing or belongs to another lockbox")]
    SecretMissing,
    /// Nobody is there to give the passphrase.
    #[error("the lockbox is locked, and nobody gave its passphrase")]
    PassphraseNeeded,
    /// The passphrase is another one.
    #[error("that is not the lockbox's passphrase")]
    WrongPassphrase,
    /// A passphrase of no characters protects nothing.
    #[error("an empty passphrase protects nothing")]
    PassphraseEmpty,
    /// It cannot be read.
    #[error("the lockbox is damaged: {0}")]
    Damaged(String),
    /// Making a key failed.
    #[error("the security processor's key could not be made: {0}")]
    Generate(String),
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Coded for LockboxError {
    fn code(&self) -> &'static str {
        match self {
            Self::OtherMachine => "lockbox-other-machine",
            Self::SecretMissing => "lockbox-secret-missing",
            Self::PassphraseNeeded => "lockbox-locked",
            Self::WrongPassphrase => "lockbox-passphrase-wrong",
            Self::PassphraseEmpty => "lockbox-passphrase-empty",
            Self::Damaged(_) => "lockbox-damaged",
            Self::Generate(_) => "lockbox-key-generation-failed",
            Self::Storage(error) => error.code(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::OtherMachine | Self::SecretMissing => Class::NotTrusted,
            Self::PassphraseNeeded | Self::WrongPassphrase => Class::Denied,
            Self::PassphraseEmpty => Class::Usage,
            Self::Damaged(_) => Class::Malformed,
            Self::Generate(_) => Class::Failed,
            Self::Storage(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::OtherMachine => Some(
                "a lockbox cannot be moved: rms activate --replace makes one for this machine. \
                 Where several machines share this folder, store_per_computer in their settings \
                 keeps theirs apart"
                    .into(),
            ),
            Self::SecretMissing | Self::Damaged(_) => Some(
                "rms activate --replace makes another one; account certificates are acquired anew"
                    .into(),
            ),
            Self::PassphraseNeeded => {
                Some("type it on a terminal, or set RMS_LOCKBOX_PASSPHRASE".into())
            }
            Self::WrongPassphrase => Some(
                "a forgotten passphrase cannot be recovered: rms activate --replace makes another \
                 lockbox; account certificates are acquired anew"
                    .into(),
            ),
            Self::PassphraseEmpty | Self::Generate(_) => None,
            Self::Storage(error) => error.hint(),
        }
    }
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    mode: u8,
    machine: String,
    created: i64,
    /// Names the secret it belongs to, without telling it.
    secret: String,
    /// Names person and machine, without telling them.
    identity: String,
    sealed: String,
    /// Whether the key came over the network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    network: bool,
}

impl NewKey {
    /// One that is made here.
    pub(crate) fn make(mode: Mode) -> Result<Self, LockboxError> {
        let key = SoftwareKey::generate(mode);
        Ok(Self {
            key: key.map_err(|error| LockboxError::Generate(error.to_string()))?,
            mode,
            activation: Activation::Own,
        })
    }

    /// One that an activation service has made.
    pub(crate) fn of_network(key: SoftwareKey, mode: Mode) -> Self {
        Self {
            key,
            mode,
            activation: Activation::Network,
        }
    }
}

impl Lockbox {
    /// Opens the lockbox; `None` when there is none. One with a passphrase opens with what the
    /// keyring holds, else by asking.
    pub fn open(
        home: &Home,
        machine: &MachineIdentity,
        unlock: &Unlock<'_>,
    ) -> Result<Option<Self>, LockboxError> {
        let Some(stored) = Stored::read(home)? else {
            return Ok(None);
        };
        let mode = Mode::from_number(stored.mode.into()).ok_or_else(|| damaged("unknown mode"))?;
        let at_rest = AtRest::read(home)?.ok_or(LockboxError::SecretMissing)?;
        let (secret, protection) = at_rest.unlock(&stored.secret, unlock)?;
        if stored.identity != identity_mark(&secret, machine)? {
            return Err(LockboxError::OtherMachine);
        }
        let sealed = decode_base64(&stored.sealed).map_err(|_| damaged("not base64"))?;
        let kek = wrapping_key(&secret, machine)?;
        let blob =
            envelope::open(&kek, CONTEXT, &sealed).map_err(|error| damaged(&error.to_string()))?;
        let key = SoftwareKey::from_private_key_blob(blob.expose())
            .map_err(|error| damaged(&error.to_string()))?;
        let machine = stored
            .machine
            .parse()
            .map_err(|_| damaged("no machine identifier"))?;
        Ok(Some(Self {
            key,
            machine,
            mode,
            created: Time::from_unix(stored.created),
            activation: stored.activation(),
            secret,
            protection,
        }))
    }

    /// Makes a key and stores it, under a passphrase where one is given; takes the place of a
    /// lockbox that is there.
    pub fn create(
        lock: &Lock<'_>,
        machine: &MachineIdentity,
        mode: Mode,
        now: Time,
        passphrase: Option<&Secret>,
    ) -> Result<Self, LockboxError> {
        Self::keep(lock, machine, NewKey::make(mode)?, now, passphrase)
    }

    /// Stores a key, under a passphrase where one is given; takes the place of a lockbox that is
    /// there.
    pub(crate) fn keep(
        lock: &Lock<'_>,
        machine: &MachineIdentity,
        new: NewKey,
        now: Time,
        passphrase: Option<&Secret>,
    ) -> Result<Self, LockboxError> {
        let secret = LockboxSecret::generate()?;
        let at_rest = at_rest(&secret, passphrase, &new.key)?;
        Self::store(lock, machine, new, now, secret, &at_rest)
    }

    /// Stores another key under the same secret, which stays protected as it is.
    pub(crate) fn replace(
        &self,
        lock: &Lock<'_>,
        machine: &MachineIdentity,
        new: NewKey,
        now: Time,
    ) -> Result<Self, LockboxError> {
        let at_rest = match AtRest::read(lock.home())? {
            Some(AtRest::Sealed(mut sealed)) => {
                sealed.fingerprint = new.key.public().fingerprint_hex();
                AtRest::Sealed(sealed)
            }
            _ => AtRest::Plain(self.secret.clone()),
        };
        Self::store(lock, machine, new, now, self.secret.clone(), &at_rest)
    }

    /// How the stored one came to its key; `None` when there is none. It is not opened.
    pub(crate) fn activation_of(home: &Home) -> Result<Option<Activation>, LockboxError> {
        Ok(Stored::read(home)?.map(|stored| stored.activation()))
    }

    /// Protects the secret by another passphrase, or by none, from now on. Copies of the folder
    /// that were made before keep the protection they had.
    pub(crate) fn protect(
        &self,
        lock: &Lock<'_>,
        passphrase: Option<&Secret>,
    ) -> Result<(), LockboxError> {
        // Another process may have made another lockbox meanwhile; its secret must stay.
        let stored = Stored::read(lock.home())?.ok_or(LockboxError::SecretMissing)?;
        if stored.secret != self.secret.name() {
            return Err(LockboxError::SecretMissing);
        }
        Ok(at_rest(&self.secret, passphrase, &self.key)?.write(lock)?)
    }

    /// Lets the secret wait in the keyring, so that nobody is asked; whether it does.
    pub(crate) fn remember(&self, cache: &dyn crate::keyring::SecretCache) -> bool {
        self.secret.remember(&self.fingerprint(), cache)
    }

    /// What can be told of a lockbox that does not open for want of its passphrase.
    pub(crate) fn look(home: &Home) -> Result<Option<Closed>, LockboxError> {
        let (Some(stored), Some(AtRest::Sealed(sealed))) =
            (Stored::read(home)?, AtRest::read(home)?)
        else {
            return Ok(None);
        };
        Ok(Some(Closed {
            fingerprint: sealed.fingerprint,
            mode: stored.mode,
            created: Time::from_unix(stored.created),
        }))
    }

    /// Takes it away, whoever it was made for. What was sealed to it is of no use any more.
    pub(crate) fn discard(lock: &Lock<'_>) -> Result<(), LockboxError> {
        lock.remove(FILE)?;
        lockbox_secret::discard(lock)?;
        Ok(())
    }

    /// What tells one stored lockbox from another.
    pub(crate) fn stamp(home: &Home) -> Result<Option<String>, LockboxError> {
        Ok(home.read_text(FILE)?)
    }

    fn store(
        lock: &Lock<'_>,
        machine: &MachineIdentity,
        new: NewKey,
        now: Time,
        secret: LockboxSecret,
        at_rest: &AtRest,
    ) -> Result<Self, LockboxError> {
        let NewKey {
            key,
            mode,
            activation,
        } = new;
        let failed = |error: String| LockboxError::Generate(error);
        let guid = random::guid_bytes().map_err(|e| failed(e.to_string()))?;
        let guid = Guid::from_random(guid);
        let kek = wrapping_key(&secret, machine)?;
        let blob = key.to_private_key_blob();
        let sealed = envelope::seal(&kek, CONTEXT, blob.expose()).map_err(sealing)?;
        let stored = Stored {
            version: VERSION,
            mode: mode.number(),
            machine: guid.to_string(),
            created: now.unix(),
            secret: secret.name(),
            identity: identity_mark(&secret, machine)?,
            sealed: encode_base64(&sealed),
            network: activation == Activation::Network,
        };
        let text = toml::to_string(&stored).map_err(|e| failed(e.to_string()))?;
        // A secret alone opens nothing and is replaced by the next attempt; so it goes first, and
        // an old lockbox, which it would not open, goes before it.
        lock.remove(FILE)?;
        at_rest.write(lock)?;
        lock.write(FILE, text.as_bytes())?;
        let protection = match at_rest {
            AtRest::Plain(_) => system::WITHOUT_PASSPHRASE,
            AtRest::Sealed(_) => Protection::Passphrase {
                cached_in_keyring: false,
            },
        };
        Ok(Self {
            key,
            machine: guid,
            mode,
            created: now,
            activation,
            secret,
            protection,
        })
    }

    /// The security processor's key.
    pub fn key(&self) -> &SoftwareKey {
        &self.key
    }

    /// Identifier of the machine, random, as it stands in the SPC.
    pub fn machine(&self) -> Guid {
        self.machine
    }

    /// Cryptographic mode it was made for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How it came to its key.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// When it was made.
    pub fn created(&self) -> Time {
        self.created
    }

    /// Fingerprint of the public key.
    pub fn fingerprint(&self) -> String {
        self.key.public().fingerprint_hex()
    }

    /// What keeps it from others.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    pub(crate) fn set_protection(&mut self, protection: Protection) {
        self.protection = protection;
    }
}

impl Stored {
    fn activation(&self) -> Activation {
        if self.network {
            Activation::Network
        } else {
            Activation::Own
        }
    }

    fn read(home: &Home) -> Result<Option<Self>, LockboxError> {
        let Some(text) = home.read_text(FILE)? else {
            return Ok(None);
        };
        let stored: Self = toml::from_str(&text).map_err(|error| damaged(error.message()))?;
        if stored.version == VERSION {
            Ok(Some(stored))
        } else {
            Err(damaged("unknown version"))
        }
    }
}

fn at_rest(
    secret: &LockboxSecret,
    passphrase: Option<&Secret>,
    key: &SoftwareKey,
) -> Result<AtRest, LockboxError> {
    Ok(match passphrase {
        Some(passphrase) => {
            AtRest::Sealed(secret.seal(passphrase, key.public().fingerprint_hex())?)
        }
        None => AtRest::Plain(secret.clone()),
    })
}

fn damaged(what: &str) -> LockboxError {
    LockboxError::Damaged(what.to_owned())
}

fn wrapping_key(
    secret: &LockboxSecret,
    machine: &MachineIdentity,
) -> Result<Zeroizing<[u8; 32]>, LockboxError> {
    envelope::derive(secret.expose(), &machine.digest(), b"openrms lockbox key 1").map_err(sealing)
}

fn identity_mark(
    secret: &LockboxSecret,
    machine: &MachineIdentity,
) -> Result<String, LockboxError> {
    let mark = envelope::derive(
        secret.expose(),
        &machine.digest(),
        b"openrms lockbox identity 1",
    );
    Ok(encode_base64(&*mark.map_err(sealing)?))
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
fn sealing(error: EnvelopeError) -> LockboxError {
    LockboxError::Generate(error.to_string())
}

const FILE: &str = "lockbox";
const VERSION: u32 = 1;
const CONTEXT: &[u8] = b"openrms lockbox 1";
