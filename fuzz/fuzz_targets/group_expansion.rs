//! Messages of the binary form of group expansion; what is understood is written, and understood
//! again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openrms_protocol::Limits;
use openrms_protocol::binary_group_expansion::{
    encode_request, encode_response, parse_request, parse_response,
};

fuzz_target!(|bytes: &[u8]| {
    // One text may be referred to many times and is written as often: short texts keep that
    // small, and what was written is read with more room.
    let mut limits = Limits::server();
    limits.text_bytes = 512;
    let mut wide = Limits::server().with_body_bytes(usize::MAX);
    wide.elements = usize::MAX;
    if let Ok(request) = parse_request(bytes, &limits) {
        let again = encode_request(&request);
        assert_eq!(parse_request(&again, &wide).as_ref(), Ok(&request));
    }
    if let Ok(response) = parse_response(bytes, &limits) {
        // Compared as bytes: a floating-point number may be unequal to itself.
        let again = encode_response(&response);
        let read = parse_response(&again, &wide).expect("what was written is read");
        assert_eq!(encode_response(&read), again);
    }
});
