//! Small secrets at rest: AES-256-GCM under a 32-byte key, and the ways to come by such a key.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use crate::fips;
use crate::pbkdf2::Iterations;
use crate::random;
use crate::secret::Secret;

/// Encrypts and authenticates `plain`; `associated` is authenticated only and must be given
/// again to open. The answer is a version byte, a random nonce, and the ciphertext with its tag.
pub fn seal(key: &[u8; 32], associated: &[u8], plain: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    const FAILED: EnvelopeError = EnvelopeError::Failed("sealing an envelope");
    let mut body = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
    body.extend_from_slice(plain);
    // The library draws the nonce itself: where it is validated, no other is approved.
    let nonce = prepared(key)?
        .seal_in_place_append_tag(Aad::from(with_version(associated)), &mut body)
        .map_err(|_| FAILED)?;
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(nonce.as_ref());
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

/// How a key is derived from a password, and its salt: stored beside what it protects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordKey {
    derivation: Derivation,
    salt: [u8; 16],
}

/// With costs that were found to be affordable.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Derivation {
    Argon2id(Params),
    Pbkdf2(Iterations),
}

impl PasswordKey {
    /// Today's recommended cost (argon2id, 64 MiB, 3 passes; RFC 9106 section 4) and a fresh salt.
    /// With the validated module, PBKDF2.
    pub fn fresh() -> Result<Self, EnvelopeError> {
        let mut salt = [0; 16];
        random::fill(&mut salt).map_err(|_| EnvelopeError::Failed("drawing a salt"))?;
        let derivation = if fips::is_validated_module() {
            Derivation::Pbkdf2(Iterations::TODAY)
        } else {
            Derivation::Argon2id(costs(64 * 1024, 3, 4)?)
        };
        Ok(Self { derivation, salt })
    }

    /// Derives the 32-byte key.
    pub fn derive(&self, password: &[u8]) -> Result<Zeroizing<[u8; 32]>, EnvelopeError> {
        let params = match &self.derivation {
            Derivation::Pbkdf2(_) if fips::is_required() && password.len() < LEAST_APPROVED => {
                return Err(EnvelopeError::ShortPassword);
            }
            Derivation::Pbkdf2(iterations) => return Ok(iterations.derive(&self.salt, password)),
            Derivation::Argon2id(_) if fips::is_required() => {
                return Err(EnvelopeError::NotApproved);
            }
            Derivation::Argon2id(params) => params.clone(),
        };
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password, &self.salt, &mut *key)
            .map_err(|_| EnvelopeError::Failed("deriving a key from a password"))?;
        Ok(key)
    }

    /// The stored form, 29 bytes: 1 for argon2id, then memory, passes and lanes as LE32; or 2 for
    /// PBKDF2, then iterations as LE32 and eight zeros; then the salt.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, numbers) = match &self.derivation {
            Derivation::Argon2id(costs) => {
                (ARGON2ID, [costs.m_cost(), costs.t_cost(), costs.p_cost()])
            }
            Derivation::Pbkdf2(iterations) => (PBKDF2, [iterations.get(), 0, 0]),
        };
        let mut bytes = vec![kind];
        for number in numbers {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.salt);
        bytes
    }

    /// Reads the stored form; costs beyond what we would ever write are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let (&kind, rest) = bytes.split_first().ok_or(EnvelopeError::Short)?;
        if ![ARGON2ID, PBKDF2].contains(&kind) {
            return Err(EnvelopeError::Version(kind));
        }
        let (one, rest) = rest.split_first_chunk().ok_or(EnvelopeError::Short)?;
        let (two, rest) = rest.split_first_chunk().ok_or(EnvelopeError::Short)?;
        let (three, rest) = rest.split_first_chunk().ok_or(EnvelopeError::Short)?;
        let salt = rest.try_into().map_err(|_| EnvelopeError::Short)?;
        let derivation = match (kind, [one, two, three].map(|n| u32::from_le_bytes(*n))) {
            (ARGON2ID, [memory_kib, passes, lanes]) => {
                Derivation::Argon2id(costs(memory_kib, passes, lanes)?)
            }
            (_, [iterations, 0, 0]) => {
                Derivation::Pbkdf2(Iterations::new(iterations).ok_or(EnvelopeError::Cost)?)
            }
            _ => return Err(EnvelopeError::Cost),
        };
        Ok(Self { derivation, salt })
    }
}

fn costs(memory_kib: u32, passes: u32, lanes: u32) -> Result<Params, EnvelopeError> {
    if !crate::password::affordable(memory_kib, passes, lanes) {
        return Err(EnvelopeError::Cost);
    }
    Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| EnvelopeError::Cost)
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
    /// The password is protected by argon2id, and this process is held to what is approved
    /// ([`fips::require`]).
    #[error("deriving a key from a password by argon2id is not approved, and FIPS is asked for")]
    NotApproved,
    /// A password too short to be approved, where this process is held to that.
    #[error(
        "where FIPS is asked for, a password that protects keys has {LEAST_APPROVED} bytes or more"
    )]
    ShortPassword,
    /// The library failed.
    #[error("{0} failed")]
    Failed(&'static str),
}

fn prepared(key: &[u8; 32]) -> Result<RandomizedNonceKey, EnvelopeError> {
    RandomizedNonceKey::new(&AES_256_GCM, key)
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
const ARGON2ID: u8 = 1;
const PBKDF2: u8 = 2;
/// The least length of a password, in bytes, with which PBKDF2 of AWS-LC is an approved service.
const LEAST_APPROVED: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(kind: u8, numbers: [u32; 3], salt: u8) -> Vec<u8> {
        let numbers = numbers.map(u32::to_le_bytes);
        [&[kind], numbers.as_flattened(), &[salt; 16]].concat()
    }

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
    fn password_keys_survive_storage_and_depend_on_derivation_salt_and_password() {
        let mut keys = Vec::new();
        for (kind, numbers) in [(ARGON2ID, [64, 1, 1]), (PBKDF2, [1_000, 0, 0])] {
            for salt in [3, 4] {
                let bytes = stored(kind, numbers, salt);
                let parameters = PasswordKey::from_bytes(&bytes).unwrap();
                assert_eq!(parameters.to_bytes(), bytes);
                let key = parameters.derive(b"password").unwrap();
                assert_eq!(key, parameters.derive(b"password").unwrap());
                keys.push(*key);
                keys.push(*parameters.derive(b"Password").unwrap());
            }
        }
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }

    #[test]
    fn unaffordable_password_costs_are_refused_before_any_work() {
        for (kind, bad) in [
            (ARGON2ID, [u32::MAX, 1, 1]),
            (ARGON2ID, [64, 10_000, 1]),
            (ARGON2ID, [64, 1, 0]),
            (PBKDF2, [0, 0, 0]),
            (PBKDF2, [u32::MAX, 0, 0]),
            (PBKDF2, [1_000, 1, 0]),
        ] {
            let refused = PasswordKey::from_bytes(&stored(kind, bad, 3));
            assert_eq!(refused, Err(EnvelopeError::Cost), "{kind} {bad:?}");
        }
        let bytes = stored(ARGON2ID, [64, 1, 1], 3);
        assert_eq!(
            PasswordKey::from_bytes(&bytes[..28]),
            Err(EnvelopeError::Short)
        );
        assert_eq!(
            PasswordKey::from_bytes(&stored(3, [64, 1, 1], 3)),
            Err(EnvelopeError::Version(3))
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
