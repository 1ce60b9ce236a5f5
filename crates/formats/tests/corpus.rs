//! Files made by Microsoft's software: everything the corpus' manifest says about containers, and
//! the same bytes again from our writers.

mod common;

use std::fs;

use common::corpus;
use openrms_formats::dataspaces::{
    ContentHeader, DRM_TRANSFORM_ID, DataSpaceDefinition, DataSpaceMap, Transform, TransformBody,
    VersionInfo, Versions,
};
use openrms_formats::detect::DataSpaceStream;
use openrms_formats::inspect::{Details, Format};
use openrms_formats::license::{Encoding, encoding};
use openrms_formats::pfile::{Version, Writer, WriterVersion};
use openrms_formats::{Kind, Limits, open_container};

struct Row {
    name: &'static str,
    version: Version,
    notice: u32,
    header_size: u32,
    license_at: u64,
    license_length: u64,
    content_at: u64,
    ciphertext: u64,
}

const fn v3(name: &'static str, license_length: u64, content_at: u64, ciphertext: u64) -> Row {
    let version = Version { major: 3, minor: 0 };
    Row {
        name,
        version,
        notice: 396,
        header_size: 40,
        license_at: 458,
        license_length,
        content_at,
        ciphertext,
    }
}

/// Name, license length, content offset and ciphertext length, as in the manifest.
const ROWS: &[Row] = &[
    v3("AliceBvt.txt.pfile", 40552, 41010, 32),
    v3("CleanAlice.txt.pfile", 7930, 8388, 32),
    v3("CleanAdminWin7.txt.pfile", 40552, 41010, 32),
    v3("CleanAliceWin8-64.txt.pfile", 40552, 41010, 32),
    v3("CleanJohn.txt.pfile", 40552, 41010, 32),
    v3("JohnBvt.txt.pfile", 40552, 41010, 32),
    Row {
        name: "android_template_01.ptxt",
        version: Version { major: 2, minor: 0 },
        notice: 394,
        header_size: 24,
        license_at: 440,
        license_length: 47960,
        content_at: 48400,
        ciphertext: 8656,
    },
    v3("linuxAdminTest.txt.pfile", 40552, 41010, 32),
    v3("linuxTest.txt.pfile", 40552, 41010, 16),
    v3("windowsAdminTest.txt.pfile", 40552, 41010, 32),
];

#[test]
fn every_pfile_says_what_the_manifest_says() {
    let Some(corpus) = corpus() else { return };
    for row in ROWS {
        let found = open_container(corpus.join("pfile").join(row.name)).unwrap();
        let name = row.name;
        assert_eq!(found.kind, Kind::Pfile, "{name}");
        assert_eq!(found.format.as_str(), "pfile", "{name}");
        assert_eq!(
            found.format_version,
            Some(row.version.to_string()),
            "{name}"
        );
        assert_eq!(found.original_extension.as_deref(), Some(".txt"), "{name}");
        assert_eq!(found.ciphertext_length, Some(row.ciphertext), "{name}");
        assert_eq!(found.declared_length, None, "{name}");
        let license = found.license.unwrap();
        assert_eq!(license.len() as u64, row.license_length, "{name}");
        assert_eq!(encoding(&license), Encoding::Utf8Bom, "{name}");
        let Details::Pfile(header) = found.details else {
            panic!("{name}")
        };
        assert_eq!(header.version, row.version, "{name}");
        assert_eq!(header.notice_length, row.notice, "{name}");
        assert_eq!(header.header_size, row.header_size, "{name}");
        assert_eq!(
            header.license,
            row.license_at..row.license_at + row.license_length,
            "{name}"
        );
        assert_eq!(header.content_offset, row.content_at, "{name}");
        assert_eq!(header.content_length, row.ciphertext, "{name}");
        assert_eq!(header.original_size, None, "{name}");
        let metadata = (row.version.major == 3).then_some(row.content_at..row.content_at);
        assert_eq!(header.metadata, metadata, "{name}");
    }
}

#[test]
fn no_pfile_of_the_corpus_is_left_out() {
    let Some(corpus) = corpus() else { return };
    for entry in fs::read_dir(corpus.join("pfile")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let listed = ROWS.iter().any(|row| row.name == name);
        assert!(listed || name == "windowsAdminTest.txt", "{name}");
    }
}

#[test]
fn every_pfile_header_is_written_again_byte_for_byte() {
    let Some(corpus) = corpus() else { return };
    for row in ROWS {
        let original = fs::read(corpus.join("pfile").join(row.name)).unwrap();
        let (header, _) = original.split_at(usize::try_from(row.content_at).unwrap());
        let (_, license) = header.split_at(usize::try_from(row.license_at).unwrap());
        let version = match row.version.major {
            2 => WriterVersion::V2_0,
            _ => WriterVersion::V3_0,
        };
        let mut written = Vec::new();
        let offset = Writer::new(license, ".txt")
            .version(version)
            .write_header(&mut written)
            .unwrap();
        assert!(written == header, "{} differs", row.name);
        assert_eq!(u64::from(offset), row.content_at);
    }
}

#[test]
fn a_plain_text_is_no_container() {
    let Some(corpus) = corpus() else { return };
    assert!(open_container(corpus.join("pfile/windowsAdminTest.txt")).is_err());
}

#[test]
fn the_streams_of_a_protected_docx_say_what_the_manifest_says() {
    let Some(corpus) = corpus() else { return };
    let parts = corpus.join("ole-ooxml-parts");

    let map = open_container(parts.join("DataSpaceMap.bin")).unwrap();
    assert_eq!(map.kind, Kind::DataSpace(DataSpaceStream::Map));
    let expected = DataSpaceMap::single("EncryptedPackage", "DRMEncryptedDataSpace");
    assert_eq!(map.details, Details::Map(expected));

    let definition = open_container(parts.join("DRMEncryptedDataSpace.bin")).unwrap();
    assert_eq!(
        definition.kind,
        Kind::DataSpace(DataSpaceStream::Definition)
    );
    let expected = DataSpaceDefinition::single("DRMEncryptedTransform");
    assert_eq!(definition.details, Details::Definition(expected));

    let version = open_container(parts.join("Version.bin")).unwrap();
    assert_eq!(version.kind, Kind::DataSpace(DataSpaceStream::Version));
    assert_eq!(
        version.details,
        Details::Version(VersionInfo {
            feature: "Microsoft.Container.DataSpaces".to_owned(),
            versions: Versions {
                reader: (1, 0),
                updater: (1, 0),
                writer: (1, 0)
            },
        })
    );

    let primary = open_container(parts.join("DRMEncryptedTransform.Primary.bin")).unwrap();
    assert_eq!(primary.kind, Kind::DataSpace(DataSpaceStream::Transform));
    let license = primary.license.unwrap();
    assert_eq!(license.len(), 36289);
    assert_eq!(encoding(&license), Encoding::Utf8);
    let Details::Transform(transform) = primary.details else {
        panic!()
    };
    assert_eq!(transform.id, DRM_TRANSFORM_ID);
    assert_eq!(transform.name, "Microsoft.Metadata.DRMTransform");

    let package = open_container(parts.join("EncryptedPackage.bin")).unwrap();
    assert_eq!(package.kind, Kind::EncryptedPackage);
    assert_eq!(package.format, Format::Ooxml);
    assert_eq!(package.declared_length, Some(13010));
    assert_eq!(package.ciphertext_length, Some(13024));
}

#[test]
fn the_streams_of_a_protected_docx_are_written_again_byte_for_byte() {
    let Some(corpus) = corpus() else { return };
    let part = |name| fs::read(corpus.join("ole-ooxml-parts").join(name)).unwrap();

    let bytes = part("Version.bin");
    assert_eq!(VersionInfo::default().to_bytes(), bytes);
    assert_eq!(VersionInfo::parse(&bytes).unwrap().to_bytes(), bytes);

    let bytes = part("DataSpaceMap.bin");
    let map = DataSpaceMap::single("EncryptedPackage", "DRMEncryptedDataSpace");
    assert_eq!(map.to_bytes(), bytes);
    assert_eq!(DataSpaceMap::parse(&bytes).unwrap().to_bytes(), bytes);

    let bytes = part("DRMEncryptedDataSpace.bin");
    assert_eq!(
        DataSpaceDefinition::single("DRMEncryptedTransform").to_bytes(),
        bytes
    );

    let bytes = part("DRMEncryptedTransform.Primary.bin");
    let transform = Transform::parse(&bytes, &Limits::default()).unwrap();
    assert!(transform.to_bytes() == bytes);
    let TransformBody::Drm { license } = &transform.body else {
        panic!()
    };
    assert!(Transform::drm(license).to_bytes() == bytes);

    let bytes = part("EncryptedPackage.bin");
    let header = ContentHeader::parse(&bytes, bytes.len() as u64).unwrap();
    assert!(bytes.starts_with(&header.to_bytes()));
}

#[test]
fn property_sets_and_licenses_are_told_by_content() {
    let Some(corpus) = corpus() else { return };
    let kind = |name: &str| {
        let mut file = fs::File::open(corpus.join(name)).unwrap();
        openrms_formats::detect(&mut file).unwrap()
    };
    assert_eq!(
        kind("ole-ooxml-parts/SummaryInformation.bin"),
        Kind::PropertySet
    );
    assert_eq!(
        kind("ole-ooxml-parts/DocumentSummaryInformation.bin"),
        Kind::PropertySet
    );
    for name in ["rac", "clc", "pl", "erd-plain", "template"] {
        assert_eq!(kind(&format!("spec/{name}.xml")), Kind::License);
    }
    assert_eq!(kind("licence/PL_0101right_ECB.xml"), Kind::License);
    assert_eq!(kind("pfile/windowsAdminTest.txt"), Kind::Unknown);
}

#[test]
fn a_bare_license_is_inspected_with_its_encoding() {
    let Some(corpus) = corpus() else { return };
    let path = corpus.join("licence/PL_0101right_ECB.xml");
    let found = open_container(&path).unwrap();
    assert_eq!(found.format, Format::License);
    let license = found.license.unwrap();
    let file = fs::read(path).unwrap();
    // The file ends in one NUL character, which is not part of the license.
    assert!(license.len() + 2 == file.len() && file.starts_with(&license));
    assert_eq!(encoding(&license), Encoding::Utf16Le);
}
