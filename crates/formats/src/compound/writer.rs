//! Makes a compound file, version 3, with the data spaces of one family and nothing in clear.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime};

use openrms_crypto::ContentKey;
use openrms_crypto::content::encrypt_stream;

use super::{Family, office_cipher};
use crate::dataspaces::{ContentHeader, DataSpaceDefinition, DataSpaceMap, Transform, VersionInfo};
use crate::pfile::ContentError;

/// Writes a protected compound file around ciphertext that exists already. `out` must be empty.
/// The ciphertext must be a multiple of 16 bytes and not shorter than `declared_length`, the
/// length of the original in bytes. Returns `out` for further use.
pub fn write<F: Read + Write + Seek>(
    out: F,
    family: Family,
    license: &[u8],
    declared_length: u64,
    mut ciphertext: impl Read,
) -> io::Result<F> {
    let (file, _) = fill(out, family, license, |stream| {
        let length = io::copy(&mut ciphertext, stream)?;
        let front = declared_length.to_le_bytes();
        ContentHeader::parse(&front, length.saturating_add(8))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok::<_, io::Error>(declared_length)
    })?;
    Ok(file)
}

/// Writes a protected compound file around `plain`, enciphering in constant memory. `out` must be
/// empty. Office wants the license in UTF-8 without a byte order mark. Returns the length of the
/// original in bytes.
///
/// Binary Office documents also need a placeholder document at the root, without which programs
/// do not know their kind; that is the caller's to add.
pub fn protect<F: Read + Write + Seek>(
    plain: impl Read,
    out: F,
    key: &ContentKey,
    family: Family,
    license: &[u8],
) -> Result<u64, ContentError> {
    let key = key.with_cipher(office_cipher(key.cipher()));
    let (_, length) = fill(out, family, license, |stream| {
        Ok::<_, ContentError>(encrypt_stream(&key, plain, stream)?)
    })?;
    Ok(length)
}

/// Lays out the file; `content` writes the ciphertext and answers the length of the original.
fn fill<F: Read + Write + Seek, E: From<io::Error>>(
    out: F,
    family: Family,
    license: &[u8],
    content: impl FnOnce(&mut cfb::Stream<F>) -> Result<u64, E>,
) -> Result<(F, u64), E> {
    if u32::try_from(license.len()).is_err() || license.is_empty() {
        let error = io::Error::new(
            io::ErrorKind::InvalidInput,
            "license is empty or over 4 GiB",
        );
        return Err(error.into());
    }
    let mut file = cfb::CompoundFile::create_with_version(cfb::Version::V3, out)?;
    let definition = format!("/\u{6}DataSpaces/DataSpaceInfo/{}", family.data_space());
    let transform = format!("/\u{6}DataSpaces/TransformInfo/{}", family.transform());
    for storage in [
        "/\u{6}DataSpaces",
        "/\u{6}DataSpaces/DataSpaceInfo",
        "/\u{6}DataSpaces/TransformInfo",
        &transform,
    ] {
        file.create_storage(storage)?;
        // The library stamps storages with the time of day; files of equal content shall be equal.
        file.set_created_time(storage, no_time())?;
        file.set_modified_time(storage, no_time())?;
    }
    let map = DataSpaceMap::single(family.content_stream(), family.data_space());
    for (path, bytes) in [
        (
            "/\u{6}DataSpaces/Version",
            VersionInfo::default().to_bytes(),
        ),
        ("/\u{6}DataSpaces/DataSpaceMap", map.to_bytes()),
        (
            &definition,
            DataSpaceDefinition::single(family.transform()).to_bytes(),
        ),
        (
            &format!("{transform}/\u{6}Primary"),
            Transform::drm(license).to_bytes(),
        ),
    ] {
        file.create_stream(path)?.write_all(&bytes)?;
    }
    let mut stream = file.create_stream(format!("/{}", family.content_stream()))?;
    stream.write_all(&[0; 8])?;
    let length = content(&mut stream)?;
    stream.seek(SeekFrom::Start(0))?;
    stream.write_all(&length.to_le_bytes())?;
    stream.flush()?;
    drop(stream);
    file.flush()?;
    Ok((file.into_inner(), length))
}

/// The zero of file times, 1601-01-01, which stands for "not set".
fn no_time() -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_sub(Duration::from_hours(3_234_576))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
