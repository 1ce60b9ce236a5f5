//! Whatever a file may be: detection, compound files, data spaces.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    openrms_formats::fuzzing::any(bytes);
});
