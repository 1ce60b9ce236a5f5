//! A process that is held to what is approved, over the validated module. Every test begins by asking
//! for it: they may share a process.

use openrms_crypto::content::{self, KeyBits};
use openrms_crypto::envelope::{self, EnvelopeError, PasswordKey};
use openrms_crypto::fips;
use openrms_crypto::password::{self, PasswordError};
use openrms_crypto::rsa::{ImportError, KeyError, PublicKeyError, SignatureError};
use openrms_crypto::{
    Cipher, ContentKey, Digest, HashAlgorithm, Mode, PrivateKey as _, PublicKey, SoftwareKey,
    Wrapping,
};

#[test]
fn mode_2_works_and_mode_1_does_not() {
    fips::require().unwrap();
    let key = SoftwareKey::generate(Mode::Two).unwrap();
    let digest = Digest::of(Mode::Two.hash(), b"text");
    let signature = key.sign(&digest).unwrap();
    key.public().verify(&digest, &signature).unwrap();
    let block = key.public().wrap_block(Wrapping::OaepSha1, b"secret");
    let opened = key.open_block(Wrapping::OaepSha1, &block.unwrap()).unwrap();
    assert_eq!(opened.expose(), b"secret");

    assert!(matches!(
        SoftwareKey::generate(Mode::One),
        Err(KeyError::NotApproved(_))
    ));
    assert_eq!(
        PublicKey::from_le(&[0xFF; 128], 65_537),
        Err(PublicKeyError::NotApproved { bits: 1024 })
    );
    let sha1 = Digest::of(HashAlgorithm::Sha1, b"text");
    assert!(matches!(key.sign(&sha1), Err(KeyError::NotApproved(_))));
    assert_eq!(key.public().verify(&sha1, &signature), Err(SignatureError));
    assert!(matches!(
        key.public().wrap_block(Wrapping::Pkcs1V15, b"secret"),
        Err(KeyError::NotApproved(_))
    ));
    assert!(matches!(
        key.open_block(Wrapping::Pkcs1V15, &[1; 256]),
        Err(KeyError::NotApproved(_))
    ));
}

#[test]
fn a_private_key_of_mode_1_is_refused_by_its_length() {
    fips::require().unwrap();
    assert_eq!(
        SoftwareKey::from_pem(SHORT_KEY).unwrap_err(),
        ImportError::NotApproved(1024)
    );
}

#[test]
fn passwords_are_stretched_by_pbkdf2_alone() {
    fips::require().unwrap();
    let parameters = PasswordKey::fresh().unwrap();
    assert_eq!(parameters.to_bytes()[..5], [2, 0xC0, 0x27, 0x09, 0]);
    let key = parameters.derive(b"fourteen bytes").unwrap();
    let again = PasswordKey::from_bytes(&parameters.to_bytes()).unwrap();
    assert_eq!(again.derive(b"fourteen bytes"), Ok(key));
    assert_eq!(
        again.derive(b"thirteen byte"),
        Err(EnvelopeError::ShortPassword)
    );
    let mut argon2id = vec![1, 64, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
    argon2id.extend([3; 16]);
    let argon2id = PasswordKey::from_bytes(&argon2id).unwrap();
    assert_eq!(
        argon2id.derive(b"fourteen bytes"),
        Err(EnvelopeError::NotApproved)
    );

    let stored = password::hash(b"password").unwrap();
    assert!(stored.starts_with("$pbkdf2-sha256$i=600000$"), "{stored}");
    assert_eq!(password::verify(b"password", &stored), Ok(true));
    assert_eq!(password::verify(b"passwort", &stored), Ok(false));
    let argon2id = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$\
                    CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    assert_eq!(
        password::verify(b"password", argon2id),
        Err(PasswordError::NotApproved)
    );
}

#[test]
fn content_and_small_secrets_are_enciphered_by_the_validated_module() {
    fips::require().unwrap();
    assert!(fips::is_validated_module() && fips::is_required());
    let key = ContentKey::generate(Cipher::Cbc4k, KeyBits::Aes256).unwrap();
    let text = vec![7; 300_001];
    let sealed = content::encrypt(&key, &text).unwrap();
    assert_eq!(content::decrypt(&key, &sealed, None).unwrap(), text);
    let sealed = envelope::seal(&[1; 32], b"beside", b"secret").unwrap();
    let opened = envelope::open(&[1; 32], b"beside", &sealed).unwrap();
    assert_eq!(opened.expose(), b"secret");
}

#[test]
fn tls_offers_what_the_fips_provider_has() {
    fips::require().unwrap();
    assert!(rustls::crypto::aws_lc_rs::default_provider().fips());
}

/// By openssl genpkey -algorithm RSA -pkeyopt `rsa_keygen_bits:1024`.
const SHORT_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBALJXfD/kZ0Og97Qh
+w5IeJ70MRB/nvP5R1oP19uegA/PMGh13Pr1SmqL1qujTqEYSxVLEG4VWz3r2QMv
ot0+cPB3yJ1zAXLFHTANz3CiadPzMlsYyAsvZNtSa3Rnkv9JF3lLH8DsI1xVB4TI
RaFq+O2yKmIJ9Q6O9VmfzSqsx03xAgMBAAECgYA3m8XXWk3EraVvGoVgz8Iktjmy
TkjvBBR2hagmB8cgptcOS2oLKn74t//I5xP2cU/AJPbLjIc1yJuTPcBHwleObkjl
gqJIKypYRLb6wjcJB+sylJHl/hgfQqeqVS3hI1KvNax0rtYQjlvbBi1lCMNRF2w4
vHq+8XJj+TgfJMdmwQJBANy50tDYVxsjpe81o1RZGB9cmCUf9nQ62q/QMOU5EC3h
FT5DfwQ/is23LMhruj74yNaFtQl7KW0ikNHlXjT1d1kCQQDO16xI/gQOdtJnEcWs
WaDYAPmpk0c6ywbgbkcLPKc4h3MkNA7z5PqGnqLQOpNF5zDjPllVkdE8akZFuuU/
rVBZAkEAnfUNfQ+VJoLYWNuVyuMHdEobR1YcVQlZPsBKfX/cqDiPr0M2PqAKgTU5
AyS04CPB9mMxL1vIRaWa5dqzFEsl4QJATk2jcTaIfplI6a/2r1p2447q9OFGc+Fs
RwY4au6ZN3M/iZMTng0vMktXw5CJNEtjXIO7+gLrvP1WgQtRwhtwcQJAA9PzH/5x
jeajX9gCkugTFPiwpvjgEanZ7131O0lwwMhM4VsCeoTX6+mPHOzAWpwQUhWLwAbS
pWRCmmFRTqWJXw==
-----END PRIVATE KEY-----
";
