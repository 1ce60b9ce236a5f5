//! Tells what a file is by its content, never by its name. Streams taken loose out of a compound
//! file have no magic and are told by their structure.

use std::io::{self, Read, Seek, SeekFrom};

use crate::dataspaces::{
    ContentHeader, DataSpaceDefinition, DataSpaceMap, VersionInfo, looks_like_transform,
};
use crate::license::looks_like_xrml;
use crate::{compound, pfile};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A pfile.
    Pfile,
    /// The protected attachment of a mail, `message.rpmsg`.
    Rpmsg,
    /// An OLE compound file, protected or not.
    CompoundFile,
    /// A PDF, protected or not.
    Pdf,
    /// XrML text in UTF-8 or UTF-16LE.
    License,
    /// A stream that says how a compound file is protected.
    DataSpace(DataSpaceStream),
    /// A stream of ciphertext from a compound file. A guess: it has no magic.
    EncryptedPackage,
    /// A property set of \[MS-OLEPS\], such as a document's summary.
    PropertySet,
    /// None of these.
    Unknown,
}

/// The streams under `\6DataSpaces`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataSpaceStream {
    /// `Version`.
    Version,
    /// `DataSpaceMap`.
    Map,
    /// A stream of `DataSpaceInfo`.
    Definition,
    /// `\6Primary` of a transform.
    Transform,
}

/// Tells what a file is from at most its first 64 KiB, wherever the reader stands.
pub fn detect<R: Read + Seek>(file: &mut R) -> io::Result<Kind> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut prefix = Vec::new();
    file.take(PREFIX as u64).read_to_end(&mut prefix)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(detect_prefix(&prefix, length))
}

/// Tells what a file of `length` bytes is that begins with `prefix`. Structures without a magic
/// are recognised only when `prefix` is all there is of them.
pub fn detect_prefix(prefix: &[u8], length: u64) -> Kind {
    if prefix.starts_with(pfile::MAGIC) {
        Kind::Pfile
    } else if prefix.starts_with(&RPMSG_MAGIC) {
        Kind::Rpmsg
    } else if prefix.starts_with(&compound::MAGIC) {
        Kind::CompoundFile
    } else if prefix.starts_with(b"%PDF-") {
        Kind::Pdf
    } else if looks_like_xrml(prefix) {
        Kind::License
    } else if is_property_set(prefix) {
        Kind::PropertySet
    } else if let Some(stream) = data_space_stream(prefix, length) {
        Kind::DataSpace(stream)
    } else if is_content(prefix, length) {
        Kind::EncryptedPackage
    } else {
        Kind::Unknown
    }
}

fn data_space_stream(prefix: &[u8], length: u64) -> Option<DataSpaceStream> {
    if looks_like_transform(prefix) {
        return Some(DataSpaceStream::Transform);
    }
    if prefix.len() as u64 != length {
        return None;
    }
    if VersionInfo::parse(prefix).is_ok() {
        Some(DataSpaceStream::Version)
    } else if DataSpaceMap::parse(prefix).is_ok_and(|map| !map.entries.is_empty()) {
        Some(DataSpaceStream::Map)
    } else if DataSpaceDefinition::parse(prefix).is_ok_and(|def| !def.transforms.is_empty()) {
        Some(DataSpaceStream::Definition)
    } else {
        None
    }
}

/// A length that fits the rest, whole cipher blocks, and less than one unit of fill.
fn is_content(prefix: &[u8], length: u64) -> bool {
    ContentHeader::parse(prefix, length).is_ok_and(|header| {
        header.declared_length > 0
            && header
                .ciphertext_length
                .saturating_sub(header.declared_length)
                < 4096
    })
}

/// Byte order mark, version 0 or 1, and one or two sections (\[MS-OLEPS\] 2.21).
fn is_property_set(prefix: &[u8]) -> bool {
    let version = prefix.get(2..4);
    let sections = prefix.get(24..28);
    prefix.starts_with(&[0xFE, 0xFF])
        && matches!(version, Some([0 | 1, 0]))
        && matches!(sections, Some([1 | 2, 0, 0, 0]))
}

/// The first eight bytes of `message.rpmsg` (\[MS-OXORMMS\] 2.2.4).
pub const RPMSG_MAGIC: [u8; 8] = [0x76, 0xE8, 0x04, 0x60, 0xC4, 0x11, 0xE3, 0x86];

const PREFIX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataspaces::Transform;
    use proptest::prelude::*;

    fn kind(bytes: &[u8]) -> Kind {
        detect(&mut io::Cursor::new(bytes)).unwrap()
    }

    #[test]
    fn every_kind_is_told_by_its_content() {
        assert_eq!(kind(b".pfile\x03\0\0\0"), Kind::Pfile);
        assert_eq!(kind(&RPMSG_MAGIC), Kind::Rpmsg);
        assert_eq!(kind(&compound::MAGIC), Kind::CompoundFile);
        assert_eq!(kind(b"%PDF-1.7"), Kind::Pdf);
        assert_eq!(
            kind(b"\xEF\xBB\xBF<?xml version=\"1.0\"?><XrML>"),
            Kind::License
        );
        assert_eq!(kind(b"<?xml version=\"1.0\"?><html>"), Kind::Unknown);
        assert_eq!(kind(b""), Kind::Unknown);
        assert_eq!(kind(b"hello"), Kind::Unknown);
    }

    #[test]
    fn loose_streams_are_told_by_their_structure() {
        use DataSpaceStream::{Definition, Map, Transform as Primary, Version};
        assert_eq!(
            kind(&VersionInfo::default().to_bytes()),
            Kind::DataSpace(Version)
        );
        let map = DataSpaceMap::single("EncryptedPackage", "DRMEncryptedDataSpace");
        assert_eq!(kind(&map.to_bytes()), Kind::DataSpace(Map));
        let definition = DataSpaceDefinition::single("DRMEncryptedTransform");
        assert_eq!(kind(&definition.to_bytes()), Kind::DataSpace(Definition));
        let transform = Transform::drm(&vec![b'x'; 100_000]);
        assert_eq!(kind(&transform.to_bytes()), Kind::DataSpace(Primary));
    }

    #[test]
    fn ciphertext_is_guessed_from_its_length_field() {
        let mut stream = 20_u64.to_le_bytes().to_vec();
        stream.extend([7; 32]);
        assert_eq!(kind(&stream), Kind::EncryptedPackage);
        stream.push(7);
        assert_eq!(kind(&stream), Kind::Unknown);
        let mut filled = 1_u64.to_le_bytes().to_vec();
        filled.extend([7; 4096]);
        assert_eq!(kind(&filled), Kind::EncryptedPackage);
        filled.extend([7; 16]);
        assert_eq!(kind(&filled), Kind::Unknown);
        assert_eq!(kind(&[0; 24]), Kind::Unknown);
    }

    #[test]
    fn utf16_big_endian_text_is_no_property_set() {
        assert_eq!(
            kind(b"\xFE\xFF\0<\0X\0r\0M\0L\0 \0x\0m\0l\0n\0s\0=\0\"\0\""),
            Kind::Unknown
        );
    }

    proptest! {
        #[test]
        fn anything_is_something(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            kind(&bytes);
        }
    }
}
