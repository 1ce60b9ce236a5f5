//! The validated module: AWS-LC as its makers had it validated (FIPS 140-3, the standard after
//! 140-2), which builds with the feature `fips` link, and a process that is held to algorithms
//! approved there (SP 800-131A).

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether AWS-LC under this program is the validated module, which has tested itself.
pub fn is_validated_module() -> bool {
    aws_lc_rs::try_fips_mode().is_ok()
}

/// Holds this process to what is approved, until it ends: RSA from 2048 bits on, no signatures over
/// SHA-1, no PKCS#1 v1.5 encryption, nothing that argon2id protects. To be called before anything
/// else of this crate.
pub fn require() -> Result<(), NotValidated> {
    if !is_validated_module() {
        return Err(NotValidated);
    }
    REQUIRED.store(true, Ordering::Release);
    Ok(())
}

/// Whether [`require`] was called, and went well.
pub fn is_required() -> bool {
    REQUIRED.load(Ordering::Acquire)
}

/// FIPS is asked for, and this program was built without the validated module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "FIPS is asked for, and this program was built without the validated module of AWS-LC \
     (build it with the feature openrms-crypto/fips)"
)]
pub struct NotValidated;

/// The shortest RSA modulus that is approved, in bits.
pub(crate) const LEAST_RSA_BITS: usize = 2048;

static REQUIRED: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_validated_module_is_there_with_the_feature_and_only_then() {
        assert_eq!(is_validated_module(), cfg!(feature = "fips"));
    }

    #[test]
    #[cfg(not(feature = "fips"))]
    fn asking_for_fips_without_the_validated_module_is_refused() {
        assert_eq!(require(), Err(NotValidated));
        assert!(!is_required());
    }
}
