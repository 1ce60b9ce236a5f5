//! DIME messages in both layouts; what is understood is written in each, and understood again as the
//! same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openrms_protocol::OperationName;
use openrms_protocol::activation::parse_message;
use openrms_protocol::dime::{Layout, encode, parse};
use openrms_protocol::{Limits, parse_response};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(payloads) = parse(bytes, 100) {
        for layout in [Layout::Short, Layout::Versioned] {
            match encode(&payloads, layout, 7) {
                Ok(again) => assert_eq!(parse(&again, 100).as_ref(), Ok(&payloads)),
                // The short layout has less room for names.
                Err(_) => assert!(layout == Layout::Short && bytes.len() > 0x1fff),
            }
        }
    }
    if let Ok((envelope, _)) = parse_message(bytes, 100) {
        let _ = parse_response(OperationName::Activate, &envelope, &Limits::client());
    }
});
