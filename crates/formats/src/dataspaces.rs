//! The streams that say how a compound file is protected: \[MS-OFFCRYPTO\] 2.1 (data spaces) and
//! 2.2 (the rights management transform). Each is parsed from, and written to, the bytes of one
//! stream; [`compound`](crate::compound) finds them in a whole file.

mod fields;

use crate::Limits;
pub use fields::{Error, Problem, Structure};
use fields::{Fields, put_text, put_u32};

/// Identifies the rights management transform, whatever it is named. Compared without case.
pub const DRM_TRANSFORM_ID: &str = "{C73DFACD-061F-43B0-8B64-0C620D2A8B50}";

/// Which versions of a structure a program must know to read, to update and to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Major and minor version for readers.
    pub reader: (u16, u16),
    /// Major and minor version for programs that change the structure.
    pub updater: (u16, u16),
    /// Version of the program that wrote it.
    pub writer: (u16, u16),
}

impl Default for Versions {
    /// 1.0 throughout, the only one seen.
    fn default() -> Self {
        Versions {
            reader: (1, 0),
            updater: (1, 0),
            writer: (1, 0),
        }
    }
}

/// Stream `\6DataSpaces/Version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// `Microsoft.Container.DataSpaces`.
    pub feature: String,
    /// 1.0 each.
    pub versions: Versions,
}

impl Default for VersionInfo {
    fn default() -> Self {
        VersionInfo {
            feature: FEATURE.to_owned(),
            versions: Versions::default(),
        }
    }
}

impl VersionInfo {
    /// Parses the whole stream.
    pub fn parse(stream: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(Structure::Version, stream);
        let info = VersionInfo {
            feature: fields.text("feature identifier")?,
            versions: fields.versions()?,
        };
        if !info.feature.eq_ignore_ascii_case(FEATURE) {
            return Err(fields.error("feature identifier", Problem::Unknown(info.feature)));
        }
        fields.end()?;
        Ok(info)
    }

    /// The bytes of the stream.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_text(&mut out, &self.feature);
        put_versions(&mut out, &self.versions);
        out
    }
}

/// Stream `\6DataSpaces/DataSpaceMap`: which stream is transformed by which data space.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataSpaceMap {
    /// In file order.
    pub entries: Vec<MapEntry>,
}

/// One transformed stream or storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapEntry {
    /// The path from the root, storages first.
    pub components: Vec<Component>,
    /// Name of the data space that applies.
    pub data_space: String,
}

/// One step of the path to a transformed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// What stands at this step.
    pub kind: ComponentKind,
    /// Its name.
    pub name: String,
}

/// What a [`Component`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentKind {
    /// A stream (0).
    Stream,
    /// A storage (1).
    Storage,
}

impl DataSpaceMap {
    /// A map of one stream at the root.
    pub fn single(stream: &str, data_space: &str) -> Self {
        let component = Component {
            kind: ComponentKind::Stream,
            name: stream.to_owned(),
        };
        DataSpaceMap {
            entries: vec![MapEntry {
                components: vec![component],
                data_space: data_space.to_owned(),
            }],
        }
    }

    /// Parses the whole stream. The header and every entry are skipped by their own length.
    pub fn parse(stream: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(Structure::Map, stream);
        let header = fields.u32("header length")?;
        let count = fields.u32("entry count")?;
        fields.skip_rest_of(header, 8, "header length")?;
        let count = fields.count(count, MIN_ENTRY, "entry count")?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let length = fields.u32("entry length")?;
            let mut entry = fields.part(length, 4, "entry length")?;
            entries.push(MapEntry::parse(&mut entry)?);
        }
        fields.end()?;
        Ok(DataSpaceMap { entries })
    }

    /// The bytes of the stream.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u32(&mut out, 8);
        put_u32(&mut out, self.entries.len());
        for entry in &self.entries {
            let mut body = Vec::new();
            put_u32(&mut body, entry.components.len());
            for component in &entry.components {
                put_u32(
                    &mut body,
                    usize::from(component.kind == ComponentKind::Storage),
                );
                put_text(&mut body, &component.name);
            }
            put_text(&mut body, &entry.data_space);
            put_u32(&mut out, body.len() + 4);
            out.extend(body);
        }
        out
    }
}

impl MapEntry {
    fn parse(fields: &mut Fields<'_>) -> Result<Self, Error> {
        let count = fields.u32("reference component count")?;
        let count = fields.count(count, MIN_COMPONENT, "reference component count")?;
        let mut components = Vec::with_capacity(count);
        for _ in 0..count {
            let kind = match fields.u32("reference component type")? {
                0 => ComponentKind::Stream,
                1 => ComponentKind::Storage,
                other => {
                    let problem = Problem::Unknown(other.to_string());
                    return Err(fields.error("reference component type", problem));
                }
            };
            components.push(Component {
                kind,
                name: fields.text("reference component name")?,
            });
        }
        Ok(MapEntry {
            components,
            data_space: fields.text("data space name")?,
        })
    }
}

/// Stream `\6DataSpaces/DataSpaceInfo/<data space>`: the transforms of a data space, from the disk
/// outwards: the first named is undone first when reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataSpaceDefinition {
    /// Names of the storages under `\6DataSpaces/TransformInfo`.
    pub transforms: Vec<String>,
}

impl DataSpaceDefinition {
    /// A data space of one transform.
    pub fn single(transform: &str) -> Self {
        DataSpaceDefinition {
            transforms: vec![transform.to_owned()],
        }
    }

    /// Parses the whole stream.
    pub fn parse(stream: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(Structure::Definition, stream);
        let header = fields.u32("header length")?;
        let count = fields.u32("transform count")?;
        fields.skip_rest_of(header, 8, "header length")?;
        let count = fields.count(count, MIN_TEXT, "transform count")?;
        let mut transforms = Vec::with_capacity(count);
        for _ in 0..count {
            transforms.push(fields.text("transform name")?);
        }
        fields.end()?;
        Ok(DataSpaceDefinition { transforms })
    }

    /// The bytes of the stream.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u32(&mut out, 8);
        put_u32(&mut out, self.transforms.len());
        for transform in &self.transforms {
            put_text(&mut out, transform);
        }
        out
    }
}

/// Stream `\6DataSpaces/TransformInfo/<transform>/\6Primary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transform {
    /// Tells the kind of transform; [`DRM_TRANSFORM_ID`] for rights management.
    pub id: String,
    /// Name of the kind, `Microsoft.Metadata.DRMTransform`.
    pub name: String,
    /// 1.0 each.
    pub versions: Versions,
    /// What belongs to the kind.
    pub body: TransformBody,
}

/// The part of a [`Transform`] that depends on its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransformBody {
    /// Rights management: the publishing license, raw, without NULs at its end.
    Drm {
        /// UTF-8; Office writes no byte order mark.
        license: Vec<u8>,
    },
    /// Another kind, such as compression; its bytes are not read.
    Other,
}

impl Transform {
    /// The rights management transform around a license.
    pub fn drm(license: &[u8]) -> Self {
        Transform {
            id: DRM_TRANSFORM_ID.to_owned(),
            name: DRM_TRANSFORM_NAME.to_owned(),
            versions: Versions::default(),
            body: TransformBody::Drm {
                license: license.to_vec(),
            },
        }
    }

    /// Parses the stream. Bytes after the license are ignored: some writers pad once too often.
    pub fn parse(stream: &[u8], limits: &Limits) -> Result<Self, Error> {
        let mut fields = Fields::new(Structure::Transform, stream);
        let (id, name, versions) = parse_transform_header(&mut fields)?;
        let body = if id.eq_ignore_ascii_case(DRM_TRANSFORM_ID) {
            let extensibility = fields.u32("extensibility header length")?;
            if extensibility > MAX_EXTENSIBILITY {
                let limit = u64::from(MAX_EXTENSIBILITY);
                let problem = Problem::TooLarge {
                    value: extensibility.into(),
                    limit,
                };
                return Err(fields.error("extensibility header length", problem));
            }
            fields.skip_rest_of(extensibility, 4, "extensibility header length")?;
            let length = fields.u32("license length")?;
            if u64::from(length) > limits.license {
                let problem = Problem::TooLarge {
                    value: length.into(),
                    limit: limits.license,
                };
                return Err(fields.error("license length", problem));
            }
            let raw = fields.bytes(length, "license")?;
            let license = crate::license::trim_nul(raw).to_vec();
            if license.is_empty() {
                return Err(fields.error("license length", Problem::TooSmall(0)));
            }
            TransformBody::Drm { license }
        } else {
            TransformBody::Other
        };
        Ok(Transform {
            id,
            name,
            versions,
            body,
        })
    }

    /// The bytes of the stream. For [`TransformBody::Other`] that is the header alone.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut id = Vec::new();
        put_text(&mut id, &self.id);
        let mut out = Vec::new();
        put_u32(&mut out, 8 + id.len());
        put_u32(&mut out, 1);
        out.extend(id);
        put_text(&mut out, &self.name);
        put_versions(&mut out, &self.versions);
        if let TransformBody::Drm { license } = &self.body {
            put_u32(&mut out, 4);
            put_u32(&mut out, license.len());
            out.extend(license);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }
}

/// Whether bytes begin like a transform of any kind; a prefix of the stream is enough.
pub(crate) fn looks_like_transform(prefix: &[u8]) -> bool {
    let mut fields = Fields::new(Structure::Transform, prefix);
    parse_transform_header(&mut fields)
        .is_ok_and(|(id, _, _)| id.starts_with('{') && id.ends_with('}') && id.len() == 38)
}

/// Identifier, name and versions, leaving `fields` behind them.
fn parse_transform_header(fields: &mut Fields<'_>) -> Result<(String, String, Versions), Error> {
    let name_offset = fields.u32("transform name offset")?;
    match fields.u32("transform type")? {
        1 => {}
        other => {
            return Err(fields.error("transform type", Problem::Unknown(other.to_string())));
        }
    }
    let id = fields.text("transform identifier")?;
    fields.skip_to(name_offset, "transform name offset")?;
    let name = fields.text("transform name")?;
    Ok((id, name, fields.versions()?))
}

/// The front of a content stream (`EncryptedPackage`, `\tDRMContent`): the length of the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentHeader {
    /// Length of the original in bytes, at most that of the ciphertext.
    pub declared_length: u64,
    /// Length of the ciphertext in bytes, a multiple of 16. It begins at offset 8.
    pub ciphertext_length: u64,
}

impl ContentHeader {
    /// Parses the first eight bytes of a stream of `stream_length` bytes.
    pub fn parse(front: &[u8], stream_length: u64) -> Result<Self, Error> {
        let mut fields = Fields::new(Structure::Content, front);
        let declared_length = fields.u64("original length")?;
        let ciphertext_length = stream_length.saturating_sub(8);
        if declared_length > ciphertext_length {
            let problem = Problem::TooLarge {
                value: declared_length,
                limit: ciphertext_length,
            };
            return Err(fields.error("original length", problem));
        }
        if !ciphertext_length.is_multiple_of(16) {
            return Err(fields.error("ciphertext", Problem::NotWholeBlocks(ciphertext_length)));
        }
        Ok(ContentHeader {
            declared_length,
            ciphertext_length,
        })
    }

    /// The eight bytes in front of the ciphertext.
    pub fn to_bytes(&self) -> [u8; 8] {
        self.declared_length.to_le_bytes()
    }
}

fn put_versions(out: &mut Vec<u8>, versions: &Versions) {
    for (major, minor) in [versions.reader, versions.updater, versions.writer] {
        out.extend(major.to_le_bytes());
        out.extend(minor.to_le_bytes());
    }
}

const FEATURE: &str = "Microsoft.Container.DataSpaces";
const DRM_TRANSFORM_NAME: &str = "Microsoft.Metadata.DRMTransform";

/// .NET rejects more, too.
const MAX_EXTENSIBILITY: u32 = 4096;

/// Fewest bytes of a text: its length.
const MIN_TEXT: u32 = 4;
/// Fewest bytes of a reference component: type and name.
const MIN_COMPONENT: u32 = 4 + MIN_TEXT;
/// Fewest bytes of a map entry: length, count, data space name.
const MIN_ENTRY: u32 = 8 + MIN_TEXT;

#[cfg(test)]
mod tests;
