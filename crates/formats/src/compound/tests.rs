use super::*;
use crate::hex;
use openrms_crypto::content::ContentError as CipherError;
use std::io::Cursor;

const LICENSE: &[u8] = b"<?xml version=\"1.0\"?><XrML version=\"1.2\" xmlns=\"\"></XrML>";
const FAMILIES: [Family; 3] = [Family::OfficeXml, Family::OfficeBinary, Family::Envelope];

fn key(cipher: Cipher, length: u8) -> ContentKey {
    ContentKey::new(cipher, &(0..length).collect::<Vec<u8>>()).unwrap()
}

fn protected(plain: &[u8], key: &ContentKey, family: Family) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    protect(plain, &mut file, key, family, LICENSE).unwrap();
    file.into_inner()
}

fn open(bytes: Vec<u8>) -> ProtectedFile<Cursor<Vec<u8>>> {
    ProtectedFile::open(Cursor::new(bytes), &Limits::default()).unwrap()
}

#[test]
fn what_was_protected_is_unprotected_in_every_family() {
    for family in FAMILIES {
        for length in [0, 1, 16, 4096, 5000, 70_000] {
            for cipher in [Cipher::Ecb, Cipher::Cbc4k, Cipher::Cbc4kNoPadding] {
                let plain: Vec<u8> = (0..=250).cycle().take(length).collect();
                let key = key(cipher, 32);
                let mut file = open(protected(&plain, &key, family));
                assert_eq!(file.facts().family, family);
                assert_eq!(file.facts().license, LICENSE);
                assert_eq!(file.facts().content.declared_length, length as u64);
                let mut out = Vec::new();
                assert_eq!(file.unprotect(&mut out, &key).unwrap(), length as u64);
                assert_eq!(out, plain);
            }
        }
    }
}

#[test]
fn ecb_content_is_filled_to_16_and_cbc4k_content_to_4096() {
    let plain: Vec<u8> = b"PK\x03\x04".iter().copied().chain(0..16).collect();
    let mut ecb = open(protected(&plain, &key(Cipher::Ecb, 16), Family::OfficeXml));
    let mut bytes = Vec::new();
    ecb.ciphertext().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(
        hex(&bytes),
        "ea1cd24ddf9bfc6a07b98e26b935305327f3125f19232c2f91f628e7d582f727"
    );

    let mut cbc = open(protected(
        &plain,
        &key(Cipher::Cbc4k, 32),
        Family::OfficeXml,
    ));
    let mut bytes = plain.len().to_le_bytes().to_vec();
    cbc.ciphertext().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 4104);
    assert_eq!(
        hex(&openrms_crypto::sha256(&bytes)),
        "f372a8a187d6144af4061e3b28a8747ad239648539f055f7d8397d0aab0e0016"
    );
}

#[test]
fn content_in_the_padded_form_opens_too() {
    let key = key(Cipher::Cbc4k, 16);
    let plain = [5; 5000];
    let ciphertext = openrms_crypto::content::encrypt(&key, &plain).unwrap();
    let out = Cursor::new(Vec::new());
    let file = write(out, Family::OfficeXml, LICENSE, 5000, &ciphertext[..]).unwrap();
    let mut unprotected = Vec::new();
    open(file.into_inner())
        .unprotect(&mut unprotected, &key)
        .unwrap();
    assert_eq!(unprotected, plain);
}

#[test]
fn files_of_equal_content_are_equal() {
    let key = key(Cipher::Cbc4k, 16);
    let once = protected(b"hello", &key, Family::OfficeXml);
    assert_eq!(once, protected(b"hello", &key, Family::OfficeXml));
}

#[test]
fn ciphertext_that_cannot_be_of_the_declared_length_is_not_written() {
    for (declared, ciphertext) in [(17, 16), (1, 17)] {
        let bytes = vec![0; ciphertext];
        let out = Cursor::new(Vec::new());
        assert!(write(out, Family::OfficeXml, LICENSE, declared, &bytes[..]).is_err());
    }
}

#[test]
fn the_cipher_of_512_bytes_takes_whole_blocks_only() {
    let out = Cursor::new(Vec::new());
    let key = key(Cipher::Cbc512NoPadding, 16);
    let result = protect(&b"hello"[..], out, &key, Family::OfficeXml, LICENSE);
    assert!(matches!(
        result,
        Err(ContentError::Cipher(CipherError::NotWholeBlocks(_)))
    ));
}

#[test]
fn a_file_large_enough_for_a_difat_chain_opens() {
    let key = key(Cipher::Ecb, 16);
    let length = 8 << 20;
    let out = Cursor::new(Vec::new());
    let plain = io::repeat(3).take(length);
    let mut file = Cursor::new(Vec::new());
    assert_eq!(
        protect(plain, &mut file, &key, Family::OfficeXml, LICENSE).unwrap(),
        length
    );
    let bytes = file.into_inner();
    assert_ne!(bytes.get(0x48), Some(&0), "no DIFAT sector was needed");
    assert_eq!(open(bytes).unprotect(out, &key).unwrap(), length);
}

#[test]
fn a_file_of_version_4_opens_although_none_is_written() {
    let mut file =
        cfb::CompoundFile::create_with_version(cfb::Version::V4, Cursor::new(Vec::new())).unwrap();
    let family = Family::OfficeXml;
    let map = DataSpaceMap::single(family.content_stream(), family.data_space());
    let definition = DataSpaceDefinition::single(family.transform());
    let spaces = format!("/\u{6}DataSpaces/DataSpaceInfo/{}", family.data_space());
    let transform = format!("/\u{6}DataSpaces/TransformInfo/{}", family.transform());
    file.create_storage_all("/\u{6}DataSpaces/DataSpaceInfo")
        .unwrap();
    file.create_storage_all(&transform).unwrap();
    for (path, bytes) in [
        (MAP_PATH.to_owned(), map.to_bytes()),
        (spaces, definition.to_bytes()),
        (
            format!("{transform}/\u{6}primary"),
            Transform::drm(LICENSE).to_bytes(),
        ),
        ("/encryptedpackage".to_owned(), vec![0; 24]),
    ] {
        file.create_stream(path).unwrap().write_all(&bytes).unwrap();
    }
    file.flush().unwrap();
    let file = open(file.into_inner().into_inner());
    assert_eq!(file.facts().license, LICENSE);
    assert_eq!(file.facts().content.ciphertext_length, 16);
}
