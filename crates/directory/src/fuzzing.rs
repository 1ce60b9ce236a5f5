//! The entry for a fuzz target of what anybody may send before they have proved who they are. What
//! was accepted must also hold together; a broken promise panics, which is how a fuzzer notices.

use crate::ldap::sasl_bind::{LONGEST, LONGEST_TEXT, Response};

/// The answer to a bind with SASL, without its frame.
pub fn bind_response(bytes: &[u8]) {
    let Ok(response) = Response::read(bytes, 2) else {
        return;
    };
    assert!(bytes.len() > LONGEST || response.credentials.len() < LONGEST);
    assert!(response.text.chars().count() <= LONGEST_TEXT);
    assert!(!response.text.chars().any(char::is_control));
}
