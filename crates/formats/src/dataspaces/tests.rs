use super::*;
use proptest::prelude::*;

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> (&'static str, Problem) {
    let error = result.unwrap_err();
    (error.field, error.problem)
}

#[test]
fn the_version_stream_has_76_bytes() {
    let bytes = VersionInfo::default().to_bytes();
    let mut expected = vec![0x3C, 0, 0, 0];
    expected.extend(utf16("Microsoft.Container.DataSpaces"));
    expected.extend([1, 0, 0, 0].repeat(3));
    assert_eq!(bytes, expected);
    assert_eq!(bytes.len(), 76);
}

#[test]
fn the_map_of_a_package_has_104_bytes_and_of_a_binary_document_80() {
    let package = DataSpaceMap::single("EncryptedPackage", "DRMEncryptedDataSpace").to_bytes();
    assert_eq!(package.len(), 104);
    assert_eq!(
        package.get(..24).unwrap(),
        [
            8, 0, 0, 0, 1, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0
        ]
    );
    let binary = DataSpaceMap::single("\tDRMContent", "\tDRMDataSpace").to_bytes();
    assert_eq!(binary.len(), 80);
    assert_eq!(binary.get(8), Some(&0x48));
    assert_eq!(binary.get(0x30), Some(&0x1A));
}

#[test]
fn a_definition_has_56_bytes_for_a_package_and_40_for_a_binary_document() {
    assert_eq!(
        DataSpaceDefinition::single("DRMEncryptedTransform")
            .to_bytes()
            .len(),
        56
    );
    assert_eq!(
        DataSpaceDefinition::single("\tDRMTransform")
            .to_bytes()
            .len(),
        40
    );
}

#[test]
fn the_license_of_a_transform_begins_at_b0_and_is_filled_to_four() {
    for length in 1..9 {
        let license = vec![b'x'; length];
        let bytes = Transform::drm(&license).to_bytes();
        assert_eq!(bytes.get(..8).unwrap(), [0x58, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(bytes.get(0x58), Some(&0x3E));
        assert_eq!(bytes.get(0xA8..0xAC).unwrap(), [4, 0, 0, 0]);
        assert_eq!(bytes.get(0xB0..0xB0 + length).unwrap(), license);
        assert_eq!(bytes.len(), (0xB0 + length).next_multiple_of(4));
    }
}

#[test]
fn surplus_padding_after_the_license_is_tolerated_and_missing_padding_too() {
    let limits = Limits::default();
    let transform = Transform::drm(b"<XrML/>");
    let mut bytes = transform.to_bytes();
    bytes.extend([0; 4]);
    assert_eq!(Transform::parse(&bytes, &limits).unwrap(), transform);
    bytes.truncate(0xB0 + 7);
    assert_eq!(Transform::parse(&bytes, &limits).unwrap(), transform);
    bytes.truncate(0xB0 + 6);
    let cut = Problem::Cut { needed: 7, left: 6 };
    assert_eq!(problem(Transform::parse(&bytes, &limits)), ("license", cut));
}

#[test]
fn the_transform_is_known_by_its_identifier_in_any_case() {
    let mut transform = Transform::drm(b"<XrML/>");
    transform.id = transform.id.to_lowercase();
    transform.name = "Another.Name".to_owned();
    let bytes = transform.to_bytes();
    assert_eq!(
        Transform::parse(&bytes, &Limits::default()).unwrap(),
        transform
    );
}

#[test]
fn another_transform_is_recognised_as_other() {
    let transform = Transform {
        id: "{86DE7F2B-DDCE-486d-B016-405BBE82B8BC}".to_owned(),
        name: "Microsoft.Metadata.CompressionTransform".to_owned(),
        versions: Versions::default(),
        body: TransformBody::Other,
    };
    let bytes = transform.to_bytes();
    assert_eq!(
        Transform::parse(&bytes, &Limits::default()).unwrap(),
        transform
    );
}

#[test]
fn a_license_beyond_the_limit_is_refused_before_it_is_copied() {
    let bytes = Transform::drm(&[b'x'; 100]).to_bytes();
    let limits = Limits {
        license: 99,
        ..Limits::default()
    };
    let too_large = Problem::TooLarge {
        value: 100,
        limit: 99,
    };
    assert_eq!(
        problem(Transform::parse(&bytes, &limits)),
        ("license length", too_large)
    );
}

#[test]
fn extensions_of_the_headers_are_skipped_by_their_length() {
    let mut map = DataSpaceMap::single("EncryptedPackage", "DRMEncryptedDataSpace").to_bytes();
    let plain = DataSpaceMap::parse(&map).unwrap();
    map.splice(..4, [12, 0, 0, 0]);
    map.splice(8..8, [9, 9, 9, 9]);
    assert_eq!(DataSpaceMap::parse(&map).unwrap(), plain);

    let mut primary = Transform::drm(b"<XrML/>").to_bytes();
    primary.splice(0xA8..0xAC, [8, 0, 0, 0, 9, 9, 9, 9]);
    let transform = Transform::parse(&primary, &Limits::default()).unwrap();
    assert_eq!(transform, Transform::drm(b"<XrML/>"));
}

#[test]
fn a_count_that_cannot_follow_reserves_nothing() {
    let mut map = DataSpaceMap::single("a", "b").to_bytes();
    map.splice(4..8, u32::MAX.to_le_bytes());
    let (field, problem) = problem(DataSpaceMap::parse(&map));
    assert_eq!(field, "entry count");
    assert!(matches!(problem, Problem::TooLarge { value, .. } if value == u64::from(u32::MAX)));
}

#[test]
fn texts_must_be_utf16_of_whole_units() {
    let mut lone_surrogate = DataSpaceDefinition::single("ab").to_bytes();
    lone_surrogate.splice(12..14, [0x00, 0xD8]);
    let result = DataSpaceDefinition::parse(&lone_surrogate);
    assert_eq!(problem(result), ("transform name", Problem::NotText));
    let mut odd = DataSpaceDefinition::single("ab").to_bytes();
    odd.splice(8..12, [3, 0, 0, 0]);
    assert_eq!(
        problem(DataSpaceDefinition::parse(&odd)),
        ("transform name", Problem::NotText)
    );
}

#[test]
fn a_declared_length_beyond_the_ciphertext_is_refused() {
    let front = 17_u64.to_le_bytes();
    let too_large = Problem::TooLarge {
        value: 17,
        limit: 16,
    };
    assert_eq!(
        problem(ContentHeader::parse(&front, 24)),
        ("original length", too_large)
    );
    assert_eq!(
        problem(ContentHeader::parse(&front, 8 + 17)),
        ("ciphertext", Problem::NotWholeBlocks(17))
    );
    assert!(ContentHeader::parse(&front, 8 + 32).is_ok());
}

#[test]
fn every_truncation_is_an_error() {
    let map = DataSpaceMap::single("EncryptedPackage", "DRMEncryptedDataSpace").to_bytes();
    for end in 0..map.len() {
        assert!(
            DataSpaceMap::parse(map.get(..end).unwrap()).is_err(),
            "map of {end} bytes"
        );
    }
    let definition = DataSpaceDefinition::single("\tDRMTransform").to_bytes();
    for end in 0..definition.len() {
        let cut = definition.get(..end).unwrap();
        assert!(
            DataSpaceDefinition::parse(cut).is_err(),
            "definition of {end} bytes"
        );
    }
    let version = VersionInfo::default().to_bytes();
    for end in 0..version.len() {
        assert!(
            VersionInfo::parse(version.get(..end).unwrap()).is_err(),
            "version of {end}"
        );
    }
    let license = b"<XrML></XrML>";
    let transform = Transform::drm(license).to_bytes();
    for end in 0..0xB0 + license.len() {
        let cut = transform.get(..end).unwrap();
        assert!(
            Transform::parse(cut, &Limits::default()).is_err(),
            "transform of {end} bytes"
        );
    }
}

fn any_map() -> impl Strategy<Value = DataSpaceMap> {
    let kind = prop_oneof![Just(ComponentKind::Stream), Just(ComponentKind::Storage)];
    let component = (kind, any::<String>()).prop_map(|(kind, name)| Component { kind, name });
    let components = proptest::collection::vec(component, 0..4);
    let entry = (components, any::<String>()).prop_map(|(components, data_space)| MapEntry {
        components,
        data_space,
    });
    proptest::collection::vec(entry, 0..4).prop_map(|entries| DataSpaceMap { entries })
}

proptest! {
    #[test]
    fn a_map_written_is_read_back(map in any_map()) {
        prop_assert_eq!(DataSpaceMap::parse(&map.to_bytes()), Ok(map));
    }

    #[test]
    fn a_definition_written_is_read_back(transforms: Vec<String>) {
        let definition = DataSpaceDefinition { transforms };
        prop_assert_eq!(DataSpaceDefinition::parse(&definition.to_bytes()), Ok(definition));
    }

    #[test]
    fn a_transform_written_is_read_back(license in "<XrML>[a-zé]{0,64}</XrML>") {
        let transform = Transform::drm(license.as_bytes());
        prop_assert_eq!(Transform::parse(&transform.to_bytes(), &Limits::default()), Ok(transform));
    }
}
