//! AES-ECB over whole blocks in place, by AWS-LC: the secret part of sealed keys.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey,
};

/// Enciphers `blocks`, a multiple of 16 bytes. `None` when the key's or the data's length is
/// wrong.
pub(crate) fn encrypt(key: &[u8], blocks: &mut [u8]) -> Option<()> {
    let key = EncryptingKey::ecb(unbound(key)?).ok()?;
    key.encrypt(blocks).ok().map(drop)
}

/// Deciphers `blocks`, a multiple of 16 bytes. `None` when the key's or the data's length is
/// wrong.
pub(crate) fn decrypt(key: &[u8], blocks: &mut [u8]) -> Option<()> {
    let key = DecryptingKey::ecb(unbound(key)?).ok()?;
    key.decrypt(blocks, DecryptionContext::None).ok().map(drop)
}

/// A key of 16, 24 or 32 bytes; `None` for other lengths.
pub(crate) fn unbound(key: &[u8]) -> Option<UnboundCipherKey> {
    let algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        32 => &AES_256,
        _ => return None,
    };
    UnboundCipherKey::new(algorithm, key).ok()
}
