//! PBKDF2 with HMAC-SHA256 (RFC 8018 5.2, SP 800-132) for passwords: the derivation that the
//! validated module has. Everywhere else argon2id makes guessing dearer.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use zeroize::Zeroizing;

/// How often the hash is iterated. Of what others stored only a bounded number is accepted: who can
/// write it must not be able to stall the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Iterations(NonZeroU32);

impl Iterations {
    /// OWASP's choice for HMAC-SHA256: a tenth of a second or more.
    pub(crate) const TODAY: Self = Self(const { NonZeroU32::new(600_000).unwrap() });

    /// From the least of SP 800-132 to what takes a few seconds.
    pub(crate) fn new(count: u32) -> Option<Self> {
        let count = NonZeroU32::new(count)?;
        (1_000..=10_000_000)
            .contains(&count.get())
            .then_some(Self(count))
    }

    pub(crate) fn get(self) -> u32 {
        self.0.get()
    }

    /// Derives 32 bytes.
    pub(crate) fn derive(self, salt: &[u8], password: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut derived = Zeroizing::new([0; 32]);
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, self.0, salt, password, &mut *derived);
        derived
    }

    /// Whether a password gives these 32 bytes; takes as long for any that are wrong.
    pub(crate) fn matches(self, salt: &[u8], password: &[u8], derived: &[u8; 32]) -> bool {
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::verify(algorithm, self.0, salt, password, derived).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_other_programs() {
        // Python: hashlib.pbkdf2_hmac("sha256", b"password", b"salt" * 4, 1000)[:8].
        let iterations = Iterations::new(1_000).unwrap();
        let salt = b"saltsaltsaltsalt";
        let key = iterations.derive(salt, b"password");
        assert_eq!(key[..8], [0xF2, 0x75, 0xFB, 0x87, 0x01, 0x44, 0xCC, 0x80]);
        assert!(iterations.matches(salt, b"password", &key));
        assert!(!iterations.matches(salt, b"Password", &key));
    }

    #[test]
    fn counts_out_of_bounds_are_none() {
        for count in [0, 999, 10_000_001, u32::MAX] {
            assert_eq!(Iterations::new(count), None);
        }
    }
}
