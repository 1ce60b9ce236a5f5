//! The security processor's private key at rest.
//!
//! What protects it: the modes of the files (0600 in a 0700 folder) and nothing more. The key is
//! encrypted under one derived from a random secret in the file beside it and from what identifies
//! person and machine, so that a copy *of the folder* does not work elsewhere; but whoever can run
//! as this person, or is root, can open it, as on every system without a hardware module. No TPM is
//! used; nor is the kernel's keyring, which forgets at every restart and keeps nothing from whoever
//! can read the files. [`Lockbox::protection`] says so to programs.

use openrms_crypto::envelope::{self, EnvelopeError};
use openrms_crypto::{Mode, PrivateKey as _, SoftwareKey, random, sha256};
use openrms_xrml::values::{decode_base64, encode_base64};
use openrms_xrml::{Guid, Time};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Class, Coded};
use crate::machine::MachineIdentity;
use crate::storage::{Home, Lock, StorageError};

/// The security processor's key, opened.
#[derive(Debug)]
pub struct Lockbox {
    key: SoftwareKey,
    machine: Guid,
    mode: Mode,
    created: Time,
}

/// What keeps a lockbox from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protection {
    /// File permissions alone: anyone who can read the person's files, and root, can open it.
    FileOnly,
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
            Self::Damaged(_) => "lockbox-damaged",
            Self::Generate(_) => "lockbox-key-generation-failed",
            Self::Storage(error) => error.code(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::OtherMachine | Self::SecretMissing => Class::NotTrusted,
            Self::Damaged(_) => Class::Malformed,
            Self::Generate(_) => Class::Failed,
            Self::Storage(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::OtherMachine | Self::SecretMissing | Self::Damaged(_) => Some(
                "a lockbox cannot be moved: take the folder away, then activate and sign in anew"
                    .into(),
            ),
            Self::Generate(_) => None,
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
}

impl Lockbox {
    /// Opens the lockbox; `None` when there is none.
    pub fn open(home: &Home, machine: &MachineIdentity) -> Result<Option<Self>, LockboxError> {
        let Some(text) = home.read_text(FILE)? else {
            return Ok(None);
        };
        let damaged = |what: &str| LockboxError::Damaged(what.to_owned());
        let stored: Stored = toml::from_str(&text).map_err(|error| damaged(error.message()))?;
        if stored.version != VERSION {
            return Err(damaged("unknown version"));
        }
        let mode = Mode::from_number(stored.mode.into()).ok_or_else(|| damaged("unknown mode"))?;
        let secret = home
            .read(SECRET_FILE)?
            .map(Zeroizing::new)
            .ok_or(LockboxError::SecretMissing)?;
        if stored.secret != name_of(&secret) {
            return Err(LockboxError::SecretMissing);
        }
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
        }))
    }

    /// Makes a key and stores it; takes the place of a lockbox that is there.
    pub fn create(
        lock: &Lock<'_>,
        machine: &MachineIdentity,
        mode: Mode,
        now: Time,
    ) -> Result<Self, LockboxError> {
        let failed = |error: String| LockboxError::Generate(error);
        let key = SoftwareKey::generate(mode).map_err(|e| failed(e.to_string()))?;
        let mut secret = Zeroizing::new([0; 32]);
        random::fill(&mut *secret).map_err(|e| failed(e.to_string()))?;
        let guid = random::guid_bytes().map_err(|e| failed(e.to_string()))?;
        let guid = Guid::from_random(guid);
        let kek = wrapping_key(&*secret, machine)?;
        let blob = key.to_private_key_blob();
        let sealed = envelope::seal(&kek, CONTEXT, blob.expose()).map_err(sealing)?;
        let stored = Stored {
            version: VERSION,
            mode: mode.number(),
            machine: guid.to_string(),
            created: now.unix(),
            secret: name_of(&*secret),
            identity: identity_mark(&*secret, machine)?,
            sealed: encode_base64(&sealed),
        };
        let text = toml::to_string(&stored).map_err(|e| failed(e.to_string()))?;
        // A secret alone opens nothing and is replaced by the next attempt; so it goes first, and
        // an old lockbox, which it would not open, goes before it.
        lock.remove(FILE)?;
        lock.write(SECRET_FILE, &*secret)?;
        lock.write(FILE, text.as_bytes())?;
        Ok(Self {
            key,
            machine: guid,
            mode,
            created: now,
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
        Protection::FileOnly
    }
}

fn wrapping_key(
    secret: &[u8],
    machine: &MachineIdentity,
) -> Result<Zeroizing<[u8; 32]>, LockboxError> {
    envelope::derive(secret, &machine.digest(), b"openrms lockbox key 1").map_err(sealing)
}

fn identity_mark(secret: &[u8], machine: &MachineIdentity) -> Result<String, LockboxError> {
    let mark = envelope::derive(secret, &machine.digest(), b"openrms lockbox identity 1");
    Ok(encode_base64(&*mark.map_err(sealing)?))
}

fn name_of(secret: &[u8]) -> String {
    encode_base64(&sha256(&[b"openrms lockbox secret 1".as_slice(), secret].concat())[..12])
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
fn sealing(error: EnvelopeError) -> LockboxError {
    LockboxError::Generate(error.to_string())
}

const FILE: &str = "lockbox";
const SECRET_FILE: &str = "lockbox.secret";
const VERSION: u32 = 1;
const CONTEXT: &[u8] = b"openrms lockbox 1";
