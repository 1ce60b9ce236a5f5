//! The content of a pfile: which cipher it is in, and streaming it in and out in constant memory.

use std::io::{self, Read, Seek, SeekFrom, Write};

use openrms_crypto::content::{decrypt_end, decrypt_stream, encrypt_stream};
use openrms_crypto::{Cipher, ContentKey};

use super::{Header, NOTICE, Version, WriteError, Writer};

/// The cipher of a pfile's content, from the container's version and what the license says of the
/// key. Up to version 2 it is always CBC4K, whatever the license says; from version 3 on the key
/// decides. CBC4K in a pfile is always the form with PKCS#7 padding.
pub fn effective_cipher(version: Version, key_cipher: Cipher) -> Cipher {
    match key_cipher {
        Cipher::Ecb | Cipher::Cbc512NoPadding if version.major > 2 => key_cipher,
        _ => Cipher::Cbc4k,
    }
}

/// The cipher of a pfile's content whose key came without one, as decommissioned servers give them
/// out ([MS-RMSI] 3.2.4.1.3.4). Up to version 2 there is only one. From version 3 on the end of the
/// content tells: CBC4K by its padding, ECB by zeros after the length in the header. One content in
/// 256 ends like that of another cipher by chance.
pub fn recognised_cipher<R: Read + Seek>(
    file: &mut R,
    header: &Header,
    key: &ContentKey,
) -> Result<Cipher, CipherUnknown> {
    if effective_cipher(header.version, Cipher::Ecb) != Cipher::Ecb {
        return Ok(Cipher::Cbc4k);
    }
    let length = header.content_length;
    if length == 0 {
        return Ok(Cipher::Ecb);
    }
    let end = |file: &mut R, cipher: Cipher| {
        let unit = cipher.unit_len() as u64;
        let first = (length - 1) / unit;
        file.seek(SeekFrom::Start(header.content_offset + first * unit))?;
        let mut last = Vec::with_capacity(cipher.unit_len());
        file.take(length - first * unit).read_to_end(&mut last)?;
        decrypt_end(&key.with_cipher(cipher), first, &last)
            .map_err(|_| CipherUnknown::NotWholeBlocks(length))
    };
    // Writers leave all kinds of numbers in the field; one that fits an ECB content may be one.
    let size = header.original_size.filter(|&size| size > 0);
    let fill = size.and_then(|size| Cipher::Ecb.ciphertext_len(size)?.checked_sub(size));
    let fits = size.and_then(|size| Cipher::Ecb.ciphertext_len(size)) == Some(length);
    let fill = fill
        .filter(|_| fits)
        .and_then(|fill| usize::try_from(fill).ok());
    let ends_with = |text: &[u8], count: usize, byte: usize| {
        let end = text.len().checked_sub(count).and_then(|at| text.get(at..));
        end.is_some_and(|end| end.iter().all(|&found| usize::from(found) == byte))
    };
    let padded = end(file, Cipher::Cbc4k)?;
    let count = padded.last().map_or(0, |&last| usize::from(last));
    let is_padded = (1..=16).contains(&count) && ends_with(&padded, count, count);
    // By their lengths both may be; what was written at the end tells them apart.
    if let Some(fill) = fill.filter(|&fill| fill > 0)
        && !(is_padded && count == fill)
        && ends_with(&end(file, Cipher::Ecb)?, fill, 0)
    {
        return Ok(Cipher::Ecb);
    }
    if is_padded {
        Ok(Cipher::Cbc4k)
    } else {
        Err(CipherUnknown::NoSign)
    }
}

/// Why nobody can tell which cipher a content is in.
#[derive(Debug, thiserror::Error)]
pub enum CipherUnknown {
    /// It ends like the content of no cipher, or of those that leave no sign.
    #[error(
        "the content ends neither as CBC4K nor as ECB does: it is in another cipher, in ECB without \
         fill, or damaged"
    )]
    NoSign,
    /// No cipher gives such a length.
    #[error("content of {0} bytes is of no cipher")]
    NotWholeBlocks(u64),
    /// Reading failed.
    #[error("content could not be read")]
    Io(#[from] io::Error),
}

/// Writes a pfile 3.0: header, `license` as it is, then all of `plain` enciphered. `extension` is
/// that of the original with its dot. `length` is the length of the original in bytes: ECB needs
/// it, as it is the only way to tell content from fill, and it is checked when given. Returns the
/// length of the original.
pub fn protect<R: Read, W: Write>(
    plain: R,
    out: &mut W,
    key: &ContentKey,
    license: &[u8],
    extension: &str,
    length: Option<u64>,
) -> Result<u64, ContentError> {
    protect_saying(NOTICE, plain, out, key, (license, extension), length)
}

/// The same with another notice, which everybody reads in clear who opens the file as a text.
pub fn protect_saying<R: Read, W: Write>(
    notice: &str,
    plain: R,
    out: &mut W,
    key: &ContentKey,
    (license, extension): (&[u8], &str),
    length: Option<u64>,
) -> Result<u64, ContentError> {
    let cipher = effective_cipher(Version { major: 3, minor: 0 }, key.cipher());
    let original_size = match (cipher, length) {
        (Cipher::Ecb, None) => return Err(ContentError::LengthNeeded),
        (Cipher::Ecb, known) => known,
        _ => None,
    };
    Writer::new(license, extension)
        .notice(notice.as_bytes())
        .original_size(original_size)
        .write_header(out)?;
    let found = encrypt_stream(&key.with_cipher(cipher), plain, out)?;
    match length {
        Some(declared) if declared != found => Err(ContentError::LengthChanged { declared, found }),
        _ => Ok(found),
    }
}

/// Writes the original of a pfile whose header was read from `file`. Returns its length in bytes.
/// There is no MAC: a wrong key is noticed by the padding of CBC4K at best.
pub fn unprotect<R: Read + Seek, W: Write>(
    file: &mut R,
    header: &Header,
    out: W,
    key: &ContentKey,
) -> Result<u64, ContentError> {
    let cipher = effective_cipher(header.version, key.cipher());
    let length = match cipher {
        // The padding tells; writers leave all kinds of numbers in the field.
        Cipher::Cbc4k => None,
        _ => header
            .original_size
            .filter(|&size| size > 0 || header.content_length == 0),
    };
    file.seek(SeekFrom::Start(header.content_offset))?;
    let content = file.take(header.content_length);
    Ok(decrypt_stream(
        &key.with_cipher(cipher),
        content,
        out,
        length,
    )?)
}

/// Why content could not be protected or unprotected.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// ECB without the length of the original.
    #[error("ECB content in a pfile needs the length of the original beforehand")]
    LengthNeeded,
    /// The original was not as long as stated; the pfile written is unusable.
    #[error("the original has {found} bytes instead of the {declared} stated; did it change?")]
    LengthChanged {
        /// Length stated.
        declared: u64,
        /// Length found.
        found: u64,
    },
    /// The ciphertext does not fit the key or the header, or the original does not fit the cipher.
    #[error(transparent)]
    Cipher(openrms_crypto::content::ContentError),
    /// The header could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Reading or writing failed.
    #[error("content could not be read or written")]
    Io(#[source] io::Error),
}

impl From<io::Error> for ContentError {
    /// The ciphers wrap their own errors in I/O errors; this unwraps them.
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(&cipher) => ContentError::Cipher(cipher),
            None => ContentError::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pfile::read_header;
    use openrms_crypto::content::ContentError as CipherError;
    use std::io::Cursor;

    const LICENSE: &[u8] = b"\xEF\xBB\xBF<XrML/>";

    fn key(cipher: Cipher) -> ContentKey {
        let bytes: Vec<u8> = (0..16).collect();
        ContentKey::new(cipher, &bytes).unwrap()
    }

    fn plain(length: usize) -> Vec<u8> {
        (0..length)
            .map(|i| u8::try_from(i % 251).unwrap())
            .collect()
    }

    fn round_trip(cipher: Cipher, length: usize) -> (Vec<u8>, Vec<u8>) {
        let (key, plain) = (key(cipher), plain(length));
        let mut file = Vec::new();
        protect(
            &plain[..],
            &mut file,
            &key,
            LICENSE,
            ".txt",
            Some(length as u64),
        )
        .unwrap();
        let mut cursor = Cursor::new(file);
        let header = read_header(&mut cursor).unwrap();
        assert_eq!(header.read_license(&mut cursor).unwrap(), LICENSE);
        assert_eq!(header.extension, ".txt");
        let mut out = Vec::new();
        assert_eq!(
            unprotect(&mut cursor, &header, &mut out, &key).unwrap(),
            length as u64
        );
        assert_eq!(out, plain);
        let offset = usize::try_from(header.content_offset).unwrap();
        let content = cursor.into_inner().split_off(offset);
        (content, out)
    }

    #[test]
    fn up_to_version_2_content_is_cbc4k_whatever_the_license_says() {
        for cipher in [
            Cipher::Ecb,
            Cipher::Cbc4k,
            Cipher::Cbc4kNoPadding,
            Cipher::Cbc512NoPadding,
        ] {
            for minor in [0, 1] {
                assert_eq!(
                    effective_cipher(Version { major: 2, minor }, cipher),
                    Cipher::Cbc4k
                );
            }
        }
    }

    #[test]
    fn version_3_uses_the_cipher_of_the_key() {
        let v3 = Version { major: 3, minor: 0 };
        assert_eq!(effective_cipher(v3, Cipher::Ecb), Cipher::Ecb);
        assert_eq!(
            effective_cipher(v3, Cipher::Cbc512NoPadding),
            Cipher::Cbc512NoPadding
        );
        assert_eq!(effective_cipher(v3, Cipher::Cbc4kNoPadding), Cipher::Cbc4k);
    }

    #[test]
    fn what_was_protected_is_unprotected() {
        for length in [0, 1, 15, 16, 4095, 4096, 4097, 600_000] {
            let (content, _) = round_trip(Cipher::Cbc4k, length);
            assert_eq!(content.len(), (length / 16 + 1) * 16);
            let (content, _) = round_trip(Cipher::Ecb, length);
            assert_eq!(content.len(), length.next_multiple_of(16));
        }
        round_trip(Cipher::Cbc512NoPadding, 1040);
    }

    #[test]
    fn one_byte_gives_the_ciphertext_of_the_sdk() {
        let (content, _) = round_trip(Cipher::Cbc4k, 1);
        assert_eq!(crate::hex(&content), "5f02d0341e2308378bfc1fa079abacc2");
    }

    #[test]
    fn ecb_without_a_length_is_refused() {
        let result = protect(
            &b"x"[..],
            &mut Vec::new(),
            &key(Cipher::Ecb),
            LICENSE,
            "",
            None,
        );
        assert!(matches!(result, Err(ContentError::LengthNeeded)));
    }

    #[test]
    fn a_file_that_changed_while_it_was_read_is_noticed() {
        let key = key(Cipher::Ecb);
        let result = protect(&b"four"[..], &mut Vec::new(), &key, LICENSE, "", Some(5));
        assert!(matches!(
            result,
            Err(ContentError::LengthChanged {
                declared: 5,
                found: 4
            })
        ));
    }

    #[test]
    fn a_wrong_key_is_an_error_of_the_padding() {
        let mut file = Vec::new();
        protect(
            &b"hello"[..],
            &mut file,
            &key(Cipher::Cbc4k),
            LICENSE,
            "",
            None,
        )
        .unwrap();
        let mut cursor = Cursor::new(file);
        let header = read_header(&mut cursor).unwrap();
        let other = ContentKey::new(Cipher::Cbc4k, &[7; 16]).unwrap();
        let result = unprotect(&mut cursor, &header, io::sink(), &other);
        assert!(matches!(
            result,
            Err(ContentError::Cipher(CipherError::Padding))
        ));
    }

    #[test]
    fn ecb_content_shorter_than_its_original_size_is_an_error() {
        let mut file = Vec::new();
        let key = key(Cipher::Ecb);
        protect(&b"hello"[..], &mut file, &key, LICENSE, "", Some(5)).unwrap();
        let mut cursor = Cursor::new(file);
        let mut header = read_header(&mut cursor).unwrap();
        header.original_size = Some(1 << 40);
        let result = unprotect(&mut cursor, &header, io::sink(), &key);
        let truncated = CipherError::Truncated {
            declared: 1 << 40,
            found: 16,
        };
        assert!(matches!(result, Err(ContentError::Cipher(error)) if error == truncated));
    }

    #[test]
    fn an_original_size_of_zero_means_unknown_where_there_is_content() {
        let mut file = Vec::new();
        let key = key(Cipher::Ecb);
        protect(&[1; 16][..], &mut file, &key, LICENSE, "", Some(16)).unwrap();
        let mut cursor = Cursor::new(file);
        let mut header = read_header(&mut cursor).unwrap();
        header.original_size = Some(0);
        let mut out = Vec::new();
        unprotect(&mut cursor, &header, &mut out, &key).unwrap();
        assert_eq!(out, [1; 16]);
    }

    #[test]
    fn the_end_of_content_tells_the_cipher_that_nobody_named() {
        let mut told = [0; 2];
        for (index, cipher) in [Cipher::Cbc4k, Cipher::Ecb].into_iter().enumerate() {
            for length in (1..70).chain([4080, 4095, 4096, 4097, 8191, 8192, 9001]) {
                let (key, plain) = (key(cipher), plain(length));
                let mut file = Vec::new();
                let size = Some(length as u64);
                protect(&*plain, &mut file, &key, b"license", ".txt", size).unwrap();
                let mut file = io::Cursor::new(file);
                let header = read_header(&mut file).unwrap();
                let unnamed = key.with_cipher(Cipher::Cbc4k);
                match recognised_cipher(&mut file, &header, &unnamed) {
                    Ok(found) => {
                        assert_eq!(found, cipher, "{length}");
                        told[index] += 1;
                    }
                    // Nothing was filled up.
                    Err(CipherUnknown::NoSign) => {
                        assert!(cipher == Cipher::Ecb && length % 16 == 0, "{length}");
                    }
                    Err(other) => panic!("{length}: {other}"),
                }
            }
        }
        assert_eq!(told, [76, 69]);
    }

    #[test]
    fn content_in_a_cipher_that_leaves_no_sign_is_refused_by_name() {
        let (key, plain) = (key(Cipher::Cbc512NoPadding), plain(1040));
        let mut file = Vec::new();
        protect(&*plain, &mut file, &key, b"license", ".txt", None).unwrap();
        let mut header = read_header(&mut io::Cursor::new(&file)).unwrap();
        let found = recognised_cipher(&mut io::Cursor::new(&file), &header, &key);
        assert!(matches!(found, Err(CipherUnknown::NoSign)), "{found:?}");
        header.content_length -= 1;
        let found = recognised_cipher(&mut io::Cursor::new(&file), &header, &key);
        assert!(
            matches!(found, Err(CipherUnknown::NotWholeBlocks(1039))),
            "{found:?}"
        );
    }
}
