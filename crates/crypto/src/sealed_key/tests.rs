use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::Mode;
use crate::rsa::SoftwareKey;

/// Keys are slow to make: one of each mode for all tests of this file.
static KEY_2048: LazyLock<SoftwareKey> =
    LazyLock::new(|| SoftwareKey::generate(Mode::Two).unwrap());
#[cfg(feature = "legacy-mode1")]
static KEY_1024: LazyLock<SoftwareKey> =
    LazyLock::new(|| SoftwareKey::generate(Mode::One).unwrap());

fn content_key(cipher: Cipher, bits: KeyBits) -> ContentKey {
    ContentKey::generate(cipher, bits).unwrap()
}

fn bound(version: SealedKeyVersion) -> Digest {
    Digest::of_utf16le(version.hash(), "<ISSUER>..</ISSUER>")
}

/// Seals, checks the `size` attribute, opens, and answers what came out.
fn round_trip(
    key: &SoftwareKey,
    version: SealedKeyVersion,
    payload: Payload<'_>,
    size_in_bits: usize,
) -> OpenedPayload {
    let sealed = seal(key.public(), version, payload, &bound(version)).unwrap();
    assert_eq!(sealed.len() * 8, size_in_bits);
    assert_eq!(sealed_len(key.public(), version, payload), sealed.len());
    let opened = open(key, version, &sealed).unwrap();
    assert_eq!(opened.bound_hash, bound(version));
    opened.payload
}

/// A sealed key whose secret part is `secret`, under a session key with the header given.
fn forged(key: &SoftwareKey, version: SealedKeyVersion, header: &[u8], secret: &[u8]) -> Vec<u8> {
    let session = [0x42; 16];
    let block = [header, &session].concat();
    let mut sealed = key.public().wrap_block(version.wrapping(), &block).unwrap();
    let mut secret = secret.to_vec();
    secret.resize(secret.len().next_multiple_of(16), 0);
    aes_ecb::encrypt(&session, &mut secret).unwrap();
    sealed.extend(secret);
    sealed
}

const SESSION_HEADER: [u8; 12] = [0x1C, 0, 0xFF, 0xFF, 16, 0, 16, 0, 1, 0x10, 0, 0];

fn secret_v2(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len() + 32).unwrap();
    [
        &2u32.to_le_bytes()[..],
        &len.to_le_bytes(),
        &[0; 8],
        payload,
        &[9; 32],
    ]
    .concat()
}

#[test]
fn content_keys_in_version_2_have_the_sizes_seen() {
    for (bits, size) in [(KeyBits::Aes128, 2688), (KeyBits::Aes256, 2816)] {
        let content = content_key(Cipher::Cbc4k, bits);
        let payload = Payload::ContentKey(&content);
        match round_trip(&KEY_2048, SealedKeyVersion::V2, payload, size) {
            OpenedPayload::ContentKey(opened) => assert_eq!(opened, content),
            other @ OpenedPayload::PrivateKey(_) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_private_key_in_version_2_has_the_size_seen() {
    let blob = KEY_2048.to_private_key_blob();
    assert_eq!(blob.expose().len(), 1172);
    let payload = Payload::PrivateKey(&blob);
    match round_trip(&KEY_2048, SealedKeyVersion::V2, payload, 11904) {
        OpenedPayload::PrivateKey(opened) => assert_eq!(opened, blob),
        other @ OpenedPayload::ContentKey(_) => panic!("{other:?}"),
    }
}

#[cfg(feature = "legacy-mode1")]
#[test]
fn content_keys_in_version_1_have_the_sizes_seen() {
    for (bits, size) in [(KeyBits::Aes128, 1536), (KeyBits::Aes256, 1664)] {
        let content = content_key(Cipher::Ecb, bits);
        let payload = Payload::ContentKey(&content);
        match round_trip(&KEY_1024, SealedKeyVersion::V1, payload, size) {
            OpenedPayload::ContentKey(opened) => assert_eq!(opened, content),
            other @ OpenedPayload::PrivateKey(_) => panic!("{other:?}"),
        }
    }
}

#[cfg(feature = "legacy-mode1")]
#[test]
fn a_private_key_in_version_1_has_the_size_seen() {
    let blob = KEY_1024.to_private_key_blob();
    assert_eq!(blob.expose().len(), 596);
    let payload = Payload::PrivateKey(&blob);
    match round_trip(&KEY_1024, SealedKeyVersion::V1, payload, 6144) {
        OpenedPayload::PrivateKey(opened) => assert_eq!(opened, blob),
        other @ OpenedPayload::ContentKey(_) => panic!("{other:?}"),
    }
}

#[cfg(feature = "legacy-mode1")]
#[test]
fn both_versions_work_with_either_key_size() {
    let content = content_key(Cipher::Ecb, KeyBits::Aes192);
    for key in [&*KEY_1024, &*KEY_2048] {
        for version in [SealedKeyVersion::V1, SealedKeyVersion::V2] {
            let payload = Payload::ContentKey(&content);
            let sealed = seal(key.public(), version, payload, &bound(version)).unwrap();
            assert!(matches!(
                open(key, version, &sealed).unwrap().payload,
                OpenedPayload::ContentKey(opened) if opened == content
            ));
        }
    }
}

#[test]
fn every_cipher_survives_the_key_header() {
    for cipher in CIPHERS {
        let content = content_key(cipher, KeyBits::Aes256);
        let payload = Payload::ContentKey(&content);
        match round_trip(&KEY_2048, SealedKeyVersion::V2, payload, 2816) {
            OpenedPayload::ContentKey(opened) => assert_eq!(opened.cipher(), cipher),
            other @ OpenedPayload::PrivateKey(_) => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_key_header_is_written_as_the_facts_say() {
    let key = ContentKey::new(Cipher::Ecb, &[0xAB; 16]).unwrap();
    let mut written = Vec::new();
    write_content_key(&mut written, &key);
    let header = [0x1C, 0, 0xFF, 0xFF, 0x10, 0, 0x10, 0, 0x01, 0x10, 0, 0];
    assert_eq!(written, [&header[..], &[0xAB; 16]].concat());
}

#[test]
fn key_headers_of_other_writers_are_read() {
    for (mode, cipher) in [
        ([0xFF, 0xFF], Cipher::Ecb),
        ([0xFE, 0xFF], Cipher::Cbc4kNoPadding),
        ([0xFF, 0xFE], Cipher::Cbc4kNoPadding),
        ([0xFD, 0xFF], Cipher::Cbc4k),
        ([0xFF, 0xFD], Cipher::Cbc4k),
        ([0xFC, 0xFF], Cipher::Cbc512NoPadding),
        ([0xFF, 0xFC], Cipher::Cbc512NoPadding),
    ] {
        for size in [32u16, 256] {
            let [size0, size1] = size.to_le_bytes();
            let header = [
                0x2C, 0, mode[0], mode[1], size0, size1, 0x77, 0x66, 1, 2, 3, 4,
            ];
            let payload = [&header[..], &[0xCD; 32]].concat();
            let secret = secret_v2(&payload);
            let sealed = forged(&KEY_2048, SealedKeyVersion::V2, &SESSION_HEADER, &secret);
            match open(&*KEY_2048, SealedKeyVersion::V2, &sealed)
                .unwrap()
                .payload
            {
                OpenedPayload::ContentKey(key) => {
                    assert_eq!(key.cipher(), cipher);
                    assert_eq!(key.expose(), [0xCD; 32]);
                }
                other @ OpenedPayload::PrivateKey(_) => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_session_header_with_its_size_in_bits_opens() {
    let mut header = SESSION_HEADER;
    header[4] = 128;
    let payload = [&SESSION_HEADER[..], &[1; 16]].concat();
    let sealed = forged(
        &KEY_2048,
        SealedKeyVersion::V2,
        &header,
        &secret_v2(&payload),
    );
    assert!(open(&*KEY_2048, SealedKeyVersion::V2, &sealed).is_ok());
}

#[test]
fn oaep_with_sha_256_is_tried_second() {
    let block = [&SESSION_HEADER[..], &[0x42; 16]].concat();
    let mut sealed = KEY_2048
        .public()
        .wrap_block(Wrapping::OaepSha256, &block)
        .unwrap();
    let mut secret = secret_v2(&[&SESSION_HEADER[..], &[1; 16]].concat());
    secret.resize(secret.len().next_multiple_of(16), 0);
    aes_ecb::encrypt(&[0x42; 16], &mut secret).unwrap();
    sealed.extend(secret);
    assert!(open(&*KEY_2048, SealedKeyVersion::V2, &sealed).is_ok());
}

#[test]
fn whatever_is_wrong_inside_gives_the_one_error() {
    let good = secret_v2(&[&SESSION_HEADER[..], &[1; 16]].concat());
    let with = |at: usize, byte: u8| {
        let mut changed = good.clone();
        changed[at] = byte;
        changed
    };
    let wrong_version = with(0, 1);
    let size_too_large = with(5, 0xFF);
    let size_without_hash = with(4, 8);
    let unknown_mode = with(18, 0x12);
    let size_fields_disagree = with(20, 24);
    let no_key_at_all = with(16, 0);
    for secret in [
        wrong_version,
        size_too_large,
        size_without_hash,
        unknown_mode,
        size_fields_disagree,
        no_key_at_all,
    ] {
        let sealed = forged(&KEY_2048, SealedKeyVersion::V2, &SESSION_HEADER, &secret);
        let error = open(&*KEY_2048, SealedKeyVersion::V2, &sealed).unwrap_err();
        assert_eq!(error, OpenError::CannotOpen);
    }
    let mut des_session = SESSION_HEADER;
    des_session[0] = 20;
    let sealed = forged(&KEY_2048, SealedKeyVersion::V2, &des_session, &good);
    let error = open(&*KEY_2048, SealedKeyVersion::V2, &sealed).unwrap_err();
    assert_eq!(error, OpenError::CannotOpen);
}

#[test]
fn another_key_gives_the_one_error() {
    let other = SoftwareKey::generate(Mode::Two).unwrap();
    let content = content_key(Cipher::Cbc4k, KeyBits::Aes256);
    for version in [SealedKeyVersion::V1, SealedKeyVersion::V2] {
        let payload = Payload::ContentKey(&content);
        let sealed = seal(KEY_2048.public(), version, payload, &bound(version)).unwrap();
        assert_eq!(
            open(&other, version, &sealed).unwrap_err(),
            OpenError::CannotOpen
        );
    }
}

#[cfg(feature = "legacy-mode1")]
#[test]
fn another_key_of_mode_1_and_the_other_version_give_the_one_error() {
    let other = SoftwareKey::generate(Mode::One).unwrap();
    let content = content_key(Cipher::Ecb, KeyBits::Aes256);
    let (v1, v2) = (SealedKeyVersion::V1, SealedKeyVersion::V2);
    let sealed = seal(
        KEY_1024.public(),
        v1,
        Payload::ContentKey(&content),
        &bound(v1),
    )
    .unwrap();
    assert_eq!(
        open(&other, v1, &sealed).unwrap_err(),
        OpenError::CannotOpen
    );
    assert_eq!(
        open(&*KEY_1024, v2, &sealed).unwrap_err(),
        OpenError::CannotOpen
    );
}

#[test]
fn a_bound_hash_of_the_other_version_is_not_sealed() {
    let content = content_key(Cipher::Ecb, KeyBits::Aes128);
    let result = seal(
        KEY_2048.public(),
        SealedKeyVersion::V2,
        Payload::ContentKey(&content),
        &bound(SealedKeyVersion::V1),
    );
    assert_eq!(
        result.unwrap_err().to_string(),
        "a sealed-key-v2 binds a SHA256 hash, not SHA1"
    );
}

#[test]
fn impossible_lengths_are_named_without_touching_the_key() {
    for len in [0, 1, 255, 256, 256 + 16, 256 + 47, 256 + 65, 256 + 4112] {
        let error = open(&*KEY_2048, SealedKeyVersion::V2, &vec![0; len]).unwrap_err();
        assert_eq!(
            error,
            OpenError::Length {
                found: len,
                bits: 2048
            }
        );
    }
}

#[test]
fn wire_names_are_read_as_written() {
    for version in [SealedKeyVersion::V1, SealedKeyVersion::V2] {
        assert_eq!(
            SealedKeyVersion::from_wire_name(version.wire_name()),
            Some(version)
        );
    }
    assert_eq!(SealedKeyVersion::from_wire_name("sealed-key-v3"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn cut_or_changed_sealed_keys_never_panic_or_give_the_key(cut in 0usize..352, flip in 0usize..352) {
        let content = ContentKey::new(Cipher::Cbc4k, &[5; 32]).unwrap();
        let version = SealedKeyVersion::V2;
        let payload = Payload::ContentKey(&content);
        let sealed = seal(KEY_2048.public(), version, payload, &bound(version)).unwrap();
        prop_assert!(open(&*KEY_2048, version, &sealed[..cut]).is_err());
        let mut changed = sealed;
        changed[flip] ^= 0x80;
        // ECB: a change in one block may leave the others readable, the bound hash included.
        let _ = open(&*KEY_2048, version, &changed);
        if flip < 256 {
            prop_assert_eq!(open(&*KEY_2048, version, &changed).unwrap_err(), OpenError::CannotOpen);
        }
    }

    #[test]
    fn any_secret_part_is_read_without_panic(secret in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_secret(SealedKeyVersion::V2, &secret);
        let _ = read_secret(SealedKeyVersion::V1, &secret);
        let _ = read_content_key(&secret);
    }
}
