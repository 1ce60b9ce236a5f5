//! Lays out everything of a pfile before its content, byte for byte as the portable SDK does.

use std::io::{self, Write};

use super::MAGIC;

/// What goes in front of the ciphertext of a pfile. Set it up, then [`Writer::write_header`], then
/// append the ciphertext.
#[derive(Debug, Clone)]
pub struct Writer<'a> {
    version: WriterVersion,
    notice: Option<&'a [u8]>,
    extension: &'a str,
    license: &'a [u8],
    metadata: &'a [u8],
    original_size: Option<u64>,
}

impl<'a> Writer<'a> {
    /// A pfile 3.0 with the usual notice, unknown original size and no metadata. `extension` is
    /// that of the original with its dot, empty if it has none. `license` is written as it is;
    /// readers of pfiles want UTF-8 with a byte order mark.
    pub fn new(license: &'a [u8], extension: &'a str) -> Self {
        Writer {
            version: WriterVersion::V3_0,
            notice: None,
            extension,
            license,
            metadata: &[],
            original_size: None,
        }
    }

    /// Writes another version.
    #[must_use]
    pub fn version(mut self, version: WriterVersion) -> Self {
        self.version = version;
        self
    }

    /// Replaces the clear text for people without a viewer; without this it is [`NOTICE`], or
    /// [`NOTICE_2_0`] in version 2.0.
    #[must_use]
    pub fn notice(mut self, notice: &'a [u8]) -> Self {
        self.notice = Some(notice);
        self
    }

    /// States the length of the original in bytes; version 2.0 has no place for it.
    #[must_use]
    pub fn original_size(mut self, size: Option<u64>) -> Self {
        self.original_size = size;
        self
    }

    /// Adds metadata; version 2.0 has no place for it.
    #[must_use]
    pub fn metadata(mut self, metadata: &'a [u8]) -> Self {
        self.metadata = metadata;
        self
    }

    /// Writes everything before the content and returns the offset where the content begins.
    pub fn write_header<W: Write>(&self, out: &mut W) -> Result<u32, WriteError> {
        let short = |what, length: usize| {
            u32::try_from(length).map_err(|_| WriteError::TooLong { what, length })
        };
        let (major, minor, block, usual_notice): (u32, u32, u32, &str) = match self.version {
            WriterVersion::V2_0 => (2, 0, 24, NOTICE_2_0),
            WriterVersion::V2_1 => (2, 1, 40, NOTICE),
            WriterVersion::V3_0 => (3, 0, 40, NOTICE),
        };
        let notice = self.notice.unwrap_or(usual_notice.as_bytes());
        let extension = if self.extension.is_empty() {
            ".pfile"
        } else {
            self.extension
        };
        let metadata = if block == 24 { &[] } else { self.metadata };
        if self.license.is_empty() {
            return Err(WriteError::LicenseMissing);
        }
        let notice_length = short("notice", notice.len())?;
        let extension_length = short("extension", extension.len())?;
        let license_length = short("license", self.license.len())?;
        let metadata_length = short("metadata", metadata.len())?;
        let after = |offset: u32, length: u32| {
            offset.checked_add(length).ok_or(WriteError::TooLong {
                what: "everything before the content",
                length: usize::MAX,
            })
        };
        let extension_offset = after(18 + block, notice_length)?;
        let license_offset = after(extension_offset, extension_length)?;
        let metadata_offset = after(license_offset, license_length)?;
        let content_offset = after(metadata_offset, metadata_length)?;

        out.write_all(MAGIC)?;
        write_u32s(out, &[major, minor, notice_length])?;
        out.write_all(notice)?;
        write_u32s(
            out,
            &[
                block,
                extension_offset,
                extension_length,
                license_offset,
                license_length,
                content_offset,
            ],
        )?;
        if block == 40 {
            out.write_all(&self.original_size.unwrap_or(u64::MAX).to_le_bytes())?;
            write_u32s(out, &[metadata_offset, metadata_length])?;
        }
        out.write_all(extension.as_bytes())?;
        out.write_all(self.license)?;
        out.write_all(metadata)?;
        Ok(content_offset)
    }
}

/// The versions that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterVersion {
    /// Mobile applications of 2014: no original size, no metadata, content always CBC4K.
    V2_0,
    /// The sharing application: content always CBC4K.
    V2_1,
    /// The portable SDK: the key decides the cipher.
    V3_0,
}

/// Why a pfile could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Offsets and lengths are 32-bit numbers.
    #[error("{what} of a pfile is {length} bytes long and does not fit its 32-bit offsets")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// No license was given.
    #[error("a pfile needs a publishing license")]
    LicenseMissing,
    /// The output could not be written.
    #[error("pfile could not be written")]
    Io(#[from] io::Error),
}

fn write_u32s<W: Write>(out: &mut W, values: &[u32]) -> io::Result<()> {
    values
        .iter()
        .try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

/// The clear text the portable SDK writes, 396 bytes. A constant of the format: other programs'
/// files are compared with ours byte for byte.
pub const NOTICE: &str = "\r\n\r\n\r\n\
    This file uses Microsoft Information Protection solutions.\r\n\
    Open it using an application that supports protected files.\r\n\
    \r\n\
    You can download Microsoft's protected file viewer from: http://go.microsoft.com/fwlink/?LinkId=280381 \r\n\
    Learn more about Information Protection solutions at http://www.microsoft.com/rms \r\n\
    \r\n\
    Do not change this file in any way -- doing so will result in data loss.\r\n\
    \r\n";

/// The clear text of the mobile applications of 2014, 394 bytes: the same but for two blanks.
pub const NOTICE_2_0: &str = "\r\n\r\n\r\n\
    This file uses Microsoft Information Protection solutions.\r\n\
    Open it using an application that supports protected files.\r\n\
    \r\n\
    You can download Microsoft's protected file viewer from: http://go.microsoft.com/fwlink/?LinkId=280381\r\n\
    Learn more about Information Protection solutions at http://www.microsoft.com/rms\r\n\
    \r\n\
    Do not change this file in any way -- doing so will result in data loss.\r\n\
    \r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_is_the_one_of_the_sdk() {
        assert_eq!(NOTICE.len(), 396);
        assert_eq!(NOTICE_2_0.len(), 394);
        let digest = openrms_crypto::sha256(NOTICE.as_bytes());
        assert_eq!(
            crate::hex(&digest),
            "374b87f3087fabeb96994122832594055d6c33bc6ff4c5ca7ab0c8332f637cfc"
        );
    }

    #[test]
    fn content_follows_454_bytes_of_header_the_extension_and_the_license() {
        let mut out = Vec::new();
        let offset = Writer::new(b"license", ".txt")
            .write_header(&mut out)
            .unwrap();
        assert_eq!(offset as usize, 454 + 4 + 7);
        assert_eq!(out.len(), 454 + 4 + 7);
    }

    #[test]
    fn a_file_without_extension_is_given_pfile() {
        let mut out = Vec::new();
        Writer::new(b"license", "").write_header(&mut out).unwrap();
        assert!(out.ends_with(b".pfilelicense"));
    }

    #[test]
    fn no_pfile_is_written_without_a_license() {
        let result = Writer::new(b"", ".txt").write_header(&mut Vec::new());
        assert!(matches!(result, Err(WriteError::LicenseMissing)));
    }
}
