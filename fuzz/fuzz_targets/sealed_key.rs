//! Sealed keys opened with a fixed key, key blobs, stored handles, passwords and envelopes.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openrms_crypto::rsa::PrivateKeyBlob;
use openrms_crypto::{
    Mode, PublicKey, SealedKeyVersion, SoftwareKey, content, envelope, erd, sealed_key,
};
use openrms_crypto::{Cipher, ContentKey};

static KEY: LazyLock<SoftwareKey> =
    LazyLock::new(|| SoftwareKey::from_pem(include_str!("key.pem")).expect("the key beside"));

fuzz_target!(|bytes: &[u8]| {
    for version in [SealedKeyVersion::V1, SealedKeyVersion::V2] {
        let _ = sealed_key::open(&*KEY, version, bytes);
    }
    let _ = PrivateKeyBlob::parse(bytes);
    let _ = SoftwareKey::from_private_key_blob(bytes);
    let _ = SoftwareKey::from_pkcs8_der(bytes);
    let _ = PublicKey::from_pkcs1_der(bytes);
    let _ = PublicKey::from_le(bytes, 65_537);
    let _ = envelope::open(&[1; 32], b"", bytes);
    let _ = Mode::from_number(bytes.len() as u32);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = SoftwareKey::from_pem(text);
    }
    if let Ok(key) = ContentKey::new(Cipher::Cbc4k, &[3; 16]) {
        let _ = content::decrypt(&key, bytes, None);
        let _ = erd::decrypt(&key, bytes);
    }
});
