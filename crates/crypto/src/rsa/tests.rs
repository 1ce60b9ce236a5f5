use std::collections::HashSet;
use std::sync::LazyLock;

use super::*;
use crate::Mode;

static KEY_2048: LazyLock<SoftwareKey> =
    LazyLock::new(|| SoftwareKey::generate(Mode::Two).unwrap());
#[cfg(feature = "legacy-mode1")]
static KEY_1024: LazyLock<SoftwareKey> =
    LazyLock::new(|| SoftwareKey::generate(Mode::One).unwrap());

fn digest(algorithm: HashAlgorithm) -> Digest {
    Digest::of_utf16le(algorithm, "<BODY>text</BODY>")
}

fn check_signature(key: &dyn PrivateKey, algorithm: HashAlgorithm) {
    let digest = digest(algorithm);
    let signature = key.sign(&digest).unwrap();
    assert_eq!(signature.len(), key.public().block_len());
    key.public().verify(&digest, &signature).unwrap();

    let other = Digest::of_utf16le(algorithm, "<BODY>texu</BODY>");
    assert_eq!(key.public().verify(&other, &signature), Err(SignatureError));
    let mut changed = signature.clone();
    changed[40] ^= 1;
    assert_eq!(key.public().verify(&digest, &changed), Err(SignatureError));
    let reversed: Vec<u8> = signature.iter().rev().copied().collect();
    assert_eq!(key.public().verify(&digest, &reversed), Err(SignatureError));
    assert_eq!(
        key.public().verify(&digest, &signature[1..]),
        Err(SignatureError)
    );
    assert_eq!(key.public().verify(&digest, &[]), Err(SignatureError));
    let longer = [&signature[..], &[0]].concat();
    assert_eq!(key.public().verify(&digest, &longer), Err(SignatureError));
}

fn check_blocks(key: &SoftwareKey, wrapping: Wrapping) {
    let secret = [0x5A; 28];
    let block = key.public().wrap_block(wrapping, &secret).unwrap();
    assert_eq!(block.len(), key.public().block_len());
    assert_eq!(key.open_block(wrapping, &block).unwrap().expose(), secret);
    assert_eq!(
        key.open_block(wrapping, &block[1..]),
        Err(KeyError::CannotOpen)
    );
    assert_eq!(
        key.open_block(wrapping, &vec![0xFF; block.len()]),
        Err(KeyError::CannotOpen)
    );
    let mut changed = block;
    changed[30] ^= 4;
    match (wrapping, key.open_block(wrapping, &changed)) {
        // Implicit rejection: something comes out, but not the secret.
        (Wrapping::Pkcs1V15, Ok(opened)) => assert_ne!(opened.expose(), secret),
        (_, opened) => assert_eq!(opened, Err(KeyError::CannotOpen)),
    }
}

#[test]
fn signatures_of_mode_2_verify_and_nothing_else_does() {
    check_signature(&*KEY_2048, HashAlgorithm::Sha256);
}

#[cfg(feature = "legacy-mode1")]
#[test]
fn signatures_of_mode_1_verify_and_nothing_else_does() {
    check_signature(&*KEY_1024, HashAlgorithm::Sha1);
    check_signature(&*KEY_1024, HashAlgorithm::Sha256);
    check_signature(&*KEY_2048, HashAlgorithm::Sha1);
}

#[test]
fn a_signature_over_one_hash_is_none_over_the_other() {
    let signature = KEY_2048.sign(&digest(HashAlgorithm::Sha256)).unwrap();
    let sha1 = digest(HashAlgorithm::Sha1);
    assert_eq!(
        KEY_2048.public().verify(&sha1, &signature),
        Err(SignatureError)
    );
}

#[test]
fn blocks_wrapped_to_a_2048_bit_key_open() {
    for wrapping in [Wrapping::Pkcs1V15, Wrapping::OaepSha1, Wrapping::OaepSha256] {
        check_blocks(&KEY_2048, wrapping);
    }
}

#[cfg(feature = "legacy-mode1")]
#[test]
fn blocks_wrapped_to_a_1024_bit_key_open() {
    for wrapping in [Wrapping::Pkcs1V15, Wrapping::OaepSha1] {
        check_blocks(&KEY_1024, wrapping);
    }
}

#[test]
fn a_secret_too_long_for_the_block_is_not_wrapped() {
    for wrapping in [Wrapping::Pkcs1V15, Wrapping::OaepSha1] {
        assert!(KEY_2048.public().wrap_block(wrapping, &[0; 250]).is_err());
    }
}

#[test]
fn public_keys_are_the_same_when_their_moduli_are() {
    let public = KEY_2048.public();
    let again = PublicKey::from_le(public.modulus_le(), public.exponent()).unwrap();
    assert_eq!(*public, again);
    assert_eq!(HashSet::from([public.clone(), again.clone()]).len(), 1);
    assert_eq!(public.fingerprint()[..], sha256(public.modulus_le())[..16]);
    assert_eq!(again.fingerprint_hex().len(), 32);
    assert_eq!(
        (again.bits(), again.block_len(), again.exponent()),
        (2048, 256, 65537)
    );
}

#[test]
fn numbers_that_are_no_rsa_key_are_refused() {
    let from = |modulus: &[u8], exponent| PublicKey::from_le(modulus, exponent).unwrap_err();
    let good = KEY_2048.public().modulus_le();
    assert_eq!(from(&[], 65537), PublicKeyError::Size { bits: 0 });
    assert_eq!(
        from(&[0xFF; 127], 65537),
        PublicKeyError::Size { bits: 1016 }
    );
    assert_eq!(
        from(&[0xFF; 513], 65537),
        PublicKeyError::Size { bits: 4104 }
    );
    assert_eq!(
        from(&[good, &[0]].concat(), 65537),
        PublicKeyError::LeadingZero
    );
    assert_eq!(from(&[0xFE; 256], 65537), PublicKeyError::EvenModulus);
    for exponent in [0, 1, 2, 65536] {
        assert_eq!(from(good, exponent), PublicKeyError::Exponent(exponent));
    }
    assert!(PublicKey::from_le(&[0xFF; 512], 3).is_ok());
}

fn check_forms(key: &SoftwareKey, blob_len: usize) {
    let digest = digest(HashAlgorithm::Sha256);
    let blob = key.to_private_key_blob();
    assert_eq!(blob.expose().len(), blob_len);
    assert_eq!(blob.bits(), key.public().bits());
    assert_eq!(blob.modulus_le(), key.public().modulus_le());
    let followed = [blob.expose(), &[0xEE; 40]].concat();
    let pem = key.to_pem();
    let forms = [
        SoftwareKey::from_private_key_blob(&followed).unwrap(),
        SoftwareKey::from_pkcs8_der(key.to_pkcs8_der().expose()).unwrap(),
        SoftwareKey::from_pem(std::str::from_utf8(pem.expose()).unwrap()).unwrap(),
    ];
    for again in forms {
        assert_eq!(again.public(), key.public());
        assert_eq!(again.public().exponent(), 65537);
        assert_eq!(again.to_private_key_blob(), blob);
        assert_eq!(again.to_pkcs8_der(), key.to_pkcs8_der());
        key.public()
            .verify(&digest, &again.sign(&digest).unwrap())
            .unwrap();
    }
}

#[test]
fn a_2048_bit_key_survives_all_its_forms() {
    check_forms(&KEY_2048, 1172);
}

#[cfg(feature = "legacy-mode1")]
#[test]
fn a_1024_bit_key_survives_all_its_forms() {
    check_forms(&KEY_1024, 596);
}

#[test]
fn the_blob_has_the_documented_header() {
    let blob = KEY_2048.to_private_key_blob();
    let header = [
        7, 2, 0, 0, 0, 0x24, 0, 0, b'R', b'S', b'A', b'2', 0, 8, 0, 0, 1, 0, 1, 0,
    ];
    assert_eq!(blob.expose()[..20], header);
}

#[test]
fn exchange_keys_are_read_too() {
    let mut blob = KEY_2048.to_private_key_blob().expose().to_vec();
    blob[5] = 0xA4;
    assert!(SoftwareKey::from_private_key_blob(&blob).is_ok());
    blob[5] = 0x66;
    assert_eq!(
        SoftwareKey::from_private_key_blob(&blob).unwrap_err(),
        ImportError::Malformed("not an RSA key")
    );
}

#[test]
fn a_blob_whose_numbers_do_not_fit_together_is_refused() {
    let blob = KEY_2048.to_private_key_blob().expose().to_vec();
    let offsets = [
        20,
        20 + 256,
        20 + 384,
        20 + 512,
        20 + 640,
        20 + 768,
        20 + 896,
    ];
    for at in offsets {
        let mut changed = blob.clone();
        changed[at + 2] ^= 1;
        let error = SoftwareKey::from_private_key_blob(&changed).unwrap_err();
        assert!(
            matches!(error, ImportError::Inconsistent(_)),
            "{at}: {error}"
        );
    }
    let mut swapped = blob.clone();
    swapped[20] ^= 2;
    assert_eq!(
        SoftwareKey::from_private_key_blob(&swapped).unwrap_err(),
        ImportError::Inconsistent("the primes do not multiply to the modulus")
    );
}

#[test]
fn cut_keys_are_refused_in_every_form() {
    let blob = KEY_2048.to_private_key_blob();
    let der = KEY_2048.to_pkcs8_der();
    for len in (0..blob.expose().len()).step_by(13) {
        assert!(SoftwareKey::from_private_key_blob(&blob.expose()[..len]).is_err());
    }
    for len in (0..der.len()).step_by(13) {
        assert!(SoftwareKey::from_pkcs8_der(&der.expose()[..len]).is_err());
    }
    for pem in [
        "",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----",
    ] {
        assert!(SoftwareKey::from_pem(pem).is_err());
    }
}

#[test]
fn public_keys_are_read_from_either_kind_of_pem() {
    let body = STANDARD.encode(KEY_2048.public().to_pkcs1_der());
    let pkcs1 = format!("-----BEGIN RSA PUBLIC KEY-----\n{body}\n-----END RSA PUBLIC KEY-----");
    assert_eq!(&PublicKey::from_pem(&pkcs1).unwrap(), KEY_2048.public());
    // As openssl rsa -pubout writes it.
    let mut der = vec![0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09];
    der.extend([
        0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ]);
    der.extend([0x03, 0x82, 0x01, 0x0f, 0x00]);
    der.extend(KEY_2048.public().to_pkcs1_der());
    let pem = |der: &[u8]| {
        let body = STANDARD.encode(der);
        format!("text\n-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    };
    assert_eq!(&PublicKey::from_pem(&pem(&der)).unwrap(), KEY_2048.public());
    for len in (0..der.len()).step_by(7) {
        assert!(PublicKey::from_pem(&pem(&der[..len])).is_err(), "{len}");
    }
    // Another algorithm.
    der[16] = 0x02;
    assert!(PublicKey::from_pem(&pem(&der)).is_err());
    assert!(PublicKey::from_pem("").is_err());
}

#[test]
fn pem_is_what_other_tools_write() {
    let pem = KEY_2048.to_pem();
    let text = std::str::from_utf8(pem.expose()).unwrap();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\nMII"));
    assert!(text.ends_with("\n-----END PRIVATE KEY-----\n"));
    assert!(text.lines().all(|line| line.len() <= 64));
    let windows = format!("# a comment\r\n{}", text.replace('\n', "\r\n"));
    assert!(SoftwareKey::from_pem(&windows).is_ok());
}

#[test]
fn keys_never_print_their_secret() {
    let printed = format!("{:?}", *KEY_2048);
    assert!(
        printed.starts_with("SoftwareKey(PublicKey(2048 bits, "),
        "{printed}"
    );
    assert!(format!("{:?}", KEY_2048.to_private_key_blob()).contains("1172 bytes"));
}

#[test]
fn one_key_signs_in_many_threads() {
    let digest = digest(HashAlgorithm::Sha256);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let signature = KEY_2048.sign(&digest).unwrap();
                    KEY_2048.public().verify(&digest, &signature).unwrap();
                    check_blocks(&KEY_2048, Wrapping::Pkcs1V15);
                }
            });
        }
    });
}
