//! Everything a file says about its container, behind one call: what `rms inspect` prints, the
//! license's own contents excepted. No key and no network is needed.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::dataspaces::{
    ContentHeader, DataSpaceDefinition, DataSpaceMap, Transform, TransformBody, VersionInfo,
};
use crate::detect::{DataSpaceStream, Kind, detect};
use crate::{Limits, compound, dataspaces, license, pfile};

/// What a file says about its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What the file is.
    pub kind: Kind,
    /// Which of the formats people know it belongs to.
    pub format: Format,
    /// Version of the container, as text: `3.0`.
    pub format_version: Option<String>,
    /// Extension of the original with its dot, as stored; see
    /// [`names::sanitise_extension`](crate::names::sanitise_extension) before using it.
    pub original_extension: Option<String>,
    /// Length of the original in bytes, where the container knows it.
    pub declared_length: Option<u64>,
    /// Length of the ciphertext in bytes.
    pub ciphertext_length: Option<u64>,
    /// The publishing license, raw, its byte order mark included, NULs at its end removed.
    pub license: Option<Vec<u8>>,
    /// What only files of this kind say.
    pub details: Details,
}

/// The value of `format` in `rms inspect --json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A pfile.
    Pfile,
    /// An Office document with a ZIP package inside, or a stream of one.
    Ooxml,
    /// An Office document with a compound file inside.
    OfficeBinary,
    /// A protected mail.
    Rpmsg,
    /// A PDF.
    Pdf,
    /// An XPS document.
    Xps,
    /// A bare license.
    License,
}

impl Format {
    /// `pfile`, `ooxml`, `office-binary`, `rpmsg`, `pdf`, `xps` or `license`.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Pfile => "pfile",
            Format::Ooxml => "ooxml",
            Format::OfficeBinary => "office-binary",
            Format::Rpmsg => "rpmsg",
            Format::Pdf => "pdf",
            Format::Xps => "xps",
            Format::License => "license",
        }
    }
}

/// What only files of one kind say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Details {
    /// The header of a pfile.
    Pfile(pfile::Header),
    /// The data spaces of a whole compound file.
    Compound(compound::Facts),
    /// A loose `Version` stream.
    Version(VersionInfo),
    /// A loose `DataSpaceMap` stream.
    Map(DataSpaceMap),
    /// A loose data space definition.
    Definition(DataSpaceDefinition),
    /// A loose `\6Primary` stream.
    Transform(Transform),
    /// A loose stream of ciphertext.
    Content(ContentHeader),
    /// A bare license.
    License,
}

/// Opens and inspects the file at `path` under the default [`Limits`].
pub fn open_container(path: impl AsRef<Path>) -> Result<Inspection, InspectError> {
    let mut file = BufReader::new(File::open(path).map_err(InspectError::Io)?);
    inspect(&mut file, &Limits::default())
}

/// Inspects a file, wherever the reader stands.
pub fn inspect<R: Read + Seek>(file: &mut R, limits: &Limits) -> Result<Inspection, InspectError> {
    match detect(file).map_err(InspectError::Io)? {
        Kind::Pfile => inspect_pfile(file, limits),
        Kind::CompoundFile => inspect_compound(file, limits),
        Kind::License => inspect_license(file, limits),
        Kind::DataSpace(stream) => inspect_data_space(file, stream, limits),
        Kind::EncryptedPackage => inspect_content(file),
        other => Err(InspectError::NotAContainer(other)),
    }
}

/// Why a file could not be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file is no container of protected content that can be read here.
    #[error("{}", describe(*.0))]
    NotAContainer(Kind),
    /// A malformed pfile.
    #[error(transparent)]
    Pfile(#[from] pfile::Error),
    /// A malformed or unprotected compound file.
    #[error(transparent)]
    Compound(#[from] compound::Error),
    /// A malformed stream of the data spaces.
    #[error(transparent)]
    DataSpaces(#[from] dataspaces::Error),
    /// A license or stream longer than the limit.
    #[error("{what} of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// What the file is.
        what: &'static str,
        /// Its length in bytes.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// The file could not be read.
    #[error("the file could not be read")]
    Io(#[source] io::Error),
}

fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Rpmsg => "protected mail (rpmsg) cannot be inspected yet",
        Kind::Pdf => "PDF cannot be inspected yet",
        Kind::PropertySet => "a property set of a document, which is never protected",
        _ => "not a container of protected content",
    }
}

fn inspect_pfile<R: Read + Seek>(
    file: &mut R,
    limits: &Limits,
) -> Result<Inspection, InspectError> {
    let header = pfile::read_header_within(file, limits)?;
    let license = header.read_license(file)?;
    Ok(Inspection {
        kind: Kind::Pfile,
        format: Format::Pfile,
        format_version: Some(header.version.to_string()),
        original_extension: Some(header.extension.clone()),
        declared_length: header.declared_length(),
        ciphertext_length: Some(header.content_length),
        license: Some(license),
        details: Details::Pfile(header),
    })
}

fn inspect_compound<R: Read + Seek>(
    file: &mut R,
    limits: &Limits,
) -> Result<Inspection, InspectError> {
    let protected = compound::ProtectedFile::open(file, limits)?;
    let facts = protected.facts().clone();
    Ok(Inspection {
        kind: Kind::CompoundFile,
        format: match facts.family {
            compound::Family::OfficeXml => Format::Ooxml,
            compound::Family::OfficeBinary => Format::OfficeBinary,
            compound::Family::Envelope => Format::Xps,
        },
        format_version: None,
        original_extension: None,
        declared_length: Some(facts.content.declared_length),
        ciphertext_length: Some(facts.content.ciphertext_length),
        license: Some(facts.license.clone()),
        details: Details::Compound(facts),
    })
}

fn inspect_license<R: Read + Seek>(
    file: &mut R,
    limits: &Limits,
) -> Result<Inspection, InspectError> {
    let bytes = read_whole(file, "license", limits.license)?;
    let trimmed = license::trim_nul(&bytes).to_vec();
    Ok(bare(
        Kind::License,
        Format::License,
        Some(trimmed),
        Details::License,
    ))
}

fn inspect_data_space<R: Read + Seek>(
    file: &mut R,
    stream: DataSpaceStream,
    limits: &Limits,
) -> Result<Inspection, InspectError> {
    let limit = match stream {
        DataSpaceStream::Transform => limits.license.saturating_add(limits.data_space_stream),
        _ => limits.data_space_stream,
    };
    let bytes = read_whole(file, "data space stream", limit)?;
    let (license, details) = match stream {
        DataSpaceStream::Version => (None, Details::Version(VersionInfo::parse(&bytes)?)),
        DataSpaceStream::Map => (None, Details::Map(DataSpaceMap::parse(&bytes)?)),
        DataSpaceStream::Definition => (
            None,
            Details::Definition(DataSpaceDefinition::parse(&bytes)?),
        ),
        DataSpaceStream::Transform => {
            let transform = Transform::parse(&bytes, limits)?;
            let license = match &transform.body {
                TransformBody::Drm { license } => Some(license.clone()),
                TransformBody::Other => None,
            };
            (license, Details::Transform(transform))
        }
    };
    Ok(bare(
        Kind::DataSpace(stream),
        Format::Ooxml,
        license,
        details,
    ))
}

fn inspect_content<R: Read + Seek>(file: &mut R) -> Result<Inspection, InspectError> {
    let length = file.seek(SeekFrom::End(0)).map_err(InspectError::Io)?;
    file.seek(SeekFrom::Start(0)).map_err(InspectError::Io)?;
    let mut front = Vec::new();
    file.take(8)
        .read_to_end(&mut front)
        .map_err(InspectError::Io)?;
    let content = ContentHeader::parse(&front, length)?;
    Ok(Inspection {
        declared_length: Some(content.declared_length),
        ciphertext_length: Some(content.ciphertext_length),
        ..bare(
            Kind::EncryptedPackage,
            Format::Ooxml,
            None,
            Details::Content(content),
        )
    })
}

/// An inspection of something that is not a whole container.
fn bare(kind: Kind, format: Format, license: Option<Vec<u8>>, details: Details) -> Inspection {
    Inspection {
        kind,
        format,
        format_version: None,
        original_extension: None,
        declared_length: None,
        ciphertext_length: None,
        license,
        details,
    }
}

fn read_whole<R: Read + Seek>(
    file: &mut R,
    what: &'static str,
    limit: u64,
) -> Result<Vec<u8>, InspectError> {
    let length = file.seek(SeekFrom::End(0)).map_err(InspectError::Io)?;
    if length > limit {
        return Err(InspectError::TooLong {
            what,
            length,
            limit,
        });
    }
    file.seek(SeekFrom::Start(0)).map_err(InspectError::Io)?;
    let mut bytes = Vec::new();
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(InspectError::Io)?;
    Ok(bytes)
}
