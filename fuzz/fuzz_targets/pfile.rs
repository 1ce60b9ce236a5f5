//! pfile headers, and content decrypted under a fixed key.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use openrms_crypto::{Cipher, ContentKey};
use openrms_formats::pfile;

fuzz_target!(|bytes: &[u8]| {
    openrms_formats::fuzzing::pfile(bytes);
    let mut file = Cursor::new(bytes);
    let Ok(header) = pfile::read_header(&mut file) else { return };
    let _ = header.read_license(&mut file);
    for cipher in [Cipher::Cbc4k, Cipher::Ecb] {
        let Ok(key) = ContentKey::new(cipher, &[7; 32]) else { return };
        let _ = pfile::unprotect(&mut file, &header, std::io::sink(), &key);
    }
});
