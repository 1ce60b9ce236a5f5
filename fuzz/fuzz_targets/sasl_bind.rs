//! What a directory answers to a bind with SASL and to StartTLS, and how long it says a sealed frame is: both are read
//! before anybody has proved who they are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openrms_negotiate::sasl::frame_length;

fuzz_target!(|bytes: &[u8]| {
    openrms_directory::fuzzing::first_response(bytes);
    if let Some((prefix, _)) = bytes.split_first_chunk()
        && let Ok(length) = frame_length(*prefix)
    {
        assert!((1..1 << 24).contains(&length));
    }
});
