//! Reads the header of a pfile. Sections are found by offset, so their order in the file is free,
//! except that the content runs to the end.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::MAGIC;
use crate::{Limits, license};

/// Everything the header of a pfile says, checked against the length of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the container; major is 2 or 3.
    pub version: Version,
    /// Length in bytes of the clear text for people without a viewer.
    pub notice_length: u32,
    /// What the header block says of its own size: 24, 40 or 48 in genuine files. Not checked,
    /// as no reader does.
    pub header_size: u32,
    /// Extension of the original with its dot, as stored. Not safe in a file name: see
    /// [`names::sanitise_extension`](crate::names::sanitise_extension).
    pub extension: String,
    /// Where the publishing license is, a trailing NUL included.
    pub license: Range<u64>,
    /// Where the ciphertext begins; it runs to the end of the file.
    pub content_offset: u64,
    /// Length of the ciphertext in bytes.
    pub content_length: u64,
    /// Length of the original in bytes as stored, from version 2.1 on; `None` for all ones
    /// (unknown). Zero may mean unknown too: see [`Header::declared_length`].
    pub original_size: Option<u64>,
    /// Where the metadata is, from version 2.1 on.
    pub metadata: Option<Range<u64>>,
}

impl Header {
    /// Length of the original in bytes, when the header knows it. Labelling clients store 0 for
    /// "unknown"; 0 is believed only where the ciphertext can be that of an empty file.
    pub fn declared_length(&self) -> Option<u64> {
        self.original_size
            .filter(|&size| size > 0 || self.content_length <= 16)
    }

    /// Reads the publishing license: the raw bytes with their byte order mark, without NULs at
    /// the end. Their length was bounded when the header was read.
    pub fn read_license<R: Read + Seek>(&self, file: &mut R) -> Result<Vec<u8>, Error> {
        let mut bytes = read_range(file, &self.license, Section::License)?;
        bytes.truncate(license::trim_nul(&bytes).len());
        Ok(bytes)
    }
}

/// Version of a pfile container. Both numbers are below 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2 or 3.
    pub major: u8,
    /// 0 or 1 in genuine files.
    pub minor: u8,
}

impl Version {
    /// Original size and metadata came with version 2.1.
    fn has_metadata(self) -> bool {
        self >= Version { major: 2, minor: 1 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A stretch of a pfile that the header points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The clear text for people.
    Notice,
    /// Extension of the original.
    Extension,
    /// Publishing license.
    License,
    /// Metadata of the writer.
    Metadata,
    /// Ciphertext.
    Content,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Section::Notice => "notice",
            Section::Extension => "extension",
            Section::License => "license",
            Section::Metadata => "metadata",
            Section::Content => "content",
        })
    }
}

/// A number in the header of a pfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Major version.
    Major,
    /// Minor version.
    Minor,
    /// Length of the notice.
    NoticeLength,
    /// Size of the header block.
    HeaderSize,
    /// Offset of the extension.
    ExtensionOffset,
    /// Length of the extension.
    ExtensionLength,
    /// Offset of the license.
    LicenseOffset,
    /// Length of the license.
    LicenseLength,
    /// Offset of the content.
    ContentOffset,
    /// Length of the original.
    OriginalSize,
    /// Offset of the metadata.
    MetadataOffset,
    /// Length of the metadata.
    MetadataLength,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Major => "major version",
            Field::Minor => "minor version",
            Field::NoticeLength => "notice length",
            Field::HeaderSize => "header size",
            Field::ExtensionOffset => "extension offset",
            Field::ExtensionLength => "extension length",
            Field::LicenseOffset => "license offset",
            Field::LicenseLength => "license length",
            Field::ContentOffset => "content offset",
            Field::OriginalSize => "original size",
            Field::MetadataOffset => "metadata offset",
            Field::MetadataLength => "metadata length",
        })
    }
}

/// Why a file was not accepted as a pfile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not begin with `.pfile`.
    #[error("not a pfile: it does not begin with `.pfile`")]
    NotPfile,
    /// A version number of 256 or more: something else that begins with `.pfile`.
    #[error("not a pfile: the {field} is {value}, and no pfile has 256 or more")]
    VersionOutOfRange {
        /// Which number.
        field: Field,
        /// What it is.
        value: u32,
    },
    /// A pfile of a major version other than 2 and 3.
    #[error("pfile version {0} is not supported; 2.x and 3.x are")]
    UnsupportedVersion(Version),
    /// The file ends inside a number of the header.
    #[error("pfile ends within its header, at the {field}")]
    Truncated {
        /// The number that is cut.
        field: Field,
    },
    /// A section reaches beyond the end of the file.
    #[error(
        "pfile {section} of {length} bytes at {offset} is outside the file of {file_length} bytes"
    )]
    OutsideFile {
        /// Which section.
        section: Section,
        /// Where it is said to begin.
        offset: u64,
        /// How long it is said to be.
        length: u64,
        /// How long the file is.
        file_length: u64,
    },
    /// The content begins before another section, or the header, has ended. As the content has no
    /// length of its own, one of the two would be read as the other.
    #[error("pfile content begins at {content_offset}, before the {before} ends at {end}")]
    ContentTooEarly {
        /// Where the content is said to begin.
        content_offset: u64,
        /// What it overlaps: `header`, `license` or `metadata`.
        before: &'static str,
        /// Where that ends.
        end: u64,
    },
    /// The license is longer than the reader was told to take.
    #[error("pfile license of {length} bytes is longer than the limit of {limit}")]
    LicenseTooLong {
        /// Length in the header.
        length: u64,
        /// The limit that was set.
        limit: u64,
    },
    /// A pfile without a license cannot be opened by anybody.
    #[error("pfile license length is 0")]
    LicenseMissing,
    /// The extension is longer than the reader was told to take.
    #[error("pfile extension of {length} bytes is longer than the limit of {limit}")]
    ExtensionTooLong {
        /// Length in the header.
        length: u64,
        /// The limit that was set.
        limit: u64,
    },
    /// The extension is not UTF-8.
    #[error("pfile extension is not UTF-8")]
    ExtensionNotText,
    /// The file could not be read.
    #[error("pfile could not be read")]
    Io(#[from] io::Error),
}

/// Reads the header of a pfile under the default [`Limits`]. The reader may stand anywhere; it is
/// left inside the header.
pub fn read_header<R: Read + Seek>(file: &mut R) -> Result<Header, Error> {
    read_header_within(file, &Limits::default())
}

/// Reads the header of a pfile under given limits.
pub fn read_header_within<R: Read + Seek>(file: &mut R, limits: &Limits) -> Result<Header, Error> {
    let file_length = file.seek(SeekFrom::End(0))?;
    let front = read_at_most::<18, R>(file, 0)?;
    if !front.bytes().starts_with(MAGIC) {
        return Err(Error::NotPfile);
    }
    let version = read_version(&front)?;
    let notice_length = front.u32(14, Field::NoticeLength)?;
    let block_offset = 18 + u64::from(notice_length);
    within_file(Section::Notice, 18, notice_length, file_length)?;

    let block = read_at_most::<40, R>(file, block_offset)?;
    let header_size = block.u32(0, Field::HeaderSize)?;
    let extension_offset = block.u32(4, Field::ExtensionOffset)?;
    let extension_length = block.u32(8, Field::ExtensionLength)?;
    let license_offset = block.u32(12, Field::LicenseOffset)?;
    let license_length = block.u32(16, Field::LicenseLength)?;
    let content_offset = u64::from(block.u32(20, Field::ContentOffset)?);
    let (original_size, metadata, block_end) = if version.has_metadata() {
        let size = block.u64(24, Field::OriginalSize)?;
        let offset = block.u32(32, Field::MetadataOffset)?;
        let length = block.u32(36, Field::MetadataLength)?;
        let range = within_file(Section::Metadata, offset, length, file_length)?;
        (
            (size != u64::MAX).then_some(size),
            Some(range),
            block_offset + 40,
        )
    } else {
        (None, None, block_offset + 24)
    };

    let license = license_range(license_offset, license_length, file_length, limits)?;
    let content_length = file_length
        .checked_sub(content_offset)
        .ok_or(Error::OutsideFile {
            section: Section::Content,
            offset: content_offset,
            length: 0,
            file_length,
        })?;
    let metadata_end = metadata.as_ref().map_or(0, |range| range.end);
    for (before, end) in [
        ("header", block_end),
        ("license", license.end),
        ("metadata", metadata_end),
    ] {
        if content_offset < end {
            return Err(Error::ContentTooEarly {
                content_offset,
                before,
                end,
            });
        }
    }
    let extension = read_extension(
        file,
        extension_offset,
        extension_length,
        file_length,
        limits,
    )?;
    Ok(Header {
        version,
        notice_length,
        header_size,
        extension,
        license,
        content_offset,
        content_length,
        original_size,
        metadata,
    })
}

fn read_version(front: &Fields<18>) -> Result<Version, Error> {
    let number = |at, field| {
        let value = front.u32(at, field)?;
        u8::try_from(value).map_err(|_| Error::VersionOutOfRange { field, value })
    };
    let version = Version {
        major: number(6, Field::Major)?,
        minor: number(10, Field::Minor)?,
    };
    match version.major {
        2 | 3 => Ok(version),
        _ => Err(Error::UnsupportedVersion(version)),
    }
}

fn license_range(
    offset: u32,
    length: u32,
    file_length: u64,
    limits: &Limits,
) -> Result<Range<u64>, Error> {
    let range = within_file(Section::License, offset, length, file_length)?;
    match u64::from(length) {
        0 => Err(Error::LicenseMissing),
        length if length > limits.license => Err(Error::LicenseTooLong {
            length,
            limit: limits.license,
        }),
        _ => Ok(range),
    }
}

fn read_extension<R: Read + Seek>(
    file: &mut R,
    offset: u32,
    length: u32,
    file_length: u64,
    limits: &Limits,
) -> Result<String, Error> {
    let range = within_file(Section::Extension, offset, length, file_length)?;
    let length = u64::from(length);
    if length > limits.extension {
        return Err(Error::ExtensionTooLong {
            length,
            limit: limits.extension,
        });
    }
    let bytes = read_range(file, &range, Section::Extension)?;
    String::from_utf8(bytes).map_err(|_| Error::ExtensionNotText)
}

fn within_file(
    section: Section,
    offset: u32,
    length: u32,
    file_length: u64,
) -> Result<Range<u64>, Error> {
    let (offset, length) = (u64::from(offset), u64::from(length));
    let end = offset + length;
    if end > file_length {
        return Err(Error::OutsideFile {
            section,
            offset,
            length,
            file_length,
        });
    }
    Ok(offset..end)
}

/// Reads a range already known to lie within the file and the limits. A file that shrank
/// meanwhile is told from one that lies.
fn read_range<R: Read + Seek>(
    file: &mut R,
    range: &Range<u64>,
    section: Section,
) -> Result<Vec<u8>, Error> {
    file.seek(SeekFrom::Start(range.start))?;
    let length = range.end.saturating_sub(range.start);
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    let found = bytes.len() as u64;
    if found < length {
        let file_length = range.start + found;
        return Err(Error::OutsideFile {
            section,
            offset: range.start,
            length,
            file_length,
        });
    }
    Ok(bytes)
}

/// Up to `N` bytes of header; short where the file ends.
struct Fields<const N: usize> {
    buffer: [u8; N],
    filled: usize,
}

impl<const N: usize> Fields<N> {
    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    fn array<const M: usize>(&self, at: usize, field: Field) -> Result<[u8; M], Error> {
        self.bytes()
            .get(at..)
            .and_then(|rest| rest.first_chunk::<M>())
            .copied()
            .ok_or(Error::Truncated { field })
    }

    fn u32(&self, at: usize, field: Field) -> Result<u32, Error> {
        self.array(at, field).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize, field: Field) -> Result<u64, Error> {
        self.array(at, field).map(u64::from_le_bytes)
    }
}

fn read_at_most<const N: usize, R: Read + Seek>(
    file: &mut R,
    offset: u64,
) -> Result<Fields<N>, Error> {
    file.seek(SeekFrom::Start(offset))?;
    let mut fields = Fields {
        buffer: [0; N],
        filled: 0,
    };
    while let Some(rest) = fields
        .buffer
        .get_mut(fields.filled..)
        .filter(|rest| !rest.is_empty())
    {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => fields.filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(fields)
}
