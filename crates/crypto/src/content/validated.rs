//! The block work under the content ciphers by the validated module: unit after unit, as it has no
//! means to work on several side by side.
//!
//! The IV of a unit is its number, or offset, enciphered under the content key: the first of the two
//! ways of SP 800-38A appendix C to an unpredictable IV.

use aws_lc_rs::cipher::{DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext};

use crate::aes_ecb;
use crate::content::{ContentError, ContentKey};

/// One AES block.
pub(super) const BLOCK: usize = 16;

/// A key, which is expanded for each run of units: next to those that costs nothing.
pub(crate) struct Schedule(ContentKey);

impl Schedule {
    pub(crate) fn new(key: &ContentKey) -> Self {
        Self(key.clone())
    }

    /// ECB over whole blocks.
    pub(crate) fn encrypt_ecb(&self, blocks: &mut [[u8; BLOCK]]) -> Result<(), ContentError> {
        aes_ecb::encrypt(self.0.expose(), blocks.as_flattened_mut()).ok_or(ContentError::Failed)
    }

    /// ECB over whole blocks.
    pub(crate) fn decrypt_ecb(&self, blocks: &mut [[u8; BLOCK]]) -> Result<(), ContentError> {
        aes_ecb::decrypt(self.0.expose(), blocks.as_flattened_mut()).ok_or(ContentError::Failed)
    }

    /// CBC over units of `unit` blocks, each with its own IV; the last may be shorter.
    pub(super) fn encrypt_cbc(
        &self,
        unit: usize,
        ivs: &[[u8; BLOCK]],
        blocks: &mut [[u8; BLOCK]],
    ) -> Result<(), ContentError> {
        let key = aes_ecb::unbound(self.0.expose()).ok_or(ContentError::Failed)?;
        let key = EncryptingKey::cbc(key).map_err(|_| ContentError::Failed)?;
        for (unit, iv) in blocks.chunks_mut(unit).zip(ivs) {
            key.less_safe_encrypt(unit.as_flattened_mut(), EncryptionContext::Iv128(iv.into()))
                .map_err(|_| ContentError::Failed)?;
        }
        Ok(())
    }

    /// CBC over units of `unit` blocks, each with its own IV; the last may be shorter.
    pub(super) fn decrypt_cbc(
        &self,
        unit: usize,
        ivs: &[[u8; BLOCK]],
        blocks: &mut [[u8; BLOCK]],
    ) -> Result<(), ContentError> {
        let key = aes_ecb::unbound(self.0.expose()).ok_or(ContentError::Failed)?;
        let key = DecryptingKey::cbc(key).map_err(|_| ContentError::Failed)?;
        for (unit, iv) in blocks.chunks_mut(unit).zip(ivs) {
            key.decrypt(unit.as_flattened_mut(), DecryptionContext::Iv128(iv.into()))
                .map_err(|_| ContentError::Failed)?;
        }
        Ok(())
    }
}
