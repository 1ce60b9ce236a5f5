//! SOAP bodies as requests and as answers; what is understood is written and understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openrms_protocol::{
    HttpHead, Limits, OperationName, encode_request, offline_enrollment, parse_request,
    parse_response,
};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::server();
    if let Ok(request) = parse_request(HttpHead::default(), bytes, &limits) {
        let again = encode_request(
            request.soap,
            request.contract,
            request.version_data,
            &request.operation,
        );
        let parsed = parse_request(HttpHead::default(), again.as_bytes(), &limits);
        if let Ok(parsed) = parsed {
            assert_eq!(parsed.operation.name(), request.operation.name());
        }
    }
    for &name in OperationName::ALL {
        let _ = parse_response(name, bytes, &Limits::client());
    }
    let _ = offline_enrollment::decode_request(bytes, &limits);
    let _ = offline_enrollment::decode_response(bytes, &limits);
    let _ = offline_enrollment::decode_sub_request(bytes, &limits);
    let _ = offline_enrollment::decode_sub_response(bytes, &limits);
});
