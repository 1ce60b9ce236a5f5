use std::io::{Cursor, Read, Write};

use proptest::prelude::*;

use super::*;
use crate::mode::sha256;

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The key of the published vectors: 00, 01, 02, ...
fn counting_key(cipher: Cipher, len: u8) -> ContentKey {
    ContentKey::new(cipher, &(0..len).collect::<Vec<u8>>()).unwrap()
}

fn counting_text(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

/// The short ciphertexts themselves, the hash of longer ones.
fn shown(cipher_text: &[u8]) -> String {
    if cipher_text.len() <= 16 {
        hex(cipher_text)
    } else {
        hex(&sha256(cipher_text))
    }
}

fn streamed(key: &ContentKey, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(
        encrypt_stream(key, plain, &mut out).unwrap(),
        plain.len() as u64
    );
    out
}

/// CBC one block after the other by AWS-LC: what the interleaved code must equal.
fn plain_cbc(key: &ContentKey, plain: &[u8]) -> Vec<u8> {
    use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
    let unit_len = key.cipher().unit_len();
    let mut out = plain.to_vec();
    pad(key.cipher(), &mut out).unwrap();
    for (number, unit) in out.chunks_mut(unit_len).enumerate() {
        let value = if unit_len == 4096 {
            number
        } else {
            number * 512
        };
        let mut iv = (value as u128).to_le_bytes();
        crate::aes_ecb::encrypt(key.expose(), &mut iv).unwrap();
        let cbc =
            EncryptingKey::cbc(UnboundCipherKey::new(&AES_256, key.expose()).unwrap()).unwrap();
        cbc.less_safe_encrypt(unit, EncryptionContext::Iv128((&iv).into()))
            .unwrap();
    }
    out
}

#[test]
fn the_published_vectors_come_out() {
    use Cipher::{Cbc4k, Cbc512NoPadding, Ecb};
    for (cipher, key_len, len, out_len, expected) in [
        (Cbc4k, 16, 0, 16, "b1a29273be2c4207a5ace393398cb6fb"),
        (Cbc4k, 16, 1, 16, "5f02d0341e2308378bfc1fa079abacc2"),
        (Cbc4k, 16, 15, 16, "3cb4aa3e24fd52baa3f26855eeb5d4c2"),
        (
            Cbc4k,
            16,
            16,
            32,
            "4c52766ef2c4618150ba0180dfc5faedd024720e82045ad65d1ca78dd3d86aba",
        ),
        (
            Cbc4k,
            16,
            4095,
            4096,
            "1dd24b30d75e162e96a8b17327d7ad89f082bc32d1ed6ac4a1c8991d136ab5b8",
        ),
        (
            Cbc4k,
            16,
            4096,
            4112,
            "3856511961530c0bccd085b3e3f673415f48d072d4edc21180063ea6b4af8cee",
        ),
        (
            Cbc4k,
            16,
            4097,
            4112,
            "855d184a3154215b46a2fcdbfd8fce066f851e0584cc374afc5c2bec85ba724b",
        ),
        (
            Cbc4k,
            16,
            8192,
            8208,
            "211eb325448b075ba2f47b2e99a80eff2f0b0bfd9d1748b3511a2c2d62d67746",
        ),
        (
            Cbc4k,
            16,
            10000,
            10016,
            "c65940d0f2b4d4b167b901edc9a03d0482156c8c6ef945397e7cf15bf84a5988",
        ),
        (
            Cbc4k,
            32,
            10000,
            10016,
            "5573333e94bdf57ddffca9bd58f1578ed2f40a685afbfbcd38a6c61ecd1bea5d",
        ),
        (
            Cbc512NoPadding,
            16,
            16,
            16,
            "b58a1064d8aca99bd9b0405b8545f5bb",
        ),
        (
            Cbc512NoPadding,
            16,
            1040,
            1040,
            "fa52446f56c8c762d943d130a0b4a7adda0ff8b813c65340cb8050ea33b9d169",
        ),
        (
            Ecb,
            16,
            4112,
            4112,
            "4eab3eaf211fd75d8920f61d1ebad18e915d70ab178a3a7f66815efad19aa936",
        ),
    ] {
        let key = counting_key(cipher, key_len);
        let plain = counting_text(len);
        let out = encrypt(&key, &plain).unwrap();
        assert_eq!(out.len(), out_len);
        assert_eq!(cipher.ciphertext_len(len as u64), Some(out_len as u64));
        // The vector of 16 bytes is given as the ciphertext itself, though longer than 16.
        let found = if out_len == 32 {
            hex(&out)
        } else {
            shown(&out)
        };
        assert!(
            found == expected || shown(&out) == expected,
            "{cipher:?} {len}: {found}"
        );
        assert_eq!(streamed(&key, &plain), out);
        assert_eq!(decrypt(&key, &out, None).unwrap(), plain);
    }
}

#[test]
fn the_ivs_of_the_published_vectors_come_out() {
    for (cipher, unit, expected) in [
        (Cipher::Cbc4k, 0, "c6a13b37878f5b826f4f8162a1c8d879"),
        (Cipher::Cbc4k, 1, "e37cd363dd7c87a09aff0e3e60e09c82"),
        (Cipher::Cbc4k, 2, "fb8ae31ba5db9cad97364d8722d47326"),
        (
            Cipher::Cbc512NoPadding,
            0,
            "c6a13b37878f5b826f4f8162a1c8d879",
        ),
        (
            Cipher::Cbc512NoPadding,
            1,
            "6fa7bcfefed6668273a24904694d7264",
        ),
        (
            Cipher::Cbc512NoPadding,
            2,
            "dbffdd8a4c47a1418f680a09cf2939ca",
        ),
    ] {
        // Deciphering a block gives D(c) ^ IV: with c = E(0), only the IV is left.
        let key = counting_key(cipher, 16);
        let mut block = encrypt(&key.with_cipher(Cipher::Ecb), &[0; 16]).unwrap();
        decrypt_units(&key, unit, &mut block).unwrap();
        assert_eq!(hex(&block), expected);
    }
}

#[test]
fn the_vector_of_the_client_library_comes_out() {
    let key = [
        0x7b, 0xdd, 0xca, 0x3c, 0x7f, 0xf9, 0xbd, 0xc8, 0xee, 0xa7, 0xa8, 0xeb, 0x63, 0xd0, 0x1f,
        0x11,
    ];
    let key = ContentKey::new(Cipher::Cbc4k, &key).unwrap();
    let out = encrypt(&key, b"Plain Text").unwrap();
    assert_eq!(hex(&out), "ea21b48f530be23b6d654db9302dd1ff");
}

#[test]
fn the_office_and_pdf_vectors_come_out() {
    let start: Vec<u8> = [0x50, 0x4B, 3, 4].into_iter().chain(0..16).collect();
    let ecb = encrypt(&counting_key(Cipher::Ecb, 16), &start).unwrap();
    assert_eq!(
        hex(&ecb),
        "ea1cd24ddf9bfc6a07b98e26b935305327f3125f19232c2f91f628e7d582f727"
    );

    // The vectors of filled CBC4K are of the whole stream: the length goes before.
    let with_length = |plain: &[u8]| {
        let out = encrypt(&counting_key(Cipher::Cbc4kNoPadding, 32), plain).unwrap();
        [&(plain.len() as u64).to_le_bytes()[..], &out].concat()
    };
    let filled = with_length(&start);
    assert_eq!(filled.len(), 4104);
    assert_eq!(
        hex(&filled[8..40]),
        "5ed87329790056517325559f98d6854291894079f96bf64057c742793dd5f999"
    );
    assert_eq!(
        hex(&sha256(&filled)),
        "f372a8a187d6144af4061e3b28a8747ad239648539f055f7d8397d0aab0e0016"
    );
    let text: Vec<u8> = (0..5000u32)
        .map(|i| ((7 * i + 3) % 256).to_le_bytes()[0])
        .collect();
    let filled = with_length(&text);
    assert_eq!(filled.len(), 8200);
    assert_eq!(
        hex(&sha256(&filled)),
        "55acac5bc3229c51cad95a47264cf2dd8d3393e460ceba554ea6cc6ba07bae4b"
    );

    // Each string of a PDF has its length before it, big-endian.
    let pdf = |text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        encrypt(
            &counting_key(Cipher::Cbc4k, 16),
            &[&length[..], text.as_bytes()].concat(),
        )
        .unwrap()
    };
    assert_eq!(hex(&pdf("Hello")), "124b9c2858c523d4c0f5bb67b49de438");
    assert_eq!(hex(&pdf("")), "d0b9d48275c8ce0440c826f442268695");
}

#[test]
fn side_by_side_equals_one_after_the_other_for_any_number_of_units() {
    for cipher in [
        Cipher::Cbc4k,
        Cipher::Cbc4kNoPadding,
        Cipher::Cbc512NoPadding,
    ] {
        let key = counting_key(cipher, 32);
        let unit = cipher.unit_len();
        for units in [
            0, 1, 2, 3, 7, 8, 9, 15, 29, 30, 31, 63, 64, 65, 127, 128, 130,
        ] {
            for extra in [0, 16, unit - 16] {
                let plain = counting_text(units * unit + extra);
                let out = encrypt(&key, &plain).unwrap();
                assert!(
                    out == plain_cbc(&key, &plain),
                    "{cipher:?} {units} units and {extra}"
                );
                assert!(decrypt(&key, &out, Some(plain.len() as u64)).unwrap() == plain);
            }
        }
    }
}

#[test]
fn streams_longer_than_a_chunk_equal_the_whole() {
    for cipher in [Cipher::Ecb, Cipher::Cbc4k, Cipher::Cbc4kNoPadding] {
        let key = counting_key(cipher, 32);
        let chunk = 512 * 1024;
        for len in [
            chunk - 1,
            chunk,
            chunk + 1,
            chunk + 4096,
            2 * chunk,
            2 * chunk + 5000,
        ] {
            let plain = counting_text(len);
            let out = encrypt(&key, &plain).unwrap();
            assert!(streamed(&key, &plain) == out);
            for length in [None, Some(len as u64)] {
                let mut opened = Vec::new();
                let count = decrypt_stream(&key, &out[..], &mut opened, length).unwrap();
                assert_eq!(count, opened.len() as u64);
                assert!(
                    opened == decrypt(&key, &out, length).unwrap(),
                    "{cipher:?} {len}"
                );
            }
        }
    }
}

#[test]
fn written_in_odd_pieces_and_read_in_odd_pieces_nothing_changes() {
    let key = counting_key(Cipher::Cbc4k, 16);
    let plain = counting_text(1_200_003);
    let mut encryptor = Encryptor::new(&key, Vec::new());
    for piece in plain.chunks(7919) {
        encryptor.write_all(piece).unwrap();
    }
    let (out, length) = encryptor.finish().unwrap();
    assert_eq!(length, plain.len() as u64);
    assert!(out == encrypt(&key, &plain).unwrap());

    let mut decryptor = Decryptor::new(&key, Cursor::new(out), None);
    let mut opened = Vec::new();
    let mut piece = [0; 777];
    loop {
        let count = decryptor.read(&mut piece).unwrap();
        if count == 0 {
            break;
        }
        opened.extend_from_slice(&piece[..count]);
    }
    assert!(opened == plain);
}

#[test]
fn any_unit_opens_alone() {
    let key = counting_key(Cipher::Cbc4k, 32);
    let plain = counting_text(10 * 4096 + 100);
    let out = encrypt(&key, &plain).unwrap();
    let mut units = out[3 * 4096..5 * 4096].to_vec();
    decrypt_units(&key, 3, &mut units).unwrap();
    assert!(units == plain[3 * 4096..5 * 4096]);
    encrypt_units(&key, 3, &mut units).unwrap();
    assert!(units == out[3 * 4096..5 * 4096]);
}

#[test]
fn units_beyond_32_bits_are_refused() {
    let key = counting_key(Cipher::Cbc4k, 16);
    let mut unit = vec![0; 8192];
    let last = u64::from(u32::MAX);
    assert_eq!(encrypt_units(&key, last, &mut unit[..4096]), Ok(()));
    assert_eq!(
        encrypt_units(&key, last, &mut unit),
        Err(ContentError::TooLong)
    );
    assert_eq!(
        decrypt_units(&key, u64::MAX, &mut unit[..16]),
        Err(ContentError::TooLong)
    );
}

#[test]
fn another_key_is_noticed_by_the_padding_nearly_always() {
    let out = encrypt(&counting_key(Cipher::Cbc4k, 16), b"some text").unwrap();
    let other = ContentKey::new(Cipher::Cbc4k, &[1; 16]).unwrap();
    assert_eq!(decrypt(&other, &out, None), Err(ContentError::Padding));
    let error = decrypt_stream(&other, &out[..], Vec::new(), None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn cut_content_is_refused() {
    let key = counting_key(Cipher::Cbc4k, 16);
    let out = encrypt(&key, &counting_text(5000)).unwrap();
    assert_eq!(
        decrypt(&key, &out[..17], None),
        Err(ContentError::NotWholeBlocks(17))
    );
    assert_eq!(decrypt(&key, &[], None), Err(ContentError::Padding));
    let truncated = ContentError::Truncated {
        declared: 5000,
        found: 4096,
    };
    assert_eq!(decrypt(&key, &out[..4096], Some(5000)), Err(truncated));
    let error = decrypt_stream(&key, &out[..4096], Vec::new(), Some(5000)).unwrap_err();
    assert_eq!(error.to_string(), truncated.to_string());
    assert!(decrypt_stream(&key, &out[..17], Vec::new(), None).is_err());
}

#[test]
fn padding_is_not_looked_at_when_the_length_is_declared() {
    let key = counting_key(Cipher::Cbc4kNoPadding, 32);
    let out = encrypt(&key, b"office").unwrap();
    assert_eq!(out.len(), 4096);
    let padded = key.with_cipher(Cipher::Cbc4k);
    assert_eq!(decrypt(&padded, &out, Some(6)).unwrap(), b"office");
    assert_eq!(decrypt(&padded, &out, None), Err(ContentError::Padding));
}

#[test]
fn cbc512_takes_whole_blocks_only() {
    let key = counting_key(Cipher::Cbc512NoPadding, 16);
    assert_eq!(
        encrypt(&key, &[0; 17]),
        Err(ContentError::NotWholeBlocks(17))
    );
    assert_eq!(key.cipher().ciphertext_len(17), None);
    assert!(encrypt_stream(&key, &[0; 17][..], Vec::new()).is_err());
}

#[test]
fn keys_of_other_lengths_are_refused_and_never_printed() {
    assert_eq!(
        ContentKey::new(Cipher::Ecb, &[0; 8]),
        Err(KeyLengthError(8))
    );
    assert_eq!(
        format!("{:?}", counting_key(Cipher::Ecb, 16)),
        "ContentKey(Ecb, Aes128)"
    );
}

#[test]
fn rest_names_are_read_as_written() {
    for name in [
        "MICROSOFT.ECB",
        "MICROSOFT.CBC4K",
        "MICROSOFT.CBC512.NOPADDING",
    ] {
        assert_eq!(Cipher::from_rest_name(name).unwrap().rest_name(), name);
    }
    assert_eq!(Cipher::from_rest_name("MICROSOFT.CTR"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_enciphered_deciphers(
        plain in proptest::collection::vec(any::<u8>(), 0..20_000),
        key in proptest::collection::vec(any::<u8>(), 24),
    ) {
        for cipher in [Cipher::Ecb, Cipher::Cbc4kNoPadding, Cipher::Cbc4k] {
            let key = ContentKey::new(cipher, &key).unwrap();
            let out = encrypt(&key, &plain).unwrap();
            prop_assert_eq!(cipher.ciphertext_len(plain.len() as u64), Some(out.len() as u64));
            prop_assert!(decrypt(&key, &out, Some(plain.len() as u64)).unwrap() == plain);
            prop_assert!(streamed(&key, &plain) == out);
        }
    }

    #[test]
    fn any_bytes_decipher_or_fail_without_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..9000),
        length in proptest::option::of(0u64..10_000),
    ) {
        for cipher in [Cipher::Ecb, Cipher::Cbc4k, Cipher::Cbc512NoPadding] {
            let key = counting_key(cipher, 32);
            let whole = decrypt(&key, &bytes, length);
            let mut out = Vec::new();
            let streamed = decrypt_stream(&key, &bytes[..], &mut out, length);
            prop_assert_eq!(whole.is_ok(), streamed.is_ok());
            if let Ok(whole) = whole {
                prop_assert!(whole == out);
            }
        }
    }
}
