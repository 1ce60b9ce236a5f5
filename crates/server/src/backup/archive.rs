//! The archive of a backup: one file, sealed under a password of its own. The manual describes it
//! in full ("The archive").
//!
//! ```text
//! header   magic, 8 bytes || format, 2 bytes LE || password: version, memory, passes, lanes, salt
//!          || check, 32 bytes, which only the right password gives over an unaltered header
//! body     records, sealed as one stream (openrms_crypto::stream) beside the header
//! ```
//!
//! What cannot be opened was made under another password or is not what was written: nothing of
//! it is used, and nothing is repaired.

use std::io::{self, Read, Write};

use openrms_crypto::envelope::{self, EnvelopeError, PasswordKey};
use openrms_crypto::stream::{Opener, Sealer, StreamError};
use openrms_crypto::{Secret, Sha256};
use zeroize::Zeroizing;

use super::records::RecordError;

/// Why an archive is not written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be read or written.
    #[error("{0}")]
    Io(io::Error),
    /// It does not begin like one.
    #[error("the file is not a backup of OpenRMS")]
    NotAnArchive,
    /// It ends within its header.
    #[error("the backup is cut short within its header")]
    CutHeader,
    /// It was made by a release that writes another format.
    #[error("the backup has format {found}, this release knows format {FORMAT}")]
    Format {
        /// What it says.
        found: u16,
    },
    /// What it says of its password is impossible.
    #[error("the backup's header is damaged: {0}")]
    Header(EnvelopeError),
    /// Another password, or an altered header: nobody can tell which.
    #[error("the password is not that of the backup, or the backup's header was altered")]
    WrongPassword,
    /// The body is not what was sealed.
    #[error("the backup is damaged: {0}")]
    Damaged(StreamError),
    /// The body is whole and not understood.
    #[error("the backup cannot be read: {0}")]
    Record(#[from] RecordError),
}

/// Writes what it is given as the body of an archive.
pub(crate) type Body<W> = Sealer<W>;

/// Begins an archive: writes its header.
pub(crate) fn create<W: Write>(mut out: W, password: &[u8]) -> Result<Body<W>, ArchiveError> {
    let parameters = PasswordKey::fresh().map_err(ArchiveError::Header)?;
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&FORMAT.to_le_bytes());
    header.extend_from_slice(&parameters.to_bytes());
    let keys = Keys::derive(&parameters, password, &header)?;
    header.extend_from_slice(keys.check.expose());
    out.write_all(&header)?;
    Ok(Sealer::new(&keys.body, &header, out)?)
}

/// Opens an archive: reads its header, and gives its body to be read.
pub(crate) fn open<R: Read>(mut file: R, password: &[u8]) -> Result<Opener<R>, ArchiveError> {
    let mut header = Vec::with_capacity(HEADER);
    (&mut file).take(HEADER as u64).read_to_end(&mut header)?;
    let rest = header
        .strip_prefix(MAGIC)
        .ok_or(ArchiveError::NotAnArchive)?;
    // Another format may have another header.
    let (format, rest) = rest.split_first_chunk().ok_or(ArchiveError::CutHeader)?;
    let found = u16::from_le_bytes(*format);
    if found != FORMAT {
        return Err(ArchiveError::Format { found });
    }
    let (parameters, check) = rest
        .len()
        .checked_sub(CHECK)
        .and_then(|at| rest.split_at_checked(at))
        .ok_or(ArchiveError::CutHeader)?;
    if header.len() != HEADER {
        return Err(ArchiveError::CutHeader);
    }
    let parameters = PasswordKey::from_bytes(parameters).map_err(ArchiveError::Header)?;
    let clear = header.get(..HEADER - CHECK).unwrap_or_default();
    let keys = Keys::derive(&parameters, password, clear)?;
    if keys.check != Secret::from(check) {
        return Err(ArchiveError::WrongPassword);
    }
    Ok(Opener::new(&keys.body, &header, file)?)
}

/// SHA-256 of a whole file, in hexadecimal digits.
pub(crate) fn digest(mut file: impl Read) -> io::Result<String> {
    use std::fmt::Write as _;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(read) if !read.is_empty() => digest.update(read),
            _ => break,
        }
    }
    let mut text = String::with_capacity(64);
    for byte in digest.finish() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// What a password gives, over one header.
struct Keys {
    body: Zeroizing<[u8; 32]>,
    /// Compared in constant time.
    check: Secret,
}

impl Keys {
    fn derive(
        parameters: &PasswordKey,
        password: &[u8],
        header: &[u8],
    ) -> Result<Self, ArchiveError> {
        let derived = || {
            let secret = parameters.derive(password)?;
            let check = envelope::derive(&*secret, header, b"openrms backup header 1")?;
            Ok(Self {
                body: envelope::derive(&*secret, header, b"openrms backup body 1")?,
                check: Secret::from(check.as_slice()),
            })
        };
        derived().map_err(ArchiveError::Header)
    }
}

impl From<io::Error> for ArchiveError {
    /// What a stream found wrong comes as the reason of an error of the reader.
    fn from(error: io::Error) -> Self {
        let stream = error.get_ref().and_then(|inner| inner.downcast_ref());
        match stream {
            Some(wrong) => Self::Damaged(*wrong),
            None => Self::Io(error),
        }
    }
}

impl From<StreamError> for ArchiveError {
    fn from(error: StreamError) -> Self {
        Self::Damaged(error)
    }
}

/// Not text from its first byte on, and broken by whatever changes line ends.
const MAGIC: &[u8; 8] = b"\x8aORMSB\r\n";
const FORMAT: u16 = 1;
const PARAMETERS: usize = 29;
const CHECK: usize = 32;
const HEADER: usize = MAGIC.len() + 2 + PARAMETERS + CHECK;

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &[u8] = b"Tr1cky-horse-b";

    fn archive(body: &[u8]) -> Vec<u8> {
        let mut writer = create(Vec::new(), PASSWORD).unwrap();
        writer.write_all(body).unwrap();
        writer.finish().unwrap()
    }

    fn read(archive: &[u8], password: &[u8]) -> Result<Vec<u8>, ArchiveError> {
        let mut body = Vec::new();
        open(archive, password)?.read_to_end(&mut body)?;
        Ok(body)
    }

    #[test]
    fn a_body_comes_back_under_its_password_only() {
        let archive = archive(b"body");
        assert_eq!(read(&archive, PASSWORD).unwrap(), b"body");
        assert!(matches!(
            read(&archive, b"another"),
            Err(ArchiveError::WrongPassword)
        ));
        let twice = self::archive(b"body");
        assert_ne!(archive, twice);
    }

    #[test]
    fn every_region_of_the_file_is_authenticated() {
        let whole = archive(b"body");
        // One of each field: opening takes a password's time.
        for at in [
            0,
            7,
            8,
            9,
            10,
            11,
            15,
            19,
            23,
            38,
            39,
            70,
            71,
            whole.len() - 1,
        ] {
            let mut wrong = whole.clone();
            wrong[at] ^= 0x04;
            let error = read(&wrong, PASSWORD).unwrap_err();
            let named = match at {
                0..8 => matches!(error, ArchiveError::NotAnArchive),
                8..10 => matches!(error, ArchiveError::Format { .. }),
                10..HEADER => {
                    matches!(error, ArchiveError::WrongPassword | ArchiveError::Header(_))
                }
                _ => matches!(error, ArchiveError::Damaged(_)),
            };
            assert!(named, "byte {at}: {error}");
        }
    }

    #[test]
    fn what_is_cut_off_is_missed() {
        let whole = archive(b"body");
        for length in (0..=HEADER).step_by(5).chain(HEADER..whole.len()) {
            let error = read(&whole[..length], PASSWORD).unwrap_err();
            let named = match length {
                0..8 => matches!(error, ArchiveError::NotAnArchive),
                8..HEADER => matches!(error, ArchiveError::CutHeader),
                _ => matches!(error, ArchiveError::Damaged(_)),
            };
            assert!(named, "{length}: {error}");
        }
    }

    #[test]
    fn a_header_cannot_make_the_reader_work_for_ever() {
        let mut wrong = archive(b"body");
        // Four gibibytes of memory.
        wrong[11..15].copy_from_slice(&(4_u32 << 20).to_le_bytes());
        assert!(matches!(
            read(&wrong, PASSWORD),
            Err(ArchiveError::Header(EnvelopeError::Cost))
        ));
    }
}
