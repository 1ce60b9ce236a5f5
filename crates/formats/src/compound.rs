//! Whole OLE compound files with rights management: Office documents, the inside of mail, and
//! .NET's package envelopes (\[MS-OFFCRYPTO\] 2.1 and 2.2, \[MS-CFB\]).
//!
//! [`ProtectedFile::open`] goes from the map through the definition to the transform and takes
//! every name from the file, so that all writers' files open the same way. [`write()`] makes one.

mod bounds;
mod writer;

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use openrms_crypto::content::decrypt_stream;
use openrms_crypto::{Cipher, ContentKey};

use crate::Limits;
use crate::dataspaces::{
    self, ComponentKind, ContentHeader, DataSpaceDefinition, DataSpaceMap, MapEntry, Transform,
    TransformBody,
};
use crate::pfile::ContentError;

pub use writer::{protect, write};

/// The first eight bytes of every compound file.
pub const MAGIC: [u8; 8] = [0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];

/// Which program's names a compound file uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// .docx and kin: a ZIP package is inside.
    OfficeXml,
    /// .doc and kin, and mail: another compound file is inside.
    OfficeBinary,
    /// XPS and other packages in the envelope of .NET.
    Envelope,
}

impl Family {
    /// Name of the stream with the ciphertext.
    pub fn content_stream(self) -> &'static str {
        match self {
            Family::OfficeXml | Family::Envelope => "EncryptedPackage",
            Family::OfficeBinary => "\tDRMContent",
        }
    }

    /// Name of the data space.
    pub fn data_space(self) -> &'static str {
        match self {
            Family::OfficeXml => "DRMEncryptedDataSpace",
            Family::OfficeBinary => "\tDRMDataSpace",
            Family::Envelope => "RMEncryptionNoCompression",
        }
    }

    /// Name of the transform.
    pub fn transform(self) -> &'static str {
        match self {
            Family::OfficeXml => "DRMEncryptedTransform",
            Family::OfficeBinary => "\tDRMTransform",
            Family::Envelope => "EncryptionTransform",
        }
    }

    fn of(content_stream: &str, data_space: &str) -> Self {
        if content_stream.eq_ignore_ascii_case(Family::OfficeBinary.content_stream()) {
            Family::OfficeBinary
        } else if data_space.eq_ignore_ascii_case(Family::Envelope.data_space()) {
            Family::Envelope
        } else {
            Family::OfficeXml
        }
    }
}

/// What a protected compound file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose names it uses.
    pub family: Family,
    /// Path of the stream with the ciphertext, from the map.
    pub content_stream: String,
    /// Name of the data space, from the map.
    pub data_space: String,
    /// Name of the transform, from the definition.
    pub transform: String,
    /// Length of the original and of the ciphertext, in bytes.
    pub content: ContentHeader,
    /// The publishing license, raw.
    pub license: Vec<u8>,
}

/// A compound file found to be protected by rights management.
pub struct ProtectedFile<R> {
    file: cfb::CompoundFile<R>,
    content_path: PathBuf,
    facts: Facts,
}

impl<R: Read + Seek> ProtectedFile<R> {
    /// Opens a compound file and finds its license and its content.
    pub fn open(mut reader: R, limits: &Limits) -> Result<Self, Error> {
        let file_length = bounds::check(&mut reader, limits)?;
        let file = cfb::OpenOptions::new()
            .max_buffer_size(STREAM_BUFFER)
            .open_with(reader)
            .map_err(Error::Damaged)?;
        let mut streams = Streams { file, file_length };
        if !streams.file.is_stream(MAP_PATH) {
            let password = streams.file.is_stream("EncryptionInfo");
            return Err(if password {
                Error::PasswordProtected
            } else {
                Error::NotProtected
            });
        }
        let map = DataSpaceMap::parse(&streams.read(MAP_PATH, limits.data_space_stream)?)?;
        for entry in &map.entries {
            if let Some((transform, license)) = streams.drm_of(&entry.data_space, limits)? {
                return streams.finish(entry, transform, license);
            }
        }
        Err(Error::NotRightsManagement)
    }

    /// What the file says about itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The ciphertext as a stream, from its first byte.
    pub fn ciphertext(&mut self) -> io::Result<impl Read> {
        let mut stream = self.file.open_stream(&self.content_path)?;
        stream.seek(SeekFrom::Start(8))?;
        Ok(stream)
    }

    /// Writes the original and returns its length in bytes. There is no MAC and no padding is
    /// looked at: a wrong key gives garbage, which only the caller can tell from a document.
    pub fn unprotect<W: Write>(&mut self, out: W, key: &ContentKey) -> Result<u64, ContentError> {
        let length = self.facts.content.declared_length;
        let key = key.with_cipher(office_cipher(key.cipher()));
        Ok(decrypt_stream(&key, self.ciphertext()?, out, Some(length))?)
    }
}

/// The cipher of a compound file's content: CBC4K is here the form without padding.
fn office_cipher(key_cipher: Cipher) -> Cipher {
    match key_cipher {
        Cipher::Cbc4k => Cipher::Cbc4kNoPadding,
        other => other,
    }
}

/// Why a compound file was not accepted as protected content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not begin like a compound file.
    #[error("not a compound file")]
    NotCompound,
    /// The tables of the compound file contradict each other or the file's length.
    #[error("compound file is damaged: {0}")]
    Damaged(#[source] io::Error),
    /// A table of the compound file lists more than the file can hold, or the same twice.
    #[error("compound file is damaged: {table} {problem}")]
    BadTable {
        /// `DIFAT`, `directory` or `mini FAT`.
        table: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no data space map: an ordinary document.
    #[error("compound file is not protected: it has no data space map")]
    NotProtected,
    /// Encrypted with a password, not by rights management.
    #[error("compound file is protected by a password, not by rights management")]
    PasswordProtected,
    /// There are data spaces but none is transformed by rights management.
    #[error("compound file has data spaces, but none of rights management")]
    NotRightsManagement,
    /// The map or a definition names a stream that is not there.
    #[error("compound file has no stream {path:?}, which its data spaces name")]
    Missing {
        /// The path.
        path: String,
    },
    /// The map or a definition contains a name no stream can have.
    #[error("compound file names the impossible stream {0:?}")]
    BadName(String),
    /// The map points rights management at a storage instead of a stream.
    #[error("compound file protects the storage {0:?} as if it were a stream")]
    NotAStream(String),
    /// A stream is longer than the file it is in, or than the reader was told to take.
    #[error("stream {path:?} of {length} bytes is longer than {limit}")]
    TooLong {
        /// The path.
        path: String,
        /// Its length in the directory.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// A stream of the data spaces is malformed.
    #[error(transparent)]
    DataSpaces(#[from] dataspaces::Error),
    /// The file could not be read.
    #[error("compound file could not be read")]
    Io(#[source] io::Error),
}

/// A compound file whose streams are read whole, within bounds.
struct Streams<R> {
    file: cfb::CompoundFile<R>,
    file_length: u64,
}

impl<R: Read + Seek> Streams<R> {
    /// Name of the transform and license, if the first transform of a data space, the one next to
    /// the disk, is rights management and the only one. Others, such as the compressed viewer
    /// content of old Word files, are not the document.
    fn drm_of(
        &mut self,
        data_space: &str,
        limits: &Limits,
    ) -> Result<Option<(String, Vec<u8>)>, Error> {
        let path = path_of(&["\u{6}DataSpaces", "DataSpaceInfo", data_space])?;
        let bytes = self.read(&path, limits.data_space_stream)?;
        let definition = DataSpaceDefinition::parse(&bytes)?;
        let [name] = definition.transforms.as_slice() else {
            return Ok(None);
        };
        let path = path_of(&["\u{6}DataSpaces", "TransformInfo", name, "\u{6}Primary"])?;
        let limit = limits.license.saturating_add(TRANSFORM_FRONT);
        let transform = Transform::parse(&self.read(&path, limit)?, limits)?;
        Ok(match transform.body {
            TransformBody::Drm { license } => Some((name.clone(), license)),
            TransformBody::Other => None,
        })
    }

    fn finish(
        mut self,
        entry: &MapEntry,
        transform: String,
        license: Vec<u8>,
    ) -> Result<ProtectedFile<R>, Error> {
        let names: Vec<&str> = entry
            .components
            .iter()
            .map(|step| step.name.as_str())
            .collect();
        let content_stream = names.join("/");
        if entry
            .components
            .last()
            .is_none_or(|step| step.kind != ComponentKind::Stream)
        {
            return Err(Error::NotAStream(content_stream));
        }
        let content_path = path_of(&names)?;
        let mut stream = self.open(&content_path, self.file_length)?;
        let length = stream.len();
        let mut front = Vec::new();
        (&mut stream)
            .take(8)
            .read_to_end(&mut front)
            .map_err(Error::Damaged)?;
        let content = ContentHeader::parse(&front, length)?;
        if length > 0 {
            // A chain shorter than the length in the directory shows only at its end.
            stream
                .seek(SeekFrom::Start(length - 1))
                .map_err(Error::Damaged)?;
            stream.read_exact(&mut [0]).map_err(Error::Damaged)?;
        }
        let facts = Facts {
            family: Family::of(&content_stream, &entry.data_space),
            content_stream,
            data_space: entry.data_space.clone(),
            transform,
            content,
            license,
        };
        Ok(ProtectedFile {
            file: self.file,
            content_path,
            facts,
        })
    }

    fn read(&mut self, path: impl Into<PathBuf>, limit: u64) -> Result<Vec<u8>, Error> {
        let mut stream = self.open(&path.into(), limit.min(self.file_length))?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map_err(Error::Damaged)?;
        Ok(bytes)
    }

    fn open(&mut self, path: &Path, limit: u64) -> Result<cfb::Stream<R>, Error> {
        let shown = path.to_string_lossy().into_owned();
        if !self.file.is_stream(path) {
            return Err(Error::Missing { path: shown });
        }
        let stream = self.file.open_stream(path).map_err(Error::Damaged)?;
        let length = stream.len();
        if length > limit {
            return Err(Error::TooLong {
                path: shown,
                length,
                limit,
            });
        }
        Ok(stream)
    }
}

/// A path of names from the file: none may step out of its place or be longer than names are.
fn path_of(names: &[&str]) -> Result<PathBuf, Error> {
    let mut path = PathBuf::from("/");
    for name in names {
        let fits = (1..=31).contains(&name.encode_utf16().count());
        if !fits || name.contains(['/', '\\', ':', '!', '\0']) || matches!(*name, "." | "..") {
            return Err(Error::BadName((*name).to_owned()));
        }
        path.push(name);
    }
    Ok(path)
}

const MAP_PATH: &str = "/\u{6}DataSpaces/DataSpaceMap";

/// More than the header of a transform needs; an over-long one is then told from an over-long
/// license.
const TRANSFORM_FRONT: u64 = 16 << 10;

/// Largest buffer the compound file library may use per stream.
const STREAM_BUFFER: usize = 512 << 10;

#[cfg(test)]
mod tests;
