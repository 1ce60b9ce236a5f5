//! The two cryptographic modes ([MS-RMPR] 3.1.4.7), their hash algorithms, and digests of
//! licence text the way signatures and sealed keys take them (UTF-16LE, no BOM).

use std::fmt;

use aws_lc_rs::digest;
use subtle::ConstantTimeEq;

use crate::sealed_key::SealedKeyVersion;

/// A cryptographic mode: the key sizes and the hash a hierarchy uses ([MS-RMPR] 3.1.4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// RSA-1024, SHA-1, sealed keys of type `sealed-key`.
    One,
    /// RSA-2048, SHA-256, sealed keys of type `sealed-key-v2`.
    Two,
}

impl Mode {
    /// The hash of signatures made in this mode.
    pub fn hash(self) -> HashAlgorithm {
        match self {
            Self::One => HashAlgorithm::Sha1,
            Self::Two => HashAlgorithm::Sha256,
        }
    }

    /// Length in bits of the RSA keys made in this mode.
    pub fn rsa_bits(self) -> usize {
        match self {
            Self::One => 1024,
            Self::Two => 2048,
        }
    }

    /// The type of sealed keys made in this mode.
    pub fn sealed_key_version(self) -> SealedKeyVersion {
        match self {
            Self::One => SealedKeyVersion::V1,
            Self::Two => SealedKeyVersion::V2,
        }
    }

    /// The number administrators and protocols use: 1 or 2.
    pub fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The mode with this number, if there is one.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        }
    }
}

/// A hash algorithm that signatures and digests name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashAlgorithm {
    /// SHA-1, 20 bytes: mode 1.
    Sha1,
    /// SHA-256, 32 bytes: mode 2.
    Sha256,
}

impl HashAlgorithm {
    /// The name as licences write it: `SHA1` or `SHA256`.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// Reads a name from the wire; the specification's spelling with a hyphen and any case are
    /// accepted too.
    pub fn from_wire_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("SHA1") || name.eq_ignore_ascii_case("SHA-1") {
            Some(Self::Sha1)
        } else if name.eq_ignore_ascii_case("SHA256") || name.eq_ignore_ascii_case("SHA-256") {
            Some(Self::Sha256)
        } else {
            None
        }
    }

    /// Length of a digest in bytes: 20 or 32.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Length of a digest in bits: 160 or 256, the `size` attribute of a DIGEST value.
    pub fn bits(self) -> usize {
        self.len() * 8
    }

    pub(crate) fn library(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wire_name())
    }
}

/// A hash value together with the algorithm it was made by. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Digest {
    algorithm: HashAlgorithm,
    bytes: [u8; MAX_DIGEST_LEN],
}

impl Digest {
    /// Takes a digest found on the wire.
    pub fn new(algorithm: HashAlgorithm, value: &[u8]) -> Result<Self, DigestLengthError> {
        if value.len() != algorithm.len() {
            return Err(DigestLengthError {
                algorithm,
                found: value.len(),
            });
        }
        Ok(Self::filled(algorithm, value))
    }

    /// Hashes bytes.
    pub fn of(algorithm: HashAlgorithm, bytes: &[u8]) -> Self {
        Self::filled(
            algorithm,
            digest::digest(algorithm.library(), bytes).as_ref(),
        )
    }

    /// Hashes the UTF-16LE form of `text`, without BOM, as signatures over a BODY and the hash
    /// bound into a sealed key take it. The UTF-16 text is never held as a whole.
    pub fn of_utf16le(algorithm: HashAlgorithm, text: &str) -> Self {
        let mut context = digest::Context::new(algorithm.library());
        utf16le_chunks(text, |chunk| context.update(chunk));
        Self::filled(algorithm, context.finish().as_ref())
    }

    /// The algorithm the digest was made by.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The digest's bytes: 20 or 32 of them.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.algorithm.len()).unwrap_or_default()
    }

    fn filled(algorithm: HashAlgorithm, value: &[u8]) -> Self {
        let mut bytes = [0; MAX_DIGEST_LEN];
        for (to, from) in bytes.iter_mut().zip(value) {
            *to = *from;
        }
        Self { algorithm, bytes }
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        // Bytes past the length are zero in both, so comparing the whole array is exact.
        self.algorithm == other.algorithm && bool::from(self.bytes.ct_eq(&other.bytes))
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm)?;
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest on the wire whose length does not fit its algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {algorithm} digest has {} bytes, this one has {found}", algorithm.len())]
pub struct DigestLengthError {
    /// The algorithm the digest names.
    pub algorithm: HashAlgorithm,
    /// The number of bytes found.
    pub found: usize,
}

/// SHA-256 of bytes, for keys of caches and fingerprints.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Digest::of(HashAlgorithm::Sha256, bytes).bytes
}

/// SHA-256 of bytes that come in pieces.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// A digest of nothing yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> [u8; 32] {
        Digest::filled(HashAlgorithm::Sha256, self.0.finish().as_ref()).bytes
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

/// Hands the UTF-16LE form of `text` to `sink` in pieces of at most `CHUNK` bytes.
fn utf16le_chunks(text: &str, mut sink: impl FnMut(&[u8])) {
    let mut buffer = [0u8; CHUNK];
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = ascii_prefix(rest.as_bytes());
        let (plain, other) = rest.split_at(ascii);
        for piece in plain.as_bytes().chunks(CHUNK / 2) {
            // The high bytes are zero: widening byte by byte vectorises.
            for (pair, &byte) in buffer.chunks_exact_mut(2).zip(piece) {
                pair.copy_from_slice(&[byte, 0]);
            }
            sink(buffer.get(..piece.len() * 2).unwrap_or_default());
        }
        // Runs of other characters end at the next ASCII one, so that text in one language with
        // tags between does not change path at every character.
        let run = other
            .find(|c: char| c.is_ascii_alphanumeric())
            .unwrap_or(other.len());
        let (wide, next) = other.split_at(run);
        let mut filled = 0;
        for unit in wide.encode_utf16() {
            if let Some(pair) = buffer.get_mut(filled..filled + 2) {
                pair.copy_from_slice(&unit.to_le_bytes());
            }
            filled += 2;
            if filled == CHUNK {
                sink(&buffer);
                filled = 0;
            }
        }
        sink(buffer.get(..filled).unwrap_or_default());
        rest = next;
    }
}

/// How many bytes at the start are ASCII; always a character boundary of UTF-8.
fn ascii_prefix(bytes: &[u8]) -> usize {
    const STEP: usize = 64;
    let mut done = 0;
    for chunk in bytes.chunks(STEP) {
        if !chunk.is_ascii() {
            return done + chunk.iter().take_while(|byte| byte.is_ascii()).count();
        }
        done += chunk.len();
    }
    done
}

const MAX_DIGEST_LEN: usize = 32;

/// Bytes of UTF-16 handed to the hash at once: small enough for the stack, large enough that the
/// call does not show.
const CHUNK: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashed_whole(text: &str) -> Digest {
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        Digest::of(HashAlgorithm::Sha256, &wide)
    }

    #[test]
    fn text_is_hashed_as_utf16le_whatever_its_language() {
        let long = "<BODY>\u{e9}\u{4e2d}\u{1f600} </BODY>".repeat(400);
        for text in [
            "",
            "a",
            "<BODY>",
            "\u{1f600}",
            "ж",
            &"x".repeat(1025),
            &long,
        ] {
            assert_eq!(
                Digest::of_utf16le(HashAlgorithm::Sha256, text),
                hashed_whole(text)
            );
        }
    }

    proptest! {
        #[test]
        fn streaming_utf16le_equals_hashing_the_whole(text in any::<String>()) {
            prop_assert_eq!(Digest::of_utf16le(HashAlgorithm::Sha256, &text), hashed_whole(&text));
        }

        #[test]
        fn mixed_text_hashes_like_the_whole(text in "[a-z<>é中]{0,3000}") {
            prop_assert_eq!(Digest::of_utf16le(HashAlgorithm::Sha256, &text), hashed_whole(&text));
        }
    }

    #[test]
    fn hash_names_are_read_with_and_without_hyphen() {
        for name in ["SHA1", "sha1", "SHA-1"] {
            assert_eq!(
                HashAlgorithm::from_wire_name(name),
                Some(HashAlgorithm::Sha1)
            );
        }
        for name in ["SHA256", "Sha256", "SHA-256"] {
            assert_eq!(
                HashAlgorithm::from_wire_name(name),
                Some(HashAlgorithm::Sha256)
            );
        }
        assert_eq!(HashAlgorithm::from_wire_name("MD5"), None);
        assert_eq!(HashAlgorithm::Sha256.to_string(), "SHA256");
    }

    #[test]
    fn a_digest_of_the_wrong_length_is_refused() {
        assert!(Digest::new(HashAlgorithm::Sha1, &[0; 20]).is_ok());
        let error = Digest::new(HashAlgorithm::Sha1, &[0; 64]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a SHA1 digest has 20 bytes, this one has 64"
        );
    }

    #[test]
    fn digests_of_different_algorithms_differ() {
        let sha1 = Digest::of(HashAlgorithm::Sha1, b"");
        assert_eq!(sha1.as_bytes().len(), 20);
        assert_eq!(
            format!("{sha1:?}"),
            "SHA1:da39a3ee5e6b4b0d3255bfef95601890afd80709"
        );
        assert_ne!(sha1, Digest::of(HashAlgorithm::Sha256, b""));
    }
}
