//! Small secrets at rest: AES-256-GCM under a 32-byte key, and the ways to come by such a key.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use crate::random;
use crate::secret::Secret;

/// Encrypts and authenticates `plain`; `associated` is authenticated only and must be given
/// again to open. The answer is a version byte, a random nonce, and the ciphertext with its tag.
pub fn seal(key: &[u8; 32], associated: &[u8], plain: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    const FAILED: EnvelopeError = EnvelopeError::Failed("sealing an envelope");
    let mut nonce = [0; NONCE_LEN];
    random::fill(&mut nonce).map_err(|_| FAILED)?;
    let mut body = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
    body.extend_from_slice(plain);
    prepared(key)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(with_version(associated)),
            &mut body,
        )
        .map_err(|_| FAILED)?;
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&body);
    Ok(sealed)
}

/// Opens what [`seal`] made.
pub fn open(key: &[u8; 32], associated: &[u8], sealed: &[u8]) -> Result<Secret, EnvelopeError> {
    let (&version, rest) = sealed.split_first().ok_or(EnvelopeError::Short)?;
    if version != VERSION {
        return Err(EnvelopeError::Version(version));
    }
    let (nonce, body) = rest
        .split_first_chunk::<NONCE_LEN>()
        .ok_or(EnvelopeError::Short)?;
    let mut body = Zeroizing::new(body.to_vec());
    let plain = prepared(key)?
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(with_version(associated)),
            &mut body,
        )
        .map_err(|_| EnvelopeError::CannotOpen)?;
    Ok(Secret::from(&*plain))
}

/// Cost and salt of a key derived from a password, stored beside what it protects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordKey {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Random salt.
    pub salt: [u8; 16],
}

impl PasswordKey {
    /// Today's recommended cost (64 MiB, 3 passes; RFC 9106 section 4) and a fresh salt.
    pub fn fresh() -> Result<Self, EnvelopeError> {
        let mut salt = [0; 16];
        random::fill(&mut salt).map_err(|_| EnvelopeError::Failed("drawing a salt"))?;
        Ok(Self {
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 4,
            salt,
        })
    }

    /// Derives the 32-byte key by argon2id.
    pub fn derive(&self, password: &[u8]) -> Result<Zeroizing<[u8; 32]>, EnvelopeError> {
        self.check()?;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| EnvelopeError::Cost)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password, &self.salt, &mut *key)
            .map_err(|_| EnvelopeError::Failed("deriving a key from a password"))?;
        Ok(key)
    }

    /// The stored form, 29 bytes: a version, memory, passes and lanes as LE32, the salt.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for number in [self.memory_kib, self.passes, self.lanes] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.salt);
        bytes
    }

    /// Reads the stored form; costs beyond what we would ever write are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let (&version, rest) = bytes.split_first().ok_or(EnvelopeError::Short)?;
        if version != VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let (memory, rest) = rest.split_first_chunk().ok_or(EnvelopeError::Short)?;
        let (passes, rest) = rest.split_first_chunk().ok_or(EnvelopeError::Short)?;
        let (lanes, rest) = rest.split_first_chunk().ok_or(EnvelopeError::Short)?;
        let key = Self {
            memory_kib: u32::from_le_bytes(*memory),
            passes: u32::from_le_bytes(*passes),
            lanes: u32::from_le_bytes(*lanes),
            salt: rest.try_into().map_err(|_| EnvelopeError::Short)?,
        };
        key.check()?;
        Ok(key)
    }

    fn check(&self) -> Result<(), EnvelopeError> {
        if crate::password::affordable(self.memory_kib, self.passes, self.lanes) {
            Ok(())
        } else {
            Err(EnvelopeError::Cost)
        }
    }
}

/// Derives a 32-byte key for one purpose from a secret by HKDF-SHA256 (RFC 5869).
pub fn derive(
    secret: &[u8],
    salt: &[u8],
    purpose: &[u8],
) -> Result<Zeroizing<[u8; 32]>, EnvelopeError> {
    const FAILED: EnvelopeError = EnvelopeError::Failed("deriving a key");
    let mut key = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .map_err(|_| FAILED)?
        .fill(&mut *key)
        .map_err(|_| FAILED)?;
    Ok(key)
}

/// What is wrong with an envelope or its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A version byte this build does not know.
    #[error("envelope of unknown version {0}")]
    Version(u8),
    /// Fewer bytes than any envelope has.
    #[error("the envelope is too short")]
    Short,
    /// Wrong key, wrong associated data, or altered bytes.
    #[error("the envelope cannot be opened with this key")]
    CannotOpen,
    /// Costs of the password derivation outside the bounds.
    #[error("parameters of the password derivation are out of bounds")]
    Cost,
    /// The library failed.
    #[error("{0} failed")]
    Failed(&'static str),
}

fn prepared(key: &[u8; 32]) -> Result<LessSafeKey, EnvelopeError> {
    let key = UnboundKey::new(&AES_256_GCM, key);
    key.map(LessSafeKey::new)
        .map_err(|_| EnvelopeError::Failed("preparing an envelope key"))
}

/// The version byte is authenticated too, so that a later version cannot be passed off as this.
fn with_version(associated: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(associated.len() + 1);
    data.push(VERSION);
    data.extend_from_slice(associated);
    data
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordKey = PasswordKey {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
        salt: [3; 16],
    };

    #[test]
    fn an_envelope_opens_with_its_key_and_associated_data_only() {
        let sealed = seal(&[1; 32], b"kept beside", b"secret").unwrap();
        assert_eq!(sealed.len(), 1 + 12 + 6 + 16);
        assert_eq!(
            open(&[1; 32], b"kept beside", &sealed).unwrap().expose(),
            b"secret"
        );
        let refused = Err(EnvelopeError::CannotOpen);
        assert_eq!(open(&[2; 32], b"kept beside", &sealed), refused);
        assert_eq!(open(&[1; 32], b"kept elsewhere", &sealed), refused);
    }

    #[test]
    fn a_changed_or_cut_envelope_does_not_open() {
        let sealed = seal(&[1; 32], b"", b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&[1; 32], b"", &changed).is_err());
            assert!(open(&[1; 32], b"", &sealed[..at]).is_err());
        }
        assert_eq!(open(&[1; 32], b"", &[9]), Err(EnvelopeError::Version(9)));
    }

    #[test]
    fn two_envelopes_of_the_same_secret_differ() {
        let (one, two) = (
            seal(&[1; 32], b"", b"s").unwrap(),
            seal(&[1; 32], b"", b"s").unwrap(),
        );
        assert_ne!(one, two);
    }

    #[test]
    fn password_keys_survive_storage_and_depend_on_salt_and_password() {
        let stored = PasswordKey::from_bytes(&CHEAP.to_bytes()).unwrap();
        assert_eq!(stored, CHEAP);
        let key = stored.derive(b"password").unwrap();
        assert_eq!(key, CHEAP.derive(b"password").unwrap());
        assert_ne!(key, CHEAP.derive(b"Password").unwrap());
        assert_ne!(
            key,
            PasswordKey {
                salt: [4; 16],
                ..CHEAP
            }
            .derive(b"password")
            .unwrap()
        );
    }

    #[test]
    fn unaffordable_password_costs_are_refused_before_any_work() {
        for bad in [
            PasswordKey {
                memory_kib: u32::MAX,
                ..CHEAP
            },
            PasswordKey {
                passes: 10_000,
                ..CHEAP
            },
            PasswordKey { lanes: 0, ..CHEAP },
        ] {
            assert_eq!(
                PasswordKey::from_bytes(&bad.to_bytes()),
                Err(EnvelopeError::Cost)
            );
            assert_eq!(bad.derive(b"x"), Err(EnvelopeError::Cost));
        }
        let bytes = CHEAP.to_bytes();
        assert_eq!(
            PasswordKey::from_bytes(&bytes[..28]),
            Err(EnvelopeError::Short)
        );
    }

    #[test]
    fn hkdf_gives_the_first_bytes_of_rfc_5869_case_1() {
        let salt: Vec<u8> = (0..=0x0C).collect();
        let info: Vec<u8> = (0xF0..=0xF9).collect();
        let key = derive(&[0x0B; 22], &salt, &info).unwrap();
        assert_eq!(key[..8], [0x3C, 0xB2, 0x5F, 0x25, 0xFA, 0xAC, 0xD5, 0x7A]);
    }
}
