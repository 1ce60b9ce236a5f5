//! Units: their IVs, and enciphering a buffer that starts at any of them.

use crate::content::blocks::{BLOCK, Schedule};
use crate::content::{Cipher, ContentError, ContentKey};

/// A key made ready for one cipher.
pub(super) struct Units {
    schedule: Schedule,
    cipher: Cipher,
}

impl Units {
    pub(super) fn new(key: &ContentKey) -> Self {
        Self {
            schedule: Schedule::new(key),
            cipher: key.cipher(),
        }
    }

    pub(super) fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Enciphers whole blocks in place, starting at unit `first`.
    pub(super) fn encrypt(&self, first: u64, buffer: &mut [u8]) -> Result<(), ContentError> {
        let blocks = whole_blocks(buffer)?;
        if self.cipher == Cipher::Ecb {
            return self.schedule.encrypt_ecb(blocks);
        }
        self.each_group(first, blocks, |unit, ivs, group| {
            self.schedule.encrypt_cbc(unit, ivs, group)
        })
    }

    /// Deciphers whole blocks in place, starting at unit `first`.
    pub(super) fn decrypt(&self, first: u64, buffer: &mut [u8]) -> Result<(), ContentError> {
        let blocks = whole_blocks(buffer)?;
        if self.cipher == Cipher::Ecb {
            return self.schedule.decrypt_ecb(blocks);
        }
        self.each_group(first, blocks, |unit, ivs, group| {
            self.schedule.decrypt_cbc(unit, ivs, group)
        })
    }

    /// Hands out up to [`GROUP`] units at a time with their IVs.
    fn each_group(
        &self,
        first: u64,
        blocks: &mut [[u8; BLOCK]],
        mut work: impl FnMut(usize, &[[u8; BLOCK]], &mut [[u8; BLOCK]]) -> Result<(), ContentError>,
    ) -> Result<(), ContentError> {
        let unit = self.cipher.unit_len() / BLOCK;
        let mut number = first;
        for group in blocks.chunks_mut(GROUP * unit) {
            let mut ivs = [[0; BLOCK]; GROUP];
            let ivs = ivs
                .get_mut(..group.len().div_ceil(unit))
                .unwrap_or_default();
            for iv in ivs.iter_mut() {
                *iv = self.iv_input(number).ok_or(ContentError::TooLong)?;
                number = number.checked_add(1).ok_or(ContentError::TooLong)?;
            }
            self.schedule.encrypt_ecb(ivs)?;
            work(unit, ivs, group)?;
        }
        Ok(())
    }

    /// The block whose encryption is the IV of unit `number`: the unit's number as LE32 for
    /// CBC4K, its first byte's offset as LE64 for CBC512.
    fn iv_input(&self, number: u64) -> Option<[u8; BLOCK]> {
        let value = match self.cipher {
            Cipher::Ecb => 0,
            Cipher::Cbc4kNoPadding | Cipher::Cbc4k => u64::from(u32::try_from(number).ok()?),
            Cipher::Cbc512NoPadding => number.checked_mul(512)?,
        };
        Some(u128::from(value).to_le_bytes())
    }
}

/// Appends what the cipher wants after the last byte of the text. `tail` may be any part of the
/// text that starts at a unit.
pub(super) fn pad(cipher: Cipher, tail: &mut Vec<u8>) -> Result<(), ContentError> {
    match cipher {
        Cipher::Ecb => tail.resize(tail.len().next_multiple_of(BLOCK), 0),
        Cipher::Cbc4kNoPadding => {
            tail.resize(tail.len().next_multiple_of(cipher.unit_len()), 0);
        }
        Cipher::Cbc4k => {
            let count = BLOCK - tail.len() % BLOCK;
            let value = u8::try_from(count).unwrap_or_default();
            tail.resize(tail.len() + count, value);
        }
        Cipher::Cbc512NoPadding => {
            if !tail.len().is_multiple_of(BLOCK) {
                return Err(ContentError::NotWholeBlocks(tail.len() as u64));
            }
        }
    }
    Ok(())
}

/// How many bytes of PKCS#7 padding end a deciphered text.
pub(super) fn padding(text: &[u8]) -> Result<usize, ContentError> {
    let last = text.last().copied().ok_or(ContentError::Padding)?;
    let count = usize::from(last);
    let start = text.len().checked_sub(count).ok_or(ContentError::Padding)?;
    let bytes = text.get(start..).unwrap_or_default();
    if !(1..=BLOCK).contains(&count) || bytes.iter().any(|&byte| byte != last) {
        return Err(ContentError::Padding);
    }
    Ok(count)
}

fn whole_blocks(buffer: &mut [u8]) -> Result<&mut [[u8; BLOCK]], ContentError> {
    let len = buffer.len() as u64;
    match buffer.as_chunks_mut() {
        (blocks, []) => Ok(blocks),
        _ => Err(ContentError::NotWholeBlocks(len)),
    }
}

/// Units per group: a multiple of the lanes of the widest back end, so that no lane idles.
const GROUP: usize = 64;
