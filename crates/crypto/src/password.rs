//! Stored passwords in the PHC string format: argon2id; PBKDF2 where the module is the validated one.

use argon2::password_hash::phc::{Ident, Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::fips;
use crate::pbkdf2::Iterations;
use crate::random;

/// Hashes a password with today's recommended cost and a fresh salt: `$argon2id$v=19$...`, or
/// `$pbkdf2-sha256$...` with the validated module.
pub fn hash(password: &[u8]) -> Result<String, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordError::Failed)?;
    let mut salt = [0; 16];
    random::fill(&mut salt).map_err(|_| PasswordError::Failed)?;
    if fips::is_validated_module() {
        return pbkdf2_text(Iterations::TODAY, &salt, password).ok_or(PasswordError::Failed);
    }
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password, &salt)
        .map(|hash| hash.to_string())
        .map_err(|_| PasswordError::Failed)
}

/// True when `password` is the one `stored` was made of. Compared in constant time.
pub fn verify(password: &[u8], stored: &str) -> Result<bool, PasswordError> {
    if stored.len() > LONGEST_HASH {
        return Err(PasswordError::Malformed);
    }
    let stored = PasswordHash::new(stored).map_err(|_| PasswordError::Malformed)?;
    if stored.algorithm.as_str() == PBKDF2 {
        return verify_pbkdf2(password, &stored);
    }
    if stored.algorithm.as_str() != "argon2id" || stored.hash.is_none() || stored.salt.is_none() {
        return Err(PasswordError::Malformed);
    }
    if fips::is_required() {
        return Err(PasswordError::NotApproved);
    }
    let params = Params::try_from(&stored).map_err(|_| PasswordError::Malformed)?;
    if !affordable(params.m_cost(), params.t_cost(), params.p_cost()) {
        return Err(PasswordError::Cost);
    }
    match Argon2::default().verify_password(password, &stored) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(_) => Err(PasswordError::Malformed),
    }
}

/// True for text that begins like a stored password.
pub fn is_stored_form(text: &str) -> bool {
    text.len() <= LONGEST_HASH
        && ["$argon2id$", "$pbkdf2-sha256$"]
            .iter()
            .any(|form| text.starts_with(form))
}

/// What is wrong with a stored password hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Not a PHC string of argon2id or PBKDF2.
    #[error("the stored password hash is not in the form $argon2id$... or $pbkdf2-sha256$...")]
    Malformed,
    /// By argon2id, and this process is held to what is approved ([`fips::require`]).
    #[error(
        "the stored password hash is one of argon2id, which is not approved, and FIPS is asked for"
    )]
    NotApproved,
    /// Its cost is beyond what the server is willing to spend.
    #[error("the stored password hash asks for too much memory or time")]
    Cost,
    /// The library failed.
    #[error("hashing a password failed")]
    Failed,
}

/// Bounds on stored costs: who can write a hash must not be able to stall the server with it.
pub(crate) fn affordable(memory_kib: u32, passes: u32, lanes: u32) -> bool {
    (8..=1024 * 1024).contains(&memory_kib)
        && (1..=16).contains(&passes)
        && (1..=16).contains(&lanes)
        && memory_kib >= 8 * lanes
}

fn pbkdf2_text(iterations: Iterations, salt: &[u8; 16], password: &[u8]) -> Option<String> {
    let mut params = ParamsString::new();
    params.add_decimal("i", iterations.get()).ok()?;
    let hash = PasswordHash {
        algorithm: Ident::new(PBKDF2).ok()?,
        version: None,
        params,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(Output::new(&*iterations.derive(salt, password)).ok()?),
    };
    Some(hash.to_string())
}

fn verify_pbkdf2(password: &[u8], stored: &PasswordHash) -> Result<bool, PasswordError> {
    let (Some(salt), Some(hash)) = (stored.salt, stored.hash) else {
        return Err(PasswordError::Malformed);
    };
    let hash = hash.as_bytes().try_into();
    let iterations = stored.params.get_decimal("i");
    let iterations = iterations.ok_or(PasswordError::Malformed)?;
    let iterations = Iterations::new(iterations).ok_or(PasswordError::Cost)?;
    let hash = hash.map_err(|_| PasswordError::Malformed)?;
    Ok(iterations.matches(&salt, password, hash))
}

/// The name that PHC strings have for PBKDF2 with HMAC-SHA256.
const PBKDF2: &str = "pbkdf2-sha256";

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const LONGEST_HASH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_verifies_and_others_do_not() {
        let stored = hash(b"correct horse").unwrap();
        let form = if fips::is_validated_module() {
            "$pbkdf2-sha256$i=600000$"
        } else {
            "$argon2id$v=19$m=19456,t=2,p=1$"
        };
        assert!(stored.starts_with(form), "{stored}");
        assert_eq!(verify(b"correct horse", &stored), Ok(true));
        assert_eq!(verify(b"correct hors", &stored), Ok(false));
        assert_ne!(hash(b"correct horse").unwrap(), stored);
    }

    #[test]
    fn hashes_made_elsewhere_with_other_costs_verify() {
        // RFC 9106's reference program: argon2 somesalt -id -t 2 -m 16 -p 1.
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$\
                      CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(verify(b"password", stored), Ok(true));
    }

    #[test]
    fn pbkdf2_is_verified_wherever_it_was_made() {
        let iterations = Iterations::new(1_000).unwrap();
        let stored = pbkdf2_text(iterations, &[7; 16], b"correct horse").unwrap();
        assert!(
            stored.starts_with("$pbkdf2-sha256$i=1000$BwcHBwcHBwcHBwcHBwcHBw$"),
            "{stored}"
        );
        assert!(is_stored_form(&stored));
        assert_eq!(verify(b"correct horse", &stored), Ok(true));
        assert_eq!(verify(b"correct hors", &stored), Ok(false));
        let costly = stored.replace("i=1000", "i=4294967295");
        assert_eq!(verify(b"correct horse", &costly), Err(PasswordError::Cost));
        let cut = &stored[..stored.len() - 10];
        assert_eq!(verify(b"correct horse", cut), Err(PasswordError::Malformed));
    }

    #[test]
    fn other_algorithms_and_broken_strings_are_malformed() {
        for bad in [
            "",
            "password",
            "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=64,t=1,p=1",
            &"$".repeat(600),
        ] {
            assert_eq!(
                verify(b"password", bad),
                Err(PasswordError::Malformed),
                "{bad}"
            );
        }
    }

    #[test]
    fn unaffordable_costs_are_refused_before_any_work() {
        let hash = "c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        for cost in [
            "m=4294967295,t=1,p=1",
            "m=64,t=4000000000,p=1",
            "m=20000,t=1,p=1000",
        ] {
            let stored = format!("$argon2id$v=19${cost}${hash}");
            assert_eq!(
                verify(b"password", &stored),
                Err(PasswordError::Cost),
                "{cost}"
            );
        }
    }
}
