//! Keys in a real token: `SoftHSM2`. Skipped with a line where it is not installed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests end where they fail"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::slot::Slot;
use openrms_crypto::pkcs11::{Pkcs11Provider, Pkcs11Settings};
use openrms_crypto::provider::ProviderError;
use openrms_crypto::rsa::{KeyError, SignatureError};
use openrms_crypto::sealed_key::{self, OpenedPayload, Payload};
use openrms_crypto::{
    Cipher, ContentKey, Digest, HashAlgorithm, KeyHandle, KeyProvider as _, Mode, PrivateKey,
    SealedKeyVersion, Secret, SoftwareKey, Wrapping,
};

#[test]
fn a_key_that_is_made_in_a_module_signs_and_opens_there() {
    let Some(module) = module("a_key_that_is_made_in_a_module_signs_and_opens_there") else {
        return;
    };
    let provider = Pkcs11Provider::open(&module).unwrap();
    assert_eq!(provider.name(), "pkcs11");
    for (mode, version) in [
        (Mode::Two, SealedKeyVersion::V2),
        (Mode::One, SealedKeyVersion::V1),
    ] {
        let (handle, key) = provider.generate(mode).unwrap();
        assert_eq!(key.public().bits(), mode.rsa_bits());
        check(&*key, mode.hash(), version);

        // Found again by its handle, by this provider and by one that is opened later.
        let stored = KeyHandle::new(handle.as_bytes().to_vec());
        let later = Pkcs11Provider::open(&module).unwrap();
        for found in [provider.load(&stored), later.load(&stored)] {
            let found = found.unwrap();
            assert_eq!(found.public(), key.public());
            check(&*found, mode.hash(), version);
        }
    }
}

#[test]
fn blocks_that_are_not_the_keys_own_do_not_open() {
    let Some(module) = module("blocks_that_are_not_the_keys_own_do_not_open") else {
        return;
    };
    let provider = Pkcs11Provider::open(&module).unwrap();
    let (_, key) = provider.generate(Mode::Two).unwrap();
    let secret = [0x5A; 28];
    for wrapping in [Wrapping::Pkcs1V15, Wrapping::OaepSha1] {
        let block = key.public().wrap_block(wrapping, &secret).unwrap();
        assert_eq!(key.open_block(wrapping, &block).unwrap().expose(), secret);
        let mut changed = block.clone();
        changed[30] ^= 4;
        for bad in [&block[1..], &vec![0xFF; block.len()], &changed] {
            match (wrapping, key.open_block(wrapping, bad)) {
                // Implicit rejection: something comes out, but not the secret.
                (Wrapping::Pkcs1V15, Ok(opened)) => assert_ne!(opened.expose(), secret),
                (_, opened) => assert_eq!(opened, Err(KeyError::CannotOpen), "{wrapping:?}"),
            }
        }
        // The token is none the worse for it.
        assert_eq!(key.open_block(wrapping, &block).unwrap().expose(), secret);
    }
}

#[test]
fn a_key_that_is_taken_over_stays_the_same_and_cannot_be_taken_out_again() {
    let name = "a_key_that_is_taken_over_stays_the_same_and_cannot_be_taken_out_again";
    let Some(module) = module(name) else { return };
    let provider = Pkcs11Provider::open(&module).unwrap();
    let software = SoftwareKey::generate(Mode::Two).unwrap();
    let public = software.public().clone();
    let (handle, key) = provider.import(software).unwrap();
    assert_eq!(key.public(), &public);
    check(&*key, HashAlgorithm::Sha256, SealedKeyVersion::V2);

    let (_, made) = provider.generate(Mode::Two).unwrap();
    assert_ne!(made.public(), &public);
    // Neither is given away, whoever asks the module itself.
    assert_eq!(numbers_given_away(&module), [false, false]);

    provider.delete(&handle).unwrap();
    let gone = provider.load(&handle).unwrap_err();
    assert_eq!(gone, ProviderError::UnknownHandle);
}

#[test]
fn several_threads_sign_at_once() {
    let Some(module) = module("several_threads_sign_at_once") else {
        return;
    };
    let provider = Pkcs11Provider::open(&module).unwrap();
    let (_, key) = provider.generate(Mode::Two).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let key = Arc::clone(&key);
            scope.spawn(move || {
                for turn in 0..25_u8 {
                    let digest = Digest::of(HashAlgorithm::Sha256, &[thread, turn]);
                    let signature = key.sign(&digest).unwrap();
                    key.public().verify(&digest, &signature).unwrap();
                }
            });
        }
    });
}

#[test]
fn what_a_module_does_not_have_is_named() {
    let Some(module) = module("what_a_module_does_not_have_is_named") else {
        return;
    };
    let refused = |settings: &Pkcs11Settings| {
        let error = Pkcs11Provider::open(settings).unwrap_err();
        error.to_string()
    };
    let nowhere = Pkcs11Settings {
        module: "/nowhere/module.so".into(),
        ..module.clone()
    };
    assert!(refused(&nowhere).contains("/nowhere/module.so"));
    let other = Pkcs11Settings {
        token: "other".into(),
        ..module.clone()
    };
    assert!(refused(&other).contains("\"other\""));
    let wrong = Pkcs11Settings {
        pin: Secret::from(&b"0000"[..]),
        ..module.clone()
    };
    let message = refused(&wrong);
    assert!(message.contains("PIN is wrong"), "{message}");
    assert!(!message.contains("0000"), "{message}");

    let provider = Pkcs11Provider::open(&module).unwrap();
    for handle in [
        "",
        "pkcs11:serial=0;id=%00%00%00%00%00%00%00%00%00%00%00%00%00%00%00%00",
    ] {
        let handle = KeyHandle::new(handle.as_bytes().to_vec());
        let unknown = provider.load(&handle).unwrap_err();
        assert_eq!(unknown, ProviderError::UnknownHandle);
    }
}

/// Whether the module gives the secret numbers of its private keys to whoever is logged in.
fn numbers_given_away(module: &Pkcs11Settings) -> Vec<bool> {
    let library = Pkcs11::new(&module.module).unwrap();
    let slots = library.get_slots_with_token().unwrap();
    let label = |slot: &Slot| library.get_token_info(*slot).unwrap().label().to_owned();
    let slot = slots.into_iter().find(|slot| label(slot) == TOKEN).unwrap();
    // The provider of this process has logged in.
    let session = library.open_ro_session(slot).unwrap();
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]);
    let asked = [
        AttributeType::PrivateExponent,
        AttributeType::Extractable,
        AttributeType::Sensitive,
    ];
    let keys = keys.unwrap().into_iter();
    keys.map(|key| {
        let told = session.get_attributes(key, &asked).unwrap();
        told.iter().any(|attribute| match attribute {
            Attribute::PrivateExponent(_) => true,
            Attribute::Extractable(is_extractable) => *is_extractable,
            Attribute::Sensitive(is_sensitive) => !is_sensitive,
            _ => false,
        })
    })
    .collect()
}

fn check(key: &dyn PrivateKey, hash: HashAlgorithm, version: SealedKeyVersion) {
    let digest = Digest::of_utf16le(hash, "<BODY>text</BODY>");
    let signature = key.sign(&digest).unwrap();
    key.public().verify(&digest, &signature).unwrap();
    let other = Digest::of_utf16le(hash, "<BODY>texu</BODY>");
    assert_eq!(key.public().verify(&other, &signature), Err(SignatureError));

    let content = ContentKey::new(Cipher::Cbc4k, &[7; 16]).unwrap();
    let bound = Digest::of_utf16le(version.hash(), "bound");
    let payload = Payload::ContentKey(&content);
    let sealed = sealed_key::seal(key.public(), version, payload, &bound).unwrap();
    let opened = sealed_key::open(key, version, &sealed).unwrap();
    let OpenedPayload::ContentKey(opened) = opened.payload else {
        unreachable!("a content key was sealed");
    };
    assert_eq!(opened.expose(), content.expose());
}

/// A token of the test's own. The library reads where its tokens are from the environment, so the
/// test runs itself again in a process that has it there; `None` in the outer one.
fn module(test: &str) -> Option<Pkcs11Settings> {
    let Some(library) = library() else {
        println!("skipped: SoftHSM2 is not installed");
        return None;
    };
    let settings = Pkcs11Settings {
        module: library,
        token: TOKEN.into(),
        pin: Secret::from(PIN.as_bytes()),
    };
    if std::env::var_os(INSIDE).is_some() {
        return Some(settings);
    }
    let folder = tempfile::tempdir().unwrap();
    let (tokens, conf) = (folder.path().join("tokens"), folder.path().join("conf"));
    std::fs::create_dir(&tokens).unwrap();
    let text = format!("directories.tokendir = {}\n", tokens.display());
    std::fs::write(&conf, text).unwrap();
    let run = |command: &mut Command| {
        let output = command.env("SOFTHSM2_CONF", &conf).output().unwrap();
        let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(output.status.success(), "{out}{err}");
    };
    run(Command::new("softhsm2-util").args([
        "--init-token",
        "--free",
        "--label",
        TOKEN,
        "--pin",
        PIN,
        "--so-pin",
        PIN,
    ]));
    run(Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(INSIDE, "1"));
    None
}

fn library() -> Option<PathBuf> {
    [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
    ]
    .map(PathBuf::from)
    .into_iter()
    .find(|path| Path::is_file(path))
}

const INSIDE: &str = "OPENRMS_TEST_SOFTHSM";
const TOKEN: &str = "rms test";
const PIN: &str = "271828";
