//! One entry per parser for fuzz targets: any bytes in, nothing out. What was accepted must also
//! hold together; a broken promise panics, which is how a fuzzer notices.
#![allow(clippy::panic, clippy::missing_panics_doc)]

use std::io::{self, Cursor, Read};

use crate::dataspaces::{
    ContentHeader, DataSpaceDefinition, DataSpaceMap, Transform, TransformBody, VersionInfo,
};
use crate::{Limits, compound, detect, inspect, license, names, pfile};

/// [`pfile::read_header`] and the license behind it.
pub fn pfile(bytes: &[u8]) {
    let mut file = Cursor::new(bytes);
    let Ok(header) = pfile::read_header(&mut file) else {
        return;
    };
    let length = bytes.len() as u64;
    assert_eq!(header.content_offset + header.content_length, length);
    assert!(header.license.end <= header.content_offset);
    assert!(
        header
            .metadata
            .as_ref()
            .is_none_or(|range| range.end <= header.content_offset)
    );
    let license = header.read_license(&mut file).unwrap_or_default();
    assert!(license.len() as u64 <= header.license.end - header.license.start);
    names::original_name("a.pfile", Some(&header.extension));
}

/// [`VersionInfo::parse`]; what is accepted is written back the same, but for padding.
pub fn version(bytes: &[u8]) {
    if let Ok(info) = VersionInfo::parse(bytes) {
        assert_eq!(VersionInfo::parse(&info.to_bytes()), Ok(info));
    }
}

/// [`DataSpaceMap::parse`], and back.
pub fn map(bytes: &[u8]) {
    if let Ok(map) = DataSpaceMap::parse(bytes) {
        assert_eq!(DataSpaceMap::parse(&map.to_bytes()), Ok(map));
    }
}

/// [`DataSpaceDefinition::parse`], and back.
pub fn definition(bytes: &[u8]) {
    if let Ok(definition) = DataSpaceDefinition::parse(bytes) {
        assert_eq!(
            DataSpaceDefinition::parse(&definition.to_bytes()),
            Ok(definition)
        );
    }
}

/// [`Transform::parse`], and back.
pub fn transform(bytes: &[u8]) {
    let limits = Limits::default();
    if let Ok(transform) = Transform::parse(bytes, &limits) {
        if let TransformBody::Drm { license } = &transform.body {
            assert!(license.len() <= bytes.len());
        }
        assert_eq!(
            Transform::parse(&transform.to_bytes(), &limits),
            Ok(transform)
        );
    }
}

/// [`ContentHeader::parse`].
pub fn content(bytes: &[u8]) {
    if let Ok(header) = ContentHeader::parse(bytes, bytes.len() as u64) {
        assert!(header.declared_length <= header.ciphertext_length);
    }
}

/// [`compound::ProtectedFile::open`] and reading the ciphertext to its end.
pub fn compound(bytes: &[u8]) {
    if let Ok(mut file) = compound::ProtectedFile::open(Cursor::new(bytes), &Limits::default()) {
        let length = file.facts().content.ciphertext_length;
        assert!(length <= bytes.len() as u64);
        if let Ok(stream) = file.ciphertext() {
            let copied = io::copy(&mut stream.take(length + 1), &mut io::sink());
            assert!(copied.is_err() || copied.is_ok_and(|copied| copied == length));
        }
    }
}

/// [`detect()`](crate::detect()) and, for what it finds, [`inspect`](crate::inspect()).
pub fn any(bytes: &[u8]) {
    let mut file = Cursor::new(bytes);
    let kind = detect(&mut file);
    if let Ok(inspection) = inspect(&mut file, &Limits::default()) {
        assert!(kind.is_ok_and(|kind| kind == inspection.kind));
        let text = inspection.license.unwrap_or_default();
        assert!(license::strip_bom(&text).len() <= bytes.len());
    }
}
