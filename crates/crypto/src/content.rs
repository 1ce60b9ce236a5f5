//! Content ciphers: AES in ECB, in independent CBC runs of 4096 bytes (CBC4K) with and without
//! padding, and of 512 bytes ([MS-RMPR] 2.2.9.1.13.1; units, IVs and padding as in Microsoft's
//! open client library).

use std::fmt;
use std::io;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::random::{self, RandomError};

#[cfg(not(feature = "fips"))]
mod blocks;
mod stream;
mod units;
#[cfg(feature = "fips")]
mod validated;

pub use stream::{Decryptor, Encryptor, decrypt_stream, encrypt_stream};

#[cfg(feature = "fips")]
use validated as blocks;

pub(crate) use blocks::Schedule;
use units::{Units, pad, padding};

/// How content is enciphered with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cipher {
    /// Each 16-byte block alone; zero-filled to 16 bytes, the true length stored outside.
    Ecb,
    /// CBC in units of 4096 bytes, zero-filled to a whole unit, the true length stored outside.
    Cbc4kNoPadding,
    /// CBC in units of 4096 bytes, PKCS#7 padding at the end.
    Cbc4k,
    /// CBC in units of 512 bytes; the text must be a multiple of 16 bytes.
    Cbc512NoPadding,
}

impl Cipher {
    /// Bytes that are enciphered independently of all others: 16, 4096 or 512.
    pub fn unit_len(self) -> usize {
        match self {
            Self::Ecb => 16,
            Self::Cbc4kNoPadding | Self::Cbc4k => 4096,
            Self::Cbc512NoPadding => 512,
        }
    }

    /// Length of the ciphertext of `plain` bytes; `None` when the cipher does not take that
    /// length or the result does not fit.
    pub fn ciphertext_len(self, plain: u64) -> Option<u64> {
        match self {
            Self::Ecb => plain.checked_next_multiple_of(16),
            Self::Cbc4kNoPadding => plain.checked_next_multiple_of(4096),
            Self::Cbc4k => (plain / 16).checked_add(1)?.checked_mul(16),
            Self::Cbc512NoPadding => plain.is_multiple_of(16).then_some(plain),
        }
    }

    /// The name in answers of the REST services: `MICROSOFT.CBC4K` and so on.
    pub fn rest_name(self) -> &'static str {
        match self {
            Self::Ecb => "MICROSOFT.ECB",
            Self::Cbc4kNoPadding => "MICROSOFT.CBC4K.NOPADDING",
            Self::Cbc4k => "MICROSOFT.CBC4K",
            Self::Cbc512NoPadding => "MICROSOFT.CBC512.NOPADDING",
        }
    }

    /// Reads a name in answers of the REST services.
    pub fn from_rest_name(name: &str) -> Option<Self> {
        [
            Self::Ecb,
            Self::Cbc4kNoPadding,
            Self::Cbc4k,
            Self::Cbc512NoPadding,
        ]
        .into_iter()
        .find(|cipher| cipher.rest_name().eq_ignore_ascii_case(name))
    }
}

/// The length of an AES key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyBits {
    /// AES-128: everything before 2016.
    Aes128,
    /// AES-192: allowed by the specification, not seen.
    Aes192,
    /// AES-256: the default for new content.
    Aes256,
}

impl KeyBits {
    /// 16, 24 or 32.
    pub fn bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// The key length of `bytes` bytes.
    pub fn from_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            16 => Some(Self::Aes128),
            24 => Some(Self::Aes192),
            32 => Some(Self::Aes256),
            _ => None,
        }
    }
}

/// A content key: an AES key and the cipher it is used with. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct ContentKey {
    cipher: Cipher,
    bits: KeyBits,
    /// In one place of its own: what is moved about leaves copies behind that nobody wipes.
    bytes: Box<Zeroizing<[u8; 32]>>,
}

impl ContentKey {
    /// Takes a key of 16, 24 or 32 bytes.
    pub fn new(cipher: Cipher, key: &[u8]) -> Result<Self, KeyLengthError> {
        let bits = KeyBits::from_bytes(key.len()).ok_or(KeyLengthError(key.len()))?;
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        for (to, from) in bytes.iter_mut().zip(key) {
            *to = *from;
        }
        Ok(Self {
            cipher,
            bits,
            bytes,
        })
    }

    /// Makes a random key.
    pub fn generate(cipher: Cipher, bits: KeyBits) -> Result<Self, RandomError> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        if let Some(used) = bytes.get_mut(..bits.bytes()) {
            random::fill(used)?;
        }
        Ok(Self {
            cipher,
            bits,
            bytes,
        })
    }

    /// The cipher the key is used with.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The same key for another cipher: where the container, not the key header, decides.
    #[must_use]
    pub fn with_cipher(&self, cipher: Cipher) -> Self {
        Self {
            cipher,
            ..self.clone()
        }
    }

    /// The key's length.
    pub fn bits(&self) -> KeyBits {
        self.bits
    }

    /// The raw key, 16, 24 or 32 bytes. Named so that every use stands out in review.
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(..self.bits.bytes()).unwrap_or_default()
    }
}

impl PartialEq for ContentKey {
    fn eq(&self, other: &Self) -> bool {
        self.cipher == other.cipher
            && self.bits == other.bits
            && bool::from(self.bytes.ct_eq(&**other.bytes))
    }
}

impl Eq for ContentKey {}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentKey({:?}, {:?})", self.cipher, self.bits)
    }
}

/// Enciphers a whole text held in memory.
pub fn encrypt(key: &ContentKey, plain: &[u8]) -> Result<Vec<u8>, ContentError> {
    let len = key.cipher.ciphertext_len(plain.len() as u64);
    let len = len.ok_or(ContentError::NotWholeBlocks(plain.len() as u64))?;
    let mut out = Vec::with_capacity(usize::try_from(len).map_err(|_| ContentError::TooLong)?);
    out.extend_from_slice(plain);
    pad(key.cipher, &mut out)?;
    Units::new(key).encrypt(0, &mut out)?;
    Ok(out)
}

/// Deciphers the end of a ciphertext: whole units, the first of which has this number, counted from
/// 0. Padding and fill stay. Tells how a content ends without the rest of it.
pub fn decrypt_end(
    key: &ContentKey,
    first: u64,
    cipher_text: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ContentError> {
    let mut text = Zeroizing::new(cipher_text.to_vec());
    Units::new(key).decrypt(first, &mut text)?;
    Ok(text)
}

/// Deciphers a whole ciphertext held in memory.
///
/// With `length` the text is cut to that many bytes and padding is never looked at (Office);
/// without it [`Cipher::Cbc4k`] checks and removes its padding, and the other ciphers return all
/// there is, fill included.
pub fn decrypt(
    key: &ContentKey,
    cipher_text: &[u8],
    length: Option<u64>,
) -> Result<Vec<u8>, ContentError> {
    let found = cipher_text.len() as u64;
    if let Some(declared) = length.filter(|&declared| declared > found) {
        return Err(ContentError::Truncated { declared, found });
    }
    let mut out = cipher_text.to_vec();
    Units::new(key).decrypt(0, &mut out)?;
    let end = match length {
        Some(length) => usize::try_from(length).map_err(|_| ContentError::TooLong)?,
        None if key.cipher == Cipher::Cbc4k => out.len() - padding(&out)?,
        None => out.len(),
    };
    out.truncate(end);
    Ok(out)
}

/// Enciphers whole blocks in place, without padding: `buffer` starts at unit `first_unit` and
/// ends where a unit or the content does.
pub fn encrypt_units(
    key: &ContentKey,
    first_unit: u64,
    buffer: &mut [u8],
) -> Result<(), ContentError> {
    Units::new(key).encrypt(first_unit, buffer)
}

/// Deciphers units in place, for random access: `buffer` starts at unit `first_unit` and ends
/// where a unit or the content does. Padding is left where it is.
pub fn decrypt_units(
    key: &ContentKey,
    first_unit: u64,
    buffer: &mut [u8],
) -> Result<(), ContentError> {
    Units::new(key).decrypt(first_unit, buffer)
}

/// What is wrong with content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The length is no multiple of the cipher's 16-byte block.
    #[error("{0} bytes are no multiple of the 16-byte cipher block")]
    NotWholeBlocks(u64),
    /// The padding is wrong: altered or cut content, or another file's key.
    #[error("wrong padding: the content is damaged or the key belongs to other content")]
    Padding,
    /// The ciphertext is shorter than the length declared for its text.
    #[error("the content ends after {found} of {declared} bytes")]
    Truncated {
        /// Bytes declared.
        declared: u64,
        /// Bytes found.
        found: u64,
    },
    /// More content than units can be numbered (16 TiB for CBC4K).
    #[error("the content is longer than its cipher can number")]
    TooLong,
    /// The library failed.
    #[error("the cipher failed")]
    Failed,
}

impl From<ContentError> for io::Error {
    fn from(error: ContentError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// A key that is not of 16, 24 or 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an AES key of {0} bytes: 16, 24 or 32 are possible")]
pub struct KeyLengthError(pub usize);

#[cfg(test)]
mod tests;
