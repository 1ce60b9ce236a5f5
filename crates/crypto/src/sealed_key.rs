//! The raw bytes of ENABLINGBITS: a session key wrapped to the recipient, and under it a content
//! key or a private key with the hash of the text it belongs to ([MS-RMPR] 2.2.9.1.13).

use zeroize::Zeroizing;

use crate::aes_ecb;
use crate::content::{Cipher, ContentKey, KeyBits};
use crate::mode::{Digest, HashAlgorithm};
use crate::rsa::{KeyError, PrivateKey, PrivateKeyBlob, PublicKey, Wrapping};
use crate::secret::Secret;

/// The two types of sealed keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SealedKeyVersion {
    /// `sealed-key`: PKCS#1 v1.5 wrapping, SHA-1.
    V1,
    /// `sealed-key-v2`: OAEP wrapping, SHA-256.
    V2,
}

impl SealedKeyVersion {
    /// The `type` attribute of ENABLINGBITS.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::V1 => "sealed-key",
            Self::V2 => "sealed-key-v2",
        }
    }

    /// Reads the `type` attribute of ENABLINGBITS.
    pub fn from_wire_name(name: &str) -> Option<Self> {
        match name {
            "sealed-key" => Some(Self::V1),
            "sealed-key-v2" => Some(Self::V2),
            _ => None,
        }
    }

    /// The hash bound into a sealed key of this version.
    pub fn hash(self) -> HashAlgorithm {
        match self {
            Self::V1 => HashAlgorithm::Sha1,
            Self::V2 => HashAlgorithm::Sha256,
        }
    }

    /// The dwVersion of the header inside.
    fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// How the session key is wrapped when written.
    pub fn wrapping(self) -> Wrapping {
        match self {
            Self::V1 => Wrapping::Pkcs1V15,
            Self::V2 => Wrapping::OaepSha1,
        }
    }
}

/// What is sealed.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// A content key: in a PL and a UL.
    ContentKey(&'a ContentKey),
    /// A private key: in a RAC and a CLC.
    PrivateKey(&'a PrivateKeyBlob),
}

impl Payload<'_> {
    fn len(self) -> usize {
        match self {
            Self::ContentKey(key) => KEY_HEADER_LEN + key.bits().bytes(),
            Self::PrivateKey(blob) => blob.expose().len(),
        }
    }
}

/// A sealed key, opened.
#[derive(Debug, Clone)]
pub struct OpenedKey {
    /// What was sealed.
    pub payload: OpenedPayload,
    /// The hash bound into it. Compare it with the hash of the element the specification names,
    /// but only log a difference: which characters other implementations hash is not settled.
    pub bound_hash: Digest,
}

/// What was found in a sealed key.
#[derive(Debug, Clone)]
pub enum OpenedPayload {
    /// A content key. Its cipher is [`crate::Cipher::Ecb`] when the header says so *or says
    /// nothing*: Windows up to Server 2012 R2 always writes that value, so the caller decides
    /// with [`ContentKey::with_cipher`] by the container the content is in.
    ContentKey(ContentKey),
    /// A private key.
    PrivateKey(PrivateKeyBlob),
}

/// Seals `payload` to `recipient`. `bound` is the hash of the element the payload belongs to
/// (ISSUEDPRINCIPALS of a PL without its ENABLINGBITS, ISSUER of a UL, RAC or CLC), made with
/// the version's hash.
pub fn seal(
    recipient: &PublicKey,
    version: SealedKeyVersion,
    payload: Payload<'_>,
    bound: &Digest,
) -> Result<Vec<u8>, SealError> {
    const FAILED: KeyError = KeyError::Failed("sealing a key");
    if bound.algorithm() != version.hash() {
        return Err(SealError::BoundHash {
            version,
            found: bound.algorithm(),
        });
    }
    let session = ContentKey::generate(Cipher::Ecb, KeyBits::Aes128)
        .map_err(|_| KeyError::Failed("drawing a session key"))?;
    let mut session_block = Zeroizing::new(Vec::with_capacity(KEY_HEADER_LEN + 16));
    write_content_key(&mut session_block, &session);
    let wrapped = recipient.wrap_block(version.wrapping(), &session_block)?;

    // The secret part is built and enciphered apart from the answer, so that nothing of it can
    // be left where the answer grows.
    let body_len = payload.len() + bound.as_bytes().len();
    let mut secret = Zeroizing::new(Vec::with_capacity(
        (HEADER_LEN + body_len).next_multiple_of(BLOCK),
    ));
    secret.extend_from_slice(&version.number().to_le_bytes());
    secret.extend_from_slice(&u32::try_from(body_len).map_err(|_| FAILED)?.to_le_bytes());
    secret.extend_from_slice(&[0; 8]);
    match payload {
        Payload::ContentKey(key) => write_content_key(&mut secret, key),
        Payload::PrivateKey(blob) => secret.extend_from_slice(blob.expose()),
    }
    secret.extend_from_slice(bound.as_bytes());
    let filled = secret.len().next_multiple_of(BLOCK);
    secret.resize(filled, 0);
    aes_ecb::encrypt(session.expose(), &mut secret).ok_or(FAILED)?;

    let mut sealed = wrapped;
    sealed.extend_from_slice(&secret);
    Ok(sealed)
}

/// Opens a sealed key with the recipient's private key.
pub fn open(
    key: &dyn PrivateKey,
    version: SealedKeyVersion,
    sealed: &[u8],
) -> Result<OpenedKey, OpenError> {
    let bits = key.public().bits();
    let length = OpenError::Length {
        found: sealed.len(),
        bits,
    };
    let (wrapped, encrypted) = sealed
        .split_at_checked(key.public().block_len())
        .ok_or(length)?;
    let shortest = HEADER_LEN + version.hash().len();
    if encrypted.len() < shortest
        || encrypted.len() > LONGEST_SECRET
        || !encrypted.len().is_multiple_of(BLOCK)
    {
        return Err(length);
    }
    let session_block = unwrap_session_block(key, version, wrapped)?;
    let (_, session) = read_content_key(session_block.expose()).ok_or(OpenError::CannotOpen)?;
    let mut secret = Zeroizing::new(encrypted.to_vec());
    aes_ecb::decrypt(session, &mut secret).ok_or(OpenError::CannotOpen)?;
    read_secret(version, &secret).ok_or(OpenError::CannotOpen)
}

/// Length in bytes of a sealed key before it is made; eight times this is the `size` attribute.
pub fn sealed_len(recipient: &PublicKey, version: SealedKeyVersion, payload: Payload<'_>) -> usize {
    let secret = HEADER_LEN + payload.len() + version.hash().len();
    recipient.block_len() + secret.next_multiple_of(BLOCK)
}

/// Why a key was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The bound hash was made with the other version's algorithm.
    #[error("a {} binds a {} hash, not {found}", version.wire_name(), version.hash())]
    BoundHash {
        /// The version asked for.
        version: SealedKeyVersion,
        /// The algorithm of the hash given.
        found: HashAlgorithm,
    },
    /// Wrapping or encrypting failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why a sealed key was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The length alone shows that this is no sealed key for a key of this size.
    #[error("a sealed key of {found} bytes is impossible for a {bits}-bit recipient")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bits of the recipient's modulus.
        bits: usize,
    },
    /// Everything else: made for another key, altered, or not understood. One error for every
    /// reason, so that nobody can use it as an oracle.
    #[error("the sealed key cannot be opened with this key")]
    CannotOpen,
    /// The key or its device cannot do the operation at all.
    #[error(transparent)]
    Key(KeyError),
}

/// The session key's block, by the version's wrapping and the one other writers may use.
fn unwrap_session_block(
    key: &dyn PrivateKey,
    version: SealedKeyVersion,
    wrapped: &[u8],
) -> Result<Secret, OpenError> {
    let first = key.open_block(version.wrapping(), wrapped);
    let opened = match (version, first) {
        (SealedKeyVersion::V2, Err(KeyError::CannotOpen)) => {
            // A key or device without OAEP-SHA-256 could not have opened it either way.
            key.open_block(Wrapping::OaepSha256, wrapped)
                .map_err(|_| KeyError::CannotOpen)
        }
        (_, first) => first,
    };
    opened.map_err(|error| match error {
        KeyError::CannotOpen => OpenError::CannotOpen,
        other => OpenError::Key(other),
    })
}

/// Reads header, payload and hash of the deciphered part.
fn read_secret(version: SealedKeyVersion, secret: &[u8]) -> Option<OpenedKey> {
    let (number, rest) = secret.split_first_chunk::<4>()?;
    let (body_len, rest) = rest.split_first_chunk::<4>()?;
    let body = rest.get(8..)?;
    if u32::from_le_bytes(*number) != version.number() {
        return None;
    }
    let body = body.get(..usize::try_from(u32::from_le_bytes(*body_len)).ok()?)?;
    let (payload, hash) = body.split_at_checked(body.len().checked_sub(version.hash().len())?)?;
    let bound_hash = Digest::new(version.hash(), hash).ok()?;
    // A KeyHeader starts with its own length, at most 44; a PRIVATEKEYBLOB with 07 02.
    let payload = match read_content_key(payload) {
        Some((cipher, key)) => OpenedPayload::ContentKey(ContentKey::new(cipher, key).ok()?),
        None => OpenedPayload::PrivateKey(PrivateKeyBlob::parse(payload).ok()?),
    };
    Some(OpenedKey {
        payload,
        bound_hash,
    })
}

/// `KeyHeader` and key ([MS-RMPR] 2.2.9.1.13.1). The size is written in bytes, as Windows does.
fn write_content_key(out: &mut Vec<u8>, key: &ContentKey) {
    let key_len: u8 = match key.bits() {
        KeyBits::Aes128 => 16,
        KeyBits::Aes192 => 24,
        KeyBits::Aes256 => 32,
    };
    let [mode_low, mode_high] = cipher_mode(key.cipher()).to_le_bytes();
    out.extend_from_slice(&[12 + key_len, 0, mode_low, mode_high, key_len, 0, 16, 0]);
    out.extend_from_slice(&FLAGS_AES_ECB.to_le_bytes());
    out.extend_from_slice(key.expose());
}

/// Reads `KeyHeader` and key at the start of `bytes`. Lenient as other writers need: the size in
/// bytes or bits, the mode in either byte order, block size and flags ignored.
fn read_content_key(bytes: &[u8]) -> Option<(Cipher, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<KEY_HEADER_LEN>()?;
    let [size0, size1, mode0, mode1, key0, key1, ..] = *header;
    let key_len = usize::from(u16::from_le_bytes([size0, size1])).checked_sub(KEY_HEADER_LEN)?;
    KeyBits::from_bytes(key_len)?;
    let named = usize::from(u16::from_le_bytes([key0, key1]));
    if named != key_len && named != key_len * 8 {
        return None;
    }
    let cipher = CIPHERS.into_iter().find(|&cipher| {
        let mode = cipher_mode(cipher);
        mode.to_le_bytes() == [mode0, mode1] || mode.to_be_bytes() == [mode0, mode1]
    })?;
    Some((cipher, rest.get(..key_len)?))
}

/// The Reserved field of a `KeyHeader`.
fn cipher_mode(cipher: Cipher) -> u16 {
    match cipher {
        Cipher::Ecb => 0xFFFF,
        Cipher::Cbc4kNoPadding => 0xFFFE,
        Cipher::Cbc4k => 0xFFFD,
        Cipher::Cbc512NoPadding => 0xFFFC,
    }
}

const CIPHERS: [Cipher; 4] = [
    Cipher::Ecb,
    Cipher::Cbc4kNoPadding,
    Cipher::Cbc4k,
    Cipher::Cbc512NoPadding,
];

const BLOCK: usize = 16;
const HEADER_LEN: usize = 16;
const KEY_HEADER_LEN: usize = 12;

/// More than the largest payload has: the blob of a 4096-bit private key, with header and hash.
const LONGEST_SECRET: usize = 4096;

/// Bits A (AES) and E (ECB) of the `KeyHeader`'s Flags. Windows is known to write other values, so
/// nobody tests them.
const FLAGS_AES_ECB: u32 = 0x0000_1001;

#[cfg(test)]
mod tests;
