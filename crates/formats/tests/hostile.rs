//! Files that are wrong in one way each: `testdata/hostile/<container>-<what is wrong>.bin`. All
//! are made by our own writers and then broken; the table says how, and which error they get.
//! After a change of the table: `cargo test -p openrms-formats --test hostile -- --ignored`.
// A table is long, and helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::too_many_lines)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use common::{LICENSE, compound, pfile};
use openrms_formats::compound::{Family, ProtectedFile};
use openrms_formats::dataspaces::{
    Component, ComponentKind, ContentHeader, DataSpaceDefinition, DataSpaceMap, MapEntry,
    Transform, TransformBody, VersionInfo, Versions,
};
use openrms_formats::pfile::{WriterVersion, read_header};
use openrms_formats::{Limits, fuzzing};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/hostile"))
}

/// What the parser of the container named in front of the first `-` says of the bytes.
fn verdict(name: &str, bytes: &[u8]) -> String {
    let limits = Limits::default();
    let error = match name.split('-').next() {
        Some("pfile") => read_header(&mut Cursor::new(bytes))
            .err()
            .map(|e| e.to_string()),
        Some("version") => VersionInfo::parse(bytes).err().map(|e| e.to_string()),
        Some("map") => DataSpaceMap::parse(bytes).err().map(|e| e.to_string()),
        Some("definition") => DataSpaceDefinition::parse(bytes)
            .err()
            .map(|e| e.to_string()),
        Some("transform") => Transform::parse(bytes, &limits)
            .err()
            .map(|e| e.to_string()),
        Some("content") => ContentHeader::parse(bytes, bytes.len() as u64)
            .err()
            .map(|e| e.to_string()),
        Some("compound") => ProtectedFile::open(Cursor::new(bytes), &limits)
            .err()
            .map(|e| e.to_string()),
        other => panic!("no parser for {other:?}"),
    };
    error.unwrap_or_else(|| "accepted".to_owned())
}

#[test]
fn every_hostile_file_gets_its_named_error() {
    let table = table();
    let (mut seen, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        let (made, error) = table
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name}: no row"));
        assert!(made == &bytes, "{name} is not what the table makes");
        let found = verdict(&name, &bytes);
        if found != *error {
            wrong.push(format!("{name}: {found}"));
        }
        fuzzing::any(&bytes);
        seen += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(seen, table.len());
}

#[test]
#[ignore = "writes the files of testdata/hostile"]
fn write_the_hostile_files() {
    fs::create_dir_all(folder()).unwrap();
    for (name, (bytes, _)) in table() {
        fs::write(folder().join(format!("{name}.bin")), bytes).unwrap();
    }
}

type Table = BTreeMap<&'static str, (Vec<u8>, &'static str)>;

fn table() -> Table {
    let mut table = Table::new();
    pfiles(&mut table);
    streams(&mut table);
    compounds(&mut table);
    table
}

fn patch(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes.splice(at..at + with.len(), with.iter().copied());
    bytes
}

fn patch_u32(bytes: Vec<u8>, at: usize, value: u32) -> Vec<u8> {
    patch(bytes, at, &value.to_le_bytes())
}

fn cut(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.truncate(length);
    bytes
}

/// Where the header block of the sample is, whose notice has 9 bytes.
const BLOCK: usize = 27;

fn pfiles(table: &mut Table) {
    let v3 = || pfile(WriterVersion::V3_0);
    let v2 = || pfile(WriterVersion::V2_0);
    let (extension, license, content, metadata) = (BLOCK + 4, BLOCK + 12, BLOCK + 20, BLOCK + 32);
    let mut add = |name, bytes, error| {
        assert!(table.insert(name, (bytes, error)).is_none());
    };
    let no_magic = "not a pfile: it does not begin with `.pfile`";
    add("pfile-empty", Vec::new(), no_magic);
    add("pfile-magic-cut", cut(v3(), 5), no_magic);
    add("pfile-magic-wrong", patch(v3(), 0, b".Pfile"), no_magic);
    add(
        "pfile-ends-after-magic",
        cut(v3(), 6),
        "pfile ends within its header, at the major version",
    );
    add(
        "pfile-ends-in-minor",
        cut(v3(), 13),
        "pfile ends within its header, at the minor version",
    );
    add(
        "pfile-ends-in-notice-length",
        cut(v3(), 17),
        "pfile ends within its header, at the notice length",
    );
    add(
        "pfile-ends-after-notice",
        cut(v3(), BLOCK),
        "pfile ends within its header, at the header size",
    );
    add(
        "pfile-ends-in-content-offset",
        cut(v2(), BLOCK + 23),
        "pfile ends within its header, at the content offset",
    );
    add(
        "pfile-ends-in-original-size",
        cut(v3(), BLOCK + 31),
        "pfile ends within its header, at the original size",
    );
    add(
        "pfile-ends-in-metadata-length",
        cut(v3(), BLOCK + 39),
        "pfile ends within its header, at the metadata length",
    );
    add(
        "pfile-major-1",
        patch_u32(v3(), 6, 1),
        "pfile version 1.0 is not supported; 2.x and 3.x are",
    );
    add(
        "pfile-major-4",
        patch_u32(v3(), 6, 4),
        "pfile version 4.0 is not supported; 2.x and 3.x are",
    );
    add(
        "pfile-major-256",
        patch_u32(v3(), 6, 256),
        "not a pfile: the major version is 256, and no pfile has 256 or more",
    );
    add(
        "pfile-minor-256",
        patch_u32(v3(), 10, 256),
        "not a pfile: the minor version is 256, and no pfile has 256 or more",
    );
    add(
        "pfile-notice-beyond-file",
        patch_u32(v3(), 14, u32::MAX),
        "pfile notice of 4294967295 bytes at 18 is outside the file of 146 bytes",
    );
    add(
        "pfile-extension-offset-beyond-file",
        patch_u32(v3(), extension, 155),
        "pfile extension of 4 bytes at 155 is outside the file of 146 bytes",
    );
    add(
        "pfile-extension-length-beyond-file",
        patch_u32(v3(), extension + 4, u32::MAX),
        "pfile extension of 4294967295 bytes at 67 is outside the file of 146 bytes",
    );
    add(
        "pfile-extension-not-utf8",
        patch(v3(), 67, b".\xFF\xFE\xFD"),
        "pfile extension is not UTF-8",
    );
    let mut long = v3();
    long.extend([b'x'; 256]);
    add(
        "pfile-extension-of-256-bytes",
        patch_u32(long, extension + 4, 256),
        "pfile extension of 256 bytes is longer than the limit of 255",
    );
    add(
        "pfile-license-offset-beyond-file",
        patch_u32(v3(), license, u32::MAX),
        "pfile license of 39 bytes at 4294967295 is outside the file of 146 bytes",
    );
    add(
        "pfile-license-sum-overflows-32-bits",
        patch(v3(), license, &[0xFF; 8]),
        "pfile license of 4294967295 bytes at 4294967295 is outside the file of 146 bytes",
    );
    add(
        "pfile-license-length-0",
        patch_u32(v3(), license + 4, 0),
        "pfile license length is 0",
    );
    add(
        "pfile-license-runs-into-content",
        patch_u32(v3(), license + 4, 60),
        "pfile content begins at 114, before the license ends at 131",
    );
    add(
        "pfile-content-offset-beyond-file",
        patch_u32(v3(), content, 155),
        "pfile content of 0 bytes at 155 is outside the file of 146 bytes",
    );
    add(
        "pfile-content-in-header",
        patch_u32(v3(), content, 30),
        "pfile content begins at 30, before the header ends at 67",
    );
    add(
        "pfile-content-before-license-end",
        patch_u32(v2(), content, 93),
        "pfile content begins at 93, before the license ends at 94",
    );
    add(
        "pfile-content-before-metadata-end",
        patch_u32(v3(), content, 113),
        "pfile content begins at 113, before the metadata ends at 114",
    );
    add(
        "pfile-metadata-beyond-file",
        patch_u32(v3(), metadata + 4, 1 << 31),
        "pfile metadata of 2147483648 bytes at 110 is outside the file of 146 bytes",
    );
}

fn streams(table: &mut Table) {
    let version = || VersionInfo::default().to_bytes();
    let map = || DataSpaceMap::single("EncryptedPackage", "DRMEncryptedDataSpace").to_bytes();
    let definition = || DataSpaceDefinition::single("DRMEncryptedTransform").to_bytes();
    let transform = || Transform::drm(LICENSE).to_bytes();
    let mut add = |name, bytes, error| {
        assert!(table.insert(name, (bytes, error)).is_none());
    };
    add(
        "version-feature-unknown",
        patch(version(), 4, b"X"),
        "data space version: feature identifier has the unknown value \"Xicrosoft.Container.DataSpaces\"",
    );
    add(
        "version-cut",
        cut(version(), 75),
        "data space version: writer version needs 2 bytes where 1 are left",
    );
    add(
        "map-header-length-0",
        patch_u32(map(), 0, 0),
        "data space map: header length is 0, which is too small",
    );
    add(
        "map-header-length-huge",
        patch_u32(map(), 0, u32::MAX),
        "data space map: header length needs 4294967287 bytes where 96 are left",
    );
    add(
        "map-entry-count-huge",
        patch_u32(map(), 4, u32::MAX),
        "data space map: entry count is 4294967295, more than 8",
    );
    add(
        "map-entry-count-one-too-many",
        patch_u32(map(), 4, 2),
        "data space map: entry length needs 4 bytes where 0 are left",
    );
    add(
        "map-entry-length-0",
        patch_u32(map(), 8, 0),
        "data space map: entry length is 0, which is too small",
    );
    add(
        "map-entry-length-beyond-stream",
        patch_u32(map(), 8, 0x64),
        "data space map: entry length needs 96 bytes where 92 are left",
    );
    add(
        "map-component-count-huge",
        patch_u32(map(), 12, 1 << 31),
        "data space map: reference component count is 2147483648, more than 11",
    );
    add(
        "map-component-type-2",
        patch_u32(map(), 16, 2),
        "data space map: reference component type has the unknown value \"2\"",
    );
    add(
        "map-name-length-beyond-entry",
        patch_u32(map(), 20, 0x100),
        "data space map: reference component name needs 256 bytes where 80 are left",
    );
    add(
        "map-name-length-odd",
        patch_u32(map(), 20, 0x1F),
        "data space map: reference component name is not UTF-16LE",
    );
    add(
        "map-surplus-bytes",
        [map(), vec![0; 4]].concat(),
        "data space map: end is followed by 4 surplus bytes",
    );
    add(
        "definition-transform-count-huge",
        patch_u32(definition(), 4, u32::MAX),
        "data space definition: transform count is 4294967295, more than 12",
    );
    add(
        "definition-name-lone-surrogate",
        patch(definition(), 12, &[0, 0xD8]),
        "data space definition: transform name is not UTF-16LE",
    );
    add(
        "transform-type-2",
        patch_u32(transform(), 4, 2),
        "transform: transform type has the unknown value \"2\"",
    );
    add(
        "transform-name-offset-backwards",
        patch_u32(transform(), 0, 8),
        "transform: transform name offset is 8, which is too small",
    );
    add(
        "transform-name-offset-beyond-stream",
        patch_u32(transform(), 0, u32::MAX),
        "transform: transform name offset needs 4294967207 bytes where 128 are left",
    );
    add(
        "transform-extensibility-3",
        patch_u32(transform(), 0xA8, 3),
        "transform: extensibility header length is 3, which is too small",
    );
    add(
        "transform-extensibility-4097",
        patch_u32(transform(), 0xA8, 4097),
        "transform: extensibility header length is 4097, more than 4096",
    );
    add(
        "transform-license-length-huge",
        patch_u32(transform(), 0xAC, u32::MAX),
        "transform: license length is 4294967295, more than 8388608",
    );
    add(
        "transform-license-beyond-stream",
        patch_u32(transform(), 0xAC, 41),
        "transform: license needs 41 bytes where 40 are left",
    );
    add(
        "transform-license-empty",
        patch_u32(transform(), 0xAC, 0),
        "transform: license length is 0, which is too small",
    );
    let content = |declared: u64, length| [&declared.to_le_bytes()[..], &vec![0; length]].concat();
    add(
        "content-length-cut",
        vec![0; 7],
        "protected content: original length needs 8 bytes where 7 are left",
    );
    add(
        "content-declared-too-long",
        content(17, 16),
        "protected content: original length is 17, more than 16",
    );
    add(
        "content-declared-huge",
        content(u64::MAX, 16),
        "protected content: original length is 18446744073709551615, more than 16",
    );
    add(
        "content-not-whole-blocks",
        content(16, 17),
        "protected content: ciphertext is 17 bytes long, not a whole number of cipher blocks",
    );
}

/// A compound file of the given streams.
fn with_streams(streams: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let out = Cursor::new(Vec::new());
    let mut file = cfb::CompoundFile::create_with_version(cfb::Version::V3, out).unwrap();
    for (path, bytes) in streams {
        if let Some((storage, _)) = path
            .rsplit_once('/')
            .filter(|(storage, _)| !storage.is_empty())
        {
            file.create_storage_all(storage).unwrap();
            // Else the file would differ from day to day.
            let mut made = String::new();
            for name in storage.split('/').filter(|name| !name.is_empty()) {
                made = format!("{made}/{name}");
                file.set_created_time(&made, std::time::SystemTime::UNIX_EPOCH)
                    .unwrap();
                file.set_modified_time(&made, std::time::SystemTime::UNIX_EPOCH)
                    .unwrap();
            }
        }
        file.create_stream(path).unwrap().write_all(bytes).unwrap();
    }
    file.flush().unwrap();
    file.into_inner().into_inner()
}

const MAP: &str = "/\u{6}DataSpaces/DataSpaceMap";
const DEFINITION: &str = "/\u{6}DataSpaces/DataSpaceInfo/space";
const TRANSFORM: &str = "/\u{6}DataSpaces/TransformInfo/transform/\u{6}Primary";

fn space(map: &DataSpaceMap) -> (&'static str, Vec<u8>) {
    (MAP, map.to_bytes())
}

fn compounds(table: &mut Table) {
    let sample = || compound(Family::OfficeXml);
    let map = || space(&DataSpaceMap::single("content", "space"));
    let definition = || {
        (
            DEFINITION,
            DataSpaceDefinition::single("transform").to_bytes(),
        )
    };
    let transform = || (TRANSFORM, Transform::drm(LICENSE).to_bytes());
    let word =
        |at| usize::try_from(u32::from_le_bytes(sample()[at..at + 4].try_into().unwrap())).unwrap();
    let (fat, directory, mini_fat) = (word(0x4C), word(0x30), word(0x3C));
    let fat_entry = |sector| 512 + fat * 512 + sector * 4;
    let sector_number = |sector: usize| u32::try_from(sector).unwrap();
    let last = sector_number(sample().len() / 512 - 1);
    let mut add = |name, bytes, error| {
        assert!(table.insert(name, (bytes, error)).is_none());
    };
    add(
        "compound-header-cut",
        cut(sample(), 511),
        "not a compound file",
    );
    add(
        "compound-magic-wrong",
        patch(sample(), 0, &[0xD1]),
        "not a compound file",
    );
    add(
        "compound-sector-size-impossible",
        patch(sample(), 0x1E, &[63, 0]),
        "compound file is damaged: header has an impossible sector size",
    );
    add(
        "compound-only-the-header",
        cut(sample(), 512),
        "compound file is damaged: DIFAT lists a FAT sector outside the file",
    );
    add(
        "compound-fat-sector-twice",
        patch_u32(sample(), 0x50, sector_number(fat)),
        "compound file is damaged: DIFAT lists a FAT sector twice",
    );
    add(
        "compound-difat-circle",
        patch_u32(
            [sample(), vec![0xFF; 508], last.to_le_bytes().to_vec()].concat(),
            0x44,
            last,
        ),
        "compound file is damaged: DIFAT runs in a circle",
    );
    add(
        "compound-directory-circle",
        patch_u32(sample(), fat_entry(directory), sector_number(directory)),
        "compound file is damaged: directory runs in a circle",
    );
    add(
        "compound-directory-outside-file",
        patch_u32(sample(), 0x30, 0x00FF_FFFF),
        "compound file is damaged: directory runs outside the FAT",
    );
    add(
        "compound-mini-fat-circle",
        patch_u32(sample(), fat_entry(mini_fat), sector_number(mini_fat)),
        "compound file is damaged: mini FAT runs in a circle",
    );
    add(
        "compound-without-data-spaces",
        with_streams(&[("/WordDocument", vec![1; 8])]),
        "compound file is not protected: it has no data space map",
    );
    add(
        "compound-with-password",
        with_streams(&[
            ("/EncryptionInfo", vec![1; 8]),
            ("/EncryptedPackage", vec![1; 24]),
        ]),
        "compound file is protected by a password, not by rights management",
    );
    add(
        "compound-map-empty",
        with_streams(&[(MAP, Vec::new())]),
        "data space map: header length needs 4 bytes where 0 are left",
    );
    add(
        "compound-map-without-entries",
        with_streams(&[space(&DataSpaceMap::default())]),
        "compound file has data spaces, but none of rights management",
    );
    add(
        "compound-data-space-missing",
        with_streams(&[map()]),
        "compound file has no stream \"/\\u{6}DataSpaces/DataSpaceInfo/space\", which its data spaces name",
    );
    add(
        "compound-data-space-name-steps-out",
        with_streams(&[space(&DataSpaceMap::single("content", ".."))]),
        "compound file names the impossible stream \"..\"",
    );
    add(
        "compound-data-space-name-is-a-path",
        with_streams(&[space(&DataSpaceMap::single("content", "../DataSpaceMap"))]),
        "compound file names the impossible stream \"../DataSpaceMap\"",
    );
    add(
        "compound-transform-missing",
        with_streams(&[map(), definition()]),
        "compound file has no stream \"/\\u{6}DataSpaces/TransformInfo/transform/\\u{6}Primary\", which its data spaces name",
    );
    let other = Transform {
        id: "{FF9A3F03-56EF-4613-BDD5-5A41C1D07246}".to_owned(),
        name: "Microsoft.Container.EncryptionTransform".to_owned(),
        versions: Versions::default(),
        body: TransformBody::Other,
    };
    add(
        "compound-transform-of-a-password",
        with_streams(&[map(), definition(), (TRANSFORM, other.to_bytes())]),
        "compound file has data spaces, but none of rights management",
    );
    add(
        "compound-content-missing",
        with_streams(&[map(), definition(), transform()]),
        "compound file has no stream \"/content\", which its data spaces name",
    );
    add(
        "compound-content-name-of-32-characters",
        with_streams(&[
            space(&DataSpaceMap::single(
                "cccccccccccccccccccccccccccccccc",
                "space",
            )),
            definition(),
            transform(),
        ]),
        "compound file names the impossible stream \"cccccccccccccccccccccccccccccccc\"",
    );
    let storage = MapEntry {
        components: vec![Component {
            kind: ComponentKind::Storage,
            name: "content".to_owned(),
        }],
        data_space: "space".to_owned(),
    };
    add(
        "compound-content-is-a-storage",
        with_streams(&[
            space(&DataSpaceMap {
                entries: vec![storage],
            }),
            definition(),
            transform(),
        ]),
        "compound file protects the storage \"content\" as if it were a stream",
    );
    let content =
        |bytes: Vec<u8>| with_streams(&[map(), definition(), transform(), ("/content", bytes)]);
    add(
        "compound-content-empty",
        content(Vec::new()),
        "protected content: original length needs 8 bytes where 0 are left",
    );
    add(
        "compound-content-declared-too-long",
        content(patch(vec![0; 24], 0, &[17])),
        "protected content: original length is 17, more than 16",
    );
    add(
        "compound-content-not-whole-blocks",
        content(vec![0; 25]),
        "protected content: ciphertext is 17 bytes long, not a whole number of cipher blocks",
    );
    // The directory entry of the content: the last whose name begins with `c`.
    let whole = content(vec![0; 24]);
    let name: Vec<u8> = "content\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let entry = whole
        .windows(name.len())
        .rposition(|window| window == name)
        .unwrap();
    add(
        "compound-content-longer-than-file",
        patch_u32(whole.clone(), entry + 0x78, 0x7FFF_FFFF),
        "stream \"/content\" of 2147483647 bytes is longer than 3584",
    );
    add(
        "compound-content-longer-than-its-chain",
        patch_u32(whole, entry + 0x78, 0x88),
        "compound file is damaged: failed to fill whole buffer",
    );
}
