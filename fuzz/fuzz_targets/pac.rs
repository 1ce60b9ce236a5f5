//! What a stranger's ticket says of its holder, and the first token of an exchange.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openrms_negotiate::{Logon, Offer};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(logon) = Logon::read(bytes) {
        assert!(logon.user_sid.starts_with("S-1-"));
        assert!(logon.group_sids.iter().all(|sid| sid.starts_with("S-1-")));
    }
    let _ = Offer::read(bytes);
});
